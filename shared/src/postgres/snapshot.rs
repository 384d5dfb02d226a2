//! One consistent snapshot, held by a coordinator and shared with readers.
//!
//! The order is what makes it consistent. TRUNCATE and table rewrites do not respect snapshots: a table emptied after the
//! snapshot but before it is locked reads as empty. So the coordinator locks every table first (LOCK takes no snapshot),
//! then takes the snapshot, then lists the tables again: any table that came, went or was rewritten between the listing and
//! the lock starts it over. A reader that wants a lock while somebody's DDL queues behind ours would wait for ever, so
//! readers lock with NOWAIT, and what they cannot lock the coordinator, which has the lock already, reads itself.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::catalog::{self, Lockable, Relation, RelationKind};
use super::connect::{Connector, Session};
use super::error::from_postgres;
use super::quote::literal;
use super::session::{reader_settings, set_local};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Lsn, SnapshotFacts, TableName};

/// How often the tables may change under our hands before we give up.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; longer before each one after it.
const PAUSE: Duration = Duration::from_millis(200);

/// A held snapshot. Dropping it ends the transaction, and with it every reader's.
pub struct Snapshot {
    pub session: Session,
    pub facts: SnapshotFacts,
    pub timeline: u32,
    pub block_bytes: u64,
    /// Every relation of users, as the snapshot sees it, locked where it can be.
    pub relations: Vec<Relation>,
    pub ticket: Ticket,
}

/// What a session needs to join the snapshot while the coordinator holds it.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// For `SET TRANSACTION SNAPSHOT`.
    pub snapshot: String,
    /// The statements that pin the reader's settings inside its transaction.
    settings: String,
}

/// Somebody changed the tables while we were locking them.
enum Taken {
    Held(Box<Snapshot>),
    Changed(String),
}

impl Snapshot {
    /// Locks every table that `wants` and takes the snapshot. Waits at most `lock_timeout` for each lock.
    ///
    /// Errors: `Conflict` when tables keep changing or stay locked by somebody else.
    pub async fn take(
        connector: &Connector,
        lock_timeout: Duration,
        wants: impl Fn(&TableName) -> bool,
    ) -> Result<Self> {
        let settings = set_local(&reader_settings(connector.identity(), lock_timeout));
        let mut session = connector.connect().await?;
        let mut change = String::new();
        for number in 0..ATTEMPTS {
            tokio::time::sleep(PAUSE * number).await;
            match try_take(session, connector, &settings, &wants).await? {
                Taken::Held(snapshot) => return Ok(*snapshot),
                Taken::Changed(what) => change = what,
            }
            session = connector.connect().await?;
        }
        Err(Error::conflict(format!("tables kept changing while they were being locked: {change}"))
            .hint("run the backup when no migration is running"))
    }
}

async fn try_take(
    session: Session,
    connector: &Connector,
    settings: &str,
    wants: &impl Fn(&TableName) -> bool,
) -> Result<Taken> {
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {settings}");
    let begun = |e| from_postgres("beginning the snapshot's transaction", e);
    session.batch_execute(&begin).await.map_err(begun)?;
    let before: Vec<Lockable> = catalog::lockables(&session).await?.into_iter().filter(|t| wants(&t.name)).collect();
    session.batch_execute(&format!("COMMIT; {begin}")).await.map_err(begun)?;
    for statement in catalog::lock_statements(before.iter().map(|table| &table.name), false) {
        if let Err(error) = session.batch_execute(&statement).await {
            return match error.code() {
                // Dropped or renamed since we listed it, or no longer a table.
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME | &SqlState::WRONG_OBJECT_TYPE) => {
                    Ok(Taken::Changed("a table went away".to_owned()))
                }
                // It holds a table of ours and wants another; the server made us give way.
                Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
                    Ok(Taken::Changed("somebody locked them in another order".to_owned()))
                }
                _ => Err(from_postgres("locking the tables against changes of their structure", error)),
            };
        }
    }
    let row = session
        .query_one(include_str!("sql/snapshot.sql"), &[])
        .await
        .map_err(|e| from_postgres("taking the snapshot", e))?;
    let after = catalog::relations(&session).await?;
    if let Some(change) = changed(&before, &after, wants) {
        return Ok(Taken::Changed(change));
    }
    let time = |us: i64| Timestamp::from_microsecond(us).map_err(|e| Error::bug("the server's clock").because(e));
    let replayed_us: Option<i64> = row.get("replayed_us");
    Ok(Taken::Held(Box::new(Snapshot {
        facts: SnapshotFacts {
            snapshot: row.get("snapshot"),
            lsn: row.get::<_, &str>("lsn").parse::<Lsn>()?,
            database_oid: connector.identity().database_oid,
            taken_at: time(row.get("taken_us"))?,
            replayed_at: replayed_us.map(time).transpose()?,
        },
        timeline: row.get::<_, i32>("timeline").cast_unsigned(),
        block_bytes: row.get::<_, i64>("block_bytes").unsigned_abs(),
        relations: after,
        ticket: Ticket { snapshot: row.get("id"), settings: settings.to_owned() },
        session,
    })))
}

/// What came, went or was rewritten since the tables that we want were listed, if anything.
fn changed(before: &[Lockable], after: &[Relation], wants: &impl Fn(&TableName) -> bool) -> Option<String> {
    let mut known: HashSet<&Lockable> = before.iter().collect();
    for relation in after.iter().filter(|relation| wants(&relation.name)) {
        let Some(table) = relation.lockable() else { continue };
        if !known.remove(&table) {
            return Some(format!("{} was created, renamed or rewritten", relation.name));
        }
        if relation.kind == RelationKind::Table && relation.filenode != relation.filenode_now {
            return Some(format!("{} was rewritten", relation.name));
        }
    }
    known.into_iter().next().map(|gone| format!("{} was dropped or renamed", gone.name))
}

/// A session that sees the snapshot.
pub struct Reader {
    pub session: Session,
    ticket: Ticket,
}

impl Reader {
    /// Joins the snapshot in a new session, whose connection runs on the current runtime.
    pub async fn join(connector: &Connector, ticket: &Ticket) -> Result<Self> {
        let reader = Self { session: connector.connect_patient().await?, ticket: ticket.clone() };
        reader.begin().await?;
        Ok(reader)
    }

    async fn begin(&self) -> Result<()> {
        let Ticket { snapshot, settings } = &self.ticket;
        let snapshot = literal(snapshot);
        let begin =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}; {settings}");
        self.session.batch_execute(&begin).await.map_err(|e| from_postgres("joining the snapshot", e))
    }

    /// Lets go of every lock and joins the snapshot again: so that the server's lock table never fills, or after a
    /// statement that failed.
    pub async fn begin_again(&self) -> Result<()> {
        self.session.batch_execute("ROLLBACK").await.map_err(|e| from_postgres("leaving the snapshot", e))?;
        self.begin().await
    }

    /// Whether all these tables could be locked at once. If not, the transaction is as it was before.
    pub async fn try_lock<'a>(&self, tables: impl Iterator<Item = &'a TableName>) -> Result<bool> {
        let lock = catalog::lock_statements(tables, true).join("; ");
        let locked = self.session.batch_execute(&format!("SAVEPOINT lock; {lock}; RELEASE SAVEPOINT lock")).await;
        match locked {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                let back = self.session.batch_execute("ROLLBACK TO SAVEPOINT lock; RELEASE SAVEPOINT lock").await;
                back.map(|()| false).map_err(|e| from_postgres("giving up a lock", e))
            }
            Err(error) => Err(from_postgres("locking tables to read them", error)),
        }
    }
}

/// A server process that waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub pid: i32,
    /// The relation that it wants, where it is one of this database.
    pub relation: Option<String>,
}

/// Server processes that wait for a lock which one of `pids` holds or queues before them.
pub async fn blocked_by(client: &Client, pids: &[i32]) -> Result<Vec<Waiting>> {
    // Not pg_stat_activity: within a transaction that would show the same moment for ever.
    let sql = "SELECT l.pid, min(n.nspname || '.' || c.relname) FROM pg_catalog.pg_locks l
               LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND l.database =
                   (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE NOT l.granted AND l.pid <> ALL ($1) AND pg_catalog.pg_blocking_pids(l.pid) && $1 GROUP BY l.pid";
    let rows = client.query(sql, &[&pids]).await.map_err(|e| from_postgres("looking for blocked sessions", e))?;
    Ok(rows.iter().map(|row| Waiting { pid: row.get(0), relation: row.get(1) }).collect())
}

/// Waits until what the snapshot shows has reached the server's disk: a crash must not unmake what we saved.
pub async fn wait_until_flushed(client: &Client, lsn: Lsn, patience: Duration) -> Result<()> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let sql = "SELECT pg_catalog.pg_is_in_recovery() OR pg_catalog.pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
        let row = client.query_one(sql, &[&lsn.to_string()]).await;
        if row.map_err(|e| from_postgres("waiting for the WAL to be flushed", e))?.get(0) {
            return Ok(());
        }
        // On an idle server nobody flushes what no commit follows: this transaction's own commit wakes the WAL writer.
        let nudge = client.batch_execute("SELECT pg_catalog.pg_current_xact_id()").await;
        nudge.map_err(|e| from_postgres("waking the WAL writer", e))?;
        if tokio::time::Instant::now() >= until {
            return Err(Error::new(ErrorKind::Database, format!("the server did not flush its WAL up to {lsn}"))
                .hint("with synchronous_commit=off on an idle server this takes one wal_writer_delay; retry"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, name: &str, filenode: u32) -> Relation {
        Relation {
            oid,
            name: TableName::new("public", name),
            kind: RelationKind::Table,
            unlogged: false,
            is_partition: false,
            is_populated: true,
            access_method: "heap".into(),
            filenode,
            filenode_now: filenode,
            heap_bytes: 0,
            extension: None,
        }
    }

    #[test]
    fn a_table_that_came_went_or_was_rewritten_is_noticed() {
        let all = |_: &TableName| true;
        let tables = [table(1, "a", 1), table(2, "b", 2)];
        let before: Vec<Lockable> = tables.iter().filter_map(Relation::lockable).collect();
        assert_eq!(changed(&before, &tables, &all), None);
        assert!(changed(&before, &tables[..1], &all).unwrap().contains("public.b was dropped"));
        assert!(changed(&before[..1], &tables, &all).unwrap().contains("public.b was created"));
        assert!(changed(&before, &[table(1, "a", 1), table(2, "b", 3)], &all).is_some());
        let rewritten = Relation { filenode_now: 9, ..table(2, "b", 2) };
        assert!(changed(&before, &[table(1, "a", 1), rewritten], &all).unwrap().contains("rewritten"));
        let not_b = |name: &TableName| name.name != "b";
        assert_eq!(changed(&before[..1], &tables, &not_b), None);
    }
}
