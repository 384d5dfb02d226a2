//! Lets go of backups that no rule wants any more, and deletes for good what had its grace time. The only function that may
//! delete.

use lifeboat::model::{DatabaseName, Operation};
use lifeboat::notify::Severity;
use lifeboat::ops::audit::{Intent, audited};
use lifeboat::ops::cleanup::Confirmed;
use lifeboat::ops::{CleanupReport, cleanup};
use lifeboat::{Error, Result};
use lifeboat_functions::{Deployment, Invocation, Scope, Unit, serve};
use serde::{Deserialize, Serialize};

/// `docs/events/cleanup.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    dry_run: bool,
    /// All of the vault, where none is named.
    database: Option<DatabaseName>,
    /// So many backups of this database may expire, as somebody saw in a dry run.
    confirm_expiring: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Answer {
    databases: Vec<CleanupReport>,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "cleanup", run).await
}

async fn run(deployment: &Deployment, input: Input, invocation: &Invocation) -> Result<Answer> {
    if input.confirm_expiring.is_some() && input.database.is_none() {
        return Err(Error::usage("confirm_expiring is about one database").hint("say which, with \"database\""));
    }
    let vault = deployment.vault().await?;
    let names = match input.database {
        Some(named) => vec![named],
        None => vault.databases().await?,
    };
    let confirmed = input.confirm_expiring.map_or(Confirmed::Nothing, Confirmed::Count);
    let options = deployment.config.cleanup_options(input.dry_run, confirmed);
    let (mut databases, mut failed) = (Vec::new(), None);
    for name in names {
        invocation.is_about(&name, None);
        let cleaning = async { cleanup(&vault.database(&name).await?, &options, &invocation.run).await };
        let cleaned = match options.dry_run {
            true => cleaning.await,
            false => {
                let intent = Intent::to(Operation::Cleanup).database(&name);
                audited(&vault, &invocation.run, intent, cleaning).await
            }
        };
        match cleaned {
            Ok(report) => {
                tell(deployment, invocation, &report).await;
                failed = report.refusal().filter(|_| !report.dry_run).or(failed);
                databases.push(report);
            }
            // The other databases are not to pay for this one.
            Err(error) => {
                let error = error.context(&name);
                tracing::error!(%error, "not cleaned up");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(Answer { databases }),
    }
}

async fn tell(deployment: &Deployment, invocation: &Invocation, report: &CleanupReport) {
    let sweep = &report.sweep;
    tracing::info!(
        kept = report.plan.kept().count(),
        expired = report.plan.expiring().count(),
        deleted = sweep.deleted_backups.len(),
        freed_bytes = sweep.freed_bytes,
        dry_run = report.dry_run,
        "cleaned up"
    );
    if report.dry_run {
        return;
    }
    if let Some(refused) = report.refusal() {
        let title = format!("cleanup of {} waits for a word", report.database);
        let text = format!(
            "{}. See it with {{\"dry_run\": true}}; if it is meant, invoke the function with {{\"database\": \"{}\", \
             \"confirm_expiring\": {}}}",
            refused.message(),
            report.database,
            report.plan.expiring().count()
        );
        let alert = invocation.alert(deployment, "cleanup_refused", Severity::Critical, title, text);
        deployment.tell(&alert).await;
    }
    let scope = Scope { database: Some(&report.database), tier: None };
    deployment.measure(scope, &[("FreedBytes", Unit::Bytes, sweep.freed_bytes as f64)]);
}
