//! Proves a backup: the one that S3 says was published just now, one that somebody names, or one picked at random.

mod drills;
mod event;

use std::sync::Arc;

use lifeboat::model::{BackupId, DatabaseName, Depth, Operation, Tier};
use lifeboat::notify::Severity;
use lifeboat::ops::audit::{Intent, audited};
use lifeboat::ops::drill::pick_backup;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{ListFilter, VerifyReport, list, thaw};
use lifeboat::vault::{DatabaseVault, KeptDrill, Vault};
use lifeboat::{Error, ErrorKind, Result};
use lifeboat_functions::manifest_key::published;
use lifeboat_functions::{Deployment, Invocation, Scope, Unit, ValidationDepth, serve};
use rand::seq::SliceRandom;
use serde::Serialize;
use serde_json::Value;

use crate::event::{Event, Object, Pick, Request};

/// Plaintext of which a full verification fits well into an invocation of the smallest size.
const FULL_UP_TO_BYTES: u64 = 5_000_000_000;

#[derive(Debug, Serialize)]
struct Answer {
    verified: Vec<VerifyReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drilled: Vec<KeptDrill>,
    /// Keys of objects that are no manifest of ours, and backups that are gone.
    ignored: Vec<String>,
}

impl Answer {
    fn nothing() -> Self {
        Self { verified: Vec::new(), drilled: Vec::new(), ignored: Vec::new() }
    }
}

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(env!("CARGO_BIN_NAME"), "verification", run).await
}

async fn run(deployment: &Deployment, event: Value, invocation: &Invocation) -> Result<Answer> {
    match Event::read(event)? {
        Event::Created(objects) => published_now(deployment, objects, invocation).await,
        Event::Request(request) if request.drill || request.each_tier => {
            drills::run(deployment, request, invocation).await
        }
        Event::Request(request) => asked_for(deployment, request, invocation).await,
    }
}

/// Each is verified whatever becomes of the others; then those that failed are told.
async fn published_now(deployment: &Deployment, objects: Vec<Object>, invocation: &Invocation) -> Result<Answer> {
    let (bucket, prefix) =
        deployment.place().ok_or_else(|| Error::configuration("the vault is not in S3, so S3 tells nothing of it"))?;
    let mut answer = Answer::nothing();
    let mut failures = Vec::new();
    for Object { bucket: of, key } in objects {
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
    Ok(last.filter(|last| last.ok && last.depth >= depth).map(VerifyReport::from))
}

async fn asked_for(deployment: &Deployment, request: Request, invocation: &Invocation) -> Result<Answer> {
    let vault = deployment.vault().await?;
    let Some((database, id)) = chosen(deployment, &vault, &request).await? else { return Ok(Answer::nothing()) };
    let report = prove(deployment, &database, &id, request.depth, invocation).await?;
    Ok(Answer { verified: vec![report], ..Answer::nothing() })
}

/// The backup that is named, or one picked at random, if there is one yet.
async fn chosen(
    deployment: &Deployment,
    vault: &Arc<Vault>,
    request: &Request,
) -> Result<Option<(DatabaseVault, BackupId)>> {
    let chosen = match request.pick {
        Some(Pick::Random) if request.drill => {
            pick_backup(vault, request.database.as_ref(), request.tier.as_ref()).await?
        }
        Some(Pick::Random) => picked(vault, request).await?,
        None => Some(deployment.find_backup(vault, request.database.as_ref(), &request.id).await?),
    };
    if chosen.is_none() {
        tracing::warn!(tier = request.tier.as_ref().map(Tier::as_str), "there is no such backup yet");
    }
    Ok(chosen)
}

async fn picked(vault: &Arc<Vault>, request: &Request) -> Result<Option<(DatabaseVault, BackupId)>> {
    let filter = ListFilter { tier: request.tier.clone(), ..ListFilter::default() };
    let mut backups = list(vault, request.database.as_ref(), &filter).await?.backups;
    backups.shuffle(&mut rand::rng());
    for backup in backups {
        let database = vault.database(&backup.database).await?;
        if request.depth == Depth::Quick || thaw::can_be_read(&database, &backup).await? {
            return Ok(Some((database, backup.id)));
        }
        tracing::info!(backup = backup.id.as_str(), "not picked: its rows are frozen");
    }
    Ok(None)
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
    let intent = Intent::to(Operation::Verify).database(&database.name).backup(id);
    let verifying = verify(database, id, depth, scratch.as_ref(), &invocation.run);
    let report = audited(&database.vault, &invocation.run, intent, verifying).await?;
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
