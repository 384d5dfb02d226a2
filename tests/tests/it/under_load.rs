//! Backups of a database that others work on: money moves, tables are emptied and rewritten, labels change, migrations wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat::ErrorKind;
use lifeboat::model::Depth;
use lifeboat::ops::backup::{BackupOptions, BlockedDdl};
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{Event, Observer};
use lifeboat_tests::{Bed, Server, TestDb};
use tokio::task::JoinHandle;

use crate::rig::Rig;

const ACCOUNTS: i64 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_backup_under_load_holds_one_moment() {
    let server = Bed::get().server(17).await;
    let db = server.create_database().await;
    db.sql(&format!(
        "CREATE TABLE account (id int8 PRIMARY KEY, balance int8 NOT NULL, padding text);
         CREATE TABLE ledger (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int8, amount int8);
         INSERT INTO account SELECT i, 100, md5(i::text) || md5((-i)::text) FROM generate_series(1, {ACCOUNTS}) i"
    ))
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = |n| tokio::spawn(move_money(server.clone(), db.name().to_owned(), n, Arc::clone(&stop)));
    let writers: Vec<_> = (0..6).map(writer).collect();
    let rig = Rig::new().await;
    let mut backups = Vec::new();
    for _ in 0..3 {
        backups.push(rig.backup(&db).await);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0, "a writer did nothing");
    }
    for backup in backups {
        let verdict = verify(&rig.database().await, &backup.backup.id, Depth::Full, None, &rig.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
        let into = RestoreOptions { into: Some(format!("{}_copy", db.name())), ..RestoreOptions::default() };
        let (copy, report) = rig.restore(&backup, &server, &into).await;
        assert!(report.proof.ok, "{report:?}");
        let sums = "SELECT (SELECT sum(balance)::int8 FROM account), (SELECT count(*) FROM account),
            (SELECT coalesce(sum(amount), 0)::int8 FROM ledger),
            (SELECT count(*) FROM account a LEFT JOIN (SELECT account, sum(amount) AS moved FROM ledger GROUP BY 1) l ON l.account = a.id
             WHERE balance <> 100 + coalesce(moved, 0))";
        let row = copy.client().await.query_one(sums, &[]).await.unwrap();
        let found: [i64; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
        assert_eq!(found, [ACCOUNTS * 100, ACCOUNTS, 0, 0]);
    }
}

/// Moves money until told to stop; gives how often it did.
async fn move_money(server: Server, database: String, seed: i64, stop: Arc<AtomicBool>) -> u64 {
    let client = server.client(&database).await;
    let mut moves = 0;
    let mut at = seed * 7919;
    while !stop.load(Ordering::Relaxed) {
        at = (at * 1_103_515_245 + 12_345) % (1 << 31);
        // Always the smaller first, so that no two writers wait for each other.
        let (a, b) = (at % ACCOUNTS + 1, (at / 7) % ACCOUNTS + 1);
        let (from, to) = (a.min(b), a.max(b));
        client.batch_execute("BEGIN").await.unwrap();
        for (account, amount) in [(from, -3), (to, 3)] {
            let sql = format!(
                "UPDATE account SET balance = balance + ({amount}) WHERE id = {account};
                 INSERT INTO ledger (account, amount) VALUES ({account}, {amount})"
            );
            client.batch_execute(&sql).await.unwrap();
        }
        // Some change their mind.
        client.batch_execute(if moves % 5 == 4 { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
        moves += 1;
    }
    moves
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_emptied_and_rewritten_all_the_time_is_never_backed_up_empty() {
    let server = Bed::get().server(18).await;
    let db = server.create_database().await;
    db.sql(
        "CREATE TABLE t (id int, v int);
         INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i;
         CREATE TABLE steady AS SELECT * FROM t",
    )
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (client, stop) = (db.client().await, Arc::clone(&stop));
        async move {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                let change = match rounds % 3 {
                    0 => "BEGIN; TRUNCATE t; INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i; COMMIT",
                    1 => "ALTER TABLE t ALTER v TYPE int8 USING v; ALTER TABLE t ALTER v TYPE int4 USING v",
                    _ => "VACUUM FULL t",
                };
                client.batch_execute(change).await.unwrap();
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let rig = Rig::new().await;
    for _ in 0..4 {
        match rig.try_backup(&db, &rig.options().await).await {
            Ok(report) => {
                assert_eq!(report.backup.rows, 2000, "{report:?}");
                let verdict =
                    verify(&rig.database().await, &report.backup.id, Depth::Full, None, &rig.run).await.unwrap();
                assert!(verdict.ok, "{verdict:?}");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert_eq!(rig.backup(&db).await.backup.rows, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_an_enum_that_change_meanwhile_are_never_mixed() {
    let server = Bed::get().server(16).await;
    let db = server.create_database().await;
    db.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
         CREATE TABLE feeling AS SELECT i AS id, 'sad'::mood AS mood, md5(i::text) AS padding FROM generate_series(1, 300000) i",
    )
    .await;
    let mut rig = Rig::new().await;
    let meddler = Meddler::new(&db, "ALTER TYPE mood RENAME VALUE 'sad' TO 'melancholic'");
    rig.run.observer = meddler.clone();
    let backup = rig.try_backup(&db, &slow(&rig).await).await.unwrap();
    meddler.wait().await;
    let into = RestoreOptions { into: Some(format!("{}_copy", db.name())), ..RestoreOptions::default() };
    let (copy, report) = rig.restore(&backup, &server, &into).await;
    assert!(report.proof.ok, "{report:?}");
    let labels = copy.client().await.query_one("SELECT string_agg(DISTINCT mood::text, ',') FROM feeling", &[]).await;
    assert_eq!(labels.unwrap().get::<_, &str>(0), "melancholic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_the_backup_is_let_through_or_waits_as_configured() {
    let server = Bed::get().server(15).await;
    for (policy, gives_way) in [(BlockedDdl::Yield, true), (BlockedDdl::Hold, false)] {
        let db = server.create_database().await;
        db.sql("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 300000) i").await;
        let mut rig = Rig::new().await;
        let meddler = Meddler::new(&db, "ALTER TABLE big ADD note text");
        rig.run.observer = meddler.clone();
        let options = BackupOptions { blocked_ddl: policy, ..slow(&rig).await };
        let outcome = rig.try_backup(&db, &options).await;
        meddler.wait().await;
        let database = rig.database().await;
        match outcome {
            Err(error) => {
                assert!(gives_way && error.kind() == ErrorKind::Conflict, "{error}");
                assert!(database.published().await.unwrap().is_empty());
            }
            Ok(report) => {
                assert!(!gives_way, "the backup did not give way");
                assert_eq!(report.backup.rows, 300_000);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_stop_is_heard_while_the_backup_waits_for_a_lock() {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE t (id int)").await;
    let migration = db.client().await;
    migration.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let rig = Rig::new().await;
    let options = rig.options().await;
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        rig.run.cancel.cancel();
    };
    let backing_up = tokio::time::timeout(Duration::from_secs(20), rig.try_backup(&db, &options));
    let (outcome, ()) = tokio::join!(backing_up, stopping);
    let error = outcome.expect("it stops long before it would give up waiting").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfTime, "{error}");
}

/// Long enough for somebody to come between.
async fn slow(rig: &Rig) -> BackupOptions {
    BackupOptions { max_rate_bytes_per_s: Some(1 << 20), ..rig.options().await }
}

/// Somebody who runs a statement when the backup begins to read rows.
struct Meddler {
    server: Server,
    database: String,
    statement: &'static str,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Meddler {
    fn new(db: &TestDb, statement: &'static str) -> Arc<Self> {
        let (server, database) = (db.server().clone(), db.name().to_owned());
        Arc::new(Self { server, database, statement, running: Mutex::default() })
    }

    /// Until the statement has run.
    async fn wait(&self) {
        let running = self.running.lock().unwrap().take();
        running.expect("the backup came to the rows").await.unwrap();
    }
}

impl Observer for Meddler {
    fn on(&self, event: &Event) {
        let mut running = self.running.lock().unwrap();
        if *event == (Event::Step { name: "rows" }) && running.is_none() {
            let (server, database, statement) = (self.server.clone(), self.database.clone(), self.statement);
            *running = Some(tokio::spawn(async move {
                // After the readers have begun.
                tokio::time::sleep(Duration::from_millis(500)).await;
                server.sql(&database, statement).await;
            }));
        }
    }
}
