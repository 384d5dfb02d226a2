//! What the backups of a database cost: everything that the store has of it, by what it is for.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::cleanup::facts::facts;
use super::stats::stored_backups;
use crate::error::Result;
use crate::model::{BackupId, DatabaseName, Finding};
use crate::plan::cost::{Cost, Inventory, ObjectSize, Prices, cost as cost_of};
use crate::plan::retention::{Policy, retention_plan};
use crate::plan::stats::Stored;
use crate::vault::{DatabaseVault, Vault};

/// Objects asked for at once.
const PAGE: usize = 1000;

/// As `cost --json` shows it, for one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseCost {
    pub database: DatabaseName,
    #[serde(flatten)]
    pub cost: Cost,
    /// The same backups under another policy; `null` when nobody asked.
    pub what_if: Option<WhatIf>,
    /// Backups that are not counted, because they cannot be read or believed: what they need is counted as needed by none.
    pub problems: Vec<Finding>,
}

/// What would stay, and cost, once a policy had been applied and its grace time was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhatIf {
    pub policy: String,
    pub backups: u64,
    pub expired: u64,
    #[serde(flatten)]
    pub cost: Cost,
}

/// A policy to try, with the name to show for it.
#[derive(Debug, Clone)]
pub struct Trial {
    pub name: String,
    pub policy: Policy,
    pub zone: TimeZone,
}

/// The cost of one database, or of every one, each by itself: databases share nothing.
///
/// Errors: `NotFound` for a database that the vault does not have; `Verification` for damaged tombstones, and with a `trial`
/// for any record of the database that cannot be believed; `Vault`. A damaged backup is a problem in the answer.
pub async fn cost(
    vault: &Arc<Vault>,
    database: Option<&DatabaseName>,
    prices: &Prices,
    trial: Option<&Trial>,
) -> Result<Vec<DatabaseCost>> {
    let mut all = Vec::new();
    for name in vault.databases_or(database).await? {
        all.push(cost_of_database(&vault.database(&name).await?, prices, trial).await?);
    }
    Ok(all)
}

async fn cost_of_database(db: &DatabaseVault, prices: &Prices, trial: Option<&Trial>) -> Result<DatabaseCost> {
    let (backups, problems) = stored_backups(db).await?;
    let inventory = inventory(db).await?;
    let all: Vec<&Stored> = backups.iter().collect();
    let what_if = match trial {
        Some(trial) => Some(what_if(db, &backups, inventory.clone(), prices, trial).await?),
        None => None,
    };
    Ok(DatabaseCost { database: db.name.clone(), cost: cost_of(&all, &inventory, prices), what_if, problems })
}

/// As if `trial` had been applied to the backups that are there, and what it lets go were swept.
async fn what_if(
    db: &DatabaseVault,
    backups: &[Stored],
    mut inventory: Inventory,
    prices: &Prices,
    trial: &Trial,
) -> Result<WhatIf> {
    let now = db.vault.now().await?;
    let plan = retention_plan(&facts(db).await?.candidates, &trial.policy, now, &trial.zone);
    let kept: BTreeSet<&BackupId> = plan.kept().map(|decision| &decision.backup).collect();
    let kept: Vec<&Stored> = backups.iter().filter(|backup| kept.contains(&backup.id)).collect();
    let needed: BTreeSet<_> = kept.iter().flat_map(|backup| backup.all_packs()).map(|entry| entry.pack).collect();
    inventory.packs.retain(|pack, _| needed.contains(pack));
    Ok(WhatIf {
        policy: trial.name.clone(),
        backups: kept.len() as u64,
        expired: (backups.len() - kept.len()) as u64,
        cost: cost_of(&kept, &inventory, prices),
    })
}

/// All objects in the database's folder, page by page.
async fn inventory(db: &DatabaseVault) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    let mut after: Option<String> = None;
    loop {
        let page = db.store().list_page(db.layout.root(), after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        for object in &page {
            let size = ObjectSize { class: object.storage_class, bytes: object.size_bytes };
            match db.layout.pack_of_key(&object.key) {
                Some(pack) => inventory.packs.entry(pack).or_default().push(size),
                None => inventory.records.push(size),
            }
        }
        if is_last {
            return Ok(inventory);
        }
        after = page.into_iter().next_back().map(|object| object.key);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Depth, Shelf};
    use crate::ops::fixture::{self, Backup};
    use crate::plan::cost::{ClassPrice, Price};
    use crate::plan::retention::TierRules;
    use crate::store::StorageClass;
    use crate::vault::pack::pack_id;

    /// One unit for a GiB in a folder.
    fn prices() -> Prices {
        let local = ClassPrice { storage: Price::billionths(1_000_000_000), ..ClassPrice::default() };
        Prices { classes: [(StorageClass::Local, local)].into(), ..Prices::default() }
    }

    #[tokio::test]
    async fn everything_in_the_folder_is_counted_once_and_another_policy_is_tried_on_it() {
        let (vault, db) = fixture::database("shop").await;
        let packs: Vec<_> = (0..4u8).map(|n| Bytes::from(vec![n; 1000])).collect();
        for pack in &packs {
            db.put_pack(pack_id(pack), pack.clone()).await.unwrap();
        }
        let sized = |backup: Backup, of: &[usize]| {
            of.iter().fold(backup, |backup, at| backup.sized_pack(pack_id(&packs[*at]), 1000))
        };
        let mut unlisted_bytes = 1000;
        for (day, of) in [("20", [0, 1]), ("21", [0, 2])] {
            let backup = Backup::new(&format!("2026-11-{day}T02:00:00Z"), "daily");
            let id = sized(backup, &of).publish(&db).await;
            // The fixtures' catalogues are on no list.
            let catalogue = db.manifest(&id).await.unwrap().catalogue.pack;
            unlisted_bytes += db.pack_head(&Shelf::Pool, &catalogue).await.unwrap().info.size_bytes;
            db.write_verdict(&fixture::verdict(&db, &id, Depth::Full)).await.unwrap();
        }
        let keep_one = Policy {
            tiers: [(
                "daily".parse().unwrap(),
                TierRules { keep_last: 1, keep_at_least: std::num::NonZeroU32::MIN, ..TierRules::NONE },
            )]
            .into(),
            ..Policy::default()
        };
        let trial = Trial { name: "one".to_owned(), policy: keep_one, zone: TimeZone::UTC };
        let all = cost(&vault, None, &prices(), Some(&trial)).await.unwrap();
        let [found] = all.as_slice() else { panic!("{all:?}") };
        let stored = crate::store::list_all(db.store(), db.layout.root()).await.unwrap();
        let bytes = stored.iter().map(|object| object.size_bytes).sum::<u64>();
        assert_eq!((found.cost.total.objects, found.cost.total.stored_bytes), (stored.len() as u64, bytes));
        assert_eq!((found.cost.unneeded.objects, found.cost.unneeded.stored_bytes), (3, unlisted_bytes));
        assert_eq!(found.cost.tiers[0].backups, 2);

        let what_if = found.what_if.as_ref().unwrap();
        assert_eq!((what_if.backups, what_if.expired), (1, 1));
        assert_eq!(what_if.cost.unneeded.objects, 0);
        let list = db.manifest(&what_if.cost.restore.as_ref().unwrap().backup).await.unwrap().pack_list_bytes;
        assert_eq!(what_if.cost.tiers[0].stored_bytes, 2000 + list);
        assert!(what_if.cost.total.monthly < found.cost.total.monthly);
    }
}
