//! Looks how the backups are, tells people what is new, what stays and what is over, and says it in metrics that alarms of the
//! stack watch. An alarm also goes off when this function says nothing.

use jiff::Timestamp;
use lifeboat::model::DatabaseName;
use lifeboat::ops;
use lifeboat::ops::watch::{Telling, Told, tell};
use lifeboat::plan::health::{DatabaseHealth, HealthFinding, HealthPolicy, Limits, State};
use lifeboat::{Error, Result};
use lifeboat_functions::{Deployment, Invocation, Metric, Scope, Unit, serve};
use serde::{Deserialize, Serialize};

/// `docs/events/watch.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {}

#[derive(Debug, Serialize)]
struct Answer {
    state: State,
    databases: Vec<Watched>,
    /// What people were told this time.
    told: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Watched {
    database: DatabaseName,
    state: State,
    /// When the newest complete backup was taken.
    last_backup_at: Option<Timestamp>,
    /// When the newest complete backup that is proven was taken.
    last_verified_at: Option<Timestamp>,
    /// Seconds since then; since the vault was made, where there is none.
    last_backup_age_s: u64,
    last_verified_age_s: u64,
    late: bool,
    /// Of the backup jobs of the last 30 days; `null` when there were none.
    success_rate: Option<f64>,
    findings: Vec<HealthFinding>,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "watch", run).await
}

async fn run(deployment: &Deployment, Input {}: Input, invocation: &Invocation) -> Result<Answer> {
    let configured = deployment.databases();
    if configured.is_empty() {
        return Err(Error::configuration("no database is configured, so there is nothing to watch")
            .hint("give the stack a database and its secret"));
    }
    let vault = deployment.vault().await?;
    let mut status = ops::status(&vault, None, &configured, |name| policy(deployment, name)).await?;
    // What others keep in the vault is theirs to watch.
    status.databases.retain(|health| configured.contains(&health.database));
    status.state = lifeboat::plan::health::overall(&status.databases);
    // In boxes, because their types are deeper than the compiler follows.
    let channels = Box::pin(deployment.channels()).await;
    let telling = Telling {
        source: deployment.source(),
        repeats: deployment.config.repeats(),
        channels: &channels,
        digest: deployment.config.digesting(),
    };
    let heard = Box::pin(tell(&vault, &status, &telling, &invocation.run)).await?;
    deployment.measure(Scope::default(), &[("AlertFailed", Unit::Count, heard.lost() as f64)]);
    let limit_s = deployment.backup_age_limit().as_secs();
    let databases = status.databases.into_iter().map(|health| watched(health, limit_s)).collect::<Vec<_>>();
    databases.iter().for_each(|watched| measure(deployment, watched));
    Ok(Answer { state: status.state, databases, told: heard.told })
}

/// As configured, with the stack's own limit where nothing else is said.
fn policy(deployment: &Deployment, name: &DatabaseName) -> HealthPolicy {
    let configured = deployment.config.health_policy(name);
    if deployment.config.watch.backup_age.is_some() {
        return configured;
    }
    let limit = deployment.backup_age_limit();
    HealthPolicy { backup_age: Limits { warning: limit, critical: limit * 2 }, ..configured }
}

fn watched(health: DatabaseHealth, limit_s: u64) -> Watched {
    let DatabaseHealth { database, state, measures, findings } = health;
    Watched {
        database,
        state,
        last_backup_at: measures.backup_at,
        last_verified_at: measures.verified_at,
        last_backup_age_s: measures.backup_age_s,
        last_verified_age_s: measures.verified_age_s,
        late: measures.backup_age_s > limit_s,
        success_rate: measures.success_rate,
        findings,
    }
}

fn measure(deployment: &Deployment, watched: &Watched) {
    for finding in &watched.findings {
        tracing::warn!(
            database = watched.database.as_str(),
            rule = finding.rule.as_str(),
            severity = finding.severity.as_str(),
            problem = finding.problem,
            "found"
        );
    }
    let ages = [
        ("LastBackupAge", Unit::Seconds, watched.last_backup_age_s as f64),
        ("LastVerifiedAge", Unit::Seconds, watched.last_verified_age_s as f64),
    ];
    let success = watched.success_rate.map(|rate| ("SuccessRate", Unit::Percent, rate * 100.0));
    let metrics: Vec<Metric> = ages.into_iter().chain(success).collect();
    deployment.measure(Scope { database: Some(&watched.database), tier: None }, &metrics);
}
