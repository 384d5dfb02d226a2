//! Packs in a database's pool, by whichever name they have.
//!
//! A backup's own packs are named by their SHA-256. No such name ever comes back, for every piece is sealed with a fresh nonce;
//! so whoever decided to delete a pack may do it however late. A copy of a backup brings bytes that may have been there
//! before, and must not bring back their name: it appends an [`EraId`], see [`crate::ops::copy`]. Readers look for
//! the plain name first, then for the others; all have the same bytes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::database::DatabaseVault;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{EraId, PackId};
use crate::store::{ObjectHead, Put, Tries};

/// More names than one pack has in any vault that people use.
const NAMES: usize = 64;

/// Packs that were found under another name than their own, so that they need not be looked for again.
pub(super) type Renamed = Arc<RwLock<HashMap<PackId, EraId>>>;

impl DatabaseVault {
    /// The whole pack, as it is stored: its bytes are not compared with its name. Errors: `NotFound`.
    pub async fn pack(&self, pack: &PackId) -> Result<Bytes> {
        self.find_pack(pack, |key| async move { self.store().get(&key).await }).await
    }

    /// Errors: `NotFound`.
    pub async fn pack_head(&self, pack: &PackId) -> Result<ObjectHead> {
        self.find_pack(pack, |key| async move { self.store().head(&key).await }).await
    }

    /// Bytes of a pack, as they are stored. Errors: `Verification` when it is missing or too short.
    pub async fn pack_range(&self, pack: &PackId, range: Range<u64>) -> Result<Bytes> {
        let read = |key: String| {
            let range = range.clone();
            async move { self.store().get_range(&key, range).await }
        };
        match self.find_pack(pack, read).await {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(self.damage_behind(error, pack, range.end).await),
        }
    }

    /// Reads a pack under the first of its names that is there.
    async fn find_pack<T, F: Future<Output = Result<T>>>(
        &self,
        pack: &PackId,
        read: impl Fn(String) -> F,
    ) -> Result<T> {
        let known = self.renamed.read().unwrap_or_else(PoisonError::into_inner).get(pack).copied();
        let missing = match read(self.layout.pack_of_era(pack, known)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            read => return read,
        };
        for object in self.store().list_page(&self.layout.pack(pack), None, NAMES).await? {
            let Some((_, era)) = self.layout.pack_and_era_of_key(&object.key) else { continue };
            match read(object.key).await {
                // Deleted since, as nobody needs it under that name.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                read => {
                    let mut renamed = self.renamed.write().unwrap_or_else(PoisonError::into_inner);
                    match era {
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
    pub(super) async fn damage_behind(&self, error: Error, pack: &PackId, needed_bytes: u64) -> Error {
        let object = self.layout.pack(pack);
        match self.pack_head(pack).await {
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                Error::verification(format!("{object} is missing"))
            }
            Ok(head) if head.info.size_bytes < needed_bytes => Error::verification(format!(
                "{} is damaged: it has {} of at least {needed_bytes} bytes",
                head.info.key, head.info.size_bytes
            )),
            _ => error,
        }
    }

    /// Stores a pack under its name.
    ///
    /// Errors: `Verification` when other bytes are there under this name: SHA-256 allows that only for a damaged object.
    pub async fn put_pack(&self, pack: PackId, bytes: Bytes) -> Result<()> {
        self.put_pack_of_era(pack, None, bytes).await
    }

    /// Stores a pack that a copy brings. Errors: as [`put_pack`](Self::put_pack).
    pub async fn put_pack_of_era(&self, pack: PackId, era: Option<EraId>, bytes: Bytes) -> Result<()> {
        let key = self.layout.pack_of_era(&pack, era);
        // The name is the hash that the store wants.
        match self.store().put_new_hashed(&key, bytes, pack.0, Tries::Many).await? {
            Put::Created => Ok(()),
            Put::Exists => Err(Error::verification(format!("{key} is damaged: its bytes do not have its name"))),
        }
    }
}
