//! What the plan has to know about every backup. Whatever cannot be read or believed is an error: who decides what is deleted
//! knows all, or decides nothing.

use std::collections::{BTreeMap, HashMap};

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Cause, Fate, Manifest, PackId, Purpose, VerdictSummary};
use crate::ops::holds::{FoundHold, read_holds};
use crate::plan::retention::{Candidate, Proof, Standing, StandingHold};
use crate::vault::{DatabaseVault, FoundTombstone, TombstoneState};

const READS_AT_ONCE: usize = 16;

/// Everything that is known about a database's backups.
pub struct Facts {
    pub candidates: Vec<Candidate>,
    /// Those that are on their way out.
    pub tombstones: Vec<FoundTombstone>,
}

/// Errors: `Verification` for any record that is damaged, forged or in the wrong place; `Vault`.
pub async fn facts(db: &DatabaseVault) -> Result<Facts> {
    let published = db.published().await?;
    let mut tombstones = db.tombstones_of(&published).await?;
    tombstones.retain(FoundTombstone::is_in_force);
    let mut holds = standing_holds(db).await?;
    let mut verdicts = db.verdict_summaries().await?;
    let manifests = manifests(db, &published, &tombstones).await?;
    let damage = damage(db, &verdicts, &manifests).await?;
    let candidate = |id: BackupId| {
        let manifest = manifests.get(&id);
        Candidate {
            tier: id.tier(),
            // Of one that somebody deleted only the name has to be good: so a damaged backup can be got rid of.
            purpose: manifest.map_or(Purpose::Backup, |manifest| manifest.purpose),
            at: manifest.map_or(id.time(), |manifest| manifest.snapshot.taken_at),
            verdicts: verdicts.remove(&id).unwrap_or_default(),
            damaged_since: damage.get(&id).copied(),
            holds: holds.remove(&id).unwrap_or_default(),
            standing: standing(&id, &tombstones),
            id,
        }
    };
    // What had to be read and is not there was swept in the meantime.
    let may_stay = |id: &BackupId| matches!(standing(id, &tombstones), Standing::Live | Standing::Expired);
    let there = published.into_iter().filter(|id| manifests.contains_key(id) || !may_stay(id));
    Ok(Facts { candidates: there.map(candidate).collect(), tombstones: tombstones.clone() })
}

/// `None` when the backup was swept since it was listed: by another cleanup, which is no damage.
pub async fn unless_swept<T>(db: &DatabaseVault, id: &BackupId, read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Verification) => {
            let condemned = TombstoneState::Decided(Fate::Condemned);
            match db.tombstones(id).await?.iter().any(|tombstone| tombstone.state == condemned) {
                true => Ok(None),
                false => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn standing(id: &BackupId, tombstones: &[FoundTombstone]) -> Standing {
    let of_one = |tombstone: &FoundTombstone| match tombstone.state {
        TombstoneState::Decided(Fate::Condemned) => Standing::Condemned,
        TombstoneState::Decided(Fate::Cancelled) => Standing::Live,
        TombstoneState::Open(Cause::Deletion) => Standing::Deleted,
        TombstoneState::Open(Cause::Retention) => Standing::Expired,
    };
    let own = tombstones.iter().filter(|tombstone| tombstone.backup == *id).map(of_one);
    own.max().unwrap_or(Standing::Live)
}

/// Those of the backups that a rule may still want.
async fn manifests(
    db: &DatabaseVault,
    published: &[BackupId],
    tombstones: &[FoundTombstone],
) -> Result<HashMap<BackupId, Manifest>> {
    let may_stay = |id: &&BackupId| matches!(standing(id, tombstones), Standing::Live | Standing::Expired);
    let read = async |id: &BackupId| {
        let manifest = unless_swept(db, id, db.manifest(id).await).await?;
        Ok::<_, Error>(manifest.map(|manifest| (id.clone(), manifest)))
    };
    let read = stream::iter(published.iter().filter(may_stay)).map(read).buffer_unordered(READS_AT_ONCE);
    read.try_filter_map(async |found| Ok(found)).try_collect().await
}

/// The holds that nobody released, by backup. One that cannot be read holds.
async fn standing_holds(db: &DatabaseVault) -> Result<HashMap<BackupId, Vec<StandingHold>>> {
    let mut holds: HashMap<BackupId, Vec<StandingHold>> = HashMap::new();
    for FoundHold { key, backup, state } in read_holds(db, &db.layout.all_holds()).await? {
        let Some(backup) = backup else {
            return Err(Error::verification(format!("{key} is not the name of a hold")));
        };
        let hold = match state {
            Ok(state) if state.released => continue,
            Ok(state) => {
                let hold = state.hold;
                StandingHold { hold: hold.hold, by: hold.by, reason: hold.reason, until: hold.until }
            }
            Err(error) if error.kind().is_transient() => return Err(error),
            Err(error) => {
                StandingHold { hold: key, by: "nobody knows whom".to_owned(), reason: error.message(), until: None }
            }
        };
        holds.entry(backup).or_default().push(hold);
    }
    Ok(holds)
}

/// Since when each backup is known to need a pack that another's failed verification, still unanswered, names.
async fn damage(
    db: &DatabaseVault,
    verdicts: &BTreeMap<BackupId, Vec<VerdictSummary>>,
    manifests: &HashMap<BackupId, Manifest>,
) -> Result<HashMap<BackupId, Timestamp>> {
    let mut packs: HashMap<PackId, Timestamp> = HashMap::new();
    for (id, summaries) in verdicts {
        let Proof::Failed { since } = Proof::of(summaries, None) else { continue };
        let failed = db.verdicts(id).await?.into_iter().filter(|verdict| !verdict.ok);
        for pack in failed.flat_map(|verdict| verdict.findings).filter_map(|finding| finding.pack) {
            let known = packs.entry(pack).or_insert(since);
            *known = since.min(*known);
        }
    }
    if packs.is_empty() {
        return Ok(HashMap::new());
    }
    let needs = async |(id, manifest): (&BackupId, &Manifest)| {
        let Some(list) = unless_swept(db, id, db.pack_list(manifest).await).await? else { return Ok(None) };
        let since = list.packs.iter().filter_map(|entry| packs.get(&entry.pack)).min();
        Ok::<_, Error>(since.map(|since| (id.clone(), *since)))
    };
    let found: Vec<_> = stream::iter(manifests).map(needs).buffer_unordered(READS_AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
