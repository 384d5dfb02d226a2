//! How the backups are: gathers what the vault shows of each database, and has it judged by [`crate::plan::health`].
//!
//! Nothing is asked of the databases themselves: the answer is there when they are down, and whoever may only read the vault
//! can get it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Serialize;

use super::cleanup::facts::unless_swept;
use super::holds::read_holds;
use super::list::{ListFilter, Listing, is_damage, list};
use super::report::BackupSummary;
use crate::error::{Error, Result};
use crate::model::{BackupId, Claim, DatabaseName, Manifest, Purpose, TableName};
use crate::plan::health::{
    BackupFacts, BackupProof, DatabaseFacts, DatabaseHealth, EndedHold, HealthPolicy, JobFacts, JobState, State,
    TableChange, WINDOW, health, overall,
};
use crate::store;
use crate::vault::{DatabaseVault, Vault};

const READS_AT_ONCE: usize = 16;

/// As `status --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// When it was looked, by the store's clock.
    pub at: Timestamp,
    pub state: State,
    /// By name.
    pub databases: Vec<DatabaseHealth>,
}

/// Judges the databases of the vault and those that are expected to be in it, or only one. `policy_of` says by which thresholds.
///
/// Errors: `Vault`. What is damaged is a finding.
pub async fn status(
    vault: &Arc<Vault>,
    only: Option<&DatabaseName>,
    expected: &[DatabaseName],
    policy_of: impl Fn(&DatabaseName) -> HealthPolicy,
) -> Result<Status> {
    let now = vault.now().await?;
    let there = vault.databases().await?;
    let mut names: Vec<DatabaseName> = match only {
        Some(name) => vec![name.clone()],
        None => there.iter().chain(expected).cloned().collect(),
    };
    names.sort();
    names.dedup();
    let mut databases = Vec::new();
    for name in names {
        let policy = policy_of(&name);
        let facts = match there.contains(&name) {
            true => facts(vault, &name, &policy, now).await?,
            false if only.is_some() && !expected.contains(&name) => {
                return Err(Error::not_found(format!("the vault has no database {name}, and none is configured")));
            }
            false => nothing_yet(vault, name),
        };
        databases.push(health(&facts, &policy, now));
    }
    Ok(Status { at: now, state: overall(&databases), databases })
}

fn nothing_yet(vault: &Vault, database: DatabaseName) -> DatabaseFacts {
    DatabaseFacts {
        database,
        since: vault.format.created_at,
        backups: Vec::new(),
        last_restored_at: None,
        jobs: Vec::new(),
        tables: Vec::new(),
        stored_bytes: None,
        ended_holds: Vec::new(),
        key_created_at: None,
        damaged: Vec::new(),
    }
}

async fn facts(
    vault: &Arc<Vault>,
    name: &DatabaseName,
    policy: &HealthPolicy,
    now: Timestamp,
) -> Result<DatabaseFacts> {
    let db = match vault.database(name).await {
        Ok(db) => db,
        Err(error) if is_damage(&error) => {
            let damaged = vec![format!("databases/{name}: {}", error.message())];
            return Ok(DatabaseFacts { damaged, ..nothing_yet(vault, name.clone()) });
        }
        Err(error) => return Err(error),
    };
    let Listing { backups, problems } = list(vault, Some(name), &ListFilter::default()).await?;
    let mut damaged: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.object, p.problem)).collect();
    let complete: Vec<BackupSummary> = backups.into_iter().filter(|backup| backup.purpose == Purpose::Backup).collect();
    let manifests = newest_manifests(&db, &complete).await?;
    let tables = match manifests.as_slice() {
        [newest, before] => match table_changes(&db, newest, before).await {
            Err(error) if is_damage(&error) => {
                damaged.push(format!("{}: {}", newest.id, error.message()));
                Vec::new()
            }
            changes => changes?,
        },
        _ => Vec::new(),
    };
    let last_restored_at = match db.last_restored_at().await {
        // The list has told it already.
        Err(error) if is_damage(&error) => None,
        last_restored_at => last_restored_at?,
    };
    Ok(DatabaseFacts {
        database: name.clone(),
        since: vault.format.created_at,
        last_restored_at,
        backups: complete.iter().map(|backup| backup_facts(backup, &manifests)).collect(),
        jobs: jobs(&db, now).await?,
        tables,
        stored_bytes: match policy.quota_bytes {
            Some(_) => Some(stored_bytes(&db).await?),
            None => None,
        },
        ended_holds: ended_holds(&db, now).await?,
        key_created_at: db.current_key_created_at(),
        damaged,
    })
}

/// Of the newest two complete backups. One that was swept since it was listed, or is damaged, is passed over.
async fn newest_manifests(db: &DatabaseVault, complete: &[BackupSummary]) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for backup in complete.iter().take(2) {
        match unless_swept(db, &backup.id, db.manifest(&backup.id).await).await {
            Ok(manifest) => manifests.extend(manifest),
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(manifests)
}

fn backup_facts(backup: &BackupSummary, manifests: &[Manifest]) -> BackupFacts {
    let manifest = manifests.iter().find(|manifest| manifest.id == backup.id);
    BackupFacts {
        id: backup.id.clone(),
        tier: backup.tier.clone(),
        at: backup.created_at,
        duration_ms: backup.duration_ms,
        rows: backup.rows,
        plaintext_bytes: backup.plaintext_bytes,
        proof: match &backup.verified {
            None => BackupProof::Unverified,
            Some(verdict) if verdict.ok => BackupProof::Verified(verdict.depth),
            Some(_) => BackupProof::Failed,
        },
        server_version: manifest.map_or(0, |manifest| manifest.cluster.version),
        pg_dump: manifest.map(|manifest| manifest.tools.pg_dump.clone()).unwrap_or_default(),
        certificate_until: manifest.and_then(|manifest| manifest.certificate_until),
        slots: manifest.map(|manifest| manifest.slots.clone()).unwrap_or_default(),
    }
}

/// Every table that has fewer rows than before, or is gone.
async fn table_changes(db: &DatabaseVault, newest: &Manifest, before: &Manifest) -> Result<Vec<TableChange>> {
    if newest.catalogue == before.catalogue {
        return Ok(Vec::new());
    }
    let (newest, before) = futures::try_join!(db.catalogue(newest), db.catalogue(before))?;
    let now: HashMap<&TableName, u64> = newest.tables.iter().map(|table| (&table.name, table.tally.rows)).collect();
    let change = |name: &TableName, rows_before: u64| {
        let rows_now = now.get(name).copied();
        let is_less = rows_now.is_none_or(|rows| rows < rows_before);
        is_less.then(|| TableChange { table: name.clone(), rows_before, rows_now })
    };
    Ok(before.tables.iter().filter_map(|table| change(&table.name, table.tally.rows)).collect())
}

/// Backup jobs of the window. A listing tells which left a result; of the others the claim says until when they may work.
async fn jobs(db: &DatabaseVault, now: Timestamp) -> Result<Vec<JobFacts>> {
    struct Listed {
        first_at: Timestamp,
        last_claim: String,
        is_done: bool,
    }
    let root = db.layout.jobs();
    let mut jobs: BTreeMap<String, Listed> = BTreeMap::new();
    for object in store::list_all(db.store(), &root).await? {
        let Some((job, record)) = object.key[root.len()..].split_once('/') else { continue };
        let new = || Listed { first_at: object.modified, last_claim: String::new(), is_done: false };
        let listed = jobs.entry(job.to_owned()).or_insert_with(new);
        listed.first_at = listed.first_at.min(object.modified);
        match record {
            "result.json" => listed.is_done = true,
            // Of numbers with as many digits the last in order is the highest.
            _ if (record.len(), record) > (listed.last_claim.len(), &listed.last_claim) => {
                listed.last_claim = record.to_owned();
            }
            _ => {}
        }
    }
    jobs.retain(|_, listed| now.duration_since(listed.first_at) <= WINDOW);
    let judge = async |(job, listed): (String, Listed)| {
        let begun_at = listed.first_at;
        if listed.is_done {
            return Ok(Some(JobFacts { begun_at, state: JobState::Done }));
        }
        match db.read_record::<Claim>("claim", &format!("{root}{job}/{}", listed.last_claim)).await {
            Ok(claim) if claim.operation != "backup" => Ok(None),
            Ok(claim) if claim.deadline > now => Ok(Some(JobFacts { begun_at, state: JobState::Underway })),
            // One that cannot be read has left nothing, either.
            Ok(_) => Ok(Some(JobFacts { begun_at, state: JobState::Lost })),
            Err(error) if is_damage(&error) => Ok(Some(JobFacts { begun_at, state: JobState::Lost })),
            Err(error) => Err(error),
        }
    };
    let judged: Vec<Option<JobFacts>> = stream::iter(jobs).map(judge).buffered(READS_AT_ONCE).try_collect().await?;
    Ok(judged.into_iter().flatten().collect())
}

async fn stored_bytes(db: &DatabaseVault) -> Result<u64> {
    let objects = store::list_all(db.store(), db.layout.root()).await?;
    Ok(objects.iter().map(|object| object.size_bytes).sum())
}

/// Those that ended by themselves; of a backup that is still there.
async fn ended_holds(db: &DatabaseVault, now: Timestamp) -> Result<Vec<EndedHold>> {
    let published: Vec<BackupId> = db.published().await?;
    let found = read_holds(db, &db.layout.all_holds()).await?;
    let ended = found.into_iter().filter_map(|found| {
        let state = found.state.ok().filter(|state| !state.released)?;
        let ended_at = state.hold.until.filter(|until| *until <= now && now.duration_since(*until) <= WINDOW)?;
        (!state.is_of_an_operation() && published.contains(&state.hold.backup)).then(|| EndedHold {
            backup: state.hold.backup.clone(),
            reason: state.hold.reason.clone(),
            ended_at,
        })
    });
    Ok(ended.collect())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::model::{Depth, Hold};
    use crate::ops::fixture::{self, Backup};
    use crate::plan::health::Rule;
    use crate::store::Tries;

    async fn judged(vault: &Arc<Vault>, name: &str) -> DatabaseHealth {
        let name: DatabaseName = name.parse().unwrap();
        let status = status(vault, None, std::slice::from_ref(&name), |_| HealthPolicy::default()).await.unwrap();
        status.databases.into_iter().find(|health| health.database == name).unwrap()
    }

    fn rules(health: &DatabaseHealth) -> Vec<Rule> {
        health.findings.iter().map(|finding| finding.rule).collect()
    }

    fn ago(hours: i64) -> Timestamp {
        Timestamp::now() - SignedDuration::from_hours(hours)
    }

    async fn claim(db: &DatabaseVault, job: &str, operation: &str, deadline: Timestamp) {
        let claim = Claim {
            vault: db.vault.id(),
            database: db.name.clone(),
            job: job.to_owned(),
            number: 1,
            attempt: "1".to_owned(),
            operation: operation.to_owned(),
            backup: "20261121T020000Z-daily-aaaa".parse().unwrap(),
            by: "test".to_owned(),
            at: ago(1),
            deadline,
        };
        db.write_record("claim", &db.layout.claim(job, 1), &claim).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_that_is_expected_and_has_no_backup_is_judged_by_the_age_of_the_vault() {
        let (vault, _) = fixture::database("shop").await;
        assert_eq!(judged(&vault, "crm").await.state, State::Healthy, "the vault is new");
        let name: DatabaseName = "crm".parse().unwrap();
        let unknown = status(&vault, Some(&name), &[], |_| HealthPolicy::default()).await.unwrap_err();
        assert_eq!(unknown.kind(), crate::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_the_vault_shows_is_judged() {
        let (vault, db) = fixture::database("shop").await;
        let old = Backup::new(&ago(30).to_string(), "daily").publish(&db).await;
        let health = judged(&vault, "shop").await;
        assert_eq!(rules(&health), [Rule::BackupAge, Rule::NeverVerified]);
        db.write_verdict(&fixture::verdict(&db, &old, Depth::Restore)).await.unwrap();
        Backup::new(&ago(1).to_string(), "daily").publish(&db).await;
        let health = judged(&vault, "shop").await;
        assert_eq!((rules(&health), health.measures.backups), (vec![Rule::VerifiedAge], 2));
        assert!(health.measures.restored_age_s.is_some_and(|age| age < 60));
        let ended = Hold { until: Some(ago(2)), ..fixture::hold(&db, &old, "h") };
        db.write_record("hold", &db.layout.hold(&old, "h"), &ended).await.unwrap();
        let own = Hold { reason: "being copied to x".to_owned(), ..ended };
        db.write_record("hold", &db.layout.hold(&old, "own"), &own).await.unwrap();
        assert_eq!(rules(&judged(&vault, "shop").await), [Rule::VerifiedAge, Rule::HoldEnded]);
        vault.store.put_new(&db.layout.hold(&old, "x"), "{}".into(), Tries::Many).await.unwrap();
        let health = judged(&vault, "shop").await;
        assert_eq!((health.state, rules(&health)[0]), (State::Critical, Rule::DamagedRecord));
    }

    #[tokio::test]
    async fn a_job_whose_time_is_over_without_a_result_is_lost() {
        let (vault, db) = fixture::database("shop").await;
        Backup::new(&ago(1).to_string(), "daily").publish(&db).await;
        claim(&db, "restoring", "restore", ago(1)).await;
        claim(&db, "working", "backup", Timestamp::now() + SignedDuration::from_hours(1)).await;
        assert_eq!(rules(&judged(&vault, "shop").await), []);
        claim(&db, "killed", "backup", ago(1)).await;
        let health = judged(&vault, "shop").await;
        assert_eq!((rules(&health), health.measures.success_rate), (vec![Rule::JobLost], Some(0.0)));
    }
}
