//! What is in the database: the facts that the schema dump leaves out or that reading needs. Run inside the snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

use super::error::from_postgres;
use super::quote::qualified;
use super::sql_text::quoted;
use crate::error::Result;
use crate::model::{
    Collation, Column, DatabaseProperties, Extension, LargeObject, ReplicationSlot, Role, Sequence, SettingOverride,
    TableName,
};

/// A relation that holds rows, or a sequence, as the catalogue of the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub oid: Oid,
    pub name: TableName,
    pub kind: RelationKind,
    pub unlogged: bool,
    pub is_partition: bool,
    pub is_populated: bool,
    /// `heap`, or another table access method; empty where there is no storage.
    pub access_method: String,
    pub filenode: Oid,
    /// The storage manager's answer; differs from `filenode` when a rewrite came between.
    pub filenode_now: Oid,
    pub heap_bytes: u64,
    pub extension: Option<ExtensionMember>,
}

/// A relation that `CREATE EXTENSION` makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionMember {
    pub extension: String,
    /// For a configuration table the condition (`WHERE …`, or empty for all) that selects the user's own rows.
    pub condition: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    Table,
    PartitionedTable,
    ForeignTable,
    MaterializedView,
    Sequence,
}

/// Columns of an ordinary table, as a COPY line has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableColumns {
    /// Neither dropped nor generated ones.
    pub columns: Vec<Column>,
    /// Stored generated ones.
    pub generated: Vec<Column>,
    /// Changes whenever the same stored bytes could print differently.
    pub type_signature: String,
    /// Whether the text of a row depends on nothing but its stored bytes and the signature.
    pub is_text_fixed: bool,
    /// Some columns whose values mean something else, or nothing, in another database when they are read in binary.
    pub unportable: Vec<Column>,
}

/// A table, as far as it takes to lock it and to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lockable {
    pub oid: Oid,
    pub name: TableName,
    pub filenode: Oid,
}

impl Relation {
    pub fn lockable(&self) -> Option<Lockable> {
        let is_lockable = matches!(self.kind, RelationKind::Table | RelationKind::PartitionedTable);
        is_lockable.then(|| Lockable { oid: self.oid, name: self.name.clone(), filenode: self.filenode })
    }
}

/// Every table of users that can be locked. Waits for nobody, and of thousands costs a fraction of [`relations`].
pub async fn lockables(client: &Client) -> Result<Vec<Lockable>> {
    let rows = query(client, "listing the tables to lock", include_str!("sql/lockables.sql")).await?;
    let read = |row: &Row| Lockable {
        oid: row.get("oid"),
        name: TableName::new(row.get::<_, String>("schema"), row.get::<_, String>("name")),
        filenode: row.get("filenode"),
    };
    Ok(rows.iter().map(read).collect())
}

pub async fn relations(client: &Client) -> Result<Vec<Relation>> {
    let rows = query(client, "listing the tables", include_str!("sql/relations.sql")).await?;
    rows.iter().map(relation).collect()
}

fn relation(row: &Row) -> Result<Relation> {
    let kind = match row.get::<_, &str>("kind") {
        "r" => RelationKind::Table,
        "p" => RelationKind::PartitionedTable,
        "f" => RelationKind::ForeignTable,
        "m" => RelationKind::MaterializedView,
        _ => RelationKind::Sequence,
    };
    let extension: Option<String> = row.get("extension");
    Ok(Relation {
        oid: row.get("oid"),
        name: TableName::new(row.get::<_, String>("schema"), row.get::<_, String>("name")),
        kind,
        unlogged: row.get::<_, &str>("persistence") == "u",
        is_partition: row.get("is_partition"),
        is_populated: row.get("is_populated"),
        access_method: row.get("access_method"),
        filenode: row.get("filenode"),
        filenode_now: row.get("filenode_now"),
        heap_bytes: row.get::<_, i64>("heap_bytes").unsigned_abs(),
        extension: extension.map(|extension| ExtensionMember { extension, condition: row.get("extension_condition") }),
    })
}

/// Columns of every ordinary table, by its oid. A table without columns has no entry.
pub async fn columns(client: &Client) -> Result<HashMap<Oid, TableColumns>> {
    let types = Types::read(client).await?;
    let rows = query(client, "listing the columns", include_str!("sql/columns.sql")).await?;
    let mut tables: HashMap<Oid, (TableColumns, Vec<ColumnType>)> = HashMap::new();
    for row in &rows {
        let (table, shapes) = tables.entry(row.get("relation")).or_default();
        let column = Column { name: row.get("name"), type_name: row.get("type_name") };
        let shape =
            ColumnType { number: row.get("number"), oid: row.get("type_oid"), modifier: row.get("type_modifier") };
        if !types.is_portable_in_binary(shape.oid) {
            table.unportable.push(column.clone());
        }
        match row.get("is_generated") {
            true => table.generated.push(column),
            false => table.columns.push(column),
        }
        shapes.push(shape);
    }
    let signed = |(oid, (table, shapes)): (Oid, (TableColumns, Vec<ColumnType>))| {
        let is_text_fixed = shapes.iter().all(|shape| types.is_fixed_in_text(shape.oid));
        (oid, TableColumns { type_signature: types.signature(&shapes), is_text_fixed, ..table })
    };
    Ok(tables.into_iter().map(signed).collect())
}

struct ColumnType {
    number: i16,
    oid: Oid,
    modifier: i32,
}

/// How values of each constructed or user-defined type, and of those that name objects, print.
struct Types(HashMap<Oid, Type>);

struct Type {
    description: String,
    built_from: Vec<Oid>,
    /// Whether its binary form says everything in any database, as far as that is not a matter of what it is built from.
    is_portable_in_binary: bool,
    /// Whether its values print the same as long as its description is the same; names of objects and roles do not.
    is_fixed_in_text: bool,
}

impl Types {
    async fn read(client: &Client) -> Result<Self> {
        let rows = query(client, "listing the types", include_str!("sql/types.sql")).await?;
        let read = |row: &Row| Type {
            description: row.get("description"),
            built_from: row.get("built_from"),
            is_portable_in_binary: row.get("is_portable_in_binary"),
            is_fixed_in_text: row.get("is_fixed_in_text"),
        };
        Ok(Self(rows.iter().map(|row| (row.get("oid"), read(row))).collect()))
    }

    fn is_portable_in_binary(&self, oid: Oid) -> bool {
        self.all_parts(oid, |found| found.is_portable_in_binary)
    }

    fn is_fixed_in_text(&self, oid: Oid) -> bool {
        self.all_parts(oid, |found| found.is_fixed_in_text)
    }

    fn all_parts(&self, oid: Oid, holds: impl Fn(&Type) -> bool) -> bool {
        self.with_parts([oid]).iter().filter_map(|oid| self.0.get(oid)).all(holds)
    }

    /// The types and all that they are built from, each once.
    fn with_parts(&self, oids: impl IntoIterator<Item = Oid>) -> Vec<Oid> {
        let mut todo: Vec<Oid> = oids.into_iter().collect();
        let (mut seen, mut parts) = (HashSet::new(), Vec::new());
        while let Some(oid) = todo.pop() {
            if seen.insert(oid) {
                parts.push(oid);
                todo.extend(self.0.get(&oid).into_iter().flat_map(|found| &found.built_from));
            }
        }
        parts
    }

    /// A hash of the columns' numbers, types and modifiers, and of everything their types are built from.
    fn signature(&self, columns: &[ColumnType]) -> String {
        let mut hash = Sha256::new();
        for column in columns {
            hash.update(format!("{}:{}:{};", column.number, column.oid, column.modifier));
        }
        for oid in self.with_parts(columns.iter().map(|column| column.oid)) {
            if let Some(found) = self.0.get(&oid) {
                hash.update(format!("{oid}:{};", found.description));
            }
        }
        hex::encode(&hash.finalize()[..16])
    }
}

/// The topmost partitioned table of each leaf partition, by the leaf's oid.
pub async fn partition_roots(client: &Client) -> Result<HashMap<Oid, TableName>> {
    let rows = query(client, "listing the partitions", include_str!("sql/partition_roots.sql")).await?;
    Ok(rows.iter().map(|row| (row.get("leaf"), table_name(row))).collect())
}

/// Sequences with their values. Values are not part of a snapshot: they are at least what the snapshot's rows need.
pub async fn sequences(client: &Client, skip: impl Fn(&TableName) -> bool) -> Result<Vec<Sequence>> {
    let rows = query(client, "listing the sequences", include_str!("sql/sequences.sql")).await?;
    let mut sequences = Vec::new();
    let wanted: Vec<&Row> = rows.iter().filter(|row| !skip(&table_name(row))).collect();
    for batch in wanted.chunks(200) {
        sequences.extend(sequence_values(client, batch).await?);
    }
    Ok(sequences)
}

async fn sequence_values(client: &Client, batch: &[&Row]) -> Result<Vec<Sequence>> {
    let one = |(place, row): (usize, &&Row)| {
        let name = qualified(&table_name(row));
        format!("SELECT {place}::int4 AS place, last_value::int8, is_called FROM {name}")
    };
    let union: Vec<String> = batch.iter().enumerate().map(one).collect();
    let values = query(client, "reading the sequences", &union.join(" UNION ALL ")).await?;
    let read = |value: &Row| {
        let row = batch[value.get::<_, i32>("place").unsigned_abs() as usize];
        let owner: Option<String> = row.get("table_name");
        Sequence {
            name: table_name(row),
            last_value: value.get("last_value"),
            is_called: value.get("is_called"),
            unlogged: row.get::<_, &str>("persistence") == "u",
            owned_by: owner
                .map(|table| (TableName::new(row.get::<_, String>("table_schema"), table), row.get("column_name"))),
        }
    };
    Ok(values.iter().map(read).collect())
}

/// Populated materialized views, each after those that it reads.
pub async fn populated_views(client: &Client) -> Result<Vec<TableName>> {
    let rows = query(client, "listing the materialized views", include_str!("sql/populated_views.sql")).await?;
    Ok(rows.iter().map(table_name).collect())
}

pub async fn large_objects(client: &Client) -> Result<Vec<LargeObject>> {
    let rows = query(client, "listing the large objects", include_str!("sql/large_objects.sql")).await?;
    let read = |row: &Row| LargeObject {
        oid: row.get("oid"),
        owner: row.get("owner"),
        privileges: privileges(row),
        comment: row.get("comment"),
    };
    Ok(rows.iter().map(read).collect())
}

pub async fn extensions(client: &Client) -> Result<Vec<Extension>> {
    let sql = "SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema
               FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1";
    let rows = query(client, "listing the extensions", sql).await?;
    let read = |row: &Row| Extension { name: row.get("name"), version: row.get("version"), schema: row.get("schema") };
    Ok(rows.iter().map(read).collect())
}

/// The database's logical ones, temporary ones left out. Asks for nothing that not everybody may see.
pub async fn replication_slots(client: &Client) -> Result<Vec<ReplicationSlot>> {
    let rows = query(client, "looking at the replication slots", include_str!("sql/slots.sql")).await?;
    let read = |row: &Row| ReplicationSlot {
        name: row.get("name"),
        is_active: row.get("is_active"),
        is_lost: row.get("is_lost"),
        lag_bytes: row.get::<_, i64>("lag_bytes").unsigned_abs(),
    };
    Ok(rows.iter().map(read).collect())
}

pub async fn roles(client: &Client) -> Result<Vec<Role>> {
    let rows = query(client, "listing the roles", include_str!("sql/roles.sql")).await?;
    let read = |row: &Row| Role {
        name: row.get("name"),
        can_login: row.get("can_login"),
        inherits: row.get("inherits"),
        member_of: row.get("member_of"),
    };
    Ok(rows.iter().map(read).collect())
}

pub async fn database(client: &Client) -> Result<DatabaseProperties> {
    let rows = query(client, "reading the database's properties", include_str!("sql/database.sql")).await?;
    let row = rows.first().ok_or_else(|| crate::Error::bug("the current database is not in pg_database"))?;
    let settings = query(client, "reading the database's settings", include_str!("sql/settings.sql")).await?;
    let setting = |row: &Row| {
        let (name, value) = row.get::<_, &str>("setting").split_once('=').expect("setconfig holds name=value");
        SettingOverride { role: row.get("role"), name: name.to_owned(), value: value.to_owned() }
    };
    Ok(DatabaseProperties {
        name: row.get("name"),
        owner: row.get("owner"),
        encoding: row.get("encoding"),
        collation: Collation {
            provider: row.get("provider"),
            collate: row.get("collate"),
            ctype: row.get("ctype"),
            locale: row.get("locale"),
            icu_rules: row.get("icu_rules"),
            version: row.get("collation_version"),
        },
        connection_limit: row.get("connection_limit"),
        comment: row.get("comment"),
        privileges: row.get::<_, bool>("has_privileges").then(|| privileges(row)),
        settings: settings.iter().map(setting).collect(),
    })
}

/// Definitions that `pg_dump` and COPY print from the server's current state, by `(catalog, oid)`.
pub type Definitions = BTreeMap<(String, Oid), Definition>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Kind and name, for people.
    name: String,
    /// Another one means that it changed.
    made_by: String,
}

pub async fn definitions(client: &Client) -> Result<Definitions> {
    let rows = query(client, "reading the definitions", include_str!("sql/definitions.sql")).await?;
    let definition = |row: &Row| Definition { name: row.get("name"), made_by: row.get("made_by") };
    Ok(rows.iter().map(|row| ((row.get("catalog"), row.get("oid")), definition(row))).collect())
}

/// The first of the `old` definitions that is not the same now, by the name that it had.
pub async fn changed_definition(client: &Client, old: &Definitions) -> Result<Option<String>> {
    let now = definitions(client).await?;
    let changed = old.iter().find(|(object, old)| now.get(object).is_none_or(|now| now.made_by != old.made_by));
    Ok(changed.map(|(_, definition)| definition.name.clone()))
}

/// Locks the tables against changes of their structure, in one statement a batch. Takes no snapshot.
pub fn lock_statements<'a>(tables: impl Iterator<Item = &'a TableName>, nowait: bool) -> Vec<String> {
    let names: Vec<String> = tables.map(|table| format!("ONLY {}", qualified(table))).collect();
    let nowait = if nowait { " NOWAIT" } else { "" };
    names.chunks(500).map(|batch| format!("LOCK TABLE {} IN ACCESS SHARE MODE{nowait}", batch.join(", "))).collect()
}

/// The columns of a COPY, quoted.
pub fn column_list<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

fn table_name(row: &Row) -> TableName {
    TableName::new(row.get::<_, String>("schema"), row.get::<_, String>("name"))
}

/// `grantee:privilege:t|f`; a grantee may hold colons.
fn privileges(row: &Row) -> Vec<(String, String, bool)> {
    let texts: Vec<String> = row.get("privileges");
    let split = |text: &String| {
        let (rest, grantable) = text.rsplit_once(':')?;
        let (grantee, privilege) = rest.rsplit_once(':')?;
        Some((grantee.to_owned(), privilege.to_owned(), grantable == "t"))
    };
    texts.iter().filter_map(split).collect()
}

async fn query(client: &Client, doing: &str, sql: &str) -> Result<Vec<Row>> {
    client.query(sql, &[]).await.map_err(|e| from_postgres(doing, e))
}
