//! What tests of operations share: a vault in memory, a connection, a run.

use std::sync::Arc;

use jiff::tz::TimeZone;
use lifeboat::model::{DatabaseName, Tier};
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::cleanup::{CleanupOptions, Confirmed, SweepReport, cleanup};
use lifeboat::ops::{BackupReport, Run, Silent};
use lifeboat::plan::retention::Policy;
use lifeboat::plan::retention::guard::Limits;
use lifeboat::postgres::{Connector, Dsn, Environment};
use lifeboat::store::ObjectStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat::vault::keys::MasterKey;
use lifeboat::vault::{DatabaseVault, Vault};
use lifeboat_tests::{Bed, TestDb};
use tokio_util::sync::CancellationToken;

/// A vault in memory, or wherever `store` keeps it.
pub struct Rig {
    pub vault: Arc<Vault>,
    pub run: Run,
}

impl Rig {
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default())).await
    }

    pub async fn on(store: Arc<dyn ObjectStore>) -> Self {
        let vault = Vault::init(store, MasterKey::random(), 72, 24).await.unwrap();
        Self { vault: Arc::new(vault), run: run() }
    }

    pub async fn options(&self) -> BackupOptions {
        let mut options = BackupOptions::new(name(), Tier::manual());
        options.pg_dump = Some(Bed::get().pg_dump().await);
        options
    }

    pub async fn backup(&self, source: &TestDb) -> BackupReport {
        self.try_backup(source, &self.options().await).await.unwrap()
    }

    pub async fn try_backup(&self, source: &TestDb, options: &BackupOptions) -> lifeboat::Result<BackupReport> {
        backup(&self.vault, &connect(&source.url()).await, options, &self.run).await
    }

    pub async fn database(&self) -> DatabaseVault {
        self.vault.database(&name()).await.unwrap()
    }
}

pub fn name() -> DatabaseName {
    "shop".parse().unwrap()
}

pub fn run() -> Run {
    Run { cancel: CancellationToken::new(), deadline: None, actor: "test".to_owned(), observer: Arc::new(Silent) }
}

pub async fn connect(url: &str) -> Connector {
    let dsn = Dsn::parse(url, &Environment::default()).unwrap();
    Connector::open(&dsn).await.unwrap()
}

/// What a cleanup by the default rules sweeps, whatever it has to let go of.
pub async fn sweep_of(db: &DatabaseVault) -> SweepReport {
    let options = CleanupOptions {
        policy: Policy::default(),
        zone: TimeZone::UTC,
        limits: Limits::default(),
        dry_run: false,
        confirmed: Confirmed::Whatever,
    };
    cleanup(db, &options, &run()).await.unwrap().sweep
}
