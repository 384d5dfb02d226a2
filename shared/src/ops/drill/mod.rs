//! A drill: a backup is restored on another server, proven, looked at and dropped again, as on the day that it matters; with a
//! report of what it took. The verification that is part of it leaves its verdict, too.

mod page;
mod visit;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::list::{ListFilter, list};
use super::verify::{rehearse, verify};
use super::{BackupSummary, Run, thaw};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    BackupId, CheckOutcome, DatabaseName, Depth, DisasterPlan, Drill, Look, Manifest, Storage, Targets, Tier,
};
use crate::plan::drill::{Candidate, judge, loss_ms, pick, tiers};
use crate::postgres::Connector;
use crate::vault::{DatabaseVault, KeptDrill, Vault};
pub use page::{html, markdown};
use visit::Visit;

const LOOKS_AT_ONCE: usize = 16;

/// How to drill.
#[derive(Debug, Clone, Default)]
pub struct DrillOptions {
    pub targets: Targets,
    pub plan: DisasterPlan,
    pub assertions: Vec<Assertion>,
    /// What may be wrong with the restored database, as it is with the source.
    pub tolerated: BTreeSet<Look>,
    /// Whether the server may be the one that was backed up.
    pub may_use_source: bool,
}

/// What must be true of the restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    pub name: String,
    /// One statement that gives one boolean.
    pub sql: String,
}

/// A backup picked at random, of the tier or of any; `None` where there is none that could be restored now.
///
/// Errors: `Vault`, `NotFound` for no such database.
pub async fn pick_backup(
    vault: &Arc<Vault>,
    database: Option<&DatabaseName>,
    tier: Option<&Tier>,
) -> Result<Option<(DatabaseVault, BackupId)>> {
    let candidates = candidates(vault, database, tier).await?;
    let Some(picked) = pick(&candidates, tier, &mut rand::rng()) else { return Ok(None) };
    Ok(Some((vault.database(&picked.database).await?, picked.id.clone())))
}

/// One picked at random of each tier that has any.
pub async fn pick_of_each_tier(vault: &Arc<Vault>, database: &DatabaseName) -> Result<Vec<BackupId>> {
    let candidates = candidates(vault, Some(database), None).await?;
    let mut dice = rand::rng();
    let picked = tiers(&candidates).into_iter().filter_map(|tier| pick(&candidates, Some(&tier), &mut dice));
    Ok(picked.map(|picked| picked.id.clone()).collect())
}

async fn candidates(
    vault: &Arc<Vault>,
    database: Option<&DatabaseName>,
    tier: Option<&Tier>,
) -> Result<Vec<Candidate>> {
    let filter = ListFilter { tier: tier.cloned(), ..ListFilter::default() };
    let look = async |backup: BackupSummary| {
        let is_readable = match backup.storage {
            Storage::Pool => true,
            Storage::Archive => thaw::can_be_read(&vault.database(&backup.database).await?, &backup).await?,
        };
        Ok(candidate(backup, is_readable))
    };
    let backups = list(vault, database, &filter).await?.backups;
    stream::iter(backups).map(look).buffered(LOOKS_AT_ONCE).try_collect().await
}

fn candidate(backup: BackupSummary, is_readable: bool) -> Candidate {
    let BackupSummary { id, database, tier, purpose, created_at: at, verified, .. } = backup;
    Candidate { id, database, tier, purpose, at, verified: verified.map(|verified| verified.ok), is_readable }
}

/// Drills one backup on `server` and keeps the report, also of a drill that came to nothing because a server or the vault
/// failed on the way; the error is then passed on.
///
/// Errors: `Preflight` for the server that was backed up, unless it may be used; `Confirmation` while the rows are frozen;
/// `NotFound`; `Verification` when the manifest itself is damaged. Damage behind it is a report that is not `ok`.
pub async fn drill(
    database: &DatabaseVault,
    id: &BackupId,
    server: &Connector,
    options: &DrillOptions,
    run: &Run,
) -> Result<KeptDrill> {
    let manifest = match database.manifest(id).await {
        Err(error) if error.kind() == ErrorKind::Verification => {
            verify(database, id, Depth::Quick, None, run).await?;
            return Err(error);
        }
        manifest => manifest?,
    };
    require_another_server(&manifest, server, options)?;
    let mut visit = Visit::new(options, run);
    let rehearsed = rehearse(database, id, server, run, &mut visit).await;
    let seen = &mut visit.seen;
    let error = match rehearsed {
        Ok(report) => {
            let problems = report.findings.iter().map(|finding| format!("{}: {}", finding.object, finding.problem));
            seen.failure = (!report.ok).then(|| problems.collect::<Vec<_>>().join("; "));
            None
        }
        Err(error) if is_no_drill(&error) => return Err(error),
        Err(error) => {
            seen.failure = Some(error.message());
            Some(error)
        }
    };
    let kept = keep(database, &manifest, server, options, visit, run).await;
    match error {
        None => kept,
        Some(error) => {
            if let Err(unkept) = kept {
                tracing::warn!(error = %unkept, "the report of the drill could not be kept");
            }
            Err(error)
        }
    }
}

/// Nothing was tried that says anything about a restore.
fn is_no_drill(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Usage | ErrorKind::Configuration | ErrorKind::Confirmation | ErrorKind::NotFound)
}

/// On the day that it matters the source is gone, and until then it has better things to do.
fn require_another_server(manifest: &Manifest, server: &Connector, options: &DrillOptions) -> Result<()> {
    let is_source = server.identity().system_identifier.to_string() == manifest.cluster.system_identifier;
    if options.may_use_source || !is_source {
        return Ok(());
    }
    Err(Error::preflight(format!(
        "the drill would run on the server that {} was backed up from (or on a copy of it: the system identifier is the same)",
        manifest.database
    ))
    .hint("name another server (drill.server, --server), or allow it: allow_source = true in [drill], or --allow-source"))
}

async fn keep(
    database: &DatabaseVault,
    manifest: &Manifest,
    server: &Connector,
    options: &DrillOptions,
    visit: Visit<'_>,
    run: &Run,
) -> Result<KeptDrill> {
    let at = database.vault.now().await?;
    let mut seen = visit.seen;
    let backups = list(&database.vault, Some(&database.name), &ListFilter::default()).await?.backups;
    // Whether they can be read now says nothing about what would be lost.
    let all: Vec<Candidate> = backups.into_iter().map(|backup| candidate(backup, true)).collect();
    seen.loss_ms = loss_ms(&all, at);
    let checks = judge(&seen, options.targets, &options.tolerated);
    let identity = server.identity();
    let drill = Drill {
        vault: database.vault.id(),
        database: database.name.clone(),
        backup: manifest.id.clone(),
        tier: manifest.tier.clone(),
        at,
        by: run.actor.clone(),
        ok: checks.iter().all(|check| matches!(check.outcome, CheckOutcome::Passed | CheckOutcome::Tolerated)),
        server: format!("{}, PostgreSQL {}", server.endpoint().host, identity.server_version),
        source_version: manifest.cluster.version_text.clone(),
        snapshot_at: manifest.snapshot.taken_at,
        tables: manifest.totals.tables,
        rows: manifest.totals.rows,
        plaintext_bytes: manifest.totals.plaintext_bytes,
        steps: visit.steps,
        restore_ms: seen.restore_ms,
        loss_ms: seen.loss_ms,
        targets: options.targets,
        checks,
        plan: options.plan.clone(),
        lifeboat: env!("CARGO_PKG_VERSION").to_owned(),
    };
    database.keep_drill(drill).await
}
