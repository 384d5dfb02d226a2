//! Holds: what is held is not deleted, whatever any rule says. Each is a record, and so is its release. Neither counts before it
//! is proven.
//!
//! A hold without an end is a legal hold. Where the store has such holds of its own, [`legal_hold`](super::legal_hold) mirrors it.

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Event, Run, legal_hold};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Hold, HoldRelease};
use crate::store::{self, Put};
use crate::vault::{DatabaseVault, Motive};

const READS_AT_ONCE: usize = 16;

/// A hold, and whether it was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    #[serde(flatten)]
    pub hold: Hold,
    pub released: bool,
}

/// What an operation does with a backup while it holds it for itself: how the reasons of such holds begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Copied,
    Thawed,
}

impl Use {
    const ALL: [Self; 2] = [Self::Copied, Self::Thawed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Copied => "being copied to",
            Self::Thawed => "being thawed",
        }
    }
}

impl HoldState {
    /// Whether an operation took it for itself: then it ends as it should.
    pub(super) fn is_of_an_operation(&self) -> bool {
        let begins = |of: &Use| self.hold.reason.strip_prefix(of.as_str()).is_some_and(|rest| rest.starts_with(' '));
        Use::ALL.iter().any(begins)
    }

    pub fn is_in_force(&self, now: Timestamp) -> bool {
        !self.released && self.hold.until.is_none_or(|until| until > now)
    }
}

/// The hold behind one key of the vault.
pub struct FoundHold {
    pub key: String,
    /// As the key says it; `None` for a key that is no hold's.
    pub backup: Option<BackupId>,
    pub state: Result<HoldState>,
}

/// Holds a backup: it stays until the hold is released, or `until` has come. A backup that is on its way out is called back.
///
/// Errors: `NotFound`; `Usage` for an end that has passed; `Conflict` when the backup is condemned: then nothing holds it.
pub async fn hold(db: &DatabaseVault, backup: &BackupId, until: Option<Timestamp>, motive: Motive<'_>) -> Result<Hold> {
    hold_as(db, backup, new_name(), until, motive).await
}

/// [`hold`] under a name that nobody has used.
async fn hold_as(
    db: &DatabaseVault,
    backup: &BackupId,
    name: String,
    until: Option<Timestamp>,
    motive: Motive<'_>,
) -> Result<Hold> {
    let now = db.vault.now().await?;
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(Error::usage(format!("a hold until {until} would be over already")));
    }
    require_published(db, backup).await?;
    let hold = Hold {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: backup.clone(),
        hold: name,
        reason: motive.reason.to_owned(),
        by: motive.by.to_owned(),
        at: now,
        until,
    };
    write(db, "hold", &db.layout.hold(backup, &hold.hold), &hold).await?;
    // It counts from here on, unless the sweep was faster.
    db.call_back(backup, motive).await?;
    require_published(db, backup).await?;
    if until.is_none() {
        legal_hold::put_on(db, backup).await.map_err(|error| {
            error.context(format!(
                "{backup} is held (hold {}), but the store's legal hold is not on all of it",
                hold.hold
            ))
        })?;
    }
    Ok(hold)
}

/// Holds a backup for an operation that is about to read it, so that no cleanup takes it away meanwhile. Who may not write
/// holds goes on without, and people are warned. `used` says for what, and where to or how.
///
/// Errors: as [`hold`].
pub(super) async fn hold_while(
    db: &DatabaseVault,
    backup: &BackupId,
    used: (Use, &str),
    name: Option<String>,
    until: Timestamp,
    run: &Run,
) -> Result<Option<Hold>> {
    let reason = format!("{} {}", used.0.as_str(), used.1);
    let motive = Motive { reason: &reason, by: &run.actor };
    match hold_as(db, backup, name.unwrap_or_else(new_name), Some(until), motive).await {
        Ok(hold) => Ok(Some(hold)),
        Err(error) if matches!(error.kind(), ErrorKind::Vault | ErrorKind::Configuration) => {
            let place = db.store().location();
            let text = format!("{backup} could not be held in {place} while {reason}: {error}");
            run.observer.on(&Event::Warning { text });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Releases the hold of this name, or every hold on the backup; gives those that were in force.
///
/// Errors: `NotFound` when there is none; `Verification` for a hold that cannot be read.
pub async fn release(
    db: &DatabaseVault,
    backup: &BackupId,
    name: Option<&str>,
    motive: Motive<'_>,
) -> Result<Vec<HoldState>> {
    let now = db.vault.now().await?;
    let mut released = Vec::new();
    for found in read_holds(db, &db.layout.holds(backup)).await? {
        let mut state = found.state?;
        if !state.is_in_force(now) || name.is_some_and(|name| name != state.hold.hold) {
            continue;
        }
        let Hold { vault, database, backup, hold, .. } = state.hold.clone();
        let key = db.layout.hold_release(&backup, &hold);
        let (reason, by) = (motive.reason.to_owned(), motive.by.to_owned());
        write(db, "release", &key, &HoldRelease { vault, database, backup, hold, reason, by, at: now }).await?;
        state.released = true;
        released.push(state);
    }
    if released.is_empty() {
        let named = name.map(|name| format!(" named {name:?}")).unwrap_or_default();
        return Err(Error::not_found(format!("{backup} has no hold{named} in force"))
            .hint(format!("`lifeboat show {backup}` lists its holds")));
    }
    if released.iter().any(|state| state.hold.until.is_none()) {
        legal_hold::take_off(db, backup).await.map_err(|error| {
            error.context(format!("{backup} is released, but the store's legal hold is still on some of it"))
        })?;
    }
    Ok(released)
}

/// A record that was there already says the same: of a hold that is its random name's doing, of a release its purpose.
async fn write(db: &DatabaseVault, kind: &str, key: &str, record: &impl Serialize) -> Result<()> {
    match db.write_record(kind, key, record).await? {
        Put::Created | Put::Exists => Ok(()),
    }
}

async fn require_published(db: &DatabaseVault, backup: &BackupId) -> Result<()> {
    match db.store().head(&db.layout.manifest(backup)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::not_found(format!("there is no backup {backup} of {}", db.name)))
        }
        Err(error) => Err(error),
    }
}

/// Short enough to be typed, and never the same twice for one backup.
pub(super) fn new_name() -> String {
    hex::encode(rand::random::<[u8; 4]>())
}

/// Every hold below `prefix`, which is that of all holds of the database or of one backup's.
pub async fn read_holds(db: &DatabaseVault, prefix: &str) -> Result<Vec<FoundHold>> {
    let keys: Vec<String> = store::list_all(db.store(), prefix).await?.into_iter().map(|object| object.key).collect();
    let holds: Vec<String> = keys.iter().filter(|key| !key.ends_with(".released.json")).cloned().collect();
    let read = async |key: String| {
        let backup = backup_of_key(db, &key);
        let release = key.strip_suffix(".json").map(|key| format!("{key}.released.json"));
        let release = release.filter(|release| keys.binary_search(release).is_ok());
        FoundHold { state: state(db, &key, backup.as_ref(), release.as_deref()).await, backup, key }
    };
    Ok(stream::iter(holds).map(read).buffered(READS_AT_ONCE).collect().await)
}

async fn state(db: &DatabaseVault, key: &str, backup: Option<&BackupId>, release: Option<&str>) -> Result<HoldState> {
    let hold: Hold = db.read_record("hold", key).await?;
    if backup != Some(&hold.backup) {
        return Err(Error::verification(format!("{key} is a hold of another backup")));
    }
    if let Some(release) = release {
        db.read_record::<HoldRelease>("release", release).await?;
    }
    Ok(HoldState { hold, released: release.is_some() })
}

fn backup_of_key(db: &DatabaseVault, key: &str) -> Option<BackupId> {
    key.strip_prefix(&db.layout.all_holds())?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, Fate};
    use crate::ops::fixture::{self, Backup};

    const WHY: Motive<'static> = Motive { reason: "court", by: "ann" };

    #[tokio::test]
    async fn a_hold_calls_a_backup_back_and_lasts_until_it_is_released() {
        let (_, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        db.entomb(&id, Cause::Retention, WHY).await.unwrap();
        let held = hold(&db, &id, None, WHY).await.unwrap();
        assert_eq!(db.live().await.unwrap(), std::slice::from_ref(&id));
        let second = hold(&db, &id, Some(Timestamp::MAX), WHY).await.unwrap();
        assert_ne!(held.hold, second.hold);
        let released = release(&db, &id, Some(&second.hold), WHY).await.unwrap();
        assert_eq!(released.into_iter().map(|state| state.hold).collect::<Vec<_>>(), [second]);
        assert_eq!(release(&db, &id, None, WHY).await.unwrap().len(), 1);
        assert_eq!(release(&db, &id, None, WHY).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_is_condemned_or_gone_cannot_be_held() {
        let (_, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        assert_eq!(hold(&db, &id, Some(Timestamp::UNIX_EPOCH), WHY).await.unwrap_err().kind(), ErrorKind::Usage);
        db.entomb(&id, Cause::Deletion, WHY).await.unwrap();
        assert_eq!(db.decide(&id, 1, Fate::Condemned, WHY).await.unwrap(), Fate::Condemned);
        assert_eq!(hold(&db, &id, None, WHY).await.unwrap_err().kind(), ErrorKind::Conflict);
        db.store().delete(&db.layout.manifest(&id)).await.unwrap();
        assert_eq!(hold(&db, &id, None, WHY).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
