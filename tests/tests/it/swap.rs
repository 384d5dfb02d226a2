//! A database that is replaced, and runs that die at every point between its proof and the end of the old one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat::ErrorKind;
use lifeboat::ops::restore::{Action, RestoreOptions, plan, restore};
use lifeboat::ops::{BackupReport, Event, Observer, RestoreReport, Run};
use lifeboat_tests::{Bed, PrivateServer, Server, Stop, TestDb};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, connect, run};

/// A database whose rows are no longer those of its backup.
struct Replacing {
    db: TestDb,
    rig: Rig,
    backup: BackupReport,
    options: RestoreOptions,
}

impl Replacing {
    async fn begin(server: &Server) -> Self {
        let db = changing(server).await;
        let rig = Rig::new().await;
        let backup = rig.backup(&db).await;
        db.sql("UPDATE state SET what = 'new'").await;
        let pg_dump = Some(Bed::get().pg_dump().await);
        let into = Some(db.name().to_owned());
        Self { db, rig, backup, options: RestoreOptions { into, clean: true, pg_dump, ..RestoreOptions::default() } }
    }

    async fn restore(&self, run: &Run) -> lifeboat::Result<RestoreReport> {
        let database = self.rig.database().await;
        let server = connect(&self.db.server().admin_url()).await;
        let plan = plan(&database, &self.backup.backup.id, &server, &self.options, run).await?;
        assert_eq!(plan.action, Action::Replace);
        restore(&database, &plan, true, run).await
    }

    /// Up to the point where only the swap is left to do.
    async fn stop_before_the_swap(&self) {
        let error = self.restore(&stopping_at("swap")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfTime, "{error}");
        require_state(&self.db, "new").await;
        assert_eq!(left(&self.db).await, [format!("{}_restoring", self.db.name())]);
    }

    async fn require_only_the_swap(&self) {
        let report = self.restore(&run()).await.unwrap();
        let steps: Vec<&str> = report.steps.iter().map(|step| step.name.split(' ').next().unwrap()).collect();
        assert_eq!(steps, ["safety", "swap"]);
        assert!(report.proof.ok && report.proof.tables_equal == 1, "{report:?}");
        require_replaced(&self.db).await;
    }
}

async fn changing(server: &Server) -> TestDb {
    let db = server.create_database().await;
    db.sql("CREATE TABLE state AS SELECT 'old'::text AS what FROM generate_series(1, 1000)").await;
    db.server().sql("postgres", &format!("COMMENT ON DATABASE {} IS 'the shop''s'", db.name())).await;
    db
}

/// A session with the database, which must take one, if only when a swap has ended.
async fn session(db: &TestDb) -> Client {
    let config = db.server().socket_config(db.name(), "postgres");
    loop {
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            // We were waiting for the end of a swap, or were let in and thrown out.
            Err(error) if error.code().is_none_or(|code| PASSING.contains(code)) => {}
            Err(error) => panic!("nobody can connect: {error:?}"),
        }
    }
}

const PASSING: [SqlState; 2] = [SqlState::UNDEFINED_DATABASE, SqlState::ADMIN_SHUTDOWN];

/// The database takes connections and holds these rows, whole.
async fn require_state(db: &TestDb, what: &str) {
    let sql = "SELECT count(*), count(*) FILTER (WHERE what = $1) FROM state";
    let row = session(db).await.query_one(sql, &[&what]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1000, 1000), "{what}");
}

/// It is as it was backed up, and nothing else is there.
async fn require_replaced(db: &TestDb) {
    require_state(db, "old").await;
    assert_eq!(left(db).await, Vec::<String>::new());
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
    let comment: Option<String> = db.client().await.query_one(comment, &[]).await.unwrap().get(0);
    assert_eq!(comment.as_deref(), Some("the shop's"));
}

/// Databases beside this one that belong to restores of it.
async fn left(db: &TestDb) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname LIKE $1 || '\\_%' ORDER BY 1";
    let rows = db.server().client("postgres").await.query(sql, &[&db.name()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

struct StopsAt {
    step: &'static str,
    cancel: CancellationToken,
}

impl Observer for StopsAt {
    fn on(&self, event: &Event) {
        if *event == (Event::Step { name: self.step }) {
            self.cancel.cancel();
        }
    }
}

/// Asks to stop when this step is announced, which therefore never begins.
fn stopping_at(step: &'static str) -> Run {
    let cancel = CancellationToken::new();
    Run { cancel: cancel.clone(), observer: Arc::new(StopsAt { step, cancel }), ..run() }
}

/// Keeps the swap waiting at whichever of its statements needs this database.
struct Obstacle(Client);

impl Obstacle {
    async fn at(server: &Server, database: &str) -> Self {
        let keeper = server.client("postgres").await;
        keeper.batch_execute(&format!("BEGIN; COMMENT ON DATABASE {database} IS 'mine'")).await.unwrap();
        Self(keeper)
    }

    /// Returns when somebody waits for it.
    async fn met(&self) {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))";
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.0.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(Instant::now() < deadline, "nobody meets the obstacle");
            tokio::time::sleep(Duration::from_millis(20)).await;
            // What others do is seen once per transaction otherwise.
            self.0.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
        }
    }

    async fn clear(&self) {
        self.0.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_was_cut_off_before_the_swap_goes_on_with_the_swap() {
    let replacing = Replacing::begin(&Bed::get().server(17).await).await;
    replacing.stop_before_the_swap().await;
    replacing.require_only_the_swap().await;
    assert_eq!(replacing.rig.database().await.published().await.unwrap().len(), 3, "both runs kept what they found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_replacement_is_not_taken_for_another_one_nor_believed_of_anybody_else() {
    let server = Bed::get().server(17).await;
    let mut replacing = Replacing::begin(&server).await;
    replacing.stop_before_the_swap().await;
    let restoring = server.adopt_database(&format!("{}_restoring", replacing.db.name()));
    replacing.options.no_acl = true;
    let other = replacing.restore(&run()).await.unwrap_err();
    assert!(other.kind() == ErrorKind::Conflict && other.message().contains("finished restore"), "{other}");
    replacing.options.no_acl = false;
    let role = format!("mallory_{}", std::process::id());
    server.sql_exclusively("postgres", &format!("CREATE ROLE {role}")).await;
    let give = |to: &str| format!("ALTER DATABASE {} OWNER TO {to}", restoring.name());
    server.sql("postgres", &give(&role)).await;
    let planted = replacing.restore(&run()).await.unwrap_err();
    assert!(planted.kind() == ErrorKind::Conflict && planted.message().contains("in the way"), "{planted}");
    server.sql("postgres", &give("postgres")).await;
    server.sql_exclusively("postgres", &format!("DROP ROLE {role}")).await;
    require_state(&replacing.db, "new").await;
    replacing.require_only_the_swap().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replacement_that_died_after_the_swap_had_left_is_dropped_and_nothing_of_anybody_elses() {
    let server = Bed::get().server(17).await;
    let replacing = Replacing::begin(&server).await;
    let aside = server.adopt_database(&format!("{}_replaced", replacing.db.name()));
    let mark = |text: &str| format!("COMMENT ON DATABASE {} IS '{text}'", aside.name());
    server.sql("postgres", &format!("CREATE DATABASE {}", aside.name())).await;
    server.sql("postgres", &mark("replaced_by last week''s, keep it")).await;
    let error = replacing.restore(&run()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("in the way"), "{error}");
    assert_eq!(left(&replacing.db).await, [aside.name()]);
    let ours =
        "Made by Lifeboat, and removed by its next restore --clean: {\"replaced_by\":\"20261121T020000Z-daily-k7q2\"}";
    server.sql("postgres", &mark(ours)).await;
    replacing.restore(&run()).await.unwrap();
    require_replaced(&replacing.db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_cannot_be_done_changes_nothing_and_can_be_done_later() {
    let server = Bed::get().server(17).await;
    let replacing = Replacing::begin(&server).await;
    let obstacle = Obstacle::at(&server, replacing.db.name()).await;
    let error = replacing.restore(&run()).await.unwrap_err();
    assert!(error.hint_text().is_some_and(|hint| hint.contains("only swaps")), "{error:?}");
    obstacle.clear().await;
    require_state(&replacing.db, "new").await;
    replacing.require_only_the_swap().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_in_the_middle_of_the_swap_comes_back_with_the_old_database() {
    let mut server: PrivateServer = Bed::get().private_server(17, &[]).await;
    let replacing = Replacing::begin(&server).await;
    replacing.stop_before_the_swap().await;
    // The old one has its other name already, in a transaction that never ends.
    let obstacle = Obstacle::at(&server, &format!("{}_restoring", replacing.db.name())).await;
    let crash = async {
        obstacle.met().await;
        server.stop(Stop::Immediate).await;
    };
    let again = run();
    let (swapped, ()) = tokio::join!(replacing.restore(&again), crash);
    let error = swapped.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{error}");
    server.start_again(&[]).await;
    require_state(&replacing.db, "new").await;
    replacing.require_only_the_swap().await;
}
