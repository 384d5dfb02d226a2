//! Copies between stores in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::model::{Cause, KeyId, KeyringEntry};
use crate::ops::fixture::{self, Backup};
use crate::ops::{ListFilter, list};
use crate::store::memory::MemoryStore;
use crate::store::{ObjectStore, Tries, list_all};
use crate::vault::Vault;
use crate::vault::keys::MasterKey;

const WHY: Motive<'static> = Motive { reason: "test", by: "ann" };
const QUICK: CopyOptions = CopyOptions { verify: Some(Depth::Quick) };

fn run() -> Run {
    fixture::run("ann")
}

/// A vault with a database, and an empty place beside it.
struct Pair {
    source: DatabaseVault,
    place: Arc<MemoryStore>,
    next: u8,
}

impl Pair {
    async fn new() -> Self {
        let (_, source) = fixture::database("shop").await;
        Self { source, place: Arc::new(MemoryStore::new()), next: 0 }
    }

    async fn target(&self) -> DatabaseVault {
        let replica = self.source.vault.open_replica(self.place.clone()).await.unwrap();
        self.source.open_replica(&replica).await.unwrap()
    }

    /// Other bytes than any pack before.
    async fn pack(&mut self) -> (PackId, u64) {
        self.next += 1;
        let bytes = Bytes::from(vec![self.next; 1000 + usize::from(self.next)]);
        let (id, size) = (crate::vault::pack::pack_id(&bytes), bytes.len() as u64);
        self.source.put_pack(id, bytes).await.unwrap();
        (id, size)
    }

    async fn backup(&self, day: i8, packs: &[(PackId, u64)]) -> BackupId {
        let backup = Backup::new(&format!("2026-11-{day:02}T02:00:00Z"), "daily");
        packs.iter().fold(backup, |backup, (pack, size)| backup.sized_pack(*pack, *size)).publish(&self.source).await
    }

    async fn copy(&self, id: &BackupId) -> Result<CopyReport> {
        copy(&self.source, &self.target().await, id, QUICK, &run()).await
    }

    async fn keys(&self, below: &str) -> BTreeSet<String> {
        list_all(&*self.place, below).await.unwrap().into_iter().map(|object| object.key).collect()
    }

    fn later(&self, hours: i64) {
        self.place.advance(SignedDuration::from_hours(hours));
    }
}

#[tokio::test]
async fn a_copy_has_one_backup_and_what_it_needs_and_a_verdict_of_its_own() {
    let mut pair = Pair::new().await;
    let packs = [pair.pack().await, pair.pack().await, pair.pack().await];
    let other = pair.backup(20, &packs[..1]).await;
    let id = pair.backup(21, &packs[1..]).await;
    pair.source.write_verdict(&fixture::verdict(&pair.source, &id, Depth::Full)).await.unwrap();
    holds::hold(&pair.source, &other, None, WHY).await.unwrap();
    let report = pair.copy(&id).await.unwrap();
    // Two packs, the pack list and the catalogue.
    assert_eq!((report.was_there, report.copied_packs, report.present_packs), (false, 4, 0));
    assert!(report.copied_bytes > 2000 && report.verified.is_some_and(|verdict| verdict.ok));
    let target = pair.target().await;
    let pool: BTreeSet<_> = pair.keys(&target.layout.pool()).await;
    let manifest = target.manifest(&id).await.unwrap();
    let needed = [packs[1].0, packs[2].0, manifest.pack_list, manifest.catalogue.pack];
    assert_eq!(pool, needed.iter().map(|pack| target.layout.pack(pack)).collect());
    let listed = list(&target.vault, None, &ListFilter::default()).await.unwrap();
    assert_eq!(listed.problems, []);
    let verified: Vec<_> = listed.backups.iter().map(|b| (b.id.clone(), b.verified.unwrap().depth, b.held)).collect();
    assert_eq!(verified, [(id.clone(), Depth::Quick, false)]);
    assert_eq!(target.manifest_and_bytes(&id).await.unwrap(), pair.source.manifest_and_bytes(&id).await.unwrap());
}

#[tokio::test]
async fn the_source_is_held_while_it_is_copied_and_not_afterwards() {
    let mut pair = Pair::new().await;
    let pack = pair.pack().await;
    let id = pair.backup(20, &[pack]).await;
    pair.copy(&id).await.unwrap();
    let held = holds::read_holds(&pair.source, &pair.source.layout.holds(&id)).await.unwrap();
    let states: Vec<_> = held.into_iter().map(|found| found.state.unwrap()).collect();
    assert_eq!(states.len(), 1);
    assert!(states[0].released && states[0].hold.until.is_some_and(|until| until > Timestamp::now()));
}

#[tokio::test]
async fn what_is_there_is_not_copied_again() {
    let mut pair = Pair::new().await;
    let packs = [pair.pack().await, pair.pack().await, pair.pack().await];
    let first = pair.backup(20, &packs[..2]).await;
    let second = pair.backup(21, &packs[1..]).await;
    pair.copy(&first).await.unwrap();
    let again = pair.copy(&first).await.unwrap();
    assert!(again.was_there && again.copied_packs == 0 && again.verified.is_some_and(|verdict| verdict.ok));
    pair.later(1000);
    let report = pair.copy(&second).await.unwrap();
    // One of its two packs, and the catalogue, which is sealed anew for each backup.
    assert_eq!((report.copied_packs, report.present_packs), (3, 1));
}

#[tokio::test]
async fn in_an_old_place_packs_get_names_that_never_were_and_are_found_under_them() {
    let mut pair = Pair::new().await;
    let first = pair.pack().await;
    let early = pair.backup(20, &[first]).await;
    pair.copy(&early).await.unwrap();
    pair.later(100);
    let second = pair.pack().await;
    let id = pair.backup(21, &[first, second]).await;
    let report = pair.copy(&id).await.unwrap();
    assert!(report.verified.is_some_and(|verdict| verdict.ok));
    let target = pair.target().await;
    let plain = target.layout.pack(&second.0);
    let found = pair.keys(&plain).await;
    assert!(found.len() == 1 && !found.contains(&plain), "{found:?}");
    let bytes = target.pack(&Shelf::Pool, &second.0).await.unwrap();
    assert_eq!(bytes, pair.source.pack(&Shelf::Pool, &second.0).await.unwrap());
    assert_eq!(target.pack_range(&Shelf::Pool, &second.0, 3..9).await.unwrap(), bytes.slice(3..9));
    assert_eq!(target.pack_head(&Shelf::Pool, &second.0).await.unwrap().info.size_bytes, second.1);
    let beyond = target.pack_range(&Shelf::Pool, &second.0, 0..second.1 + 1).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Verification, "{beyond}");
}

/// As a copy leaves it that was killed before it published.
async fn unfinished(pair: &Pair, id: &BackupId) {
    pair.copy(id).await.unwrap();
    let target = pair.target().await;
    target.store().delete(&target.layout.manifest(id)).await.unwrap();
}

#[tokio::test]
async fn what_an_unfinished_copy_left_is_used_again_while_no_sweep_can_want_it() {
    for (is_old_place, hours, expected) in [(false, 1, 0), (true, 1, 0), (true, 40, 0), (true, 50, 3), (false, 50, 3)] {
        let mut pair = Pair::new().await;
        let pack = pair.pack().await;
        if is_old_place {
            pair.target().await;
            pair.later(1000);
        }
        let id = pair.backup(20, &[pack]).await;
        unfinished(&pair, &id).await;
        pair.later(hours);
        let report = pair.copy(&id).await.unwrap();
        assert_eq!(report.copied_packs, expected, "old: {is_old_place}, after {hours} h");
        assert!(report.verified.is_some_and(|verdict| verdict.ok));
    }
}

#[tokio::test]
async fn copies_at_the_same_time_bring_the_same_objects_once() {
    for is_old_place in [false, true] {
        let mut pair = Pair::new().await;
        let packs = [pair.pack().await, pair.pack().await];
        if is_old_place {
            pair.target().await;
            pair.later(1000);
        }
        let (one, other) = (pair.backup(20, &packs[..]).await, pair.backup(21, &packs[..1]).await);
        let copies = tokio::join!(pair.copy(&one), pair.copy(&one), pair.copy(&other));
        for report in [copies.0, copies.1, copies.2] {
            assert!(report.unwrap().verified.is_some_and(|verdict| verdict.ok));
        }
        let target = pair.target().await;
        assert_eq!(target.live().await.unwrap().len(), 2);
        // Two packs, and of each backup its list and its catalogue.
        assert_eq!(pair.keys(&target.layout.pool()).await.len(), 6, "old: {is_old_place}");
        assert_eq!(pair.keys(&target.layout.job("copy")).await.len(), 1);
    }
}

#[tokio::test]
async fn another_vault_is_left_as_it_is() {
    let pair = Pair::new().await;
    let theirs = Arc::new(MemoryStore::new());
    Vault::init(theirs.clone(), MasterKey::random(), 72, 24).await.unwrap();
    let before = list_all(&*theirs, "").await.unwrap();
    let refused = pair.source.vault.open_replica(theirs.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(list_all(&*theirs, "").await.unwrap(), before);
}

#[tokio::test]
async fn a_key_that_the_source_got_later_is_copied_too_and_a_damaged_one_is_not() {
    let pair = Pair::new().await;
    pair.target().await;
    let source = &pair.source;
    let entry = list_all(source.store(), &source.layout.keyring()).await.unwrap().remove(0).key;
    let old: KeyringEntry = source.vault.read_own("key", &entry).await;
    let later = KeyringEntry { created_at: old.created_at + SignedDuration::from_secs(1), ..old };
    let newer = source.layout.keyring_entry(later.key, 2);
    source.vault.write_own("key", &newer, &later).await;
    let damaged = source.layout.keyring_entry(KeyId([9; 8]), 1);
    source.store().put_new(&damaged, "{}".into(), Tries::Many).await.unwrap();
    let target = pair.target().await;
    assert_eq!(pair.place.get(&newer).await.unwrap(), source.store().get(&newer).await.unwrap());
    assert_eq!(target.store().head(&damaged).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn other_records_in_the_place_of_the_vaults_own_are_a_conflict() {
    let pair = Pair::new().await;
    let replica = pair.source.vault.open_replica(pair.place.clone()).await.unwrap();
    let key = pair.source.layout.identity(1);
    pair.place.put_new(&key, "{}".into(), Tries::Many).await.unwrap();
    let refused = pair.source.open_replica(&replica).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.message().contains(&key), "{refused}");
}

#[tokio::test]
async fn what_was_deleted_is_not_copied_and_what_was_condemned_never_comes_back() {
    let mut pair = Pair::new().await;
    let pack = pair.pack().await;
    let id = pair.backup(20, &[pack]).await;
    pair.source.entomb(&id, Cause::Deletion, WHY).await.unwrap();
    let refused = pair.copy(&id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    pair.source.call_back(&id, WHY).await.unwrap();
    pair.copy(&id).await.unwrap();
    let target = pair.target().await;
    target.entomb(&id, Cause::Deletion, WHY).await.unwrap();
    assert_eq!(pair.copy(&id).await.unwrap_err().kind(), ErrorKind::Conflict);
    target.decide(&id, 1, Fate::Condemned, WHY).await.unwrap();
    target.store().delete(&target.layout.manifest(&id)).await.unwrap();
    let refused = pair.copy(&id).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.message().contains("for good"), "{refused}");
}

#[tokio::test]
async fn damage_in_the_source_is_found_on_the_way_and_nothing_is_published() {
    type Damage = fn(&[u8]) -> Option<Vec<u8>>;
    let damages: [Damage; 3] =
        [|_| None, |bytes| Some(bytes[1..].to_vec()), |bytes| Some(bytes.iter().map(|byte| byte ^ 1).collect())];
    for damage in damages {
        let mut pair = Pair::new().await;
        let pack = pair.pack().await;
        let id = pair.backup(20, &[pack]).await;
        let key = pair.source.layout.pack(&pack.0);
        let bytes = pair.source.store().get(&key).await.unwrap();
        pair.source.store().delete(&key).await.unwrap();
        if let Some(bytes) = damage(&bytes) {
            pair.source.store().put_new(&key, bytes.into(), Tries::Many).await.unwrap();
        }
        let refused = pair.copy(&id).await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Verification && refused.message().contains(&key), "{refused}");
        assert_eq!(pair.target().await.published().await.unwrap(), []);
        let held = holds::read_holds(&pair.source, &pair.source.layout.holds(&id)).await.unwrap();
        assert!(held.iter().all(|found| found.state.as_ref().unwrap().released));
    }
}

#[tokio::test]
async fn a_copy_that_was_stopped_publishes_nothing() {
    let mut pair = Pair::new().await;
    let pack = pair.pack().await;
    let id = pair.backup(20, &[pack]).await;
    let run = run();
    run.cancel.cancel();
    let target = pair.target().await;
    let stopped = copy(&pair.source, &target, &id, QUICK, &run).await.unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::OutOfTime);
    assert_eq!(target.published().await.unwrap(), []);
}

#[tokio::test]
async fn what_is_published_late_is_withdrawn() {
    let mut pair = Pair::new().await;
    let pack = pair.pack().await;
    let id = pair.backup(20, &[pack]).await;
    let target = pair.target().await;
    let bytes = pair.source.manifest_and_bytes(&id).await.unwrap().1;
    let ground = era::ground(&target, &id, &run()).await.unwrap();
    // Somebody's request that was on its way for a day.
    pair.later(25);
    target.publish_bytes(&id, bytes.clone(), target.vault.now().await.unwrap()).await.unwrap();
    let late = Ground { deadline: target.vault.now().await.unwrap() - SignedDuration::from_hours(1), ..ground.clone() };
    assert_eq!(publish(&target, &id, bytes.clone(), &ground, "ann").await.unwrap_err().kind(), ErrorKind::OutOfTime);
    assert_eq!(target.live().await.unwrap().len(), 1, "nothing was sent");
    publish::require_timely(&target, &id, &late, "ann").await.unwrap_err();
    assert_eq!(target.live().await.unwrap(), []);
}
