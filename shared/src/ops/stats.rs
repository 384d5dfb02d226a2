//! What the backups of a database take up: their manifests and pack lists, read and added up.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use serde::Serialize;

use super::cleanup::facts::unless_swept;
use super::list::is_damage;
use crate::error::{Error, Result};
use crate::model::{BackupId, DatabaseName, Finding, PackEntry, PackOrigin, Purpose};
use crate::plan::stats::{Stats, Stored};
use crate::vault::{DatabaseVault, Vault};

const READS_AT_ONCE: usize = 16;

/// As `stats --json` shows it, for one database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseStats {
    pub database: DatabaseName,
    #[serde(flatten)]
    pub stats: Stats,
    /// Backups that are not counted, because they cannot be read or believed.
    pub problems: Vec<Finding>,
}

/// The live backups of one database, or of every one, each by itself: databases share nothing.
///
/// Errors: `NotFound` for a database that the vault does not have; `Verification` for damaged tombstones; `Vault`. A damaged
/// backup is a problem in the answer.
pub async fn stats(vault: &Arc<Vault>, database: Option<&DatabaseName>) -> Result<Vec<DatabaseStats>> {
    let mut all = Vec::new();
    for name in vault.databases_or(database).await? {
        all.push(stats_of(&vault.database(&name).await?).await?);
    }
    Ok(all)
}

async fn stats_of(db: &DatabaseVault) -> Result<DatabaseStats> {
    let (backups, problems) = stored_backups(db).await?;
    Ok(DatabaseStats { database: db.name.clone(), stats: crate::plan::stats::stats(backups), problems })
}

/// The live backups with their packs, and those that cannot be read or believed. Errors: as [`stats`].
pub(super) async fn stored_backups(db: &DatabaseVault) -> Result<(Vec<Stored>, Vec<Finding>)> {
    let ids = db.live().await?;
    let read = async |id: BackupId| (unless_swept(db, &id, stored(db, &id).await).await, id);
    let read: Vec<(Result<Option<Stored>>, BackupId)> =
        stream::iter(ids).map(read).buffer_unordered(READS_AT_ONCE).collect().await;
    let (mut backups, mut problems) = (Vec::new(), Vec::new());
    for (stored, id) in read {
        match stored {
            Ok(stored) => backups.extend(stored),
            Err(error) if is_damage(&error) => problems.push(problem(id, &error)),
            Err(error) => return Err(error),
        }
    }
    problems.sort_by(|a: &Finding, b| a.object.cmp(&b.object));
    Ok((backups, problems))
}

async fn stored(db: &DatabaseVault, id: &BackupId) -> Result<Stored> {
    let manifest = db.manifest(id).await?;
    let packs = db.pack_list(&manifest).await?;
    Ok(Stored {
        id: id.clone(),
        at: manifest.snapshot.taken_at,
        plaintext_bytes: manifest.totals.plaintext_bytes,
        is_complete: manifest.purpose != Purpose::Partial,
        new_bytes: manifest.totals.new_bytes,
        packs: packs.packs,
        pack_list: PackEntry {
            pack: manifest.pack_list,
            size_bytes: manifest.pack_list_bytes,
            origin: PackOrigin::New,
        },
    })
}

fn problem(id: BackupId, error: &Error) -> Finding {
    Finding { object: id.to_string(), problem: error.message(), pack: None }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ops::fixture::{self, Backup};
    use crate::vault::pack::pack_id;

    #[tokio::test]
    async fn what_two_backups_share_is_stored_once_and_a_damaged_one_hides_no_other() {
        let (vault, db) = fixture::database("shop").await;
        let packs: Vec<_> = (0..3u8).map(|n| Bytes::from(vec![n; 10])).collect();
        for pack in &packs {
            db.put_pack(pack_id(pack), pack.clone()).await.unwrap();
        }
        let sized = |backup: Backup, of: &[usize]| {
            of.iter().fold(backup, |backup, at| backup.sized_pack(pack_id(&packs[*at]), 10))
        };
        let first = sized(Backup::new("2026-11-20T02:00:00Z", "daily"), &[0, 1]).publish(&db).await;
        let second = sized(Backup::new("2026-11-21T02:00:00Z", "daily"), &[0, 2]).publish(&db).await;
        let all = stats(&vault, None).await.unwrap();
        let [DatabaseStats { stats: found, problems, .. }] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((found.total.stored_bytes, found.total.referenced_bytes, problems.len()), (30, 40, 0));
        assert_eq!(found.backups.iter().map(|b| b.id.clone()).collect::<Vec<_>>(), [second.clone(), first]);

        let list = db.layout.pack(&db.manifest(&second).await.unwrap().pack_list);
        db.store().delete(&list).await.unwrap();
        let damaged = stats(&vault, Some(&db.name)).await.unwrap().remove(0);
        assert_eq!((damaged.stats.total.backups, damaged.stats.total.stored_bytes), (1, 20));
        assert_eq!(damaged.problems[0].object, second.to_string());
    }
}
