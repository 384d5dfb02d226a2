//! Restores a backup. Into a new database at once; where a database exists already, the first call answers with the plan
//! and a token, and the second, with the token, carries it out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lifeboat::model::{DatabaseName, Operation};
use lifeboat::ops::RestoreReport;
use lifeboat::ops::audit::{Intent, audited};
use lifeboat::ops::restore::confirmation::{Confirmation, issue, redeem};
use lifeboat::ops::restore::{Action, RestoreOptions, RestorePlan, plan, restore};
use lifeboat::ops::thaw::{DEFAULT_DAYS, ThawRequest};
use lifeboat::{Error, Result};
use lifeboat_functions::{Deployment, Invocation, serve};
use serde::{Deserialize, Serialize};

/// `docs/events/restore.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    id: String,
    database: Option<DatabaseName>,
    into: Option<String>,
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default)]
    schema_only: bool,
    #[serde(default)]
    data_only: bool,
    into_schema: Option<String>,
    #[serde(default)]
    clean: bool,
    #[serde(default = "yes")]
    safety_backup: bool,
    #[serde(default)]
    no_owner: bool,
    #[serde(default)]
    no_acl: bool,
    #[serde(default)]
    role_map: BTreeMap<String, String>,
    #[serde(default)]
    skip_damaged: bool,
    jobs: Option<usize>,
    /// Have frozen rows thawed at this speed.
    thaw: Option<String>,
    /// How long they can be read then.
    #[serde(default = "default_days")]
    thaw_days: u32,
    /// Only plan.
    #[serde(default)]
    dry_run: bool,
    /// That of the plan, where it changes a database that exists.
    token: Option<String>,
}

fn yes() -> bool {
    true
}

fn default_days() -> u32 {
    DEFAULT_DAYS
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Planned { plan: Box<RestorePlan>, token: Option<String>, expires_at: Option<Timestamp> },
    Restored(RestoreReport),
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "restore", run).await
}

async fn run(deployment: &Deployment, input: Input, invocation: &Invocation) -> Result<Answer> {
    let vault = deployment.vault().await?;
    let (database, id) = deployment.find_backup(&vault, input.database.as_ref(), &input.id).await?;
    invocation.is_about(&database.name, Some(&id));
    let server = deployment.restore_server(&database.name).await?;
    let (dry_run, token) = (input.dry_run, input.token.clone());
    let options = options(input, deployment, &database.name)?;
    let plan = plan(&database, &id, &server, &options, &invocation.run).await?;
    let needs_token = needs_token(&plan);
    if dry_run || (needs_token && token.is_none()) {
        let given = if needs_token { Some(issue(&database, &plan, vault.now().await?)) } else { None };
        let (token, expires_at) = given.map(|Confirmation { token, expires_at }| (token, expires_at)).unzip();
        return Ok(Answer::Planned { plan: Box::new(plan), token, expires_at });
    }
    if let Some(token) = token.filter(|_| needs_token) {
        redeem(&database, &plan, &token, &invocation.run.actor, vault.now().await?).await?;
        tracing::warn!(into = plan.target, "confirmed: changes a database that exists");
    }
    let intent = Intent::to(Operation::Restore).database(&database.name).backup(&id).target(&plan.target);
    let restoring = restore(&database, &plan, true, &invocation.run);
    let report = audited(&vault, &invocation.run, intent, restoring).await?;
    tracing::info!(into = report.target, rows = report.rows, duration_ms = report.duration_ms, "restored");
    if report.proof.ok {
        return Ok(Answer::Restored(report));
    }
    let different: Vec<String> = report.proof.tables_different.iter().take(8).map(ToString::to_string).collect();
    Err(Error::verification(format!(
        "restored, but tables of {} are not whole: {}",
        report.target,
        different.join(", ")
    )))
}

/// Whatever changes a database that somebody has. Who goes on where a restore stopped was asked when it began.
fn needs_token(plan: &RestorePlan) -> bool {
    plan.needs_confirmation || matches!(plan.action, Action::Fill | Action::Add)
}

fn options(input: Input, deployment: &Deployment, database: &DatabaseName) -> Result<RestoreOptions> {
    let configured_jobs = deployment.config.databases.get(database).and_then(|configured| configured.jobs);
    let defaults = RestoreOptions::default();
    let thaw = input.thaw.map(|tier| ThawRequest::new(tier.parse()?, input.thaw_days)).transpose()?;
    Ok(RestoreOptions {
        into: input.into,
        tables: input.tables,
        schema_only: input.schema_only,
        data_only: input.data_only,
        into_schema: input.into_schema,
        clean: input.clean,
        no_owner: input.no_owner,
        no_acl: input.no_acl,
        role_map: input.role_map,
        safety_backup: input.safety_backup,
        pg_dump: deployment.config.pg_dump.clone(),
        skip_damaged: input.skip_damaged,
        jobs: input.jobs.or(configured_jobs).unwrap_or(defaults.jobs),
        thaw,
        prices: deployment.config.prices.clone(),
    })
}
