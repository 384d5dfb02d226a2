//! Backs up one database, or starts one invocation of itself for each that is configured.

use std::collections::BTreeMap;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use lifeboat::aws::explain;
use lifeboat::model::{DatabaseName, Operation, Tier};
use lifeboat::ops::audit::{Intent, audited};
use lifeboat::ops::backup::{BackupOptions, backup, underway};
use lifeboat::ops::{BackupReport, BackupSummary};
use lifeboat::vault::Vault;
use lifeboat::{Error, ErrorKind, Result, spell};
use lifeboat_functions::{Deployment, Invocation, Scope, Unit, serve};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const MAX_JOB_CHARS: usize = 64;

/// `docs/events/backup.schema.json`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default = "Tier::manual")]
    tier: Tier,
    /// All that are configured, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<DatabaseName>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tables: Vec<String>,
    /// Go on under this name although another server is behind it now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    adopt: bool,
    /// Names the work, so that asking twice gives one backup: schedules say their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Made(Box<BackupReport>),
    /// Another delivery of the same event is at it.
    Underway {
        database: DatabaseName,
        job: String,
        underway_by: String,
    },
    Started {
        started: Vec<DatabaseName>,
        job: String,
    },
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "backup", run).await
}

async fn run(deployment: &Deployment, input: Input, invocation: &Invocation) -> Result<Answer> {
    let job = job(&input, invocation)?;
    let databases = deployment.databases();
    match (&input.database, databases.as_slice()) {
        (None, []) => {
            Err(Error::configuration("no database is configured").hint("give the stack a database and its secret"))
        }
        (Some(only), _) | (None, [only]) => back_up(deployment, only, &input, &job, invocation).await,
        (None, _) => start_each(deployment, databases, input, invocation).await,
    }
}

/// The same for every delivery of an event.
fn job(input: &Input, invocation: &Invocation) -> Result<String> {
    let asked = input.job.as_ref().unwrap_or(&invocation.request_id);
    if asked.is_empty() || asked.len() > MAX_JOB_CHARS {
        return Err(Error::usage(format!("a job's name has 1 to {MAX_JOB_CHARS} characters")));
    }
    let plain: String = asked.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(format!("backup-{}-{plain}", input.tier))
}

/// One invocation each, so that one that fails stops no other.
async fn start_each(
    deployment: &Deployment,
    databases: Vec<DatabaseName>,
    input: Input,
    invocation: &Invocation,
) -> Result<Answer> {
    let job = input.job.clone().unwrap_or_else(|| invocation.request_id.clone());
    let lambda = deployment.lambda().await;
    let (mut failed, mut reason) = (Vec::new(), None);
    for database in &databases {
        let event = Input { database: Some(database.clone()), job: Some(job.clone()), ..input.clone() };
        let event = serde_json::to_vec(&event).expect("an event is plain values");
        let request = lambda.invoke().function_name(&invocation.function).invocation_type(InvocationType::Event);
        match request.payload(Blob::new(event)).send().await {
            Ok(_) => tracing::info!(database = database.as_str(), job, "started"),
            Err(error) => {
                let right = "grant lambda:InvokeFunction on this function to its own role";
                failed.push(database.as_str());
                reason.get_or_insert_with(|| explain("cannot be started", "Lambda", &error, right));
            }
        }
    }
    // Asking again starts those that were started once more, which finds their job taken or done.
    match reason {
        None => Ok(Answer::Started { started: databases, job }),
        Some(error) => Err(error.context(format!("the backups of {}", failed.join(", ")))),
    }
}

async fn back_up(
    deployment: &Deployment,
    name: &DatabaseName,
    input: &Input,
    job: &str,
    invocation: &Invocation,
) -> Result<Answer> {
    invocation.is_about(name, None);
    let made = make(deployment, name, input, job, invocation).await;
    let scope = Scope { database: Some(name), tier: Some(&input.tier) };
    match &made {
        Ok(Answer::Made(report)) => measure(deployment, scope, &report.backup),
        Ok(_) => {}
        Err(_) => deployment.measure(scope, &[("BackupSucceeded", Unit::Count, 0.0)]),
    }
    made
}

async fn make(
    deployment: &Deployment,
    name: &DatabaseName,
    input: &Input,
    job: &str,
    invocation: &Invocation,
) -> Result<Answer> {
    let (selected, connection) = deployment.database(name)?;
    let vault = deployment.vault_or_new(&invocation.run).await?;
    let source = deployment.connect(&connection).await?;
    let options = BackupOptions {
        tags: input.tags.clone(),
        tables: input.tables.clone(),
        adopt: input.adopt,
        job: Some(job.to_owned()),
        // Lambda repeats a request only when its last attempt is over.
        actor_is_alone: true,
        ..selected.backup_options(input.tier.clone(), &deployment.config)
    };
    let intent = Intent::to(Operation::Backup).database(name).target(job);
    let made = audited(&vault, &invocation.run, intent, backup(&vault, &source, &options, &invocation.run)).await;
    let report = match made {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let other = other_worker(&vault, name, job, &invocation.run.actor).await?.ok_or(error)?;
            tracing::warn!(job, other, "another delivery of this event is being worked on");
            return Ok(Answer::Underway { database: name.clone(), job: job.to_owned(), underway_by: other });
        }
        made => made?,
    };
    let id = &report.backup.id;
    invocation.is_about(name, Some(id));
    tracing::info!(
        rows = report.backup.rows,
        new_bytes = report.backup.new_bytes,
        skipped = report.skipped.len(),
        "backed up"
    );
    let floor = selected.settings.floor;
    if !floor.is_met_by(&report.backup) {
        return Err(Error::verification(format!(
            "the backup {id} was made, but holds {} rows and {}; the floor is {} rows and {}",
            report.backup.rows,
            spell::bytes(report.backup.plaintext_bytes),
            floor.rows,
            spell::bytes(floor.plaintext_bytes)
        ))
        .hint("is this the right database, and is something missing in it? The floor is configured for it"));
    }
    Ok(Answer::Made(Box::new(report)))
}

async fn other_worker(vault: &Arc<Vault>, name: &DatabaseName, job: &str, actor: &str) -> Result<Option<String>> {
    let database = vault.database(name).await?;
    let claim = underway(&database, job, vault.now().await?).await?;
    Ok(claim.map(|claim| claim.by).filter(|by| by != actor))
}

fn measure(deployment: &Deployment, scope: Scope<'_>, backup: &BackupSummary) {
    let metrics = [
        ("BackupSucceeded", Unit::Count, 1.0),
        ("Duration", Unit::Milliseconds, backup.duration_ms as f64),
        ("StoredBytes", Unit::Bytes, backup.stored_bytes as f64),
        ("NewBytes", Unit::Bytes, backup.new_bytes as f64),
        ("Rows", Unit::Count, backup.rows as f64),
        ("RowsPerSecond", Unit::PerSecond, backup.rows as f64 * 1000.0 / backup.duration_ms.max(1) as f64),
        ("DedupRatio", Unit::Ratio, backup.stored_bytes as f64 / backup.new_bytes.max(1) as f64),
    ];
    deployment.measure(scope, &metrics);
}
