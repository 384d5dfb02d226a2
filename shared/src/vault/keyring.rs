//! A database's data keys: made once, wrapped by the master key, authenticated by the vault's own key.
//!
//! Two first backups at once each add a key and go on with the one they see as newest: both keys stay in the keyring, so
//! each can read what the other sealed.
//!
//! A key has several entries once it was [wrapped again](super::rewrap), all with the same key inside: the newest that opens
//! is as good as any other.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::keys::{Keys, MasterKey, Place, SecretKey};
use super::layout::Layout;
use super::{Vault, number_of};
use crate::error::{Error, Result};
use crate::model::{DatabaseName, KeyId, KeyringEntry, WrappedKey};
use crate::store::{self, Tries};

/// The data keys of one database that could be opened: at least one.
#[derive(Debug)]
pub(super) struct Keyring {
    keys: BTreeMap<KeyId, Entry>,
    /// The newest key, which seals new backups, as it is wrapped.
    pub newest: (Arc<Keys>, WrappedKey),
    /// What is wrong with the others.
    pub damaged: Option<String>,
}

#[derive(Debug)]
struct Entry {
    keys: Arc<Keys>,
    created_at: Timestamp,
}

impl Keyring {
    pub fn get(&self, id: KeyId) -> Option<Arc<Keys>> {
        self.keys.get(&id).map(|entry| Arc::clone(&entry.keys))
    }

    /// Every key, and when it was made.
    pub fn made(&self) -> impl Iterator<Item = (KeyId, Timestamp)> {
        self.keys.iter().map(|(id, entry)| (*id, entry.created_at))
    }
}

impl Vault {
    pub(super) async fn add_data_key(&self, name: &DatabaseName, layout: &Layout) -> Result<()> {
        self.require_newest_master("a new data key")?;
        let key = KeyId::random();
        let place = Place { vault: self.id(), database: name.as_str(), key };
        let entry = KeyringEntry {
            vault: self.id(),
            database: name.clone(),
            key,
            created_at: self.store.now().await?,
            wrapped_key: self.master.wrap(&SecretKey::random(), place).await?,
        };
        self.write(&self.keys, "key", &layout.keyring_entry(key, 1), &entry, Tries::Many).await?;
        Ok(())
    }

    /// `None` where no key was ever added. Errors: that of the first key, when none can be opened.
    pub(super) async fn read_keyring(&self, name: &DatabaseName, layout: &Layout) -> Result<Option<Keyring>> {
        let mut opened: Vec<(Timestamp, Arc<Keys>, WrappedKey)> = Vec::new();
        let mut damaged: Option<Error> = None;
        for entries in self.entries_of_keys(layout).await? {
            match self.open_newest(name, layout, &entries, &self.master).await? {
                Ok((data_key, entry)) => {
                    opened.push((entry.created_at, Arc::new(Keys::derive(entry.key, &data_key)), entry.wrapped_key));
                }
                Err(error) => damaged = damaged.or(Some(error)),
            }
        }
        let entry =
            |created_at: &Timestamp, keys: &Arc<Keys>| Entry { keys: Arc::clone(keys), created_at: *created_at };
        let keys = opened.iter().map(|(created_at, keys, _)| (keys.id, entry(created_at, keys))).collect();
        match (opened.into_iter().max_by_key(|(created_at, keys, _)| (*created_at, keys.id)), damaged) {
            (None, None) => Ok(None),
            (None, Some(error)) => Err(error),
            (Some((_, newest, wrapped)), damaged) => {
                let damaged = damaged.map(|error| error.message());
                if let Some(error) = &damaged {
                    tracing::warn!(database = %name, error, "a key of the keyring is lost, and with it what it sealed");
                }
                Ok(Some(Keyring { keys, newest: (newest, wrapped), damaged }))
            }
        }
    }

    /// Of each key its entries, the highest number first.
    pub(super) async fn entries_of_keys(&self, layout: &Layout) -> Result<Vec<Vec<String>>> {
        let mut entries: BTreeMap<String, Vec<(u32, String)>> = BTreeMap::new();
        for object in store::list_all(&*self.store, &layout.keyring()).await? {
            let Some((folder, number)) = object.key.rsplit_once('/').zip(number_of(&object.key)) else { continue };
            entries.entry(folder.0.to_owned()).or_default().push((number, object.key));
        }
        let newest_first = |mut entries: Vec<(u32, String)>| {
            entries.sort_by_key(|(number, _)| Reverse(*number));
            entries.into_iter().map(|(_, key)| key).collect()
        };
        Ok(entries.into_values().map(newest_first).collect())
    }

    /// The key that `master` gets out of these entries, which are one key's, and the entry that gave it. The inner error is the
    /// newest entry's.
    pub(super) async fn open_newest(
        &self,
        name: &DatabaseName,
        layout: &Layout,
        entries: &[String],
        master: &MasterKey,
    ) -> Result<Result<(SecretKey, KeyringEntry)>> {
        let mut refused: Option<Error> = None;
        for key in entries {
            match self.open_entry(name, layout, key, master).await {
                Ok(opened) => return Ok(Ok(opened)),
                Err(error) if error.kind().is_transient() => return Err(error),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Ok(Err(refused.unwrap_or_else(|| Error::bug("a key without entries"))))
    }

    async fn open_entry(
        &self,
        name: &DatabaseName,
        layout: &Layout,
        key: &str,
        master: &MasterKey,
    ) -> Result<(SecretKey, KeyringEntry)> {
        let entry: KeyringEntry = self.read(&self.keys, "key", key).await?;
        let in_place = number_of(key).is_some_and(|number| layout.keyring_entry(entry.key, number) == key);
        if entry.vault != self.id() || entry.database != *name || !in_place {
            return Err(Error::verification(format!("{key} belongs to another vault, database or key")));
        }
        let data_key = master.unwrap(&entry.wrapped_key, entry.place()).await?;
        Ok((data_key, entry))
    }
}
