//! What it takes to read a backup that is frozen: which of its objects have to be thawed, how long that may take, and what
//! it costs. Values in, values out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::cost::{Amount, ObjectSize, Prices};
use crate::store::{StorageClass, Thaw, ThawTier};

/// An object of a backup, and whether it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub key: String,
    pub size: ObjectSize,
    pub thaw: Thaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    pub objects: u64,
    pub stored_bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.stored_bytes = self.stored_bytes.saturating_add(bytes);
    }
}

/// How much of what is wanted of a backup can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Frost {
    /// What nobody has asked for.
    pub frozen: Count,
    /// What the store is thawing.
    pub underway: Count,
    /// What can be read for a time.
    pub thawed: Count,
    /// When the first of that is frozen again, if the store says so.
    pub thawed_until: Option<Timestamp>,
    /// When what is underway can be read at the latest, if it is known when somebody asked.
    pub ready_by: Option<Timestamp>,
    /// What is frozen, by class.
    #[serde(skip)]
    classes: BTreeMap<StorageClass, Count>,
    /// The classes of what is underway.
    #[serde(skip)]
    slow: Vec<StorageClass>,
}

/// A way to thaw all that is frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    pub tier: ThawTier,
    pub days: u32,
    /// The longest that the store says it takes.
    pub at_most_minutes: u32,
    /// Requests, retrieval, and keeping the thawed copies.
    pub cost: Amount,
    pub currency: String,
}

impl Frost {
    pub fn of(sights: &[Sight]) -> Self {
        let mut frost = Self::default();
        for Sight { size, thaw, .. } in sights {
            match thaw {
                Thaw::NotNeeded => {}
                Thaw::Frozen => {
                    frost.frozen.add(size.bytes);
                    frost.classes.entry(size.class).or_default().add(size.bytes);
                }
                Thaw::Underway => {
                    frost.underway.add(size.bytes);
                    frost.slow.push(size.class);
                }
                Thaw::Done(until) => {
                    frost.thawed.add(size.bytes);
                    frost.thawed_until = [frost.thawed_until, *until].into_iter().flatten().min();
                }
            }
        }
        frost.slow.sort_unstable();
        frost.slow.dedup();
        frost
    }

    /// Whether everything that is wanted can be read now.
    pub fn is_readable(&self) -> bool {
        self.frozen.objects == 0 && self.underway.objects == 0
    }

    /// With the time of the last request, and how it was made.
    #[must_use]
    pub fn asked(mut self, asked: Option<(Timestamp, ThawTier)>) -> Self {
        let longest = |tier: ThawTier| self.slow.iter().filter_map(|class| tier.at_most_minutes(*class)).max();
        self.ready_by = asked.and_then(|(at, tier)| Some(after(at, longest(tier)?)));
        self
    }

    /// The longest that thawing what is frozen takes; `None` where a class does not offer it.
    pub fn at_most_minutes(&self, tier: ThawTier) -> Option<u32> {
        let minutes = self.classes.keys().map(|class| tier.at_most_minutes(*class));
        minutes.collect::<Option<Vec<u32>>>()?.into_iter().max()
    }

    /// Every way to thaw all that is frozen, the fastest first.
    pub fn offers(&self, days: u32, prices: &Prices) -> Vec<Offer> {
        let offer = |tier: ThawTier| {
            Some(Offer {
                tier,
                days,
                at_most_minutes: self.at_most_minutes(tier)?,
                cost: self.classes.iter().map(|(class, count)| thaw_cost(*class, *count, tier, days, prices)).sum(),
                currency: prices.currency.clone(),
            })
        };
        ThawTier::ALL.into_iter().filter_map(offer).collect()
    }
}

/// That many minutes later.
pub fn after(at: Timestamp, minutes: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_mins(i64::from(minutes))).unwrap_or(Timestamp::MAX)
}

fn thaw_cost(class: StorageClass, count: Count, tier: ThawTier, days: u32, prices: &Prices) -> Amount {
    let price = prices.thaw(class, tier);
    let retrieval = Amount::of(price.retrieval, count.stored_bytes);
    let requests = Amount::of_requests(price.requests, count.objects);
    retrieval + requests + prices.thawed_copy(count.stored_bytes, days)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    fn sight(class: StorageClass, bytes: u64, thaw: Thaw) -> Sight {
        Sight { key: "k".to_owned(), size: ObjectSize { class, bytes }, thaw }
    }

    #[test]
    fn what_is_frozen_costs_its_retrieval_its_requests_and_the_copies() {
        let frost = Frost::of(&[
            sight(StorageClass::Glacier, 6 * GIB, Thaw::Frozen),
            sight(StorageClass::Glacier, 4 * GIB, Thaw::Frozen),
            sight(StorageClass::Standard, GIB, Thaw::NotNeeded),
        ]);
        let offers = frost.offers(30, &Prices::default());
        let shown: Vec<String> =
            offers.iter().map(|o| format!("{} {} {}", o.tier, o.at_most_minutes, o.cost)).collect();
        // 10 GiB for a month are 0.23; two requests; 0.03, 0.01 or nothing per GiB.
        assert_eq!(shown, ["expedited 5 0.55", "standard 300 0.33", "bulk 720 0.23"]);
        assert!(!frost.is_readable());
    }

    #[test]
    fn only_what_every_class_offers_is_offered() {
        let frost = Frost::of(&[
            sight(StorageClass::Glacier, GIB, Thaw::Frozen),
            sight(StorageClass::DeepArchive, GIB, Thaw::Frozen),
        ]);
        let offers = frost.offers(1, &Prices::default());
        let tiers: Vec<_> = offers.iter().map(|offer| (offer.tier, offer.at_most_minutes)).collect();
        assert_eq!(tiers, [(ThawTier::Standard, 720), (ThawTier::Bulk, 2880)]);
    }

    #[test]
    fn what_is_underway_is_ready_when_the_slowest_class_is() {
        let sights = [
            sight(StorageClass::Glacier, 1, Thaw::Underway),
            sight(StorageClass::DeepArchive, 1, Thaw::Underway),
            sight(StorageClass::Glacier, 1, Thaw::Done(Some(at(9)))),
            sight(StorageClass::Glacier, 1, Thaw::Done(Some(at(7)))),
            sight(StorageClass::Glacier, 1, Thaw::Done(None)),
        ];
        let frost = Frost::of(&sights);
        assert_eq!((frost.underway.objects, frost.thawed.objects), (2, 3));
        assert_eq!((frost.thawed_until, frost.ready_by), (Some(at(7)), None));
        assert_eq!(frost.clone().asked(Some((at(0), ThawTier::Bulk))).ready_by, Some(at(2880)));
        assert_eq!(frost.clone().asked(Some((at(0), ThawTier::Standard))).ready_by, Some(at(720)));
        assert_eq!(frost.asked(None).ready_by, None);
    }

    fn any_sight() -> impl Strategy<Value = Sight> {
        let class = prop::sample::select(StorageClass::ALL.to_vec());
        let thaw = prop::sample::select(vec![Thaw::Frozen, Thaw::Underway, Thaw::Done(None)]);
        (class, 0..GIB, thaw).prop_map(|(class, bytes, thaw)| {
            sight(class, bytes, if class.is_frozen() { thaw } else { Thaw::NotNeeded })
        })
    }

    proptest! {
        #[test]
        fn every_frozen_object_is_counted_once_and_more_days_never_cost_less(
            sights in prop::collection::vec(any_sight(), 0..40), days in 1..100u32,
        ) {
            let frost = Frost::of(&sights);
            let freezing = sights.iter().filter(|sight| sight.size.class.is_frozen());
            let counts = [frost.frozen, frost.underway, frost.thawed];
            prop_assert_eq!(counts.iter().map(|count| count.objects).sum::<u64>(), freezing.clone().count() as u64);
            prop_assert_eq!(counts.iter().map(|c| c.stored_bytes).sum::<u64>(), freezing.map(|s| s.size.bytes).sum::<u64>());
            let (few, more) = (frost.offers(days, &Prices::default()), frost.offers(days + 1, &Prices::default()));
            prop_assert_eq!(few.iter().any(|offer| offer.tier == ThawTier::Standard), frost.frozen.objects > 0);
            for (few, more) in few.iter().zip(&more) {
                prop_assert!(few.cost <= more.cost && few.tier == more.tier);
            }
        }
    }
}
