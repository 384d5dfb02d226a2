//! Proves a backup: the one that S3 says was published just now, one that somebody names, or one picked at random.

use std::sync::Arc;

use aws_lambda_events::s3::S3Event;
use lifeboat::model::{BackupId, DatabaseName, Depth, Tier};
use lifeboat::notify::Severity;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{ListFilter, VerifyReport, list};
use lifeboat::vault::{DatabaseVault, Vault};
use lifeboat::{Error, ErrorKind, Result};
use lifeboat_functions::manifest_key::{decoded, published};
use lifeboat_functions::{Deployment, Invocation, Scope, Unit, ValidationDepth, serve, understood};
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Plaintext of which a full verification fits well into an invocation of the smallest size.
const FULL_UP_TO_BYTES: u64 = 5_000_000_000;

/// `docs/events/validate.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default = "latest")]
    id: String,
    database: Option<DatabaseName>,
    #[serde(default = "full")]
    depth: Depth,
    /// In the place of `id`.
    pick: Option<Pick>,
    /// Among whose backups to pick.
    tier: Option<Tier>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pick {
    Random,
}

fn latest() -> String {
    "latest".to_owned()
}

fn full() -> Depth {
    Depth::Full
}

/// EventBridge's form of S3's notification: what of it matters here.
#[derive(Debug, Deserialize)]
struct Forwarded {
    detail: Detail,
}

#[derive(Debug, Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    key: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    verified: Vec<VerifyReport>,
    /// Keys of objects that are no manifest of ours, and backups that are gone.
    ignored: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "verification", run).await
}

async fn run(deployment: &Deployment, event: Value, invocation: &Invocation) -> Result<Answer> {
    let keys = if event.get("Records").is_some() {
        keys_of_notification(event)?
    } else if event.get("source").is_some_and(|source| source == "aws.s3") {
        let Forwarded { detail } = understood(event)?;
        vec![(detail.bucket.name, detail.object.key)]
    } else {
        return asked_for(deployment, understood(event)?, invocation).await;
    };
    published_now(deployment, keys, invocation).await
}

/// `(bucket, key)` of each object that was created. What S3 sends to test the connection, and news of other kinds, has none.
fn keys_of_notification(event: Value) -> Result<Vec<(String, String)>> {
    let S3Event { records, .. } = understood(event)?;
    let created = records.into_iter().filter(|record| {
        let name = record.event_name.as_deref().unwrap_or_default();
        name.trim_start_matches("s3:").starts_with("ObjectCreated:")
    });
    let place = |record: aws_lambda_events::s3::S3EventRecord| {
        let spelled = record.s3.object.key.unwrap_or_default();
        (record.s3.bucket.name.unwrap_or_default(), decoded(&spelled).unwrap_or(spelled))
    };
    Ok(created.map(place).collect())
}

/// Each is verified whatever becomes of the others; then those that failed are told.
async fn published_now(
    deployment: &Deployment,
    keys: Vec<(String, String)>,
    invocation: &Invocation,
) -> Result<Answer> {
    let (bucket, prefix) =
        deployment.place().ok_or_else(|| Error::configuration("the vault is not in S3, so S3 tells nothing of it"))?;
    let mut answer = Answer { verified: Vec::new(), ignored: Vec::new() };
    let mut failures = Vec::new();
    for (of, key) in keys {
        let backup = (of == bucket).then(|| published(&key, &prefix)).flatten();
        let Some((database, id)) = backup else {
            tracing::info!(bucket = of, key, "ignored: not the manifest of a backup in this vault");
            answer.ignored.push(key);
            continue;
        };
        match newly_published(deployment, &database, &id, invocation).await {
            Ok(report) => answer.verified.push(report),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::warn!(key, "ignored: that backup is gone");
                answer.ignored.push(key);
            }
            Err(error) => failures.push(error.context(&id)),
        }
    }
    match (failures.pop(), failures.as_slice()) {
        (None, _) => Ok(answer),
        (Some(only), []) => Err(only),
        (Some(last), others) => Err(others.iter().rev().fold(last, |error, other| error.context(other))),
    }
}

async fn newly_published(
    deployment: &Deployment,
    database: &DatabaseName,
    id: &BackupId,
    invocation: &Invocation,
) -> Result<VerifyReport> {
    let database = deployment.vault().await?.database(database).await?;
    let depth = match deployment.validation_depth() {
        ValidationDepth::Quick => Depth::Quick,
        ValidationDepth::Full => Depth::Full,
        ValidationDepth::Auto => match database.manifest(id).await {
            Ok(manifest) if manifest.totals.plaintext_bytes > FULL_UP_TO_BYTES => Depth::Quick,
            Ok(_) => Depth::Full,
            // The verification says what is wrong with it.
            Err(error) if error.kind() == ErrorKind::Verification => Depth::Quick,
            Err(error) => return Err(error),
        },
    };
    match proven_before(&database, id, depth).await? {
        Some(report) => {
            tracing::info!(backup = id.as_str(), "proven already: this event was delivered before");
            Ok(report)
        }
        None => prove(deployment, &database, id, depth, invocation).await,
    }
}

/// What the last verdict said, if it was good and at least as deep.
async fn proven_before(database: &DatabaseVault, id: &BackupId, depth: Depth) -> Result<Option<VerifyReport>> {
    let last = match database.verdicts(id).await {
        Ok(verdicts) => verdicts.into_iter().next_back(),
        // It is about to get a new one.
        Err(error) if error.kind() == ErrorKind::Verification => None,
        Err(error) => return Err(error),
    };
    Ok(last.filter(|last| last.ok && last.depth >= depth).map(|last| VerifyReport {
        id: last.backup,
        depth: last.depth,
        ok: last.ok,
        at: last.at,
        duration_ms: last.duration_ms,
        findings: last.findings,
    }))
}

async fn asked_for(deployment: &Deployment, input: Input, invocation: &Invocation) -> Result<Answer> {
    let vault = deployment.vault().await?;
    let chosen = match input.pick {
        Some(Pick::Random) => picked(&vault, &input).await?,
        None => Some(deployment.find_backup(&vault, input.database.as_ref(), &input.id).await?),
    };
    let Some((database, id)) = chosen else {
        tracing::warn!(tier = input.tier.as_ref().map(Tier::as_str), "there is no such backup yet");
        return Ok(Answer { verified: Vec::new(), ignored: Vec::new() });
    };
    let report = prove(deployment, &database, &id, input.depth, invocation).await?;
    Ok(Answer { verified: vec![report], ignored: Vec::new() })
}

async fn picked(vault: &Arc<Vault>, input: &Input) -> Result<Option<(DatabaseVault, BackupId)>> {
    let filter = ListFilter { tier: input.tier.clone(), ..ListFilter::default() };
    let listing = list(vault, input.database.as_ref(), &filter).await?;
    match listing.backups.choose(&mut rand::rng()) {
        Some(backup) => Ok(Some((vault.database(&backup.database).await?, backup.id.clone()))),
        None => Ok(None),
    }
}

async fn prove(
    deployment: &Deployment,
    database: &DatabaseVault,
    id: &BackupId,
    depth: Depth,
    invocation: &Invocation,
) -> Result<VerifyReport> {
    invocation.is_about(&database.name, Some(id));
    let scratch = deployment.scratch_server(depth).await?;
    let report = verify(database, id, depth, scratch.as_ref(), &invocation.run).await?;
    let scope = Scope { database: Some(&database.name), tier: None };
    deployment.measure(scope, &[("VerificationFailed", Unit::Count, if report.ok { 0.0 } else { 1.0 })]);
    if report.ok {
        tracing::info!(depth = depth.as_str(), duration_ms = report.duration_ms, "verified");
        let title = format!("backup {id} of {} is proven", database.name);
        let text = format!("Verified at depth {depth} in {} ms: nothing was found wrong.", report.duration_ms);
        let alert = invocation.alert(deployment, "verified", Severity::Info, title, text);
        deployment.tell_success(&alert).await;
        return Ok(report);
    }
    let found = report.findings.iter().take(5).map(|finding| format!("{}: {}", finding.object, finding.problem));
    let found: Vec<String> = found.collect();
    Err(Error::verification(format!(
        "backup {id} of {} did not pass: {} findings, first {}",
        database.name,
        report.findings.len(),
        found.join("; ")
    ))
    .hint(
        "an older version of the damaged objects, if the bucket keeps versions, or a copy of the vault may still be good; the \
         next backup uploads again what is damaged",
    ))
}
