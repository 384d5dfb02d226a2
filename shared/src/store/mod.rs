//! Object stores: the one narrow door to where vaults live.
//!
//! Promises every implementation keeps (`tests/tests/it/store_contract.rs` runs them on all):
//! - [`put_new`](ObjectStore::put_new) is the only write. It never replaces: of any number of racers one wins.
//! - A reader sees a whole object or none.
//! - After a put returned, the object is durable, and every reader and every listing sees it.
//! - Listings come in byte order of the keys and are complete, whatever their length. They show valid keys
//!   ([`is_key`]) only: whatever else lies around is not the vault's.
//! - Transient faults (throttling, time-outs, dropped connections) are retried inside, with jitter.
//! - Times are the store's own, never this host's.
//!
//! What no store promises: an operation whose future is dropped, or which ends in an error, may still happen.
//! No key may be a folder of another (`a` beside `a/b`): only S3 could keep both, so no vault does.
//!
//! Faults are tested by wrapping one store in another (`Arc<dyn ObjectStore>`).

mod class;
pub mod folder;
mod key;
pub mod memory;
mod place;
pub mod s3;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

pub use class::{StorageClass, Thaw, ThawTier};
pub use key::{MAX_KEY_BYTES, is_key};
pub use place::{open, open_with};

/// What became of a [`put_new`](ObjectStore::put_new).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there with exactly our bytes. That includes bytes that were there before: an earlier try whose
    /// reply was lost cannot be told from somebody else's equal object. Who must know who won puts a random
    /// number into the body.
    Created,
    /// Another object with this key was there first; nothing was changed.
    Exists,
}

/// How hard a put may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// Retry transient faults.
    Many,
    /// One request: a late one, or a late duplicate, would do harm (publishing a manifest). An error then leaves open whether
    /// the object was created, and says so.
    Once {
        /// When it was right to make it, by the store's clock. A machine that slept since makes it in vain: the store refuses
        /// what comes more than [`LATEST`] after that.
        at: Timestamp,
    },
}

/// What deleting an object means where the store keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deletes {
    /// It becomes an old version, for the store's own rules to remove. Whoever is able to do that alone can destroy nothing.
    #[default]
    Current,
    /// No version is left, and its space is free.
    EveryVersion,
}

/// What became of a [`delete`](ObjectStore::delete).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    Done,
    /// The store refuses to delete these bytes: they are still there. The end of time stands for a hold without an end.
    Locked {
        until: Timestamp,
    },
}

/// How old a request may be when it arrives. It is how S3 judges signatures.
pub const LATEST: SignedDuration = SignedDuration::from_mins(15);

impl Tries {
    /// Errors: `OutOfTime` for what comes too late.
    fn check_time(self, key: &str, now: Timestamp) -> Result<()> {
        match self {
            Self::Once { at } if now > at + LATEST => Err(too_late(key)),
            _ => Ok(()),
        }
    }
}

/// What a listing or a metadata request tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Full key below the store's root, without a leading slash.
    pub key: String,
    pub size_bytes: u64,
    /// The store's time of the write.
    pub modified: Timestamp,
    pub storage_class: StorageClass,
}

/// Metadata of one object, with the checksum that the store itself keeps, where it keeps one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    pub info: ObjectInfo,
    /// SHA-256 as the store knows it. The folder store has none: `None` means "read it to know".
    pub sha256: Option<[u8; 32]>,
    pub thaw: Thaw,
    /// Until then the store lets nobody delete these bytes; the end of time for a hold without an end.
    pub locked_until: Option<Timestamp>,
}

/// An object store: a flat, ordered map from keys to immutable bytes.
///
/// Errors are of kind `Vault`, except: a missing object (or bucket) is `NotFound`, refused or missing credentials and a
/// wrong region or endpoint are `Configuration`, an invalid key is a `Bug`.
#[async_trait]
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// Where this is, for people: `s3://bucket/prefix` or a path. Never holds credentials.
    fn location(&self) -> String;

    /// Creates `key` with `body` unless it exists, durably.
    async fn put_new(&self, key: &str, body: Bytes, tries: Tries) -> Result<Put> {
        let sha256 = sha256_of(&body).await?;
        self.put_new_hashed(key, body, sha256, tries).await
    }

    /// [`put_new`](Self::put_new) for who has hashed the body already. The store hashes what arrives and refuses,
    /// with an error of kind `Vault`, bytes that were changed on the way.
    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put>;

    /// [`put_new_hashed`](Self::put_new_hashed) for what may be frozen later: a store that has storage classes marks it, so
    /// that a rule of its own can find it.
    async fn put_archived(&self, key: &str, body: Bytes, sha256: [u8; 32]) -> Result<Put> {
        self.put_new_hashed(key, body, sha256, Tries::Many).await
    }

    /// The whole object. One that is frozen is an error of kind `Confirmation`: somebody has to want it [thawed](Self::thaw).
    async fn get(&self, key: &str) -> Result<Bytes>;

    /// The bytes of `range` (end exclusive). A range beyond the object's end is an error of kind `Vault`, never short.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes>;

    async fn head(&self, key: &str) -> Result<ObjectHead>;

    /// All objects whose key begins with `prefix`, in byte order, at most `limit`, after the key `after` if given.
    /// Fewer than `limit` means that there are no more.
    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>>;

    /// The names directly below `prefix` (empty, or ending with `/`) that have something below them: "folders", in byte
    /// order, without `prefix` and without a trailing slash.
    async fn list_names(&self, prefix: &str) -> Result<Vec<String>>;

    /// Asks for a frozen object, to be readable for some days. Asking again while that goes on changes nothing; asking when it
    /// can be read prolongs the time.
    async fn thaw(&self, key: &str, tier: ThawTier, days: u32) -> Result<()> {
        let _ = (tier, days);
        Err(Error::bug(format!("{} freezes nothing, and cannot thaw {key}", self.location())))
    }

    /// Puts the store's own legal hold on an object, so that nobody can delete its bytes, or takes it off. `false` from a
    /// store that has none: nothing was done.
    async fn legal_hold(&self, key: &str, is_held: bool) -> Result<bool> {
        let _ = (key, is_held);
        Ok(false)
    }

    /// Deletes the object; deleting what is not there is not an error. Only the sweep calls this.
    async fn delete(&self, key: &str) -> Result<Deletion>;

    /// What time it is on this host. A method, for tests that turn clocks.
    fn host_time(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The store's clock, never ahead of it and at most two seconds and one request behind.
    async fn now(&self) -> Result<Timestamp>;
}

/// Every object below `prefix`, page by page.
pub async fn list_all(store: &dyn ObjectStore, prefix: &str) -> Result<Vec<ObjectInfo>> {
    const PAGE: usize = 1000;
    let mut all: Vec<ObjectInfo> = Vec::new();
    loop {
        let after = all.last().map(|o| o.key.clone());
        let page = store.list_page(prefix, after.as_deref(), PAGE).await?;
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// Refuses, with `Preflight`, a store in which no vault can be made, see [`probe_create_only`].
pub async fn require_create_only(store: &dyn ObjectStore) -> Result<()> {
    if probe_create_only(store, "").await? {
        return Ok(());
    }
    Err(Error::preflight(format!("{} replaces objects although it is told not to", store.location()))
        .hint("a vault needs a store that honours `If-None-Match: *`; use another, or update this one"))
}

/// Whether the store really refuses to replace an object. Some that speak S3 ignore the condition and overwrite.
///
/// Tries to write `{prefix}probe/create-only` with fresh random bytes, at most twice: a store that keeps its promise
/// refuses one of them. Needs the right to put and to read, not to delete, and leaves that one object of a few bytes
/// behind for ever, so the next probe is a single refused request. It proves the refusal, not that two writers at the
/// same moment cannot both win: no probe can.
pub async fn probe_create_only(store: &dyn ObjectStore, prefix: &str) -> Result<bool> {
    let key = format!("{prefix}probe/create-only");
    for _ in 0..2 {
        let body = Bytes::from(hex::encode(rand::random::<[u8; 16]>()));
        if store.put_new(&key, body, Tries::Many).await? == Put::Exists {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Hashes on a blocking thread, except what is too little to be worth the way there.
pub(crate) async fn sha256_of(body: &Bytes) -> Result<[u8; 32]> {
    const INLINE_BYTES: usize = 64 * 1024;
    if body.len() <= INLINE_BYTES {
        return Ok(Sha256::digest(body).into());
    }
    let body = body.clone();
    tokio::task::spawn_blocking(move || Sha256::digest(&body).into())
        .await
        .map_err(|e| Error::bug("hashing was cut off").because(e))
}

/// What the stores that have no hardware between us and them do for "checks on arrival".
fn check_arrival(key: &str, body: &[u8], sha256: [u8; 32]) -> Result<()> {
    if <[u8; 32]>::from(Sha256::digest(body)) == sha256 {
        return Ok(());
    }
    Err(Error::vault(format!("{key} was changed on its way to the store: its SHA-256 is no longer the announced one"))
        .hint("this points to faulty memory; nothing was written"))
}

fn frozen(location: &str, key: &str) -> Error {
    Error::confirmation(format!("{key} in {location} is frozen: it has to be thawed before it can be read")).hint(
        "`lifeboat restore … --dry-run` says what a backup needs and what thawing it costs, and `--thaw` asks for it; \
         what no archived backup needs, have the store restore itself",
    )
}

fn too_late(key: &str) -> Error {
    Error::out_of_time(format!(
        "{key} was not written: more than {LATEST:#} passed between the decision and the request; did this machine sleep?"
    ))
    .hint("start again; what this attempt stored is used again where it can be")
}

fn no_such_object(location: &str, key: &str) -> Error {
    Error::not_found(format!("no object {key} in {location}"))
}

fn beyond_the_end(key: &str, range: &Range<u64>, size_bytes: Option<u64>) -> Error {
    let size = size_bytes.map_or(String::new(), |size| format!(", which has {size} bytes"));
    Error::vault(format!("bytes {}..{} lie beyond the end of {key}{size}", range.start, range.end))
}
