//! The audit trail of a vault: entries that are numbered, written once, and chained. Each carries the SHA-256 of the bytes of the
//! one before it and the code of the vault's own key, so that nothing can be changed, taken out or moved without a trace. Of
//! writers who meet, one gets the number, and the others the next ones.
//!
//! What a chain cannot show is that its last entries were taken away; [`crate::ops::audit`] compares it with what else is there.

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::database::READS_AT_ONCE;
use super::record::Unverified;
use super::{Vault, layout};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{AuditEntry, Deed};
use crate::store::{self, Put, Tries};

/// How many others may be faster before something must be wrong.
const ATTEMPTS: u32 = 200;

/// An entry as it is stored.
#[derive(Debug)]
pub struct StoredEntry {
    /// As its key says.
    pub number: u64,
    pub sha256: String,
    /// Errors: `Verification` for one that cannot be believed.
    pub entry: Result<AuditEntry>,
}

impl Vault {
    /// Adds an entry at the end. Errors: `Vault`; it may be there all the same.
    pub async fn append_audit(&self, deed: &Deed) -> Result<AuditEntry> {
        for _ in 0..ATTEMPTS {
            let last = self.last_audit_number().await?;
            let previous = match last {
                0 => None,
                last => Some(sha256(&self.store.get(&layout::audit_entry(last)).await?)),
            };
            let entry =
                AuditEntry { vault: self.id(), number: last + 1, previous, at: self.now().await?, deed: deed.clone() };
            let key = layout::audit_entry(entry.number);
            if self.write(&self.keys, "audit", &key, &entry, Tries::Many).await? == Put::Created {
                return Ok(entry);
            }
        }
        Err(Error::vault(format!("no place was found in the audit trail: {ATTEMPTS} times another writer was faster")))
    }

    /// Blocks hold so many entries as one listing shows, so that the end is found with two.
    async fn last_audit_number(&self) -> Result<u64> {
        let blocks = self.store.list_names(layout::AUDIT).await?;
        let Some(block) = blocks.iter().filter_map(|name| layout::audit_block(name)).max() else { return Ok(0) };
        let objects = store::list_all(&*self.store, &layout::audit_entries(block)).await?;
        Ok(objects.iter().filter_map(|object| layout::audit_number(&object.key)).max().unwrap_or(0))
    }

    /// Every entry there is, in the order of their numbers.
    pub async fn audit_trail(&self) -> Result<Vec<StoredEntry>> {
        let objects = store::list_all(&*self.store, layout::AUDIT).await?;
        let numbers = objects.iter().filter_map(|object| layout::audit_number(&object.key));
        let read = async |number: u64| -> Result<StoredEntry> {
            let key = layout::audit_entry(number);
            let bytes: Bytes = self.store.get(&key).await?;
            let entry = Unverified::parse(&key, &bytes).and_then(|read| read.verify::<AuditEntry>(&self.keys, "audit"));
            let entry = match entry {
                Ok(entry) if (entry.number, entry.vault) != (number, self.id()) => {
                    Err(Error::verification(format!("{key} is another entry of an audit trail")))
                }
                Err(error) if error.kind() != ErrorKind::Verification => return Err(error),
                entry => entry,
            };
            Ok(StoredEntry { number, sha256: sha256(&bytes), entry })
        };
        let mut entries: Vec<StoredEntry> =
            stream::iter(numbers).map(read).buffered(READS_AT_ONCE).try_collect().await?;
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
