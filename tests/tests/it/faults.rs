//! Backups and restores that are disturbed: by signals, by a second worker at the same job.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat::model::{BackupId, Depth};
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::restore::{RestoreOptions, plan, restore};
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, Event, Observer, Run};
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::{Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, Tries};
use lifeboat::vault::Vault;
use lifeboat::{ErrorKind, Result};
use lifeboat_tests::{Bed, TestDb, soak};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::Semaphore;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::program::{Program, signal};
use crate::rig::{Rig, connect, name, run};

/// Every listed backup passes full verification; gives how many there are.
pub async fn require_whole(vault: &Arc<Vault>, when: &str) -> usize {
    let database = vault.database(&name()).await.unwrap();
    let listed = database.live().await.unwrap();
    for id in &listed {
        let verdict = verify(&database, id, Depth::Full, None, &run()).await.unwrap();
        assert!(verdict.ok, "{when}: {verdict:?}");
    }
    listed.len()
}

/// A store that holds manifests back until told to let them pass, as a network that delivers late does.
#[derive(Debug)]
struct LateManifests {
    inner: Arc<MemoryStore>,
    arrived: Semaphore,
    pass: Semaphore,
    holds: AtomicBool,
}

impl LateManifests {
    fn new(inner: Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { inner, arrived: Semaphore::new(0), pass: Semaphore::new(0), holds: AtomicBool::new(true) })
    }
}

#[async_trait]
impl ObjectStore for LateManifests {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        if key.ends_with("/manifest.json") && self.holds.swap(false, Ordering::Relaxed) {
            self.arrived.add_permits(1);
            self.pass.acquire().await.unwrap().forget();
        }
        self.inner.put_new_hashed(key, body, sha256, tries).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.inner.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        self.inner.head(key).await
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.inner.list_page(prefix, after, limit).await
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list_names(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        self.inner.delete(key).await
    }

    async fn now(&self) -> Result<Timestamp> {
        self.inner.now().await
    }
}

/// A job of which one worker hangs just before it publishes, until after its deadline.
struct Hanging {
    rig: Arc<Rig>,
    db: Arc<TestDb>,
    options: BackupOptions,
    store: Arc<MemoryStore>,
    late: Arc<LateManifests>,
    zombie: tokio::task::JoinHandle<Result<BackupReport>>,
}

impl Hanging {
    async fn begin() -> Self {
        let db = Arc::new(Bed::get().server(17).await.create_database().await);
        db.sql("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 1000) i").await;
        let store = Arc::new(MemoryStore::new());
        let late = LateManifests::new(Arc::clone(&store));
        let rig = Arc::new(Rig::on(late.clone()).await);
        let options = BackupOptions { job: Some("daily-2026-11-21".to_owned()), ..rig.options().await };
        let zombie = {
            let (rig, db, options) = (Arc::clone(&rig), Arc::clone(&db), options.clone());
            let run = Run { deadline: Some(Timestamp::now() + SignedDuration::from_mins(3)), ..rig.run.clone() };
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || {
                runtime.block_on(async { backup(&rig.vault, &connect(&db.url()).await, &options, &run).await })
            })
        };
        late.arrived.acquire().await.unwrap().forget();
        Self { rig, db, options, store, late, zombie }
    }

    async fn another(&self) -> Result<BackupReport> {
        self.rig.try_backup(&self.db, &self.options).await
    }

    async fn live(&self) -> Vec<BackupId> {
        self.rig.database().await.live().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_job_is_taken_over_and_what_it_publishes_late_does_not_count() {
    let hanging = Hanging::begin().await;
    assert_eq!(hanging.another().await.unwrap_err().kind(), ErrorKind::Conflict, "its deadline has not come");
    hanging.store.advance(SignedDuration::from_mins(4));
    let successor = hanging.another().await.unwrap().backup;
    hanging.late.pass.add_permits(1);
    let Hanging { rig, zombie, .. } = hanging;
    assert_eq!(zombie.await.unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(rig.database().await.published().await.unwrap(), [successor.id]);
    assert_eq!(require_whole(&rig.vault, "at the end").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_published_after_its_deadline_is_withdrawn_and_its_job_can_be_done_again() {
    let mut hanging = Hanging::begin().await;
    hanging.store.advance(SignedDuration::from_mins(4));
    hanging.late.pass.add_permits(1);
    assert_eq!((&mut hanging.zombie).await.unwrap().unwrap_err().kind(), ErrorKind::OutOfTime);
    assert!(hanging.live().await.is_empty());
    let again = hanging.another().await.unwrap().backup;
    assert_eq!(hanging.live().await, [again.id]);
    assert_eq!(require_whole(&hanging.rig.vault, "at the end").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_asked_for_twice_is_done_once() {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 1000) i").await;
    let rig = Rig::new().await;
    let options = BackupOptions { job: Some("daily-2026-11-21".to_owned()), ..rig.options().await };
    let (one, other) = tokio::join!(rig.try_backup(&db, &options), rig.try_backup(&db, &options));
    let done: Vec<BackupReport> = [one, other]
        .into_iter()
        .filter_map(|outcome| outcome.inspect_err(|e| assert_eq!(e.kind(), ErrorKind::Conflict, "{e}")).ok())
        .collect();
    let again = rig.try_backup(&db, &options).await.unwrap();
    assert!(!done.is_empty() && done.iter().all(|report| *report == again), "{done:?} {again:?}");
    assert_eq!(rig.database().await.published().await.unwrap(), [again.backup.id]);
}

/// Asks to stop at the n-th thing that happens.
struct StopsAt {
    left: AtomicI64,
    cancel: CancellationToken,
}

impl StopsAt {
    fn run(event: i64) -> (Run, Arc<Self>) {
        let cancel = CancellationToken::new();
        let stops = Arc::new(Self { left: AtomicI64::new(event), cancel: cancel.clone() });
        (Run { cancel, observer: stops.clone(), ..run() }, stops)
    }

    fn has_stopped(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

impl Observer for StopsAt {
    fn on(&self, _: &Event) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.cancel.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_stopped_at_any_moment_ends_proven_when_it_is_run_again() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    lifeboat_tests::data::load_shop(&source.client().await, 0.1).await;
    source.sql("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 600000) i").await;
    let rig = Rig::new().await;
    let id = rig.backup(&source).await.backup.id;
    let database = rig.database().await;
    let target = server.adopt_database(&format!("{}_copy", source.name()));
    let options = RestoreOptions { into: Some(target.name().to_owned()), ..RestoreOptions::default() };
    let connector = connect(&server.admin_url()).await;
    let mut stopped = 0;
    // Each run goes a little further than the one before, over the same half-made database.
    let report = loop {
        let (run, stops) = StopsAt::run(stopped * 2);
        let plan = plan(&database, &id, &connector, &options, &run).await;
        let outcome = match plan {
            Ok(plan) => restore(&database, &plan, true, &run).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(report) => break report,
            Err(error) => {
                assert!(stops.has_stopped() && error.kind() == ErrorKind::OutOfTime, "{stopped}: {error}");
                stopped += 1;
                assert!(stopped < 100, "it never ends");
            }
        }
    };
    assert!(stopped > 3 && report.proof.ok, "{stopped} {report:?}");
}

/// Milliseconds from the first words on.
fn kills_at_random(count: usize, latest_ms: u64) -> impl Iterator<Item = (&'static str, u64)> {
    std::iter::repeat_with(move || ("KILL", rand::random_range(0..latest_ms))).take(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_leaves_nothing_listed_no_session_and_no_obstacle() {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 500000) i").await;
    let program = Program::with_vault(&db).await;
    let moments = [("KILL", 0), ("KILL", 700), ("KILL", 2500), ("TERM", 0), ("TERM", 2500), ("INT", 0), ("INT", 2500)];
    for (name, after_ms) in moments.into_iter().chain(kills_at_random(soak(0, 60), 4000)) {
        let mut child = program.command_with(&["backup", "--max-rate", "500kB"], &[]).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        // Its first words: from here on it listens for signals.
        let first = said.next_line().await.unwrap();
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        signal(&child, name).await;
        let rest = async { while said.next_line().await.unwrap_or_default().is_some() {} };
        let (ended, ()) = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(child.wait(), rest) })
            .await
            .unwrap_or_else(|_| panic!("it goes on after SIG{name} at {after_ms} ms"));
        if name != "KILL" {
            assert_eq!(ended.unwrap().code(), Some(11), "after SIG{name} at {after_ms} ms: {first:?}");
        }
        require_no_session(&db).await;
        let listed = program.run(&["list", "--json"]).await;
        assert!(matches!(listed.stdout.trim(), "[]" | ""), "after SIG{name} at {after_ms} ms: {listed:?}");
    }
    program.succeed(&["backup"]).await;
    program.succeed(&["verify", "latest", "--depth", "full"]).await;
    let listed: Value = serde_json::from_str(&program.succeed(&["list", "--json"]).await).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_ends_proven_when_it_is_run_again() {
    let server = Bed::get().server(17).await;
    let db = server.create_database().await;
    db.sql("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 1000000) i").await;
    let gate = Gate::in_the_way_of(&db).await;
    let program = Program::with_vault(&db).await;
    program.succeed(&["backup"]).await;
    let moments = [("KILL", 0), ("KILL", 600), ("TERM", 600), ("INT", 0)];
    for (number, (name, after_ms)) in moments.into_iter().chain(kills_at_random(soak(0, 40), 2000)).enumerate() {
        let target = server.adopt_database(&format!("{}_copy_{number}", db.name()));
        let arguments = ["restore", "latest", "--into", target.name(), "--json"];
        gate.close().await;
        let mut child = program.command_with(&arguments, &[]).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = said.next_line().await.unwrap();
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        signal(&child, name).await;
        let ended = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await;
        let ended = ended.unwrap_or_else(|_| panic!("it goes on after SIG{name} at {after_ms} ms")).unwrap();
        if name != "KILL" {
            assert_eq!(ended.status.code(), Some(11), "after SIG{name} at {after_ms} ms: {first:?}");
        }
        gate.open().await;
        let report: Value = serde_json::from_str(&program.succeed(&arguments).await).unwrap();
        assert_eq!(report["proof"]["ok"], true, "after SIG{name} at {after_ms} ms: {report}");
        require_no_session(&target).await;
    }
}

/// An index that no restore gets past while the gate is closed, however fast the machine is.
struct Gate {
    keeper: Client,
    lock: u32,
}

impl Gate {
    async fn in_the_way_of(db: &TestDb) -> Self {
        let lock = std::process::id();
        db.sql(&format!(
            "CREATE FUNCTION passes(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
                 WHILE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objid = {lock}) LOOP
                     PERFORM pg_catalog.pg_sleep(0.05);
                 END LOOP;
                 RETURN id;
             END $$;
             CREATE TABLE gate (id int); INSERT INTO gate VALUES (1); CREATE INDEX ON gate (passes(id))"
        ))
        .await;
        Self { keeper: db.server().client("postgres").await, lock }
    }

    async fn close(&self) {
        self.keeper.batch_execute(&format!("SELECT pg_advisory_lock({})", self.lock)).await.unwrap();
    }

    async fn open(&self) {
        self.keeper.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    }
}

/// Soon nobody is left in the database.
async fn require_no_session(db: &TestDb) {
    let client = db.client().await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..100 {
        if client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("a session stays behind");
}
