//! Says of every backup whether it stays. Nothing is deleted by this version: it has no rules of retention yet, and without
//! a rule every backup is needed.

use lifeboat::Result;
use lifeboat::model::{BackupId, DatabaseName, Finding, Tier};
use lifeboat::ops::{ListFilter, list};
use lifeboat_functions::{Deployment, Invocation, serve};
use serde::{Deserialize, Serialize};

const NO_RULE: &str = "this version has no rules of retention, so nothing expires";
const HELD: &str = "held";

/// `docs/events/cleanup.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    dry_run: bool,
    /// All of the vault, where none is named.
    database: Option<DatabaseName>,
}

#[derive(Debug, Serialize)]
struct Answer {
    dry_run: bool,
    keep: Vec<Kept>,
    expire: Vec<Kept>,
    deleted_bytes: u64,
    /// Records of the vault that could not be read: what they say of backups is not known.
    problems: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Kept {
    id: BackupId,
    database: DatabaseName,
    tier: Tier,
    stored_bytes: u64,
    reasons: Vec<&'static str>,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "cleanup", run).await
}

async fn run(deployment: &Deployment, input: Input, invocation: &Invocation) -> Result<Answer> {
    input.database.iter().for_each(|database| invocation.is_about(database, None));
    let vault = deployment.vault().await?;
    let listing = list(&vault, input.database.as_ref(), &ListFilter::default()).await?;
    let keep: Vec<Kept> = listing
        .backups
        .into_iter()
        .map(|backup| Kept {
            id: backup.id,
            database: backup.database,
            tier: backup.tier,
            stored_bytes: backup.stored_bytes,
            reasons: [NO_RULE].into_iter().chain(backup.held.then_some(HELD)).collect(),
        })
        .collect();
    tracing::info!(kept = keep.len(), expired = 0, dry_run = input.dry_run, "cleaned up");
    Ok(Answer { dry_run: input.dry_run, keep, expire: Vec::new(), deleted_bytes: 0, problems: listing.problems })
}
