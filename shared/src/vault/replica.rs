//! A second place for a vault: the same vault id and keys, other backups.
//!
//! Everything that makes a place this vault is copied byte for byte: records stay authentic, for their MACs bind vault, place and
//! key, not the store. What is there already must be the same; what is there and not here (a newer key, say) stays.
//! The format record is the first to come: with it the place is a vault, and a copy that dies goes on when it is started again.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::database::DatabaseVault;
use super::record::Unverified;
use super::{Vault, layout, numbered};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, DatabaseIdentity, KeyringEntry, VaultFormat};
use crate::store::{self, ObjectStore, Put, Tries};

impl Vault {
    /// The same vault at another place, made there if nothing is.
    ///
    /// Errors: `Conflict` when another vault is there, which stays as it is, or this one with other records in their place.
    pub async fn open_replica(&self, place: Arc<dyn ObjectStore>) -> Result<Arc<Self>> {
        let theirs = numbered(&*place, layout::FORMATS).await?;
        match theirs.last() {
            Some(key) => self.require_same(&*place, key).await?,
            None => store::require_create_only(&*place).await?,
        }
        for key in numbered(&*self.store, layout::FORMATS).await? {
            let bytes = self.store.get(&key).await?;
            Unverified::parse(&key, &bytes)?.verify::<VaultFormat>(&self.keys, "format")?;
            put_same(&*place, &key, bytes).await?;
        }
        let replica = Self::open(place, self.master.clone()).await?;
        Ok(Arc::new(replica))
    }

    async fn require_same(&self, place: &dyn ObjectStore, key: &str) -> Result<()> {
        let bytes = place.get(key).await?;
        let there: VaultFormat = Unverified::parse(key, &bytes)?.content("format")?;
        match there.vault == self.id() {
            true => Ok(()),
            false => Err(Error::conflict(format!(
                "{} is another vault ({}) than {} ({})",
                place.location(),
                there.vault,
                self.store.location(),
                self.id()
            ))
            .hint("choose an empty folder, or the copy of this vault")),
        }
    }

    /// When this place became a vault, by its store's clock. Nothing in it is older.
    pub async fn made_at(&self) -> Result<Timestamp> {
        let formats = numbered(&*self.store, layout::FORMATS).await?;
        let first = formats.first().ok_or_else(|| Error::not_found("the vault has lost its format record"))?;
        Ok(self.store.head(first).await?.info.modified)
    }
}

impl DatabaseVault {
    /// The same database in a replica of this vault, with every identity and key that it has here. A damaged entry of the
    /// keyring stays behind: it costs what that key sealed, no more.
    ///
    /// Errors: `Conflict` when the replica has other records in their place.
    pub async fn open_replica(&self, replica: &Arc<Vault>) -> Result<Self> {
        for key in numbered(self.store(), &self.layout.identities()).await? {
            let bytes = self.store().get(&key).await?;
            Unverified::parse(&key, &bytes)?.verify::<DatabaseIdentity>(&self.vault.keys, "identity")?;
            put_same(&*replica.store, &key, bytes).await?;
        }
        for object in store::list_all(self.store(), &self.layout.keyring()).await? {
            let bytes = self.store().get(&object.key).await?;
            let read = Unverified::parse(&object.key, &bytes);
            match read.and_then(|read| read.verify::<KeyringEntry>(&self.vault.keys, "key")) {
                Ok(_) => put_same(&*replica.store, &object.key, bytes).await?,
                Err(error) if error.kind() == ErrorKind::Verification => {
                    tracing::warn!(object = object.key, %error, "a damaged key is not copied");
                }
                Err(error) => return Err(error),
            }
        }
        replica.database(&self.name).await
    }

    /// Makes the backup exist that these bytes are the manifest of. One request: a reply that is lost leaves the outcome
    /// open, and the error says so. `at`: when it was right to, by the store's clock; much later the store refuses.
    ///
    /// Errors: `Conflict` when another one is there.
    pub async fn publish_bytes(&self, id: &BackupId, manifest: Bytes, at: Timestamp) -> Result<()> {
        match self.store().put_new(&self.layout.manifest(id), manifest, Tries::Once { at }).await? {
            Put::Created => Ok(()),
            Put::Exists => Err(another_backup(id, self)),
        }
    }

    /// Whether the backup is published here, with this very manifest.
    ///
    /// Errors: `Conflict` when it is with another.
    pub async fn has_published(&self, id: &BackupId, manifest: &Bytes) -> Result<bool> {
        match self.store().get(&self.layout.manifest(id)).await {
            Ok(there) if there == manifest => Ok(true),
            Ok(_) => Err(another_backup(id, self)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn another_backup(id: &BackupId, there: &DatabaseVault) -> Error {
    Error::conflict(format!("{} has another manifest of {id}, or a damaged one", there.store().location()))
        .hint("`lifeboat verify` says which of the two is good; copy to another place, or delete that one there")
}

async fn put_same(place: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<()> {
    match place.put_new(key, bytes, Tries::Many).await? {
        Put::Created => Ok(()),
        Put::Exists => Err(Error::conflict(format!("{} has another {key} than this vault", place.location())).hint(
            "the two were changed apart, by a rotation of keys say, or that object is damaged; copy to another place",
        )),
    }
}
