//! Backups that do not read what the server shows to be unchanged hold the same rows as those that read everything.
//!
//! What must be noticed is made here by every means that a database has: each would be missed by a simpler rule. Histories
//! by chance run beside the backups; the rule then judges ranges that are read all the same, under the same snapshot.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lifeboat::ErrorKind;
use lifeboat::model::{Depth, Manifest, TableName, Tally};
use lifeboat::ops::BackupReport;
use lifeboat::ops::backup::BackupOptions;
use lifeboat::ops::verify::verify;
use lifeboat::plan::unread::ReadPolicy;
use lifeboat_tests::{Bed, PrivateServer, Stop, TestDb, soak};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use crate::connect::skipped;
use crate::rig::Rig;

/// Three ranges, of one chunk each: a `name` takes 64 bytes, and is written with two letters here.
const ROWS: &str = "SELECT i AS id, i % 7 AS kind, array_fill(left(md5(i::text), 2)::name, ARRAY[4]) AS padding FROM generate_series(1, 16000) i";
const RANGES: u64 = 3;
/// As many ranges, of four or five chunks each. The server makes a table up to 64 blocks longer than it need be, and
/// autovacuum may take them away between two backups: they must not reach into a fourth range, whose end that would change.
const LONG_ROWS: &str =
    "SELECT i AS id, i % 7 AS kind, repeat(md5(i::text), 10) AS padding FROM generate_series(1, 15000) i";

impl Rig {
    /// A backup that reads what has changed; everything in one of `all_every`.
    async fn try_changed(&self, source: &TestDb, all_every: u32) -> lifeboat::Result<BackupReport> {
        let options =
            BackupOptions { read: ReadPolicy::Changed, read_all_every: all_every, adopt: true, ..self.options().await };
        self.try_backup(source, &options).await
    }

    async fn changed(&self, source: &TestDb) -> BackupReport {
        self.try_changed(source, 100).await.unwrap()
    }

    async fn manifest(&self, backup: &BackupReport) -> Manifest {
        self.database().await.manifest(&backup.backup.id).await.unwrap()
    }

    /// What each table holds in a backup.
    async fn tallies(&self, backup: &BackupReport) -> BTreeMap<TableName, Tally> {
        let database = self.database().await;
        let catalogue = database.catalogue(&self.manifest(backup).await).await.unwrap();
        catalogue.tables.into_iter().map(|table| (table.name, table.tally)).collect()
    }

    /// The same, read to the last row: nobody writes meanwhile.
    async fn all(&self, source: &TestDb) -> BTreeMap<TableName, Tally> {
        let backup = self.backup(source).await;
        assert_eq!(backup.unread_chunks, 0);
        self.tallies(&backup).await
    }

    /// A backup that reads what has changed, proven equal to one that reads everything.
    async fn proven(&self, source: &TestDb, when: &str) -> BackupReport {
        let backup = self.changed(source).await;
        assert_eq!(self.tallies(&backup).await, self.all(source).await, "{when}");
        backup
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_is_read_and_everything_in_its_turn() {
    for major in [14, 18] {
        let source = Bed::get().server(major).await.create_database().await;
        source.sql(&format!("CREATE TABLE big AS {ROWS}; CREATE TABLE small AS SELECT 1 AS one")).await;
        let rig = Rig::new().await;
        let backup = async || {
            let report = rig.try_changed(&source, 4).await.unwrap();
            let manifest = rig.manifest(&report).await;
            (report.unread_chunks, manifest.totals.new_chunks, manifest.since_all_read)
        };
        assert_eq!(backup().await, (0, RANGES + 1, 0), "the first one");
        assert_eq!(backup().await, (RANGES, 0, 1), "nothing has changed");
        source.sql("UPDATE big SET kind = 8 WHERE id = 1; UPDATE small SET one = 2").await;
        // The new version of the row is in the last range.
        assert_eq!(backup().await, (RANGES - 2, 3, 2), "a row moved");
        assert_eq!(backup().await, (RANGES, 0, 3));
        assert_eq!(backup().await, (0, 0, 0), "it is its turn");
        let last = rig.changed(&source).await;
        assert_eq!((last.unread_chunks, rig.manifest(&last).await.totals.unread_chunks), (RANGES, RANGES));
        let all = rig.all(&source).await;
        assert_eq!(rig.tallies(&last).await, all);
        let verdict = verify(&rig.database().await, &last.backup.id, Depth::Full, None, &rig.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
        let options = lifeboat::ops::restore::RestoreOptions {
            into: Some(format!("{}_copy", source.name())),
            ..Default::default()
        };
        let (_copy, report) = rig.restore(&last, source.server(), &options).await;
        assert!(report.proof.ok, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_many_chunks_is_left_unread_or_read_as_a_whole() {
    let source = Bed::get().server(17).await.create_database().await;
    source.sql(&format!("CREATE TABLE big AS {LONG_ROWS}")).await;
    let rig = Rig::new().await;
    let chunks = rig.manifest(&rig.changed(&source).await).await.totals.chunks;
    assert!(chunks > 3 * RANGES, "{chunks}");
    let again = rig.changed(&source).await;
    assert_eq!((again.unread_chunks, again.backup.new_bytes), (chunks, 0));
    let in_its_turn = rig.try_changed(&source, 2).await.unwrap();
    assert_eq!((in_its_turn.unread_chunks, in_its_turn.backup.new_bytes), (0, 0), "every chunk is the parent's");
    source.sql("UPDATE big SET padding = 'short' WHERE id = 1").await;
    let moved = rig.proven(&source, "a row moved").await;
    let totals = rig.manifest(&moved).await.totals;
    assert!(totals.new_chunks <= 3, "the one it was in, and the last ones: {totals:?}");
    assert!((1..chunks - 3).contains(&moved.unread_chunks), "its range and the last one are read: {totals:?}");
}

/// What happens to a table `t_NAME` between two backups: how it is made, what is done, how many of its ranges stay unread.
type Case = (&'static str, &'static str, &'static [&'static str], u64);

/// `{t}` stands for the table, `{rows}` for its rows.
const CASES: [Case; 21] = [
    ("left_alone", "CREATE TABLE {t} AS {rows}", &[], RANGES),
    ("locked", "CREATE TABLE {t} AS {rows}", &["SELECT FROM {t} FOR UPDATE"], RANGES),
    ("rolled_back", "CREATE TABLE {t} AS {rows}", &["BEGIN; UPDATE {t} SET kind = 9 WHERE id < 9; ROLLBACK"], RANGES),
    ("deleted", "CREATE TABLE {t} AS {rows}", &["DELETE FROM {t} WHERE id = 1"], RANGES - 1),
    ("grown", "CREATE TABLE {t} AS {rows}", &["INSERT INTO {t} {rows}"], RANGES - 1),
    // As many rows as before, on the same pages.
    (
        "exchanged",
        "CREATE TABLE {t} AS {rows}",
        &[
            "DELETE FROM {t} WHERE id < 500",
            "VACUUM {t}",
            "INSERT INTO {t} SELECT 0, 0, array_fill('x'::name, ARRAY[4]) FROM generate_series(1, 499)",
        ],
        RANGES - 1,
    ),
    (
        "hot",
        "CREATE TABLE {t} (id int, kind int, padding name[]) WITH (fillfactor = 50); INSERT INTO {t} {rows} LIMIT 9000",
        &["UPDATE {t} SET kind = 9 WHERE id = 1"],
        RANGES - 1,
    ),
    (
        "subtransaction",
        "CREATE TABLE {t} AS {rows}",
        &[
            "BEGIN; SAVEPOINT a; DELETE FROM {t} WHERE id = 1; RELEASE a; SAVEPOINT b; DELETE FROM {t} WHERE id = 9000; ROLLBACK TO b; COMMIT",
        ],
        RANGES - 1,
    ),
    ("frozen", "CREATE TABLE {t} AS {rows}", &["VACUUM FREEZE {t}"], RANGES),
    (
        "changed_and_frozen",
        "CREATE TABLE {t} AS {rows}",
        &["UPDATE {t} SET kind = 9 WHERE id = 1", "VACUUM FREEZE {t}"],
        RANGES - 2,
    ),
    // The last range gets shorter, then longer, than it was.
    ("cut", "CREATE TABLE {t} AS {rows}", &["DELETE FROM {t} WHERE id > 15900", "VACUUM {t}"], RANGES - 1),
    ("cut_by_a_range", "CREATE TABLE {t} AS {rows}", &["DELETE FROM {t} WHERE id > 7000", "VACUUM {t}"], 1),
    ("emptied", "CREATE TABLE {t} AS {rows}", &["TRUNCATE {t}"], 0),
    ("made_again", "CREATE TABLE {t} AS {rows}", &["BEGIN; TRUNCATE {t}; INSERT INTO {t} {rows}; COMMIT"], 0),
    ("rewritten", "CREATE TABLE {t} AS {rows}", &["VACUUM FULL {t}"], 0),
    ("new_column", "CREATE TABLE {t} AS {rows}", &["ALTER TABLE {t} ADD extra int DEFAULT 5"], 0),
    // Neither the name nor the type of a column has changed, nor a byte in the file.
    (
        "other_column",
        "CREATE TABLE {t} AS {rows}; ALTER TABLE {t} ADD extra int DEFAULT 5",
        &["ALTER TABLE {t} DROP extra", "ALTER TABLE {t} ADD extra int DEFAULT 7"],
        0,
    ),
    (
        "renamed_value",
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE {t} AS SELECT *, 'good'::mood AS mood FROM ({rows}) r",
        &["ALTER TYPE mood RENAME VALUE 'good' TO 'fine'"],
        0,
    ),
    (
        "other_attribute",
        "CREATE TYPE pair AS (a int, b int); CREATE TABLE {t} AS SELECT *, (1, 2)::pair AS pair FROM ({rows}) r",
        &["ALTER TYPE pair DROP ATTRIBUTE b", "ALTER TYPE pair ADD ATTRIBUTE b int"],
        0,
    ),
    (
        "renamed_role",
        "CREATE ROLE {role}; CREATE TABLE {t} AS SELECT *, aclitemin('{role}=r/postgres') AS acl FROM ({rows}) r",
        &["ALTER ROLE {role} RENAME TO {role}_b"],
        0,
    ),
    (
        "renamed_object",
        "CREATE TABLE named (); CREATE TABLE {t} AS SELECT *, 'named'::regclass AS which FROM ({rows}) r",
        &["ALTER TABLE named RENAME TO renamed"],
        0,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_what_a_table_prints_is_noticed() {
    for major in [14, 16, 18] {
        // What autovacuum is at, VACUUM passes over.
        let server = Bed::get().private_server(major, &["autovacuum = off"]).await;
        let source = server.create_database().await;
        let role = format!("{}_role", source.name());
        let text = |sql: &str, case: &str| {
            sql.replace("{t}", &format!("t_{case}")).replace("{rows}", ROWS).replace("{role}", &role)
        };
        for (case, setup, ..) in CASES {
            source.sql(&text(setup, case)).await;
        }
        source
            .sql(&format!(
                "CREATE TABLE whole (id int, kind int, padding name[]) PARTITION BY RANGE (id);
                 CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (16001);
                 INSERT INTO whole {ROWS};
                 CREATE TABLE left_one AS {ROWS}; CREATE TABLE right_one AS SELECT id + 1 AS id, kind, padding FROM left_one"
            ))
            .await;
        let rig = Rig::new().await;
        let first = rig.proven(&source, "at first").await;
        for (case, _, steps, _) in CASES {
            for step in steps {
                source.sql(&text(step, case)).await;
            }
        }
        source.sql("ALTER TABLE whole DETACH PARTITION part").await;
        // Each is as it was, under the other's name.
        source
            .sql("ALTER TABLE left_one RENAME TO x; ALTER TABLE right_one RENAME TO left_one; ALTER TABLE x RENAME TO right_one")
            .await;
        let unread: u64 = CASES.iter().map(|case| case.3).sum::<u64>() + RANGES;
        let second = rig.proven(&source, "after all that").await;
        assert_eq!(second.unread_chunks, unread, "{major}");
        let changed: Vec<TableName> = {
            let (then, now) = (rig.tallies(&first).await, rig.tallies(&second).await);
            now.into_iter().filter(|(name, tally)| then.get(name) != Some(tally)).map(|(name, _)| name).collect()
        };
        assert!(changed.len() >= 15, "the histories do change what is read: {changed:?}");
        let names = format!("DROP OWNED BY {role}_b; DROP ROLE {role}_b");
        source.sql("DROP TABLE t_renamed_role").await;
        source.sql(&names).await;
    }
}

/// A private server with a database of three ranges, and a backup of it.
async fn backed_up(major: u32, lines: &[&str]) -> (PrivateServer, TestDb, Rig) {
    let server = Bed::get().private_server(major, lines).await;
    let source = server.create_database().await;
    source.sql(&format!("CREATE TABLE big AS {ROWS}")).await;
    let rig = Rig::new().await;
    rig.changed(&source).await;
    assert_eq!(rig.changed(&source).await.unread_chunks, RANGES);
    (server, source, rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_that_lost_transactions_everything_is_read_once() {
    let (mut server, source, rig) = backed_up(17, &["synchronous_commit = off", "wal_writer_delay = 10s"]).await;
    let writer = source.client().await;
    for id in 1..=500 {
        let sql = format!("UPDATE big SET kind = kind + 100 WHERE id = {}", id * 30);
        if writer.batch_execute(&sql).await.is_err() {
            break;
        }
    }
    // Some of that is in the backup, and nothing is that the server will not remember.
    rig.changed(&source).await;
    for id in 1..=100 {
        writer.batch_execute(&format!("UPDATE big SET kind = kind + 1000 WHERE id = {}", id * 7)).await.unwrap();
    }
    server.stop(Stop::Immediate).await;
    server.start_again(&[]).await;
    let source = server.adopt_database(source.name());
    assert_eq!(rig.proven(&source, "after a crash").await.unread_chunks, 0);
    assert!(rig.proven(&source, "after that").await.unread_chunks >= RANGES);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_promotion_everything_is_read_once_and_of_a_replica_always() {
    let (mut server, source, rig) = backed_up(17, &[]).await;
    server.stop(Stop::Fast).await;
    std::fs::write(server.data_dir().join("standby.signal"), "").unwrap();
    server.start_again(&[]).await;
    let source = server.adopt_database(source.name());
    for _ in 0..2 {
        assert_eq!(rig.changed(&source).await.unread_chunks, 0, "a replica");
    }
    let admin = server.client("postgres").await;
    admin.batch_execute("SELECT pg_promote()").await.unwrap();
    source.sql("UPDATE big SET kind = 9 WHERE id % 5000 = 0").await;
    assert_eq!(rig.proven(&source, "after the promotion").await.unread_chunks, 0);
    assert_eq!(rig.proven(&source, "after that").await.unread_chunks, RANGES);
}

/// A copy of a database has its files' numbers, its transactions' and, if somebody likes, its name.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_copy_with_the_same_name_everything_is_read() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    source.sql(&format!("CREATE TABLE big AS {ROWS}")).await;
    let rig = Rig::new().await;
    rig.changed(&source).await;
    source.sql("UPDATE big SET kind = 9 WHERE id % 5000 = 0").await;
    rig.changed(&source).await;
    let name = source.name();
    server.sql_exclusively("postgres", &format!("CREATE DATABASE {name}_b TEMPLATE {name}")).await;
    // What happens in one of them is not in the other.
    let copy = server.adopt_database(&format!("{name}_b"));
    copy.sql("UPDATE big SET kind = 10 WHERE id % 4000 = 0").await;
    let swap = format!("ALTER DATABASE {name} RENAME TO {name}_a");
    server.sql_exclusively("postgres", &swap).await;
    server.sql_exclusively("postgres", &format!("ALTER DATABASE {name}_b RENAME TO {name}")).await;
    let old = server.adopt_database(&format!("{name}_a"));
    assert_eq!(rig.proven(&source, "the copy").await.unread_chunks, 0);
    assert_eq!(rig.proven(&source, "the copy again").await.unread_chunks, RANGES);
    assert_eq!(rig.proven(&old, "the old one again").await.unread_chunks, 0);
}

/// pg_surgery makes a row look old that is new: no rule could see it, but the backup that reads everything does.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_its_turn_finds_what_the_rule_missed() {
    let source = Bed::get().server(17).await.create_database().await;
    source
        .sql(&format!(
            "CREATE EXTENSION pg_surgery;
             CREATE TABLE big (id int, kind int, padding name[]) WITH (fillfactor = 50);
             INSERT INTO big {ROWS}; CREATE TABLE other AS {ROWS}"
        ))
        .await;
    let rig = Rig::new().await;
    rig.try_changed(&source, 2).await.unwrap();
    source
        .sql(
            "UPDATE big SET kind = 9 WHERE id = 1;
             SELECT heap_force_freeze('big', ARRAY(SELECT ctid FROM big WHERE id = 1))",
        )
        .await;
    let wrong = rig.try_changed(&source, 2).await.unwrap();
    let found = rig.try_changed(&source, 2).await.unwrap_err();
    assert_eq!(found.kind(), ErrorKind::Verification, "{found}");
    for told in ["public.big", "the last 1 backup"] {
        assert!(found.message().contains(told), "{found}");
    }
    assert!(!found.message().contains("public.other"), "{found}");
    // It is there all the same, and is what the table holds.
    let published = rig.database().await.published().await.unwrap();
    assert_eq!(published.len(), 3);
    let manifest = rig.database().await.manifest(published.iter().max().unwrap()).await.unwrap();
    let held = rig.database().await.catalogue(&manifest).await.unwrap();
    let held: BTreeMap<TableName, Tally> = held.tables.into_iter().map(|table| (table.name, table.tally)).collect();
    assert_eq!(held, rig.all(&source).await);
    assert_ne!(held, rig.tallies(&wrong).await);
}

/// Debian's, for a server of its version.
fn pg_resetwal() -> Option<(u32, PathBuf)> {
    let at = |major: u32| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_resetwal"));
    (14..=18).map(|major| (major, at(major))).find(|(_, path)| path.exists())
}

/// Goes on with transaction `xid`, as if all those before it had been.
fn jump_to(xid: u32, program: &Path, data_dir: &Path) {
    const PER_SEGMENT: u32 = 32 * 8192 * 4;
    let segment = data_dir.join("pg_xact").join(format!("{:04X}", xid / PER_SEGMENT));
    let owner = std::fs::metadata(data_dir).unwrap();
    if !segment.exists() {
        std::fs::write(&segment, vec![0; 32 * 8192]).unwrap();
        std::os::unix::fs::chown(&segment, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let mut command = Command::new(program);
    if owner.uid() != rustix::process::getuid().as_raw() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let ran = command.args(["-x", &xid.to_string()]).arg(data_dir).current_dir("/").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

async fn freeze(server: &PrivateServer) {
    let admin = server.client("postgres").await;
    admin.batch_execute("ALTER DATABASE template0 ALLOW_CONNECTIONS true").await.unwrap();
    for row in admin.query("SELECT datname FROM pg_database", &[]).await.unwrap() {
        server.client(row.get(0)).await.batch_execute("VACUUM FREEZE").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_ids_may_begin_again() {
    let Some((major, program)) = pg_resetwal() else {
        skipped("there is no pg_resetwal in /usr/lib/postgresql, so transaction ids that begin again are not tested");
        return;
    };
    let (mut server, source, _) = backed_up(major, &["autovacuum = off"]).await;
    let name = source.name().to_owned();
    // Each jump stays within the half of the circle that counts as the future.
    for xid in [1_500_000_000, 3_000_000_000, u32::MAX - 900] {
        freeze(&server).await;
        server.stop(Stop::Fast).await;
        jump_to(xid, &program, server.data_dir());
        server.start_again(&[]).await;
    }
    let source = server.adopt_database(&name);
    let rig = Rig::new().await;
    rig.changed(&source).await;
    let client = source.client().await;
    let (mut unread, mut wrapped) = (0, false);
    for step in 0..6 {
        for id in 1..=300 {
            let id = id + step * 1000;
            client.batch_execute(&format!("UPDATE big SET kind = kind + 1 WHERE id = {id}")).await.unwrap();
        }
        unread += rig.proven(&source, &format!("step {step}")).await.unread_chunks;
        let row = client.query_one("SELECT txid_current() >> 32", &[]).await.unwrap();
        wrapped |= row.get::<_, i64>(0) > 0;
        // Rows that were written at the end of the old circle, and are frozen in the new one.
        client.batch_execute("VACUUM FREEZE big").await.unwrap();
    }
    assert!(wrapped && unread > 0, "{wrapped} {unread}");
    let quiet = rig.proven(&source, "at last").await;
    assert!(quiet.unread_chunks >= RANGES, "{quiet:?}");
}

/// Something that a transaction may do to `t`, in the neighbourhood of one row.
fn statement(random: &mut StdRng, around: u32) -> String {
    let id = around + random.random_range(0..1_500);
    let width = random.random_range(0..5);
    match random.random_range(0..100) {
        0..30 => format!("UPDATE t SET kind = kind + 1 WHERE id = {id}"),
        30..45 => format!("UPDATE t SET padding = padding || 'y' WHERE id BETWEEN {id} AND {id} + {width}"),
        45..60 => format!("DELETE FROM t WHERE id BETWEEN {id} AND {id} + {width}"),
        60..80 => format!("INSERT INTO t SELECT {id}, i, repeat('n', 320) FROM generate_series(0, {width}) i"),
        80..90 => format!(
            "WITH gone AS (DELETE FROM t WHERE id BETWEEN {id} AND {id} + {width} RETURNING *) INSERT INTO t SELECT * FROM gone"
        ),
        _ => format!("SELECT FROM t WHERE id = {id} FOR UPDATE"),
    }
}

/// Whatever a client may do in a transaction, until told to stop. Refusals are part of it.
async fn write(client: Client, mut random: StdRng, around: u32, stop: Arc<AtomicBool>) {
    let number: u64 = random.random();
    let run = async |sql: &str| client.batch_execute(sql).await.is_ok();
    run("SET lock_timeout = '200ms'; SET synchronous_commit = off").await;
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        run("BEGIN").await;
        for _ in 0..random.random_range(1..4) {
            if random.random_bool(0.6) {
                run("SAVEPOINT a").await;
                run(&statement(&mut random, around)).await;
                if random.random_bool(0.3) {
                    run("SAVEPOINT b").await;
                    run(&statement(&mut random, around)).await;
                    run(["ROLLBACK TO b", "RELEASE b"].choose(&mut random).unwrap()).await;
                }
                run(["ROLLBACK TO a", "RELEASE a", "RELEASE a"].choose(&mut random).unwrap()).await;
            } else {
                run(&statement(&mut random, around)).await;
            }
            // Some stay open across a snapshot.
            let pause_ms = if random.random_bool(0.1) { random.random_range(0..800) } else { 0 };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        let end = random.random_range(0..100);
        if end < 12 && run(&format!("PREPARE TRANSACTION 'w{number}-{round}'")).await {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
            let end = ["COMMIT", "ROLLBACK"].choose(&mut random).unwrap();
            run(&format!("{end} PREPARED 'w{number}-{round}'")).await;
        } else if end < 75 {
            run("COMMIT").await;
        }
        run("ROLLBACK").await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
    }
}

/// What somebody may do to the table as a whole.
fn upkeep(random: &mut StdRng) -> &'static str {
    match random.random_range(0..100) {
        0..25 => "VACUUM t",
        25..40 => "VACUUM FREEZE t",
        40..50 => "VACUUM FULL t",
        50..55 => "CLUSTER t USING t_kind",
        55..60 => {
            "CREATE TABLE u (LIKE t); INSERT INTO u SELECT * FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t; CREATE INDEX t_kind ON t (kind)"
        }
        60..65 => "ALTER TABLE t ADD extra int DEFAULT 5",
        65..70 => "ALTER TABLE t DROP IF EXISTS extra; ALTER TABLE t ADD extra int DEFAULT 7",
        70..73 => "TRUNCATE t",
        73..80 => "ALTER TYPE mood RENAME VALUE 'good' TO 'fine'",
        _ => "SELECT",
    }
}

/// One history. Gives how many chunks were not read.
async fn history(server: &PrivateServer, seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let source = server.create_database().await;
    let fillfactor = [50, 80, 100].choose(&mut random).unwrap();
    source
        .sql(&format!(
            "CREATE TYPE mood AS ENUM ('good', 'bad');
             CREATE TABLE t (id int, kind int, padding text, mood mood DEFAULT 'good') WITH (fillfactor = {fillfactor});
             INSERT INTO t {LONG_ROWS}; CREATE INDEX t_kind ON t (kind); CREATE INDEX ON t (id)"
        ))
        .await;
    let rig = Rig::new().await;
    rig.changed(&source).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    let around = random.random_range(1..15_000);
    for _ in 0..3 {
        let random = StdRng::from_rng(&mut random);
        writers.push(tokio::spawn(write(source.client().await, random, around, Arc::clone(&stop))));
    }
    let keeper = source.client().await;
    keeper.batch_execute("SET lock_timeout = '2s'").await.unwrap();
    let mut unread = 0;
    for _ in 0..4 {
        if random.random_bool(0.4) {
            // It may be refused, for somebody's lock.
            drop(keeper.batch_execute(upkeep(&mut random)).await);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        // The second one judges as the first does, and reads all the same: also what the first one has left unread.
        for all_every in [100, 1] {
            match rig.try_changed(&source, all_every).await {
                Ok(report) => unread += report.unread_chunks,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "seed {seed}: {error}"),
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    rig.proven(&source, &format!("seed {seed}")).await;
    unread + rig.proven(&source, &format!("seed {seed}, again")).await.unread_chunks
}

/// Histories one after the other, on a server of their own: transactions elsewhere on a server hold back what can be shown to
/// be unchanged. Gives how many chunks were not read.
async fn histories(seeds: &AtomicU64, end: u64) -> u64 {
    let server = Bed::get().private_server(17, &["max_prepared_transactions = 20", "fsync = off"]).await;
    let mut unread = 0;
    loop {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return unread;
        }
        unread += history(&server, seed).await;
    }
}

#[test]
fn no_history_hides_a_change() {
    let first: u64 = if soak(true, false) { 20 } else { rand::random::<u32>().into() };
    let (seeds, end) = (AtomicU64::new(first), first + soak(3, 1000));
    let lane = || tokio::runtime::Runtime::new().unwrap().block_on(histories(&seeds, end));
    let unread: u64 = thread::scope(|scope| {
        // Each waits more than it works.
        let lanes: Vec<_> = (0..soak(1, 6)).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    assert!(unread > soak(10, 4000), "{unread}");
}
