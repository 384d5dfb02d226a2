//! Data keys: which there are, what each sealed, and a new one. Rotating writes no data anew: backups from then on are sealed by
//! the new key, those before stay readable by the old one for as long as they are kept.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::Serialize;

use crate::error::{ErrorKind, Result};
use crate::model::{BackupId, DatabaseName, KeyId};
use crate::vault::{DatabaseVault, Vault};

const READS_AT_ONCE: usize = 16;

/// A database's data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataKey {
    pub database: DatabaseName,
    pub key: KeyId,
    pub created_at: Timestamp,
    /// Whether new backups are sealed by it.
    pub is_current: bool,
    /// How many backups are sealed by it, those on their way out among them. A damaged manifest counts for no key.
    pub backups: u64,
    pub oldest_backup: Option<BackupId>,
    pub newest_backup: Option<BackupId>,
}

/// The keys of one database, or of all, the newest first. Errors: `NotFound`, `Vault`, `Verification` where no key opens.
pub async fn list(vault: &Arc<Vault>, database: Option<&DatabaseName>) -> Result<Vec<DataKey>> {
    let mut keys = Vec::new();
    for name in vault.databases_or(database).await? {
        keys.append(&mut of_database(&vault.database(&name).await?).await?);
    }
    Ok(keys)
}

/// Makes a new data key, by which every backup that begins from now on is sealed: it reads and stores all rows, for packs are
/// shared under one key only.
///
/// Errors: `Verification` when an entry of the keyring is damaged; `Vault`.
pub async fn rotate(db: &DatabaseVault) -> Result<DataKey> {
    let renewed = db.with_new_data_key().await?;
    let mut keys = of_database(&renewed).await?;
    Ok(keys.swap_remove(0))
}

async fn of_database(db: &DatabaseVault) -> Result<Vec<DataKey>> {
    let mut sealed: BTreeMap<KeyId, Vec<BackupId>> = BTreeMap::new();
    let read = async |id: BackupId| (db.manifest(&id).await, id);
    let mut manifests = stream::iter(db.published().await?).map(read).buffered(READS_AT_ONCE);
    while let Some((manifest, id)) = manifests.next().await {
        match manifest {
            Ok(manifest) => sealed.entry(manifest.key).or_default().push(id),
            Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound) => {
                tracing::warn!(backup = %id, %error, "which key sealed it cannot be told");
            }
            Err(error) => return Err(error),
        }
    }
    let current = db.current_keys().id;
    let tell = |(key, created_at)| {
        let backups = sealed.remove(&key).unwrap_or_default();
        DataKey {
            database: db.name.clone(),
            key,
            created_at,
            is_current: key == current,
            backups: backups.len() as u64,
            oldest_backup: backups.last().cloned(),
            newest_backup: backups.first().cloned(),
        }
    };
    let mut keys: Vec<DataKey> = db.data_keys().into_iter().map(tell).collect();
    keys.sort_by_key(|key| Reverse((key.is_current, key.created_at)));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::ops::fixture::{self, Backup};
    use crate::store::list_all;
    use crate::store::memory::MemoryStore;

    async fn publish(db: &DatabaseVault) -> BackupId {
        let now = db.vault.now().await.unwrap();
        Backup::new(&now.to_string(), "daily").publish(db).await
    }

    #[tokio::test]
    async fn a_new_key_seals_what_comes_and_the_old_one_opens_what_was() {
        let store = Arc::new(MemoryStore::new());
        let vault = fixture::vault_in(Arc::clone(&store)).await;
        assert_eq!(list(&vault, None).await.unwrap(), []);
        let before = fixture::another_database(&vault, "shop").await;
        fixture::another_database(&vault, "crm").await;
        let first = publish(&before).await;
        store.advance(SignedDuration::from_hours(24));
        let rotated = rotate(&before).await.unwrap();
        assert!(rotated.is_current && rotated.key != before.current_keys().id);
        assert_eq!((rotated.backups, &rotated.newest_backup), (0, &None));

        // Who had opened the database before goes on with the key that he has.
        let second = publish(&before).await;
        let after = vault.database(&before.name).await.unwrap();
        store.advance(SignedDuration::from_hours(24));
        let third = publish(&after).await;
        assert_eq!(after.current_keys().id, rotated.key);
        for id in [&first, &second, &third] {
            after.manifest(id).await.unwrap();
            before.manifest(id).await.unwrap();
        }
        let keys = list(&vault, Some(&before.name)).await.unwrap();
        assert_eq!(
            keys[0],
            DataKey { backups: 1, oldest_backup: Some(third.clone()), newest_backup: Some(third), ..rotated }
        );
        assert_eq!((keys[1].is_current, keys[1].backups), (false, 2));
        assert_eq!((&keys[1].oldest_backup, &keys[1].newest_backup), (&Some(first), &Some(second)));
        assert_eq!(keys.len(), 2);
        assert_eq!(list(&vault, None).await.unwrap().len(), 3, "another database keeps its key");
    }

    #[tokio::test]
    async fn two_who_rotate_at_once_each_make_a_key_and_all_agree_on_one() {
        let (vault, db) = fixture::database("shop").await;
        let (one, other) = tokio::join!(rotate(&db), rotate(&db));
        assert_ne!(one.unwrap().key, other.unwrap().key);
        let keys = list(&vault, Some(&db.name)).await.unwrap();
        assert_eq!((keys.len(), keys.iter().filter(|key| key.is_current).count()), (3, 1));
        let again = vault.database(&db.name).await.unwrap();
        assert_eq!(again.current_keys().id, keys[0].key);
    }

    #[tokio::test]
    async fn over_a_damaged_keyring_nothing_is_rotated() {
        let (vault, db) = fixture::database("shop").await;
        rotate(&db).await.unwrap();
        let first = db.layout.keyring_entry(db.current_keys().id, 1);
        vault.store.delete(&first).await.unwrap();
        vault.store.put_new(&first, "{}".into(), crate::store::Tries::Many).await.unwrap();
        let db = vault.database(&db.name).await.unwrap();
        let error = rotate(&db).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Verification);
        let entries = list_all(&*vault.store, &db.layout.keyring()).await.unwrap();
        assert_eq!(entries.len(), 2, "no key was added");
    }
}
