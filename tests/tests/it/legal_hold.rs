//! What S3 itself keeps from being deleted: by legal holds, which mirror holds without an end, and by a bucket's retention.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetention, ObjectLockRetentionMode,
    ObjectLockRule,
};
use jiff::{SignedDuration, Timestamp};
use lifeboat::ErrorKind;
use lifeboat::aws::Aws;
use lifeboat::model::{BackupId, Depth};
use lifeboat::ops::cleanup::Waiting;
use lifeboat::ops::delete;
use lifeboat::ops::holds::{hold, release};
use lifeboat::ops::verify::verify;
use lifeboat::store::list_all;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::vault::{DatabaseVault, Motive};
use lifeboat_tests::{Bed, data};

use crate::days::Days;
use crate::rig::{Rig, run, sweep_of};

const WHY: Motive<'static> = Motive { reason: "case 4711", by: "test" };

async fn rig_in(bucket: &str) -> Rig {
    Rig::on(store_in(bucket).await).await
}

async fn store_in(bucket: &str) -> Arc<S3Store> {
    let moto = Bed::get().moto().await;
    let settings = S3Settings { bucket: bucket.to_owned(), ..S3Settings::default() };
    Arc::new(S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap())
}

/// The objects of the bucket that S3 holds.
async fn held(s3: &Client, bucket: &str, db: &DatabaseVault) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for object in list_all(db.store(), "").await.unwrap() {
        let answer = s3.get_object_legal_hold().bucket(bucket).key(&object.key).send().await;
        let status = answer.ok().and_then(|answer| answer.legal_hold).and_then(|hold| hold.status);
        if status.is_some_and(|status| status.as_str() == "ON") {
            held.insert(object.key);
        }
    }
    held
}

async fn needed(db: &DatabaseVault, id: &BackupId) -> BTreeSet<String> {
    let manifest = db.manifest(id).await.unwrap();
    let packs = db.pack_list(&manifest).await.unwrap().packs.into_iter().map(|entry| entry.pack);
    let packs = packs.chain([manifest.pack_list, manifest.catalogue.pack]);
    packs.map(|pack| db.layout.pack(&pack)).chain([db.layout.manifest(id)]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_without_an_end_is_on_all_that_a_backup_needs_until_nobody_holds_it() {
    let moto = Bed::get().moto().await;
    let (s3, bucket) = (moto.s3(), moto.fresh_locking_bucket().await);
    let source = Bed::get().server(17).await.create_database().await;
    data::load_shop(&source.client().await, 0.02).await;
    let rig = rig_in(&bucket).await;
    let first = rig.backup(&source).await.backup.id;
    source.sql("UPDATE orders SET status = status WHERE id % 9 = 0; COMMENT ON TABLE orders IS 'changed'").await;
    let second = rig.backup(&source).await.backup.id;
    let db = rig.database().await;
    let (of_first, of_second) = (needed(&db, &first).await, needed(&db, &second).await);
    assert!(of_first.intersection(&of_second).count() > 0, "they share packs");

    let end = Timestamp::now() + SignedDuration::from_hours(24);
    hold(&db, &first, Some(end), WHY).await.unwrap();
    assert_eq!(held(&s3, &bucket, &db).await, BTreeSet::new(), "only a hold without an end is a legal one");
    hold(&db, &first, None, WHY).await.unwrap();
    assert_eq!(held(&s3, &bucket, &db).await, of_first);
    let manifest = db.layout.manifest(&first);
    assert_eq!(db.store().head(&manifest).await.unwrap().locked_until, Some(Timestamp::MAX));
    let version = s3.head_object().bucket(&bucket).key(of_first.first().unwrap()).send().await.unwrap();
    let delete = s3.delete_object().bucket(&bucket).key(of_first.first().unwrap());
    assert!(delete.set_version_id(version.version_id).send().await.is_err(), "not even the owner deletes it");

    let again = hold(&db, &second, None, WHY).await.unwrap();
    hold(&db, &second, None, WHY).await.unwrap();
    release(&db, &first, None, WHY).await.unwrap();
    assert_eq!(held(&s3, &bucket, &db).await, of_second);
    release(&db, &second, Some(&again.hold), WHY).await.unwrap();
    assert_eq!(held(&s3, &bucket, &db).await, of_second, "another hold stands");
    release(&db, &second, None, WHY).await.unwrap();
    assert_eq!(held(&s3, &bucket, &db).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_retention_is_read_from_the_store() {
    let moto = Bed::get().moto().await;
    let (s3, bucket) = (moto.s3(), moto.fresh_locking_bucket().await);
    let end = Timestamp::from_second(Timestamp::now().as_second() + 86_400).unwrap();
    let until = aws_sdk_s3::primitives::DateTime::from_secs(end.as_second());
    let rule =
        ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Governance).retain_until_date(until).build();
    let rig = rig_in(&bucket).await;
    let key = "format/1.json";
    assert_eq!(rig.vault.store.head(key).await.unwrap().locked_until, None);
    s3.put_object_retention().bucket(&bucket).key(key).retention(rule).send().await.unwrap();
    assert_eq!(rig.vault.store.head(key).await.unwrap().locked_until, Some(end));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_retains_stays_whole_until_its_time_is_over() {
    let moto = Bed::get().moto().await;
    let bucket = moto.fresh_locking_bucket().await;
    retain(&moto.s3(), &bucket, 10).await;
    let days = Days::over(store_in(&bucket).await);
    let rig = Rig::on(days.clone()).await;
    let source = Bed::get().server(17).await.create_database().await;
    data::load_shop(&source.client().await, 0.02).await;
    let first = rig.backup(&source).await.backup.id;
    let db = rig.database().await;
    let end = db.store().head(&db.layout.manifest(&first)).await.unwrap().locked_until.unwrap();
    let retained = end.duration_since(Timestamp::now());
    assert!(retained > SignedDuration::from_hours(239) && retained <= SignedDuration::from_hours(240), "{retained}");
    source.sql("UPDATE orders SET status = status WHERE id % 9 = 0; COMMENT ON TABLE orders IS 'changed'").await;
    let second = rig.backup(&source).await.backup.id;
    delete(&db, &first, true, WHY).await.unwrap();

    days.pass(SignedDuration::from_hours(80));
    let swept = sweep_of(&db).await;
    assert_eq!(swept.deleted_backups, []);
    assert_eq!(swept.locked, [Waiting { backup: first.clone(), until: end }]);
    assert!(verify(&db, &first, Depth::Full, None, &run()).await.unwrap().ok);

    days.pass(SignedDuration::from_hours(240));
    let swept = sweep_of(&db).await;
    assert_eq!((swept.deleted_backups, swept.locked), (vec![first], vec![]));
    assert!(swept.freed_bytes > 0);
    assert!(verify(&db, &second, Depth::Full, None, &run()).await.unwrap().ok);
}

async fn retain(s3: &Client, bucket: &str, days: i32) {
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance).days(days).build();
    let rule = ObjectLockRule::builder().default_retention(retention).build();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
    s3.put_object_lock_configuration().bucket(bucket).object_lock_configuration(lock).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_without_object_lock_a_hold_is_ours_alone() {
    let bucket = Bed::get().moto().await.fresh_bucket().await;
    let source = Bed::get().server(17).await.create_database().await;
    let rig = rig_in(&bucket).await;
    let id = rig.backup(&source).await.backup.id;
    let db = rig.database().await;
    hold(&db, &id, None, WHY).await.unwrap();
    assert_eq!(release(&db, &id, None, WHY).await.unwrap().len(), 1);
    assert_eq!(release(&db, &id, None, WHY).await.unwrap_err().kind(), ErrorKind::NotFound);
}
