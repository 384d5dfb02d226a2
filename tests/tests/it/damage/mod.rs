//! Damaged vaults: whatever is changed, cut, deleted or swapped is found and named.

mod forger;
mod from_the_shell;
mod matrix;
mod objects;
mod restorable;
mod soak;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use lifeboat::model::{Depth, PackId};
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, VerifyReport};
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::{ObjectStore, Tries, list_all};
use lifeboat::vault::keys::MasterKey;
use lifeboat::vault::{DatabaseVault, Vault};
use lifeboat::{Error, ErrorKind, Result};
use lifeboat_tests::{Bed, TestDb};
use secrecy::SecretString;

use crate::rig::{Rig, name, run};

/// A vault in memory with two backups, of which objects can be replaced. From one to the other `orders` changed, and the
/// schema; `customers` did not.
struct Victim {
    store: Arc<MemoryStore>,
    master: SecretString,
    rig: Rig,
    db: TestDb,
    first: BackupReport,
    second: BackupReport,
}

impl Victim {
    async fn new() -> Self {
        let db = Bed::get().server(17).await.create_database().await;
        db.sql(
            "CREATE TABLE customers AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 2000) i;
             CREATE TABLE orders AS SELECT i AS id, md5((-i)::text) AS what FROM generate_series(1, 2000) i",
        )
        .await;
        let store = Arc::new(MemoryStore::new());
        let key = MasterKey::random();
        let master = key.to_base64().unwrap();
        let vault = Vault::init(store.clone(), key, 72, 24).await.unwrap();
        let rig = Rig { vault: Arc::new(vault), run: run() };
        let first = rig.backup_as(&db, "first").await;
        db.sql("UPDATE orders SET what = 'changed' WHERE id = 7; COMMENT ON TABLE orders IS 'changed'").await;
        let second = rig.backup_as(&db, "second").await;
        Self { store, master, rig, db, first, second }
    }

    async fn read(&self, key: &str) -> Bytes {
        self.store.get(key).await.unwrap()
    }

    /// Puts other bytes, or nothing, in an object's place; gives what was there.
    async fn replace(&self, key: &str, bytes: Option<Bytes>) -> Bytes {
        let before = self.read(key).await;
        self.store.delete(key).await.unwrap();
        if let Some(bytes) = bytes {
            self.store.put_new(key, bytes, Tries::Many).await.unwrap();
        }
        before
    }

    async fn put_back(&self, key: &str, bytes: Bytes) {
        self.store.delete(key).await.unwrap();
        self.store.put_new(key, bytes, Tries::Many).await.unwrap();
    }

    /// The vault, by somebody who opens it anew.
    async fn open(&self) -> Result<Arc<Vault>> {
        Ok(Arc::new(Vault::open(self.store.clone(), MasterKey::from_base64(&self.master)?).await?))
    }

    /// Verification of the second backup by somebody who opens the vault anew.
    async fn verify(&self, depth: Depth) -> Result<VerifyReport> {
        let database = self.open().await?.database(&name()).await?;
        verify(&database, &self.second.backup.id, depth, None, &self.rig.run).await
    }

    async fn keys(&self) -> BTreeSet<String> {
        list_all(&*self.store, "").await.unwrap().into_iter().map(|object| object.key).collect()
    }
}

impl Rig {
    /// A backup whose job has a name.
    async fn backup_as(&self, db: &TestDb, job: &str) -> BackupReport {
        let mut options = self.options().await;
        options.job = Some(job.to_owned());
        self.try_backup(db, &options).await.unwrap()
    }
}

/// What damage was told, in words; `None` when nothing was noticed.
fn told(outcome: &Result<VerifyReport>) -> Option<String> {
    match outcome {
        Ok(report) if report.ok => None,
        Ok(report) => Some(report.findings.iter().map(|f| format!("{}: {}\n", f.object, f.problem)).collect()),
        Err(error) => Some(error.message()),
    }
}

fn flipped(bytes: &[u8], at: usize, bit: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes.into()
}

/// The packs that a backup needs, and its pack list.
async fn packs_of(database: &DatabaseVault, backup: &BackupReport) -> BTreeSet<PackId> {
    let manifest = database.manifest(&backup.backup.id).await.unwrap();
    let listed = database.pack_list(&manifest).await.unwrap();
    listed.packs.iter().map(|entry| entry.pack).chain([manifest.pack_list]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_under_another_name_is_no_backup() {
    let victim = Victim::new().await;
    let database = victim.rig.database().await;
    let other = "20261121T000000Z-manual-zzzz".parse().unwrap();
    let bytes = victim.read(&database.layout.manifest(&victim.first.backup.id)).await;
    victim.store.put_new(&database.layout.manifest(&other), bytes, Tries::Many).await.unwrap();
    assert_eq!(database.manifest(&other).await.unwrap_err().kind(), ErrorKind::Verification);
    let report = verify(&database, &other, Depth::Quick, None, &victim.rig.run).await.unwrap();
    assert!(!report.ok, "{report:?}");
    // It stands in nobody's way.
    let next = victim.rig.backup(&victim.db).await.backup;
    assert!(verify(&database, &next.id, Depth::Full, None, &victim.rig.run).await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_is_never_referred_to_again() {
    let victim = Victim::new().await;
    let database = victim.rig.database().await;
    for pack in packs_of(&database, &victim.second).await {
        let key = database.layout.pack(&pack);
        let bytes = victim.read(&key).await;
        let before = victim.replace(&key, Some(flipped(&bytes, bytes.len() / 2, 0))).await;
        assert!(!victim.verify(Depth::Full).await.unwrap().ok);
        let next = victim.rig.backup(&victim.db).await;
        assert!(!packs_of(&database, &next).await.contains(&pack), "{key} is used again");
        let report = verify(&database, &next.backup.id, Depth::Full, None, &victim.rig.run).await.unwrap();
        assert!(report.ok, "{report:?}");
        // Or the next verification would stop at this one.
        victim.put_back(&key, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backup_is_made_over_a_damaged_identity_or_keyring() {
    let victim = Victim::new().await;
    let database = victim.rig.database().await;
    for prefix in [database.layout.identities(), database.layout.keyring()] {
        for object in list_all(database.store(), &prefix).await.unwrap() {
            let bytes = victim.read(&object.key).await;
            victim.replace(&object.key, Some(flipped(&bytes, bytes.len() / 2, 0))).await;
            let refused: Error = victim.rig.try_backup(&victim.db, &victim.rig.options().await).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Verification, "{refused}");
            assert!(refused.message().contains(&object.key), "{refused}");
            victim.put_back(&object.key, bytes).await;
        }
    }
    victim.rig.backup(&victim.db).await;
}

/// A new key in the place of a lost one would hide that every earlier backup can no longer be read.
#[tokio::test(flavor = "multi_thread")]
async fn no_backup_is_made_over_a_keyring_that_is_gone() {
    let victim = Victim::new().await;
    let keyring = victim.rig.database().await.layout.keyring();
    for object in list_all(&*victim.store, &keyring).await.unwrap() {
        victim.store.delete(&object.key).await.unwrap();
    }
    let refused = victim.rig.try_backup(&victim.db, &victim.rig.options().await).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Verification, "{refused}");
    assert!(refused.message().contains(&keyring), "{refused}");
    assert_eq!(victim.keys().await.iter().filter(|key| key.starts_with(&keyring)).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_wrong_master_key_nothing_opens_and_nothing_is_called_damaged() {
    let victim = Victim::new().await;
    let refused = Vault::open(victim.store.clone(), MasterKey::random()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Configuration, "{refused}");
    assert!(victim.verify(Depth::Full).await.unwrap().ok);
}
