//! Connections that break, servers that crash and disks that fill up, in the middle of a backup and of a restore.

use std::future::Future;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lifeboat::ErrorKind;
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::{BackupReport, Event, Observer, RestoreReport, Run};
use lifeboat::store::folder::FolderStore;
use lifeboat_tests::{Bed, PrivateServer, Server, Stop, TestDb, soak};
use tokio::process::Command;
use tokio::sync::Notify;

use crate::connect::skipped;
use crate::faults::require_whole;
use crate::rig::{Rig, connect, name, run};

const ROWS: &str = "
    CREATE TABLE big AS SELECT i AS id, md5(i::text) AS padding FROM generate_series(1, 300000) i;
    CREATE INDEX ON big (id);
    CREATE TABLE small AS SELECT i AS id, repeat(md5(i::text), 40) AS padding FROM generate_series(1, 5000) i;
    SELECT lo_from_bytea(0, convert_to(repeat('large', 30000), 'UTF8')) FROM generate_series(1, 20)";

/// Notices the n-th thing that happens.
struct Moment {
    left: AtomicI64,
    come: Arc<Notify>,
}

impl Observer for Moment {
    fn on(&self, _: &Event) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.come.notify_one();
        }
    }
}

/// Runs an operation and, from its n-th event on, something else beside it; tells whether that moment came.
async fn meanwhile<F: Future>(
    n: i64,
    operation: impl FnOnce(Run) -> F,
    act: impl Future<Output = ()>,
) -> (F::Output, bool) {
    let come = Arc::new(Notify::new());
    let observer = Arc::new(Moment { left: AtomicI64::new(n), come: Arc::clone(&come) });
    let mut operation = pin!(operation(Run { observer, ..run() }));
    tokio::select! {
        biased;
        () = come.notified() => {}
        outcome = &mut operation => return (outcome, false),
    }
    let (outcome, ()) = tokio::join!(operation, act);
    (outcome, true)
}

/// Ends every session in the database but our own.
async fn break_connections(server: &Server, database: &str) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
    server.client("postgres").await.query(sql, &[&database]).await.unwrap();
}

/// Not in a hurry, so that outages find it at work.
async fn try_backup(rig: &Rig, db: &TestDb, run: Run) -> lifeboat::Result<BackupReport> {
    let options = BackupOptions { max_rate_bytes_per_s: Some(8_000_000), ..rig.options().await };
    backup(&rig.vault, &connect(&db.url()).await, &options, &run).await
}

async fn try_restore(
    rig: &Rig,
    backup: &BackupReport,
    server: &Server,
    into: &str,
    run: Run,
) -> lifeboat::Result<RestoreReport> {
    let options = RestoreOptions { into: Some(into.to_owned()), ..RestoreOptions::default() };
    rig.try_restore(backup, &server.admin_url(), &options, &run).await
}

/// How many backups are listed, each of them whole.
async fn listed(rig: &Rig) -> usize {
    match rig.vault.database(&name()).await {
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        _ => require_whole(&rig.vault, "after an outage").await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_at_any_moment_of_a_backup_leave_nothing_listed_and_no_obstacle() {
    let server = Bed::get().server(17).await;
    let db = server.create_database().await;
    db.sql(ROWS).await;
    let rig = Rig::new().await;
    let (mut failed, mut succeeded) = (0, 0);
    for moment in (0..).step_by(soak(2, 1)) {
        let act = break_connections(&server, db.name());
        let (outcome, came) = meanwhile(moment, |run| try_backup(&rig, &db, run), act).await;
        match outcome {
            Ok(_) => succeeded += 1,
            Err(error) => {
                assert!(came && error.kind() == ErrorKind::Database, "at {moment}: {error}");
                failed += 1;
            }
        }
        assert_eq!(listed(&rig).await, succeeded, "at {moment}");
        if !came {
            break;
        }
    }
    assert!(failed > 3, "{failed}");
    assert_eq!(listed(&rig).await, succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_at_any_moment_of_a_restore_cost_another_run() {
    let server = Bed::get().server(17).await;
    let db = server.create_database().await;
    db.sql(ROWS).await;
    let rig = Rig::new().await;
    let backup = rig.backup(&db).await;
    let mut failed = 0;
    for moment in (0..).step_by(soak(4, 1)) {
        let target = server.adopt_database(&format!("{}_copy_{moment}", db.name()));
        let operation = |run| try_restore(&rig, &backup, &server, target.name(), run);
        let (outcome, came) = meanwhile(moment, operation, break_connections(&server, target.name())).await;
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                assert!(came && error.kind() == ErrorKind::Database, "at {moment}: {error}");
                failed += 1;
                try_restore(&rig, &backup, &server, target.name(), run()).await.unwrap()
            }
        };
        assert!(report.proof.ok && report.not_restored.is_empty() && report.remarks.is_empty(), "{report:?}");
        if !came {
            break;
        }
    }
    assert!(failed > 2, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_costs_the_backup_and_nothing_else() {
    let mut server: PrivateServer = Bed::get().private_server(17, &[]).await;
    let rig = Rig::new().await;
    let db = server.create_database().await;
    db.sql(ROWS).await;
    let database = db.name().to_owned();
    // Its addresses change with each start.
    std::mem::forget(db);
    let mut crashed = 0;
    for moment in (0..).step_by(soak(2, 1)) {
        let db = server.adopt_database(&database);
        let (outcome, _) = meanwhile(moment, |run| try_backup(&rig, &db, run), server.stop(Stop::Immediate)).await;
        std::mem::forget(db);
        server.start_again(&[]).await;
        match outcome {
            // It had all the rows already.
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Database, "at {moment}: {error}"),
        }
        assert_eq!(listed(&rig).await, 0, "at {moment}");
        crashed += 1;
    }
    assert!(crashed > 0, "{crashed}");
    assert_eq!(listed(&rig).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_after_its_server_has_crashed() {
    let mut server: PrivateServer = Bed::get().private_server(17, &["fsync = on"]).await;
    let source = Bed::get().server(17).await.create_database().await;
    source.sql(ROWS).await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let mut crashed = 0;
    // Always the same target: each crash meets what the one before has left.
    loop {
        let crash = server.stop(Stop::Immediate);
        let operation = |run| try_restore(&rig, &backup, &server, "copy", run);
        let (outcome, came) = meanwhile(2 + crashed * soak(4, 1), operation, crash).await;
        server.start_again(&[]).await;
        match outcome {
            Ok(report) => {
                assert!(report.proof.ok && report.not_restored.is_empty(), "{crashed}: {report:?}");
                break;
            }
            Err(error) => {
                assert!(came && error.kind() == ErrorKind::Database, "after {crashed}: {error}");
                crashed += 1;
                if error.hint_text().is_some_and(|hint| hint.starts_with("the target is whole if"))
                    && !is_unfinished(&server).await
                {
                    break;
                }
            }
        }
    }
    assert!(crashed > 1, "{crashed}");
    let rows: i64 = server.client("copy").await.query_one("SELECT count(*) FROM big", &[]).await.unwrap().get(0);
    assert_eq!(rows, 300_000);
}

async fn is_unfinished(server: &Server) -> bool {
    let sql = "SELECT to_regnamespace('lifeboat_restore') IS NOT NULL";
    server.client("copy").await.query_one(sql, &[]).await.unwrap().get(0)
}

/// A disk of its own, filled up as far as wanted.
struct Disk {
    folder: tempfile::TempDir,
    size: u64,
}

const MIB: u64 = 1024 * 1024;

impl Disk {
    /// `None` where this user may not mount one.
    async fn of(size: u64) -> Option<Self> {
        let folder = Bed::get().scratch_dir();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        let mounted = mount.output().await.is_ok_and(|ended| ended.status.success());
        if !mounted {
            skipped("only root can mount a disk, so full disks are not tested");
        }
        mounted.then_some(Self { folder, size })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves this much of what is free now.
    fn fill_up_to(&self, free: u64) {
        let ballast = std::fs::File::create(self.ballast()).unwrap();
        let taken = used(self.path());
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, self.size - taken - free).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: the machine's end removes what is left.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

/// Bytes in use on the disk that is mounted here.
fn used(path: &Path) -> u64 {
    let answer = rustix::fs::statvfs(path).unwrap();
    (answer.f_blocks - answer.f_bfree) * answer.f_frsize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_any_moment_of_a_backup_leaves_nothing_listed_and_no_obstacle() {
    let Some(disk) = Disk::of(64 * MIB).await else { return };
    let db = Bed::get().server(17).await.create_database().await;
    db.sql(ROWS).await;
    let rig = Rig::on(Arc::new(FolderStore::new(disk.path().join("vault")).unwrap())).await;
    let mut failed = 0;
    for free in (0..).step_by(soak(2 * MIB as usize, MIB as usize / 4)) {
        disk.fill_up_to(free);
        let outcome = try_backup(&rig, &db, run()).await;
        disk.make_room();
        match outcome {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Vault, "with {free} bytes free: {error}");
                assert!(error.hint_text().is_some_and(|hint| hint.contains("free some space")), "{error:?}");
            }
        }
        assert_eq!(listed(&rig).await, 0);
        failed += 1;
    }
    assert!(failed > 2, "{failed}");
    assert_eq!(listed(&rig).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_after_its_servers_disk_was_full() {
    let Some(disk) = Disk::of(128 * MIB).await else { return };
    let server = Bed::get().private_server(17, &[]).await;
    let tablespace = disk.path().join("tablespace");
    std::fs::create_dir(&tablespace).unwrap();
    let owner = std::fs::metadata(server.data_dir()).unwrap();
    chown(&tablespace, Some(owner.uid()), Some(owner.gid())).unwrap();
    server.sql("postgres", &format!("CREATE TABLESPACE narrow LOCATION '{}'", tablespace.display())).await;
    server.sql("postgres", "CREATE DATABASE copy TABLESPACE narrow").await;
    let source = Bed::get().server(17).await.create_database().await;
    source.sql(ROWS).await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    disk.fill_up_to(20 * MIB);
    let error = try_restore(&rig, &backup, &server, "copy", run()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{error}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("disk is full")), "{error:?}");
    disk.make_room();
    let report = try_restore(&rig, &backup, &server, "copy", run()).await.unwrap();
    assert!(report.proof.ok && report.not_restored.is_empty(), "{report:?}");
}
