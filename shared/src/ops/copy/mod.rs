//! A copy of one backup, with what it needs and nothing else, in another place of the same vault: a folder beside the bucket,
//! say. The copy is a backup like any other: listed, verified and restored with the same master key.
//!
//! What is copied are bytes: the packs under their hashes, the manifest last. Verdicts and holds stay behind: verdicts speak of
//! the objects there, and what holds a backup there need not hold it here. The copy gets a verdict of its own.
//!
//! # Why no copy lacks anything
//!
//! The target may be in use: cleanups run in it, which may die, or sleep for days between two lines; so may copies. The sweep
//! deletes a pack that no manifest names and that was older than the grace time G when the sweep *began*; a sweep that made up
//! its mind may carry it out however late. For backups that is harmless, as no name of a pack ever comes back: every
//! piece is sealed anew, every pack list names its attempt. A copy brings packs that may have been there before. So:
//!
//! 1. **A time of its own.** A copy first takes a claim in the target, which says when it began, and until when it may publish:
//!    the vault's job limit, less than G/2. It publishes by then, or not at all; what comes late is withdrawn. (Claims are no
//!    locks: whoever starts soon after another goes on under the same claim, and both copy the same bytes to the same names.)
//! 2. **A pack that is there counts** only if a manifest names it that is live after the claim was taken: its backup cannot be
//!    condemned before G is over, and then our manifest is there. This is what backups rely on in their parents.
//! 3. **A pack that is not there, or that nobody names, is stored under a name of the claim**: `‹sha256›-‹claim's era›`. No
//!    such name was there before the claim, so no sweep can have made up its mind about it, and none that begins before the claim
//!    ends finds it old. One that begins later finds our manifest, if there is one.
//! 4. **What an unfinished copy left is used again** for the same reason, if it is of an era whose beginning is less than G before
//!    *our* deadline: no sweep finds it old before then.
//! 5. **A place that became a vault less than G before our deadline** is an era, too: nothing in it is old enough for any sweep yet.
//!    There packs get their plain names, so a copy into a new folder looks like any vault.
//! 6. **A manifest's name never comes back**, either: what was condemned here is refused for ever.
//!
//! [`crate::ops::cleanup`] walks through such days at random, with copies among the jobs.

mod era;
mod plan;
mod publish;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod walk;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::backup::guard::unless_stopped;
use super::holds::{self, Use};
use super::verify::verify;
use super::{Event, Progress, Run, VerifyReport, thaw};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, DatabaseName, Depth, Fate, Hold, Manifest, PackId, PackList, Shelf};
use crate::store;
use crate::vault::{DatabaseVault, Motive, TombstoneState};

use era::Ground;
use plan::{CopyPlan, Found, Needed, Wanted, copy_plan};
use publish::publish;

/// Packs under way at the same time, and the memory that they may take together.
const PACKS_AT_ONCE: usize = 8;
const BUDGET_MIB: u32 = 256;
const MIB: u64 = 1 << 20;
const READS_AT_ONCE: usize = 8;
const PAGE: usize = 1000;

/// How to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// How the copy is verified once it is there; [`Depth::Restore`] is no choice here.
    pub verify: Option<Depth>,
}

/// What a copy of one backup did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyReport {
    pub id: BackupId,
    pub database: DatabaseName,
    pub from: String,
    pub to: String,
    /// The whole backup was there before; it was only verified.
    pub was_there: bool,
    pub copied_packs: u64,
    pub copied_bytes: u64,
    /// Packs that the target had, of other backups or of an unfinished copy.
    pub present_packs: u64,
    pub present_bytes: u64,
    pub duration_ms: u64,
    /// `null` when no verification was asked for.
    pub verified: Option<VerifyReport>,
}

/// Copies one backup into `target`, a replica of the source's vault ([`DatabaseVault::open_replica`]). Run again after
/// whatever ended it, it copies what is missing.
///
/// Errors: `Conflict` for a backup that is on its way out in either place, or was deleted in the target; `Verification` when the
/// source is damaged, and then nothing is published; `Confirmation` when its rows are frozen; `OutOfTime`; `Vault`. A copy that does not pass its verification is no error
/// but a report that says so.
pub async fn copy(
    source: &DatabaseVault,
    target: &DatabaseVault,
    id: &BackupId,
    options: CopyOptions,
    run: &Run,
) -> Result<CopyReport> {
    let begun = Instant::now();
    require_two_places(source, target)?;
    step("manifest", run)?;
    let (manifest, bytes) = source.manifest_and_bytes(id).await?;
    require_staying(source, id).await?;
    require_welcome(target, id).await?;
    let was_there = target.has_published(id, &bytes).await?;
    let plan = match was_there {
        true => CopyPlan::default(),
        false => {
            thaw::require_readable(source, &manifest).await?;
            copy_in_time(source, target, &manifest, bytes, run).await?
        }
    };
    let verified = match options.verify {
        Some(depth) => Some(verify(target, id, depth, None, run).await?),
        None => None,
    };
    Ok(CopyReport {
        id: id.clone(),
        database: source.name.clone(),
        from: source.store().location(),
        to: target.store().location(),
        was_there,
        copied_packs: plan.wanted.len() as u64,
        copied_bytes: plan.wanted_bytes(),
        present_packs: plan.present_packs,
        present_bytes: plan.present_bytes,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        verified,
    })
}

fn step(name: &'static str, run: &Run) -> Result<()> {
    run.check(name)?;
    run.observer.on(&Event::Step { name });
    Ok(())
}

fn require_two_places(source: &DatabaseVault, target: &DatabaseVault) -> Result<()> {
    if source.vault.id() != target.vault.id() || source.name != target.name {
        return Err(Error::bug("a backup is copied between two places of one database"));
    }
    Ok(())
}

/// Refuses to copy what somebody deleted.
async fn require_staying(source: &DatabaseVault, id: &BackupId) -> Result<()> {
    match source.tombstones(id).await?.iter().any(|tombstone| tombstone.is_in_force()) {
        false => Ok(()),
        true => Err(Error::conflict(format!("{id} was deleted in {}", source.store().location()))
            .hint(format!("`lifeboat undelete {id}` calls it back, while its grace time lasts"))),
    }
}

async fn require_welcome(target: &DatabaseVault, id: &BackupId) -> Result<()> {
    let tombstones = target.tombstones(id).await?;
    let Some(last) = tombstones.iter().rfind(|tombstone| tombstone.is_in_force()) else { return Ok(()) };
    let place = target.store().location();
    Err(match last.state {
        TombstoneState::Decided(Fate::Condemned) => {
            Error::conflict(format!("{id} was deleted for good in {place}, and cannot come back there"))
                .hint("copy it to another place")
        }
        _ => Error::conflict(format!("{id} was deleted in {place}")).hint(format!(
            "it is there until its grace time is over: `lifeboat --vault {place} undelete {id}` calls it back"
        )),
    })
}

/// Everything between the claim and the manifest.
async fn copy_in_time(
    source: &DatabaseVault,
    target: &DatabaseVault,
    manifest: &Manifest,
    bytes: Bytes,
    run: &Run,
) -> Result<CopyPlan> {
    let ground = era::ground(target, &manifest.id, run).await?;
    let to = target.store().location();
    let hold = holds::hold_while(source, &manifest.id, (Use::Copied, &to), None, ground.deadline, run).await?;
    let copied = async {
        let plan = unless_stopped(plan(source, target, manifest, &ground), run, "planning the copy").await?;
        step("copy", run)?;
        run.observer.on(&Event::Expect { total_bytes: plan.wanted_bytes(), tables: manifest.totals.tables });
        unless_stopped(transfer(source, target, &plan.wanted, run), run, "copying packs").await?;
        step("publish", run)?;
        publish(target, &manifest.id, bytes, &ground, &run.actor).await?;
        Ok(plan)
    };
    let copied = copied.await;
    if let Some(hold) = hold {
        release(source, &hold, run).await;
    }
    copied
}

/// A hold that stays ends by itself.
async fn release(source: &DatabaseVault, hold: &Hold, run: &Run) {
    let motive = Motive { reason: "the copy has ended", by: &run.actor };
    if let Err(error) = holds::release(source, &hold.backup, Some(&hold.hold), motive).await {
        let until = hold.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let text = format!("the hold {} on {} stays{until}: {error}", hold.hold, hold.backup);
        run.observer.on(&Event::Warning { text });
    }
}

async fn plan(
    source: &DatabaseVault,
    target: &DatabaseVault,
    manifest: &Manifest,
    ground: &Ground,
) -> Result<CopyPlan> {
    let needed = needed(manifest, &source.pack_list(manifest).await?);
    // In this order: what is named was there when the pool is listed.
    let named = named(target, &needed).await?;
    let there = there(target, manifest, &needed).await?;
    copy_plan(&needed, &named, &there, ground).map_err(|pack| {
        let object = target.layout.pack(&pack);
        Error::verification(format!("{object} is damaged in {}: it has another size", target.store().location()))
            .hint("`lifeboat verify` says which backups there need it; delete them there, or copy to another place")
    })
}

/// Every pack that the backup needs, each once.
fn needed(manifest: &Manifest, list: &PackList) -> Vec<Needed> {
    let of_list = list.packs.iter().map(|entry| Needed {
        shelf: manifest.shelf_of(entry),
        pack: entry.pack,
        size_bytes: Some(entry.size_bytes),
    });
    let in_pool = |pack, size_bytes| Needed { shelf: Shelf::Pool, pack, size_bytes };
    let itself = in_pool(manifest.pack_list, Some(manifest.pack_list_bytes));
    let catalogue = in_pool(manifest.catalogue.pack, None);
    let unlisted = [itself, catalogue].into_iter().filter(|needed| !list.contains(&needed.pack));
    of_list.chain(unlisted).collect()
}

/// Which of the packs live backups of the target name. A backup that cannot be read names nothing: that costs space, not safety.
async fn named(target: &DatabaseVault, needed: &[Needed]) -> Result<HashSet<PackId>> {
    let wanted: HashSet<PackId> = needed.iter().map(|needed| needed.pack).collect();
    let live = match target.live().await {
        Err(error) if error.kind() == ErrorKind::Verification => {
            tracing::warn!(%error, "which backups are live in the target cannot be told; everything is copied");
            return Ok(HashSet::new());
        }
        live => live?,
    };
    let read = async |id: BackupId| {
        let read = async {
            let manifest = target.manifest(&id).await?;
            let list = target.pack_list(&manifest).await?;
            Ok::<Vec<PackId>, Error>(self::needed(&manifest, &list).into_iter().map(|needed| needed.pack).collect())
        };
        match read.await {
            Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound) => {
                tracing::warn!(backup_id = %id, %error, "a backup of the target is damaged; what it has is copied again");
                Ok(Vec::new())
            }
            read => read,
        }
    };
    let mut lists = stream::iter(live).map(read).buffer_unordered(READS_AT_ONCE);
    let mut named = HashSet::new();
    while let Some(packs) = lists.try_next().await? {
        named.extend(packs.into_iter().filter(|pack| wanted.contains(pack)));
    }
    Ok(named)
}

/// Where the packs are in the target, under whichever name.
async fn there(target: &DatabaseVault, manifest: &Manifest, needed: &[Needed]) -> Result<HashMap<PackId, Vec<Found>>> {
    let mut there: HashMap<PackId, Vec<Found>> = needed.iter().map(|needed| (needed.pack, Vec::new())).collect();
    for shelf in manifest.shelves() {
        find(target, &shelf, &mut there).await?;
    }
    Ok(there)
}

/// Goes through a shelf, page by page.
async fn find(target: &DatabaseVault, shelf: &Shelf, there: &mut HashMap<PackId, Vec<Found>>) -> Result<()> {
    let (prefix, mut after) = (target.layout.shelf(shelf), None);
    loop {
        let page = target.store().list_page(&prefix, after.as_deref(), PAGE).await?;
        for object in &page {
            let Some(name) = target.layout.pack_name(&object.key) else { continue };
            if let Some(found) = there.get_mut(&name.pack) {
                found.push(Found { era: name.era, size_bytes: object.size_bytes, modified: object.modified });
            }
        }
        after = page.last().map(|last| last.key.clone());
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

async fn transfer(source: &DatabaseVault, target: &DatabaseVault, wanted: &[Wanted], run: &Run) -> Result<()> {
    let budget = Semaphore::new(BUDGET_MIB as usize);
    let copy = async |wanted: &Wanted| {
        // Of one that is larger than everything nothing else is under way.
        let mib = wanted.size_bytes.div_ceil(MIB).clamp(1, u64::from(BUDGET_MIB)) as u32;
        let _room = budget.acquire_many(mib).await.map_err(|e| Error::bug("a budget was closed").because(e))?;
        run.check("copying packs")?;
        copy_pack(source, target, wanted, run).await
    };
    stream::iter(wanted).map(copy).buffer_unordered(PACKS_AT_ONCE).try_collect().await
}

async fn copy_pack(source: &DatabaseVault, target: &DatabaseVault, wanted: &Wanted, run: &Run) -> Result<()> {
    let bytes = read_pack(source, wanted).await?;
    let new_bytes = bytes.len() as u64;
    target.put_pack_as(&wanted.name, bytes).await?;
    run.observer.on(&Event::Advance(Progress { expected_bytes: wanted.size_bytes, new_bytes, ..Progress::default() }));
    Ok(())
}

/// The pack's bytes, which are those of its name.
async fn read_pack(source: &DatabaseVault, wanted: &Wanted) -> Result<Bytes> {
    let damaged = |what: String| {
        let object = source.pack_place(&wanted.name.shelf, &wanted.name.pack);
        Error::verification(format!("{object} is damaged in {}: {what}", source.store().location()))
            .hint("`lifeboat verify --depth full` says which backups there need it; they cannot be copied")
    };
    let bytes = source.pack(&wanted.name.shelf, &wanted.name.pack).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => damaged("it is missing".to_owned()),
        _ => error,
    })?;
    if wanted.is_sized && bytes.len() as u64 != wanted.size_bytes {
        return Err(damaged(format!("it has {} bytes instead of {}", bytes.len(), wanted.size_bytes)));
    }
    match store::sha256_of(&bytes).await? == wanted.name.pack.0 {
        true => Ok(bytes),
        false => Err(damaged("its bytes do not have its name".to_owned())),
    }
}
