//! Deleting for good where the bucket keeps old versions, and what its locks leave of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ObjectLockRetention, ObjectLockRetentionMode, VersioningConfiguration,
};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat::aws::Aws;
use lifeboat::model::Depth;
use lifeboat::ops::cleanup::LockedPacks;
use lifeboat::ops::delete;
use lifeboat::ops::verify::verify;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::store::{Deletes, Deletion, ObjectStore, list_all};
use lifeboat::vault::{DatabaseVault, Motive};
use lifeboat_tests::{Bed, data};

use crate::days::Days;
use crate::rig::{Rig, run, sweep_of};

const WHY: Motive<'static> = Motive { reason: "no longer wanted", by: "test" };

async fn store_in(bucket: &str, deletes: Deletes) -> Arc<S3Store> {
    let moto = Bed::get().moto().await;
    let settings = S3Settings { bucket: bucket.to_owned(), deletes, ..S3Settings::default() };
    Arc::new(S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap())
}

async fn versioned_bucket() -> (Client, String) {
    let moto = Bed::get().moto().await;
    let (s3, bucket) = (moto.s3(), moto.fresh_bucket().await);
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(versioning).send().await.unwrap();
    (s3, bucket)
}

/// How many versions of each key there are, marks of deletions among them.
async fn versions(s3: &Client, bucket: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut pages = s3.list_object_versions().bucket(bucket).max_keys(1000).send().await.unwrap();
    loop {
        let stored = pages.versions.take().unwrap_or_default().into_iter().filter_map(|version| version.key);
        let marks = pages.delete_markers.take().unwrap_or_default().into_iter().filter_map(|mark| mark.key);
        stored.chain(marks).for_each(|key| *counts.entry(key).or_insert(0) += 1);
        if !pages.is_truncated.unwrap_or(false) {
            return counts;
        }
        let next = s3.list_object_versions().bucket(bucket).max_keys(1000);
        let next = next.set_key_marker(pages.next_key_marker).set_version_id_marker(pages.next_version_id_marker);
        pages = next.send().await.unwrap();
    }
}

async fn lock(s3: &Client, bucket: &str, key: &str, version: Option<String>, until: Timestamp) {
    let until = aws_sdk_s3::primitives::DateTime::from_secs(until.as_second());
    let rule =
        ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Governance).retain_until_date(until).build();
    let request = s3.put_object_retention().bucket(bucket).key(key).set_version_id(version).retention(rule);
    request.bypass_governance_retention(true).send().await.unwrap();
}

fn in_hours(hours: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + hours * 3600).unwrap()
}

async fn write(s3: &Client, bucket: &str, key: &str) -> Option<String> {
    s3.put_object().bucket(bucket).key(key).body(Bytes::from("x").into()).send().await.unwrap().version_id
}

#[tokio::test(flavor = "multi_thread")]
async fn no_version_is_left_of_what_is_deleted_and_none_is_lost_of_another() {
    let (s3, bucket) = versioned_bucket().await;
    for _ in 0..3 {
        write(&s3, &bucket, "a/b.json").await;
    }
    s3.delete_object().bucket(&bucket).key("a/b.json").send().await.unwrap();
    for key in ["a/b.json", "a/b.json2", "a/b", "a/c"] {
        write(&s3, &bucket, key).await;
    }
    let plain = store_in(&bucket, Deletes::Current).await;
    assert_eq!(plain.delete("a/c").await.unwrap(), Deletion::Done);
    let thorough = store_in(&bucket, Deletes::EveryVersion).await;
    for key in ["a/b.json", "a/b.json", "never/was"] {
        assert_eq!(thorough.delete(key).await.unwrap(), Deletion::Done);
    }
    let left = [("a/b".to_owned(), 1), ("a/b.json2".to_owned(), 1), ("a/c".to_owned(), 2)];
    assert_eq!(versions(&s3, &bucket).await, BTreeMap::from(left));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_versions_than_one_listing_holds_all_go() {
    let (s3, bucket) = versioned_bucket().await;
    for _ in 0..1010 {
        write(&s3, &bucket, "a").await;
    }
    write(&s3, &bucket, "ab").await;
    let thorough = store_in(&bucket, Deletes::EveryVersion).await;
    assert_eq!(thorough.delete("a").await.unwrap(), Deletion::Done);
    assert_eq!(versions(&s3, &bucket).await, BTreeMap::from([("ab".to_owned(), 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_without_versions_an_object_is_just_deleted() {
    let moto = Bed::get().moto().await;
    let bucket = moto.fresh_bucket().await;
    write(&moto.s3(), &bucket, "a").await;
    assert_eq!(store_in(&bucket, Deletes::EveryVersion).await.delete("a").await.unwrap(), Deletion::Done);
    assert_eq!(versions(&moto.s3(), &bucket).await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_version_stays_and_says_until_when() {
    let moto = Bed::get().moto().await;
    let (s3, bucket) = (moto.s3(), moto.fresh_locking_bucket().await);
    let until = in_hours(24);
    let locked = write(&s3, &bucket, "a").await;
    lock(&s3, &bucket, "a", locked.clone(), until).await;
    write(&s3, &bucket, "a").await;
    let thorough = store_in(&bucket, Deletes::EveryVersion).await;
    assert_eq!(thorough.delete("a").await.unwrap(), Deletion::Locked { until });
    let head = thorough.head("a").await.unwrap();
    assert_eq!(head.locked_until, Some(until), "the locked one is the only one left");
    assert_eq!(versions(&s3, &bucket).await, BTreeMap::from([("a".to_owned(), 1)]));
    thorough.legal_hold("a", true).await.unwrap();
    assert_eq!(thorough.delete("a").await.unwrap(), Deletion::Locked { until: Timestamp::MAX });
}

/// The vault after a backup was replaced, deleted, and its grace time has passed.
struct World {
    s3: Client,
    bucket: String,
    db: DatabaseVault,
    days: Arc<Days>,
    deleted: lifeboat::model::BackupId,
    kept: lifeboat::model::BackupId,
}

async fn world(deletes: Deletes) -> World {
    let moto = Bed::get().moto().await;
    let (s3, bucket) = (moto.s3(), moto.fresh_locking_bucket().await);
    let days = Days::over(store_in(&bucket, deletes).await);
    let rig = Rig::on(days.clone()).await;
    let source = Bed::get().server(17).await.create_database().await;
    data::load_shop(&source.client().await, 0.02).await;
    let deleted = rig.backup(&source).await.backup.id;
    source.sql("UPDATE orders SET status = status WHERE id % 9 = 0; COMMENT ON TABLE orders IS 'changed'").await;
    let kept = rig.backup(&source).await.backup.id;
    let db = rig.database().await;
    delete(&db, &deleted, true, WHY).await.unwrap();
    days.pass(SignedDuration::from_hours(80));
    World { s3, bucket, db, days, deleted, kept }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_deletes_versions_leaves_none_of_what_nobody_needs() {
    let hiding = world(Deletes::Current).await;
    let swept = sweep_of(&hiding.db).await;
    assert_eq!(swept.deleted_backups, [hiding.deleted]);
    let live = list_all(hiding.db.store(), "").await.unwrap().len();
    assert!(versions(&hiding.s3, &hiding.bucket).await.len() > live, "without it old versions stay");

    let freeing = world(Deletes::EveryVersion).await;
    let swept = sweep_of(&freeing.db).await;
    assert_eq!(swept.deleted_backups, [freeing.deleted]);
    assert!(swept.deleted_packs > 0 && swept.freed_bytes > 0);
    let live: BTreeMap<String, usize> =
        list_all(freeing.db.store(), "").await.unwrap().into_iter().map(|object| (object.key, 1)).collect();
    assert_eq!(versions(&freeing.s3, &freeing.bucket).await, live);
    assert!(verify(&freeing.db, &freeing.kept, Depth::Full, None, &run()).await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_deletes_versions_passes_over_locked_ones_and_comes_back_for_them() {
    let World { s3, bucket, db, days, deleted, kept } = world(Deletes::EveryVersion).await;
    let list = db.layout.pack(&db.manifest(&deleted).await.unwrap().pack_list);
    let size_bytes = db.store().head(&list).await.unwrap().info.size_bytes;
    let until = in_hours(24 * 30);
    lock(&s3, &bucket, &list, None, until).await;

    for _ in 0..2 {
        let swept = sweep_of(&db).await;
        let locked = LockedPacks { packs: 1, stored_bytes: size_bytes, until: Some(until) };
        assert_eq!((swept.locked_packs, swept.is_partial), (locked, false));
        assert_eq!(db.store().head(&list).await.unwrap().locked_until, Some(until));
    }
    assert!(verify(&db, &kept, Depth::Full, None, &run()).await.unwrap().ok);

    // The stand-in's own clock does not go on: the lock is lifted.
    lock(&s3, &bucket, &list, None, in_hours(0)).await;
    days.pass(SignedDuration::from_hours(1));
    let swept = sweep_of(&db).await;
    assert_eq!((swept.deleted_packs, swept.freed_bytes), (1, size_bytes));
    assert_eq!(swept.locked_packs, LockedPacks::default());
    assert!(!versions(&s3, &bucket).await.contains_key(&list));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_which_an_older_version_is_locked_keeps_all_that_it_needs() {
    let World { s3, bucket, db, deleted, .. } = world(Deletes::EveryVersion).await;
    let manifest = db.layout.manifest(&deleted);
    let until = in_hours(24 * 30);
    lock(&s3, &bucket, &manifest, None, until).await;
    // Somebody whose rights go beyond ours wrote over it.
    let body = db.store().get(&manifest).await.unwrap();
    s3.put_object().bucket(&bucket).key(&manifest).body(body.into()).send().await.unwrap();

    let swept = sweep_of(&db).await;
    assert_eq!((swept.deleted_backups, swept.deleted_packs, swept.is_partial), (vec![], 0, true));
    assert_eq!(swept.locked[0].until, until);
    assert!(verify(&db, &deleted, Depth::Full, None, &run()).await.unwrap().ok);
    let swept = sweep_of(&db).await;
    assert_eq!((swept.deleted_packs, swept.is_partial), (0, false));
    assert_eq!(swept.locked[0].until, until);
}
