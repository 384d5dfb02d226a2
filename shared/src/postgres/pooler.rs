//! Is a session ours alone, or does a transaction pooler lend us one of its own for a transaction at a time?
//!
//! A sets a marker (a setting of our own name, which no other client reads) outside any transaction: a pooler then takes
//! A's server session back. B opens a transaction and so borrows a server session, in the usual pools the one that was
//! given back last. Now A looks for its marker and its process id, and B looks for A's. Without a pooler A finds both
//! and B neither. With one, B holds what was A's, or A is lent another; when the pool has no other, A waits in vain.
//! B takes the marker away again where it finds it. No other setting is made.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::connect::Session;
use super::error::from_postgres;
use crate::error::Result;

/// What the probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Each session has a server process to itself for as long as it lives.
    Ours,
    /// A pooler shares server processes between sessions.
    Pooled,
}

/// Longer than any server takes for two trivial statements, shorter than poolers wait for a free session.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells whether sessions like `a` and `b`, both idle and outside transactions, are ours alone. If they are, both come
/// back as they were; if not, close them.
///
/// Speaks the simple protocol only: old poolers mix up prepared statements.
pub async fn probe(a: &Session, b: &Session) -> Result<Ownership> {
    let marker = format!("{:032x}", rand::random::<u128>());
    let found = tokio::time::timeout(PATIENCE, look_for(&marker, a, b)).await;
    match found {
        Ok(found) => found,
        Err(_) => Ok(Ownership::Pooled),
    }
}

async fn look_for(marker: &str, a: &Client, b: &Client) -> Result<Ownership> {
    let failed = |e| from_postgres("probing for a connection pooler", e);
    let pid = one(a, &format!("SELECT pg_backend_pid() FROM set_config('lifeboat.probe', '{marker}', false)"))
        .await
        .map_err(failed)?;
    const LOOK: &str = "SELECT pg_backend_pid() || ' ' || coalesce(current_setting('lifeboat.probe', true), '')";
    // A statement pooler refuses the transaction itself.
    match b.batch_execute("BEGIN").await {
        Err(error) if error.as_db_error().is_some() => return Ok(Ownership::Pooled),
        begun => begun.map_err(failed)?,
    }
    let seen_by_b = one(b, LOOK).await.map_err(failed)?;
    let borrowed = seen_by_b.ends_with(marker);
    if borrowed {
        b.batch_execute("RESET lifeboat.probe").await.map_err(failed)?;
    }
    let seen_by_a = one(a, LOOK).await.map_err(failed)?;
    b.batch_execute("COMMIT").await.map_err(failed)?;
    if borrowed || seen_by_a != format!("{pid} {marker}") {
        return Ok(Ownership::Pooled);
    }
    a.batch_execute("RESET lifeboat.probe").await.map_err(failed)?;
    Ok(Ownership::Ours)
}

async fn one(client: &Client, query: &str) -> Result<String, tokio_postgres::Error> {
    let messages = client.simple_query(query).await?;
    Ok(messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default())
}
