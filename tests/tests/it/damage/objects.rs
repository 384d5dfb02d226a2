//! The objects of a vault by what they are for.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use lifeboat::model::{
    BackupId, Cause, Depth, Fate, Hold, HoldRelease, KeyId, PackOrigin, PieceRef, TableEntry, TableName, Tier,
    Tombstone, TombstoneOutcome,
};
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::verify::verify;
use lifeboat::store::list_all;
use lifeboat::vault::{DatabaseVault, Vault};
use lifeboat_tests::{Bed, TestDb};

use crate::rig::{connect, run};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Format,
    Identity,
    KeyringEntry,
    Manifest,
    PackList,
    Catalogue,
    Schema,
    Index,
    Rows,
    /// The index of a table that did not change: in an earlier backup's pack.
    ParentsIndex,
    ParentsRows,
    Verdict,
    Hold,
    Release,
    Tombstone,
    Outcome,
    Claim,
    Result,
}

impl Kind {
    /// Whether it is JSON under a MAC.
    pub fn is_record(self) -> bool {
        !self.is_piece() && self != Self::PackList
    }

    pub fn is_piece(self) -> bool {
        use Kind::*;
        matches!(self, Catalogue | Schema | Index | Rows | ParentsIndex | ParentsRows)
    }

    /// Whether it is authenticated with the vault's own key.
    pub fn is_the_vaults(self) -> bool {
        matches!(self, Self::Format | Self::Identity | Self::KeyringEntry)
    }

    /// What can be taken for it: a parent's piece is the same thing as a new one.
    pub fn without_origin(self) -> Self {
        match self {
            Self::ParentsIndex => Self::Index,
            Self::ParentsRows => Self::Rows,
            other => other,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Object {
    pub kind: Kind,
    pub key: String,
    /// Where the piece is, or the whole object.
    pub at: Range<usize>,
    /// The table whose rows, or whose index, it holds.
    pub table: Option<TableName>,
    pub bytes: Bytes,
}

/// What belongs to one backup of `customers` and `orders`, made under `job`, with one of each kind of record beside it.
pub async fn of_backup(database: &DatabaseVault, id: &BackupId, job: &str) -> Vec<Object> {
    write_records(database, id).await;
    let layout = &database.layout;
    let only = async |prefix: String| list_all(database.store(), &prefix).await.unwrap().remove(0).key;
    let records = [
        (Kind::Format, "format/1.json".to_owned()),
        (Kind::Identity, layout.identity(1)),
        (Kind::KeyringEntry, only(layout.keyring()).await),
        (Kind::Manifest, layout.manifest(id)),
        (Kind::PackList, layout.pack(&database.manifest(id).await.unwrap().pack_list)),
        (Kind::Verdict, only(layout.verdicts(id)).await),
        (Kind::Hold, layout.hold(id, "held")),
        (Kind::Release, layout.hold_release(id, "released")),
        (Kind::Tombstone, layout.tombstone(id, 1)),
        (Kind::Outcome, layout.tombstone_outcome(id, 2)),
        (Kind::Claim, layout.claim(job, 1)),
        (Kind::Result, layout.job_result(job)),
    ];
    let mut objects = Vec::new();
    for (kind, key) in records {
        let bytes = database.store().get(&key).await.unwrap();
        objects.push(Object { kind, key, at: 0..bytes.len(), table: None, bytes });
    }
    objects.extend(pieces(database, id).await);
    objects
}

async fn pieces(database: &DatabaseVault, id: &BackupId) -> Vec<Object> {
    let manifest = database.manifest(id).await.unwrap();
    let catalogue = database.catalogue(&manifest).await.unwrap();
    let packs = database.pack_list(&manifest).await.unwrap();
    let is_new = |at: &PieceRef| packs.packs.iter().any(|e| e.pack == at.pack && e.origin == PackOrigin::New);
    let mut pieces = vec![(Kind::Catalogue, manifest.catalogue, None), (Kind::Schema, catalogue.schema.unwrap(), None)];
    for table in &catalogue.tables {
        let (index, rows) = first_pieces(database, manifest.key, table).await;
        let kinds = if is_new(&rows) { (Kind::Index, Kind::Rows) } else { (Kind::ParentsIndex, Kind::ParentsRows) };
        pieces.push((kinds.0, index, Some(table.name.clone())));
        pieces.push((kinds.1, rows, Some(table.name.clone())));
    }
    let mut objects = Vec::new();
    for (kind, at, table) in pieces {
        let key = database.layout.pack(&at.pack);
        let bytes = database.store().get(&key).await.unwrap();
        let range = at.offset as usize..(at.offset + at.length) as usize;
        objects.push(Object { kind, key, at: range, table, bytes });
    }
    objects
}

async fn first_pieces(database: &DatabaseVault, key: KeyId, table: &TableEntry) -> (PieceRef, PieceRef) {
    let index = table.parts[0];
    let part = database.index_part(key, &index).await.unwrap();
    (index, part.chunks.iter().find_map(|chunk| chunk.piece).unwrap())
}

/// A verdict, a hold, a hold that was released, a tombstone, and a tombstone that was cancelled.
async fn write_records(db: &DatabaseVault, id: &BackupId) {
    assert!(verify(db, id, Depth::Quick, None, &run()).await.unwrap().ok);
    let (vault, database, backup, at) = (db.vault.id(), db.name.clone(), id.clone(), db.vault.now().await.unwrap());
    let (reason, by) = ("audit".to_owned(), "test".to_owned());
    let layout = &db.layout;
    for name in ["held", "released"] {
        let hold = Hold {
            vault,
            database: database.clone(),
            backup: backup.clone(),
            hold: name.to_owned(),
            reason: reason.clone(),
            by: by.clone(),
            at,
            until: None,
        };
        db.write_record("hold", &layout.hold(id, name), &hold).await.unwrap();
    }
    let release = HoldRelease {
        vault,
        database: database.clone(),
        backup: backup.clone(),
        hold: "released".to_owned(),
        reason: reason.clone(),
        by: by.clone(),
        at,
    };
    db.write_record("release", &layout.hold_release(id, "released"), &release).await.unwrap();
    for number in [1, 2] {
        let tombstone = Tombstone {
            vault,
            database: database.clone(),
            backup: backup.clone(),
            number,
            cause: Cause::Deletion,
            reason: reason.clone(),
            by: by.clone(),
            at,
        };
        db.write_record("tombstone", &layout.tombstone(id, number), &tombstone).await.unwrap();
    }
    let fate = Fate::Cancelled;
    let outcome = TombstoneOutcome { vault, database, backup, number: 2, fate, reason, by, at };
    db.write_record("outcome", &layout.tombstone_outcome(id, 2), &outcome).await.unwrap();
}

/// Another database of a vault, or another vault, with one backup: for the objects that could be mistaken for ours.
pub async fn of_stranger(vault: &Arc<Vault>, source: &TestDb, name: &str) -> Vec<Object> {
    let mut options = BackupOptions::new(name.parse().unwrap(), Tier::manual());
    options.pg_dump = Some(Bed::get().pg_dump().await);
    options.job = Some("only".to_owned());
    let made = backup(vault, &connect(&source.url()).await, &options, &run()).await.unwrap();
    let database = vault.database(&options.database).await.unwrap();
    of_backup(&database, &made.backup.id, "only").await
}
