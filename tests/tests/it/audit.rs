//! The audit trail on real stores: writers who meet, and stores that fail.

use std::sync::Arc;

use futures::future::join_all;
use lifeboat::aws::Aws;
use lifeboat::model::{BackupId, Operation};
use lifeboat::ops::audit::{AuditTrail, Intent, audit, audited};
use lifeboat::ops::{delete, holds, undelete};
use lifeboat::plan::audit::AuditFilter;
use lifeboat::store::ObjectStore;
use lifeboat::store::folder::FolderStore;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::vault::{Motive, Vault};
use lifeboat_tests::Bed;

use crate::rig::{Rig, run};

const WHY: Motive<'static> = Motive { reason: "the test", by: "test" };

async fn trail(vault: &Arc<Vault>) -> AuditTrail {
    audit(vault, &AuditFilter::default(), true).await.unwrap()
}

/// Many who do something at once, each through a vault that it opened itself.
async fn everybody_gets_a_place(store: Arc<dyn ObjectStore>) {
    const WRITERS: u64 = 12;
    let rig = Rig::on(store).await;
    let writers = (0..WRITERS).map(|_| {
        let vault = Arc::clone(&rig.vault);
        tokio::spawn(async move { audited(&vault, &run(), Intent::to(Operation::Release), async { Ok(()) }).await })
    });
    join_all(writers).await.into_iter().for_each(|done| done.unwrap().unwrap());
    let trail = trail(&rig.vault).await;
    let numbers: Vec<u64> = trail.entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, Vec::from_iter(1..=2 * WRITERS));
    assert_eq!((trail.findings, trail.unended), (Some(vec![]), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_everybody_gets_a_place_in_a_folder() {
    let scratch = Bed::get().scratch_dir();
    everybody_gets_a_place(Arc::new(FolderStore::new(scratch.path()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_everybody_gets_a_place_in_s3() {
    let moto = Bed::get().moto().await;
    let settings = S3Settings { bucket: moto.fresh_bucket().await, ..S3Settings::default() };
    everybody_gets_a_place(Arc::new(S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap())).await;
}

/// The trail tells of what a backup, a restore and others did to it, and of nothing that did not happen.
#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_backup_can_be_read_from_the_trail() {
    let source = Bed::get().server(17).await.create_database().await;
    source.sql("CREATE TABLE t AS SELECT generate_series(1, 100) AS id").await;
    let (rig, run) = (Rig::new().await, run());
    let intent = |operation| Intent::to(operation).database(&crate::rig::name());
    let options = rig.options().await;
    let made = rig.try_backup(&source, &options);
    let made = audited(&rig.vault, &run, intent(Operation::Backup), made).await.unwrap();
    let (db, id): (_, BackupId) = (rig.database().await, made.backup.id.clone());
    let of = |operation| intent(operation).backup(&id);
    audited(&rig.vault, &run, of(Operation::Hold), holds::hold(&db, &id, None, WHY)).await.unwrap();
    let refused = audited(&rig.vault, &run, of(Operation::Delete), delete(&db, &id, true, WHY)).await.unwrap_err();
    assert!(refused.message().contains("held"), "{refused}");
    audited(&rig.vault, &run, of(Operation::Release), holds::release(&db, &id, None, WHY)).await.unwrap();
    audited(&rig.vault, &run, of(Operation::Delete), delete(&db, &id, true, WHY)).await.unwrap();
    audited(&rig.vault, &run, of(Operation::Undelete), undelete(&db, &id, WHY)).await.unwrap();
    let trail = trail(&rig.vault).await;
    let told: Vec<String> =
        trail.entries.iter().map(|entry| format!("{} {}", entry.deed.operation, entry.deed.status.as_str())).collect();
    assert_eq!(
        told,
        [
            "backup done",
            "hold done",
            "delete announced",
            "delete failed",
            "release announced",
            "release done",
            "delete announced",
            "delete done",
            "undelete done"
        ]
    );
    assert!(trail.entries.iter().all(|entry| entry.deed.backup.as_ref() == Some(&id)));
    assert_eq!(trail.entries[0].deed.stored_bytes, Some(made.backup.stored_bytes));
    assert_eq!(trail.entries[3].deed.error.as_deref(), Some("conflict"));
    assert_eq!((trail.findings, trail.unended), (Some(vec![]), vec![]));
}
