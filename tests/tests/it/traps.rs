//! Databases and moments that an obvious implementation gets wrong. More are in the zoo (`tests/data/zoo/85_traps.sql`), in
//! `under_load`, `preflight` and `connect`; `docs/promises.md` lists them all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat::ErrorKind;
use lifeboat::model::{Depth, Encoding, TableName};
use lifeboat::ops::backup::{BackupOptions, BlockedDdl, backup};
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, Event, Observer};
use lifeboat::plan::unread::ReadPolicy;
use lifeboat_tests::{Bed, Server, TestDb, data};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{Rig, connect};

fn into(source: &TestDb) -> RestoreOptions {
    RestoreOptions { into: Some(format!("{}_copy", source.name())), ..RestoreOptions::default() }
}

impl Rig {
    async fn require_whole(&self, backup: &BackupReport) {
        let verdict = verify(&self.database().await, &backup.backup.id, Depth::Full, None, &self.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
    }

    /// How the rows of a table are held in a backup.
    async fn encoding(&self, backup: &BackupReport, table: &str) -> Encoding {
        let database = self.database().await;
        let manifest = database.manifest(&backup.backup.id).await.unwrap();
        let catalogue = database.catalogue(&manifest).await.unwrap();
        catalogue.table(&TableName::new("public", table)).unwrap().encoding
    }
}

/// A row whose text is longer than the server's messages may be: hexadecimal doubles it.
const TOO_LONG: &str = "convert_to(repeat('x', 550000000), 'UTF8')";

#[tokio::test(flavor = "multi_thread")]
async fn a_value_too_long_for_text_is_backed_up_in_binary_and_comes_back() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    source
        .sql(&format!(
            "CREATE TYPE mood AS ENUM ('ok', 'bad');
             CREATE DOMAIN short AS varchar(9);
             CREATE TABLE wide (id int PRIMARY KEY, mood mood, note short, at timestamptz, many numeric[], b bytea STORAGE EXTERNAL,
                 size int GENERATED ALWAYS AS (length(b)) STORED);
             INSERT INTO wide SELECT i, 'bad', 'ö' || i, 'epoch'::timestamptz + i * interval '1 day', ARRAY[i, NULL, 1.5], ''
                 FROM generate_series(1, 1000) i;
             INSERT INTO wide (id, b) VALUES (0, {TOO_LONG});
             CREATE TABLE plain AS SELECT i FROM generate_series(1, 1000) i"
        ))
        .await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    assert_eq!(rig.encoding(&backup, "wide").await, Encoding::Binary);
    assert_eq!(rig.encoding(&backup, "plain").await, Encoding::Text);
    assert_eq!((backup.backup.tables, backup.backup.rows), (2, 2001));
    rig.require_whole(&backup).await;
    let (copy, report) = rig.restore(&backup, &server, &into(&source)).await;
    assert!(report.proof.ok && report.remarks.is_empty(), "{report:?}");
    let sizes =
        "SELECT length(b), size, (SELECT count(*) FROM wide WHERE many[3] = 1.5 AND note LIKE 'ö%' AND mood = 'bad')
                 FROM wide WHERE id = 0";
    let row = copy.client().await.query_one(sizes, &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, i64>(2)), (550_000_000, 550_000_000, 1000));
    drop(copy);

    // What was found out once is known to the next backup, which adds nothing.
    let again = rig.backup(&source).await;
    assert_eq!(rig.encoding(&again, "wide").await, Encoding::Binary);
    let manifest = rig.database().await.manifest(&again.backup.id).await.unwrap();
    assert_eq!(manifest.totals.new_chunks, 0, "{again:?}");

    // An object's name means nothing in another database unless it is written out, and that cannot be had here.
    source.sql("ALTER TABLE wide ADD which regclass").await;
    let refused = rig.try_backup(&source, &rig.options().await).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Preflight, "{refused}");
    assert!(refused.message().contains("public.wide") && refused.message().contains("regclass"), "{refused}");
    assert_eq!(rig.database().await.published().await.unwrap().len(), 2);
}

/// Binary on request: every built-in type, from the oldest server to the newest, and back to text when nobody asks any more.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_in_binary_where_that_was_asked_for_and_restore_on_every_version() {
    let newest = Bed::get().server(18).await;
    let source = Bed::get().server(14).await.create_database().await;
    data::load_zoo_where(&source, |theme| theme == "types").await;
    source
        .sql(
            "CREATE TABLE timed (id int PRIMARY KEY, at timestamptz, price numeric(12, 2), note text,
                 gross numeric GENERATED ALWAYS AS (price * 2) STORED);
             INSERT INTO timed SELECT i, 'epoch'::timestamptz + i * interval '1 minute', i / 7.0, E'a\\tb\\\\' || i
                 FROM generate_series(1, 20000) i;
             CREATE TABLE counted (a int, b bigint, c boolean);
             INSERT INTO counted SELECT i, i, i % 2 = 0 FROM generate_series(1, 1000) i;
             CREATE TABLE named (which regclass, note text);
             INSERT INTO named VALUES ('timed', 'x');
             CREATE TYPE mood AS ENUM ('sad', 'ok');
             CREATE TABLE parted (m mood) PARTITION BY LIST (m);
             CREATE VIEW seen AS SELECT 'ok'::mood AS m;
             CREATE TABLE composed (p parted, at timestamptz, note text);
             INSERT INTO composed VALUES (ROW('ok'), now(), 'x');
             CREATE TABLE listed (s seen[], at timestamptz, note text);
             INSERT INTO listed VALUES (ARRAY[ROW('sad')::seen], now(), 'y')",
        )
        .await;
    let rig = Rig::new().await;
    let options = BackupOptions { copy_format: Encoding::Binary, read: ReadPolicy::Changed, ..rig.options().await };
    let backup = rig.try_backup(&source, &options).await.unwrap();
    assert_eq!(rig.encoding(&backup, "timed").await, Encoding::Binary);
    // Whole numbers, names of objects, rows with oids of types in them: where binary gains nothing, or means nothing elsewhere.
    for table in ["counted", "named", "composed", "listed"] {
        assert_eq!(rig.encoding(&backup, table).await, Encoding::Text, "{table}");
    }
    rig.require_whole(&backup).await;
    let (copy, report) = rig.restore(&backup, &newest, &into(&source)).await;
    assert!(report.proof.ok, "{report:?}");
    let sum = "SELECT md5(string_agg(t::text, ' ' ORDER BY id)) FROM timed t";
    let sum_of = async |db: &TestDb| db.client().await.query_one(sum, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(sum_of(&copy).await, sum_of(&source).await);

    let unchanged = rig.try_backup(&source, &options).await.unwrap();
    assert!(unchanged.unread_chunks > 0, "{unchanged:?}");
    let manifest = rig.database().await.manifest(&unchanged.backup.id).await.unwrap();
    assert_eq!(manifest.totals.new_chunks, 0);

    let text = rig.backup(&source).await;
    assert_eq!(rig.encoding(&text, "timed").await, Encoding::Text);
    rig.require_whole(&text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_whose_function_has_changed_is_told_and_costs_nothing() {
    for major in [14, 18] {
        let server = Bed::get().server(major).await;
        let source = server.create_database().await;
        source
            .sql(
                "CREATE FUNCTION rate() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2';
                 CREATE TABLE price (net int, gross int GENERATED ALWAYS AS (net * public.rate()) STORED, note text);
                 CREATE TABLE steady (net int, gross int GENERATED ALWAYS AS (net * 2) STORED);
                 CREATE TABLE only_generated (seven int GENERATED ALWAYS AS (7) STORED);
                 INSERT INTO price (net, note) SELECT i, E'tab\tand\nmore' FROM generate_series(1, 1000) i;
                 INSERT INTO steady SELECT generate_series(1, 1000);
                 INSERT INTO only_generated SELECT FROM generate_series(1, 3)",
            )
            .await;
        let rig = Rig::new().await;
        let before = rig.backup(&source).await;
        let (_copy, report) = rig.restore(&before, &server, &into(&source)).await;
        assert!(report.proof.ok && report.remarks.is_empty(), "{report:?}");
        drop(_copy);

        source.sql("CREATE OR REPLACE FUNCTION rate() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 3'").await;
        let backup = rig.backup(&source).await;
        rig.require_whole(&backup).await;
        let (_copy, report) = rig.restore(&backup, &server, &into(&source)).await;
        assert!(report.proof.ok && report.proof.tables_equal == 3, "{report:?}");
        let remarks: Vec<&str> = report.remarks.iter().map(|remark| remark.object.as_str()).collect();
        assert_eq!(remarks, ["generated columns of public.price"], "{report:?}");
    }
}

/// Somebody who runs a statement that has to wait, and lets the backup go on only when it does.
struct QueuesFirst {
    server: Server,
    database: String,
    statement: &'static str,
    has_begun: AtomicBool,
    running: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl QueuesFirst {
    fn new(db: &TestDb, statement: &'static str) -> Arc<Self> {
        let (server, database) = (db.server().clone(), db.name().to_owned());
        Arc::new(Self { server, database, statement, has_begun: AtomicBool::new(false), running: Mutex::default() })
    }

    fn wait(&self) {
        let running = self.running.lock().unwrap().take();
        running.expect("the backup came to the rows").join().unwrap();
    }
}

impl Observer for QueuesFirst {
    fn on(&self, event: &Event) {
        if *event != (Event::Step { name: "rows" }) || self.has_begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let (server, database, statement) = (self.server.clone(), self.database.clone(), self.statement);
        let (queued, is_queued) = std::sync::mpsc::channel();
        *self.running.lock().unwrap() = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (ddl, watch) = (server.client(&database).await, server.client(&database).await);
                let waiting = async {
                    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
                               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                    while watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    queued.send(()).unwrap();
                };
                let (ran, ()) = tokio::join!(ddl.batch_execute(statement), waiting);
                ran.unwrap();
            });
        }));
        is_queued.recv().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_queues_before_the_readers_have_begun_makes_nobody_wait_for_ever() {
    for (policy, gives_way) in [(BlockedDdl::Hold, false), (BlockedDdl::Yield, true)] {
        let db = Bed::get().server(16).await.create_database().await;
        db.sql(
            "CREATE TABLE big AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 50000) i;
             CREATE TABLE other AS SELECT * FROM big",
        )
        .await;
        let mut rig = Rig::new().await;
        let meddler = QueuesFirst::new(&db, "ALTER TABLE big ADD note text");
        rig.run.observer = meddler.clone();
        // Slow enough for the watch to look while rows are read.
        let max_rate_bytes_per_s = gives_way.then_some(200_000);
        let options = BackupOptions { blocked_ddl: policy, max_rate_bytes_per_s, ..rig.options().await };
        let outcome = tokio::time::timeout(Duration::from_secs(120), rig.try_backup(&db, &options)).await;
        let outcome = outcome.expect("it ends");
        meddler.wait();
        match outcome {
            // As long as pg_dump runs, either policy lets the migration through and begins again.
            Ok(report) => {
                assert_eq!(report.backup.rows, 100_000);
                rig.require_whole(&report).await;
            }
            Err(error) => assert!(gives_way && error.kind() == ErrorKind::Conflict, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_tables_leave_locks_for_the_application_on_a_server_with_its_defaults() {
    let server = Bed::get().private_server(17, &["max_prepared_transactions = 0", "max_connections = 100"]).await;
    let source = server.create_database().await;
    let tables = 5000;
    for first in (0..tables).step_by(500) {
        source
            .sql(&format!(
                "DO $$ BEGIN FOR i IN {first}..{first} + 499 LOOP
                     EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, note text); INSERT INTO t%s VALUES (%s, ''row'')', i, i, i);
                 END LOOP; END $$"
            ))
            .await;
    }
    let rig = Rig::new().await;
    let options = BackupOptions { jobs: 4, ..rig.options().await };
    let backing_up = rig.try_backup(&source, &options);
    let done = AtomicBool::new(false);
    // Its usual transactions lock some hundred tables each, and must not notice the backup.
    let application = async {
        let client = source.client().await;
        let mut transactions = 0;
        while !done.load(Ordering::Relaxed) {
            let lock = "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('LOCK TABLE t%s IN ROW EXCLUSIVE MODE', i); END LOOP; END $$";
            client.batch_execute(lock).await.unwrap();
            transactions += 1;
        }
        transactions
    };
    let backup = async {
        let report = backing_up.await;
        done.store(true, Ordering::Relaxed);
        report.unwrap()
    };
    let (report, transactions) = tokio::join!(backup, application);
    assert!(transactions > 0);
    assert_eq!((report.backup.tables, report.backup.rows), (tables, tables));
    rig.require_whole(&report).await;
    let (_copy, restored) = rig.restore(&report, &server, &into(&source)).await;
    assert!(restored.proof.ok && restored.proof.tables_equal == tables, "{:?}", restored.proof);
    assert!(restored.not_restored.is_empty(), "{:?}", restored.not_restored);
}

/// An address that leads to one server and then to the other, as those of read replicas do.
async fn balancer(servers: [&Server; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ports = servers.map(Server::port);
    tokio::spawn(async move {
        for next in ports.into_iter().cycle() {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", next)).await.unwrap();
                // Whichever side hangs up ends it.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_behind_one_name_are_never_mixed_into_one_backup() {
    let (one, other) = (Bed::get().server(17).await, Bed::get().server(18).await);
    let source = one.create_database().await;
    let namesake = other.adopt_database(source.name());
    other.sql("postgres", &format!("CREATE DATABASE {}", source.name())).await;
    for db in [&source, &namesake] {
        db.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i").await;
    }
    let port = balancer([&one, &other]).await;
    let password = one.password();
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/{}?sslmode=disable", source.name());
    let rig = Rig::new().await;
    let refused = backup(&rig.vault, &connect(&url).await, &rig.options().await, &rig.run).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.message().contains("different servers"), "{refused}");
    assert!(rig.vault.databases().await.unwrap().is_empty(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_owner_is_missing_on_the_new_server_comes_back_under_another() {
    let (old, new) = (Bed::get().server(17).await, Bed::get().server(18).await);
    let owner = format!("owns_{}", std::process::id());
    old.sql_exclusively("postgres", &format!("DROP ROLE IF EXISTS {owner}; CREATE ROLE {owner} CREATEDB")).await;
    let source = old.create_database_with(&format!("OWNER {owner}")).await;
    source
        .sql(&format!(
            "SET ROLE {owner}; CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; CREATE SCHEMA s; CREATE VIEW s.v AS SELECT * FROM public.t"
        ))
        .await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let (copy, report) = rig.restore(&backup, &new, &into(&source)).await;
    assert!(report.proof.ok, "{report:?}");
    let owner_of = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()";
    let found: String = copy.client().await.query_one(owner_of, &[]).await.unwrap().get(0);
    assert_eq!(found, "postgres");
    let refused = report.not_restored.iter().filter(|refused| refused.reason.contains(&owner)).count();
    assert!(refused >= 3 && refused == report.not_restored.len(), "{:?}", report.not_restored);
    drop((copy, source));
    old.sql_exclusively("postgres", &format!("DROP ROLE {owner}")).await;
}
