//! What there is to know before a backup, as the server tells it.

use std::net::IpAddr;
use std::path::Path;

use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::model::TableName;
use crate::postgres::connect::{Address, Connector, Session};
use crate::postgres::dsn::{Roots, SslMode};
use crate::postgres::error::from_postgres;
use crate::postgres::identity::Identity;
use crate::postgres::pg_dump::{self, PgDump};
use crate::postgres::pooler::{Ownership, probe};
use crate::postgres::session::{Settings, set_local, timeout_settings};

/// How long a look at the catalogue may wait for somebody's DDL.
const LOCK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Everything that [`assess`](super::assess) decides by.
#[derive(Debug, Clone)]
pub struct Facts {
    pub identity: Identity,
    /// As it was asked for.
    pub host: String,
    pub port: u16,
    pub is_local: bool,
    pub is_encrypted: bool,
    pub is_verified: bool,
    pub tool: Tool,
    /// `None` when no second session could be had to find out.
    pub ownership: Option<Ownership>,
    pub limits: Limits,
    pub replica: Option<Replica>,
    pub forbidden_functions: Vec<String>,
    pub relations: Vec<RelationAccess>,
    pub unreadable_large_objects: LargeObjects,
    /// Tables that only their extension can make again, rows and all.
    pub kept: Vec<Kept>,
}

/// A table that an extension keeps in its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub by: Keeper,
    pub table: TableName,
}

/// An extension whose tables are more than PostgreSQL's catalogue says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    Citus,
    Timescale,
}

impl Keeper {
    pub const ALL: [Self; 2] = [Self::Citus, Self::Timescale];

    pub const fn extension(self) -> &'static str {
        match self {
            Self::Citus => "citus",
            Self::Timescale => "timescaledb",
        }
    }

    const fn tables(self) -> &'static str {
        match self {
            Self::Citus => include_str!("../sql/preflight_citus.sql"),
            Self::Timescale => include_str!("../sql/preflight_timescaledb.sql"),
        }
    }
}

/// The pg_dump that would run, or why there is none.
#[derive(Debug, Clone)]
pub enum Tool {
    Found(PgDump),
    Missing { problem: String, fix: String },
}

/// How many connections and locks there may be, and are, without ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub role: String,
    pub is_superuser: bool,
    pub max_connections: i64,
    /// Kept back from this role.
    pub reserved_connections: i64,
    pub connections: i64,
    /// Negative: no limit.
    pub role_connection_limit: i64,
    pub role_connections: i64,
    /// Negative: no limit.
    pub database_connection_limit: i64,
    pub database_connections: i64,
    pub max_locks_per_transaction: i64,
    pub max_prepared_transactions: i64,
}

/// How far a standby is behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// Since the last transaction that was replayed; grows on an idle primary too.
    pub replay_age_s: Option<f64>,
    pub unreplayed_bytes: Option<i64>,
    pub is_paused: bool,
    pub has_feedback: bool,
}

/// What the role may do with a table or sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationAccess {
    pub name: TableName,
    pub is_sequence: bool,
    pub schema_usable: bool,
    pub readable: bool,
    /// Some columns of it.
    pub partly_readable: bool,
    /// Row-level security applies to this role.
    pub hides_rows: bool,
}

/// Those that the role may not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LargeObjects {
    pub first: Vec<u32>,
    pub total: i64,
}

/// Asks the server. Sessions are opened for it and closed again; all settings are local to one transaction.
pub async fn gather(connector: &Connector, named_pg_dump: Option<&Path>) -> Result<Facts> {
    let session = connector.connect().await?;
    let begin = begin_statement(connector.identity());
    execute(&session, &begin).await?;
    let server = one(&session, include_str!("../sql/preflight_server.sql")).await?;
    let relations = rows(&session, include_str!("../sql/preflight_relations.sql")).await?;
    let large_objects = rows(&session, include_str!("../sql/preflight_large_objects.sql")).await?;
    let kept = kept(&session).await?;
    execute(&session, "COMMIT").await?;
    let ownership = ownership(connector, session).await?;
    let endpoint = connector.endpoint();
    let sslmode = connector.dsn().sslmode(&endpoint.host);
    let has_roots = *connector.dsn().roots() != Roots::Unsaid;
    Ok(Facts {
        identity: connector.identity().clone(),
        host: endpoint.host.place.to_string(),
        port: endpoint.host.port,
        is_local: match &endpoint.address {
            Address::Socket(_) => true,
            Address::Tcp(address) => is_this_machine(address.ip()),
        },
        is_encrypted: endpoint.encrypted,
        is_verified: endpoint.encrypted && (sslmode >= SslMode::VerifyCa || has_roots),
        tool: tool(named_pg_dump, connector.identity()).await,
        ownership,
        limits: limits(&server).map_err(unreadable)?,
        replica: replica(&server).map_err(unreadable)?,
        forbidden_functions: server.try_get("forbidden_functions").map_err(unreadable)?,
        relations: relations.iter().map(relation).collect::<Result<_, _>>().map_err(unreadable)?,
        unreadable_large_objects: unreadable_large_objects(&large_objects).map_err(unreadable)?,
        kept,
    })
}

async fn kept(client: &Client) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    let installed = rows(client, "SELECT extname::text FROM pg_catalog.pg_extension").await?;
    let is_installed = |keeper: &Keeper| installed.iter().any(|row| row.get::<_, &str>(0) == keeper.extension());
    for by in Keeper::ALL.into_iter().filter(is_installed) {
        let tables = rows(client, by.tables()).await?;
        let table = |row: &Row| TableName::new(row.get::<_, String>("schema"), row.get::<_, String>("name"));
        kept.extend(tables.iter().map(|row| Kept { by, table: table(row) }));
    }
    Ok(kept)
}

fn is_this_machine(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

async fn ownership(connector: &Connector, session: Session) -> Result<Option<Ownership>> {
    // Without a second slot there is no telling; that there is none is a finding of its own.
    let Ok(second) = connector.connect().await else {
        return Ok(None);
    };
    let ownership = probe(&session, &second).await?;
    session.close().await;
    second.close().await;
    Ok(Some(ownership))
}

async fn tool(named: Option<&Path>, identity: &Identity) -> Tool {
    match pg_dump::find(named, identity.server_major()).await {
        Ok(tool) => Tool::Found(tool),
        Err(error) => Tool::Missing { problem: error.message(), fix: error.hint_text().unwrap_or_default().to_owned() },
    }
}

fn begin_statement(identity: &Identity) -> String {
    let mut settings: Settings = timeout_settings(identity, LOCK_TIMEOUT);
    settings.push(("search_path", String::new()));
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}", set_local(&settings))
}

const DOING: &str = "asking the server what a backup will meet";

fn unreadable(error: tokio_postgres::Error) -> Error {
    from_postgres(DOING, error)
}

async fn execute(client: &Client, statements: &str) -> Result<()> {
    client.batch_execute(statements).await.map_err(unreadable)
}

/// Without named statements, which poolers mix up.
async fn rows(client: &Client, sql: &str) -> Result<Vec<Row>> {
    client.query_typed(sql, &[]).await.map_err(unreadable)
}

async fn one(client: &Client, sql: &str) -> Result<Row> {
    let first = rows(client, sql).await?.into_iter().next();
    first.ok_or_else(|| Error::database(DOING).hint("the role of this session was dropped; reconnect"))
}

type Read<T> = Result<T, tokio_postgres::Error>;

/// The session that asks is not counted.
fn limits(row: &Row) -> Read<Limits> {
    const OURS: i64 = 1;
    let is_superuser = row.try_get("is_superuser")?;
    let kept_back: i64 = if is_superuser {
        0
    } else {
        row.try_get::<_, i64>("superuser_reserved_connections")? + row.try_get::<_, i64>("reserved_connections")?
    };
    let others = |name: &str| Ok(row.try_get::<_, Option<i64>>(name)?.unwrap_or_default().saturating_sub(OURS));
    Ok(Limits {
        role: row.try_get("role")?,
        is_superuser,
        max_connections: row.try_get("max_connections")?,
        reserved_connections: kept_back,
        connections: others("connections")?,
        role_connection_limit: row.try_get::<_, i32>("role_connection_limit")?.into(),
        role_connections: others("role_connections")?,
        database_connection_limit: row.try_get::<_, i32>("database_connection_limit")?.into(),
        database_connections: others("database_connections")?,
        max_locks_per_transaction: row.try_get("max_locks_per_transaction")?,
        max_prepared_transactions: row.try_get("max_prepared_transactions")?,
    })
}

fn replica(row: &Row) -> Read<Option<Replica>> {
    let Some(is_paused) = row.try_get("replay_paused")? else {
        return Ok(None);
    };
    Ok(Some(Replica {
        replay_age_s: row.try_get("replay_age_s")?,
        unreplayed_bytes: row.try_get("unreplayed_bytes")?,
        is_paused,
        has_feedback: row.try_get("standby_feedback")?,
    }))
}

fn relation(row: &Row) -> Read<RelationAccess> {
    Ok(RelationAccess {
        name: TableName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?),
        is_sequence: row.try_get("is_sequence")?,
        schema_usable: row.try_get("schema_usable")?,
        readable: row.try_get("readable")?,
        partly_readable: row.try_get("partly_readable")?,
        hides_rows: row.try_get("hides_rows")?,
    })
}

fn unreadable_large_objects(rows: &[Row]) -> Read<LargeObjects> {
    Ok(LargeObjects {
        first: rows.iter().map(|row| row.try_get("oid")).collect::<Read<_>>()?,
        total: rows.first().map(|row| row.try_get("total")).transpose()?.unwrap_or_default(),
    })
}
