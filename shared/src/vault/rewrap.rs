//! The same keys under another master key.
//!
//! Rows and records stay as they are, for what seals them does not change. Each data key, and the vault's own, gets one more
//! entry, wrapped by the new master key; the entries before stay, and the old one opens those as ever. The format record
//! comes last: from then on the new master key opens the vault, and new data keys are made only by who has that one. Whoever
//! dies on the way leaves a vault that opens as before, and goes on when started again.

use serde::Serialize;

use super::keys::{MasterKey, Place, SecretKey};
use super::layout::Layout;
use super::{Vault, first_key, layout, number_after, numbered};
use crate::error::{Error, Result};
use crate::model::{KeyringEntry, VaultFormat};
use crate::store::{Put, Tries};

/// What was done, counted in keys. The vault's own is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rewrapped {
    pub wrapped: u64,
    /// By an earlier run.
    pub wrapped_before: u64,
    /// Why a key could not be wrapped: neither master key opens it, and what it sealed is lost to both.
    pub unreadable: Vec<String>,
}

impl VaultFormat {
    pub(super) fn place(&self) -> Place<'static> {
        Place { vault: self.vault, database: "", key: self.key }
    }
}

impl KeyringEntry {
    pub(super) fn place(&self) -> Place<'_> {
        Place { vault: self.vault, database: self.database.as_str(), key: self.key }
    }
}

/// Whether the vault's own key comes out of this record with this master key.
pub(super) async fn opens(master: &MasterKey, format: &VaultFormat) -> Result<bool> {
    match master.unwrap(&format.wrapped_key, format.place()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind().is_transient() => Err(error),
        Err(_) => Ok(false),
    }
}

impl Vault {
    /// Wraps every key of the vault by `new`, too. Safe to call again, and twice at once.
    ///
    /// Errors: `Configuration` when the vault has gone on to a third master key; `Conflict` when somebody else wraps keys at
    /// this moment; `Vault`.
    pub async fn rewrap(&self, new: &MasterKey) -> Result<Rewrapped> {
        let formats = numbered(&*self.store, layout::FORMATS).await?;
        let newest = formats.last().ok_or_else(|| Error::not_found("the vault has lost its format record"))?;
        let format: VaultFormat = self.read(&self.keys, "format", newest).await?;
        let is_newest = opens(new, &format).await?;
        if !is_newest && !opens(&self.master, &format).await? {
            return Err(older_master("its keys cannot be wrapped by a third one"));
        }
        let mut done = self.wrap_data_keys(new).await?;
        if !is_newest {
            let own = first_key(&*self.store, &self.master, &formats).await?;
            let wrapped_key = new.wrap(&own.data_key, format.place()).await?;
            self.put_wrapped("format", &layout::format(number_after(newest)), &VaultFormat { wrapped_key, ..format })
                .await?;
        }
        // The round that finds every key to open with the new master key is the proof. Before the format record was written
        // a first backup may have made a key that the round before did not see.
        loop {
            let again = self.wrap_data_keys(new).await?;
            if again.wrapped == 0 {
                return Ok(done);
            }
            done.wrapped += again.wrapped;
        }
    }

    async fn wrap_data_keys(&self, new: &MasterKey) -> Result<Rewrapped> {
        let mut done = Rewrapped::default();
        // All are opened before the first is written: what is refused changes nothing.
        let mut found: Vec<(String, SecretKey, KeyringEntry)> = Vec::new();
        for name in self.databases().await? {
            let layout = Layout::new(&name);
            for entries in self.entries_of_keys(&layout).await? {
                if self.open_newest(&name, &layout, &entries, new).await?.is_ok() {
                    done.wrapped_before += 1;
                    continue;
                }
                match self.open_newest(&name, &layout, &entries, &self.master).await? {
                    Ok((data_key, entry)) => {
                        found.push((layout.keyring_entry(entry.key, number_after(&entries[0])), data_key, entry));
                    }
                    Err(error) => done.unreadable.push(error.message()),
                }
            }
        }
        for (key, data_key, entry) in found {
            let wrapped_key = new.wrap(&data_key, entry.place()).await?;
            self.put_wrapped("key", &key, &KeyringEntry { wrapped_key, ..entry }).await?;
            done.wrapped += 1;
        }
        Ok(done)
    }

    async fn put_wrapped<T: Serialize>(&self, kind: &str, key: &str, record: &T) -> Result<()> {
        match self.write(&self.keys, kind, key, record, Tries::Many).await? {
            Put::Created => Ok(()),
            Put::Exists => Err(Error::conflict(format!("{key} was written by somebody else just now"))
                .hint("another `lifeboat keys rewrap` is running: let it end, then run this one again")),
        }
    }

    /// A key that only the old master key opens would be lost to all who have changed to the new one.
    pub(super) fn require_newest_master(&self, what: &str) -> Result<()> {
        match self.has_newest_master {
            true => Ok(()),
            false => Err(older_master(&format!("{what} must be wrapped by that one"))),
        }
    }

    /// Whether this master key is the one by which the keys were wrapped last.
    pub fn has_newest_master(&self) -> bool {
        self.has_newest_master
    }
}

fn older_master(consequence: &str) -> Error {
    Error::configuration(format!("the vault has a newer master key than the one that is configured, and {consequence}"))
        .hint("configure the master key that `lifeboat keys rewrap` was given last")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::DatabaseVault;
    use super::super::tests::{at, identity, publish};
    use super::*;
    use crate::error::ErrorKind;
    use crate::model::{BackupId, DatabaseIdentity, KeyId};
    use crate::store::ObjectStore;
    use crate::store::folder::FolderStore;
    use crate::store::memory::MemoryStore;

    /// A vault of two databases, of which one has two keys and a backup under each.
    async fn vault() -> (Arc<MemoryStore>, Arc<Vault>, Vec<BackupId>) {
        let store = Arc::new(MemoryStore::new());
        let (vault, backups) = filled(Arc::clone(&store)).await;
        (store, vault, backups)
    }

    async fn filled(store: Arc<impl ObjectStore + 'static>) -> (Arc<Vault>, Vec<BackupId>) {
        let vault = Arc::new(Vault::init(store, MasterKey::random(), 72, 24).await.unwrap());
        database(&vault, "crm").await;
        let db = database(&vault, "shop").await;
        let (first, second) = (at(1), at(2));
        publish(&db, &first).await;
        publish(&db.with_new_data_key().await.unwrap(), &second).await;
        (vault, vec![first, second])
    }

    async fn database(vault: &Arc<Vault>, name: &str) -> DatabaseVault {
        let identity = DatabaseIdentity { database: name.parse().unwrap(), ..identity(vault, "7") };
        vault.database_or_new(&identity, false).await.unwrap()
    }

    async fn opened(vault: &Vault, master: &MasterKey) -> Result<Arc<Vault>> {
        Vault::open(Arc::clone(&vault.store), master.clone()).await.map(Arc::new)
    }

    /// Everything that there is opens with this master key.
    async fn opens_all(vault: &Vault, master: &MasterKey, backups: &[BackupId]) -> Arc<Vault> {
        let vault = opened(vault, master).await.unwrap();
        let shop = vault.database(&"shop".parse().unwrap()).await.unwrap();
        shop.check_keyring().unwrap();
        vault.database(&"crm".parse().unwrap()).await.unwrap().check_keyring().unwrap();
        for id in backups {
            shop.manifest(id).await.unwrap();
        }
        vault
    }

    async fn keyring(vault: &Arc<Vault>, name: &str) -> (Vec<KeyId>, KeyId) {
        let db = vault.database(&name.parse().unwrap()).await.unwrap();
        (db.data_keys().into_iter().map(|(key, _)| key).collect(), db.current_keys().id)
    }

    #[tokio::test]
    async fn every_backup_opens_with_either_master_key_and_only_the_new_one_makes_keys() {
        let (_, vault, backups) = vault().await;
        let (old, new) = (vault.master.clone(), MasterKey::random());
        let before = keyring(&vault, "shop").await;
        let done = vault.rewrap(&new).await.unwrap();
        assert_eq!(done, Rewrapped { wrapped: 3, ..Rewrapped::default() });
        let by_old = opens_all(&vault, &old, &backups).await;
        let by_new = opens_all(&vault, &new, &backups).await;
        assert_eq!((by_old.has_newest_master(), by_new.has_newest_master()), (false, true));
        assert_eq!(keyring(&by_new, "shop").await, before, "the key that seals new backups is the same");
        assert!(opened(&vault, &MasterKey::random()).await.is_err());

        let name = "shop".parse().unwrap();
        let refused = by_old.database(&name).await.unwrap().with_new_data_key().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused}");
        by_new.database(&name).await.unwrap().with_new_data_key().await.unwrap();
        assert_eq!(vault.rewrap(&new).await.unwrap().wrapped, 0, "there is nothing to do for who asks again");
    }

    #[tokio::test]
    async fn who_dies_on_the_way_leaves_a_vault_that_opens_and_goes_on() {
        let mut deaths = 0;
        loop {
            let (store, vault, backups) = vault().await;
            let (old, new) = (vault.master.clone(), MasterKey::random());
            store.allow_writes(Some(deaths));
            let outcome = vault.rewrap(&new).await;
            store.allow_writes(None);
            let by_old = opens_all(&vault, &old, &backups).await;
            if outcome.is_ok() {
                assert_eq!(deaths, 4, "three keys of databases and the vault's own");
                return;
            }
            assert!(by_old.has_newest_master() && opened(&vault, &new).await.is_err());
            let done = by_old.rewrap(&new).await.unwrap();
            assert_eq!((done.wrapped, done.wrapped_before), (3 - deaths, deaths));
            opens_all(&vault, &new, &backups).await;
            deaths += 1;
        }
    }

    #[tokio::test]
    async fn of_two_at_once_with_two_keys_one_ends_as_the_newest_and_nothing_is_lost() {
        let mut lost_races = 0;
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let (vault, backups) = filled(Arc::new(FolderStore::new(folder.path()).unwrap())).await;
            let (one, other) = (MasterKey::random(), MasterKey::random());
            let (first, second) = tokio::join!(vault.rewrap(&one), vault.rewrap(&other));
            for (outcome, master) in [(&first, &one), (&second, &other)] {
                match outcome {
                    Ok(_) => assert!(opens_all(&vault, master, &backups).await.has_newest_master()),
                    Err(error) => {
                        assert!([ErrorKind::Conflict, ErrorKind::Configuration].contains(&error.kind()), "{error}")
                    }
                }
            }
            lost_races += usize::from(first.is_err()) + usize::from(second.is_err());
            let by_old = opens_all(&vault, &vault.master, &backups).await;
            if by_old.has_newest_master() {
                assert!(first.is_err() && second.is_err());
                by_old.rewrap(&one).await.unwrap();
                opens_all(&vault, &one, &backups).await;
            }
        }
        assert!(lost_races >= 20, "{lost_races}");
    }

    #[tokio::test]
    async fn a_third_master_key_is_given_by_the_newest_one_only() {
        let (_, vault, backups) = vault().await;
        let (second, third) = (MasterKey::random(), MasterKey::random());
        vault.rewrap(&second).await.unwrap();
        let refused = vault.rewrap(&third).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Configuration);
        assert!(opened(&vault, &third).await.is_err());
        let again = opens_all(&vault, &second, &backups).await;
        assert_eq!(again.rewrap(&third).await.unwrap().wrapped, 3);
        assert!(opens_all(&vault, &third, &backups).await.has_newest_master());
    }

    #[tokio::test]
    async fn a_key_that_was_made_meanwhile_comes_along_when_asked_again() {
        let (_, vault, backups) = vault().await;
        let new = MasterKey::random();
        // A backup that has opened the vault before, and makes its database's first key after.
        let late = opened(&vault, &vault.master).await.unwrap();
        vault.rewrap(&new).await.unwrap();
        database(&late, "late").await;
        let name = "late".parse().unwrap();
        let refused = opened(&vault, &new).await.unwrap().database(&name).await.unwrap_err();
        assert!(refused.to_string().contains("late"), "{refused}");
        assert_eq!(vault.rewrap(&new).await.unwrap(), Rewrapped { wrapped: 1, wrapped_before: 3, unreadable: vec![] });
        opens_all(&vault, &new, &backups).await.database(&name).await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_entry_is_told_and_the_others_come_along() {
        let (_, vault, backups) = vault().await;
        let db = vault.database(&"crm".parse().unwrap()).await.unwrap();
        let entry = db.layout.keyring_entry(db.current_keys().id, 1);
        vault.store.delete(&entry).await.unwrap();
        vault.store.put_new(&entry, "{}".into(), Tries::Many).await.unwrap();
        let new = MasterKey::random();
        let done = vault.rewrap(&new).await.unwrap();
        assert_eq!((done.wrapped, done.unreadable.len()), (2, 1));
        let shop = opened(&vault, &new).await.unwrap().database(&"shop".parse().unwrap()).await.unwrap();
        shop.manifest(&backups[0]).await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_wrapping_costs_nothing_while_another_opens() {
        let (_, vault, backups) = vault().await;
        let new = MasterKey::random();
        vault.rewrap(&new).await.unwrap();
        let db = vault.database(&"shop".parse().unwrap()).await.unwrap();
        let newest = db.layout.keyring_entry(db.current_keys().id, 2);
        vault.store.delete(&newest).await.unwrap();
        vault.store.put_new(&newest, "{}".into(), Tries::Many).await.unwrap();
        opens_all(&vault, &vault.master, &backups).await;
    }
}
