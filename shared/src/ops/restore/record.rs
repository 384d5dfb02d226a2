//! What a restore notes in its target, so that one that died goes on where it stopped, and so that nobody mistakes a
//! half-made database for a whole one. The notes live in a schema of their own, which the last step drops.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;

use crate::error::{Error, Result};
use crate::model::{BackupId, NotRestored, Skipped, TableName};
use crate::postgres::archive::DumpId;
use crate::postgres::from_postgres;
use crate::postgres::restore_schema::{Progress, SchemaOutcome};
use crate::postgres::sql_text::{literal, quoted};

/// Name of the notes' schema; a database that has it is not whole.
pub const SCHEMA: &str = "lifeboat_restore";
/// Kind of a finding: rows of a table that could not be read.
const LOST_ROWS: &str = "lost rows";

/// Kinds of findings: something essential is missing, something else was refused, something is not quite as it was.
const MISSING: &str = "not restored";
const REFUSED: &str = "refused";
const REMARK: &str = "remark";

/// The notes of one restore.
#[derive(Debug, Default)]
pub struct Record {
    /// What the first attempt set out to do, as a plan names it.
    pub action: String,
    pub steps: BTreeSet<DumpId>,
    /// `(table, segment)`
    pub segments: HashSet<(String, i32)>,
    /// Partitioned tables whose partitions' rows went in through them.
    pub through: BTreeSet<TableName>,
    pub outcome: SchemaOutcome,
}

impl Record {
    /// Makes the notes' schema for a restore of `backup` as `intent` and `action` describe it.
    pub async fn begin(client: &Client, backup: &BackupId, intent: &str, action: &str) -> Result<Self> {
        let values = [backup.as_str(), intent, action].map(literal).join(", ");
        let sql = format!(
            "BEGIN;
             CREATE SCHEMA {SCHEMA};
             CREATE TABLE {SCHEMA}.restore (backup text NOT NULL, intent text NOT NULL, action text NOT NULL, started_at timestamptz NOT NULL DEFAULT now());
             CREATE TABLE {SCHEMA}.step (dump_id int8 PRIMARY KEY);
             CREATE TABLE {SCHEMA}.finding (kind text NOT NULL, object text NOT NULL, reason text NOT NULL);
             CREATE TABLE {SCHEMA}.segment (table_name text, number int4, PRIMARY KEY (table_name, number));
             CREATE TABLE {SCHEMA}.check_off (table_name text, name text, definition text NOT NULL, PRIMARY KEY (table_name, name));
             CREATE TABLE {SCHEMA}.through_root (schema_name text, table_name text, PRIMARY KEY (schema_name, table_name));
             INSERT INTO {SCHEMA}.restore (backup, intent, action) VALUES ({values});
             COMMIT"
        );
        client.batch_execute(&sql).await.map_err(|e| from_postgres("marking the target as being restored", e))?;
        Ok(Self { action: action.to_owned(), ..Self::default() })
    }

    /// What an earlier attempt noted; `None` where there was none.
    ///
    /// Errors: `Conflict` when it was a restore of something else.
    pub async fn read(client: &Client, backup: &BackupId, intent: &str) -> Result<Option<Self>> {
        let failed = |e| from_postgres("reading what an earlier restore did", e);
        let exists = format!("SELECT pg_catalog.to_regclass('{SCHEMA}.restore') IS NOT NULL");
        if !client.query_one(&exists, &[]).await.map_err(failed)?.get::<_, bool>(0) {
            return Ok(None);
        }
        let begun = format!("SELECT backup, intent, action FROM {SCHEMA}.restore");
        let rows = client.query(&begun, &[]).await.map_err(failed)?;
        let same =
            |row: &tokio_postgres::Row| row.get::<_, &str>(0) == backup.as_str() && row.get::<_, &str>(1) == intent;
        let Some(begun) = rows.iter().find(|row| same(row)) else {
            let other = rows.first().map_or("something else", |row| row.get("backup"));
            let is_in_use = rows.iter().any(|row| row.get::<_, &str>("action") == "add");
            let way_out = match is_in_use {
                true => "finish that one by the same command, or give it up by dropping the schema lifeboat_restore",
                false => "finish that one by the same command, or drop the database, or choose another with --into",
            };
            return Err(Error::conflict(format!(
                "the target holds an unfinished restore of {other}, or one with other options"
            ))
            .hint(way_out));
        };
        let mut record = Self { action: begun.get("action"), ..Self::default() };
        for row in client.query(&format!("SELECT dump_id FROM {SCHEMA}.step"), &[]).await.map_err(failed)? {
            record.steps.insert(DumpId(u32::try_from(row.get::<_, i64>(0)).unwrap_or_default()));
        }
        record.segments = Self::segments(client).await?;
        let through = format!("SELECT schema_name, table_name FROM {SCHEMA}.through_root");
        for row in client.query(&through, &[]).await.map_err(failed)? {
            record.through.insert(TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)));
        }
        let findings = format!("SELECT kind, object, reason FROM {SCHEMA}.finding");
        for row in client.query(&findings, &[]).await.map_err(failed)? {
            let (object, reason) = (row.get("object"), row.get("reason"));
            match row.get("kind") {
                REMARK => record.outcome.remarks.push(Skipped { object, reason }),
                kind => record.outcome.not_restored.push(NotRestored { object, reason, essential: kind != REFUSED }),
            }
        }
        Ok(Some(record))
    }

    /// What is loaded: `(table, segment)`.
    pub async fn segments(client: &Client) -> Result<HashSet<(String, i32)>> {
        let sql = format!("SELECT table_name, number FROM {SCHEMA}.segment");
        let rows = client.query(&sql, &[]).await.map_err(|e| from_postgres("asking what is loaded", e))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// SQL that notes that rows go through this partitioned table.
    pub fn through_root(root: &TableName) -> String {
        let values = [&root.schema, &root.name].map(|name| literal(name)).join(", ");
        format!("INSERT INTO {SCHEMA}.through_root VALUES ({values}) ON CONFLICT DO NOTHING")
    }

    /// SQL that notes a segment as loaded, but for the rows that are `lost`.
    pub fn segment(table: &str, number: i32, lost: &[NotRestored]) -> String {
        let mut sql = format!("INSERT INTO {SCHEMA}.segment VALUES ({}, {number})", literal(table));
        for NotRestored { object, reason, .. } in lost {
            let values = [LOST_ROWS, object.as_str(), reason.as_str()].map(literal).join(", ");
            sql.push_str(&format!("; INSERT INTO {SCHEMA}.finding VALUES ({values})"));
        }
        sql
    }

    /// SQL that forgets what was loaded into tables, for loading them again.
    pub fn forget(tables: &[String]) -> String {
        let names: Vec<String> = tables.iter().map(|name| literal(name)).collect();
        let names = names.join(", ");
        format!(
            "DELETE FROM {SCHEMA}.segment WHERE table_name IN ({names});
             DELETE FROM {SCHEMA}.finding WHERE kind = '{LOST_ROWS}' AND object IN ({names})"
        )
    }

    /// SQL that forgets everything that was loaded.
    pub fn forget_all() -> String {
        format!("DELETE FROM {SCHEMA}.segment; DELETE FROM {SCHEMA}.finding WHERE kind = '{LOST_ROWS}'")
    }

    /// SQL that notes a check as taken off its table; names quoted.
    pub fn check_off(table: &str, name: &str, definition: &str) -> String {
        format!("INSERT INTO {SCHEMA}.check_off VALUES ({})", [table, name, definition].map(literal).join(", "))
    }

    /// SQL that notes a check as put back.
    pub fn check_on(table: &str, name: &str) -> String {
        let (table, name) = (literal(table), literal(name));
        format!("DELETE FROM {SCHEMA}.check_off WHERE table_name = {table} AND name = {name}")
    }

    /// Checks that are off: `(table, name, definition)`, names quoted.
    pub async fn checks_off(client: &Client) -> Result<Vec<(String, String, String)>> {
        let sql = format!("SELECT table_name, name, definition FROM {SCHEMA}.check_off ORDER BY 1, 2");
        let rows = client.query(&sql, &[]).await.map_err(|e| from_postgres("looking for checks to put back", e))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    /// Takes the notes away, in one transaction with the statement `also`: the target is whole. Event triggers do not get to
    /// see it: one that logs would write into a table that is proven already.
    pub async fn end(client: &Client, also: &str) -> Result<()> {
        let failed = |e| from_postgres("unmarking the target", e);
        let mut off = String::new();
        let mut on = String::new();
        for row in client.query(include_str!("listening.sql"), &[]).await.map_err(failed)? {
            let trigger = quoted(row.get(0));
            off.push_str(&format!("ALTER EVENT TRIGGER {trigger} DISABLE; "));
            on.push_str(&format!("; ALTER EVENT TRIGGER {trigger} {}", row.get::<_, &str>(1)));
        }
        let sql = format!(
            "SET client_min_messages = error; BEGIN; {off}DROP SCHEMA {SCHEMA} CASCADE{on}; {also}; COMMIT; RESET client_min_messages"
        );
        client.batch_execute(&sql).await.map_err(failed)
    }
}

impl Progress for Record {
    fn record(&self, dump_id: DumpId, outcome: &SchemaOutcome) -> Option<String> {
        let mut sql = format!("INSERT INTO {SCHEMA}.step VALUES ({})", dump_id.0);
        let not_restored = outcome.not_restored.iter().map(|lost| {
            let kind = if lost.essential { MISSING } else { REFUSED };
            (kind, lost.object.as_str(), lost.reason.as_str())
        });
        let remarks = outcome.remarks.iter().map(|remark| (REMARK, remark.object.as_str(), remark.reason.as_str()));
        for (kind, object, reason) in not_restored.chain(remarks) {
            let values = [kind, object, reason].map(literal).join(", ");
            sql.push_str(&format!("; INSERT INTO {SCHEMA}.finding VALUES ({values})"));
        }
        Some(sql)
    }

    /// The target knows; nobody here asks.
    fn done(&self, _: DumpId) {}
}
