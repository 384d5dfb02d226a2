//! A database that is in use and gets more: what it has, and what of a backup can be put beside it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::rows::Load;
use crate::error::{Error, Result, name_some};
use crate::model::{Column, Skipped, TableName};
use crate::plan::table_closure::TableClosure;
use crate::postgres::archive::{Archive, DumpId, Entry};
use crate::postgres::from_postgres;
use crate::postgres::quote::qualified;
use crate::postgres::schema_sql::is_property;
use crate::postgres::sql_text::quoted;

/// Names that one error lists.
const LISTED: usize = 8;

/// Objects of a database: `(kind, schema, name)`.
pub struct Existing(HashSet<(String, String, String)>);

impl Existing {
    pub async fn read(client: &Client) -> Result<Self> {
        let failed = |e| from_postgres("listing what the target has", e);
        client.batch_execute("SET search_path = ''").await.map_err(failed)?;
        let rows = client.query(include_str!("existing.sql"), &[]).await.map_err(failed)?;
        Ok(Self(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()))
    }

    pub fn has_schema(&self, name: &str) -> bool {
        self.has("SCHEMA", "", name)
    }

    fn has(&self, kind: &str, schema: &str, name: &str) -> bool {
        self.0.contains(&(kind.to_owned(), schema.to_owned(), name.to_owned()))
    }

    fn has_entry(&self, entry: &Entry) -> bool {
        let kind = match entry.desc.as_str() {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" | "INDEX" => "RELATION",
            "TYPE" | "DOMAIN" | "SHELL TYPE" => "TYPE",
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" => "FUNCTION",
            "PROCEDURAL LANGUAGE" => "LANGUAGE",
            other => other,
        };
        let schema = if kind == "SCHEMA" { "" } else { entry.schema.as_deref().unwrap_or_default() };
        self.has(kind, schema, &entry.tag)
    }

    /// The entries of `closure` to make here: what exists already stays as it is. Of entries that are `done` nothing is
    /// asked.
    ///
    /// Errors: `Conflict` naming chosen tables, or parts of them, that exist.
    pub fn missing(
        &self,
        archive: &Archive,
        closure: &TableClosure,
        done: &BTreeSet<DumpId>,
    ) -> Result<BTreeSet<DumpId>> {
        let wanted = || archive.entries.iter().filter(|entry| closure.entries.contains(&entry.dump_id));
        let there: Vec<&Entry> =
            wanted().filter(|entry| !done.contains(&entry.dump_id) && self.has_entry(entry)).collect();
        let in_the_way = there.iter().filter(|entry| is_part_of_chosen(entry, closure)).map(|entry| entry.name());
        refuse(
            in_the_way.collect(),
            "exist in the target already",
            "drop or rename them, or put the rows beside them with --into-schema",
        )?;
        let kept: BTreeSet<DumpId> = there.iter().map(|entry| entry.dump_id).collect();
        let made = wanted().filter(|entry| !kept.contains(&entry.dump_id) && !is_about(entry, &kept, closure));
        Ok(made.map(|entry| entry.dump_id).collect())
    }
}

fn is_part_of_chosen(entry: &Entry, closure: &TableClosure) -> bool {
    match entry.desc.as_str() {
        "TABLE" => closure.with_rows.contains(&entry.dump_id),
        "INDEX" => true,
        "SEQUENCE" => entry.dependencies.iter().any(|id| closure.with_rows.contains(id)),
        _ => false,
    }
}

/// Whether the entry says something about what is kept, and about nothing else.
fn is_about(entry: &Entry, kept: &BTreeSet<DumpId>, closure: &TableClosure) -> bool {
    let mut subjects = entry.dependencies.iter().filter(|id| closure.entries.contains(id)).peekable();
    let describes = is_property(entry) || matches!(entry.desc.as_str(), "DEFAULT ACL" | "SEQUENCE OWNED BY");
    describes && subjects.peek().is_some() && subjects.all(|id| kept.contains(id))
}

fn refuse(names: Vec<String>, what: &str, hint: &str) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(format!("{what}: {}", name_some(&names, LISTED))).hint(hint))
}

/// The ordinary columns of those of `tables` that exist as plain tables.
async fn live_columns(client: &Client, tables: &[&TableName]) -> Result<BTreeMap<TableName, Vec<Column>>> {
    let names: Vec<String> = tables.iter().map(|table| qualified(table)).collect();
    let sql = "SELECT wanted.n, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod)
               FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS wanted(name, n)
               JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(wanted.name) AND c.relkind = 'r'
               LEFT JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               ORDER BY wanted.n, a.attnum";
    let failed = |e| from_postgres("looking at the target's tables", e);
    client.batch_execute("SET search_path = ''").await.map_err(failed)?;
    let mut found: BTreeMap<TableName, Vec<Column>> = BTreeMap::new();
    for row in client.query(sql, &[&names]).await.map_err(failed)? {
        let number = usize::try_from(row.get::<_, i64>(0) - 1).expect("numbered from 1");
        let columns = found.entry(tables[number].clone()).or_default();
        if let (Some(name), Some(type_name)) = (row.get(1), row.get(2)) {
            columns.push(Column { name, type_name });
        }
    }
    Ok(found)
}

/// Whether rows, and nothing but rows, can be put into the tables.
///
/// Errors: `Conflict` naming tables that are missing, lack a column, or hold rows; `Preflight` when the role may not
/// switch foreign keys and triggers off.
pub async fn require_fillable(client: &Client, loads: &[Load]) -> Result<()> {
    if !sleep(client).await? {
        return Err(Error::preflight("this role may not switch off foreign keys and triggers while rows come in").hint(
            "from PostgreSQL 15 on: GRANT SET ON PARAMETER session_replication_role TO the role; before, restore as a superuser",
        ));
    }
    let tables: Vec<&TableName> = loads.iter().map(|load| &load.into).collect();
    let live = live_columns(client, &tables).await?;
    let missing = tables.iter().filter(|table| !live.contains_key(table)).map(ToString::to_string).collect();
    let elsewhere = "make the schema first (--schema-only), or restore definitions too";
    refuse(missing, "--data-only needs tables that the target does not have", elsewhere)?;
    let mut lacking = Vec::new();
    for load in loads {
        let has = |column: &&Column| live[&load.into].iter().any(|live| live.name == column.name);
        let missing = load.entry.columns.iter().filter(|column| !has(column));
        lacking.extend(missing.map(|column| format!("{}.{}", load.into, column.name)));
    }
    refuse(lacking, "--data-only needs columns that the target does not have", elsewhere)?;
    let full = tables_with_rows(client, &tables).await?;
    refuse(
        full,
        "--data-only fills empty tables only, and these hold rows",
        "empty them, or put the rows beside them with --into-schema",
    )
}

async fn tables_with_rows(client: &Client, tables: &[&TableName]) -> Result<Vec<String>> {
    let failed = |e| from_postgres("looking for rows in the target's tables", e);
    client.batch_execute("SET row_security = off").await.map_err(failed)?;
    let mut full = Vec::new();
    for batch in tables.chunks(100) {
        let ask = |(n, table): (usize, &&TableName)| {
            format!("SELECT {n}::int4 AS n WHERE EXISTS (SELECT FROM ONLY {})", qualified(table))
        };
        let sql: Vec<String> = batch.iter().enumerate().map(ask).collect();
        for row in client.query(&sql.join(" UNION ALL "), &[]).await.map_err(failed)? {
            full.push(batch[row.get::<_, i32>(0).unsigned_abs() as usize].to_string());
        }
    }
    Ok(full)
}

/// SQL that puts a session's foreign keys and triggers to sleep.
pub const SLEEP: &str = "SET session_replication_role = replica";

/// Puts this session's foreign keys and triggers to sleep; false when the role may not.
pub async fn sleep(client: &Client) -> Result<bool> {
    match client.batch_execute(SLEEP).await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(from_postgres("switching triggers off", error)),
    }
}

/// Foreign keys of the tables with rows whose other row is not there: nobody looked when the rows came in.
pub async fn orphans(client: &Client, loads: &[Load]) -> Result<Vec<Skipped>> {
    let failed = |e| from_postgres("checking foreign keys", e);
    client.batch_execute("SET search_path = ''; SET row_security = off").await.map_err(failed)?;
    let tables: Vec<String> = loads.iter().map(|load| qualified(&load.into)).collect();
    let mut found = Vec::new();
    for row in client.query(include_str!("orphans.sql"), &[&tables]).await.map_err(failed)? {
        if client.query_one(row.get::<_, &str>("question"), &[]).await.map_err(failed)?.get(0) {
            let (table, name): (&str, &str) = (row.get("table_name"), row.get("name"));
            let reason = "rows refer to rows that are not in the target: the key does not hold for them".to_owned();
            found.push(Skipped { object: format!("foreign key {name} of {table}"), reason });
        }
    }
    Ok(found)
}

/// Tables of a new schema, each beside a live one.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Makes the schema and the tables.
    pub statements: Vec<String>,
    /// What the tables do not get.
    pub left_out: Vec<Skipped>,
}

/// Plans tables in `schema` for the rows of `loads`, and sends the rows there. Each is like the live table of the same
/// name where that has the same columns, and has the backup's columns and nothing else where it has not.
///
/// Errors: `Usage` when two tables would get one name.
pub async fn beside(client: &Client, schema: &str, loads: &mut [Load]) -> Result<Beside> {
    let names: BTreeSet<&str> = loads.iter().map(|load| load.entry.name.name.as_str()).collect();
    if names.len() < loads.len() {
        return Err(Error::usage("two of these tables have the same name in different schemas")
            .hint("restore them one schema at a time, with --table SCHEMA.*"));
    }
    let tables: Vec<TableName> = loads.iter().map(|load| load.entry.name.clone()).collect();
    let live = live_columns(client, &tables.iter().collect::<Vec<_>>()).await?;
    let mut beside = Beside { statements: vec![format!("CREATE SCHEMA {}", quoted(schema))], left_out: Vec::new() };
    for load in loads {
        let original = &load.entry.name;
        let copy = TableName::new(schema, original.name.as_str());
        let is_alike = live.get(original).is_some_and(|columns| same_columns(columns, &load.entry.columns));
        let (columns, reason) = if is_alike {
            let reason = "comes without foreign keys, triggers, rules, policies, privileges and sequences of its own";
            (format!("LIKE {} INCLUDING ALL", qualified(original)), reason)
        } else {
            let column = |column: &Column| format!("{} {}", quoted(&column.name), column.type_name);
            let columns: Vec<String> = load.entry.columns.iter().map(column).collect();
            (columns.join(", "), "comes as plain columns: no live table has the same ones")
        };
        beside.statements.push(format!("CREATE TABLE {} ({columns})", qualified(&copy)));
        beside.left_out.push(Skipped { object: format!("table {copy}"), reason: reason.to_owned() });
        // Each partition becomes a table of its own.
        load.entry.root = None;
        load.into = copy;
    }
    Ok(beside)
}

fn same_columns(live: &[Column], recorded: &[Column]) -> bool {
    let sorted = |columns: &[Column]| {
        let pairs = columns.iter().map(|column| (column.name.clone(), column.type_name.clone()));
        pairs.collect::<BTreeSet<_>>()
    };
    sorted(live) == sorted(recorded)
}
