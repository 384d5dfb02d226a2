//! The schema, dumped by `pg_dump` from the same snapshot.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::model::{Skipped, TableName};
use crate::postgres::archive::{Archive, forget_creation_time};
use crate::postgres::dump::{DumpRequest, dump_schema, exactly};
use crate::postgres::snapshot::Ticket;
use crate::postgres::{Connector, pg_dump};

use super::LOCK_TIMEOUT;

/// A schema dump that was read back.
pub struct SchemaDump {
    /// `pg_dump -Fc` format; the same schema gives the same bytes.
    pub archive: Vec<u8>,
    /// Objects in its table of contents.
    pub entries: u64,
    /// `pg_dump`'s warnings.
    pub skipped: Vec<Skipped>,
    pub version: String,
}

/// Dumps every definition but those of the `excluded` tables, whose rows the backup does not have either.
///
/// Errors: `Conflict` when a lock is not to be had: somebody changes definitions.
pub async fn dump(
    source: &Connector,
    ticket: &Ticket,
    excluded: &[TableName],
    tool: Option<&Path>,
    stop: &CancellationToken,
) -> Result<SchemaDump> {
    let exclude = |table: &TableName| format!("--exclude-table={}", exactly(&table.schema, &table.name));
    // Names and texts are read as UTF-8; a database without an encoding has none to convert from.
    let encoding = (source.identity().server_encoding != "SQL_ASCII").then(|| "--encoding=UTF8".to_owned());
    let request = DumpRequest {
        tool: pg_dump::find(tool, source.identity().server_major()).await?,
        snapshot: Some(ticket.snapshot.clone()),
        lock_timeout: LOCK_TIMEOUT,
        arguments: excluded.iter().map(exclude).chain(encoding).collect(),
    };
    let mut dump = dump_schema(source, &request, stop).await?;
    let archive = Archive::parse(&dump.archive).map_err(|e| e.context("pg_dump's archive cannot be read back"))?;
    if archive.entries.is_empty() {
        return Err(Error::database("pg_dump gave an archive without a table of contents"));
    }
    forget_creation_time(&mut dump.archive)?;
    let skipped = dump.warnings.into_iter().map(|reason| Skipped { object: "schema".to_owned(), reason }).collect();
    Ok(SchemaDump { entries: archive.entries.len() as u64, archive: dump.archive, skipped, version: dump.version })
}
