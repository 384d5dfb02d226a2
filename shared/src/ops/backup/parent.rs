//! The parent: the one earlier backup whose pieces a new backup may refer to instead of storing them again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::pipeline::PartName;
use crate::error::{ErrorKind, Result};
use crate::model::{
    BlockRange, Catalogue, Chunk, ContentId, Encoding, Manifest, PackId, PackList, PieceRef, Purpose, Storage,
    TableEntry, TableName, Tally,
};
use crate::postgres::chunker::CHUNKING;
use crate::vault::DatabaseVault;

/// Pieces by their content.
pub type Known = HashMap<ContentId, PieceRef>;

/// An earlier backup, opened for looking up pieces.
pub struct Parent {
    database: DatabaseVault,
    pub manifest: Manifest,
    pub packs: PackList,
    pub catalogue: Catalogue,
    /// Places in `catalogue.tables`.
    tables: HashMap<TableName, usize>,
    /// Never referred to again.
    damaged: HashSet<PackId>,
}

impl Parent {
    /// The newest live, complete, unarchived backup under the current key. One that cannot be read is passed over with a warning, and
    /// so are all when the records that say which are live are damaged: it costs space, not safety.
    pub async fn choose(database: &DatabaseVault) -> Result<Option<Arc<Self>>> {
        let live = match database.live().await {
            Err(error) if error.kind() == ErrorKind::Verification => {
                tracing::warn!(%error, "which backups are live cannot be told; everything is stored again");
                return Ok(None);
            }
            live => live?,
        };
        for id in live {
            match Self::open(database, &id).await {
                Ok(Some(parent)) => return Ok(Some(Arc::new(parent))),
                Ok(None) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound) => {
                    tracing::warn!(backup_id = %id, %error, "an earlier backup is damaged; its pieces are not used again");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn open(database: &DatabaseVault, id: &crate::model::BackupId) -> Result<Option<Self>> {
        let manifest = database.manifest(id).await?;
        let is_shared = manifest.purpose == Purpose::Backup && manifest.storage == Storage::Pool;
        if !is_shared || manifest.key != database.current_keys().id {
            return Ok(None);
        }
        let packs = database.pack_list(&manifest).await?;
        let catalogue = database.catalogue(&manifest).await?;
        let damaged = database.damaged_packs().await?;
        let tables = catalogue.tables.iter().enumerate().map(|(place, table)| (table.name.clone(), place)).collect();
        Ok(Some(Self { database: database.clone(), manifest, packs, catalogue, tables, damaged }))
    }

    fn is_usable(&self, piece: &PieceRef) -> bool {
        self.packs.contains(&piece.pack) && !self.damaged.contains(&piece.pack)
    }

    /// The parent's chunks of one index part of a table.
    pub async fn part(&self, table: &TableName, range_blocks: u64, number: u64) -> Result<KnownPart> {
        let Some(at) = self.index(table, range_blocks, number) else {
            return Ok(KnownPart::default());
        };
        let part = match self.database.index_part(self.manifest.key, &at).await {
            Ok(part) => part,
            Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound) => {
                tracing::warn!(%table, %error, "an index of the earlier backup is damaged; the rows are stored again");
                return Ok(KnownPart::default());
            }
            Err(error) => return Err(error),
        };
        let pieces = part.chunks.iter().filter_map(|chunk| chunk.piece);
        let chunks = pieces.filter(|piece| self.is_usable(piece)).map(|piece| (piece.id, piece)).collect();
        let ranges = part.chunks.chunk_by(|a, b| a.range == b.range);
        let usable = ranges.filter(|chunks| chunks.iter().all(|c| c.piece.is_none_or(|piece| self.is_usable(&piece))));
        let ranges = usable.map(|chunks| (chunks[0].range.first, KnownRange::of(chunks))).collect();
        Ok(KnownPart { chunks, ranges })
    }

    pub fn table(&self, name: &TableName) -> Option<&TableEntry> {
        self.tables.get(name).map(|place| &self.catalogue.tables[*place])
    }

    /// Where one index part of a table is, if it may be referred to.
    pub fn index(&self, table: &TableName, range_blocks: u64, number: u64) -> Option<PieceRef> {
        let entry = self.table(table)?;
        let at = entry.parts.get(usize::try_from(number).ok()?)?;
        ((entry.range_blocks, entry.chunking) == (range_blocks, CHUNKING) && self.is_usable(at)).then_some(*at)
    }

    /// Tables that had rows too long for text: they are read in binary at once.
    pub fn too_long(&self) -> HashSet<TableName> {
        let is_forced = |table: &&TableEntry| table.encoding == Encoding::Binary && !table.binary_by_choice;
        let binary = self.catalogue.tables.iter().filter(is_forced);
        binary.map(|table| table.name.clone()).collect()
    }

    /// The parent's catalogue, if it may be referred to.
    pub fn catalogue_piece(&self) -> Option<PieceRef> {
        Some(self.manifest.catalogue).filter(|at| self.is_usable(at))
    }

    /// The parent's schema dump, if it may be referred to.
    pub fn schema(&self) -> Option<PieceRef> {
        self.catalogue.schema.filter(|at| self.is_usable(at))
    }
}

/// What the parent has of the parts that are being read, and of no others: all of them would take more memory the larger the
/// database is.
#[derive(Default)]
pub struct KnownParts(Mutex<HashMap<PartName, (KnownCell, u64)>>);

/// A part of the parent's, once it was read.
pub type KnownCell = Arc<OnceCell<Arc<KnownPart>>>;

impl KnownParts {
    /// Where a part of `ranges` ranges is, or comes to be.
    pub fn cell(&self, part: PartName, ranges: u64) -> KnownCell {
        let mut parts = self.0.lock().expect("no panic while held");
        Arc::clone(&parts.entry(part).or_insert_with(|| (KnownCell::default(), ranges)).0)
    }

    /// Lets go of the part once all its ranges are done. Were that too early, it would be read again.
    pub fn range_is_done(&self, part: PartName) {
        if let Entry::Occupied(mut open) = self.0.lock().expect("no panic while held").entry(part) {
            open.get_mut().1 -= 1;
            if open.get().1 == 0 {
                open.remove();
            }
        }
    }

    /// The ranges of this table are read once more.
    pub fn start_over(&self, table: usize) {
        self.0.lock().expect("no panic while held").retain(|part, _| part.0 != table);
    }
}

/// The parent's chunks of one index part.
#[derive(Debug, Default)]
pub struct KnownPart {
    pub chunks: Known,
    /// By the first block; those whose every piece may be referred to.
    pub ranges: HashMap<u64, KnownRange>,
}

/// All rows of a range, as the parent has them.
#[derive(Debug)]
pub struct KnownRange {
    pub range: BlockRange,
    pub tally: Tally,
    /// In order.
    pub chunks: Vec<Chunk>,
}

impl KnownRange {
    fn of(chunks: &[Chunk]) -> Self {
        let tally = chunks.iter().map(|chunk| &chunk.tally).sum();
        Self { range: chunks[0].range, tally, chunks: chunks.to_vec() }
    }

    /// What its chunk number `part` is; of a chunk that it does not have, an id that none has.
    pub fn id_of(&self, part: u32) -> ContentId {
        let chunk = usize::try_from(part).ok().and_then(|part| self.chunks.get(part));
        chunk.and_then(|chunk| chunk.piece).map_or(ContentId([0; 32]), |piece| piece.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PackEntry, PackOrigin};
    use crate::ops::fixture;

    #[test]
    fn a_part_is_kept_until_all_its_ranges_are_done_and_no_longer() {
        let (parts, one, other) = (KnownParts::default(), (0, 0), (0, 1));
        let is_kept = |part, cell: &KnownCell| Arc::ptr_eq(&parts.cell(part, 2), cell);
        let (first, beside) = (parts.cell(one, 2), parts.cell(other, 2));
        assert!(!Arc::ptr_eq(&first, &beside));
        parts.range_is_done(one);
        assert!(is_kept(one, &first) && is_kept(other, &beside));
        parts.range_is_done(one);
        assert_eq!(parts.0.lock().unwrap().len(), 1);
        parts.range_is_done(one);
        assert!(!is_kept(one, &first) && is_kept(other, &beside));
        parts.start_over(1);
        assert!(is_kept(other, &beside), "of another table");
        parts.start_over(0);
        assert!(parts.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn only_pieces_in_whole_packs_are_referred_to_and_of_tables_that_were_cut_in_the_same_way() {
        let piece =
            |n| PieceRef { id: ContentId([n; 32]), pack: PackId([n; 32]), offset: 0, length: 1, plaintext_bytes: 1 };
        let (_, database) = fixture::database("shop").await;
        let backup = fixture::Backup::new("2026-11-21T02:00:00Z", "daily");
        let manifest = backup.store(&database).await.unwrap();
        let table = TableEntry { parts: vec![piece(1), piece(2)], ..fixture::table("now") };
        let older = TableEntry { chunking: CHUNKING - 1, parts: vec![piece(1)], ..fixture::table("older") };
        let (now, then, range_blocks) = (table.name.clone(), older.name.clone(), table.range_blocks);
        let whole = |n| PackEntry { pack: PackId([n; 32]), size_bytes: 1, origin: PackOrigin::New };
        let parent = Parent {
            catalogue: Catalogue { tables: vec![table, older], ..database.catalogue(&manifest).await.unwrap() },
            packs: PackList { attempt: None, packs: vec![whole(1), whole(2)] },
            tables: HashMap::from([(now.clone(), 0), (then.clone(), 1)]),
            damaged: HashSet::from([PackId([2; 32])]),
            manifest: Manifest { catalogue: piece(1), ..manifest },
            database,
        };
        assert_eq!(parent.index(&now, range_blocks, 0), Some(piece(1)));
        assert_eq!(parent.index(&now, range_blocks, 1), None, "its pack is damaged");
        assert_eq!(parent.index(&now, range_blocks, 2), None, "there is none");
        assert_eq!(parent.index(&now, range_blocks / 2, 0), None, "other ranges");
        assert_eq!(parent.index(&then, range_blocks, 0), None, "other chunks");
        assert_eq!(parent.catalogue_piece(), Some(piece(1)));
        let damaged = Parent { damaged: HashSet::from([PackId([1; 32])]), ..parent };
        assert_eq!(damaged.catalogue_piece(), None);
    }
}
