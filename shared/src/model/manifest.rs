//! The manifest: a backup exists when its manifest exists. Readable without keys, authenticated with them.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{BackupId, DatabaseName, KeyId, Lsn, PackId, Tier, VaultId};
use super::index::PieceRef;
use super::record::WrappedKey;
use crate::error::{Error, Result};

/// What a backup was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The whole database.
    Backup,
    /// Taken by a restore before it replaces a database.
    Safety,
    /// Some tables only: fills no quota, is never `latest`, never a parent.
    Partial,
}

/// Where a backup's rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// In the database's pool, with those of other backups: what is the same is there once.
    #[default]
    Pool,
    /// Apart, and shared with nobody, so that they can be frozen. What describes them stays in the pool.
    Archive,
}

impl Storage {
    pub const ALL: [Self; 2] = [Self::Pool, Self::Archive];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Archive => "archive",
        }
    }

    /// Where the packs of a backup's rows are.
    pub fn row_shelf(self, backup: &BackupId) -> Shelf {
        match self {
            Self::Pool => Shelf::Pool,
            Self::Archive => Shelf::Archive(backup.clone()),
        }
    }
}

impl FromStr for Storage {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::usage("it is neither \"pool\" nor \"archive\"");
        Self::ALL.into_iter().find(|storage| storage.as_str() == text).ok_or_else(unknown)
    }
}

/// Where a database keeps a pack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shelf {
    Pool,
    /// That of one backup alone.
    Archive(BackupId),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub id: BackupId,
    /// Random per attempt: two attempts at one id are never the same bytes.
    pub attempt: String,
    pub tier: Tier,
    pub tags: BTreeMap<String, String>,
    pub purpose: Purpose,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub storage: Storage,
    /// `postgresql`.
    pub source: String,
    pub cluster: ClusterIdentity,
    pub snapshot: SnapshotFacts,
    pub encoding: String,
    pub locale: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub totals: Totals,
    pub parent: Option<BackupId>,
    /// How many backups, this one included, go back to one that read every row. 0 when this one did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub since_all_read: u32,
    /// When the job began to list the vault; published within the vault's job limit of this, or not at all.
    pub listed_at: Timestamp,
    pub catalogue: PieceRef,
    pub pack_list: PackId,
    pub pack_list_bytes: u64,
    pub key: KeyId,
    pub wrapped_key: WrappedKey,
    pub tools: ToolVersions,
    /// When the server's certificate ends; only where the connection depends on that, because it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Timestamp>,
    /// The database's logical replication slots: somebody captures its changes, and the server keeps WAL for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<ReplicationSlot>,
}

impl Manifest {
    /// Where the packs of its rows are.
    pub fn row_shelf(&self) -> Shelf {
        self.storage.row_shelf(&self.id)
    }

    /// Every shelf on which packs of it are.
    pub fn shelves(&self) -> Vec<Shelf> {
        match self.storage {
            Storage::Pool => vec![Shelf::Pool],
            Storage::Archive => vec![Shelf::Pool, self.row_shelf()],
        }
    }

    /// Every pack that it needs: those of its list, the list itself, and the catalogue's.
    pub fn needed_packs(&self, list: &PackList) -> impl Iterator<Item = PackId> {
        list.packs.iter().map(|entry| entry.pack).chain([self.pack_list, self.catalogue.pack])
    }

    /// Where a pack of its list is.
    pub fn shelf_of(&self, entry: &PackEntry) -> Shelf {
        match entry.origin {
            PackOrigin::New | PackOrigin::Earlier => Shelf::Pool,
            PackOrigin::Archived => Shelf::Archive(self.id.clone()),
        }
    }
}

/// Which server the rows came from. Equal system identifiers mean copies of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// `pg_control_system()`; a string because JSON numbers are not 64 bits everywhere.
    pub system_identifier: String,
    pub timeline: u32,
    pub postmaster_started_at: Timestamp,
    /// `server_version_num`.
    pub version: u32,
    pub version_text: String,
    pub is_replica: bool,
}

/// Which database a name in the vault stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseIdentity {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub system_identifier: String,
    pub database_oid: u32,
    pub database_name: String,
}

/// The moment that the backup shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// `pg_current_snapshot()`: `xmin:xmax:xip,…`, 64-bit transaction ids.
    pub snapshot: String,
    pub lsn: Lsn,
    pub database_oid: u32,
    pub taken_at: Timestamp,
    /// On a replica: commit time of the last replayed transaction, the data's true age.
    pub replayed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    pub tables: u64,
    pub rows: u64,
    pub plaintext_bytes: u64,
    /// All packs that the backup needs.
    pub stored_bytes: u64,
    /// The packs that this backup added.
    pub new_bytes: u64,
    pub chunks: u64,
    pub new_chunks: u64,
    /// Chunks that were not read, because the server showed that they are as the parent has them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread_chunks: u64,
}

/// For what earlier versions did not write: a zero, or what there was alone, stays unwritten.
fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolVersions {
    pub lifeboat: String,
    pub pg_dump: String,
}

/// A logical replication slot, as the server showed it when the backup was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationSlot {
    pub name: String,
    /// Whether somebody reads it.
    pub is_active: bool,
    /// The server has thrown away WAL that it needs: it will never work again.
    pub is_lost: bool,
    /// WAL that the server keeps for it.
    pub lag_bytes: u64,
}

/// Whether a pack came with this backup or with an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackOrigin {
    New,
    Earlier,
    /// With this one, and it is kept apart, see [`Storage::Archive`].
    Archived,
}

impl PackOrigin {
    const ALL: [Self; 3] = [Self::New, Self::Earlier, Self::Archived];

    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Earlier => "earlier",
            Self::Archived => "archived",
        }
    }

    pub fn is_new(self) -> bool {
        self != Self::Earlier
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackEntry {
    pub pack: PackId,
    pub size_bytes: u64,
    pub origin: PackOrigin,
}

/// Every pack a backup needs, in order of their names. Stored unsealed, named by its SHA-256, so that existence checks and
/// sweeps need no key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackList {
    /// The manifest's. Backups that need the same packs would else have the same list, and the name of one that was deleted
    /// could come back. Lists of older vaults have none: there the packs always differ.
    pub attempt: Option<String>,
    pub packs: Vec<PackEntry>,
}

/// What the first line of a pack list begins with.
const ATTEMPT: &str = "attempt ";

impl PackList {
    /// A line `attempt {attempt}`, then one per pack: `{sha256} {bytes} {new|earlier|archived}`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity((self.packs.len() + 1) * 88);
        if let Some(attempt) = &self.attempt {
            text.push_str(&format!("{ATTEMPT}{attempt}\n"));
        }
        for PackEntry { pack, size_bytes, origin } in &self.packs {
            let origin = origin.as_str();
            text.push_str(&format!("{pack} {size_bytes} {origin}\n"));
        }
        text.into_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::verification(format!("a pack list is damaged: {why}"));
        let text = std::str::from_utf8(bytes).map_err(|e| bad(e.to_string()))?;
        let entry = |line: &str| {
            let mut words = line.split(' ');
            let pack = words.next()?.parse().ok()?;
            let size_bytes = words.next()?.parse().ok()?;
            let origin = words.next()?;
            let origin = PackOrigin::ALL.into_iter().find(|known| known.as_str() == origin)?;
            Some(PackEntry { pack, size_bytes, origin })
        };
        let mut lines = text.lines().enumerate().peekable();
        let attempt = lines.peek().and_then(|(_, line)| line.strip_prefix(ATTEMPT)).map(str::to_owned);
        if attempt.is_some() {
            lines.next();
        }
        let parse = |(n, line)| entry(line).ok_or_else(|| bad(format!("line {}", n + 1)));
        let list = Self { attempt, packs: lines.map(parse).collect::<Result<_>>()? };
        if list.to_bytes() != bytes || !list.packs.is_sorted_by(|a, b| a.pack < b.pack) {
            return Err(bad("its lines are not as a writer makes them, in order".to_owned()));
        }
        Ok(list)
    }

    pub fn stored_bytes(&self) -> u64 {
        total(self.packs.iter())
    }

    pub fn new_bytes(&self) -> u64 {
        total(self.packs.iter().filter(|p| p.origin.is_new()))
    }

    pub fn contains(&self, pack: &PackId) -> bool {
        self.size_of(pack).is_some()
    }

    pub fn size_of(&self, pack: &PackId) -> Option<u64> {
        let place = self.packs.binary_search_by(|entry| entry.pack.cmp(pack)).ok()?;
        Some(self.packs[place].size_bytes)
    }
}

fn total<'a>(packs: impl Iterator<Item = &'a PackEntry>) -> u64 {
    packs.fold(0, |sum, pack| sum.saturating_add(pack.size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;
    use proptest::prelude::*;

    #[test]
    fn a_pack_list_with_anything_changed_is_refused_or_spelled_as_it_was_read() {
        let entry = |n, origin| PackEntry { pack: PackId([n; 32]), size_bytes: 1 << (n * 7), origin };
        let packs = vec![entry(0, PackOrigin::New), entry(4, PackOrigin::Earlier), entry(9, PackOrigin::Archived)];
        let list = PackList { attempt: Some("5f0c".to_owned()), packs };
        let older = PackList { attempt: None, ..list.clone() };
        fuzz(&[&list.to_bytes(), &older.to_bytes()], |bytes| {
            let Ok(list) = PackList::from_bytes(bytes) else { return };
            assert_eq!(list.to_bytes(), bytes);
            let _ = (list.stored_bytes(), list.new_bytes());
        });
    }

    proptest! {
        #[test]
        fn a_pack_list_survives_its_stored_form(
            attempt in prop::option::of("[0-9a-f]{0,16}"),
            packs in prop::collection::btree_map(any::<[u8; 32]>(), (any::<u64>(), 0..3usize), 0..20),
        ) {
            let entry = |(pack, (size_bytes, origin))| PackEntry { pack: PackId(pack), size_bytes, origin: PackOrigin::ALL[origin] };
            let list = PackList { attempt, packs: packs.into_iter().map(entry).collect() };
            prop_assert_eq!(PackList::from_bytes(&list.to_bytes()).unwrap(), list);
        }

        #[test]
        fn any_changed_byte_of_a_pack_list_is_refused_or_another_list(at: prop::sample::Index, to: u8) {
            let entry = |n| PackEntry { pack: PackId([n; 32]), size_bytes: 120, origin: PackOrigin::New };
            let list = PackList { attempt: Some("5f0c".to_owned()), packs: (1..4).map(entry).collect() };
            let mut bytes = list.to_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert_ne!(PackList::from_bytes(&bytes).ok(), Some(list));
        }

        #[test]
        fn any_bytes_as_a_pack_list_are_accepted_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = PackList::from_bytes(&bytes);
        }
    }
}
