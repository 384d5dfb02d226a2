//! Damaged vaults: whatever is changed, cut, deleted or swapped is found and named.

use std::sync::Arc;

use bytes::Bytes;
use lifeboat::model::{Depth, Manifest, PackId};
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, VerifyReport};
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::{ObjectStore, Tries, list_all};
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat::{Error, ErrorKind, Result};
use lifeboat_tests::{Bed, TestDb};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use secrecy::SecretString;

use crate::rig::{Rig, name, run};

/// A vault in memory with two backups, of which objects can be replaced.
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
            "CREATE TABLE customers AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 20000) i;
             CREATE TABLE orders AS SELECT i AS id, md5((-i)::text) AS what FROM generate_series(1, 20000) i",
        )
        .await;
        let store = Arc::new(MemoryStore::new());
        let key = MasterKey::random();
        let master = key.to_base64().unwrap();
        let vault = Vault::init(store.clone(), key, 72, 24).await.unwrap();
        let rig = Rig { vault: Arc::new(vault), run: run() };
        let first = rig.backup(&db).await;
        db.sql("UPDATE orders SET what = 'changed' WHERE id = 7").await;
        let second = rig.backup(&db).await;
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

    /// Full verification of the second backup by somebody who opens the vault anew.
    async fn verify(&self) -> Result<VerifyReport> {
        let vault = Vault::open(self.store.clone(), MasterKey::from_base64(&self.master)?).await?;
        let database = Arc::new(vault).database(&name()).await?;
        verify(&database, &self.second.backup.id, Depth::Full, None, &self.rig.run).await
    }

    async fn manifest(&self) -> Manifest {
        self.rig.database().await.manifest(&self.second.backup.id).await.unwrap()
    }

    /// What the second backup needs: each object with the tables whose rows are in it, and a byte of those rows.
    async fn objects(&self) -> Vec<(String, Vec<(String, usize)>)> {
        let database = self.rig.database().await;
        let manifest = self.manifest().await;
        let mut objects = vec![
            ("format/1.json".to_owned(), vec![]),
            (database.layout.manifest(&manifest.id), vec![]),
            (database.layout.pack(&manifest.pack_list), vec![]),
        ];
        let keyring = list_all(database.store(), &database.layout.keyring()).await.unwrap();
        objects.extend(keyring.into_iter().map(|object| (object.key, vec![])));
        let catalogue = database.catalogue(&manifest).await.unwrap();
        for entry in database.pack_list(&manifest).await.unwrap().0 {
            let mut tables = Vec::new();
            for table in &catalogue.tables {
                for at in &table.parts {
                    let part = database.index_part(manifest.key, at).await.unwrap();
                    let piece =
                        part.chunks.iter().filter_map(|chunk| chunk.piece).find(|piece| piece.pack == entry.pack);
                    tables.extend(
                        piece.map(|piece| (table.name.to_string(), (piece.offset + piece.length / 2) as usize)),
                    );
                }
            }
            objects.push((database.layout.pack(&entry.pack), tables));
        }
        objects
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

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_is_missed_and_named_when_it_is_changed_cut_swapped_or_gone() {
    let victim = Victim::new().await;
    assert!(victim.verify().await.unwrap().ok);
    let objects = victim.objects().await;
    assert!(objects.iter().filter(|(_, tables)| !tables.is_empty()).count() >= 2, "{objects:?}");
    let manifest = victim.rig.database().await.layout.manifest(&victim.second.backup.id);
    for (number, (key, tables)) in objects.iter().enumerate() {
        let bytes = victim.read(key).await;
        let other = victim.read(&objects[(number + 1) % objects.len()].0).await;
        let at = tables.first().map_or(bytes.len() / 2, |(_, at)| *at);
        let damages = [
            ("changed", Some(flipped(&bytes, at, 3))),
            ("cut", Some(bytes.slice(..bytes.len() - 1))),
            ("emptied", Some(Bytes::new())),
            ("longer", Some([&bytes[..], b"x"].concat().into())),
            ("swapped", Some(other)),
            ("gone", None),
        ];
        for (how, instead) in damages {
            let gone = instead.is_none();
            let before = victim.replace(key, instead).await;
            let outcome = victim.verify().await;
            victim.put_back(key, before).await;
            let told = told(&outcome).unwrap_or_else(|| panic!("{key} {how}: nobody noticed"));
            if let Err(error) = &outcome {
                let missing = gone && error.kind() == ErrorKind::NotFound;
                assert!(error.kind() == ErrorKind::Verification || missing, "{key} {how}: {error:?}");
            }
            // Without its manifest a backup does not exist, and without its format a vault does not.
            let nameless = gone && (*key == manifest || key.starts_with("format/") || key.contains("/keyring/"));
            assert!(nameless || told.contains(key), "{key} {how}: {told}");
            // An earlier backup's pack holds rows that this one no longer needs: those are not lost.
            let lost = match how {
                "changed" => &tables[..tables.len().min(1)],
                "cut" | "longer" => &[],
                _ => &tables[..],
            };
            for (table, _) in lost {
                assert!(told.contains(table), "{key} {how} does not name {table}: {told}");
            }
        }
    }
    assert!(victim.verify().await.unwrap().ok, "all was put back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_in_a_backup_is_found() {
    let victim = Victim::new().await;
    let objects = victim.objects().await;
    let seed: u64 = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..300 {
        let key = &objects[random.random_range(0..objects.len())].0;
        let bytes = victim.read(key).await;
        let (at, bit) = (random.random_range(0..bytes.len()), random.random_range(0..8));
        let before = victim.replace(key, Some(flipped(&bytes, at, bit))).await;
        let outcome = victim.verify().await;
        victim.put_back(key, before).await;
        assert!(told(&outcome).is_some(), "seed {seed}: bit {bit} of byte {at} of {key} was flipped unseen");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Verification, "seed {seed}: byte {at} bit {bit} of {key}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_under_another_name_is_no_backup() {
    let victim = Victim::new().await;
    let database = victim.rig.database().await;
    let other = "20261121T000000Z-manual-zzzz".parse().unwrap();
    let bytes = victim.read(&database.layout.manifest(&victim.first.backup.id)).await;
    victim.store.put_new(&database.layout.manifest(&other), bytes, Tries::Many).await.unwrap();
    assert_eq!(database.manifest(&other).await.unwrap_err().kind(), ErrorKind::Verification);
    let report = verify(&database, &other, Depth::Full, None, &victim.rig.run).await.unwrap();
    assert!(!report.ok, "{report:?}");
    // It stands in nobody's way.
    let next = victim.rig.backup(&victim.db).await.backup;
    assert!(verify(&database, &next.id, Depth::Full, None, &victim.rig.run).await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_is_never_referred_to_again() {
    let victim = Victim::new().await;
    let database = victim.rig.database().await;
    for (key, _) in victim.objects().await {
        let Some(pack) = database.layout.pack_of_key(&key) else { continue };
        let bytes = victim.read(&key).await;
        let before = victim.replace(&key, Some(flipped(&bytes, bytes.len() / 2, 0))).await;
        assert!(!victim.verify().await.unwrap().ok);
        let next = victim.rig.backup(&victim.db).await.backup;
        let manifest = database.manifest(&next.id).await.unwrap();
        let needs: Vec<PackId> = database.pack_list(&manifest).await.unwrap().0.iter().map(|e| e.pack).collect();
        assert!(!needs.contains(&pack) && manifest.pack_list != pack, "{key} is used again");
        let report = verify(&database, &next.id, Depth::Full, None, &victim.rig.run).await.unwrap();
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
