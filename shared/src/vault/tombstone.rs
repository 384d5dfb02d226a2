//! Tombstones: how a backup leaves, and how it is called back.
//!
//! A tombstone says that a backup shall go. What becomes of it is its outcome, written once: a cancellation and a condemnation
//! race for one key, and who loses obeys. Only a condemned backup is ever deleted, and only by the sweep.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::database::{DatabaseVault, READS_AT_ONCE};
use super::numbered_pair;
use crate::error::{Error, Result};
use crate::model::{BackupId, Cause, Fate, Tombstone, TombstoneOutcome};
use crate::store::{self, Put};

/// A tombstone, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTombstone {
    pub backup: BackupId,
    pub number: u32,
    /// The store's time: what its age counts from.
    pub written_at: Timestamp,
    pub state: TombstoneState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TombstoneState {
    Open(Cause),
    Decided(Fate),
}

impl FoundTombstone {
    pub fn is_open(&self) -> bool {
        matches!(self.state, TombstoneState::Open(_))
    }

    /// Whether its backup is on its way out because of it.
    pub fn is_in_force(&self) -> bool {
        self.state != TombstoneState::Decided(Fate::Cancelled)
    }
}

/// Who decides about a backup, and why.
#[derive(Debug, Clone, Copy)]
pub struct Motive<'a> {
    pub reason: &'a str,
    pub by: &'a str,
}

/// What a listing says of one tombstone.
#[derive(Default)]
struct Listed {
    written_at: Option<Timestamp>,
    outcome: bool,
}

impl DatabaseVault {
    /// Published backups on their way out: with a tombstone that nobody cancelled, or condemned already.
    ///
    /// Errors: `Verification` when a tombstone or an outcome is damaged or forged: then nobody can tell which are live.
    pub async fn tombstoned(&self) -> Result<HashSet<BackupId>> {
        let published = self.published().await?;
        self.tombstoned_among(&published).await
    }

    pub(super) async fn tombstoned_among(&self, published: &[BackupId]) -> Result<HashSet<BackupId>> {
        let found = self.tombstones_of(published).await?;
        Ok(found.into_iter().filter(FoundTombstone::is_in_force).map(|tombstone| tombstone.backup).collect())
    }

    /// The tombstones of these backups. Errors: as [`tombstoned`](Self::tombstoned).
    pub async fn tombstones_of(&self, backups: &[BackupId]) -> Result<Vec<FoundTombstone>> {
        let wanted: HashSet<&BackupId> = backups.iter().collect();
        self.read_tombstones(&self.layout.all_tombstones(), |backup| wanted.contains(backup)).await
    }

    /// The tombstones of one backup, the first first. Errors: as [`tombstoned`](Self::tombstoned).
    pub async fn tombstones(&self, backup: &BackupId) -> Result<Vec<FoundTombstone>> {
        self.read_tombstones(&self.layout.tombstones(backup), |_| true).await
    }

    async fn read_tombstones(&self, prefix: &str, wanted: impl Fn(&BackupId) -> bool) -> Result<Vec<FoundTombstone>> {
        let root = self.layout.all_tombstones();
        let mut listed: BTreeMap<(BackupId, u32), Listed> = BTreeMap::new();
        for object in store::list_all(self.store(), prefix).await? {
            let (backup, number, is_outcome) = tombstone_of_key(&object.key[root.len()..])
                .ok_or_else(|| Error::verification(format!("{} is not the name of a tombstone", object.key)))?;
            let tombstone = listed.entry((backup, number)).or_default();
            match is_outcome {
                true => tombstone.outcome = true,
                false => tombstone.written_at = Some(object.modified),
            }
        }
        listed.retain(|(backup, _), _| wanted(backup));
        let read = async |((backup, number), listed)| self.read_tombstone(backup, number, listed).await;
        stream::iter(listed).map(read).buffered(READS_AT_ONCE).try_collect().await
    }

    async fn read_tombstone(&self, backup: BackupId, number: u32, listed: Listed) -> Result<FoundTombstone> {
        // The outcome alone decides, where there is one.
        let state = match listed.outcome {
            true => TombstoneState::Decided(self.outcome(&backup, number).await?.fate),
            false => {
                let key = self.layout.tombstone(&backup, number);
                let tombstone: Tombstone = self.read_record("tombstone", &key).await?;
                if (&tombstone.backup, tombstone.number) != (&backup, number) {
                    return Err(Error::verification(format!("{key} is the tombstone of another backup")));
                }
                TombstoneState::Open(tombstone.cause)
            }
        };
        Ok(FoundTombstone { backup, number, written_at: listed.written_at.unwrap_or(Timestamp::MAX), state })
    }

    async fn outcome(&self, backup: &BackupId, number: u32) -> Result<TombstoneOutcome> {
        let key = self.layout.tombstone_outcome(backup, number);
        let outcome: TombstoneOutcome = self.read_record("outcome", &key).await?;
        if (&outcome.backup, outcome.number) != (backup, number) {
            return Err(Error::verification(format!("{key} is the outcome of another tombstone")));
        }
        Ok(outcome)
    }

    /// Puts the backup on its way out, unless it is already. Says whether this call did.
    pub async fn entomb(&self, backup: &BackupId, cause: Cause, motive: Motive<'_>) -> Result<bool> {
        loop {
            let earlier = self.tombstones(backup).await?;
            if earlier.iter().any(FoundTombstone::is_in_force) {
                return Ok(false);
            }
            let number = earlier.last().map_or(1, |last| last.number + 1);
            let tombstone = Tombstone {
                vault: self.vault.id(),
                database: self.name.clone(),
                backup: backup.clone(),
                number,
                cause,
                reason: motive.reason.to_owned(),
                by: motive.by.to_owned(),
                at: self.vault.now().await?,
            };
            // Who loses the number looks again: the winner's tombstone is in force, or was cancelled already.
            match self.write_record("tombstone", &self.layout.tombstone(backup, number), &tombstone).await? {
                Put::Created => return Ok(true),
                Put::Exists => {}
            }
        }
    }

    /// Decides what becomes of a tombstone, and says what was decided: by this call or by whoever came first.
    pub async fn decide(&self, backup: &BackupId, number: u32, fate: Fate, motive: Motive<'_>) -> Result<Fate> {
        let outcome = TombstoneOutcome {
            vault: self.vault.id(),
            database: self.name.clone(),
            backup: backup.clone(),
            number,
            fate,
            reason: motive.reason.to_owned(),
            by: motive.by.to_owned(),
            at: self.vault.now().await?,
        };
        match self.write_record("outcome", &self.layout.tombstone_outcome(backup, number), &outcome).await? {
            Put::Created => Ok(fate),
            Put::Exists => Ok(self.outcome(backup, number).await?.fate),
        }
    }

    /// Calls the backup back, if it is on its way out. Says whether it was.
    ///
    /// Errors: `Conflict` when it is condemned: the sweep deletes it, or has.
    pub async fn call_back(&self, backup: &BackupId, motive: Motive<'_>) -> Result<bool> {
        let mut was_open = false;
        for tombstone in self.tombstones(backup).await? {
            let fate = match tombstone.state {
                TombstoneState::Decided(fate) => fate,
                TombstoneState::Open(_) => {
                    was_open = true;
                    self.decide(backup, tombstone.number, Fate::Cancelled, motive).await?
                }
            };
            if fate == Fate::Condemned {
                return Err(Error::conflict(format!(
                    "{backup} is being deleted: it was condemned and cannot come back"
                ))
                .hint("a versioned bucket may still have its objects for a while"));
            }
        }
        Ok(was_open)
    }
}

/// `{backup id}/{n}.json` or `{backup id}/{n}.outcome.json`, and which of the two.
fn tombstone_of_key(key: &str) -> Option<(BackupId, u32, bool)> {
    let (backup, file) = key.split_once('/')?;
    let (number, is_outcome) = numbered_pair(file, ".outcome.json")?;
    Some((backup.parse().ok()?, number, is_outcome))
}
