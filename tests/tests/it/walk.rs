//! Days of a vault in random order, with real databases and real stores: backups, archived ones too, of a table that changes;
//! deletions, holds, cleanups; and jobs that are cut off. At the end every backup that is listed is restored, and its rows are
//! compared with what the database held when it was made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use lifeboat::aws::Aws;
use lifeboat::model::{BackupId, Depth, Storage};
use lifeboat::ops::cleanup::{CleanupOptions, Confirmed, cleanup};
use lifeboat::ops::holds::{hold, release};
use lifeboat::ops::restore::{RestoreOptions, plan, restore};
use lifeboat::ops::verify::verify;
use lifeboat::ops::{delete, undelete};
use lifeboat::plan::retention::guard::Limits;
use lifeboat::plan::retention::{Policy, TierRules};
use lifeboat::postgres::Connector;
use lifeboat::store::ObjectStore;
use lifeboat::store::folder::FolderStore;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::vault::{DatabaseVault, Motive};
use lifeboat::{Error, ErrorKind, Result};
use lifeboat_tests::{Bed, Server, TestDb, soak};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::days::Days;
use crate::rig::{Rig, connect, run};

const WHY: Motive<'static> = Motive { reason: "the walk", by: "somebody" };
const STEPS: u32 = 30;

struct Walk {
    dice: StdRng,
    days: Arc<Days>,
    rig: Rig,
    source: TestDb,
    /// What the database held when each backup was made.
    digests: BTreeMap<BackupId, String>,
    /// And when each was begun that was cut off: nobody knows its name.
    cut_off: Vec<String>,
}

async fn digest(database: &TestDb) -> String {
    let sql = "SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY id), '')) FROM words t";
    database.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

impl Walk {
    async fn new(seed: u64, store: Arc<dyn ObjectStore>, server: &Server) -> Self {
        let source = server.create_database().await;
        source.sql("CREATE TABLE words (id bigserial PRIMARY KEY, word text); INSERT INTO words (word) SELECT md5(i::text) FROM generate_series(1, 3000) i").await;
        let days = Days::over(store);
        let rig = Rig::on(days.clone()).await;
        Self { dice: StdRng::seed_from_u64(seed), days, rig, source, digests: BTreeMap::new(), cut_off: Vec::new() }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    async fn change(&mut self) {
        let part = self.dice.random_range(2..40);
        let statements = [
            format!("UPDATE words SET word = word || 'x' WHERE id % {part} = 0"),
            format!("DELETE FROM words WHERE id % {part} = 1"),
            format!("INSERT INTO words (word) SELECT md5(i::text) FROM generate_series(1, {part} * 10) i"),
            "VACUUM FULL words".to_owned(),
        ];
        self.source.sql(statements.choose(&mut self.dice).unwrap()).await;
    }

    async fn back_up(&mut self) -> Result<()> {
        let mut options = self.rig.options().await;
        options.storage = if self.happens(20) { Storage::Archive } else { Storage::Pool };
        options.tier = "daily".parse().unwrap();
        let digest = digest(&self.source).await;
        let made = self.rig.try_backup(&self.source, &options);
        // Some machines go out in the middle of it.
        let cut_off_after = self.dice.random_range(50..1500);
        let cut_off = self.dice.random_range(0..100) < 20;
        let made = match cut_off {
            true => match tokio::time::timeout(Duration::from_millis(cut_off_after), made).await {
                Ok(made) => made?,
                // It may have been published with its last breath, or will be.
                Err(_) => {
                    self.cut_off.push(digest);
                    return Ok(());
                }
            },
            false => made.await?,
        };
        self.digests.insert(made.backup.id, digest);
        Ok(())
    }

    /// None before the first backup.
    async fn db(&self) -> Result<Option<DatabaseVault>> {
        match self.rig.vault.database(&crate::rig::name()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            db => db.map(Some),
        }
    }

    async fn step(&mut self) -> Result<()> {
        let Some(db) = self.db().await? else { return self.back_up().await };
        let published = db.published().await?;
        let picked = published.choose(&mut self.dice).cloned();
        match (self.dice.random_range(0..20), picked) {
            (0..6, _) | (_, None) => {
                self.change().await;
                self.back_up().await
            }
            (6..10, Some(id)) => verify(&db, &id, Depth::Full, None, &run()).await.map(|verdict| {
                assert!(verdict.ok, "{verdict:?}");
            }),
            (10..12, Some(id)) => delete(&db, &id, self.happens(50), WHY).await.map(drop),
            (12, Some(id)) => undelete(&db, &id, WHY).await.map(drop),
            (13, Some(id)) => hold(&db, &id, None, WHY).await.map(drop),
            (14, Some(id)) => release(&db, &id, None, WHY).await.map(drop),
            (15..17, Some(_)) => {
                let hours = *[1, 20, 50, 80].choose(&mut self.dice).unwrap();
                self.days.pass(SignedDuration::from_hours(hours));
                Ok(())
            }
            (_, Some(_)) => self.clean_up(&db).await,
        }
    }

    /// Sometimes beside a backup.
    async fn clean_up(&mut self, db: &DatabaseVault) -> Result<()> {
        let rules = TierRules { keep_at_least: std::num::NonZeroU32::MIN, ..TierRules::last(2) };
        let options = CleanupOptions {
            policy: Policy { tiers: [("daily".parse().unwrap(), rules)].into(), ..Policy::default() },
            zone: TimeZone::UTC,
            limits: Limits::default(),
            dry_run: false,
            confirmed: Confirmed::Whatever,
        };
        let run = run();
        let cleaned = cleanup(db, &options, &run);
        let cleaned = match self.happens(40) {
            true => {
                let (cleaned, made) = tokio::join!(cleaned, self.back_up());
                made?;
                cleaned
            }
            false => cleaned.await,
        };
        cleaned.map(drop)
    }

    /// Every listed backup comes back with what was in the database.
    async fn restore_all(&self, server: &Server) -> usize {
        let Some(db) = self.db().await.unwrap() else { return 0 };
        let admin: Connector = connect(&server.admin_url()).await;
        let live = db.live().await.unwrap();
        for (number, id) in live.iter().enumerate() {
            let into = Some(format!("{}_{number}", self.source.name()));
            let options = RestoreOptions { into, ..RestoreOptions::default() };
            let planned = plan(&db, id, &admin, &options, &run()).await.unwrap();
            let restored = restore(&db, &planned, true, &run()).await.unwrap();
            let database = server.adopt_database(&restored.target);
            assert!(restored.proof.ok, "{restored:?}");
            let found = digest(&database).await;
            match self.digests.get(id) {
                Some(expected) => assert_eq!(found, *expected, "{id}"),
                None => assert!(self.cut_off.contains(&found), "{id}"),
            }
        }
        live.len()
    }
}

async fn walk(seed: u64, store: Arc<dyn ObjectStore>) {
    let server = Bed::get().server(17).await;
    let mut walk = Walk::new(seed, store, &server).await;
    for step in 0..STEPS {
        let before = walk.days.ahead();
        match walk.step().await {
            // What is held, gone or condemned cannot be deleted, called back or verified: that is part of the walk.
            Err(error)
                if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Confirmation) =>
            {
                panic!("walk {seed}, step {step}, {before:?} on: {}", Error::message(&error));
            }
            _ => {}
        }
    }
    // A walk may end with everything deleted, but not before there was something.
    let restored = walk.restore_all(&server).await;
    assert!(restored > 0 || !walk.digests.is_empty(), "walk {seed} made nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_in_a_folder_every_listed_backup_restores_to_what_it_was() {
    for seed in 0..soak(2, 60) {
        let scratch = Bed::get().scratch_dir();
        walk(seed, Arc::new(FolderStore::new(scratch.path()).unwrap())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_in_s3_every_listed_backup_restores_to_what_it_was() {
    let moto = Bed::get().moto().await;
    for seed in 100..100 + soak(2, 60) {
        let settings = S3Settings { bucket: moto.fresh_bucket().await, ..S3Settings::default() };
        let store = S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap();
        walk(seed, Arc::new(store)).await;
    }
}
