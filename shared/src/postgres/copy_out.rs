//! Reading rows: one range of one table as COPY text, cut into chunks at row ends.

use bytes::Bytes;
use futures::StreamExt;
use tokio_postgres::Client;

use super::catalog::column_list;
use super::error::from_postgres;
use super::quote::{literal, qualified};
use crate::error::{Error, Result};
use crate::model::{BlockRange, Column, TableKind, TableName};

/// Where a chunk is cut when a range has more: at the first row end past this size.
pub const CHUNK_BYTES: usize = 4 << 20;

/// Bytes of a large object in one row of its pseudo-table.
pub const LARGE_OBJECT_PAGE_BYTES: u64 = 1 << 20;

/// What to read and how its text is encoded.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub table: &'a TableName,
    pub kind: TableKind,
    pub columns: &'a [Column],
    /// `WHERE …` of an extension's configuration table.
    pub condition: Option<&'a str>,
    /// Whether ranges are heap blocks; if not, the only range is everything.
    pub by_blocks: bool,
    /// The database's own encoding: nothing is converted.
    pub encoding: &'a str,
    /// Whether large objects are read from `pg_largeobject` itself, see [`may_read_large_object_pages`].
    pub by_large_object_pages: bool,
}

impl Rows<'_> {
    /// The COPY statement for one range.
    pub fn statement(&self, range: BlockRange) -> String {
        let encoding = literal(self.encoding);
        let to = format!("TO STDOUT WITH (FORMAT text, ENCODING {encoding})");
        if self.kind == TableKind::LargeObjects {
            let query =
                if self.by_large_object_pages { query_of_stored_pages(range) } else { query_of_large_objects(range) };
            return format!("COPY ({query}) {to}");
        }
        let table = qualified(self.table);
        let columns = column_list(self.columns);
        if !self.by_blocks && self.condition.is_none() {
            return match columns.as_str() {
                "" => format!("COPY {table} {to}"),
                columns => format!("COPY {table} ({columns}) {to}"),
            };
        }
        let mut conditions = Vec::new();
        if self.by_blocks {
            conditions.push(format!("ctid >= '({},0)'::pg_catalog.tid", range.first));
            conditions.extend(range.end.map(|end| format!("ctid < '({end},0)'::pg_catalog.tid")));
        }
        if let Some(condition) = self.condition {
            let bare = condition.trim();
            let bare = bare.get(..5).filter(|w| w.eq_ignore_ascii_case("where")).map_or(bare, |_| &bare[5..]);
            conditions.push(format!("({bare})"));
        }
        format!("COPY (SELECT {columns} FROM ONLY {table} WHERE {}) {to}", conditions.join(" AND "))
    }
}

/// Whether this role may read `pg_largeobject`, as `pg_read_all_data` lets it, without a right on each object.
pub async fn may_read_large_object_pages(client: &Client) -> Result<bool> {
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')";
    let row = client.query_one(sql, &[]).await;
    Ok(row.map_err(|e| from_postgres("asking who may read large objects", e))?.get(0))
}

/// Pages of the large objects in a range of oids, for a role with a right on each object. A page shorter than the full
/// size is an object's last.
fn query_of_large_objects(range: BlockRange) -> String {
    let page = LARGE_OBJECT_PAGE_BYTES;
    let objects = objects_in(range);
    format!(
        "WITH RECURSIVE pages(loid, page, data) AS (
            SELECT m.oid, 0::int8, pg_catalog.lo_get(m.oid, 0, {page}) FROM {objects}
          UNION ALL
            SELECT p.loid, p.page + 1, pg_catalog.lo_get(p.loid, (p.page + 1) * {page}, {page})
            FROM pages p WHERE pg_catalog.length(p.data) = {page}
        ) SELECT loid, page, data FROM pages WHERE page = 0 OR pg_catalog.length(data) > 0"
    )
}

/// The same pages, put together from the server's own, of which those without data are not stored.
fn query_of_stored_pages(range: BlockRange) -> String {
    let page = LARGE_OBJECT_PAGE_BYTES;
    let objects = objects_in(range);
    format!(
        "WITH block AS (
            SELECT pg_catalog.current_setting('block_size')::int4 / 4 AS bytes
        ), object AS (
            SELECT m.oid, coalesce((SELECT max(l.pageno) FROM pg_catalog.pg_largeobject l WHERE l.loid = m.oid), -1) AS last
            FROM {objects}
        )
        SELECT o.oid, p.page::int8, coalesce((
            SELECT pg_catalog.string_agg(
                CASE WHEN n = o.last THEN l.data
                     ELSE pg_catalog.substr(coalesce(l.data, '') || pg_catalog.decode(pg_catalog.repeat('00', b.bytes), 'hex'), 1, b.bytes)
                END, ''::bytea ORDER BY n)
            FROM pg_catalog.generate_series(p.page * ({page} / b.bytes), least((p.page + 1) * ({page} / b.bytes) - 1, o.last)) AS n
            LEFT JOIN pg_catalog.pg_largeobject l ON l.loid = o.oid AND l.pageno = n), ''::bytea)
        FROM object o CROSS JOIN block b
        CROSS JOIN LATERAL pg_catalog.generate_series(0, greatest(o.last, 0) / ({page} / b.bytes)) AS p(page)"
    )
}

fn objects_in(range: BlockRange) -> String {
    let end = range.end.map(|end| format!(" AND m.oid < {end}::pg_catalog.oid")).unwrap_or_default();
    format!("pg_catalog.pg_largeobject_metadata m WHERE m.oid >= {}::pg_catalog.oid{end}", range.first)
}

/// Reads one range; gives each chunk of whole rows to `sink`. A range without rows gives none.
///
/// Rows arrive one message each; a row larger than [`CHUNK_BYTES`] is a chunk of its own.
pub async fn read_range(
    client: &Client,
    rows: Rows<'_>,
    range: BlockRange,
    mut sink: impl AsyncFnMut(Vec<u8>) -> Result<()>,
) -> Result<()> {
    let failed = |error| from_postgres(&format!("reading {}", rows.table), error);
    let stream = client.copy_out(&rows.statement(range)).await.map_err(failed)?;
    let mut stream = std::pin::pin!(stream);
    let mut chunk = Vec::new();
    while let Some(message) = stream.next().await {
        let message: Bytes = message.map_err(failed)?;
        if chunk.is_empty() {
            chunk.reserve(message.len().max(CHUNK_BYTES / 4));
        }
        chunk.extend_from_slice(&message);
        if chunk.len() >= CHUNK_BYTES && chunk.ends_with(b"\n") {
            sink(std::mem::take(&mut chunk)).await?;
        }
    }
    if !chunk.is_empty() {
        if !chunk.ends_with(b"\n") {
            return Err(Error::bug(format!("a row of {} has no end", rows.table)));
        }
        sink(chunk).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_by_its_blocks_and_an_extensions_table_by_its_condition() {
        let table = TableName::new("s", "t");
        let columns = [Column { name: "a".into(), type_name: "int".into() }];
        let rows = Rows {
            table: &table,
            kind: TableKind::Table,
            columns: &columns,
            condition: Some("WHERE id > 9"),
            by_blocks: true,
            encoding: "UTF8",
            by_large_object_pages: false,
        };
        insta::assert_snapshot!(rows.statement(BlockRange { first: 256, end: Some(512) }), @r#"COPY (SELECT "a" FROM ONLY "s"."t" WHERE ctid >= '(256,0)'::pg_catalog.tid AND ctid < '(512,0)'::pg_catalog.tid AND ( id > 9)) TO STDOUT WITH (FORMAT text, ENCODING 'UTF8')"#);
        let whole = Rows { by_blocks: false, condition: None, columns: &[], ..rows };
        insta::assert_snapshot!(whole.statement(BlockRange { first: 0, end: None }), @r#"COPY "s"."t" TO STDOUT WITH (FORMAT text, ENCODING 'UTF8')"#);
    }
}
