//! Small vaults in memory, for tests of what reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::model::{
    BackupId, Catalogue, Cause, ClusterIdentity, Collation, DatabaseIdentity, DatabaseProperties, Depth, Encoding,
    Hold, HoldRelease, Lsn, Manifest, PackEntry, PackId, PackList, PackOrigin, PieceRef, Purpose, SnapshotFacts,
    Storage, TableEntry, TableKind, TableName, Tally, Tombstone, ToolVersions, Totals, Verdict, WrappedKey,
};
use crate::ops::{Run, Silent};
use crate::plan::read::RANGE_BLOCKS;
use crate::postgres::chunker::CHUNKING;
use crate::store::memory::MemoryStore;
use crate::vault::keys::MasterKey;
use crate::vault::piece::{PieceKind, Sealer, content_id};
use crate::vault::{DatabaseVault, Vault, pack};

/// Somebody at work, with all the time there is.
pub fn run(actor: &str) -> Run {
    Run { cancel: CancellationToken::new(), deadline: None, actor: actor.to_owned(), observer: Arc::new(Silent) }
}

/// A new vault with one database.
pub async fn database(name: &str) -> (Arc<Vault>, DatabaseVault) {
    let vault = vault_in(Arc::new(MemoryStore::new())).await;
    let db = another_database(&vault, name).await;
    (vault, db)
}

pub async fn vault_in(store: Arc<MemoryStore>) -> Arc<Vault> {
    Arc::new(Vault::init(store, MasterKey::random(), 72, 24).await.unwrap())
}

pub async fn another_database(vault: &Arc<Vault>, name: &str) -> DatabaseVault {
    let identity = DatabaseIdentity {
        vault: vault.id(),
        database: name.parse().unwrap(),
        system_identifier: "7".to_owned(),
        database_oid: 5,
        database_name: name.to_owned(),
    };
    vault.database_or_new(&identity, false).await.unwrap()
}

/// A backup without tables.
pub struct Backup {
    id: BackupId,
    at: Timestamp,
    tags: BTreeMap<String, String>,
    packs: BTreeMap<PackId, PackEntry>,
    storage: Storage,
    attempt: Option<String>,
    catalogue: Option<PieceRef>,
}

impl Backup {
    pub fn new(at: &str, tier: &str) -> Self {
        let at = at.parse().unwrap();
        Self {
            id: BackupId::new(at, &tier.parse().unwrap()),
            at,
            tags: BTreeMap::new(),
            packs: BTreeMap::new(),
            storage: Storage::Pool,
            attempt: Some(hex::encode(rand::random::<[u8; 8]>())),
            catalogue: None,
        }
    }

    pub fn id(&self) -> &BackupId {
        &self.id
    }

    /// Its packs are on a shelf of its own.
    pub fn archived(self) -> Self {
        Self { storage: Storage::Archive, ..self }
    }

    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Says that it needs a pack, which need not exist.
    pub fn pack(self, pack: PackId) -> Self {
        self.sized_pack(pack, 1)
    }

    /// Says that it needs a pack of this size.
    pub fn sized_pack(mut self, pack: PackId, size_bytes: u64) -> Self {
        let origin = match self.storage {
            Storage::Pool => PackOrigin::New,
            Storage::Archive => PackOrigin::Archived,
        };
        self.packs.insert(pack, PackEntry { pack, size_bytes, origin });
        self
    }

    /// Says that it needs a pack of an earlier backup.
    pub fn earlier(mut self, entry: PackEntry) -> Self {
        self.packs.insert(entry.pack, PackEntry { origin: PackOrigin::Earlier, ..entry });
        self
    }

    /// Refers to this catalogue instead of storing its own.
    pub fn catalogue_of(mut self, manifest: &Manifest) -> Self {
        self.catalogue = Some(manifest.catalogue);
        self
    }

    /// Its pack list does not say whose it is.
    pub fn with_anybodys_list(self) -> Self {
        Self { attempt: None, ..self }
    }

    pub async fn publish(self, db: &DatabaseVault) -> BackupId {
        let manifest = self.store(db).await.unwrap();
        db.publish(&manifest, db.vault.now().await.unwrap()).await.unwrap();
        manifest.id
    }

    /// All but the manifest.
    pub async fn store(self, db: &DatabaseVault) -> Result<Manifest> {
        let catalogue = match self.catalogue {
            Some(earlier) => earlier,
            None => store_catalogue(db).await?,
        };
        let packs = PackList { attempt: self.attempt.clone(), packs: self.packs.into_values().collect() };
        let totals = Totals { stored_bytes: packs.stored_bytes(), ..Totals::default() };
        let list = Bytes::from(packs.to_bytes());
        let pack_list = pack::pack_id(&list);
        db.put_pack(pack_list, list.clone()).await?;
        Ok(Manifest {
            vault: db.vault.id(),
            database: db.name.clone(),
            id: self.id.clone(),
            attempt: self.attempt.unwrap_or_default(),
            tier: self.id.tier(),
            tags: self.tags,
            purpose: Purpose::Backup,
            storage: self.storage,
            source: "postgresql".to_owned(),
            cluster: cluster(),
            snapshot: SnapshotFacts {
                snapshot: "3:3:".to_owned(),
                lsn: Lsn(1),
                database_oid: 5,
                taken_at: self.at,
                replayed_at: None,
            },
            encoding: "UTF8".to_owned(),
            locale: "C".to_owned(),
            started_at: self.at,
            finished_at: self.at,
            totals,
            parent: None,
            since_all_read: 0,
            listed_at: self.at,
            catalogue,
            pack_list,
            pack_list_bytes: list.len() as u64,
            key: db.current_keys().id,
            wrapped_key: WrappedKey::Master { sealed: String::new() },
            tools: ToolVersions { lifeboat: "0".to_owned(), pg_dump: "pg_dump (PostgreSQL) 17.2".to_owned() },
            certificate_until: None,
            slots: Vec::new(),
        })
    }
}

async fn store_catalogue(db: &DatabaseVault) -> Result<PieceRef> {
    let plaintext = serde_json::to_vec(&catalogue()).unwrap();
    let keys = db.current_keys();
    let id = content_id(keys, PieceKind::Catalogue, &plaintext);
    let sealed = Sealer::new(keys, 1).unwrap().seal(PieceKind::Catalogue, id, &plaintext).unwrap();
    let (length, pack) = (sealed.bytes.len() as u64, pack::pack_id(&sealed.bytes));
    db.put_pack(pack, sealed.bytes.into()).await?;
    Ok(PieceRef { id, pack, offset: 0, length, plaintext_bytes: plaintext.len() as u64 })
}

fn catalogue() -> Catalogue {
    Catalogue {
        database: DatabaseProperties {
            name: "shop".to_owned(),
            owner: "shop".to_owned(),
            encoding: "UTF8".to_owned(),
            collation: Collation {
                provider: "libc".to_owned(),
                collate: "C".to_owned(),
                ctype: "C".to_owned(),
                locale: None,
                icu_rules: None,
                version: None,
            },
            connection_limit: -1,
            comment: None,
            privileges: None,
            settings: Vec::new(),
        },
        tables: Vec::new(),
        sequences: Vec::new(),
        large_objects: Vec::new(),
        populated_views: Vec::new(),
        extensions: Vec::new(),
        roles: Vec::new(),
        skipped: Vec::new(),
        schema: None,
        schema_entries: 0,
    }
}

/// A table without columns or rows, in the schema `s`.
pub fn table(name: &str) -> TableEntry {
    TableEntry {
        name: TableName::new("s", name),
        kind: TableKind::Table,
        oid: 1,
        filenode: 1,
        unlogged: false,
        root: None,
        columns: vec![],
        generated_columns: vec![],
        type_signature: String::new(),
        condition: None,
        encoding: Encoding::Text,
        binary_by_choice: false,
        range_blocks: RANGE_BLOCKS,
        chunking: CHUNKING,
        tally: Tally::default(),
        parts: vec![],
    }
}

fn cluster() -> ClusterIdentity {
    ClusterIdentity {
        system_identifier: "7".to_owned(),
        timeline: 1,
        postmaster_started_at: Timestamp::UNIX_EPOCH,
        version: 170_002,
        version_text: "PostgreSQL 17.2".to_owned(),
        is_replica: false,
    }
}

/// A success, now.
pub fn verdict(db: &DatabaseVault, id: &BackupId, depth: Depth) -> Verdict {
    Verdict {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: id.clone(),
        depth,
        ok: true,
        at: Timestamp::now(),
        duration_ms: 1,
        findings: Vec::new(),
        lifeboat: "0".to_owned(),
    }
}

pub fn hold(db: &DatabaseVault, id: &BackupId, name: &str) -> Hold {
    Hold {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: id.clone(),
        hold: name.to_owned(),
        reason: "audit".to_owned(),
        by: "test".to_owned(),
        at: Timestamp::now(),
        until: None,
    }
}

pub fn release(hold: &Hold) -> HoldRelease {
    let Hold { vault, database, backup, hold, reason, by, at, .. } = hold.clone();
    HoldRelease { vault, database, backup, hold, reason, by, at }
}

pub fn tombstone(db: &DatabaseVault, id: &BackupId) -> Tombstone {
    Tombstone {
        vault: db.vault.id(),
        database: db.name.clone(),
        backup: id.clone(),
        number: 1,
        cause: Cause::Deletion,
        reason: "test".to_owned(),
        by: "test".to_owned(),
        at: Timestamp::now(),
    }
}
