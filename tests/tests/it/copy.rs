//! Copies of backups between places: S3, folders, and stores that lose whoever works on them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat::aws::Aws;
use lifeboat::model::{BackupId, Depth};
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, CopyOptions, CopyReport, copy};
use lifeboat::store::folder::FolderStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::store::{Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, Tries, list_all};
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat::{Error, Result};
use lifeboat_tests::{Bed, Server, TestDb, data, dumped_objects};
use secrecy::SecretString;
use tokio::sync::Notify;

use crate::faults::require_whole;
use crate::rig::{Rig, name, run};

const FULL: CopyOptions = CopyOptions { verify: Some(Depth::Full) };

async fn bucket() -> Arc<dyn ObjectStore> {
    let moto = Bed::get().moto().await;
    let bucket = moto.fresh_bucket().await;
    let settings = S3Settings { bucket, prefix: "some/prefix".to_owned(), ..S3Settings::default() };
    Arc::new(S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap())
}

fn folder(path: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(FolderStore::new(path).unwrap())
}

/// A copy, as the command line makes it; and the vault that it is in.
async fn copy_to(place: Arc<dyn ObjectStore>, from: &Arc<Vault>, id: &BackupId) -> Result<(Arc<Vault>, CopyReport)> {
    let replica = from.open_replica(place).await?;
    let source = from.database(&name()).await?;
    let target = source.open_replica(&replica).await?;
    let report = copy(&source, &target, id, FULL, &run()).await?;
    Ok((replica, report))
}

/// A restore of the backup from this vault has everything that its source has.
async fn require_equal(vault: &Arc<Vault>, backup: &BackupReport, server: &Server, source: &TestDb, into: &str) {
    let rig = Rig { vault: Arc::clone(vault), run: run() };
    let options = RestoreOptions { into: Some(format!("{}_{into}", source.name())), ..RestoreOptions::default() };
    let (restored, report) = rig.restore(backup, server, &options).await;
    assert!(report.proof.ok && report.proof.tables_equal > 5, "{report:?}");
    let dumps = [dumped_objects(server, source.name()).await, dumped_objects(server, restored.name()).await];
    assert!(dumps[0] == dumps[1], "the restored database differs from its source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_from_s3_to_a_folder_and_to_another_bucket_and_restores_from_each() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    data::load_shop(&source.client().await, 0.1).await;
    let rig = Rig::on(bucket().await).await;
    rig.backup(&source).await;
    source.sql("UPDATE orders SET status = status WHERE id % 7 = 0; COMMENT ON TABLE orders IS 'changed'").await;
    let backup = rig.backup(&source).await;
    let id = &backup.backup.id;
    let scratch = Bed::get().scratch_dir();
    let (pulled, report) = copy_to(folder(&scratch.path().join("local")), &rig.vault, id).await.unwrap();
    assert!(report.copied_packs > 2 && report.present_packs == 0, "{report:?}");
    assert_eq!(pulled.database(&name()).await.unwrap().live().await.unwrap(), std::slice::from_ref(id));
    require_equal(&pulled, &backup, &server, &source, "pulled").await;
    let (pushed, report) = copy_to(bucket().await, &pulled, id).await.unwrap();
    assert!(report.verified.as_ref().is_some_and(|verdict| verdict.ok), "{report:?}");
    require_equal(&pushed, &backup, &server, &source, "pushed").await;
    // Back to where it came from there is nothing to do.
    let (_, report) = copy_to(Arc::clone(&rig.vault.store), &pulled, id).await.unwrap();
    assert!(report.was_there && report.copied_packs == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_takes_backup_after_backup_and_each_brings_only_what_is_new() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    data::load_shop(&source.client().await, 0.1).await;
    let scratch = Bed::get().scratch_dir();
    let rig = Rig::on(folder(&scratch.path().join("one"))).await;
    let mut bytes = Vec::new();
    for day in 0..3 {
        source.sql(&format!("COMMENT ON TABLE orders IS 'day {day}'")).await;
        let backup = rig.backup(&source).await;
        let (replica, report) =
            copy_to(folder(&scratch.path().join("other")), &rig.vault, &backup.backup.id).await.unwrap();
        bytes.push(report.copied_bytes);
        assert_eq!(require_whole(&replica, "after a copy").await, day + 1);
    }
    assert!(bytes[1] < bytes[0] / 5 && bytes[2] < bytes[0] / 5, "{bytes:?}");
    // A backup may be made in the copy, as after the loss of the original, and go back.
    let replica = Vault::open_replica(&rig.vault, folder(&scratch.path().join("other"))).await.unwrap();
    let there = Rig { vault: replica, run: run() };
    let backup = there.backup(&source).await;
    let (_, report) = copy_to(folder(&scratch.path().join("one")), &there.vault, &backup.backup.id).await.unwrap();
    assert!(report.present_packs > 0 && report.verified.is_some_and(|verdict| verdict.ok));
    require_equal(&rig.vault, &backup, &server, &source, "back").await;
}

/// When a worker's machine goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    BeforeRequest,
    /// The request is served, but the worker never hears of it.
    AfterRequest,
}

/// The machine that a copy runs on: it goes out at one of the requests.
#[derive(Debug)]
struct Machine {
    death: Death,
    left: AtomicI64,
    is_out: Notify,
}

impl Machine {
    fn new(death: Death, at: i64) -> Arc<Self> {
        Arc::new(Self { death, left: AtomicI64::new(at), is_out: Notify::new() })
    }

    async fn request<T>(&self, served: impl Future<Output = T>) -> T {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 {
            return served.await;
        }
        if left == 0 && self.death == Death::AfterRequest {
            served.await;
        }
        self.is_out.notify_one();
        std::future::pending().await
    }
}

/// A store as a machine sees it.
#[derive(Debug)]
struct SeenFrom {
    machine: Arc<Machine>,
    inner: Arc<MemoryStore>,
    is_read_only: bool,
}

#[async_trait]
impl ObjectStore for SeenFrom {
    fn location(&self) -> String {
        format!("{:?}", self.inner)
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        if self.is_read_only {
            return Err(Error::configuration("the store refuses to write: AccessDenied"));
        }
        self.machine.request(self.inner.put_new_hashed(key, body, sha256, tries)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.machine.request(self.inner.get(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.machine.request(self.inner.get_range(key, range)).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        self.machine.request(self.inner.head(key)).await
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.machine.request(self.inner.list_page(prefix, after, limit)).await
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.machine.request(self.inner.list_names(prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        self.machine.request(self.inner.delete(key)).await
    }

    fn host_time(&self) -> Timestamp {
        self.inner.host_time()
    }

    async fn now(&self) -> Result<Timestamp> {
        self.machine.request(self.inner.now()).await
    }
}

/// Two places in memory; the first has two backups.
struct Places {
    master: SecretString,
    rig: Rig,
    source: Arc<MemoryStore>,
    first: BackupId,
    second: BackupId,
}

impl Places {
    async fn new() -> Self {
        let db = Bed::get().server(17).await.create_database().await;
        db.sql(
            "CREATE TABLE a AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 3000) i;
             CREATE TABLE b AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 3000) i",
        )
        .await;
        let source = Arc::new(MemoryStore::new());
        let master = MasterKey::random();
        let text = master.to_base64().unwrap();
        let vault = Vault::init(source.clone(), master, 72, 24).await.unwrap();
        let rig = Rig { vault: Arc::new(vault), run: run() };
        let first = rig.backup(&db).await.backup.id;
        db.sql("UPDATE a SET padding = 'new' WHERE id % 3 = 1; COMMENT ON TABLE b IS 'changed'").await;
        let second = rig.backup(&db).await.backup.id;
        Self { master: text, rig, source, first, second }
    }

    /// The source as somebody sees it.
    async fn open(&self, store: Arc<dyn ObjectStore>) -> Result<Arc<Vault>> {
        Ok(Arc::new(Vault::open(store, MasterKey::from_base64(&self.master)?).await?))
    }

    /// A place that has the first backup for so long already.
    async fn other(&self, hours: i64) -> Arc<MemoryStore> {
        let place = Arc::new(MemoryStore::new());
        copy_to(place.clone(), &self.rig.vault, &self.first).await.unwrap();
        place.advance(SignedDuration::from_hours(hours));
        place
    }

    async fn needed(&self) -> BTreeSet<String> {
        let db = self.rig.database().await;
        let mut needed = BTreeSet::new();
        for id in [&self.first, &self.second] {
            let manifest = db.manifest(id).await.unwrap();
            let list = db.pack_list(&manifest).await.unwrap();
            needed.extend(list.packs.iter().map(|entry| entry.pack.to_string()));
            needed.extend([manifest.pack_list.to_string(), manifest.catalogue.pack.to_string()]);
        }
        needed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_dies_at_any_request_publishes_all_or_nothing_and_is_completed_by_the_next() {
    let places = Places::new().await;
    let needed = places.needed().await;
    for (hours, death) in [(1, Death::BeforeRequest), (1000, Death::AfterRequest), (1000, Death::BeforeRequest)] {
        let mut at = 0;
        loop {
            let when = format!("{death:?} {at} in a place of {hours} h");
            let place = places.other(hours).await;
            let machine = Machine::new(death, at);
            let seen = |inner: &Arc<MemoryStore>| {
                Arc::new(SeenFrom { machine: machine.clone(), inner: inner.clone(), is_read_only: false })
            };
            let work = async {
                let source = places.open(seen(&places.source)).await?;
                copy_to(seen(&place), &source, &places.second).await
            };
            let outcome = tokio::select! {
                done = work => Some(done),
                () = machine.is_out.notified() => None,
            };
            let replica = places.rig.vault.open_replica(place.clone()).await.unwrap();
            let listed = require_whole(&replica, &when).await;
            match &outcome {
                None => assert!((1..=2).contains(&listed), "{when}: {listed}"),
                Some(done) => assert!(done.is_ok() && listed == 2, "{when}: {done:?}"),
            }
            let (replica, again) = copy_to(place.clone(), &places.rig.vault, &places.second).await.unwrap();
            assert!(again.verified.is_some_and(|verdict| verdict.ok), "{when}");
            assert_eq!(require_whole(&replica, &when).await, 2);
            let pool = list_all(&*place, "databases/shop/pool/").await.unwrap();
            let packs: Vec<&str> = pool.iter().filter_map(|object| object.key.get(23..87)).collect();
            assert_eq!(packs.len(), needed.len(), "{when}: copied twice");
            assert_eq!(packs.iter().map(|pack| (*pack).to_owned()).collect::<BTreeSet<_>>(), needed, "{when}");
            if outcome.is_some() {
                break;
            }
            // Each copy reads the holds that are there: with those of the dead ones the next would take ever more requests.
            for hold in list_all(&*places.source, "databases/shop/holds/").await.unwrap() {
                places.source.delete(&hold.key).await.unwrap();
            }
            at += 1;
        }
        assert!(at > 25, "only {at} requests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_the_source_copies_all_the_same() {
    let places = Places::new().await;
    let machine = Machine::new(Death::BeforeRequest, i64::MAX);
    let store = SeenFrom { machine, inner: places.source.clone(), is_read_only: true };
    let source = places.open(Arc::new(store)).await.unwrap();
    let (replica, report) = copy_to(Arc::new(MemoryStore::new()), &source, &places.second).await.unwrap();
    assert!(report.copied_packs > 0);
    let target = replica.database(&name()).await.unwrap();
    assert!(verify(&target, &places.second, Depth::Full, None, &run()).await.unwrap().ok);
}
