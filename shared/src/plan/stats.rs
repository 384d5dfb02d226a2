//! What backups take up, what they share, and how that grows. Values in, values out.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{BackupId, PackEntry, Tier};

/// Growth is that of the newest backups, as many as this.
const GROWTH_BACKUPS: usize = 60;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// A backup, with all its packs.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: BackupId,
    pub at: Timestamp,
    pub plaintext_bytes: u64,
    /// As its manifest says: a part of the database is no measure of its growth.
    pub is_complete: bool,
    pub packs: Vec<PackEntry>,
    /// The pack that lists the others. What it takes up is not worth a number in statistics.
    pub pack_list: PackEntry,
    pub new_bytes: u64,
}

impl Stored {
    /// With the one that lists them.
    pub fn all_packs(&self) -> impl Iterator<Item = &PackEntry> {
        self.packs.iter().chain(std::iter::once(&self.pack_list))
    }
}

/// What the backups of a database take up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    pub total: Total,
    /// By name.
    pub tiers: Vec<TierSpace>,
    /// Newest first.
    pub backups: Vec<BackupSpace>,
    /// `null` before there are complete backups a day apart: a rate of minutes says nothing about a month.
    pub growth: Option<Growth>,
}

/// All backups together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Total {
    pub backups: u64,
    /// Rows as COPY writes them, of every backup.
    pub plaintext_bytes: u64,
    /// What all backups would take if none shared anything.
    pub referenced_bytes: u64,
    /// What they do take: every pack once.
    pub stored_bytes: u64,
    /// Plaintext by referenced bytes: what compression saves. `null` when nothing is stored.
    pub compression_ratio: Option<f64>,
    /// Referenced by stored bytes: what sharing saves. `null` when nothing is stored.
    pub dedup_ratio: Option<f64>,
}

/// The backups of one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierSpace {
    pub tier: Tier,
    pub backups: u64,
    pub plaintext_bytes: u64,
    /// The packs of its backups, each once.
    pub stored_bytes: u64,
    /// Of packs that no other tier needs: what would be free without this one.
    pub unique_bytes: u64,
    pub shared_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupSpace {
    pub id: BackupId,
    pub tier: Tier,
    pub created_at: Timestamp,
    pub plaintext_bytes: u64,
    /// Its packs. The sum of the next two.
    pub stored_bytes: u64,
    /// Of packs that no other backup needs: what is free once this one is deleted.
    pub unique_bytes: u64,
    pub shared_bytes: u64,
    /// What it added when it was made.
    pub new_bytes: u64,
}

/// How a database and its backups grow, by the newest complete backups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    pub backups: u64,
    /// From the first of them to the last.
    pub days: f64,
    /// Of the rows: the median of the slopes between any two backups, so that one odd backup does not matter.
    pub plaintext_bytes_per_day: f64,
    /// What the backups after the first added.
    pub new_bytes_per_day: f64,
    /// The rows a month (30 days) after the last backup, if it goes on like this.
    pub plaintext_bytes_in_30_days: u64,
}

/// Computes it all. The order of `backups` does not matter.
pub fn stats(mut backups: Vec<Stored>) -> Stats {
    backups.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let packs = needed_by(&backups);
    let spaces: Vec<BackupSpace> = backups.iter().map(|backup| space_of(backup, &packs)).collect();
    let total = Total {
        backups: backups.len() as u64,
        plaintext_bytes: spaces.iter().map(|space| space.plaintext_bytes).sum(),
        referenced_bytes: spaces.iter().map(|space| space.stored_bytes).sum(),
        stored_bytes: packs.values().map(|pack| pack.size_bytes).sum(),
        compression_ratio: None,
        dedup_ratio: None,
    };
    let total = Total {
        compression_ratio: ratio(total.plaintext_bytes, total.referenced_bytes),
        dedup_ratio: ratio(total.referenced_bytes, total.stored_bytes),
        ..total
    };
    Stats { total, tiers: tiers(&spaces, &packs), growth: growth(&backups), backups: spaces }
}

/// Who needs a pack.
struct Needed<'a> {
    size_bytes: u64,
    backups: u64,
    tiers: Vec<&'a str>,
}

type Packs<'a> = HashMap<crate::model::PackId, Needed<'a>>;

fn needed_by(backups: &[Stored]) -> Packs<'_> {
    let mut packs = Packs::new();
    for backup in backups {
        let tier = tier_text(&backup.id);
        for entry in &backup.packs {
            let empty = || Needed { size_bytes: entry.size_bytes, backups: 0, tiers: Vec::new() };
            let needed = packs.entry(entry.pack).or_insert_with(empty);
            needed.backups += 1;
            if !needed.tiers.contains(&tier) {
                needed.tiers.push(tier);
            }
        }
    }
    packs
}

/// `{time}-{tier}-{random}`.
fn tier_text(id: &BackupId) -> &str {
    let text = id.as_str();
    let from = text.find('-').map_or(0, |dash| dash + 1);
    &text[from..text.rfind('-').unwrap_or(text.len())]
}

fn space_of(backup: &Stored, packs: &Packs<'_>) -> BackupSpace {
    let stored_bytes = backup.packs.iter().map(|entry| entry.size_bytes).sum();
    let is_unique = |entry: &&PackEntry| packs.get(&entry.pack).is_some_and(|needed| needed.backups == 1);
    let unique_bytes = backup.packs.iter().filter(is_unique).map(|entry| entry.size_bytes).sum();
    BackupSpace {
        tier: backup.id.tier(),
        id: backup.id.clone(),
        created_at: backup.at,
        plaintext_bytes: backup.plaintext_bytes,
        stored_bytes,
        unique_bytes,
        shared_bytes: stored_bytes - unique_bytes,
        new_bytes: backup.new_bytes,
    }
}

fn tiers(spaces: &[BackupSpace], packs: &Packs<'_>) -> Vec<TierSpace> {
    let mut tiers: BTreeMap<&Tier, TierSpace> = BTreeMap::new();
    for BackupSpace { tier, plaintext_bytes, .. } in spaces {
        let empty = || TierSpace {
            tier: tier.clone(),
            backups: 0,
            plaintext_bytes: 0,
            stored_bytes: 0,
            unique_bytes: 0,
            shared_bytes: 0,
        };
        let space = tiers.entry(tier).or_insert_with(empty);
        space.backups += 1;
        space.plaintext_bytes += plaintext_bytes;
    }
    for needed in packs.values() {
        for space in tiers.values_mut().filter(|space| needed.tiers.contains(&space.tier.as_str())) {
            space.stored_bytes += needed.size_bytes;
            match needed.tiers.len() {
                1 => space.unique_bytes += needed.size_bytes,
                _ => space.shared_bytes += needed.size_bytes,
            }
        }
    }
    tiers.into_values().collect()
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// `newest_first` holds backups of parts of the database, too.
fn growth(newest_first: &[Stored]) -> Option<Growth> {
    let complete: Vec<&Stored> = newest_first.iter().filter(|backup| backup.is_complete).take(GROWTH_BACKUPS).collect();
    let (last, first) = (complete.first()?, complete.last()?);
    let days = days_between(first, last);
    if days < 1.0 {
        return None;
    }
    let pairs =
        complete.iter().enumerate().flat_map(|(at, later)| complete[at + 1..].iter().map(move |e| (*e, *later)));
    let slope = |(earlier, later): (&Stored, &Stored)| {
        let days = days_between(earlier, later);
        (days > 0.0).then(|| (later.plaintext_bytes as f64 - earlier.plaintext_bytes as f64) / days)
    };
    let per_day = median(pairs.filter_map(slope).collect())?;
    let added: u64 = complete[..complete.len() - 1].iter().map(|backup| backup.new_bytes).sum();
    Some(Growth {
        backups: complete.len() as u64,
        days,
        plaintext_bytes_per_day: per_day,
        new_bytes_per_day: added as f64 / days,
        plaintext_bytes_in_30_days: (last.plaintext_bytes as f64 + 30.0 * per_day).max(0.0) as u64,
    })
}

fn days_between(earlier: &Stored, later: &Stored) -> f64 {
    later.at.duration_since(earlier.at).as_secs_f64() / SECONDS_PER_DAY
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{PackId, PackOrigin};

    /// A pack's size follows from its name.
    fn entry(pack: u8) -> PackEntry {
        PackEntry { pack: PackId([pack; 32]), size_bytes: u64::from(pack) + 1, origin: PackOrigin::New }
    }

    fn stored(day: u32, tier: &str, plaintext_bytes: u64, packs: &[u8]) -> Stored {
        let at: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
        let at = at + jiff::SignedDuration::from_hours(24 * i64::from(day));
        let packs: Vec<PackEntry> = packs.iter().map(|pack| entry(*pack)).collect();
        let new_bytes = packs.iter().map(|entry| entry.size_bytes).sum();
        Stored {
            id: BackupId::new(at, &tier.parse().unwrap()),
            at,
            plaintext_bytes,
            is_complete: true,
            packs,
            pack_list: entry(0),
            new_bytes,
        }
    }

    #[test]
    fn what_is_shared_is_counted_once_and_nobody_is_told_that_it_would_be_freed() {
        let backups =
            vec![stored(0, "daily", 100, &[9, 19]), stored(1, "daily", 110, &[9, 29]), stored(2, "weekly", 120, &[9])];
        let stats = stats(backups);
        assert_eq!((stats.total.stored_bytes, stats.total.referenced_bytes), (60, 80));
        assert_eq!(stats.total.plaintext_bytes, 330);
        assert_eq!(
            stats.backups.iter().map(|b| (b.unique_bytes, b.shared_bytes)).collect::<Vec<_>>(),
            [(0, 10), (30, 10), (20, 10)]
        );
        let tiers: Vec<_> = stats
            .tiers
            .iter()
            .map(|t| (t.tier.as_str(), t.backups, t.stored_bytes, t.unique_bytes, t.shared_bytes))
            .collect();
        assert_eq!(tiers, [("daily", 2, 60, 50, 10), ("weekly", 1, 10, 0, 10)]);
    }

    #[test]
    fn growth_is_not_moved_by_one_odd_backup() {
        let sizes = [1000, 1010, 1020, 5, 1040, 1050, 1060, 1070];
        let mut backups: Vec<Stored> = (0..).zip(sizes).map(|(day, size)| stored(day, "daily", size, &[99])).collect();
        let growth = stats(backups.clone()).growth.unwrap();
        assert!((growth.plaintext_bytes_per_day - 10.0).abs() < 1e-9, "{growth:?}");
        assert_eq!((growth.backups, growth.plaintext_bytes_in_30_days), (8, 1370));
        assert!((growth.days - 7.0).abs() < 1e-9 && (growth.new_bytes_per_day - 100.0).abs() < 1e-9, "{growth:?}");
        // A part of the database is no measure.
        backups.push(Stored { is_complete: false, ..stored(9, "manual", 1, &[1]) });
        assert_eq!(stats(backups).growth.unwrap(), growth);
    }

    #[test]
    fn without_two_moments_there_is_no_growth_and_without_packs_no_ratio() {
        assert_eq!(stats(Vec::new()).growth, None);
        let lone = stats(vec![stored(0, "daily", 0, &[])]);
        assert_eq!((lone.growth, lone.total.dedup_ratio, lone.total.compression_ratio), (None, None, None));
        let at_once = stats(vec![stored(0, "daily", 1, &[1]), stored(0, "manual", 2, &[1])]);
        assert_eq!(at_once.growth, None);
    }

    /// Backups of some days and tiers, with some of forty packs each.
    fn histories() -> impl Strategy<Value = Vec<Stored>> {
        let backup = (0u32..40, 0usize..3, any::<u32>(), prop::collection::btree_set(0u8..40, 0..12));
        prop::collection::vec(backup, 0..12).prop_map(|backups| {
            let made = |(day, tier, bytes, packs): (u32, usize, u32, BTreeSet<u8>)| {
                stored(day, ["daily", "weekly", "my-own"][tier], bytes.into(), &Vec::from_iter(packs))
            };
            backups.into_iter().map(made).collect()
        })
    }

    fn union(backups: &[Stored]) -> u64 {
        let packs: BTreeSet<PackEntry> = backups.iter().flat_map(|backup| backup.packs.clone()).collect();
        packs.iter().map(|entry| entry.size_bytes).sum()
    }

    proptest! {
        #[test]
        fn deleting_a_backup_or_a_tier_frees_what_was_said(backups in histories()) {
            let all = stats(backups.clone());
            prop_assert_eq!(all.total.stored_bytes, union(&backups));
            for space in &all.backups {
                prop_assert_eq!(space.unique_bytes + space.shared_bytes, space.stored_bytes);
                let rest: Vec<Stored> = backups.iter().filter(|backup| backup.id != space.id).cloned().collect();
                prop_assert_eq!(all.total.stored_bytes - space.unique_bytes, union(&rest));
            }
            for space in &all.tiers {
                let rest: Vec<Stored> = backups.iter().filter(|backup| backup.id.tier() != space.tier).cloned().collect();
                prop_assert_eq!(all.total.stored_bytes - space.unique_bytes, union(&rest));
                prop_assert_eq!(space.unique_bytes + space.shared_bytes, space.stored_bytes);
            }
            prop_assert!(all.total.stored_bytes <= all.total.referenced_bytes);
        }

        #[test]
        fn the_order_does_not_matter(backups in histories()) {
            let mut turned = backups.clone();
            turned.reverse();
            prop_assert_eq!(stats(backups), stats(turned));
        }
    }
}
