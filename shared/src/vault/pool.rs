//! Packs of a database, by whichever name they have.
//!
//! A backup's own packs are named by their SHA-256. No such name ever comes back, for every piece is sealed with a fresh nonce,
//! and every pack list names its attempt; so whoever decided to delete a pack may do it however late. A copy of a backup
//! brings bytes that may have been there before, and must not bring back their name: it appends an [`EraId`], see
//! [`crate::ops::copy`]. Readers look for the plain name first, then for the others; all have the same bytes.
//!
//! Most are in the pool, where backups share them. The rows of an archived backup are on a [`Shelf`] of its own: nobody else
//! refers to them, so the store may freeze them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::database::DatabaseVault;
use super::layout::PackName;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{EraId, PackId, Shelf};
use crate::store::{ObjectHead, Put, Tries};

/// More names than one pack has in any vault that people use.
const NAMES: usize = 64;

/// Packs that were found under another name than their own, so that they need not be looked for again.
pub(super) type Renamed = Arc<RwLock<HashMap<PackId, EraId>>>;

impl DatabaseVault {
    /// The whole pack, as it is stored: its bytes are not compared with its name. Errors: `NotFound`.
    pub async fn pack(&self, shelf: &Shelf, pack: &PackId) -> Result<Bytes> {
        self.find_pack(shelf, pack, |key| async move { self.store().get(&key).await }).await
    }

    /// Errors: `NotFound`.
    pub async fn pack_head(&self, shelf: &Shelf, pack: &PackId) -> Result<ObjectHead> {
        self.find_pack(shelf, pack, |key| async move { self.store().head(&key).await }).await
    }

    /// Bytes of a pack, as they are stored. Errors: `Verification` when it is missing or too short.
    pub async fn pack_range(&self, shelf: &Shelf, pack: &PackId, range: Range<u64>) -> Result<Bytes> {
        let read = |key: String| {
            let range = range.clone();
            async move { self.store().get_range(&key, range).await }
        };
        match self.find_pack(shelf, pack, read).await {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(self.damage_behind(error, shelf, pack, range.end).await),
        }
    }

    /// Reads a pack under the first of its names that is there.
    async fn find_pack<T, F: Future<Output = Result<T>>>(
        &self,
        shelf: &Shelf,
        pack: &PackId,
        read: impl Fn(String) -> F,
    ) -> Result<T> {
        let era = self.renamed.read().unwrap_or_else(PoisonError::into_inner).get(pack).copied();
        let known = PackName { shelf: shelf.clone(), pack: *pack, era };
        let missing = match read(self.layout.pack_key(&known)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            read => return read,
        };
        let plain = self.layout.pack_key(&PackName { era: None, ..known });
        for object in self.store().list_page(&plain, None, NAMES).await? {
            let Some(name) = self.layout.pack_name(&object.key) else { continue };
            match read(object.key).await {
                // Deleted since, as nobody needs it under that name.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                read => {
                    let mut renamed = self.renamed.write().unwrap_or_else(PoisonError::into_inner);
                    match name.era {
                        Some(era) => renamed.insert(*pack, era),
                        None => renamed.remove(pack),
                    };
                    return read;
                }
            }
        }
        Err(missing)
    }

    /// To a store a missing or a short object is a request it cannot serve; to us it is damage.
    pub(super) async fn damage_behind(&self, error: Error, shelf: &Shelf, pack: &PackId, needed_bytes: u64) -> Error {
        match self.pack_head(shelf, pack).await {
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                Error::verification(format!("{} is missing", self.pack_place(shelf, pack)))
            }
            Ok(head) if head.info.size_bytes < needed_bytes => Error::verification(format!(
                "{} is damaged: it has {} of at least {needed_bytes} bytes",
                head.info.key, head.info.size_bytes
            )),
            _ => error,
        }
    }

    /// Where a pack is, for people.
    pub fn pack_place(&self, shelf: &Shelf, pack: &PackId) -> String {
        self.layout.pack_key(&PackName::plain(shelf.clone(), *pack))
    }

    /// Stores a pack of the pool under its plain name. Errors: as [`put_pack_as`](Self::put_pack_as).
    pub async fn put_pack(&self, pack: PackId, bytes: Bytes) -> Result<()> {
        self.put_pack_as(&PackName::plain(Shelf::Pool, pack), bytes).await
    }

    /// Stores a pack.
    ///
    /// Errors: `Verification` when other bytes are there under this name: SHA-256 allows that only for a damaged object.
    pub async fn put_pack_as(&self, name: &PackName, bytes: Bytes) -> Result<()> {
        let (key, store) = (self.layout.pack_key(name), self.store());
        // The name is the hash that the store wants.
        let put = match name.shelf {
            Shelf::Pool => store.put_new_hashed(&key, bytes, name.pack.0, Tries::Many).await?,
            Shelf::Archive(_) => store.put_archived(&key, bytes, name.pack.0).await?,
        };
        match put {
            Put::Created => Ok(()),
            Put::Exists => Err(Error::verification(format!("{key} is damaged: its bytes do not have its name"))),
        }
    }
}
