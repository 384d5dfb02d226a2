//! Deleting a backup, and calling it back within the grace time.

use jiff::Timestamp;
use serde::Serialize;

use super::cleanup::newest_verified;
use super::holds::read_holds;
use crate::error::{Error, Result};
use crate::model::{BackupId, Cause, DatabaseName};
use crate::vault::{DatabaseVault, Motive};

/// What became of a backup that somebody deleted or called back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeletionReport {
    pub id: BackupId,
    pub database: DatabaseName,
    pub deleted: bool,
    /// Until when it can be called back: what a sweep after that deletes.
    pub until: Option<Timestamp>,
}

/// Puts the backup on its way out. It is no longer listed, and deleted after the grace time. Deleting it again changes nothing.
///
/// Nothing of the backup itself is read: one that is damaged can be deleted, too, by its whole id.
///
/// Errors: `Conflict` for one that is held; `Confirmation` when it is the newest verified backup, or the only one, unless that
/// was confirmed.
pub async fn delete(
    db: &DatabaseVault,
    id: &BackupId,
    is_confirmed: bool,
    motive: Motive<'_>,
) -> Result<DeletionReport> {
    require_unheld(db, id).await?;
    if !is_confirmed {
        require_dispensable(db, id).await?;
    }
    db.entomb(id, Cause::Deletion, motive).await?;
    let tombstones = db.tombstones(id).await?;
    let last = tombstones.iter().rfind(|tombstone| tombstone.is_in_force());
    let until = last.and_then(|last| last.written_at.checked_add(db.grace()).ok());
    Ok(DeletionReport { id: id.clone(), database: db.name.clone(), deleted: last.is_some(), until })
}

/// Calls the backup back. Of one that is not on its way out that is nothing to do.
///
/// Errors: `Conflict` when it is too late.
pub async fn undelete(db: &DatabaseVault, id: &BackupId, motive: Motive<'_>) -> Result<DeletionReport> {
    db.call_back(id, motive).await?;
    Ok(DeletionReport { id: id.clone(), database: db.name.clone(), deleted: false, until: None })
}

/// A hold that cannot be read holds.
async fn require_unheld(db: &DatabaseVault, id: &BackupId) -> Result<()> {
    let now = db.vault.now().await?;
    for found in read_holds(db, &db.layout.holds(id)).await? {
        let why = match found.state {
            Ok(state) if !state.is_in_force(now) => continue,
            Ok(state) => format!("{id} is held by {}: {}", state.hold.by, state.hold.reason),
            Err(error) => format!("{id} is held, and the hold cannot be read: {}", error.message()),
        };
        return Err(Error::conflict(why).hint(format!("`lifeboat release {id}` first, if you may")));
    }
    Ok(())
}

async fn require_dispensable(db: &DatabaseVault, id: &BackupId) -> Result<()> {
    let live = db.live().await?;
    let problem = match live.as_slice() {
        [only] if only == id => "the only backup",
        _ if live.contains(id) && newest_verified(db).await?.as_ref() == Some(id) => "the newest verified backup",
        _ => return Ok(()),
    };
    Err(Error::confirmation(format!("{id} is {problem} of {}", db.name))
        .hint("make and verify another first; or say --yes, if it shall go all the same"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::model::{Depth, Fate};
    use crate::ops::fixture::{self, Backup};
    use crate::ops::holds::hold;

    const WHY: Motive<'static> = Motive { reason: "too large", by: "ann" };

    #[tokio::test]
    async fn what_was_deleted_can_be_called_back_until_it_is_condemned() {
        let (_, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        Backup::new("2026-11-21T02:00:00Z", "daily").publish(&db).await;
        let deleted = delete(&db, &id, false, WHY).await.unwrap();
        assert!(deleted.deleted && deleted.until.unwrap() > Timestamp::now());
        assert_eq!(delete(&db, &id, false, WHY).await.unwrap(), deleted);
        assert!(!undelete(&db, &id, WHY).await.unwrap().deleted);
        assert!(db.live().await.unwrap().contains(&id));
        assert!(!undelete(&db, &id, WHY).await.unwrap().deleted);
        delete(&db, &id, false, WHY).await.unwrap();
        db.decide(&id, 2, Fate::Condemned, WHY).await.unwrap();
        assert_eq!(undelete(&db, &id, WHY).await.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn what_would_be_missed_is_not_deleted_by_the_way() {
        let (_, db) = fixture::database("shop").await;
        let old = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        assert_eq!(delete(&db, &old, false, WHY).await.unwrap_err().kind(), ErrorKind::Confirmation);
        let new = Backup::new("2026-11-21T02:00:00Z", "daily").publish(&db).await;
        db.write_verdict(&fixture::verdict(&db, &old, Depth::Full)).await.unwrap();
        assert_eq!(delete(&db, &old, false, WHY).await.unwrap_err().kind(), ErrorKind::Confirmation);
        hold(&db, &new, None, WHY).await.unwrap();
        assert_eq!(delete(&db, &new, true, WHY).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert!(delete(&db, &old, true, WHY).await.unwrap().deleted);
    }
}
