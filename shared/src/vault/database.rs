//! One database's folder of a vault: its backups, and what is said about them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keyring::Keyring;
use super::keys::Keys;
use super::layout::Layout;
use super::piece::{Opener, PieceKind};
use super::pool::Renamed;
use super::record::Unverified;
use super::{Vault, pack};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    BackupId, Catalogue, DatabaseName, Depth, IndexPart, KeyId, Manifest, PackId, PackList, PieceRef, Purpose, Shelf,
    Verdict, VerdictSummary, WrappedKey,
};
use crate::store::{self, ObjectStore, Put, Tries};

/// Small records read at the same time.
pub(super) const READS_AT_ONCE: usize = 16;

/// One database's folder of a vault, with its keys.
#[derive(Debug, Clone)]
pub struct DatabaseVault {
    pub vault: Arc<Vault>,
    pub name: DatabaseName,
    pub layout: Layout,
    current: Arc<Keys>,
    current_wrapped: WrappedKey,
    keyring: Arc<RwLock<Keyring>>,
    pub(super) renamed: Renamed,
}

impl DatabaseVault {
    pub(super) fn new(vault: Arc<Vault>, name: DatabaseName, layout: Layout, keyring: Keyring) -> Self {
        let (current, current_wrapped) = keyring.newest.clone();
        let (keyring, renamed) = (Arc::new(RwLock::new(keyring)), Renamed::default());
        Self { vault, name, layout, current, current_wrapped, keyring, renamed }
    }

    pub fn store(&self) -> &dyn ObjectStore {
        &*self.vault.store
    }

    /// The keys that seal new pieces. They stay the same for the life of this value.
    pub fn current_keys(&self) -> &Arc<Keys> {
        &self.current
    }

    /// The data key of [`current_keys`](Self::current_keys), as manifests carry it.
    pub fn current_wrapped_key(&self) -> &WrappedKey {
        &self.current_wrapped
    }

    /// The keys of this id, also of one that was added after the vault was opened.
    ///
    /// Errors: `Verification` for a key that the keyring does not have.
    pub async fn keys(&self, id: KeyId) -> Result<Arc<Keys>> {
        if let Some(keys) = self.known_keys(id) {
            return Ok(keys);
        }
        if let Some(newer) = self.vault.read_keyring(&self.name, &self.layout).await? {
            *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = newer;
        }
        self.known_keys(id)
            .ok_or_else(|| Error::verification(format!("the keyring of {} has no readable key {id}", self.name)))
    }

    fn known_keys(&self, id: KeyId) -> Option<Arc<Keys>> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).get(id)
    }

    /// Every data key that opens, and when it was made.
    pub fn data_keys(&self) -> Vec<(KeyId, Timestamp)> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).made().collect()
    }

    /// When the key was made that seals new pieces.
    pub fn current_key_created_at(&self) -> Option<Timestamp> {
        self.data_keys().into_iter().find(|(key, _)| *key == self.current.id).map(|(_, made)| made)
    }

    /// Adds a data key to the keyring, by which whoever opens the database from now on seals.
    ///
    /// Errors: `Verification` when an entry of the keyring is damaged; `Vault`.
    pub async fn with_new_data_key(&self) -> Result<Self> {
        self.check_keyring()?;
        self.vault.add_data_key(&self.name, &self.layout).await?;
        self.vault.database(&self.name).await
    }

    /// Errors: `Verification` when an entry of the keyring could not be opened.
    pub(super) fn check_keyring(&self) -> Result<()> {
        match &self.keyring.read().unwrap_or_else(PoisonError::into_inner).damaged {
            None => Ok(()),
            Some(why) => Err(Error::verification(format!("the keyring of {} is damaged: {why}", self.name))
                .hint("restore that object from another copy of the vault or an older version of it")),
        }
    }

    /// Published backups, newest first, tombstoned ones included. What lies among them without being a manifest is not one.
    pub async fn published(&self) -> Result<Vec<BackupId>> {
        let objects = store::list_all(self.store(), &self.layout.backups()).await?;
        let mut ids: Vec<BackupId> = objects.iter().filter_map(|object| self.layout.published(&object.key)).collect();
        ids.sort_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// Published and not on its way out, newest first. Errors: as [`tombstoned`](Self::tombstoned).
    pub async fn live(&self) -> Result<Vec<BackupId>> {
        let mut ids = self.published().await?;
        let gone = self.tombstoned_among(&ids).await?;
        ids.retain(|id| !gone.contains(id));
        Ok(ids)
    }

    /// The backup that `name` means: an id, an unambiguous beginning of one, or `latest` (complete backups only). A whole id
    /// names its backup whatever the other records of the vault say; the rest means live backups.
    ///
    /// Errors: `NotFound`, `Usage` for an ambiguous beginning.
    pub async fn resolve(&self, name: &str) -> Result<BackupId> {
        if name == "latest" {
            return self.latest().await;
        }
        if let Some(id) = self.published().await?.into_iter().find(|id| id.as_str() == name) {
            return Ok(id);
        }
        let ids = self.live().await?;
        let matching: Vec<&BackupId> =
            ids.iter().filter(|id| !name.is_empty() && id.as_str().starts_with(name)).collect();
        match matching.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Error::not_found(format!("{} has no backup {name:?}", self.name))
                .hint("`lifeboat list` shows what is there")),
            many => {
                let names: Vec<&str> = many.iter().take(4).map(|id| id.as_str()).collect();
                Err(Error::usage(format!("{name:?} could be {} backups: {}, …", many.len(), names.join(", "))))
            }
        }
    }

    async fn latest(&self) -> Result<BackupId> {
        for id in self.live().await? {
            if self.manifest(&id).await?.purpose == Purpose::Backup {
                return Ok(id);
            }
        }
        Err(Error::not_found(format!("{} has no complete backup", self.name)))
    }

    /// The manifest, proven authentic and in its place. Errors: `NotFound`, `Verification`.
    pub async fn manifest(&self, id: &BackupId) -> Result<Manifest> {
        Ok(self.manifest_and_bytes(id).await?.0)
    }

    /// The manifest, and as it is stored. Errors: as [`manifest`](Self::manifest).
    pub async fn manifest_and_bytes(&self, id: &BackupId) -> Result<(Manifest, Bytes)> {
        let key = self.layout.manifest(id);
        let bytes = self.store().get(&key).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::not_found(format!("there is no backup {id} of {}", self.name)),
            _ => error,
        })?;
        let unverified = Unverified::parse(&key, &bytes)?;
        let keys = self.keys(unverified.mac_key).await.map_err(|error| error.context(&key))?;
        let manifest: Manifest = unverified.verify(&keys, "manifest")?;
        let named = (&manifest.id, &manifest.database, manifest.vault, manifest.key);
        if named != (id, &self.name, self.vault.id(), unverified.mac_key) {
            return Err(Error::verification(format!("{key} is the manifest of another backup")));
        }
        Ok((manifest, bytes))
    }

    /// Makes the backup exist. One request: a reply that is lost leaves the outcome open, and the error says so.
    /// `at`: when it was right to, by the store's clock; much later the store refuses.
    pub async fn publish(&self, manifest: &Manifest, at: Timestamp) -> Result<()> {
        if manifest.key != self.current.id {
            return Err(Error::bug("a manifest must name the key that authenticates it"));
        }
        let key = self.layout.manifest(&manifest.id);
        match self.vault.write(&self.current, "manifest", &key, manifest, Tries::Once { at }).await? {
            Put::Created => Ok(()),
            Put::Exists => Err(Error::conflict(format!("backup {} was published by another attempt", manifest.id))
                .hint("there is nothing to do: that attempt's backup is the one")),
        }
    }

    /// Errors: `Verification` when it is missing or damaged.
    pub async fn pack_list(&self, manifest: &Manifest) -> Result<PackList> {
        let key = self.layout.pack(&manifest.pack_list);
        let bytes = match self.pack(&Shelf::Pool, &manifest.pack_list).await {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(self
                    .damage_behind(error, &Shelf::Pool, &manifest.pack_list, manifest.pack_list_bytes)
                    .await);
            }
        };
        if bytes.len() as u64 != manifest.pack_list_bytes || pack::pack_id(&bytes) != manifest.pack_list {
            return Err(Error::verification(format!("the pack list {key} is damaged: its bytes do not have its name")));
        }
        PackList::from_bytes(&bytes)
    }

    /// Errors: `Verification` naming the pack.
    pub async fn catalogue(&self, manifest: &Manifest) -> Result<Catalogue> {
        let parse = |json: Vec<u8>| {
            serde_json::from_slice(&json).map_err(|e| Error::verification("it is not a catalogue").because(e))
        };
        self.opened(manifest.key, PieceKind::Catalogue, &manifest.catalogue, parse).await
    }

    /// Errors: `Verification` naming the pack.
    pub async fn index_part(&self, key: KeyId, at: &PieceRef) -> Result<IndexPart> {
        self.opened(key, PieceKind::Index, at, |json| IndexPart::from_bytes(&json)).await
    }

    /// Reads and opens one piece of the pool. Errors: `Verification` naming the pack, also when it is missing or too short.
    pub async fn piece(&self, key: KeyId, kind: PieceKind, at: &PieceRef) -> Result<Vec<u8>> {
        self.opened(key, kind, at, Ok).await
    }

    /// Reads, opens and parses one piece of the pool; all but the reading on a blocking thread.
    async fn opened<T: Send + 'static>(
        &self,
        key: KeyId,
        kind: PieceKind,
        at: &PieceRef,
        parse: impl FnOnce(Vec<u8>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (keys, at, place) = (self.keys(key).await?, *at, self.place(&Shelf::Pool, at));
        let sealed = self.pack_range(&Shelf::Pool, &at.pack, at.range()?).await?;
        let open = move || parse(Opener::new(&keys)?.open(kind, at.id, at.plaintext_bytes, sealed.into())?);
        let opened = tokio::task::spawn_blocking(open).await;
        let opened = opened.map_err(|e| Error::bug("opening a piece failed").because(e))?;
        opened.map_err(|error| error.context(place))
    }

    /// Records a verdict. Of two in the same moment the second is dated a microsecond later, until it finds a free name.
    pub async fn write_verdict(&self, verdict: &Verdict) -> Result<()> {
        let mut verdict = verdict.clone();
        loop {
            let key = self.layout.verdict(&verdict.backup, verdict.at, verdict.depth, verdict.ok);
            match self.write_record("verdict", &key, &verdict).await? {
                Put::Created => return Ok(()),
                Put::Exists => verdict.at += 1.microsecond(),
            }
        }
    }

    /// Verdicts on one backup, oldest first.
    pub async fn verdicts(&self, id: &BackupId) -> Result<Vec<Verdict>> {
        self.read_verdicts(&self.layout.verdicts(id), |_| true).await
    }

    /// What the verdicts say about each published backup, oldest first. Every one is read and proven: a name alone proves
    /// nothing.
    pub async fn verdict_summaries(&self) -> Result<BTreeMap<BackupId, Vec<VerdictSummary>>> {
        let mut found: BTreeMap<BackupId, Vec<VerdictSummary>> = BTreeMap::new();
        for verdict in self.published_verdicts("").await? {
            found.entry(verdict.backup.clone()).or_default().push(VerdictSummary::of(&verdict));
        }
        Ok(found)
    }

    /// When one of the published backups was last restored and found equal. Reads the verdicts that say so, and no others.
    pub async fn last_restored_at(&self) -> Result<Option<Timestamp>> {
        let restored = self.published_verdicts(&format!("-{}-ok.json", Depth::Restore)).await?;
        Ok(restored.iter().map(|verdict| verdict.at).max())
    }

    /// Verdicts on published backups, of those whose names end so.
    async fn published_verdicts(&self, end: &str) -> Result<Vec<Verdict>> {
        let prefixes: HashSet<String> = self.published().await?.iter().map(|id| self.layout.verdicts(id)).collect();
        let of_published = |key: &str| key.rfind('/').is_some_and(|end| prefixes.contains(&key[..=end]));
        self.read_verdicts(&self.layout.all_verdicts(), |key| key.ends_with(end) && of_published(key)).await
    }

    /// Packs that any failed verdict of this database names: never referred to again.
    pub async fn damaged_packs(&self) -> Result<HashSet<PackId>> {
        let failed = self.read_verdicts(&self.layout.all_verdicts(), |key| key.ends_with("-failed.json")).await?;
        Ok(failed.iter().flat_map(|verdict| &verdict.findings).filter_map(|finding| finding.pack).collect())
    }

    async fn read_verdicts(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Verdict>> {
        let objects = store::list_all(self.store(), prefix).await?;
        let keys = objects.into_iter().map(|object| object.key).filter(|key| wanted(key));
        let read = async |key: String| {
            let verdict: Verdict = self.read_record("verdict", &key).await?;
            let named = self.layout.verdict(&verdict.backup, verdict.at, verdict.depth, verdict.ok);
            match named == key {
                true => Ok(verdict),
                false => Err(Error::verification(format!("{key} is a verdict that belongs at {named}"))),
            }
        };
        stream::iter(keys).map(read).buffered(READS_AT_ONCE).try_collect().await
    }

    /// Reads one record, by whichever of the database's keys authenticates it.
    pub async fn read_record<T: DeserializeOwned>(&self, kind: &str, key: &str) -> Result<T> {
        self.verified_record(kind, key, &self.store().get(key).await?).await
    }

    /// What the bytes at `key` say, if one of the database's keys authenticates them.
    pub(super) async fn verified_record<T: DeserializeOwned>(&self, kind: &str, key: &str, bytes: &[u8]) -> Result<T> {
        let unverified = Unverified::parse(key, bytes)?;
        let keys = self.keys(unverified.mac_key).await.map_err(|error| error.context(key))?;
        unverified.verify(&keys, kind)
    }

    pub async fn write_record<T: Serialize>(&self, kind: &str, key: &str, content: &T) -> Result<Put> {
        self.vault.write(&self.current, kind, key, content, Tries::Many).await
    }

    /// How old a tombstone has to be before it condemns, and a pack that nobody needs before it is deleted.
    pub fn grace(&self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.vault.format.grace_hours))
    }

    /// The moment after which a job that began listing at `listed_at` may no longer publish. Never beyond the end of time,
    /// however late the time that somebody wrote into a name.
    pub fn job_limit(&self, listed_at: Timestamp) -> Timestamp {
        let limit = SignedDuration::from_hours(i64::from(self.vault.format.job_limit_hours));
        listed_at.checked_add(limit).unwrap_or(Timestamp::MAX)
    }
}
