//! Cleanup of small vaults, step by step. What may happen at once is in `model`.

use std::num::NonZeroU32;
use std::sync::Arc;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::model::{Depth, Finding, PackId, Verdict};
use crate::ops::fixture::{self, Backup};
use crate::ops::{Silent, delete, holds};
use crate::plan::retention::{Outcome, TierRules};
use crate::store::memory::MemoryStore;
use crate::store::{ObjectStore, Tries, list_all};
use crate::vault::Vault;
use crate::vault::keys::MasterKey;

const WHY: Motive<'static> = Motive { reason: "a test", by: "ann" };

struct Rig {
    store: Arc<MemoryStore>,
    db: DatabaseVault,
    made: i64,
}

impl Rig {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let vault = Vault::init(Arc::clone(&store) as _, MasterKey::random(), 72, 24).await.unwrap();
        let db = fixture::another_database(&Arc::new(vault), "shop").await;
        Self { store, db, made: 0 }
    }

    /// A verified backup, a day after the last.
    async fn backup(&mut self) -> BackupId {
        let id = self.unverified().await;
        self.judge(&id, true).await;
        id
    }

    async fn unverified(&mut self) -> BackupId {
        let pack = bytes::Bytes::from(format!("rows of {}", self.made));
        let id = crate::vault::pack::pack_id(&pack);
        self.db.put_pack(id, pack).await.unwrap();
        self.made += 1;
        self.store.advance(SignedDuration::from_hours(24));
        let now = self.db.vault.now().await.unwrap();
        Backup::new(&now.to_string(), "daily").pack(id).publish(&self.db).await
    }

    async fn judge(&self, id: &BackupId, ok: bool) {
        let at = self.db.vault.now().await.unwrap();
        let verdict = Verdict { ok, at, ..fixture::verdict(&self.db, id, Depth::Full) };
        self.db.write_verdict(&verdict).await.unwrap();
    }

    fn options(keep_last: u32) -> CleanupOptions {
        let mut policy = Policy::default();
        let rules = TierRules { keep_at_least: NonZeroU32::MIN, ..TierRules::last(keep_last) };
        policy.tiers.insert("daily".parse().unwrap(), rules);
        let (limits, confirmed) = (Limits::default(), Confirmed::Nothing);
        CleanupOptions { policy, zone: TimeZone::UTC, limits, dry_run: false, confirmed }
    }

    async fn clean_up(&self, options: &CleanupOptions) -> Result<CleanupReport> {
        cleanup(&self.db, options, &fixture::run("cleaner")).await
    }

    async fn objects(&self) -> Vec<String> {
        list_all(&*self.store, "").await.unwrap().into_iter().map(|object| object.key).collect()
    }

    fn grace_passes(&self) {
        self.store.advance(self.db.grace() + SignedDuration::from_secs(1));
    }
}

fn expiring(report: &CleanupReport) -> Vec<BackupId> {
    report.plan.expiring().map(|decision| decision.backup.clone()).collect()
}

#[tokio::test]
async fn what_the_store_locks_stays_whole_until_its_time_is_over() {
    let mut rig = Rig::new().await;
    let (first, second) = (rig.backup().await, rig.backup().await);
    let until = rig.db.vault.now().await.unwrap() + SignedDuration::from_hours(30 * 24);
    rig.store.lock(&rig.db.layout.manifest(&first), until);
    delete(&rig.db, &first, false, WHY).await.unwrap();
    rig.store.advance(SignedDuration::from_hours(80));
    let swept = rig.clean_up(&Rig::options(9)).await.unwrap().sweep;
    assert_eq!((swept.locked, swept.deleted_backups), (vec![Waiting { backup: first.clone(), until }], vec![]));
    let manifest = rig.db.manifest(&first).await.unwrap();
    for entry in rig.db.pack_list(&manifest).await.unwrap().packs {
        rig.store.head(&rig.db.layout.pack(&entry.pack)).await.unwrap();
    }
    rig.store.advance(SignedDuration::from_hours(30 * 24));
    let swept = rig.clean_up(&Rig::options(9)).await.unwrap().sweep;
    assert_eq!((swept.locked, swept.deleted_backups), (vec![], vec![first]));
    assert_eq!(rig.db.published().await.unwrap(), [second]);
}

#[tokio::test]
async fn what_no_rule_wants_is_let_go_and_after_the_grace_time_deleted_with_what_only_it_needs() {
    let mut rig = Rig::new().await;
    let (old, new) = (rig.backup().await, rig.backup().await);
    let before = rig.objects().await;
    let keep_one = Rig::options(1);
    let dry = rig.clean_up(&CleanupOptions { dry_run: true, ..keep_one.clone() }).await.unwrap();
    assert_eq!((expiring(&dry), rig.objects().await), (vec![old.clone()], before.clone()));

    let report = rig.clean_up(&keep_one).await.unwrap();
    assert_eq!((expiring(&report), report.sweep.deleted_packs), (vec![old.clone()], 0));
    assert_eq!(rig.db.live().await.unwrap(), std::slice::from_ref(&new));
    let again = rig.clean_up(&keep_one).await.unwrap();
    assert!(expiring(&again).is_empty() && again.sweep.deleted_backups.is_empty());
    assert_eq!(again.sweep.waiting.iter().map(|waiting| &waiting.backup).collect::<Vec<_>>(), [&old]);

    rig.grace_passes();
    let swept = rig.clean_up(&keep_one).await.unwrap().sweep;
    assert_eq!((swept.deleted_backups, swept.is_partial), (vec![old.clone()], false));
    // Its rows and its pack list; the catalogues differ in their nonces.
    assert_eq!(swept.deleted_packs, 3);
    assert!(swept.freed_bytes > 0);
    let kept: Vec<String> = rig.objects().await.into_iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(kept, [rig.db.layout.tombstone(&old, 1), rig.db.layout.tombstone_outcome(&old, 1)]);
    let manifest = rig.db.manifest(&new).await.unwrap();
    for entry in rig.db.pack_list(&manifest).await.unwrap().packs {
        rig.store.head(&rig.db.layout.pack(&entry.pack)).await.unwrap();
    }
    assert_eq!(rig.clean_up(&keep_one).await.unwrap().sweep, SweepReport::default());
}

#[tokio::test]
async fn a_backup_whose_replacement_turned_out_bad_is_called_back() {
    let mut rig = Rig::new().await;
    let (old, new) = (rig.backup().await, rig.backup().await);
    assert_eq!(expiring(&rig.clean_up(&Rig::options(1)).await.unwrap()), std::slice::from_ref(&old));
    rig.judge(&new, false).await;
    rig.grace_passes();
    let report = rig.clean_up(&Rig::options(1)).await.unwrap();
    assert_eq!(report.sweep.called_back, std::slice::from_ref(&old));
    assert_eq!(rig.db.live().await.unwrap(), [new, old]);
}

#[tokio::test]
async fn a_longer_policy_calls_back_what_a_shorter_one_let_go_but_not_what_somebody_deleted() {
    let mut rig = Rig::new().await;
    let (first, second, third) = (rig.backup().await, rig.backup().await, rig.backup().await);
    rig.clean_up(&Rig::options(2)).await.unwrap();
    delete(&rig.db, &second, false, WHY).await.unwrap();
    let report = rig.clean_up(&Rig::options(5)).await.unwrap();
    assert_eq!(report.sweep.called_back, std::slice::from_ref(&first));
    assert_eq!(rig.db.live().await.unwrap(), [third, first]);
    // Who wants it after all says so.
    holds::hold(&rig.db, &second, None, WHY).await.unwrap();
    rig.grace_passes();
    assert!(rig.clean_up(&Rig::options(5)).await.unwrap().sweep.deleted_backups.is_empty());
    assert_eq!(rig.db.live().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_cleanup_that_would_take_most_waits_for_a_word() {
    let mut rig = Rig::new().await;
    for _ in 0..9 {
        rig.backup().await;
    }
    let before = rig.objects().await;
    let refused = rig.clean_up(&Rig::options(1)).await.unwrap();
    assert_eq!(refused.refusal().unwrap().kind(), ErrorKind::Confirmation);
    let miscounted = CleanupOptions { confirmed: Confirmed::Count(7), ..Rig::options(1) };
    assert!(rig.clean_up(&miscounted).await.unwrap().refused.is_some());
    assert_eq!(rig.objects().await, before);
    let counted = CleanupOptions { confirmed: Confirmed::Count(8), ..Rig::options(1) };
    assert!(rig.clean_up(&counted).await.unwrap().refused.is_none());
    assert_eq!(rig.db.live().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_believed_stops_every_deletion_until_its_backup_is_deleted() {
    let mut rig = Rig::new().await;
    let (old, _) = (rig.backup().await, rig.backup().await);
    rig.clean_up(&Rig::options(1)).await.unwrap();
    let bad: BackupId = "20261121T020000Z-daily-aaaa".parse().unwrap();
    rig.store.put_new(&rig.db.layout.manifest(&bad), "{}".into(), Tries::Many).await.unwrap();
    rig.grace_passes();
    let before = rig.objects().await;
    let error = rig.clean_up(&Rig::options(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
    assert_eq!(rig.objects().await, before);

    delete(&rig.db, &bad, true, WHY).await.unwrap();
    rig.grace_passes();
    let mut deleted = rig.clean_up(&Rig::options(1)).await.unwrap().sweep.deleted_backups;
    deleted.sort();
    let mut expected = [old, bad];
    expected.sort();
    assert_eq!(deleted, expected);
}

#[tokio::test]
async fn a_missing_pack_list_stops_every_deletion() {
    let mut rig = Rig::new().await;
    let (_, new) = (rig.backup().await, rig.backup().await);
    rig.clean_up(&Rig::options(1)).await.unwrap();
    rig.grace_passes();
    let list = rig.db.manifest(&new).await.unwrap().pack_list;
    rig.store.delete(&rig.db.layout.pack(&list)).await.unwrap();
    let packs = async || list_all(&*rig.store, &rig.db.layout.pool()).await.unwrap().len();
    let before = packs().await;
    assert_eq!(rig.clean_up(&Rig::options(1)).await.unwrap_err().kind(), ErrorKind::Verification);
    assert_eq!(packs().await, before);
    assert_eq!(rig.db.published().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_backup_that_shares_a_damaged_pack_fills_no_quota() {
    let mut rig = Rig::new().await;
    let (old, _) = (rig.backup().await, rig.backup().await);
    let shared = PackId([9; 32]);
    rig.store.advance(SignedDuration::from_hours(1));
    let now = rig.db.vault.now().await.unwrap().to_string();
    let hurt = Backup::new(&now, "daily").pack(shared).publish(&rig.db).await;
    rig.judge(&hurt, true).await;
    let failed = fixture::verdict(&rig.db, &old, Depth::Full);
    let finding = Finding { object: "pool/09".to_owned(), problem: "missing".to_owned(), pack: Some(shared) };
    rig.db
        .write_verdict(&Verdict { ok: false, findings: vec![finding], at: now.parse().unwrap(), ..failed })
        .await
        .unwrap();
    let report = rig.clean_up(&CleanupOptions { dry_run: true, ..Rig::options(1) }).await.unwrap();
    let newest = &report.plan.decisions[0];
    assert_eq!(newest.backup, hurt);
    assert!(newest.outcome.to_string().contains("failed its verification"), "{}", newest.outcome);
    assert!(matches!(report.plan.decisions[1].outcome, Outcome::Keep(_)));
}

#[tokio::test]
async fn packs_of_a_job_that_died_are_freed_when_they_are_old() {
    let mut rig = Rig::new().await;
    rig.backup().await;
    let left = bytes::Bytes::from_static(b"left behind");
    rig.db.put_pack(crate::vault::pack::pack_id(&left), left.clone()).await.unwrap();
    assert_eq!(rig.clean_up(&Rig::options(1)).await.unwrap().sweep.deleted_packs, 0);
    rig.grace_passes();
    let swept = rig.clean_up(&Rig::options(1)).await.unwrap().sweep;
    assert_eq!((swept.deleted_packs, swept.freed_bytes), (1, left.len() as u64));
}

#[tokio::test]
async fn a_sweep_without_time_deletes_nothing_more_and_says_so() {
    let mut rig = Rig::new().await;
    let (old, _) = (rig.backup().await, rig.backup().await);
    delete(&rig.db, &old, true, WHY).await.unwrap();
    rig.grace_passes();
    let deadline = Some(jiff::Timestamp::UNIX_EPOCH);
    let (cancel, observer) = (CancellationToken::new(), Arc::new(Silent));
    let run = Run { cancel, deadline, actor: "cleaner".to_owned(), observer };
    let report = cleanup(&rig.db, &Rig::options(5), &run).await.unwrap();
    assert!(report.sweep.is_partial && report.sweep.deleted_backups.is_empty());
    assert_eq!(rig.db.published().await.unwrap().len(), 2);
}
