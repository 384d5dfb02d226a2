//! Drills on real servers: what is restored, looked at, kept, and left behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lifeboat::ErrorKind;
use lifeboat::model::{BackupId, CheckOutcome, Depth, Drill, Look, Targets};
use lifeboat::ops::drill::{Assertion, DrillOptions, drill, pick_backup, pick_of_each_tier};
use lifeboat::ops::{Event, Observer, Run};
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::{ObjectStore, Tries};
use lifeboat_tests::{Bed, PrivateServer, Server, TestDb, data};
use tokio_util::sync::CancellationToken;

use crate::days::Days;
use crate::rig::{Rig, connect, run};

const VERSIONS: [u32; 5] = [14, 15, 16, 17, 18];

async fn shop_on(server: &Server) -> TestDb {
    let database = server.create_database().await;
    data::load_shop(&database.client().await, 0.02).await;
    database
}

fn asserting(name: &str, sql: &str) -> Assertion {
    Assertion { name: name.to_owned(), sql: sql.to_owned() }
}

fn outcome(drill: &Drill, check: &str) -> CheckOutcome {
    drill.checks.iter().find(|known| known.name == check).unwrap_or_else(|| panic!("{check}: {drill:?}")).outcome
}

async fn scratch_databases(server: &PrivateServer) -> BTreeSet<String> {
    let named = "SELECT datname::text FROM pg_database WHERE datname LIKE 'lifeboat\\_%'";
    let rows = server.client("postgres").await.query(named, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_a_backup_of_every_version_on_a_server_of_that_version() {
    for major in VERSIONS {
        let source = shop_on(&Bed::get().server(major).await).await;
        let rig = Rig::new().await;
        let id = rig.backup(&source).await.backup.id;
        let elsewhere = Bed::get().private_server(major, &[]).await;
        let db = rig.database().await;
        let options = DrillOptions {
            targets: Targets { rto_ms: Some(3_600_000), rpo_ms: Some(3_600_000) },
            assertions: vec![
                asserting("orders are there", "SELECT count(*) > 10 FROM orders"),
                asserting("it cannot write", "SELECT current_setting('transaction_read_only')::boolean"),
            ],
            ..DrillOptions::default()
        };
        let server = connect(&elsewhere.admin_url()).await;
        let kept = drill(&db, &id, &server, &options, &run()).await.unwrap();
        let drill = &kept.drill;
        assert!(drill.ok, "{major}: {drill:?}");
        assert!(drill.checks.iter().all(|check| check.outcome == CheckOutcome::Passed), "{drill:?}");
        assert!(drill.rows > 100 && drill.restore_ms.is_some() && drill.loss_ms.is_some(), "{drill:?}");
        let steps: Vec<&str> = drill.steps.iter().map(|step| step.name.as_str()).collect();
        assert!(steps.contains(&"rows") && steps.contains(&"proof"), "{steps:?}");
        let verdict = db.verdicts(&id).await.unwrap().pop().unwrap();
        assert!(verdict.ok && verdict.depth == Depth::Restore, "{verdict:?}");
        assert_eq!(db.drills().await.unwrap(), (vec![kept.clone()], vec![]));
        assert_eq!(scratch_databases(&elsewhere).await, BTreeSet::new(), "it is dropped again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_restored_database_fails_the_drill_and_shows_no_row() {
    let source = shop_on(&Bed::get().server(17).await).await;
    source
        .sql(
            "CREATE TABLE secrets (word text); INSERT INTO secrets VALUES ('xyzzy');
         CREATE TABLE lost (id int, of int); INSERT INTO lost VALUES (1, 99);
         CREATE TABLE found (id int PRIMARY KEY);
         ALTER TABLE lost ADD CONSTRAINT lost_of FOREIGN KEY (of) REFERENCES found NOT VALID",
        )
        .await;
    let rig = Rig::new().await;
    let id = rig.backup(&source).await.backup.id;
    let elsewhere = Bed::get().private_server(17, &[]).await;
    let (db, server) = (rig.database().await, connect(&elsewhere.admin_url()).await);
    let wrong = [
        ("false", "SELECT false"),
        ("null", "SELECT NULL::boolean"),
        ("text", "SELECT word FROM secrets"),
        ("cast", "SELECT word::int > 0 FROM secrets"),
        ("nothing", "SELECT true WHERE false"),
        ("writes", "INSERT INTO secrets VALUES ('more') RETURNING true"),
        ("two", "SELECT true; SELECT true"),
    ];
    let options = DrillOptions {
        assertions: wrong.iter().map(|(name, sql)| asserting(name, sql)).collect(),
        ..DrillOptions::default()
    };
    let failed = drill(&db, &id, &server, &options, &run()).await.unwrap().drill;
    assert!(!failed.ok);
    assert_eq!(outcome(&failed, "restore"), CheckOutcome::Passed, "the backup itself is good");
    assert_eq!(outcome(&failed, "orphans"), CheckOutcome::Failed);
    for (name, _) in wrong {
        assert_eq!(outcome(&failed, &format!("assertion {name}")), CheckOutcome::Failed, "{failed:?}");
    }
    assert!(!format!("{failed:?}").contains("xyzzy"), "{failed:?}");
    assert!(db.verdicts(&id).await.unwrap().pop().unwrap().ok);

    let tolerant = DrillOptions { tolerated: [Look::Orphans].into(), ..DrillOptions::default() };
    let passed = drill(&db, &id, &server, &tolerant, &run()).await.unwrap().drill;
    assert!(passed.ok && outcome(&passed, "orphans") == CheckOutcome::Tolerated, "{passed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_was_backed_up_is_not_drilled_on_unless_it_may_be() {
    let source = shop_on(&Bed::get().server(17).await).await;
    let rig = Rig::new().await;
    let id = rig.backup(&source).await.backup.id;
    let (db, server) = (rig.database().await, connect(&source.server().admin_url()).await);
    let refused = drill(&db, &id, &server, &DrillOptions::default(), &run()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Preflight);
    assert_eq!(db.drills().await.unwrap().0, []);
    let options = DrillOptions { may_use_source: true, ..DrillOptions::default() };
    assert!(drill(&db, &id, &server, &options, &run()).await.unwrap().drill.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_damaged_fails_its_drill_and_is_known_as_bad() {
    let store = Arc::new(MemoryStore::new());
    let rig = Rig::on(store.clone()).await;
    let source = shop_on(&Bed::get().server(16).await).await;
    let id = rig.backup(&source).await.backup.id;
    let db = rig.database().await;
    let manifest = db.manifest(&id).await.unwrap();
    let pack = db.pack_list(&manifest).await.unwrap().packs[0].pack;
    let key = db.layout.pack(&pack);
    let mut bytes = store.get(&key).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.delete(&key).await.unwrap();
    store.put_new(&key, bytes.into(), Tries::Many).await.unwrap();

    let elsewhere = Bed::get().private_server(16, &[]).await;
    let server = connect(&elsewhere.admin_url()).await;
    let targets = Targets { rto_ms: Some(3_600_000), rpo_ms: Some(3_600_000) };
    let options = DrillOptions { targets, ..DrillOptions::default() };
    let failed = drill(&db, &id, &server, &options, &run()).await.unwrap().drill;
    assert!(!failed.ok && failed.restore_ms.is_none(), "{failed:?}");
    assert_eq!(outcome(&failed, "restore"), CheckOutcome::Failed);
    assert_eq!(outcome(&failed, "rows"), CheckOutcome::NotReached);
    assert_eq!(outcome(&failed, "rpo"), CheckOutcome::Failed, "there is no good backup");
    assert!(!db.verdicts(&id).await.unwrap().pop().unwrap().ok);
    assert_eq!(scratch_databases(&elsewhere).await, BTreeSet::new());
    assert!(pick_backup(&rig.vault, None, None).await.unwrap().is_none(), "known damage needs no drill");
}

/// Stops, or hangs, when a step begins.
struct At {
    step: &'static str,
    cancel: Option<CancellationToken>,
    reached: tokio::sync::Notify,
}

impl Observer for At {
    fn on(&self, event: &Event) {
        if *event == (Event::Step { name: self.step }) {
            self.reached.notify_one();
            if let Some(cancel) = &self.cancel {
                cancel.cancel();
            }
        }
    }
}

fn watched(at: &Arc<At>) -> Run {
    let cancel = at.cancel.clone().unwrap_or_default();
    Run { cancel, observer: Arc::clone(at) as Arc<dyn Observer>, ..run() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_is_stopped_says_so_and_leaves_nothing() {
    let source = shop_on(&Bed::get().server(17).await).await;
    let rig = Rig::new().await;
    let id = rig.backup(&source).await.backup.id;
    let elsewhere = Bed::get().private_server(17, &[]).await;
    let (db, server) = (rig.database().await, connect(&elsewhere.admin_url()).await);
    for (step, count) in [("schema", 1), ("checks", 2)] {
        let at = Arc::new(At { step, cancel: Some(CancellationToken::new()), reached: tokio::sync::Notify::new() });
        let stopped = drill(&db, &id, &server, &DrillOptions::default(), &watched(&at)).await.unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::OutOfTime, "{step}: {stopped}");
        let (kept, damaged) = db.drills().await.unwrap();
        assert_eq!((kept.len(), damaged), (count, vec![]));
        assert!(!kept[0].drill.ok && outcome(&kept[0].drill, "restore") == CheckOutcome::Failed, "{kept:?}");
        assert_eq!(db.verdicts(&id).await.unwrap(), [], "nothing was proven, neither way");
        assert_eq!(scratch_databases(&elsewhere).await, BTreeSet::new(), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_drill_left_is_dropped_by_a_later_one() {
    let source = shop_on(&Bed::get().server(17).await).await;
    let days = Days::over(Arc::new(MemoryStore::new()));
    let rig = Rig::on(days.clone()).await;
    let id = rig.backup(&source).await.backup.id;
    let elsewhere = Bed::get().private_server(17, &[]).await;
    elsewhere.sql("postgres", "CREATE DATABASE lifeboat_verify_mine").await;
    let (db, server) = (rig.database().await, connect(&elsewhere.admin_url()).await);
    let at = Arc::new(At { step: "schema", cancel: None, reached: tokio::sync::Notify::new() });
    let options = DrillOptions::default();
    {
        let run = watched(&at);
        let doomed = drill(&db, &id, &server, &options, &run);
        tokio::select! {
            done = doomed => panic!("it was to be killed: {done:?}"),
            () = at.reached.notified() => {}
        }
    }
    // The server notices that its clients are gone.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let left = scratch_databases(&elsewhere).await;
    assert_eq!(left.len(), 2, "{left:?}");
    drill(&db, &id, &server, &options, &run()).await.unwrap();
    assert_eq!(scratch_databases(&elsewhere).await, left, "somebody may be at work in it");
    days.pass(SignedDuration::from_hours(49));
    drill(&db, &id, &server, &options, &run()).await.unwrap();
    assert_eq!(scratch_databases(&elsewhere).await, BTreeSet::from(["lifeboat_verify_mine".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tier_gets_its_drill() {
    let source = shop_on(&Bed::get().server(17).await).await;
    let rig = Rig::new().await;
    let mut made: Vec<BackupId> = Vec::new();
    for tier in ["daily", "daily", "weekly"] {
        let mut options = rig.options().await;
        options.tier = tier.parse().unwrap();
        made.push(rig.try_backup(&source, &options).await.unwrap().backup.id);
    }
    let picked = pick_of_each_tier(&rig.vault, &crate::rig::name()).await.unwrap();
    let tiers: Vec<String> = picked.iter().map(|id| id.tier().to_string()).collect();
    assert_eq!(tiers, ["daily", "weekly"]);
    assert!(picked.iter().all(|id| made.contains(id)));
    let weekly = pick_backup(&rig.vault, None, Some(&"weekly".parse().unwrap())).await.unwrap().unwrap();
    assert_eq!(weekly.1, made[2]);
}
