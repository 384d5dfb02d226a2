//! The health of a live database: how many rows its tables hold, and what in it would make a restore, or its own
//! application, stumble. Reads only; holds no lock longer than one question takes.

mod ask;
mod report;

use tokio_util::sync::CancellationToken;

pub use report::{
    CheckReport, ConstraintState, IndexState, Orphans, SequenceBehind, TableRows, UncheckedConstraint, UnusableIndex,
};

use super::connect::Connector;
use crate::error::Result;
use ask::Asker;

/// How to learn how many rows a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowCounts {
    /// Count them: reads every table once.
    Exact,
    /// What the planner believes since the last ANALYZE or VACUUM.
    Estimated,
}

/// Asks everything. What the role may not read is left out and listed as unreadable.
///
/// Fails when the server is lost, and with kind `OutOfTime` when `stop` is cancelled; then nothing of it keeps running
/// on the server.
pub async fn check(connector: &Connector, counts: RowCounts, stop: &CancellationToken) -> Result<CheckReport> {
    let mut asker = Asker::connect(connector, stop).await?;
    let report = CheckReport {
        database: connector.identity().database.clone(),
        server_version: connector.identity().server_version.clone(),
        constraints: asker.unchecked_constraints().await?,
        indexes: asker.unusable_indexes().await?,
        sequences: asker.sequences_behind().await?,
        orphans: asker.orphans().await?,
        tables: asker.table_rows(counts).await?,
        unreadable: asker.unreadable(),
    };
    asker.close().await;
    Ok(report)
}

/// Rows that violate their foreign keys, which nobody checked when they came with `session_replication_role = replica`
/// or before a key that is NOT VALID. For the proof of a restore.
pub async fn orphans(connector: &Connector, stop: &CancellationToken) -> Result<Vec<Orphans>> {
    let mut asker = Asker::connect(connector, stop).await?;
    let orphans = asker.orphans().await?;
    asker.close().await;
    Ok(orphans)
}

/// Sequences whose next value their column already has. For the proof of a restore.
pub async fn sequences_behind(connector: &Connector, stop: &CancellationToken) -> Result<Vec<SequenceBehind>> {
    let mut asker = Asker::connect(connector, stop).await?;
    let sequences = asker.sequences_behind().await?;
    asker.close().await;
    Ok(sequences)
}
