//! The questions. Each is a transaction of its own, so that no lock and no snapshot outlives it.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::RowCounts;
use super::report::{
    ConstraintState, IndexState, Orphans, SequenceBehind, TableRows, UncheckedConstraint, UnusableIndex,
};
use crate::error::{Error, Result};
use crate::model::TableName;
use crate::postgres::connect::{Connector, Session};
use crate::postgres::error::from_postgres;
use crate::postgres::quote::qualified;
use crate::postgres::session::{set_local, text_settings, timeout_settings};
use crate::postgres::sql_text::quoted;

/// Longest wait for a table that somebody is changing.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Asker<'a> {
    connector: &'a Connector,
    session: Session,
    stop: &'a CancellationToken,
    begin: String,
    unreadable: Vec<String>,
}

impl<'a> Asker<'a> {
    pub async fn connect(connector: &'a Connector, stop: &'a CancellationToken) -> Result<Self> {
        let mut settings = text_settings(connector.identity());
        settings.extend(timeout_settings(connector.identity(), LOCK_TIMEOUT));
        Ok(Self {
            connector,
            session: connector.connect().await?,
            stop,
            begin: format!("BEGIN READ ONLY; {}", set_local(&settings)),
            unreadable: Vec::new(),
        })
    }

    pub async fn close(self) {
        self.session.close().await;
    }

    /// What could not be asked, sorted, each once.
    pub fn unreadable(&mut self) -> Vec<String> {
        let mut unreadable = std::mem::take(&mut self.unreadable);
        unreadable.sort();
        unreadable.dedup();
        unreadable
    }

    pub async fn unchecked_constraints(&mut self) -> Result<Vec<UncheckedConstraint>> {
        let rows = self.ask("listing the constraints", include_str!("../sql/check_constraints.sql")).await?;
        let read = |row: &Row| UncheckedConstraint {
            object: table(row),
            is_domain: row.get("is_domain"),
            constraint: row.get("constraint"),
            state: if row.get("is_enforced") { ConstraintState::NotValid } else { ConstraintState::NotEnforced },
        };
        Ok(rows.iter().map(read).collect())
    }

    pub async fn unusable_indexes(&mut self) -> Result<Vec<UnusableIndex>> {
        let rows = self.ask("listing the indexes", include_str!("../sql/check_indexes.sql")).await?;
        let read = |row: &Row| UnusableIndex {
            table: table(row),
            index: row.get("index"),
            is_unique: row.get("is_unique"),
            state: if row.get("is_being_built") { IndexState::BeingBuilt } else { IndexState::Invalid },
        };
        Ok(rows.iter().map(read).collect())
    }

    pub async fn sequences_behind(&mut self) -> Result<Vec<SequenceBehind>> {
        let rows = self.ask("listing the sequences", include_str!("../sql/check_sequences.sql")).await?;
        let mut behind = Vec::new();
        for row in &rows {
            let (sequence, column) = (named(row, "sequence_schema", "sequence_name"), row.get::<_, String>("column"));
            let increment = row.get("increment");
            let question = how_far_behind(&sequence, &table(row), &column, increment);
            let by = self.number(&format!("looking at sequence {sequence}"), &question, &sequence).await?;
            if let Some(behind_by @ 1..) = by {
                let is_descending = increment < 0;
                behind.push(SequenceBehind { sequence, table: table(row), column, is_descending, behind_by });
            }
        }
        Ok(behind)
    }

    pub async fn orphans(&mut self) -> Result<Vec<Orphans>> {
        let rows = self.ask("listing the foreign keys", include_str!("../sql/check_foreign_keys.sql")).await?;
        let mut orphans = Vec::new();
        for key in rows.iter().map(ForeignKey::read) {
            let doing = format!("looking for orphans of {} in {}", key.references, key.table);
            if let Some(rows @ 1..) = self.number(&doing, &key.count_orphans(), &key.table).await? {
                let ForeignKey { table, constraint, references, .. } = key;
                orphans.push(Orphans { table, constraint, references, rows });
            }
        }
        Ok(orphans)
    }

    pub async fn table_rows(&mut self, counts: RowCounts) -> Result<Vec<TableRows>> {
        let rows = self.ask("listing the tables", include_str!("../sql/check_tables.sql")).await?;
        let mut tables = Vec::with_capacity(rows.len());
        for row in &rows {
            let table = table(row);
            tables.push(match counts {
                RowCounts::Exact => {
                    let question = format!("SELECT count(*) FROM ONLY {}", qualified(&table));
                    let rows = self.number(&format!("counting {table}"), &question, &table).await?;
                    TableRows { table, rows, exact: true }
                }
                RowCounts::Estimated => {
                    let estimate: f64 = row.get("estimated_rows");
                    TableRows { table, rows: (estimate >= 0.0).then_some(estimate as u64), exact: false }
                }
            });
        }
        Ok(tables)
    }

    /// One number, or `None` for what is gone meanwhile or may not be read; the latter is noted.
    async fn number(&mut self, doing: &str, question: &str, about: &TableName) -> Result<Option<u64>> {
        match self.try_ask(question).await? {
            Ok(rows) => Ok(rows.first().map(|row| row.get::<_, i64>(0).max(0).unsigned_abs())),
            Err(error) => match error.code() {
                Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    self.unreadable.push(about.to_string());
                    Ok(None)
                }
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN | &SqlState::INVALID_SCHEMA_NAME) => {
                    Ok(None)
                }
                _ => Err(from_postgres(doing, error)),
            },
        }
    }

    async fn ask(&mut self, doing: &str, question: &str) -> Result<Vec<Row>> {
        self.try_ask(question).await?.map_err(|e| from_postgres(doing, e))
    }

    /// The server's answer or refusal; an error of ours when told to stop, after telling the server too.
    async fn try_ask(&mut self, question: &str) -> Result<Result<Vec<Row>, tokio_postgres::Error>> {
        let Some(answer) = self.stop.run_until_cancelled(self.transaction(question)).await else {
            self.connector.cancel(&self.session).await;
            return Err(Error::out_of_time("stopped while checking the database"));
        };
        Ok(answer)
    }

    async fn transaction(&self, question: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.session.batch_execute(&self.begin).await?;
        let answer = self.session.query_typed(question, &[]).await;
        let ended = self.session.batch_execute("ROLLBACK").await;
        // The answer's error, if there is one, is the cause of any other.
        let answer = answer?;
        ended.map(|()| answer)
    }
}

struct ForeignKey {
    table: TableName,
    constraint: String,
    references: TableName,
    is_partitioned: bool,
    references_partitioned: bool,
    matches_full: bool,
    has_period: bool,
    columns: Vec<String>,
    referenced_columns: Vec<String>,
    operators: Vec<String>,
    /// Empty where both columns have the same.
    collations: Vec<String>,
}

impl ForeignKey {
    fn read(row: &Row) -> Self {
        Self {
            table: table(row),
            constraint: row.get("constraint"),
            references: named(row, "referenced_schema", "referenced_name"),
            is_partitioned: row.get("is_partitioned"),
            references_partitioned: row.get("references_partitioned"),
            matches_full: row.get("matches_full"),
            has_period: row.get("has_period"),
            columns: row.get("columns"),
            referenced_columns: row.get("referenced_columns"),
            operators: row.get("operators"),
            collations: row.get("collations"),
        }
    }

    /// The server's own check of a new key, as a count. `MATCH FULL` also forbids keys that are null in part.
    fn count_orphans(&self) -> String {
        let only = |partitioned: bool| if partitioned { "" } else { "ONLY " };
        let from = format!("{}{} f", only(self.is_partitioned), qualified(&self.table));
        let referenced = format!("{}{} p", only(self.references_partitioned), qualified(&self.references));
        let columns: Vec<String> = self.columns.iter().map(|column| format!("f.{}", quoted(column))).collect();
        let present = |joined: &str| {
            let tests: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
            format!("({})", tests.join(joined))
        };
        let whole = present(" AND ");
        let missing = if self.has_period {
            self.uncovered_period(&columns, &referenced)
        } else {
            format!("NOT EXISTS (SELECT FROM {referenced} WHERE {})", self.matches(&columns, columns.len()))
        };
        let violated = if self.matches_full {
            let partly = present(" OR ");
            format!("{partly} AND (NOT {whole} OR {missing})")
        } else {
            format!("{whole} AND {missing}")
        };
        format!("SELECT count(*) FROM {from} WHERE {violated}")
    }

    /// Of a key `(…, PERIOD range)`: the referenced rows' ranges together must cover the row's.
    fn uncovered_period(&self, columns: &[String], referenced: &str) -> String {
        let last = columns.len() - 1;
        let matches = if last == 0 { "true".to_owned() } else { self.matches(columns, last) };
        let (period, covering) = (&columns[last], quoted(&self.referenced_columns[last]));
        format!(
            "NOT coalesce({period} <@ (SELECT pg_catalog.range_agg(p.{covering}) FROM {referenced} WHERE {matches}), false)"
        )
    }

    /// That the first columns of the key are equal on both sides.
    fn matches(&self, columns: &[String], count: usize) -> String {
        let one = |i: usize| {
            let (column, referenced) = (&columns[i], quoted(&self.referenced_columns[i]));
            let collation = match self.collations[i].as_str() {
                "" => String::new(),
                collation => format!(" COLLATE {collation}"),
            };
            format!("p.{referenced} {} {column}{collation}", self.operators[i])
        };
        (0..count).map(one).collect::<Vec<_>>().join(" AND ")
    }
}

/// How many values the column's most extreme one is past the sequence's next.
fn how_far_behind(sequence: &TableName, table: &TableName, column: &str, increment: i64) -> String {
    let (sequence, table, column) = (qualified(sequence), qualified(table), quoted(column));
    let next = format!("last_value::numeric + CASE WHEN is_called THEN {increment} ELSE 0 END");
    let distance = if increment > 0 {
        format!("(SELECT max({column}) FROM {table}) - ({next}) + 1")
    } else {
        format!("({next}) - (SELECT min({column}) FROM {table}) + 1")
    };
    // Clamped: the distance between two 64-bit numbers may not be one.
    format!("SELECT least(greatest(coalesce({distance}, 0), 0), {}::numeric)::int8 FROM {sequence}", i64::MAX)
}

fn table(row: &Row) -> TableName {
    named(row, "schema", "name")
}

fn named(row: &Row, schema: &str, name: &str) -> TableName {
    TableName::new(row.get::<_, String>(schema), row.get::<_, String>(name))
}
