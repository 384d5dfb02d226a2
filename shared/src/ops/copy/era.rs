//! The claim of a copy, and what it may rely on.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use crate::error::{ErrorKind, Result};
use crate::model::{BackupId, Claim, EraId};
use crate::ops::Run;
use crate::store::{self, Put};
use crate::vault::DatabaseVault;

/// All copies into a database take their claims in one row: what one left, another may use.
const JOB: &str = "copy";

/// What a copy stands on: until when it may publish, and which names of packs no sweep can have made up its mind about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// After this nothing is published.
    pub deadline: Timestamp,
    pub grace: SignedDuration,
    /// For names of packs that are copied now.
    pub own: EraId,
    /// Eras of copies, this one's included, that began less than the grace time before the deadline.
    pub earlier: HashSet<EraId>,
    /// So did the place as a whole.
    pub is_young: bool,
}

impl Ground {
    /// Whether no sweep takes the object away before the deadline, although nobody names it.
    pub fn covers(&self, era: Option<EraId>, modified: Timestamp) -> bool {
        let is_new_name = era.map_or(self.is_young, |era| self.earlier.contains(&era));
        is_new_name && self.is_within_grace(modified)
    }

    fn is_within_grace(&self, since: Timestamp) -> bool {
        is_within_grace(since, self.grace, self.deadline)
    }
}

/// Whether what is as old as `since` is no older than the grace time at the deadline.
fn is_within_grace(since: Timestamp, grace: SignedDuration, deadline: Timestamp) -> bool {
    since.checked_add(grace).is_ok_and(|end| end >= deadline)
}

/// Takes a claim in the target, or goes on under one that was taken a short time ago.
pub async fn ground(target: &DatabaseVault, backup: &BackupId, run: &Run) -> Result<Ground> {
    let grace = target.grace();
    loop {
        let now = target.vault.now().await?;
        let Claims { last_number, claims } = claims(target, now).await?;
        let claim = match claims.iter().find(|claim| is_fresh(target, claim, now)) {
            Some(claim) => claim.clone(),
            None => {
                let claim = new_claim(target, backup, last_number + 1, now, run);
                // Who loses the number looks again, and shares the winner's.
                match target.write_record("claim", &target.layout.claim(JOB, claim.number), &claim).await? {
                    Put::Created => claim,
                    Put::Exists => continue,
                }
            }
        };
        let deadline = claim.deadline;
        let began_in_time = |claim: &&Claim| is_within_grace(claim.at, grace, deadline);
        let Some(own) = era_of(&claim) else { continue };
        let earlier = claims.iter().filter(began_in_time).filter_map(era_of).chain([own]).collect();
        let is_young = is_within_grace(target.vault.made_at().await?, grace, deadline);
        return Ok(Ground { deadline, grace, own, earlier, is_young });
    }
}

fn new_claim(target: &DatabaseVault, backup: &BackupId, number: u32, now: Timestamp, run: &Run) -> Claim {
    Claim {
        vault: target.vault.id(),
        database: target.name.clone(),
        job: JOB.to_owned(),
        number,
        attempt: EraId::random().to_string(),
        operation: JOB.to_owned(),
        backup: backup.clone(),
        by: run.actor.clone(),
        at: now,
        deadline: target.job_limit(now),
    }
}

/// Whether another copy may go on under it: most of its time is left.
fn is_fresh(target: &DatabaseVault, claim: &Claim, now: Timestamp) -> bool {
    let limit = target.job_limit(claim.at).duration_since(claim.at);
    let age = now.duration_since(claim.at);
    claim.deadline == target.job_limit(claim.at) && !age.is_negative() && age < limit / 4
}

fn era_of(claim: &Claim) -> Option<EraId> {
    claim.attempt.parse().ok()
}

struct Claims {
    last_number: u32,
    /// Those that may still matter, the newest first.
    claims: Vec<Claim>,
}

async fn claims(target: &DatabaseVault, now: Timestamp) -> Result<Claims> {
    let prefix = target.layout.job(JOB);
    let objects = store::list_all(target.store(), &prefix).await?;
    let number = |key: &str| key.strip_prefix(&prefix)?.strip_prefix("claim-")?.strip_suffix(".json")?.parse().ok();
    let mut numbers: Vec<u32> = objects.iter().filter_map(|object| number(&object.key)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let last_number = numbers.first().copied().unwrap_or_default();
    let mut claims = Vec::new();
    for number in numbers {
        let claim: Claim = match target.read_record("claim", &target.layout.claim(JOB, number)).await {
            Ok(claim) => claim,
            // It cannot be relied on, and what was copied under it is copied again.
            Err(error) if error.kind() == ErrorKind::Verification => {
                tracing::warn!(%error, "a claim of an earlier copy is damaged");
                continue;
            }
            Err(error) => return Err(error),
        };
        if !is_within_grace(claim.at, target.grace(), now) {
            break;
        }
        if (claim.operation.as_str(), claim.number) == (JOB, number) && era_of(&claim).is_some() {
            claims.push(claim);
        }
    }
    Ok(Claims { last_number, claims })
}
