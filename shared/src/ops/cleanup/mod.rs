//! Cleanup: what no rule wants goes, with a grace time in which it can be called back.
//!
//! First the plan ([`crate::plan::retention`]), which says of every backup whether it stays and why. What it lets go gets a
//! tombstone, and is no longer listed. Then the [`sweep`], which deletes what had its tombstone long enough, and the packs that
//! nobody needs. Only this module deletes.

pub(super) mod facts;
#[cfg(test)]
mod model;
mod needed;
mod sweep;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::Run;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Cause, DatabaseName, Purpose};
use crate::plan::retention::guard::{self, Limits, Refusal};
use crate::plan::retention::{Decision, Policy, Proof, RetentionPlan, Standing, reconsider, retention_plan};
use crate::vault::{DatabaseVault, Motive};

use facts::Facts;
pub use sweep::{LockedPacks, SweepReport, Waiting};

/// How to clean up.
#[derive(Debug, Clone)]
pub struct CleanupOptions {
    pub policy: Policy,
    /// Where days, weeks, months and years begin.
    pub zone: TimeZone,
    pub limits: Limits,
    /// Only say what would happen.
    pub dry_run: bool,
    pub confirmed: Confirmed,
}

/// What somebody has seen and said yes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirmed {
    #[default]
    Nothing,
    /// That so many backups expire.
    Count(usize),
    Whatever,
}

impl Confirmed {
    fn covers(self, plan: &RetentionPlan) -> bool {
        match self {
            Self::Nothing => false,
            Self::Count(count) => plan.expiring().count() == count,
            Self::Whatever => true,
        }
    }
}

/// What a cleanup of one database did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CleanupReport {
    pub database: DatabaseName,
    pub dry_run: bool,
    #[serde(flatten)]
    pub plan: RetentionPlan,
    /// Why nothing was done: the plan needs to be confirmed.
    pub refused: Option<Refusal>,
    /// What a dry run leaves to do: only what is `waiting` is filled in.
    pub sweep: SweepReport,
}

impl CleanupReport {
    /// The refusal as an error: `Confirmation`.
    pub fn refusal(&self) -> Option<Error> {
        let refused = self.refused.as_ref()?;
        Some(
            Error::confirmation(format!("cleanup of {}: {refused}; nothing was done", self.database))
                .hint(refused.hint()),
        )
    }
}

/// Cleans up one database.
///
/// Errors: `Verification` when any record of the database cannot be believed: then nothing is decided and nothing is deleted.
/// `Vault`. What was done by then is whole, and running it again goes on.
pub async fn cleanup(db: &DatabaseVault, options: &CleanupOptions, run: &Run) -> Result<CleanupReport> {
    let now = db.vault.now().await?;
    let facts = facts::facts(db).await.map_err(nothing_was_deleted)?;
    let plan = retention_plan(&facts.candidates, &options.policy, now, &options.zone);
    let refused = guard::check(&plan, options.limits, options.confirmed.covers(&plan)).err();
    let mut report = CleanupReport {
        database: db.name.clone(),
        dry_run: options.dry_run,
        plan,
        refused,
        sweep: SweepReport::default(),
    };
    if options.dry_run || report.refused.is_some() {
        report.sweep.waiting = waiting(db, &facts);
        return Ok(report);
    }
    for decision in report.plan.expiring() {
        run.check("expiring backups")?;
        expire(db, decision, &run.actor).await?;
    }
    // As if nothing had expired yet, with the time at which the facts were true.
    let reconsidered = reconsider(&facts.candidates, &options.policy, now, &options.zone);
    report.sweep = sweep::sweep(db, &facts, &reconsidered, run).await.map_err(nothing_was_deleted)?;
    let expired = report.plan.expiring().map(|decision| decision.backup.clone());
    let until = now.checked_add(db.grace()).unwrap_or(jiff::Timestamp::MAX);
    report.sweep.waiting.extend(expired.map(|backup| Waiting { backup, until }));
    Ok(report)
}

/// The newest live, complete backup that is verified.
///
/// Errors: as [`cleanup`].
pub async fn newest_verified(db: &DatabaseVault) -> Result<Option<BackupId>> {
    let candidates = facts::facts(db).await?.candidates;
    let verified = candidates.into_iter().filter(|candidate| {
        let proof = Proof::of(&candidate.verdicts, candidate.damaged_since);
        candidate.standing == Standing::Live
            && candidate.purpose == Purpose::Backup
            && matches!(proof, Proof::Verified(_))
    });
    Ok(verified.max_by_key(|candidate| candidate.at).map(|candidate| candidate.id))
}

async fn expire(db: &DatabaseVault, decision: &Decision, actor: &str) -> Result<()> {
    let reason = decision.outcome.to_string();
    db.entomb(&decision.backup, Cause::Retention, Motive { reason: &reason, by: actor }).await.map(drop)
}

fn waiting(db: &DatabaseVault, facts: &Facts) -> Vec<Waiting> {
    let open = facts.tombstones.iter().filter(|tombstone| tombstone.is_open());
    let end = |written: jiff::Timestamp| written.checked_add(db.grace()).unwrap_or(jiff::Timestamp::MAX);
    open.map(|tombstone| Waiting { backup: tombstone.backup.clone(), until: end(tombstone.written_at) }).collect()
}

/// What makes cleanup stop is worth more words than what makes a list incomplete.
fn nothing_was_deleted(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Verification | ErrorKind::NotFound => Error::verification(format!("nothing was deleted: {}", error.message()))
            .hint(
                "a record or a pack list cannot be trusted, so nobody can say what is needed. Put it back from another copy of the \
                 vault or an older version of the object; or, if its backup is lost, `lifeboat delete` that backup by its whole id",
            ),
        _ => error,
    }
}
