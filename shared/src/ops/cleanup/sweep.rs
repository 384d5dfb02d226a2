//! The sweep: makes deletions final, and frees what nobody needs any more.
//!
//! In this order, so that it may die at any line, run twice, or sleep for a week between two lines:
//!
//! 1. Every tombstone older than the grace time gets its outcome: `cancelled` where the backup is held or a rule wants it
//!    again, else `condemned`.
//! 2. The backups there are now are listed, and the pack lists of all that are not condemned are read. What cannot be read or
//!    believed ends the sweep: nothing is deleted.
//! 3. The manifests of the condemned are deleted.
//! 4. So are packs that no pack list names and that were older than the grace time *when the sweep began*: a job publishes
//!    within less than half of the grace time or not at all, so whatever wrote such a pack has ended, and whoever could refer to
//!    it has been listed. A sweep that wakes up late deletes what it would have deleted then; that is as needless now.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use serde::Serialize;

use super::facts::{Facts, unless_swept};
use super::needed::NeededPacks;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Fate, PackId};
use crate::ops::Run;
use crate::plan::retention::{Outcome, RetentionPlan};
use crate::store::{Deletion, ObjectHead, ObjectInfo, ObjectStore};
use crate::vault::{DatabaseVault, Motive, TombstoneState};

const READS_AT_ONCE: usize = 16;
const DELETES_AT_ONCE: usize = 16;
const SHARDS_AT_ONCE: usize = 4;
const PAGE: usize = 1000;
/// A decision older than this is taken again, for what it rests on may have changed.
const FRESH_FOR: SignedDuration = SignedDuration::from_mins(10);

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Backups that were on their way out and stay after all.
    pub called_back: Vec<BackupId>,
    pub deleted_backups: Vec<BackupId>,
    pub deleted_packs: u64,
    pub freed_bytes: u64,
    /// Backups on their way out, and from when on they can be deleted.
    pub waiting: Vec<Waiting>,
    /// Backups that would be deleted, but the store locks them: until when.
    pub locked: Vec<Waiting>,
    /// Objects that nobody needs, but the store refuses to delete.
    pub locked_packs: LockedPacks,
    /// Time ran out before everything was looked at; the next sweep goes on.
    pub is_partial: bool,
}

/// A backup on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub backup: BackupId,
    pub until: Timestamp,
}

/// Objects that nobody needs, and that the store locks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LockedPacks {
    pub packs: u64,
    pub stored_bytes: u64,
    /// When the last of them can be deleted.
    pub until: Option<Timestamp>,
}

impl std::ops::Add for LockedPacks {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packs: self.packs + other.packs,
            stored_bytes: self.stored_bytes + other.stored_bytes,
            until: self.until.max(other.until),
        }
    }
}

/// `reconsidered` says of every backup that has not been deleted yet whether it should be; it was made of `facts` at its `now`.
pub async fn sweep(db: &DatabaseVault, facts: &Facts, reconsidered: &RetentionPlan, run: &Run) -> Result<SweepReport> {
    let began_at = db.vault.now().await?;
    let mut report = SweepReport::default();
    if began_at.duration_since(reconsidered.now) > FRESH_FOR {
        report.is_partial = true;
        return Ok(report);
    }
    report.waiting = decide(db, facts, reconsidered, began_at, &mut report, run).await?;
    let Remains { needed, condemned, locked } = remains(db, began_at).await?;
    report.locked = locked;
    for (id, manifest_bytes) in condemned {
        if is_out_of_time(run, &mut report) {
            return Ok(report);
        }
        match db.store().delete(&db.layout.manifest(&id)).await? {
            Deletion::Done => {
                report.freed_bytes += manifest_bytes;
                report.deleted_backups.push(id);
            }
            // Since we looked, or an older version of it: what it needs is taken for needless here, so the next sweep goes on.
            Deletion::Locked { until } => {
                report.locked.push(Waiting { backup: id, until });
                report.is_partial = true;
                return Ok(report);
            }
        }
    }
    free_packs(db, &needed, began_at, &mut report, run).await?;
    Ok(report)
}

/// Writes the outcomes that are due. Gives the backups whose time has not come.
async fn decide(
    db: &DatabaseVault,
    facts: &Facts,
    reconsidered: &RetentionPlan,
    now: Timestamp,
    report: &mut SweepReport,
    run: &Run,
) -> Result<Vec<Waiting>> {
    let mut waiting = Vec::new();
    for tombstone in facts.tombstones.iter().filter(|tombstone| tombstone.is_open()) {
        let id = &tombstone.backup;
        let until = tombstone.written_at.checked_add(db.grace()).unwrap_or(Timestamp::MAX);
        let decision = reconsidered.decisions.iter().find(|decision| decision.backup == *id);
        let kept = decision.and_then(|decision| match &decision.outcome {
            Outcome::Keep(_) => Some(decision.outcome.to_string()),
            Outcome::Expire(_) | Outcome::Leaving(_) => None,
        });
        let (fate, reason) = match kept {
            Some(reason) => (Fate::Cancelled, reason),
            None if until <= now => (Fate::Condemned, "the grace time is over".to_owned()),
            None => {
                waiting.push(Waiting { backup: id.clone(), until });
                continue;
            }
        };
        if is_out_of_time(run, report) {
            break;
        }
        let motive = Motive { reason: &reason, by: &run.actor };
        if db.decide(id, tombstone.number, fate, motive).await? == Fate::Cancelled {
            report.called_back.push(id.clone());
        }
    }
    Ok(waiting)
}

/// What is left of the database.
struct Remains {
    needed: NeededPacks,
    /// Their manifests are still there, of so many bytes, and can be deleted.
    condemned: Vec<(BackupId, u64)>,
    locked: Vec<Waiting>,
}

async fn remains(db: &DatabaseVault, now: Timestamp) -> Result<Remains> {
    let published = db.published().await?;
    let tombstones = db.tombstones_of(&published).await?;
    let is_condemned = |id: &BackupId| {
        let condemned = TombstoneState::Decided(Fate::Condemned);
        tombstones.iter().any(|tombstone| tombstone.backup == *id && tombstone.state == condemned)
    };
    let (condemned, mut staying): (Vec<BackupId>, Vec<BackupId>) = published.into_iter().partition(is_condemned);
    let (condemned, locked) = unlocked(db, condemned, now).await?;
    staying.extend(locked.iter().map(|locked| locked.backup.clone()));
    let read = async |id: BackupId| {
        let manifest = db.manifest(&id).await;
        let Some(manifest) = unless_swept(db, &id, manifest).await? else { return Ok(None) };
        let list = db.pack_list(&manifest).await.map_err(|error| error.context(&id));
        let list = unless_swept(db, &id, list).await?;
        Ok::<_, Error>(list.map(|list| (manifest, list)))
    };
    let mut lists = stream::iter(staying).map(read).buffer_unordered(READS_AT_ONCE);
    let mut needed = NeededPacks::default();
    while let Some(found) = lists.try_next().await? {
        let Some((manifest, list)) = found else { continue };
        manifest.needed_packs(&list).for_each(|pack| needed.add(&pack));
    }
    Ok(Remains { needed: needed.finished(), condemned, locked })
}

/// What the store locks is left alone, with all that it needs, until its time is over: a deletion would only hide it. Its packs
/// are older than its manifest, so a lock of so many days on everything ends for them before.
async fn unlocked(
    db: &DatabaseVault,
    condemned: Vec<BackupId>,
    now: Timestamp,
) -> Result<(Vec<(BackupId, u64)>, Vec<Waiting>)> {
    let look = async |id: BackupId| match db.store().head(&db.layout.manifest(&id)).await {
        Ok(head) => Ok(Some((id, head))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let seen: Vec<Option<(BackupId, ObjectHead)>> =
        stream::iter(condemned).map(look).buffered(READS_AT_ONCE).try_collect().await?;
    let (mut free, mut locked) = (Vec::new(), Vec::new());
    for (backup, head) in seen.into_iter().flatten() {
        match head.locked_until.filter(|until| *until > now) {
            Some(until) => locked.push(Waiting { backup, until }),
            None => free.push((backup, head.info.size_bytes)),
        }
    }
    Ok((free, locked))
}

/// Goes through the pool and the archive by their folders, from a random one on: who never has the time for all of them gets to each in the end.
async fn free_packs(
    db: &DatabaseVault,
    needed: &NeededPacks,
    began_at: Timestamp,
    report: &mut SweepReport,
    run: &Run,
) -> Result<()> {
    let mut folders = below(db, db.layout.pool()).await?;
    folders.append(&mut below(db, db.layout.archives()).await?);
    if folders.is_empty() {
        return Ok(());
    }
    let first = rand::rng().random_range(0..folders.len());
    folders.rotate_left(first);
    let old_before = began_at.checked_sub(db.grace()).unwrap_or(Timestamp::MIN);
    let sweep_one = async |folder: String| sweep_folder(db, &folder, needed, old_before, run).await;
    let mut swept = stream::iter(folders).map(sweep_one).buffer_unordered(SHARDS_AT_ONCE);
    while let Some(Freed { packs, bytes, locked, is_partial }) = swept.try_next().await? {
        report.deleted_packs += packs;
        report.freed_bytes += bytes;
        report.locked_packs = report.locked_packs + locked;
        report.is_partial |= is_partial;
    }
    Ok(())
}

async fn below(db: &DatabaseVault, prefix: String) -> Result<Vec<String>> {
    let names = db.store().list_names(&prefix).await?;
    Ok(names.into_iter().map(|name| format!("{prefix}{name}/")).collect())
}

#[derive(Default)]
struct Freed {
    packs: u64,
    bytes: u64,
    locked: LockedPacks,
    is_partial: bool,
}

impl std::ops::Add for Freed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packs: self.packs + other.packs,
            bytes: self.bytes + other.bytes,
            locked: self.locked + other.locked,
            is_partial: self.is_partial || other.is_partial,
        }
    }
}

async fn sweep_folder(
    db: &DatabaseVault,
    prefix: &str,
    needed: &NeededPacks,
    old_before: Timestamp,
    run: &Run,
) -> Result<Freed> {
    let (mut freed, mut after) = (Freed::default(), None);
    let is_garbage = |object: &ObjectInfo| {
        let pack: Option<PackId> = db.layout.pack_of_key(&object.key);
        // What is no pack is not ours to delete.
        object.modified < old_before && pack.is_some_and(|pack| !needed.contains(&pack))
    };
    loop {
        if run.check("sweeping").is_err() {
            freed.is_partial = true;
            return Ok(freed);
        }
        let page = db.store().list_page(prefix, after.as_deref(), PAGE).await?;
        after = page.last().map(|last| last.key.clone());
        let (is_last, garbage) = (page.len() < PAGE, page.into_iter().filter(is_garbage));
        freed = freed + delete(db.store(), garbage).await?;
        if is_last {
            return Ok(freed);
        }
    }
}

async fn delete(store: &dyn ObjectStore, garbage: impl Iterator<Item = ObjectInfo>) -> Result<Freed> {
    let delete = async |ObjectInfo { key, size_bytes, .. }: ObjectInfo| {
        Ok::<_, Error>(match store.delete(&key).await? {
            Deletion::Done => Freed { packs: 1, bytes: size_bytes, ..Freed::default() },
            Deletion::Locked { until } => {
                let locked = LockedPacks { packs: 1, stored_bytes: size_bytes, until: Some(until) };
                Freed { locked, ..Freed::default() }
            }
        })
    };
    let add = async |freed: Freed, more| Ok(freed + more);
    stream::iter(garbage).map(delete).buffer_unordered(DELETES_AT_ONCE).try_fold(Freed::default(), add).await
}

fn is_out_of_time(run: &Run, report: &mut SweepReport) -> bool {
    report.is_partial |= run.check("sweeping").is_err_and(|error| error.kind() == ErrorKind::OutOfTime);
    report.is_partial
}
