//! Looks how old the newest backup of each database is, and the newest proven one, and says so in metrics that alarms of the
//! stack watch. An alarm also goes off when this function says nothing.

use jiff::Timestamp;
use lifeboat::model::{DatabaseName, Purpose};
use lifeboat::ops::{BackupSummary, ListFilter, list};
use lifeboat::{Error, Result};
use lifeboat_functions::{Deployment, Invocation, Scope, Unit, serve};
use serde::{Deserialize, Serialize};

/// `docs/events/watch.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {}

#[derive(Debug, Serialize)]
struct Answer {
    databases: Vec<Watched>,
}

#[derive(Debug, Serialize)]
struct Watched {
    database: DatabaseName,
    /// When the newest complete backup was taken.
    last_backup_at: Option<Timestamp>,
    /// When the newest complete backup that is proven was taken.
    last_verified_at: Option<Timestamp>,
    /// Seconds since then; since the vault was made, where there is none.
    last_backup_age_s: i64,
    last_verified_age_s: i64,
    late: bool,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "watch", run).await
}

async fn run(deployment: &Deployment, Input {}: Input, _: &Invocation) -> Result<Answer> {
    let configured = deployment.databases();
    if configured.is_empty() {
        return Err(Error::configuration("no database is configured, so there is nothing to watch")
            .hint("give the stack a database and its secret"));
    }
    let vault = deployment.vault().await?;
    let now = vault.now().await?;
    let listing = list(&vault, None, &ListFilter::default()).await?;
    let limit = deployment.backup_age_limit();
    let mut databases = Vec::new();
    for database in configured {
        let newest = |wanted: fn(&BackupSummary) -> bool| {
            let own = listing.backups.iter().filter(|b| b.database == database && b.purpose == Purpose::Backup);
            own.filter(|backup| wanted(backup)).map(|backup| backup.created_at).max()
        };
        let last_backup_at = newest(|_| true);
        let last_verified_at = newest(|backup| backup.verified.as_ref().is_some_and(|verdict| verdict.ok));
        let age = |at: Option<Timestamp>| now.duration_since(at.unwrap_or(vault.format.created_at)).as_secs().max(0);
        let watched = Watched {
            last_backup_age_s: age(last_backup_at),
            last_verified_age_s: age(last_verified_at),
            late: age(last_backup_at).unsigned_abs() > limit.as_secs(),
            last_backup_at,
            last_verified_at,
            database,
        };
        measure(deployment, &watched);
        databases.push(watched);
    }
    Ok(Answer { databases })
}

fn measure(deployment: &Deployment, watched: &Watched) {
    if watched.late {
        tracing::warn!(
            database = watched.database.as_str(),
            age_s = watched.last_backup_age_s,
            "the newest backup is too old"
        );
    }
    let metrics = [
        ("LastBackupAge", Unit::Seconds, watched.last_backup_age_s as f64),
        ("LastVerifiedAge", Unit::Seconds, watched.last_verified_age_s as f64),
    ];
    deployment.measure(Scope { database: Some(&watched.database), tier: None }, &metrics);
}
