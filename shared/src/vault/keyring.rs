//! A database's data keys: made once, wrapped by the master key, authenticated by the vault's own key.
//!
//! Two first backups at once each add a key and go on with the one they see as newest: both keys stay in the keyring, so
//! each can read what the other sealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::keys::{Keys, Place, SecretKey};
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
        for key in self.newest_entries(layout).await? {
            match self.open_entry(name, layout, &key).await {
                Ok((keys, entry)) => opened.push((entry.created_at, Arc::new(keys), entry.wrapped_key)),
                Err(error) if error.kind().is_transient() => return Err(error),
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

    /// Of each key the entry with the highest number.
    async fn newest_entries(&self, layout: &Layout) -> Result<impl Iterator<Item = String>> {
        let mut newest: BTreeMap<String, (u32, String)> = BTreeMap::new();
        for object in store::list_all(&*self.store, &layout.keyring()).await? {
            let Some((folder, number)) = object.key.rsplit_once('/').zip(number_of(&object.key)) else { continue };
            let folder = folder.0.to_owned();
            let entry = newest.entry(folder).or_insert_with(|| (number, object.key.clone()));
            if number > entry.0 {
                *entry = (number, object.key);
            }
        }
        Ok(newest.into_values().map(|(_, key)| key))
    }

    async fn open_entry(&self, name: &DatabaseName, layout: &Layout, key: &str) -> Result<(Keys, KeyringEntry)> {
        let entry: KeyringEntry = self.read(&self.keys, "key", key).await?;
        let in_place = number_of(key).is_some_and(|number| layout.keyring_entry(entry.key, number) == key);
        if entry.vault != self.id() || entry.database != *name || !in_place {
            return Err(Error::verification(format!("{key} belongs to another vault, database or key")));
        }
        let place = Place { vault: self.id(), database: name.as_str(), key: entry.key };
        let data_key = self.master.unwrap(&entry.wrapped_key, place).await?;
        Ok((Keys::derive(entry.key, &data_key), entry))
    }
}
