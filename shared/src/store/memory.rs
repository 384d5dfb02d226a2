//! A store in memory, for tests: the contract's plainest reading.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::key::{check_folder_prefix, check_key, check_prefix};
use super::{
    Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, StorageClass, Thaw, ThawTier, Tries, beyond_the_end,
    check_arrival, frozen, no_such_object,
};
use crate::error::{Error, Result};

/// Keeps objects for as long as it lives. Its clock can be put forward.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    clock_ahead: SignedDuration,
    /// How many writes are still allowed; all where nobody says.
    writes_left: Option<u64>,
}

struct Stored {
    body: Bytes,
    sha256: [u8; 32],
    modified: Timestamp,
    class: StorageClass,
    thawed: Option<Thawed>,
    locked_until: Option<Timestamp>,
}

/// When a frozen object can be read.
#[derive(Clone, Copy)]
struct Thawed {
    from: Timestamp,
    until: Timestamp,
}

impl Stored {
    fn thaw(&self, now: Timestamp) -> Thaw {
        match self.thawed {
            _ if !self.class.is_frozen() => Thaw::NotNeeded,
            Some(Thawed { from, .. }) if now < from => Thaw::Underway,
            Some(Thawed { until, .. }) if now < until => Thaw::Done(Some(until)),
            _ => Thaw::Frozen,
        }
    }
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the store's clock forward, for tests of grace times and deadlines.
    pub fn advance(&self, by: SignedDuration) {
        self.state().clock_ahead += by;
    }

    /// Makes everything below `prefix` of this class, as a rule of the store would.
    pub fn move_to(&self, class: StorageClass, prefix: &str) {
        let mut state = self.state();
        state
            .objects
            .iter_mut()
            .filter(|(key, _)| key.starts_with(prefix))
            .for_each(|(_, stored)| stored.class = class);
    }

    /// Locks everything below `prefix`, as a bucket with Object Lock would.
    pub fn lock(&self, prefix: &str, until: Timestamp) {
        let mut state = self.state();
        let locked = state.objects.iter_mut().filter(|(key, _)| key.starts_with(prefix));
        locked.for_each(|(_, stored)| stored.locked_until = Some(until));
    }

    /// Takes so many writes from now on and refuses the others, as if the writer died before them; `None` takes all again.
    pub fn allow_writes(&self, many: Option<u64>) {
        self.state().writes_left = many;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, key: &str, look: impl FnOnce(&Stored, Timestamp) -> Result<T>) -> Result<T> {
        check_key(key)?;
        let state = self.state();
        match state.objects.get(key) {
            Some(stored) => look(stored, state.now()),
            None => Err(no_such_object(&self.location(), key)),
        }
    }

    fn read<T>(&self, key: &str, read: impl FnOnce(&Stored) -> Result<T>) -> Result<T> {
        self.look(key, |stored, now| match stored.thaw(now) {
            Thaw::NotNeeded | Thaw::Done(_) => read(stored),
            Thaw::Frozen | Thaw::Underway => Err(frozen(&self.location(), key)),
        })
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
        storage_class: stored.class,
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        check_key(key)?;
        check_arrival(key, &body, sha256)?;
        let mut state = self.state();
        tries.check_time(key, state.now())?;
        match &mut state.writes_left {
            Some(0) => return Err(Error::configuration(format!("cannot write {key}: access denied"))),
            Some(left) => *left -= 1,
            None => {}
        }
        if let Some(stored) = state.objects.get(key) {
            let equal = stored.body == body;
            return Ok(if equal { Put::Created } else { Put::Exists });
        }
        if let Some(other) = state.in_the_way(key) {
            return Err(Error::vault(format!("cannot create {key}: {other} exists")));
        }
        let modified = state.now();
        let stored = Stored { body, sha256, modified, class: StorageClass::Local, thawed: None, locked_until: None };
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
        self.look(key, |stored, now| {
            Ok(ObjectHead {
                info: info(key, stored),
                sha256: Some(stored.sha256),
                thaw: stored.thaw(now),
                locked_until: stored.locked_until,
            })
        })
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

    /// As long as S3 would take at most.
    async fn thaw(&self, key: &str, tier: ThawTier, days: u32) -> Result<()> {
        check_key(key)?;
        let mut state = self.state();
        let now = state.now();
        let Some(stored) = state.objects.get_mut(key) else { return Err(no_such_object("memory", key)) };
        let Some(minutes) = tier.at_most_minutes(stored.class) else {
            return Err(Error::usage(format!("{} has no {tier} way to thaw", stored.class)));
        };
        let from = match stored.thaw(now) {
            Thaw::Underway => return Ok(()),
            Thaw::NotNeeded | Thaw::Done(_) => now,
            Thaw::Frozen => now + SignedDuration::from_mins(i64::from(minutes)),
        };
        stored.thawed = Some(Thawed { from, until: from + SignedDuration::from_hours(24 * i64::from(days)) });
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        check_key(key)?;
        self.state().objects.remove(key);
        Ok(Deletion::Done)
    }

    fn host_time(&self) -> Timestamp {
        self.state().now()
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.state().now())
    }
}
