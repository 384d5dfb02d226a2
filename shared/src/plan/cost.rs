//! What a database's backups cost, by prices that somebody else sets. Values in, values out.
//!
//! Every object of the database is in exactly one line of each of the two partitions: by storage class, and by what it is
//! for (a tier's backups, records, what no backup needs any more). Both add up to the total exactly, as amounts are whole
//! numbers of a unit small enough for one byte.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::stats::Stored;
use crate::error::{Error, Result};
use crate::model::{BackupId, PackId, Tier};
use crate::store::{StorageClass, ThawTier};

/// What prices are for: AWS says GB and counts these.
const GIB: u128 = 1 << 30;
/// Units of an [`Amount`] in one of the currency: billionths of it, by the bytes of a GiB.
const ONE: u128 = 1_000_000_000 * GIB;
/// What one request reads of an object when a backup is restored.
const REQUEST_BYTES: u64 = 16 << 20;
/// Objects of some classes are billed as if they had at least so many bytes.
const LEAST_BYTES: u64 = 128 << 10;
/// What S3 keeps beside each frozen object: so much at the price of its class, and so much at the standard one.
const FROZEN_EXTRA_BYTES: u64 = 32 << 10;
const FROZEN_NAME_BYTES: u64 = 8 << 10;

/// An amount of money, exact to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(u128);

impl Amount {
    pub(super) fn of(price: Price, bytes: u64) -> Self {
        Self(u128::from(price.0) * u128::from(bytes))
    }

    pub(super) fn of_requests(price_per_1000: Price, requests: u64) -> Self {
        Self(u128::from(price_per_1000.0) * u128::from(requests) * GIB / 1000)
    }

    pub fn times(self, many: u32) -> Self {
        Self(self.0.saturating_mul(u128::from(many)))
    }

    /// In the currency, for arithmetic that need not be exact.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// To the millionth.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.as_f64() * 1e6).round() / 1e6)
    }
}

/// Two decimals, or for what is less than one of them six.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.as_f64();
        match amount {
            0.0 => f.pad("0.00"),
            0.01.. => f.pad(&format!("{amount:.2}")),
            0.000_001.. => f.pad(&format!("{amount:.6}")),
            _ => f.pad("< 0.000001"),
        }
    }
}

/// A price in billionths of the currency: per GiB, GiB and month, or thousand requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Price(u64);

impl Price {
    pub const fn billionths(billionths: u64) -> Self {
        Self(billionths)
    }
}

/// A decimal number: `0.023`. Errors: `Usage` for anything else, more than nine decimals, or more than a million.
impl FromStr for Price {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let price = || {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
                return None;
            }
            let whole: u64 = whole.parse().ok().filter(|whole| *whole <= 1_000_000)?;
            let fraction = fraction.parse::<u64>().ok()? * 10u64.pow(9 - fraction.len() as u32);
            Some(Self(whole * 1_000_000_000 + fraction))
        };
        price().ok_or_else(|| Error::usage("it is not a price").hint("write a decimal number, such as 0.023"))
    }
}

/// What a storage class costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassPrice {
    /// Per GiB and month.
    pub storage: Price,
    /// Per GiB that is read, or thawed at the usual speed.
    pub retrieval: Price,
    /// Per 1,000 reading requests.
    pub requests: Price,
}

/// What thawing at one speed costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThawPrice {
    /// Per GiB. Of the usual speed the class's own [`ClassPrice::retrieval`] counts.
    pub retrieval: Price,
    /// Per 1,000 objects.
    pub requests: Price,
}

/// What everything costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// As it is printed.
    pub currency: String,
    pub classes: BTreeMap<StorageClass, ClassPrice>,
    pub thaws: BTreeMap<(StorageClass, ThawTier), ThawPrice>,
    /// Per GiB that leaves the region of the store.
    pub transfer: Price,
}

/// S3's list prices in us-east-1, as they were in the middle of 2025: estimates, for who has not set their own.
impl Default for Prices {
    fn default() -> Self {
        let class = |storage, retrieval, requests| ClassPrice {
            storage: Price(storage),
            retrieval: Price(retrieval),
            requests: Price(requests),
        };
        let standard = class(23_000_000, 0, 400_000);
        let classes = [
            (StorageClass::Local, ClassPrice::default()),
            (StorageClass::Standard, standard),
            (StorageClass::IntelligentTiering, standard),
            (StorageClass::StandardIa, class(12_500_000, 10_000_000, 1_000_000)),
            (StorageClass::OnezoneIa, class(10_000_000, 10_000_000, 1_000_000)),
            (StorageClass::GlacierIr, class(4_000_000, 30_000_000, 10_000_000)),
            (StorageClass::Glacier, class(3_600_000, 10_000_000, 400_000)),
            (StorageClass::DeepArchive, class(990_000, 20_000_000, 400_000)),
            (StorageClass::Other, standard),
        ];
        let thaw = |retrieval, requests| ThawPrice { retrieval: Price(retrieval), requests: Price(requests) };
        let thaws = [
            ((StorageClass::Glacier, ThawTier::Expedited), thaw(30_000_000, 10_000_000_000)),
            ((StorageClass::Glacier, ThawTier::Standard), thaw(10_000_000, 50_000_000)),
            ((StorageClass::Glacier, ThawTier::Bulk), thaw(0, 0)),
            ((StorageClass::DeepArchive, ThawTier::Standard), thaw(20_000_000, 100_000_000)),
            ((StorageClass::DeepArchive, ThawTier::Bulk), thaw(2_500_000, 25_000_000)),
        ];
        Self { currency: "USD".to_owned(), classes: classes.into(), thaws: thaws.into(), transfer: Price(90_000_000) }
    }
}

impl Prices {
    fn class(&self, class: StorageClass) -> ClassPrice {
        self.classes.get(&class).copied().unwrap_or_default()
    }

    pub(super) fn thaw(&self, class: StorageClass, tier: ThawTier) -> ThawPrice {
        let price = self.thaws.get(&(class, tier)).copied().unwrap_or_default();
        match tier {
            ThawTier::Standard => ThawPrice { retrieval: self.class(class).retrieval, ..price },
            ThawTier::Expedited | ThawTier::Bulk => price,
        }
    }

    /// Thawed copies are kept beside the frozen objects, at the standard price.
    pub(super) fn thawed_copy(&self, bytes: u64, days: u32) -> Amount {
        let month = Amount::of(self.class(StorageClass::Standard).storage, bytes);
        Amount(month.0.saturating_mul(u128::from(days)) / 30)
    }

    /// A month of one object.
    fn month(&self, object: ObjectSize) -> Amount {
        let ObjectSize { class, bytes } = object;
        let price = self.class(class).storage;
        match class {
            StorageClass::StandardIa | StorageClass::OnezoneIa | StorageClass::GlacierIr => {
                Amount::of(price, bytes.max(LEAST_BYTES))
            }
            StorageClass::Glacier | StorageClass::DeepArchive => {
                let name = Amount::of(self.class(StorageClass::Standard).storage, FROZEN_NAME_BYTES);
                Amount::of(price, bytes.saturating_add(FROZEN_EXTRA_BYTES)) + name
            }
            _ => Amount::of(price, bytes),
        }
    }
}

/// An object as the store lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectSize {
    pub class: StorageClass,
    pub bytes: u64,
}

/// Some objects and what a month of them costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Part {
    pub objects: u64,
    pub stored_bytes: u64,
    pub monthly: Amount,
}

impl Part {
    fn add(&mut self, object: ObjectSize, prices: &Prices) {
        self.objects += 1;
        self.stored_bytes += object.bytes;
        self.monthly += prices.month(object);
    }
}

/// Everything the store has of a database.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Usually one object for each pack; a copy may have brought it once more under another name.
    pub packs: HashMap<PackId, Vec<ObjectSize>>,
    /// Manifests, verdicts, holds, tombstones, keys.
    pub records: Vec<ObjectSize>,
}

/// What the backups of a database cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    pub currency: String,
    pub total: Part,
    pub yearly: Amount,
    /// What is stored as what; adds up to the total.
    pub classes: Vec<ClassCost>,
    /// By name. With the next two they add up to the total.
    pub tiers: Vec<TierCost>,
    pub records: Part,
    /// Packs that no backup needs: deleted ones' in their grace time, and what jobs that failed left.
    pub unneeded: Part,
    /// Of the newest complete backup; `null` when there is none.
    pub restore: Option<RestoreCost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCost {
    pub class: StorageClass,
    #[serde(flatten)]
    pub part: Part,
}

/// A tier's backups. What several need is split evenly between all backups that need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierCost {
    pub tier: Tier,
    pub backups: u64,
    /// Packs of its backups, each once.
    pub stored_bytes: u64,
    pub monthly: Amount,
}

/// What it costs to read one backup once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreCost {
    pub backup: BackupId,
    pub read_bytes: u64,
    pub frozen_bytes: u64,
    /// Into the store's own region: requests and retrieval.
    pub same_region: Amount,
    /// And anywhere else: the transfer, too.
    pub elsewhere: Amount,
}

/// Adds it all up.
pub fn cost(backups: &[&Stored], inventory: &Inventory, prices: &Prices) -> Cost {
    let mut tiers: BTreeMap<Tier, TierCost> = BTreeMap::new();
    let mut needed: HashMap<PackId, BTreeMap<Tier, u64>> = HashMap::new();
    for backup in backups {
        let tier = backup.id.tier();
        let empty = || TierCost { tier: tier.clone(), backups: 0, stored_bytes: 0, monthly: Amount::default() };
        tiers.entry(tier.clone()).or_insert_with(empty).backups += 1;
        for pack in backup.all_packs() {
            *needed.entry(pack.pack).or_default().entry(tier.clone()).or_default() += 1;
        }
    }
    let mut classes: BTreeMap<StorageClass, Part> = BTreeMap::new();
    let (mut total, mut records, mut unneeded) = (Part::default(), Part::default(), Part::default());
    let mut count = |object: ObjectSize| {
        total.add(object, prices);
        classes.entry(object.class).or_default().add(object, prices);
    };
    for object in &inventory.records {
        count(*object);
        records.add(*object, prices);
    }
    for (pack, objects) in &inventory.packs {
        objects.iter().copied().for_each(&mut count);
        match needed.get(pack) {
            None => objects.iter().for_each(|object| unneeded.add(*object, prices)),
            Some(by_tier) => share(objects, by_tier, prices, &mut tiers),
        }
    }
    Cost {
        currency: prices.currency.clone(),
        yearly: total.monthly.times(12),
        total,
        classes: classes.into_iter().map(|(class, part)| ClassCost { class, part }).collect(),
        tiers: tiers.into_values().collect(),
        records,
        unneeded,
        restore: newest(backups).map(|backup| restore(backup, inventory, prices)),
    }
}

/// Splits what a pack costs between the tiers that need it, by the number of their backups that do. Of what cannot be
/// divided the first tier gets the rest.
fn share(objects: &[ObjectSize], by_tier: &BTreeMap<Tier, u64>, prices: &Prices, tiers: &mut BTreeMap<Tier, TierCost>) {
    let bytes: u64 = objects.iter().map(|object| object.bytes).sum();
    let monthly: Amount = objects.iter().map(|object| prices.month(*object)).sum();
    let backups: u128 = by_tier.values().map(|backups| u128::from(*backups)).sum();
    let mut rest = monthly.0 % backups;
    for (tier, of_tier) in by_tier {
        if let Some(cost) = tiers.get_mut(tier) {
            cost.stored_bytes += bytes;
            cost.monthly += Amount(monthly.0 / backups * u128::from(*of_tier) + std::mem::take(&mut rest));
        }
    }
}

fn newest<'a>(backups: &[&'a Stored]) -> Option<&'a Stored> {
    backups.iter().copied().filter(|backup| backup.is_complete).max_by_key(|backup| (backup.at, &backup.id))
}

fn restore(backup: &Stored, inventory: &Inventory, prices: &Prices) -> RestoreCost {
    let mut cost = RestoreCost {
        backup: backup.id.clone(),
        read_bytes: 0,
        frozen_bytes: 0,
        same_region: Amount::default(),
        elsewhere: Amount::default(),
    };
    let objects = backup.all_packs().filter_map(|pack| inventory.packs.get(&pack.pack)?.first());
    for ObjectSize { class, bytes } in objects {
        let price = prices.class(*class);
        cost.read_bytes += bytes;
        cost.frozen_bytes += if class.is_frozen() { *bytes } else { 0 };
        let requests = Amount::of_requests(price.requests, bytes.div_ceil(REQUEST_BYTES).max(1));
        cost.same_region += Amount::of(price.retrieval, *bytes) + requests;
        cost.elsewhere += Amount::of(prices.transfer, *bytes);
    }
    cost.elsewhere += cost.same_region;
    cost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PackEntry, PackOrigin};
    use proptest::prelude::*;

    const GB: u64 = 1 << 30;

    fn pack(n: u8) -> PackId {
        PackId([n; 32])
    }

    fn entry(n: u8) -> PackEntry {
        PackEntry { pack: pack(n), size_bytes: 1, origin: PackOrigin::New }
    }

    fn stored(second: i64, tier: &str, packs: &[u8], list: u8) -> Stored {
        let at = jiff::Timestamp::from_second(1_800_000_000 + second).unwrap();
        Stored {
            id: BackupId::new(at, &tier.parse().unwrap()),
            at,
            plaintext_bytes: 1,
            is_complete: true,
            packs: packs.iter().map(|n| entry(*n)).collect(),
            pack_list: entry(list),
            new_bytes: 1,
        }
    }

    fn inventory(packs: &[(u8, StorageClass, u64)], records: &[u64]) -> Inventory {
        let mut inventory = Inventory::default();
        for (n, class, bytes) in packs {
            let size = ObjectSize { class: *class, bytes: *bytes };
            inventory.packs.entry(pack(*n)).or_default().push(size);
        }
        let record = |bytes: &u64| ObjectSize { class: StorageClass::Standard, bytes: *bytes };
        inventory.records = records.iter().map(record).collect();
        inventory
    }

    fn tier<'a>(cost: &'a Cost, name: &str) -> &'a TierCost {
        cost.tiers.iter().find(|tier| tier.tier.as_str() == name).unwrap()
    }

    #[test]
    fn what_backups_share_is_split_between_them_and_what_none_needs_has_its_own_line() {
        use StorageClass::Standard;
        let all = [(1, Standard, 100 * GB), (2, Standard, 10 * GB), (9, Standard, GB), (8, Standard, 0)];
        let inventory = inventory(&all, &[0]);
        let (daily, again) = (stored(1, "daily", &[1], 8), stored(2, "daily", &[1, 2], 8));
        let weekly = stored(3, "weekly", &[1], 8);
        let cost = cost(&[&daily, &again, &weekly], &inventory, &Prices::default());
        // 0.023 a GB: two thirds of 2.30, and 0.23; a third.
        assert_eq!(tier(&cost, "daily").monthly.to_string(), "1.76");
        assert_eq!(tier(&cost, "weekly").monthly.to_string(), "0.77");
        assert_eq!((tier(&cost, "daily").backups, tier(&cost, "daily").stored_bytes), (2, 110 * GB));
        assert_eq!(cost.unneeded, Part { objects: 1, stored_bytes: GB, monthly: Amount::of(Price(23_000_000), GB) });
        assert_eq!((cost.total.monthly.to_string(), cost.yearly.to_string()), ("2.55".into(), "30.64".into()));
        assert_eq!(serde_json::to_value(&cost).unwrap()["total"]["monthly"], 2.553);
        let restore = cost.restore.unwrap();
        assert_eq!((restore.backup, restore.read_bytes, restore.frozen_bytes), (weekly.id, 100 * GB, 0));
        assert_eq!(restore.elsewhere.to_string(), "9.00", "0.09 a GB");
        assert_eq!(restore.same_region.to_string(), "0.002560", "6,400 requests, and one for the list");
    }

    #[test]
    fn small_and_frozen_objects_cost_what_s3_bills_for_them() {
        let prices = Prices::default();
        let month = |class, bytes| prices.month(ObjectSize { class, bytes });
        assert_eq!(month(StorageClass::StandardIa, 1), month(StorageClass::StandardIa, 128 << 10));
        assert!(month(StorageClass::StandardIa, (128 << 10) + 1) > month(StorageClass::StandardIa, 1));
        let beside = Amount::of(Price(3_600_000), 32 << 10) + Amount::of(Price(23_000_000), 8 << 10);
        assert_eq!(month(StorageClass::Glacier, 0), beside);
        assert_eq!(month(StorageClass::Local, GB), Amount::default());
        let frozen = inventory(&[(1, StorageClass::DeepArchive, GB)], &[]);
        let backup = stored(1, "monthly", &[1], 7);
        assert_eq!(cost(&[&backup], &frozen, &prices).restore.unwrap().frozen_bytes, GB);
    }

    #[test]
    fn prices_are_decimal_numbers() {
        let read = |text: &str| text.parse::<Price>().ok();
        assert_eq!(read("0.023"), Some(Price(23_000_000)));
        assert_eq!(read("1"), Some(Price(1_000_000_000)));
        assert_eq!(read("0.000000001"), Some(Price(1)));
        for bad in ["", ".", ".1", "1.", "-1", "+1", "1e3", "nan", "inf", "0.0000000001", "1000001", "1,5", " 1"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    fn class() -> impl Strategy<Value = StorageClass> {
        prop::sample::select(StorageClass::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn both_partitions_add_up_to_the_total_and_more_bytes_never_cost_less(
            packs in prop::collection::vec((0..12u8, class(), 0..u64::MAX >> 8), 0..20),
            records in prop::collection::vec(0..1u64 << 40, 0..5),
            backups in prop::collection::vec((0..4usize, prop::collection::vec(0..12u8, 0..6), 0..12u8), 0..9),
            storage in 0..5_000_000_000u64,
            more in 0..1u64 << 40,
        ) {
            let mut prices = Prices::default();
            prices.classes.entry(StorageClass::Glacier).or_default().storage = Price(storage);
            let inventory = inventory(&packs, &records);
            let tiers = ["hourly", "daily", "weekly", "monthly"];
            let backups: Vec<Stored> = (0..).zip(&backups)
                .map(|(second, (tier, packs, list))| stored(second, tiers[*tier], packs, *list))
                .collect();
            let backups: Vec<&Stored> = backups.iter().collect();
            let found = cost(&backups, &inventory, &prices);
            let by_class: Amount = found.classes.iter().map(|class| class.part.monthly).sum();
            let by_use: Amount = found.tiers.iter().map(|tier| tier.monthly).sum();
            prop_assert_eq!(by_class, found.total.monthly);
            prop_assert_eq!(by_use + found.records.monthly + found.unneeded.monthly, found.total.monthly);
            prop_assert_eq!(found.total.objects, (packs.len() + records.len()) as u64);
            prop_assert_eq!(found.restore.is_some(), !backups.is_empty());

            let mut larger = inventory.clone();
            larger.records.iter_mut().for_each(|record| record.bytes += more);
            prop_assert!(cost(&backups, &larger, &prices).total.monthly >= found.total.monthly);
            let free = Prices { classes: BTreeMap::new(), transfer: Price(0), ..prices };
            let nothing = cost(&backups, &inventory, &free);
            prop_assert_eq!((nothing.total.monthly, nothing.yearly), (Amount::default(), Amount::default()));
            prop_assert!(nothing.restore.is_none_or(|restore| restore.elsewhere == Amount::default()));
        }

        #[test]
        fn any_text_is_a_price_or_refused_without_panic(text in "\\PC{0,20}") {
            let _ = text.parse::<Price>();
        }
    }
}
