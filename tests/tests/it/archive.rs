//! Archived backups: apart from all others, frozen by the store's rules, thawed on request.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use lifeboat::ErrorKind;
use lifeboat::aws::Aws;
use lifeboat::model::{BackupId, Depth, Storage, Tier};
use lifeboat::ops::cleanup::{CleanupOptions, Confirmed, cleanup};
use lifeboat::ops::restore::{RestoreOptions, plan};
use lifeboat::ops::thaw::ThawRequest;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{CopyOptions, copy, delete};
use lifeboat::plan::retention::Policy;
use lifeboat::store::folder::FolderStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::store::{ThawTier, list_all};
use lifeboat::vault::{DatabaseVault, Motive};
use lifeboat_tests::{Bed, TestDb, data};

use crate::rig::{Rig, connect, run};

const WHY: Motive<'static> = Motive { reason: "the test", by: "test" };

impl Rig {
    async fn archive(&self, source: &TestDb) -> BackupId {
        let mut options = self.options().await;
        options.tier = "monthly".parse::<Tier>().unwrap();
        options.storage = Storage::Archive;
        self.try_backup(source, &options).await.unwrap().backup.id
    }
}

async fn keys(db: &DatabaseVault, prefix: &str) -> Vec<String> {
    list_all(db.store(), prefix).await.unwrap().into_iter().map(|object| object.key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_backup_shares_nothing_and_goes_as_a_whole() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    data::load_shop(&source.client().await, 0.05).await;
    let memory = Arc::new(MemoryStore::default());
    let rig = Rig::on(memory.clone()).await;
    let first = rig.backup(&source).await.backup;
    let archived = rig.archive(&source).await;
    let last = rig.backup(&source).await.backup;
    let db = rig.database().await;
    let manifests = [db.manifest(&archived).await.unwrap(), db.manifest(&last.id).await.unwrap()];
    assert_eq!(manifests[0].parent, None, "it stores everything again");
    assert_eq!(manifests[1].parent.as_ref(), Some(&first.id), "nobody builds on it");
    assert!(last.new_bytes < first.new_bytes / 5, "{last:?}");
    let shelf = db.layout.shelf(&manifests[0].row_shelf());
    let on_shelf = keys(&db, &shelf).await;
    let listed = db.pack_list(&manifests[0]).await.unwrap();
    let apart = listed.packs.iter().filter(|entry| entry.origin == lifeboat::model::PackOrigin::Archived);
    assert!(!on_shelf.is_empty() && on_shelf.len() == apart.count());

    // Whole where it is, whole in another place, and there apart as well.
    assert!(verify(&db, &archived, Depth::Full, None, &run()).await.unwrap().ok);
    let scratch = Bed::get().scratch_dir();
    let replica = rig.vault.open_replica(Arc::new(FolderStore::new(scratch.path()).unwrap())).await.unwrap();
    let there = db.open_replica(&replica).await.unwrap();
    let copied = copy(&db, &there, &archived, CopyOptions { verify: Some(Depth::Full) }, &run()).await.unwrap();
    assert!(copied.verified.is_some_and(|verdict| verdict.ok));
    assert_eq!(keys(&there, &shelf).await, on_shelf);
    let admin = connect(&server.admin_url()).await;
    let options = RestoreOptions { into: Some(format!("{}_archived", source.name())), ..RestoreOptions::default() };
    let planned = plan(&there, &archived, &admin, &options, &run()).await.unwrap();
    assert!(planned.thaw.is_none(), "nothing freezes in a folder");
    let restored = lifeboat::ops::restore::restore(&there, &planned, true, &run()).await.unwrap();
    server.adopt_database(&restored.target);
    assert!(restored.proof.ok && restored.proof.tables_equal > 3);

    // When it goes, its folder does, and the others have what they need.
    delete(&db, &archived, true, WHY).await.unwrap();
    memory.advance(SignedDuration::from_hours(80));
    let options = CleanupOptions {
        policy: Policy::default(),
        zone: TimeZone::UTC,
        limits: lifeboat::plan::retention::guard::Limits::default(),
        dry_run: false,
        confirmed: Confirmed::Nothing,
    };
    let report = cleanup(&db, &options, &run()).await.unwrap();
    assert_eq!(report.sweep.deleted_backups, [archived]);
    assert_eq!(keys(&db, &db.layout.archives()).await, Vec::<String>::new());
    for id in [&first.id, &last.id] {
        assert!(verify(&db, id, Depth::Full, None, &run()).await.unwrap().ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_rows_are_asked_for_and_restored_when_they_are_thawed() {
    let moto = Bed::get().moto().await;
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    data::load_shop(&source.client().await, 0.05).await;
    let bucket = moto.fresh_bucket().await;
    let settings = S3Settings { bucket: bucket.clone(), ..S3Settings::default() };
    let rig = Rig::on(Arc::new(S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap())).await;
    let archived = rig.archive(&source).await;
    let db = rig.database().await;
    let on_shelf = keys(&db, &db.layout.archives()).await;
    assert_eq!(moto.freeze_what_is_tagged(&bucket).await, on_shelf.len());

    let details = lifeboat::ops::show(&db, &archived).await.unwrap();
    assert_eq!(details.frost.frozen.objects, on_shelf.len() as u64, "what describes it can be read");
    assert!(verify(&db, &archived, Depth::Quick, None, &run()).await.unwrap().ok);
    let refused = verify(&db, &archived, Depth::Full, None, &run()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Confirmation);

    let admin = connect(&server.admin_url()).await;
    let into = Some(format!("{}_thawed", source.name()));
    let mut options = RestoreOptions { into, ..RestoreOptions::default() };
    let try_restore = async |options: &RestoreOptions| {
        let planned = plan(&db, &archived, &admin, options, &run()).await?;
        lifeboat::ops::restore::restore(&db, &planned, true, &run()).await
    };
    let planned = plan(&db, &archived, &admin, &options, &run()).await.unwrap().thaw.unwrap();
    assert_eq!(planned.offers.len(), 3);
    assert!(planned.frost.frozen.stored_bytes > 0 && planned.offers[0].cost > planned.offers[2].cost);
    let unasked = try_restore(&options).await.unwrap_err();
    assert!(unasked.kind() == ErrorKind::Confirmation && unasked.message().contains("are frozen"), "{unasked}");

    options.thaw = Some(ThawRequest::new(ThawTier::Standard, 2).unwrap());
    let asked = try_restore(&options).await.unwrap_err();
    assert!(asked.kind() == ErrorKind::Confirmation && asked.message().contains("being thawed"), "{asked}");
    assert!(asked.hint_text().is_some_and(|hint| hint.starts_with("try again at 2")), "{asked}");
    let details = lifeboat::ops::show(&db, &archived).await.unwrap();
    assert!(details.backup.held && details.holds.len() == 1, "what is thawed is held");

    let restored = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match try_restore(&options).await {
            Err(waiting) if waiting.kind() == ErrorKind::Confirmation => {}
            restored => break restored.unwrap(),
        }
    };
    server.adopt_database(&restored.target);
    assert!(restored.proof.ok && restored.proof.tables_equal > 3);
    assert!(verify(&db, &archived, Depth::Full, None, &run()).await.unwrap().ok);
    let thawed = lifeboat::ops::show(&db, &archived).await.unwrap().frost;
    assert!(thawed.is_readable() && thawed.thawed_until.is_some_and(|until| until > jiff::Timestamp::now()));
}
