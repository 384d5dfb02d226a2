//! A store in memory, for tests: the contract's plainest reading.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::key::{check_folder_prefix, check_key, check_prefix};
use super::{
    ObjectHead, ObjectInfo, ObjectStore, Put, StorageClass, Tries, beyond_the_end, check_arrival, no_such_object,
};
use crate::error::{Error, Result};

/// Keeps objects for as long as it lives. Its clock can be put forward.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    clock_ahead: SignedDuration,
}

struct Stored {
    body: Bytes,
    sha256: [u8; 32],
    modified: Timestamp,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the store's clock forward, for tests of grace times and deadlines.
    pub fn advance(&self, by: SignedDuration) {
        self.state().clock_ahead += by;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, key: &str, look: impl FnOnce(&Stored) -> Result<T>) -> Result<T> {
        check_key(key)?;
        match self.state().objects.get(key) {
            Some(stored) => look(stored),
            None => Err(no_such_object(&self.location(), key)),
        }
    }
}

impl State {
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.clock_ahead
    }

    fn below<'a>(&'a self, prefix: &'a str, after: Option<&str>) -> impl Iterator<Item = (&'a String, &'a Stored)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.objects.range::<str, _>((from, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The object that would have to be a folder, or the folder that would have to be an object.
    fn in_the_way(&self, key: &str) -> Option<String> {
        let below = format!("{key}/");
        let folders = key.match_indices('/').map(|(at, _)| &key[..at]);
        folders
            .filter(|folder| self.objects.contains_key(*folder))
            .map(str::to_owned)
            .next()
            .or_else(|| self.below(&below, None).next().map(|(key, _)| key.clone()))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} objects)", self.state().objects.len())
    }
}

fn info(key: &str, stored: &Stored) -> ObjectInfo {
    ObjectInfo {
        key: key.to_owned(),
        size_bytes: stored.body.len() as u64,
        modified: stored.modified,
        storage_class: StorageClass::Local,
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], _tries: Tries) -> Result<Put> {
        check_key(key)?;
        check_arrival(key, &body, sha256)?;
        let mut state = self.state();
        if let Some(stored) = state.objects.get(key) {
            let equal = stored.body == body;
            return Ok(if equal { Put::Created } else { Put::Exists });
        }
        if let Some(other) = state.in_the_way(key) {
            return Err(Error::vault(format!("cannot create {key}: {other} exists")));
        }
        let modified = state.now();
        let stored = Stored { body, sha256, modified };
        state.objects.insert(key.to_owned(), stored);
        Ok(Put::Created)
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.read(key, |stored| Ok(stored.body.clone()))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.read(key, |stored| {
            let size_bytes = stored.body.len() as u64;
            if range.start > range.end || range.end > size_bytes {
                return Err(beyond_the_end(key, &range, Some(size_bytes)));
            }
            Ok(stored.body.slice(range.start as usize..range.end as usize))
        })
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        self.read(key, |stored| Ok(ObjectHead { info: info(key, stored), sha256: Some(stored.sha256) }))
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        check_prefix(prefix)?;
        let state = self.state();
        let found = state.below(prefix, after).take(limit);
        Ok(found.map(|(key, stored)| info(key, stored)).collect())
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        check_folder_prefix(prefix)?;
        let state = self.state();
        let mut names: Vec<String> = state
            .below(prefix, None)
            .filter_map(|(key, _)| key[prefix.len()..].split_once('/'))
            .map(|(name, _)| name.to_owned())
            .collect();
        // `a-b/…` comes before `a/…` among keys, and after it among names.
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    fn host_time(&self) -> Timestamp {
        self.state().now()
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.state().now())
    }
}
