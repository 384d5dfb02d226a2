//! Many at once: backups of one database and of many, restores and verifications beside them, and somebody who changes
//! definitions all the time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use lifeboat::model::{BackupId, Depth, Tier};
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, Event, Observer};
use lifeboat::store::ObjectStore;
use lifeboat::store::folder::FolderStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat::{Error, ErrorKind};
use lifeboat_tests::{Bed, PrivateServer, Server, TestDb, dump_of, soak};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::program::Program;
use crate::rig::{Rig, connect, name, run};

const CROWD: usize = 10;

/// A server that has connections for everybody.
async fn roomy(major: u32) -> PrivateServer {
    Bed::get().private_server(major, &["max_connections = 200"]).await
}

fn into(source: &TestDb, suffix: &str) -> RestoreOptions {
    RestoreOptions { into: Some(format!("{}_{suffix}", source.name())), ..RestoreOptions::default() }
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

/// What somebody who was refused has to be told.
#[track_caller]
fn require_told_why(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.hint_text().is_some_and(|hint| !hint.is_empty()), "{error}");
}

async fn require_whole(rig: &Rig, id: &BackupId) {
    let verdict = verify(&rig.database().await, id, Depth::Full, None, &rig.run).await.unwrap();
    assert!(verdict.ok, "{verdict:?}");
}

const SHELF: &str = "CREATE TABLE book (id int PRIMARY KEY, title text);
    INSERT INTO book SELECT i, md5(i::text) FROM generate_series(1, 20000) i";

#[tokio::test(flavor = "multi_thread")]
async fn of_many_backups_at_once_each_is_whole_and_has_its_own_name_also_the_very_first_ones() {
    let server = roomy(17).await;
    let db = server.create_database().await;
    db.sql(SHELF).await;
    let folder = Bed::get().scratch_dir();
    let stores: [Arc<dyn ObjectStore>; 2] =
        [Arc::new(MemoryStore::default()), Arc::new(FolderStore::new(folder.path().join("vault")).unwrap())];
    for store in stores {
        let written = MasterKey::random().to_base64().unwrap();
        let master = || MasterKey::from_base64(&written).unwrap();
        Vault::init(Arc::clone(&store), master(), 72, 24).await.unwrap();
        // Each opens the vault for himself, as processes on different machines do.
        let one = || async {
            let vault = Arc::new(Vault::open(Arc::clone(&store), master()).await.unwrap());
            let mut options = BackupOptions::new(name(), Tier::manual());
            options.pg_dump = Some(Bed::get().pg_dump().await);
            options.jobs = 1;
            backup(&vault, &connect(&db.url()).await, &options, &run()).await
        };
        let outcomes = join_all((0..CROWD).map(|_| one())).await;
        let mut published: Vec<BackupReport> = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(report) => published.push(report),
                Err(error) => require_told_why(&error),
            }
        }
        assert!(published.len() >= CROWD - 1, "jobs of one's own do not get into each other's way");
        let rig = Rig { vault: Arc::new(Vault::open(store, master()).await.unwrap()), run: run() };
        assert_eq!(rig.database().await.published().await.unwrap().len(), published.len());
        for report in &published {
            assert_eq!(report.backup.rows, 20_000);
            require_whole(&rig, &report.backup.id).await;
        }
        for (number, report) in published.iter().take(soak(1, CROWD)).enumerate() {
            let (_copy, restored) = rig.restore(report, &server, &into(&db, &format!("copy{number}"))).await;
            assert!(restored.proof.ok, "{restored:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_databases_can_be_backed_up_into_one_vault_at_once() {
    let server = roomy(16).await;
    let mut databases = Vec::new();
    for number in 0..CROWD {
        let db = server.create_database().await;
        db.sql(&format!("CREATE TABLE t AS SELECT i, 'of {number}' AS owner FROM generate_series(1, 1000) i")).await;
        databases.push(db);
    }
    let rig = Rig::new().await;
    let one = |number: usize| {
        let (rig, db) = (&rig, &databases[number]);
        async move {
            let options =
                BackupOptions { database: format!("db{number}").parse().unwrap(), jobs: 1, ..rig.options().await };
            rig.try_backup(db, &options).await.unwrap()
        }
    };
    let reports = join_all((0..CROWD).map(one)).await;
    for (number, report) in reports.iter().enumerate() {
        let database = rig.vault.database(&report.backup.database).await.unwrap();
        assert_eq!(database.published().await.unwrap(), std::slice::from_ref(&report.backup.id));
        let verdict = verify(&database, &report.backup.id, Depth::Full, None, &rig.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
        assert_eq!(report.backup.database.to_string(), format!("db{number}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_a_folder() {
    let server = roomy(18).await;
    let db = server.create_database().await;
    db.sql(SHELF).await;
    let program = Program::with_vault(&db).await;
    let run = || program.run(&["backup", "--json", "--jobs", "1"]);
    let mut ids = Vec::new();
    for ran in join_all((0..soak(3, CROWD)).map(|_| run())).await {
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        match ran.status.code() {
            Some(0) => ids.push(answer["id"].as_str().unwrap().to_owned()),
            Some(7) => assert!(answer["error"]["hint"].is_string(), "{ran:?}"),
            _ => panic!("{ran:?}"),
        }
    }
    assert!(!ids.is_empty());
    let listed: Value = serde_json::from_str(&program.succeed(&["list", "--json"]).await).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), ids.len());
    let arguments: Vec<&str> =
        ["verify", "--depth", "full"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    program.succeed(&arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_and_verifications_go_on_beside_backups_of_their_source() {
    let server = roomy(15).await;
    let db = server.create_database().await;
    db.sql(SHELF).await;
    let rig = Rig::new().await;
    let first = rig.backup(&db).await;
    let stop = AtomicBool::new(false);
    let backing_up = async {
        let mut made = 0;
        while !stop.load(Ordering::Relaxed) || made < 2 {
            db.sql(&format!("UPDATE book SET title = 'new {made}' WHERE id % 7 = {made} % 7")).await;
            rig.backup(&db).await;
            made += 1;
        }
    };
    let looking = async {
        for round in 0..soak(2, 10) {
            let newest = rig.database().await.resolve("latest").await.unwrap();
            require_whole(&rig, &newest).await;
            let (copy, report) = rig.restore(&first, &server, &into(&db, &format!("copy{round}"))).await;
            assert!(report.proof.ok, "{report:?}");
            let client = copy.client().await;
            assert_eq!(number(&client, "SELECT count(*) FROM book WHERE title = md5(id::text)").await, 20_000);
            // The server drops it once every session has heard of that: also the one that is just being opened beside us.
            tokio::task::spawn_blocking(move || drop(copy)).await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(backing_up, looking);
    let database = rig.database().await;
    for id in database.published().await.unwrap() {
        require_whole(&rig, &id).await;
    }
}

/// Runs a statement once, when the schema and the rows begin to be read, and lets the backup go on when it is done; keeps the backup's warnings.
struct Between {
    server: Server,
    database: String,
    statement: Mutex<Option<&'static str>>,
    warnings: Mutex<Vec<String>>,
}

impl Observer for Between {
    fn on(&self, event: &Event) {
        match event {
            Event::Step { name: "rows" } => {
                let Some(statement) = self.statement.lock().unwrap().take() else { return };
                let (server, database) = (self.server.clone(), self.database.clone());
                let meddling = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(server.sql(&database, statement));
                });
                meddling.join().unwrap();
            }
            Event::Warning { text } | Event::Untold { text } => self.warnings.lock().unwrap().push(text.clone()),
            _ => {}
        }
    }
}

/// Things that no lock on a table holds still, each of them used by something else.
const LOOSE: &str = "
    CREATE SCHEMA one; CREATE SCHEMA two;
    CREATE TABLE one.t (id int PRIMARY KEY, n int); CREATE TABLE two.t (id int PRIMARY KEY, n int);
    INSERT INTO one.t SELECT i, 1 FROM generate_series(1, 500) i; INSERT INTO two.t SELECT i, 2 FROM generate_series(1, 500) i;
    CREATE INDEX by_n ON one.t (n); ALTER TABLE one.t CLUSTER ON by_n;
    CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
    CREATE VIEW below AS SELECT id, n FROM one.t; CREATE VIEW above AS SELECT id, n + twice(n) AS m FROM below;
    COMMENT ON COLUMN below.n IS 'how many';
    CREATE TYPE pair AS (a int, b int); CREATE TABLE pairs AS SELECT (i, i)::pair AS p FROM generate_series(1, 500) i;
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE moods AS SELECT 'sad'::mood AS mood FROM generate_series(1, 500);
    CREATE COLLATION ordered (provider = libc, locale = 'C');
    CREATE VIEW sorted AS SELECT title COLLATE ordered AS title FROM (VALUES ('b'), ('a')) AS v (title);
    CREATE TABLE event (kind int) PARTITION BY LIST (kind); CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1);
    CREATE INDEX ON event (kind); INSERT INTO event SELECT 1 FROM generate_series(1, 500);
    CREATE SEQUENCE ticket; CREATE TABLE seat (id bigint DEFAULT nextval('ticket'));";

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_between_snapshot_and_schema_dump_is_noticed_by_name_and_never_mixed() {
    let cases: [(&str, Option<&str>); 14] = [
        ("ALTER TYPE pair ADD ATTRIBUTE c text", Some("public.pair")),
        ("ALTER TYPE pair RENAME ATTRIBUTE a TO first", Some("public.pair")),
        ("ALTER VIEW below RENAME COLUMN n TO amount", Some("public.below")),
        ("ALTER VIEW below RENAME TO beneath", Some("public.below")),
        ("DROP VIEW above", Some("public.above")),
        ("DROP VIEW above; DROP FUNCTION twice(int)", Some("public.above")),
        ("ALTER INDEX one.by_n RENAME TO by_number", Some("one.by_n")),
        ("ALTER FUNCTION twice(int) RENAME TO doubled", Some("function public.twice")),
        ("ALTER SCHEMA one RENAME TO three", Some("schema one")),
        (
            "ALTER SCHEMA one RENAME TO three; ALTER SCHEMA two RENAME TO one; ALTER SCHEMA three RENAME TO two",
            Some("schema one"),
        ),
        ("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", Some("enum public.mood")),
        ("ALTER COLLATION ordered RENAME TO by_bytes", Some("collation ordered")),
        // What the snapshot does not show disturbs nobody.
        (
            "CREATE TABLE event_2 (kind int); INSERT INTO event_2 VALUES (2); \
                    ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES IN (2)",
            None,
        ),
        (
            "CREATE SCHEMA more; CREATE TABLE more.t (); ALTER TYPE mood ADD VALUE 'fine'; CREATE INDEX ON one.t (id, n)",
            None,
        ),
    ];
    let server = Arc::new(roomy(17).await);
    let one = |(statement, expected): (&'static str, Option<&'static str>)| {
        let server = Arc::clone(&server);
        let case = async move || {
            let server = &*server;
            let db = server.create_database().await;
            db.sql(LOOSE).await;
            let before = dump_of(server, db.name()).await;
            let between = Arc::new(Between {
                server: Server::clone(server),
                database: db.name().to_owned(),
                statement: Mutex::new(Some(statement)),
                warnings: Mutex::default(),
            });
            let mut rig = Rig::new().await;
            rig.run.observer = between.clone();
            let report = rig.backup(&db).await;
            let warnings = between.warnings.lock().unwrap().clone();
            assert_eq!(
                warnings.iter().any(|text| text.starts_with("starting over")),
                expected.is_some(),
                "{statement}: {warnings:?}"
            );
            if let Some(name) = expected {
                assert!(warnings.iter().any(|text| text.contains(&format!("{name} "))), "{statement}: {warnings:?}");
            }
            let (copy, restored) = rig.restore(&report, server, &into(&db, "copy")).await;
            assert!(restored.proof.ok && restored.not_restored.is_empty(), "{statement}: {restored:?}");
            let should = if expected.is_some() { dump_of(server, db.name()).await } else { before };
            let normal = |dump: String| dump.replace("( VALUES", "(VALUES");
            assert_eq!(normal(dump_of(server, copy.name()).await), normal(should), "{statement}");
        };
        // Each on a thread of its own: where one waits for its statement the others go on.
        let runtime = tokio::runtime::Handle::current();
        move || runtime.block_on(case())
    };
    for cases in cases.chunks(soak(5, 2)) {
        for done in join_all(cases.iter().copied().map(|case| tokio::task::spawn_blocking(one(case)))).await {
            done.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_dropped_while_it_is_being_listed_costs_another_look() {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE t (id int)").await;
    let migration = db.client().await;
    migration.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let rig = Rig::new().await;
    let options = rig.options().await;
    let (outcome, ()) = tokio::join!(rig.try_backup(&db, &options), async {
        let watcher = db.client().await;
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while number(&watcher, waits).await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        migration.batch_execute("DROP TABLE t; COMMIT").await.unwrap();
    });
    assert_eq!(outcome.unwrap().backup.tables, 0);
}

/// A database with rows whose sums and counts every consistent snapshot agrees upon.
const BANK: &str = "
    CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
    INSERT INTO account SELECT i, 100 FROM generate_series(1, 500) i;
    CREATE TABLE ledger (id int8 GENERATED ALWAYS AS IDENTITY, account int NOT NULL, amount int NOT NULL);
    CREATE TABLE heads (side text); CREATE TABLE tails (side text);
    INSERT INTO heads SELECT 'h' FROM generate_series(1, 300); INSERT INTO tails SELECT 't' FROM generate_series(1, 300);
    CREATE TABLE steady (id int PRIMARY KEY, v int); INSERT INTO steady SELECT i, i FROM generate_series(1, 700) i;
    CREATE TABLE event (kind int) PARTITION BY LIST (kind);
    CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1); CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2);
    INSERT INTO event SELECT 1 + i % 2 FROM generate_series(1, 200) i;
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE feeling AS SELECT 'ok'::mood AS mood FROM generate_series(1, 400);
    CREATE TYPE pair AS (a int, b int); CREATE TABLE pairs AS SELECT (i, i)::pair AS p FROM generate_series(1, 400) i;
    CREATE SCHEMA aside; CREATE TABLE aside.t AS SELECT 1 AS one FROM generate_series(1, 50);
    CREATE FUNCTION worth(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE VIEW total AS SELECT sum(worth(balance)) AS sum FROM account;
    CREATE SEQUENCE ticket; CREATE TABLE seat (id bigint DEFAULT nextval('ticket')); INSERT INTO seat DEFAULT VALUES;
    CREATE INDEX by_balance ON account (balance);";

/// What of a restored bank does not hold.
const BROKEN: &str = "SELECT coalesce(string_agg(what, ', '), '') FROM (
    SELECT 'money was made' AS what WHERE (SELECT sum(balance) FROM account) <> 50000
    UNION ALL SELECT 'ledger' FROM account a LEFT JOIN (SELECT account, sum(amount) AS moved FROM ledger GROUP BY 1) l ON l.account = a.id
        WHERE balance <> 100 + coalesce(moved, 0)
    UNION ALL SELECT 'accounts' WHERE (SELECT count(*) FROM account) <> 500
    UNION ALL SELECT 'sides' WHERE (SELECT count(*) FROM heads) <> 300 OR (SELECT count(*) FROM tails) <> 300
        OR (SELECT min(side) FROM heads) <> (SELECT max(side) FROM heads) OR (SELECT min(side) FROM tails) <> (SELECT max(side) FROM tails)
        OR (SELECT min(side) FROM heads) = (SELECT min(side) FROM tails)
    UNION ALL SELECT 'steady' WHERE (SELECT count(*) FROM steady) <> 700 OR (SELECT sum(v) FROM steady) <> 700 * 701 / 2
    UNION ALL SELECT 'events' WHERE (SELECT count(*) FROM event_1) <> 100 OR (SELECT count(*) FROM event_2) <> 100
    UNION ALL SELECT 'feelings' WHERE (SELECT count(*) FROM feeling) <> 400 OR (SELECT count(DISTINCT mood) FROM feeling) <> 1
    UNION ALL SELECT 'pairs' WHERE (SELECT count(*) FROM pairs WHERE (p).a = (p).b) <> 400
    UNION ALL SELECT 'sequence' WHERE (SELECT last_value FROM ticket) < (SELECT max(id) FROM seat)
) broken";

/// One change of definitions after another, each in one transaction; what [`BROKEN`] asks for stays as it was.
const CHANGES: [&str; 33] = [
    "CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1)",
    "ALTER TABLE fresh RENAME TO stale",
    "DROP TABLE stale",
    "ALTER TABLE ledger RENAME COLUMN amount TO sum; ALTER TABLE ledger RENAME COLUMN sum TO amount",
    "ALTER TABLE steady ALTER v TYPE int8",
    "ALTER TABLE steady ALTER v TYPE int4",
    "ALTER TABLE steady ADD COLUMN note text DEFAULT 'none'",
    "ALTER TABLE steady DROP COLUMN note",
    "ALTER TABLE heads RENAME TO coin; ALTER TABLE tails RENAME TO heads; ALTER TABLE coin RENAME TO tails",
    "ALTER TABLE event DETACH PARTITION event_2",
    "ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES IN (2)",
    "CREATE OR REPLACE VIEW total AS SELECT sum(worth(balance)) AS sum FROM account WHERE id > 0",
    "CREATE OR REPLACE VIEW total AS SELECT sum(worth(balance)) AS sum FROM account",
    "CREATE OR REPLACE FUNCTION worth(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 0'",
    "TRUNCATE steady; INSERT INTO steady (id, v) SELECT i, i FROM generate_series(1, 700) i",
    "CLUSTER steady USING steady_pkey",
    "VACUUM FULL heads",
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "ALTER TYPE mood RENAME VALUE 'fine' TO 'ok'",
    "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'great'",
    "ALTER TYPE pair ADD ATTRIBUTE c int",
    "ALTER TYPE pair DROP ATTRIBUTE c",
    "CREATE SCHEMA passing; CREATE TABLE passing.t AS SELECT 1 AS one",
    "DROP SCHEMA passing CASCADE",
    "ALTER SCHEMA aside RENAME TO apart",
    "ALTER SCHEMA apart RENAME TO aside",
    "ALTER INDEX by_balance RENAME TO by_worth",
    "ALTER INDEX by_worth RENAME TO by_balance",
    "REINDEX INDEX by_balance",
    "ALTER SEQUENCE ticket RENAME TO voucher; ALTER SEQUENCE voucher RENAME TO ticket",
    "ALTER TABLE account OWNER TO pg_database_owner",
    "ALTER TABLE account OWNER TO postgres",
    "ALTER VIEW total RENAME COLUMN sum TO amount; ALTER VIEW total RENAME COLUMN amount TO sum",
];

/// Who works on the bank until told to stop.
struct Workers {
    stop: Arc<AtomicBool>,
    /// The changes of definitions leave a moment in between, at most this long: now and then a backup must get through.
    pause_ms: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<u64>>,
}

impl Workers {
    async fn start(db: &TestDb) -> Self {
        let (stop, pause_ms) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1000)));
        let migrations = migrate(db.client().await, Arc::clone(&stop), Arc::clone(&pause_ms));
        let mut tasks = vec![tokio::spawn(migrations)];
        for seed in 1..=2 {
            tasks.push(tokio::spawn(move_money(db.client().await, seed, Arc::clone(&stop))));
        }
        Self { stop, pause_ms, tasks }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert!(task.await.unwrap() > 0, "somebody did nothing");
        }
    }
}

async fn migrate(client: Client, stop: Arc<AtomicBool>, pause_ms: Arc<AtomicU64>) -> u64 {
    let mut done = 0;
    let mut random: u64 = 7;
    for change in CHANGES.into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Who changes definitions beside others may be sent away, and comes again.
        while let Err(error) = client.batch_execute(change).await {
            assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{change}: {error:?}");
        }
        done += 1;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (random >> 33).is_multiple_of(4) {
            let pause = (random >> 40) % pause_ms.load(Ordering::Relaxed).max(1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    done
}

async fn move_money(client: Client, seed: i64, stop: Arc<AtomicBool>) -> u64 {
    let (mut moves, mut at) = (0, seed * 7919);
    while !stop.load(Ordering::Relaxed) {
        at = (at * 1_103_515_245 + 12_345) % (1 << 31);
        let (a, b) = (at % 500 + 1, (at / 7) % 500 + 1);
        let (from, to) = (a.min(b), a.max(b));
        let transfer = format!(
            "UPDATE account SET balance = balance - 3 WHERE id = {from}; INSERT INTO ledger (account, amount) VALUES ({from}, -3);
             UPDATE account SET balance = balance + 3 WHERE id = {to}; INSERT INTO ledger (account, amount) VALUES ({to}, 3);
             INSERT INTO seat DEFAULT VALUES"
        );
        // One message is one transaction.
        match client.batch_execute(&transfer).await {
            Ok(()) => moves += 1,
            Err(error) => assert_eq!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    moves
}

#[tokio::test(flavor = "multi_thread")]
async fn while_definitions_change_all_the_time_a_backup_holds_one_moment_or_says_what_changed() {
    for major in soak(vec![17], vec![14, 16, 18]) {
        let server = roomy(major).await;
        let db = server.create_database().await;
        db.sql(BANK).await;
        let rig = Rig::new().await;
        let begun = Instant::now();
        let mut published = vec![rig.backup(&db).await];
        let mut took = begun.elapsed();
        let workers = Workers::start(&db).await;
        let mut refused = 0;
        for _ in 0..soak(6, 60) {
            workers.pause_ms.store(3 * took.as_millis() as u64, Ordering::Relaxed);
            let begun = Instant::now();
            match rig.try_backup(&db, &rig.options().await).await {
                Ok(report) => {
                    published.push(report);
                    took = begun.elapsed().min(Duration::from_secs(3));
                }
                Err(error) => {
                    require_told_why(&error);
                    refused += 1;
                }
            }
        }
        workers.stop().await;
        published.push(rig.backup(&db).await);
        assert_eq!(rig.database().await.published().await.unwrap().len(), published.len(), "{refused} were refused");
        for (number, report) in published.iter().enumerate() {
            require_whole(&rig, &report.backup.id).await;
            let (copy, restored) = rig.restore(report, &server, &into(&db, &format!("copy{number}"))).await;
            assert!(restored.proof.ok && restored.not_restored.is_empty(), "{major}: {restored:?}");
            let broken: String = copy.client().await.query_one(BROKEN, &[]).await.unwrap().get(0);
            assert_eq!(broken, "", "{}", report.backup.id);
        }
    }
}
