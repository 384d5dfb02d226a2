//! Writing rows back into a table.

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::{Client, CopyInSink};

use super::catalog::column_list;
use super::chunker::{BINARY_HEADER, BINARY_TRAILER};
use super::copy_out::LARGE_OBJECT_PAGE_BYTES;
use super::quote::{literal, qualified};
use crate::model::{Column, Encoding, TableName};

/// Where rows go.
#[derive(Debug, Clone, Copy)]
pub struct Into<'a> {
    pub table: &'a TableName,
    pub columns: &'a [Column],
    pub format: Encoding,
    /// The encoding of the rows' text.
    pub encoding: &'a str,
}

impl Into<'_> {
    fn statement(&self) -> String {
        let columns = match column_list(self.columns.iter()) {
            none if none.is_empty() => String::new(),
            columns => format!(" ({columns})"),
        };
        let format = match self.format {
            Encoding::Text => format!("FORMAT text, ENCODING {}", literal(self.encoding)),
            Encoding::Binary => "FORMAT binary".to_owned(),
        };
        format!("COPY {}{columns} FROM STDIN WITH ({format})", qualified(self.table))
    }
}

/// Copies chunks of whole rows into a table; gives the number of rows that arrived.
pub async fn write_rows(client: &Client, into: Into<'_>, chunks: Vec<Bytes>) -> Result<u64, tokio_postgres::Error> {
    let messages = match into.format {
        Encoding::Text => chunks,
        Encoding::Binary => {
            let (header, trailer) = (Bytes::from_static(BINARY_HEADER), Bytes::from_static(&BINARY_TRAILER));
            std::iter::once(header).chain(chunks).chain(std::iter::once(trailer)).collect()
        }
    };
    send(client, &into.statement(), messages).await
}

/// Writes pages of large objects, which exist already; gives the number of pages that arrived.
pub async fn write_large_object_pages(client: &Client, chunks: Vec<Bytes>) -> Result<u64, tokio_postgres::Error> {
    let temporary = "CREATE TEMPORARY TABLE lifeboat_page (loid oid, page int8, data bytea) ON COMMIT DROP";
    client.batch_execute(temporary).await?;
    let pages = send(client, "COPY pg_temp.lifeboat_page FROM STDIN", chunks).await?;
    let put = format!(
        "SELECT count(*) FROM (SELECT pg_catalog.lo_put(loid, page * {LARGE_OBJECT_PAGE_BYTES}, data) FROM pg_temp.lifeboat_page) put"
    );
    client.query_one(&put, &[]).await?;
    Ok(pages)
}

async fn send(client: &Client, statement: &str, messages: Vec<Bytes>) -> Result<u64, tokio_postgres::Error> {
    let sink: CopyInSink<Bytes> = client.copy_in(statement).await?;
    let mut sink = std::pin::pin!(sink);
    for message in messages {
        sink.as_mut().feed(message).await?;
    }
    sink.as_mut().finish().await
}
