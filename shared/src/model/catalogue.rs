//! The catalogue of a backup: what was in the database and where its rows are in the vault. A sealed piece.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::index::PieceRef;
use super::rows::Encoding;
use super::tally::Tally;

/// Everything a restore needs to know beside the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    pub database: DatabaseProperties,
    /// In order of schema and name.
    pub tables: Vec<TableEntry>,
    pub sequences: Vec<Sequence>,
    pub large_objects: Vec<LargeObject>,
    /// Materialized views that held rows, in an order in which they can be refreshed.
    pub populated_views: Vec<TableName>,
    pub extensions: Vec<Extension>,
    /// Roles that the schema names as owner, grantee or in a policy.
    pub roles: Vec<Role>,
    pub skipped: Vec<Skipped>,
    /// The `pg_dump --schema-only -Fc` archive; `None` in a backup of nothing but data.
    pub schema: Option<PieceRef>,
    /// `pg_dump`'s own count of the objects in `schema`.
    pub schema_entries: u64,
}

impl Catalogue {
    /// The rows of all tables together.
    pub fn tally(&self) -> Tally {
        self.tables.iter().map(|t| &t.tally).sum()
    }

    pub fn table(&self, name: &TableName) -> Option<&TableEntry> {
        self.tables.iter().find(|t| t.name == *name)
    }
}

/// A relation's schema-qualified name, unquoted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

/// For people: `schema.name`, unquoted.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    Table,
    /// A leaf of a partitioned table.
    Partition,
    /// The pseudo-table of large objects: columns `loid`, `page`, `data`.
    LargeObjects,
}

/// One table and its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableEntry {
    #[serde(flatten)]
    pub name: TableName,
    pub kind: TableKind,
    pub oid: u32,
    pub filenode: u32,
    pub unlogged: bool,
    /// Topmost partitioned table, for a partition.
    pub root: Option<TableName>,
    /// The columns of a COPY line, in order: neither dropped nor generated ones.
    pub columns: Vec<Column>,
    /// Stored generated columns, which no line holds: the server computes them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generated_columns: Vec<Column>,
    /// Changes whenever the same stored bytes could print differently.
    pub type_signature: String,
    /// The condition that selected the rows, for an extension's configuration table.
    pub condition: Option<String>,
    pub encoding: Encoding,
    /// It is binary because somebody asked for that, not because a row is too long for text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary_by_choice: bool,
    /// Heap blocks in one range.
    pub range_blocks: u64,
    /// The rule by which a range's rows were cut into chunks.
    #[serde(default)]
    pub chunking: u32,
    #[serde(flatten)]
    pub tally: Tally,
    /// Index parts, in order of their ranges.
    pub parts: Vec<PieceRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// As `format_type` prints it.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A sequence's state; its options are in the schema dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    #[serde(flatten)]
    pub name: TableName,
    pub last_value: i64,
    pub is_called: bool,
    pub unlogged: bool,
    /// `(table, column)` that owns it (serial or identity).
    pub owned_by: Option<(TableName, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObject {
    pub oid: u32,
    pub owner: String,
    /// As `aclexplode` gives it: `(grantee or empty for PUBLIC, privilege, with grant option)`.
    pub privileges: Vec<(String, String, bool)>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub version: String,
    pub schema: String,
}

/// A role that the schema needs; never its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    pub can_login: bool,
    pub inherits: bool,
    pub member_of: Vec<String>,
}

/// What `CREATE DATABASE` and `ALTER DATABASE` must say to make such a database again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    pub name: String,
    pub owner: String,
    pub encoding: String,
    pub collation: Collation,
    pub connection_limit: i32,
    pub comment: Option<String>,
    /// As `aclexplode` gives it, `None` for the default.
    pub privileges: Option<Vec<(String, String, bool)>>,
    pub settings: Vec<SettingOverride>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    pub collate: String,
    pub ctype: String,
    /// ICU or built-in locale.
    pub locale: Option<String>,
    pub icu_rules: Option<String>,
    pub version: Option<String>,
}

/// `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingOverride {
    pub role: Option<String>,
    pub name: String,
    pub value: String,
}

/// Something of a backup that is not in the database restored from it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRestored {
    pub object: String,
    pub reason: String,
    /// Rows, or what holds, finds, computes or guards them. What managed servers keep to themselves (event triggers,
    /// publications, comments on extensions, other roles' default privileges and the like) is not.
    pub essential: bool,
}

/// Something that is not in the backup, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub object: String,
    pub reason: String,
}
