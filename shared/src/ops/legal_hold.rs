//! Legal holds of the store: while one is on an object, nobody can delete its bytes, whatever his rights. Our own holds bind
//! Lifeboat; these bind everybody. S3 has them in buckets with Object Lock; elsewhere nothing is done here.
//!
//! They are on everything that a held backup needs: its manifest, its pack list and its packs, shared or not. Taking them off
//! spares what another held backup needs. Whoever holds one backup while somebody releases another that shares packs with it may
//! lose the store's hold on those (never ours): to hold it again puts them back.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};

use super::holds::read_holds;
use crate::error::Result;
use crate::model::{BackupId, Manifest, PackId};
use crate::store;
use crate::vault::DatabaseVault;

const REQUESTS_AT_ONCE: usize = 16;

/// On all that the backup needs.
pub async fn put_on(db: &DatabaseVault, backup: &BackupId) -> Result<()> {
    if !db.store().legal_hold(&db.layout.manifest(backup), true).await? {
        return Ok(());
    }
    let manifest = db.manifest(backup).await?;
    let packs = needed(db, &manifest).await?;
    set(db, &manifest, &packs, true).await
}

/// Off all that this backup needs and no other one that is held without an end; nothing when it is still so held itself.
pub async fn take_off(db: &DatabaseVault, backup: &BackupId) -> Result<()> {
    let held = held_without_end(db).await?;
    if held.contains(backup) || !db.store().legal_hold(&db.layout.manifest(backup), false).await? {
        return Ok(());
    }
    let manifest = db.manifest(backup).await?;
    let mut packs = needed(db, &manifest).await?;
    for other in held {
        let spared = needed(db, &db.manifest(&other).await?).await?;
        packs.retain(|pack| !spared.contains(pack));
    }
    set(db, &manifest, &packs, false).await
}

async fn needed(db: &DatabaseVault, manifest: &Manifest) -> Result<HashSet<PackId>> {
    let list = db.pack_list(manifest).await?;
    Ok(manifest.needed_packs(&list).collect())
}

/// Published backups with a hold in force that has no end. One that cannot be read counts as such a hold.
async fn held_without_end(db: &DatabaseVault) -> Result<HashSet<BackupId>> {
    let published: HashSet<BackupId> = db.published().await?.into_iter().collect();
    let holds = read_holds(db, &db.layout.all_holds()).await?.into_iter();
    let lasting = holds.filter(|found| match &found.state {
        Ok(state) => !state.released && state.hold.until.is_none(),
        Err(_) => true,
    });
    Ok(lasting.filter_map(|found| found.backup).filter(|backup| published.contains(backup)).collect())
}

/// Under whichever names the packs are there.
async fn set(db: &DatabaseVault, manifest: &Manifest, packs: &HashSet<PackId>, is_held: bool) -> Result<()> {
    for shelf in manifest.shelves() {
        let objects = store::list_all(db.store(), &db.layout.shelf(&shelf)).await?;
        let is_needed = |key: &str| db.layout.pack_of_key(key).is_some_and(|pack| packs.contains(&pack));
        let set = async |key: String| db.store().legal_hold(&key, is_held).await.map(drop);
        let keys = objects.into_iter().map(|object| object.key).filter(|key| is_needed(key));
        stream::iter(keys).map(set).buffer_unordered(REQUESTS_AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}
