//! What the vault promises against damage, forgery and races, on a small vault in memory.

use futures::TryStreamExt;
use proptest::prelude::*;
use serde_json::json;

use super::piece::{PieceKind, Sealer, content_id};
use super::*;
use crate::error::ErrorKind;
use crate::fuzz::fuzz;
use crate::model::{
    BackupId, BlockRange, Catalogue, Cause, Chunk, Depth, Fate, IndexPart, Manifest, PackEntry, PackList, PackOrigin,
    PieceRef, Tally, Tombstone, TombstoneOutcome, Verdict,
};
use crate::store::memory::MemoryStore;

const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn master() -> MasterKey {
    MasterKey::from_base64(&MASTER.into()).unwrap()
}

async fn vault() -> Arc<Vault> {
    Arc::new(Vault::init(Arc::new(MemoryStore::new()), master(), 72, 24).await.unwrap())
}

async fn reopened(store: &Arc<dyn ObjectStore>) -> Result<Arc<Vault>> {
    Vault::open(Arc::clone(store), master()).await.map(Arc::new)
}

pub(super) fn identity(vault: &Vault, system_identifier: &str) -> DatabaseIdentity {
    DatabaseIdentity {
        vault: vault.id(),
        database: "shop".parse().unwrap(),
        system_identifier: system_identifier.to_owned(),
        database_oid: 5,
        database_name: "shop".to_owned(),
    }
}

async fn database(vault: &Arc<Vault>) -> DatabaseVault {
    vault.database_or_new(&identity(vault, "7"), false).await.unwrap()
}

pub(super) fn at(minute: u32) -> BackupId {
    BackupId::new(format!("2026-11-21T02:{minute:02}:00Z").parse().unwrap(), &"daily".parse().unwrap())
}

/// Publishes a backup without tables.
pub(super) async fn publish(db: &DatabaseVault, id: &BackupId) -> Manifest {
    let manifest = manifest(db, id).await;
    db.publish(&manifest, Timestamp::now()).await.unwrap();
    manifest
}

async fn manifest(db: &DatabaseVault, id: &BackupId) -> Manifest {
    let collation = json!({"provider": "libc", "collate": "C", "ctype": "C"});
    let catalogue: Catalogue = serde_json::from_value(json!({
        "database": {"name": "shop", "owner": "o", "encoding": "UTF8", "collation": collation, "connection_limit": -1,
            "comment": id, "settings": []},
        "tables": [], "sequences": [], "large_objects": [], "populated_views": [], "extensions": [], "roles": [],
        "skipped": [], "schema_entries": 0,
    }))
    .unwrap();
    let catalogue = store_piece(db, PieceKind::Catalogue, &serde_json::to_vec(&catalogue).unwrap()).await;
    let size_bytes = catalogue.length;
    let packs = vec![PackEntry { pack: catalogue.pack, size_bytes, origin: PackOrigin::New }];
    let list = PackList { attempt: Some("1".to_owned()), packs }.to_bytes();
    let pack_list = pack::pack_id(&list);
    let pack_list_bytes = list.len();
    db.put_pack(pack_list, list.into()).await.unwrap();
    let now = "2026-11-21T02:00:00Z";
    serde_json::from_value(json!({
        "vault": db.vault.id(), "database": db.name, "id": id, "attempt": "1", "tier": id.tier(), "tags": {},
        "purpose": "backup", "source": "postgresql",
        "cluster": {"system_identifier": "7", "timeline": 1, "postmaster_started_at": now, "version": 170002,
            "version_text": "17.2", "is_replica": false},
        "snapshot": {"snapshot": "3:3:", "lsn": "0/1", "database_oid": 5, "taken_at": now},
        "encoding": "UTF8", "locale": "C", "started_at": now, "finished_at": now, "listed_at": now,
        "totals": {"tables": 0, "rows": 0, "plaintext_bytes": 0, "stored_bytes": 0, "new_bytes": 0, "chunks": 0,
            "new_chunks": 0},
        "catalogue": catalogue, "pack_list": pack_list, "pack_list_bytes": pack_list_bytes,
        "key": db.current_keys().id, "wrapped_key": db.current_wrapped_key(),
        "tools": {"lifeboat": "0", "pg_dump": "0"},
    }))
    .unwrap()
}

async fn store_piece(db: &DatabaseVault, kind: PieceKind, plaintext: &[u8]) -> PieceRef {
    let keys = db.current_keys();
    let id = content_id(keys, kind, plaintext);
    let sealed = Sealer::new(keys, 1).unwrap().seal(kind, id, plaintext).unwrap();
    let (length, pack) = (sealed.bytes.len() as u64, pack::pack_id(&sealed.bytes));
    db.put_pack(pack, sealed.bytes.into()).await.unwrap();
    PieceRef { id, pack, offset: 0, length, plaintext_bytes: plaintext.len() as u64 }
}

async fn tombstone(db: &DatabaseVault, backup: &BackupId) {
    let tombstone = Tombstone {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: backup.clone(),
        number: 1,
        cause: Cause::Deletion,
        reason: "test".to_owned(),
        by: "test".to_owned(),
        at: Timestamp::now(),
    };
    db.write_record("tombstone", &db.layout.tombstone(backup, 1), &tombstone).await.unwrap();
}

async fn outcome(db: &DatabaseVault, backup: &BackupId, fate: Fate) {
    let outcome = TombstoneOutcome {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: backup.clone(),
        number: 1,
        fate,
        reason: "test".to_owned(),
        by: "test".to_owned(),
        at: Timestamp::now(),
    };
    db.write_record("outcome", &db.layout.tombstone_outcome(backup, 1), &outcome).await.unwrap();
}

fn verdict(db: &DatabaseVault, backup: &BackupId) -> Verdict {
    Verdict {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: backup.clone(),
        depth: Depth::Full,
        ok: true,
        at: "2026-11-21T03:00:00Z".parse().unwrap(),
        duration_ms: 1,
        findings: Vec::new(),
        lifeboat: "0".to_owned(),
    }
}

#[tokio::test]
async fn a_vault_opens_with_its_master_key_and_with_no_other() {
    let vault = vault().await;
    let db = database(&vault).await;
    let again = reopened(&vault.store).await.unwrap();
    assert_eq!(again.format, vault.format);
    assert_eq!(again.database(&db.name).await.unwrap().current_keys().id, db.current_keys().id);
    let other = Vault::open(Arc::clone(&vault.store), MasterKey::random()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn a_second_init_is_a_conflict_and_limits_that_make_deleting_unsafe_are_refused() {
    let vault = vault().await;
    let again = Vault::init(Arc::clone(&vault.store), master(), 72, 24).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    for (grace, limit) in [(23, 1), (72, 0), (72, 36), (25, 13), (72, 1 << 31), (u32::MAX, 1)] {
        let refused = Vault::init(Arc::new(MemoryStore::new()), master(), grace, limit).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{grace} {limit}");
    }
    assert!(Vault::init(Arc::new(MemoryStore::new()), master(), 25, 12).await.is_ok());
}

#[tokio::test]
async fn a_vault_that_lost_its_format_record_is_not_made_anew_over_its_backups() {
    let vault = vault().await;
    database(&vault).await;
    vault.store.delete("format/1.json").await.unwrap();
    let refused = Vault::init(Arc::clone(&vault.store), master(), 72, 24).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_later_format_record_counts_only_with_the_mac_of_the_vaults_own_key() {
    let vault = vault().await;
    let second = VaultFormat { grace_hours: 48, job_limit_hours: 2, ..vault.format.clone() };
    let bytes = record::encode(&vault.keys, "format", "format/2.json", &second);
    vault.store.put_new("format/2.json", bytes.into(), Tries::Many).await.unwrap();
    assert_eq!(reopened(&vault.store).await.unwrap().format, second);

    // Somebody who may wrap with the master key, as a KMS key's policy may allow, but does not know the vault's key.
    let (key, data_key) = (vault.format.key, SecretKey::random());
    let place = Place { vault: vault.id(), database: "", key };
    let wrapped_key = master().wrap(&data_key, place).await.unwrap();
    let planted = VaultFormat { wrapped_key, ..vault.format.clone() };
    let bytes = record::encode(&Keys::derive(key, &data_key), "format", "format/3.json", &planted);
    vault.store.put_new("format/3.json", bytes.into(), Tries::Many).await.unwrap();
    assert_eq!(reopened(&vault.store).await.unwrap_err().kind(), ErrorKind::Verification);
}

#[tokio::test]
async fn another_servers_database_takes_over_a_name_only_when_adopted() {
    let vault = vault().await;
    database(&vault).await;
    let refused = vault.database_or_new(&identity(&vault, "8"), false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(vault.database_or_new(&identity(&vault, "8"), true).await.is_ok());
    assert!(vault.database_or_new(&identity(&vault, "8"), false).await.is_ok());
    assert!(vault.database_or_new(&identity(&vault, "7"), false).await.is_err());
}

#[tokio::test]
async fn first_backups_at_once_read_what_the_other_sealed() {
    let vault = vault().await;
    let early = database(&vault).await;
    // The race: the second saw no key yet, and adds its own.
    vault.add_data_key(&early.name, &early.layout).await.unwrap();
    let late = vault.database(&early.name).await.unwrap();
    let (one, two) = (at(1), at(2));
    publish(&early, &one).await;
    publish(&late, &two).await;
    for db in [&early, &late] {
        for id in [&one, &two] {
            let manifest = db.manifest(id).await.unwrap();
            db.catalogue(&manifest).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_backup_is_live_unless_deleted_and_again_when_that_was_cancelled() {
    let db = database(&vault().await).await;
    let (kept, deleted, cancelled, condemned) = (at(1), at(2), at(3), at(4));
    for id in [&kept, &deleted, &cancelled, &condemned] {
        publish(&db, id).await;
    }
    for id in [&deleted, &cancelled, &condemned] {
        tombstone(&db, id).await;
    }
    outcome(&db, &cancelled, Fate::Cancelled).await;
    outcome(&db, &condemned, Fate::Condemned).await;
    assert_eq!(db.live().await.unwrap(), [cancelled.clone(), kept]);
    assert_eq!(db.resolve("latest").await.unwrap(), cancelled);
    assert_eq!(db.resolve(deleted.as_str()).await.unwrap(), deleted);
    assert_eq!(db.resolve("20261121T0202").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(db.resolve("2026").await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(db.resolve("").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn forged_records_are_not_believed() {
    let vault = vault().await;
    let db = database(&vault).await;
    let id = at(1);
    publish(&db, &id).await;
    let forger = Keys::derive(db.current_keys().id, &SecretKey::random());
    let plant = async |kind: &str, key: &str, content: serde_json::Value| {
        let bytes = record::encode(&forger, kind, key, &content);
        vault.store.put_new(key, bytes.into(), Tries::Many).await.unwrap();
    };

    let verdict = verdict(&db, &id);
    let key = db.layout.verdict(&id, verdict.at, verdict.depth, true);
    plant("verdict", &key, serde_json::to_value(&verdict).unwrap()).await;
    assert_eq!(db.verdict_summaries().await.unwrap_err().kind(), ErrorKind::Verification);

    plant("tombstone", &db.layout.tombstone(&id, 1), json!({})).await;
    assert_eq!(db.live().await.unwrap_err().kind(), ErrorKind::Verification);
    assert_eq!(db.resolve(id.as_str()).await.unwrap(), id, "a whole id still names its backup");

    plant("manifest", &db.layout.manifest(&at(2)), json!({})).await;
    assert_eq!(db.resolve("2").await.unwrap_err().kind(), ErrorKind::Verification);

    plant("key", &db.layout.keyring_entry(KeyId([1; 8]), 1), json!({})).await;
    assert!(vault.database(&db.name).await.is_ok(), "reading goes on");
    let refused = vault.database_or_new(&identity(&vault, "7"), false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Verification, "writing does not");
}

#[tokio::test]
async fn what_is_no_vault_object_does_not_stop_reading() {
    let vault = vault().await;
    let db = database(&vault).await;
    let id = at(1);
    publish(&db, &id).await;
    for stray in ["databases/README", "databases/Old-Backups/x", "databases/shop/backups/notes/x", "format/notes.json"]
    {
        vault.store.put_new(stray, "hello".into(), Tries::Many).await.unwrap();
    }
    let again = reopened(&vault.store).await.unwrap();
    assert_eq!(again.databases().await.unwrap(), std::slice::from_ref(&db.name));
    assert_eq!(again.database(&db.name).await.unwrap().resolve("latest").await.unwrap(), id);
}

#[tokio::test]
async fn a_missing_or_short_pack_is_damage_not_an_unreachable_vault() {
    let db = database(&vault().await).await;
    let piece = store_piece(&db, PieceKind::Chunk, b"rows\n").await;
    let key = db.current_keys().id;
    let read = async |at: PieceRef| db.piece(key, PieceKind::Chunk, &at).await.unwrap_err().kind();
    assert!(db.piece(key, PieceKind::Chunk, &piece).await.is_ok());
    assert_eq!(read(PieceRef { length: piece.length + 1, ..piece }).await, ErrorKind::Verification);
    assert_eq!(read(PieceRef { offset: u64::MAX, ..piece }).await, ErrorKind::Verification);
    assert_eq!(read(PieceRef { plaintext_bytes: u64::MAX, ..piece }).await, ErrorKind::Verification);
    db.store().delete(&db.layout.pack(&piece.pack)).await.unwrap();
    assert_eq!(read(piece).await, ErrorKind::Verification);
}

#[tokio::test]
async fn parts_of_indexes_come_in_order_each_damaged_for_itself() {
    let db = database(&vault().await).await;
    let range = BlockRange { first: 7, end: None };
    let chunk = Chunk { range, part: 0, tally: Tally::default(), piece: None };
    let parts = [Vec::new(), vec![chunk], vec![chunk; 2]].map(|chunks| IndexPart { chunks });
    let mut wanted = Vec::new();
    for part in &parts {
        wanted.push(store_piece(&db, PieceKind::Index, &part.to_bytes()).await);
    }
    // More than is read together, if it were true.
    wanted.insert(1, PieceRef { plaintext_bytes: 1 << 30, ..wanted[0] });
    let mut read: Vec<Result<IndexPart>> = db.index_parts(db.current_keys().id, wanted).try_collect().await.unwrap();
    assert_eq!(read.remove(1).unwrap_err().kind(), ErrorKind::Verification);
    assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), parts);
}

#[tokio::test]
async fn verdicts_of_one_moment_are_both_kept() {
    let db = database(&vault().await).await;
    let verdict = verdict(&db, &at(1));
    db.write_verdict(&verdict).await.unwrap();
    db.write_verdict(&verdict).await.unwrap();
    db.write_verdict(&Verdict { duration_ms: 2, ..verdict.clone() }).await.unwrap();
    let stored: Vec<u64> = db.verdicts(&verdict.backup).await.unwrap().iter().map(|v| v.duration_ms).collect();
    assert_eq!(stored, [1, 2], "an equal one is the same one");
}

#[tokio::test]
async fn a_backup_id_is_published_once() {
    let db = database(&vault().await).await;
    let id = at(1);
    let first = publish(&db, &id).await;
    let second = Manifest { attempt: "2".to_owned(), ..first.clone() };
    assert_eq!(db.publish(&second, Timestamp::now()).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(db.manifest(&id).await.unwrap(), first);
}

/// Reads everything that is in the small vault of the next test.
async fn read_all(store: &Arc<dyn ObjectStore>, ids: &[BackupId]) -> Result<()> {
    let vault = reopened(store).await?;
    let db = vault.database_or_new(&identity(&vault, "7"), false).await?;
    db.live().await?;
    db.verdict_summaries().await?;
    for id in ids {
        let manifest = db.manifest(id).await?;
        db.pack_list(&manifest).await?;
        db.catalogue(&manifest).await?;
    }
    Ok(())
}

async fn small_vault() -> (Vec<(String, Vec<u8>)>, [BackupId; 2]) {
    let vault = vault().await;
    let db = database(&vault).await;
    let (id, other) = (at(1), at(2));
    publish(&db, &id).await;
    publish(&db, &other).await;
    db.write_verdict(&verdict(&db, &id)).await.unwrap();
    tombstone(&db, &other).await;
    outcome(&db, &other, Fate::Cancelled).await;
    let mut objects = Vec::new();
    for object in store::list_all(&*vault.store, "").await.unwrap() {
        // An outcome makes its tombstone irrelevant: nothing reads it any more.
        if object.key != db.layout.tombstone(&other, 1) {
            objects.push((object.key.clone(), vault.store.get(&object.key).await.unwrap().to_vec()));
        }
    }
    (objects, [id, other])
}

async fn stored(objects: Vec<(String, Vec<u8>)>) -> Arc<dyn ObjectStore> {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    for (key, body) in objects {
        store.put_new(&key, body.into(), Tries::Many).await.unwrap();
    }
    store
}

fn run<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(story)
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_in_a_vault_is_found(object: prop::sample::Index, at: prop::sample::Index, bit in 0u8..8) {
        run(async {
            let (mut objects, ids) = small_vault().await;
            read_all(&stored(objects.clone()).await, &ids).await.unwrap();
            let (key, body) = &mut *object.get_mut(&mut objects);
            let (key, at) = (key.clone(), at.index(body.len()));
            body[at] ^= 1 << bit;
            let found = read_all(&stored(objects).await, &ids).await.unwrap_err();
            prop_assert_eq!(found.kind(), ErrorKind::Verification, "byte {} of {}: {}", at, key, found);
            Ok(())
        })?;
    }

    #[test]
    fn a_swapped_object_is_found(one: prop::sample::Index, other: prop::sample::Index) {
        run(async {
            let (mut objects, ids) = small_vault().await;
            let (one, other) = (one.index(objects.len()), other.index(objects.len()));
            prop_assume!(one != other);
            let body = objects[other].1.clone();
            objects[one].1 = body;
            let found = read_all(&stored(objects).await, &ids).await.unwrap_err();
            prop_assert_eq!(found.kind(), ErrorKind::Verification, "{}", found);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_manifest_or_catalogue_with_anything_changed_is_read_or_refused_without_panic() {
    let db = database(&vault().await).await;
    let manifest = publish(&db, &at(1)).await;
    let catalogue = db.catalogue(&manifest).await.unwrap();
    let [manifest, catalogue] = [serde_json::to_vec(&manifest).unwrap(), serde_json::to_vec(&catalogue).unwrap()];
    fuzz(&[&manifest], |bytes| {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
        let _ = (db.job_limit(manifest.listed_at), manifest.id.time(), manifest.id.tier(), manifest.catalogue.range());
    });
    fuzz(&[&catalogue], |bytes| {
        let Ok(catalogue) = serde_json::from_slice::<Catalogue>(bytes) else { return };
        let _ = catalogue.tally();
    });
}

#[tokio::test]
async fn reading_a_vault_can_be_spawned() {
    let db = database(&vault().await).await;
    let task = tokio::spawn(async move {
        db.resolve("latest").await.ok();
        db.verdict_summaries().await.map(|found| found.len())
    });
    assert_eq!(task.await.unwrap().unwrap(), 0);
}
