//! The vault: what may be written, in which order, and what a reader may believe.
//!
//! Every key is written once ([`ObjectStore::put_new`]); there is no other kind of write and no lock beside it. What may race:
//! - two `init`s: one wins `format/1.json`, the other is told that a vault is there;
//! - two first backups of one database: each may add a data key. Both keys stay; whoever meets a key that it does not know
//!   reads the keyring again;
//! - two backups of one database: they write packs under names of their content, each with fresh nonces, so they never meet;
//!   a job's claim draws the backup id, so a zombie and its successor race for one manifest key and one wins;
//! - a cancellation and a condemnation of one tombstone: one wins the outcome, the other obeys;
//! - two writers of a numbered record (identity, keyring, tombstone, claim): one wins the number, the other takes the next.
//!
//! Readers believe a record only after its MAC and place are checked, and a piece only after it decrypts and hashes to its
//! id. Names in a listing say where to look, never what is true. A backup exists when its manifest exists; the manifest is
//! written last.

mod alerts;
mod audit;
mod database;
mod drills;
mod keyring;
pub mod keys;
pub mod layout;
pub mod pack;
pub mod piece;
mod pieces;
mod pool;
mod record;
mod replica;
mod rewrap;
mod tombstone;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::model::{DatabaseIdentity, DatabaseName, KeyId, VaultFormat, VaultId};
use crate::store::{self, ObjectStore, Put, Tries};
use keys::{Keys, MasterKey, Place, SecretKey};
use layout::Layout;
use record::Unverified;

pub use alerts::LastAlert;
pub use audit::StoredEntry;
pub use database::DatabaseVault;
pub use drills::{KeptDrill, RecordProof};
pub use rewrap::Rewrapped;
pub use tombstone::{FoundTombstone, Motive, TombstoneState};

/// The newest format this engine reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// The features this engine understands; a vault that needs another is refused.
pub const FEATURES: [&str; 0] = [];
/// How far this host's clock may be from the store's.
pub const MAX_SKEW_MINUTES: i64 = 5;
/// A year: longer limits are mistakes, and would overflow somewhere.
const MAX_GRACE_HOURS: u32 = 366 * 24;

/// An opened vault.
#[derive(Debug)]
pub struct Vault {
    pub store: Arc<dyn ObjectStore>,
    pub format: VaultFormat,
    master: MasterKey,
    /// Whether `master` is the one by which the keys were wrapped last.
    has_newest_master: bool,
    keys: Keys,
}

impl Vault {
    /// Makes a vault where none is.
    ///
    /// Errors: `Conflict` when there is one already; `Usage` for limits that would make deleting unsafe.
    pub async fn init(
        store: Arc<dyn ObjectStore>,
        master: MasterKey,
        grace_hours: u32,
        job_limit_hours: u32,
    ) -> Result<Self> {
        check_limits(grace_hours, job_limit_hours)?;
        let taken = || {
            Error::conflict(format!("{} is a vault already", store.location()))
                .hint("use it with its own master key, or choose another place")
        };
        if !numbered(&*store, layout::FORMATS).await?.is_empty() {
            return Err(taken());
        }
        if !store.list_names(layout::DATABASES).await?.is_empty() {
            return Err(Error::conflict(format!("{} holds backups, but its format record is gone", store.location()))
                .hint("put format/1.json back from another copy, or choose another place"));
        }
        let (id, key) = (VaultId::random(), KeyId::random());
        let data_key = SecretKey::random();
        let wrapped_key = master.wrap(&data_key, Place { vault: id, database: "", key }).await?;
        let format = VaultFormat {
            vault: id,
            version: FORMAT_VERSION,
            features: FEATURES.map(str::to_owned).to_vec(),
            created_at: store.now().await?,
            grace_hours,
            job_limit_hours,
            key,
            wrapped_key,
        };
        let keys = Keys::derive(key, &data_key);
        let vault = Self { store: Arc::clone(&store), format, master, has_newest_master: true, keys };
        match vault.write(&vault.keys, "format", &layout::format(1), &vault.format, Tries::Many).await? {
            Put::Created => Ok(vault),
            Put::Exists => Err(taken()),
        }
    }

    /// Errors: `NotFound` where no vault is, `Configuration` for another vault's master key or a newer format.
    pub async fn open(store: Arc<dyn ObjectStore>, master: MasterKey) -> Result<Self> {
        let formats = numbered(&*store, layout::FORMATS).await?;
        let Some(newest) = formats.last() else {
            return Err(Error::not_found(format!("there is no vault at {}", store.location()))
                .hint("`lifeboat init` makes one"));
        };
        let OwnKey { keys, of, .. } = first_key(&*store, &master, &formats).await?;
        let format: VaultFormat = Unverified::parse(newest, &store.get(newest).await?)?.verify(&keys, "format")?;
        record::refuse_newer("the vault", format.version, &format.features)?;
        let has_newest_master = of == newest || rewrap::opens(&master, &format).await?;
        if !has_newest_master {
            tracing::warn!(
                "the vault has a newer master key than this one, which still opens it: configure the new one"
            );
        }
        Ok(Self { store, format, master, has_newest_master, keys })
    }

    pub fn id(&self) -> VaultId {
        self.format.vault
    }

    /// The store's time, once this host's clock is seen to agree with it.
    pub async fn now(&self) -> Result<Timestamp> {
        let theirs = self.store.now().await?;
        let skew = self.store.host_time().duration_since(theirs).abs();
        if skew.as_secs() > MAX_SKEW_MINUTES * 60 {
            let skew_s = skew.as_secs();
            return Err(Error::preflight(format!("this host's clock is {skew_s} s away from the vault's"))
                .hint("set the clock (NTP); certificates and retention depend on it"));
        }
        Ok(theirs)
    }

    /// In order of their names. A folder that no database can have made is not one.
    pub async fn databases(&self) -> Result<Vec<DatabaseName>> {
        let names = self.store.list_names(layout::DATABASES).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The one database that somebody asks for, or all.
    pub async fn databases_or(&self, only: Option<&DatabaseName>) -> Result<Vec<DatabaseName>> {
        match only {
            Some(name) => Ok(vec![name.clone()]),
            None => self.databases().await,
        }
    }

    /// For reading, and for what is said about backups. A damaged entry of the keyring costs what that key sealed, no more.
    ///
    /// Errors: `NotFound` when nothing was ever backed up under this name; `Verification` when there are backups but no key.
    pub async fn database(self: &Arc<Self>, name: &DatabaseName) -> Result<DatabaseVault> {
        let layout = Layout::new(name);
        match self.read_keyring(name, &layout).await? {
            Some(keyring) => Ok(DatabaseVault::new(Arc::clone(self), name.clone(), layout, keyring)),
            None => {
                self.refuse_lost_keyring(name, &layout).await?;
                Err(Error::not_found(format!("the vault has no database {name}")).hint(self.name_databases().await))
            }
        }
    }

    /// A new key in the place of a lost one would hide that no earlier backup can be read any more.
    async fn refuse_lost_keyring(&self, name: &DatabaseName, layout: &Layout) -> Result<()> {
        if self.store.list_names(&layout.backups()).await?.is_empty() {
            return Ok(());
        }
        Err(Error::verification(format!("{name} has backups, but no key: {} is empty", layout.keyring()))
            .hint("put that object back from another copy of the vault or an older version of it"))
    }

    async fn name_databases(&self) -> String {
        match self.databases().await {
            Ok(names) if names.is_empty() => "the vault is empty: `lifeboat backup` fills it".to_owned(),
            Ok(names) => {
                let names: Vec<&str> = names.iter().map(DatabaseName::as_str).collect();
                format!("it has: {}", names.join(", "))
            }
            Err(error) => format!("its databases could not be listed: {error}"),
        }
    }

    /// Opens the database's folder, making its identity and first data key if it has none. Safe to call twice or at once.
    ///
    /// Errors: `Conflict` when the name stands for another server's database and `adopt` is not set; `Verification` when any
    /// entry of the keyring is damaged, or all are gone: the newest key, which new backups must use, may be the one that is lost.
    pub async fn database_or_new(self: &Arc<Self>, identity: &DatabaseIdentity, adopt: bool) -> Result<DatabaseVault> {
        let name = &identity.database;
        let layout = Layout::new(name);
        self.claim_identity(identity, &layout, adopt).await?;
        if self.read_keyring(name, &layout).await?.is_none() {
            self.refuse_lost_keyring(name, &layout).await?;
            self.add_data_key(name, &layout).await?;
        }
        let database = self.database(name).await?;
        database.check_keyring()?;
        Ok(database)
    }

    async fn claim_identity(&self, identity: &DatabaseIdentity, layout: &Layout, adopt: bool) -> Result<()> {
        let identities = numbered(&*self.store, &layout.identities()).await?;
        let number = match identities.last() {
            None => 1,
            Some(key) => {
                let known: DatabaseIdentity = self.read(&self.keys, "identity", key).await?;
                if known.system_identifier == identity.system_identifier && known.database_oid == identity.database_oid
                {
                    return Ok(());
                }
                if !adopt {
                    return Err(another_database(&known));
                }
                number_after(key)
            }
        };
        // Whoever loses the number was raced by another backup of this name: its identity is checked next time round.
        match self.write(&self.keys, "identity", &layout.identity(number), identity, Tries::Many).await? {
            Put::Created => Ok(()),
            Put::Exists => Box::pin(self.claim_identity(identity, layout, adopt)).await,
        }
    }

    async fn read<T: DeserializeOwned>(&self, keys: &Keys, kind: &str, key: &str) -> Result<T> {
        let bytes = self.store.get(key).await?;
        Unverified::parse(key, &bytes)?.verify(keys, kind)
    }

    async fn write<T: Serialize>(&self, keys: &Keys, kind: &str, key: &str, content: &T, tries: Tries) -> Result<Put> {
        let bytes = record::encode(keys, kind, key, content);
        self.store.put_new(key, bytes.into(), tries).await
    }
}

/// For tests of what the vault's own key signs.
#[cfg(test)]
impl Vault {
    pub async fn read_own<T: DeserializeOwned>(&self, kind: &str, key: &str) -> T {
        self.read(&self.keys, kind, key).await.unwrap()
    }

    pub async fn write_own<T: Serialize>(&self, kind: &str, key: &str, content: &T) {
        assert_eq!(self.write(&self.keys, kind, key, content, Tries::Many).await.unwrap(), Put::Created);
    }
}

fn another_database(known: &DatabaseIdentity) -> Error {
    Error::conflict(format!(
        "the vault's {} is the database {} of another server (system identifier {}, oid {})",
        known.database, known.database_name, known.system_identifier, known.database_oid
    ))
    .hint("after a restore or a move to a new server say --adopt; for a different database choose another name")
}

fn check_limits(grace_hours: u32, job_limit_hours: u32) -> Result<()> {
    if (24..=MAX_GRACE_HOURS).contains(&grace_hours) && job_limit_hours > 0 && job_limit_hours < grace_hours.div_ceil(2)
    {
        return Ok(());
    }
    Err(Error::usage("the grace time must be 24 hours to a year, and more than twice the job limit")
        .hint("the defaults are 72 and 24 hours"))
}

/// `…/7.json` → 7. One spelling only: no sign, no leading zero.
fn number_of(key: &str) -> Option<u32> {
    let text = key.rsplit('/').next()?.strip_suffix(".json")?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

/// The number after that of the last record, which has one.
fn number_after(last: &str) -> u32 {
    number_of(last).and_then(|number| number.checked_add(1)).expect("numbered, and not four billion times")
}

/// `7.json` → 7 and no, `7‹second›` → 7 and yes: of two records with one number the name of the second ends so.
fn numbered_pair(file: &str, second: &str) -> Option<(u32, bool)> {
    match file.strip_suffix(second) {
        Some(number) => Some((number_of(&format!("{number}.json"))?, true)),
        None => Some((number_of(file)?, false)),
    }
}

/// The vault's own key.
struct OwnKey<'a> {
    data_key: SecretKey,
    keys: Keys,
    /// The format record that gave it.
    of: &'a String,
}

/// From the oldest format record that the master key opens: whoever may use a KMS key to wrap, and may write to the store,
/// could add a record with a key of his own, but not one before those that are there.
async fn first_key<'a>(store: &dyn ObjectStore, master: &MasterKey, formats: &'a [String]) -> Result<OwnKey<'a>> {
    let mut refused = Error::bug("there are no format records");
    for of in formats {
        match own_key(store, master, of).await {
            Ok(key) => return Ok(key),
            Err(error) if error.kind().is_transient() => return Err(error),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

async fn own_key<'a>(store: &dyn ObjectStore, master: &MasterKey, of: &'a String) -> Result<OwnKey<'a>> {
    let bytes = store.get(of).await?;
    let unverified = Unverified::parse(of, &bytes)?;
    let format: VaultFormat = unverified.content("format")?;
    let data_key = master.unwrap(&format.wrapped_key, format.place()).await?;
    let keys = Keys::derive(format.key, &data_key);
    unverified.verify::<VaultFormat>(&keys, "format")?;
    Ok(OwnKey { data_key, keys, of })
}

/// The numbered records directly below `prefix`, the highest number last.
async fn numbered(store: &dyn ObjectStore, prefix: &str) -> Result<Vec<String>> {
    let objects = store::list_all(store, prefix).await?;
    let directly = |key: &String| !key[prefix.len()..].contains('/');
    let mut keys: Vec<String> = objects.into_iter().map(|o| o.key).filter(directly).collect();
    keys.retain(|key| number_of(key).is_some());
    keys.sort_by_key(|key| number_of(key));
    Ok(keys)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
