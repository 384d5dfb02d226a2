//! Operations over a store that fails: at its first call, at its second, and so on until the operation is through.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use jiff::Timestamp;
use lifeboat::model::{BackupId, Depth};
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::restore::{RestoreOptions, plan, restore};
use lifeboat::ops::verify::verify;
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::{Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, Tries, list_all};
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat::{Error, ErrorKind, Result};
use lifeboat_tests::{Bed, PrivateServer, Server, TestDb, soak};
use secrecy::SecretString;

use crate::faults::require_whole;
use crate::rig::{connect, name, run};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One call is not served.
    Refused,
    /// Nothing is served for a while.
    Outage,
    /// A write is done, but nobody hears of it.
    ReplyLost,
    /// A write fails, and is done after all when the operation has ended.
    DoneLater,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Refused, Self::Outage, Self::ReplyLost, Self::DoneLater];

    /// Calls that it lasts for.
    fn calls(self) -> i64 {
        match self {
            Self::Outage => 5,
            _ => 1,
        }
    }

    fn is_about_writes(self) -> bool {
        matches!(self, Self::ReplyLost | Self::DoneLater)
    }
}

/// A store that fails from one call on. Faults of writes count writes only.
#[derive(Debug)]
pub struct Failing {
    inner: Arc<MemoryStore>,
    fault: Fault,
    first: i64,
    calls: AtomicI64,
    late: Mutex<Vec<(String, Bytes)>>,
}

impl Failing {
    fn from(inner: Arc<MemoryStore>, fault: Fault, first: i64) -> Arc<Self> {
        Arc::new(Self { inner, fault, first, calls: AtomicI64::new(0), late: Mutex::default() })
    }

    /// One that only counts.
    pub fn never(inner: Arc<MemoryStore>) -> Arc<Self> {
        Self::from(inner, Fault::Refused, i64::MAX / 2)
    }

    pub fn calls(&self) -> i64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn has_failed(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.first
    }

    fn is_now(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        (self.first..self.first + self.fault.calls()).contains(&call)
    }

    fn serve(&self) -> Result<()> {
        match !self.fault.is_about_writes() && self.is_now() {
            true => Err(failure()),
            false => Ok(()),
        }
    }

    /// What was under way arrives.
    async fn deliver(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for (key, body) in late {
            self.inner.put_new(&key, body, Tries::Many).await.unwrap();
        }
    }
}

fn failure() -> Error {
    Error::vault("the store did not answer")
}

#[async_trait]
impl ObjectStore for Failing {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        self.serve()?;
        let is_now = self.fault.is_about_writes() && self.is_now();
        if is_now && self.fault == Fault::DoneLater {
            self.late.lock().unwrap().push((key.to_owned(), body));
            return Err(failure());
        }
        let put = self.inner.put_new_hashed(key, body, sha256, tries).await?;
        if is_now { Err(failure()) } else { Ok(put) }
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.serve()?;
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.serve()?;
        self.inner.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        self.serve()?;
        self.inner.head(key).await
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        self.serve()?;
        self.inner.list_page(prefix, after, limit).await
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.serve()?;
        self.inner.list_names(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        self.serve()?;
        self.inner.delete(key).await
    }

    async fn now(&self) -> Result<Timestamp> {
        self.serve()?;
        self.inner.now().await
    }
}

/// What every attempt begins with: a server, a database, and a vault with a backup of it.
struct World {
    master: SecretString,
    store: Arc<MemoryStore>,
    db: TestDb,
    backup: BackupId,
    server: PrivateServer,
}

/// One attempt at an operation, and what is its own: attempts run beside each other.
struct Attempt<'a> {
    world: &'a World,
    /// A database name that no other attempt has.
    target: String,
}

/// Something that people start, and what must hold whenever it has ended.
#[async_trait(?Send)]
trait Operation {
    /// What is there before the first run.
    async fn prepare(&self, _: &Attempt<'_>) {}

    async fn act(&self, vault: &Arc<Vault>, attempt: &Attempt<'_>) -> Result<()>;

    /// After a run that succeeded or failed.
    async fn check(&self, vault: &Arc<Vault>, attempt: &Attempt<'_>, succeeded: bool);

    /// What is there after the last run, beside the world.
    async fn tidy(&self, _: &Attempt<'_>) {}
}

impl World {
    async fn new() -> Self {
        let server = Bed::get().private_server(17, &[]).await;
        let db = server.create_database().await;
        db.sql(
            "CREATE TYPE mood AS ENUM ('sad', 'ok');
             CREATE TABLE a AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 5000) i;
             CREATE TABLE b (id serial PRIMARY KEY, mood mood); INSERT INTO b (mood) VALUES ('ok'), ('sad')",
        )
        .await;
        let master = MasterKey::random().to_base64().unwrap();
        let store = Arc::new(MemoryStore::new());
        let vault = Vault::init(store.clone(), MasterKey::from_base64(&master).unwrap(), 72, 24).await.unwrap();
        let backup = back_up(&Arc::new(vault), &db).await.unwrap();
        db.sql("UPDATE a SET padding = 'new' WHERE id = 1").await;
        Self { master, store, db, backup, server }
    }

    async fn open(&self, store: Arc<dyn ObjectStore>) -> Result<Arc<Vault>> {
        Ok(Arc::new(Vault::open(store, MasterKey::from_base64(&self.master).unwrap()).await?))
    }

    /// Once for each call that the operation makes, with each of the faults.
    async fn sweep(&self, operation: &dyn Operation, faults: &[Fault]) {
        const MOST: i64 = 400;
        for fault in faults {
            let mut calls = 0;
            // Each attempt comes to its end, also those beyond the last call.
            while calls < MOST {
                let tried = (calls..calls + 3).map(|call| self.fails_at(operation, *fault, call));
                let failed = join_all(tried).await.into_iter().filter(|failed| *failed).count() as i64;
                calls += failed;
                if failed < 3 {
                    break;
                }
            }
            assert!((1..MOST).contains(&calls), "{fault:?}: {calls} calls");
        }
        assert_eq!(databases(&self.server).await, ["postgres", self.db.name()], "what no run may leave behind");
    }

    /// A run during which this call fails, and one that nothing hinders; whether there was such a call.
    async fn fails_at(&self, operation: &dyn Operation, fault: Fault, call: i64) -> bool {
        let fault_name = format!("{fault:?}").to_lowercase();
        let attempt = Attempt { world: self, target: format!("target_{fault_name}_{call}") };
        operation.prepare(&attempt).await;
        let store = copy_of(&*self.store).await;
        let failing = Failing::from(Arc::clone(&store), fault, call);
        let outcome = match self.open(failing.clone()).await {
            Ok(vault) => operation.act(&vault, &attempt).await,
            Err(error) => Err(error),
        };
        let when = format!("call {call}, {fault:?}: {outcome:?}");
        if let Err(error) = &outcome {
            assert_eq!(error.kind(), ErrorKind::Vault, "{when}");
        }
        failing.deliver().await;
        let vault = self.open(store).await.unwrap();
        require_whole(&vault, &when).await;
        operation.check(&vault, &attempt, outcome.is_ok()).await;
        operation.act(&vault, &attempt).await.unwrap_or_else(|error| panic!("the run after {when}: {error}"));
        require_whole(&vault, &format!("after the run after {when}")).await;
        operation.check(&vault, &attempt, true).await;
        operation.tidy(&attempt).await;
        failing.has_failed()
    }
}

/// A store with the same objects.
async fn copy_of(store: &dyn ObjectStore) -> Arc<MemoryStore> {
    let copy = MemoryStore::new();
    for object in list_all(store, "").await.unwrap() {
        copy.put_new(&object.key, store.get(&object.key).await.unwrap(), Tries::Many).await.unwrap();
    }
    Arc::new(copy)
}

async fn databases(server: &Server) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";
    server.client("postgres").await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn back_up(vault: &Arc<Vault>, db: &TestDb) -> Result<BackupId> {
    let mut options = BackupOptions::new(name(), "manual".parse().unwrap());
    options.pg_dump = Some(Bed::get().pg_dump().await);
    Ok(backup(vault, &connect(&db.url()).await, &options, &run()).await?.backup.id)
}

struct Backup;

#[async_trait(?Send)]
impl Operation for Backup {
    async fn act(&self, vault: &Arc<Vault>, attempt: &Attempt<'_>) -> Result<()> {
        back_up(vault, &attempt.world.db).await.map(drop)
    }

    async fn check(&self, vault: &Arc<Vault>, _: &Attempt<'_>, succeeded: bool) {
        let listed = vault.database(&name()).await.unwrap().live().await.unwrap().len();
        assert!(listed > usize::from(succeeded), "{listed} are listed");
    }
}

struct Verify(Depth);

#[async_trait(?Send)]
impl Operation for Verify {
    async fn act(&self, vault: &Arc<Vault>, attempt: &Attempt<'_>) -> Result<()> {
        let scratch = connect(&attempt.world.server.admin_url()).await;
        let database = vault.database(&name()).await?;
        let report = verify(&database, &attempt.world.backup, self.0, Some(&scratch), &run()).await?;
        assert!(report.ok, "a store that fails is no damage: {report:?}");
        Ok(())
    }

    async fn check(&self, vault: &Arc<Vault>, attempt: &Attempt<'_>, succeeded: bool) {
        let database = vault.database(&name()).await.unwrap();
        let verdicts = database.verdicts(&attempt.world.backup).await.unwrap();
        assert!(verdicts.iter().all(|verdict| verdict.ok), "{verdicts:?}");
        let at_depth = verdicts.iter().filter(|verdict| verdict.depth == self.0).count();
        assert!(at_depth >= usize::from(succeeded), "{verdicts:?}");
    }
}

/// Into a new database, or in the place of another.
struct Restore {
    replaces: bool,
}

impl Restore {
    async fn rows(attempt: &Attempt<'_>) -> Option<i64> {
        let server = &attempt.world.server;
        if !databases(server).await.contains(&attempt.target) {
            return None;
        }
        let client = server.client(&attempt.target).await;
        let rows = client.query_opt("SELECT count(*) FROM a", &[]).await;
        Some(rows.ok().flatten().map_or(0, |row| row.get(0)))
    }
}

#[async_trait(?Send)]
impl Operation for Restore {
    async fn prepare(&self, attempt: &Attempt<'_>) {
        if self.replaces {
            let server = &attempt.world.server;
            server.sql("postgres", &format!("CREATE DATABASE {} TEMPLATE template0", attempt.target)).await;
            server.sql(&attempt.target, "CREATE TABLE a AS SELECT 1 AS old").await;
        }
    }

    async fn act(&self, vault: &Arc<Vault>, attempt: &Attempt<'_>) -> Result<()> {
        let server = connect(&attempt.world.server.admin_url()).await;
        let database = vault.database(&name()).await?;
        let pg_dump = Some(Bed::get().pg_dump().await);
        let into = Some(attempt.target.clone());
        let options = RestoreOptions { into, clean: self.replaces, pg_dump, ..RestoreOptions::default() };
        let plan = plan(&database, &attempt.world.backup, &server, &options, &run()).await?;
        let report = restore(&database, &plan, true, &run()).await?;
        assert!(report.proof.ok && report.proof.tables_equal == 2, "{report:?}");
        // What is there now stands in the way of the same restore, unless that replaces it.
        if !self.replaces {
            attempt.world.server.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", attempt.target)).await;
        }
        Ok(())
    }

    async fn check(&self, _: &Arc<Vault>, attempt: &Attempt<'_>, succeeded: bool) {
        let rows = Self::rows(attempt).await;
        match (self.replaces, succeeded) {
            (true, true) => assert_eq!(rows, Some(5000)),
            (true, false) => assert_eq!(rows, Some(1), "the old one stays"),
            (false, true) => assert_eq!(rows, None),
            // Unfinished, or never begun: the next run goes on there.
            (false, false) => assert!(rows.is_none_or(|rows| rows <= 5000)),
        }
    }

    async fn tidy(&self, attempt: &Attempt<'_>) {
        attempt.world.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", attempt.target)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_call_of_the_store_fails_every_listed_backup_is_whole_and_the_next_run_succeeds() {
    World::new().await.sweep(&Backup, &Fault::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_over_a_store_that_fails_tells_that_and_blames_no_backup() {
    let world = World::new().await;
    world.sweep(&Verify(Depth::Quick), &Fault::ALL).await;
    world.sweep(&Verify(Depth::Full), &Fault::ALL).await;
    world.sweep(&Verify(Depth::Restore), soak(&[Fault::Refused, Fault::ReplyLost][..], &Fault::ALL[..])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_over_a_store_that_fails_goes_on_when_it_is_run_again() {
    World::new().await.sweep(&Restore { replaces: false }, &[Fault::Refused, Fault::Outage]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_over_a_store_that_fails_keeps_the_old_database_until_it_is_run_again() {
    World::new().await.sweep(&Restore { replaces: true }, soak(&[Fault::ReplyLost][..], &Fault::ALL[..])).await;
}
