//! The claim on a job: who works on it, until when, and under which backup id.
//!
//! A job may be asked for twice (schedules deliver at least once) and its worker may die or hang. Claims are numbered and
//! create-only: of two that want the next number one wins. Every claim of a job carries the backup id that the first one
//! drew, so a worker that was given up for dead and its successor race for one manifest key, and one of them wins. Only
//! when that backup was published and withdrawn again does the next claim draw another.
//!
//! Whoever is started again under the same name, as Lambda does with the request that failed, is not another: its own claim
//! from before does not stand in its way.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Claim, JobResult, Tier};
use crate::store::{self, Put};
use crate::vault::DatabaseVault;

/// Who asks for a job.
pub struct Claimant<'a> {
    pub name: &'a str,
    /// Nobody else works under this name at the same time: an unfinished claim of this name is one whose worker died.
    pub is_alone: bool,
}

/// What asking for a job gives.
pub enum Claimed {
    /// It is ours until the claim's deadline.
    Ours(Box<Claim>),
    /// It was done already, as this backup.
    Done(BackupId),
}

/// Claims `job`, or finds that it is done.
///
/// Errors: `Conflict` when somebody else works on it and its deadline has not come.
pub async fn claim(
    database: &DatabaseVault,
    job: &str,
    tier: &Tier,
    by: &Claimant<'_>,
    now: Timestamp,
    deadline: Option<Timestamp>,
) -> Result<Claimed> {
    let limit = database.job_limit(now);
    let mut claim = Claim {
        vault: database.vault.id(),
        database: database.name.clone(),
        job: job.to_owned(),
        number: 1,
        attempt: hex::encode(rand::rng().random::<[u8; 8]>()),
        operation: "backup".to_owned(),
        backup: BackupId::new(now, tier),
        by: by.name.to_owned(),
        at: now,
        deadline: deadline.map_or(limit, |wanted| wanted.min(limit)),
    };
    if let Some(last) = newest(database, job).await? {
        let state = state_of(database, &last.backup).await?;
        if state == State::Done {
            return Ok(Claimed::Done(last.backup));
        }
        let is_own = by.is_alone && last.by == by.name;
        if state == State::Open && last.deadline > now && !is_own {
            return Err(Error::conflict(format!(
                "job {job} is being worked on by {} until {}",
                last.by, last.deadline
            ))
            .hint("wait for it, or until then: a job whose worker died is taken over after its deadline"));
        }
        claim.number = last.number + 1;
        if state == State::Open {
            claim.backup = last.backup;
        }
    }
    let key = database.layout.claim(job, claim.number);
    match database.write_record("claim", &key, &claim).await? {
        Put::Created => Ok(Claimed::Ours(Box::new(claim))),
        Put::Exists => Err(Error::conflict(format!("job {job} was claimed by somebody else just now"))
            .hint("wait for that one: asking again gives its backup")),
    }
}

/// The vault's time now, in a later second than every backup that is there: ids tell seconds apart only, and of two backups
/// made one after the other the second must be `latest`.
pub async fn moment_after_all_others(database: &DatabaseVault) -> Result<Timestamp> {
    let newest = database.published().await?.into_iter().next();
    loop {
        let now = database.vault.now().await?;
        match &newest {
            Some(newest) if newest.time().as_second() == now.as_second() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            _ => return Ok(now),
        }
    }
}

/// The claim of whoever works on the job at this moment, as far as the vault knows.
pub async fn underway(database: &DatabaseVault, job: &str, now: Timestamp) -> Result<Option<Claim>> {
    let Some(last) = newest(database, job).await?.filter(|last| last.deadline > now) else { return Ok(None) };
    Ok((state_of(database, &last.backup).await? == State::Open).then_some(last))
}

async fn newest(database: &DatabaseVault, job: &str) -> Result<Option<Claim>> {
    let prefix = database.layout.job(job);
    let objects = store::list_all(database.store(), &prefix).await?;
    let number = |key: &str| key.strip_prefix(&prefix)?.strip_prefix("claim-")?.strip_suffix(".json")?.parse().ok();
    let newest = objects.into_iter().filter_map(|o| Some((number(&o.key)?, o.key))).max_by_key(|(n, _): &(u32, _)| *n);
    match newest {
        Some((_, key)) => database.read_record("claim", &key).await.map(Some),
        None => Ok(None),
    }
}

/// What became of the backup that a job's claims name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Done,
    /// Published too late, or deleted: its name is used up, and asking again means another backup.
    Withdrawn,
}

async fn state_of(database: &DatabaseVault, backup: &BackupId) -> Result<State> {
    match database.store().head(&database.layout.manifest(backup)).await {
        Ok(_) if database.tombstoned().await?.contains(backup) => Ok(State::Withdrawn),
        Ok(_) => Ok(State::Done),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::Open),
        Err(error) => Err(error),
    }
}

/// Notes that the job is done. For people and reports: what counts is the manifest.
pub async fn finish(database: &DatabaseVault, claim: &Claim, at: Timestamp) -> Result<()> {
    let result = JobResult {
        vault: claim.vault,
        database: claim.database.clone(),
        job: claim.job.clone(),
        backup: claim.backup.clone(),
        at,
        facts: Default::default(),
    };
    database.write_record("result", &database.layout.job_result(&claim.job), &result).await.map(drop)
}

/// A job id for somebody who asks once: never the same twice.
pub fn unique_job(tier: &Tier, now: Timestamp) -> String {
    let random = hex::encode(rand::rng().random::<[u8; 6]>());
    format!("backup-{tier}-{}-{random}", now.as_second())
}

/// Whether a claim still has time to publish, by the store's clock.
pub fn require_time_left(claim: &Claim, now: Timestamp) -> Result<()> {
    if now < claim.deadline {
        return Ok(());
    }
    let late = now - claim.deadline;
    Err(Error::out_of_time(format!("the backup was ready {late:#} after its deadline, and is not published"))
        .hint("give it more time (--deadline), more --jobs, or fewer tables"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::fixture::{self, Backup};

    #[tokio::test]
    async fn of_two_backups_made_at_once_the_second_is_the_latest() {
        let (vault, db) = fixture::database("shop").await;
        for _ in 0..4 {
            let now = vault.now().await.unwrap();
            let before = Backup::new(&now.to_string(), "daily").publish(&db).await;
            let next = BackupId::new(moment_after_all_others(&db).await.unwrap(), &before.tier());
            assert!(next > before && next.time() > before.time(), "{next} {before}");
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_backup_whose_clock_was_wrong() {
        let (_vault, db) = fixture::database("shop").await;
        Backup::new("2999-01-01T00:00:00Z", "daily").publish(&db).await;
        assert!(moment_after_all_others(&db).await.unwrap() < "2999-01-01T00:00:00Z".parse().unwrap());
    }
}
