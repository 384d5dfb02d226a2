//! A proven database takes the place of another.
//!
//! The new one is made beside the old one, which serves its users until the moment of the swap: one transaction, which the
//! server carries out whole or not at all, whatever becomes of us. What later runs must know is in the databases' comments,
//! each written in the transaction that makes it true:
//!
//! | a run died | what it left | the next run |
//! |---|---|---|
//! | before the proof | `_restoring`, with notes in it | goes on in it |
//! | between proof and swap | `_restoring`, marked as finished | swaps |
//! | after the swap | `_replaced`, marked as replaced | drops it |
//!
//! A database without such a mark is somebody's own, and in the way.

use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;

use super::target::drop_database;
use crate::error::{Error, Result};
use crate::model::{BackupId, NotRestored, Skipped};
use crate::ops::Proof;
use crate::postgres::sql_text::{literal, quoted};
use crate::postgres::{Connector, Session, from_postgres};

/// How often the server is asked to rename. Each time it waits five seconds for sessions to end, and so long for locks:
/// whoever connects meanwhile waits too.
const ATTEMPTS: u32 = 3;
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";
const PAUSE: Duration = Duration::from_millis(100);
/// What a mark begins with, for people who list the databases.
const MARK: &str = "Made by Lifeboat, and removed by its next restore --clean: ";

/// What a comment tells later runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Proven, and about to take its place.
    Finished(Finished),
    /// No longer in its place.
    ReplacedBy(BackupId),
}

/// A mark, and on whose database.
#[derive(Debug)]
pub struct Marked {
    pub mark: Mark,
    pub owner: String,
    pub is_ours: bool,
}

/// A restore that only has to take its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub backup: BackupId,
    pub intent: String,
    pub proof: Proof,
    pub not_restored: Vec<NotRestored>,
    pub remarks: Vec<Skipped>,
}

/// Names and comment of a swap.
#[derive(Debug)]
pub struct Swap<'a> {
    pub backup: &'a BackupId,
    /// The name that both databases are to have.
    pub name: &'a str,
    pub new: &'a str,
    /// The name of the old one until it is dropped.
    pub aside: &'a str,
    /// The new one's own comment.
    pub comment: Option<&'a str>,
}

impl Mark {
    /// SQL that marks a database.
    pub fn statement(&self, database: &str) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|e| Error::bug(format!("a mark cannot be written: {e}")))?;
        Ok(format!("COMMENT ON DATABASE {} IS {}", quoted(database), literal(&format!("{MARK}{text}"))))
    }

    /// The mark of a database; `None` where there is none, or no database.
    pub async fn read(server: &Session, database: &str) -> Result<Option<Marked>> {
        let sql = "SELECT pg_catalog.shobj_description(oid, 'pg_database') AS comment,
                          pg_catalog.pg_get_userbyid(datdba)::text AS owner,
                          pg_catalog.pg_get_userbyid(datdba) = current_user AS is_ours
                   FROM pg_catalog.pg_database WHERE datname = $1";
        let row = server.query_opt(sql, &[&database]).await;
        let Some(row) = row.map_err(|e| from_postgres("looking for a mark of an earlier restore", e))? else {
            return Ok(None);
        };
        let text = row.get::<_, Option<&str>>("comment").and_then(|comment| comment.strip_prefix(MARK));
        let marked = |mark| Marked { mark, owner: row.get("owner"), is_ours: row.get("is_ours") };
        Ok(text.and_then(|text| serde_json::from_str(text).ok()).map(marked))
    }
}

/// Drops what a restore that died after its swap had left.
pub async fn drop_leftover(server: &Session, aside: &str) -> Result<()> {
    match Mark::read(server, aside).await? {
        Some(Marked { mark: Mark::ReplacedBy(_), .. }) => drop_database(server, aside).await,
        _ => Ok(()),
    }
}

/// Ends all sessions with both databases, swaps them and drops the old one. Whoever connects meanwhile waits for the end of
/// the swap: there is no moment without a database of that name that takes connections.
///
/// Errors: `Database`, with both databases as they were, or, after the swap, with the old one left for the next run.
pub async fn swap(server: &Connector, swap: &Swap<'_>) -> Result<()> {
    let (session, ending) = (server.connect().await?, server.connect().await?);
    session.batch_execute(LOCK_TIMEOUT).await.map_err(|e| from_postgres("preparing a session", e))?;
    let statements = swap.statements()?;
    let mut attempts = 1;
    while let Err(error) = rename(&session, &ending, swap, &statements).await {
        if error.as_db_error().is_none() {
            return Err(from_postgres("swapping the databases", error));
        }
        session.batch_execute("ROLLBACK").await.map_err(|e| from_postgres("giving up a swap", e))?;
        let may_pass = [SqlState::OBJECT_IN_USE, SqlState::LOCK_NOT_AVAILABLE];
        if attempts == ATTEMPTS || !error.code().is_some_and(|code| may_pass.contains(code)) {
            let refused = swap.end_sessions(&ending).await.err();
            return Err(swap.failed(refused.unwrap_or(error)));
        }
        attempts += 1;
    }
    drop_database(&session, swap.aside).await
}

/// Renaming keeps new sessions out and waits for old ones to end, which `ending` sees to.
async fn rename(session: &Session, ending: &Session, swap: &Swap<'_>, statements: &str) -> Sql<()> {
    let mut renamed = pin!(session.batch_execute(statements));
    loop {
        tokio::select! {
            outcome = &mut renamed => return outcome,
            // Where it fails, renaming fails too, and then it is asked again.
            () = tokio::time::sleep(PAUSE) => drop(swap.end_sessions(ending).await),
        }
    }
}

type Sql<T> = std::result::Result<T, tokio_postgres::Error>;

impl Swap<'_> {
    fn statements(&self) -> Result<String> {
        let (name, new, aside) = (quoted(self.name), quoted(self.new), quoted(self.aside));
        let replaced = Mark::ReplacedBy(self.backup.clone()).statement(self.aside)?;
        let comment = self.comment.map_or_else(|| "NULL".to_owned(), literal);
        Ok(format!(
            "BEGIN; ALTER DATABASE {name} RENAME TO {aside}; {replaced};
             ALTER DATABASE {new} RENAME TO {name}; COMMENT ON DATABASE {name} IS {comment}; COMMIT"
        ))
    }

    async fn end_sessions(&self, server: &Session) -> Sql<()> {
        let sql = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
                   WHERE datname IN ($1, $2) AND pid <> pg_catalog.pg_backend_pid()";
        server.query(sql, &[&self.name, &self.new]).await.map(drop)
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        from_postgres(&format!("putting {} in the place of {}", self.new, self.name), error)
            .hint("nothing has changed, and the new database is ready: the same restore, run again, only swaps them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_comments_are_quoted_and_both_databases_change_in_one_transaction() {
        let backup = "20261121T020000Z-daily-k7q2".parse().unwrap();
        let swap = Swap { backup: &backup, name: "a\"b", new: "n", aside: "o", comment: Some("it's") };
        let sql = swap.statements().unwrap();
        assert!(sql.starts_with(r#"BEGIN; ALTER DATABASE "a""b" RENAME TO "o"; COMMENT ON DATABASE "o" IS 'Made by"#));
        assert!(sql.ends_with(r#"RENAME TO "a""b"; COMMENT ON DATABASE "a""b" IS 'it''s'; COMMIT"#), "{sql}");
    }
}
