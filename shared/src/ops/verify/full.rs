//! Full: every byte is read; every piece decrypts, decompresses, hashes to its id; all adds up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::Findings;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    BlockRange, Catalogue, Chunk, ContentId, Encoding, Fingerprint, IndexPart, Manifest, PackId, PackList, PieceRef,
    Shelf, TableName, Tally,
};
use crate::ops::{Event, Progress, Run};
use crate::postgres::archive::Archive;
use crate::vault::DatabaseVault;
use crate::vault::keys::Keys;
use crate::vault::pack::pack_id;
use crate::vault::piece::{Opener, PieceKind};

/// Packs that are read at the same time, at most; each is in memory as a whole.
const PACKS_AT_ONCE: usize = 4;

/// Tables named in one finding.
const NAMES: usize = 8;

/// A chunk that is expected in a pack. All of a backup's are in memory, so each has no more than it takes to tell.
struct Expected {
    table: usize,
    encoding: Encoding,
    id: ContentId,
    /// In the pack, in bytes.
    offset: u64,
    length: u64,
    rows: u64,
    plaintext_bytes: u64,
    fingerprint: Fingerprint,
}

impl Expected {
    fn new(table: usize, encoding: Encoding, tally: &Tally, piece: &PieceRef) -> Self {
        let PieceRef { id, pack: _, offset, length, plaintext_bytes } = *piece;
        Self { table, encoding, id, offset, length, rows: tally.rows, plaintext_bytes, fingerprint: tally.fingerprint }
    }

    fn tally(&self) -> Tally {
        let Self { rows, plaintext_bytes, fingerprint, .. } = *self;
        Tally { rows, plaintext_bytes, fingerprint, generated: None }
    }

    /// Its bytes, if they can be in a pack that has `pack`.
    fn sealed<'p>(&self, pack: &'p [u8]) -> Option<&'p [u8]> {
        let (from, length) = (usize::try_from(self.offset).ok()?, usize::try_from(self.length).ok()?);
        pack.get(from..from.checked_add(length)?)
    }
}

pub async fn look(
    database: &DatabaseVault,
    manifest: &Manifest,
    packs: &PackList,
    run: &Run,
    findings: &mut Findings,
) -> Result<()> {
    run.check("reading the catalogue")?;
    run.observer.on(&Event::Step { name: "catalogue" });
    let at = &manifest.catalogue;
    let read = database.catalogue(manifest).await;
    let Some(catalogue) = findings.keep(&database.layout.pack(&at.pack), Some(at.pack), read)? else { return Ok(()) };
    require_listed(packs, [at], "the catalogue", findings);
    schema(database, manifest, &catalogue, packs, findings).await?;
    let expected = indexes(database, manifest, &catalogue, packs, run, findings).await?;
    rows(database, manifest, &catalogue, packs, expected, run, findings).await
}

fn require_listed<'a>(
    packs: &PackList,
    pieces: impl IntoIterator<Item = &'a PieceRef>,
    of: &str,
    findings: &mut Findings,
) {
    let missing: BTreeSet<PackId> = pieces.into_iter().map(|at| at.pack).filter(|pack| !packs.contains(pack)).collect();
    for pack in missing {
        findings.add(of.to_owned(), format!("it needs pack {pack}, which the pack list does not have"), None);
    }
}

async fn schema(
    database: &DatabaseVault,
    manifest: &Manifest,
    catalogue: &Catalogue,
    packs: &PackList,
    findings: &mut Findings,
) -> Result<()> {
    let Some(at) = &catalogue.schema else { return Ok(()) };
    require_listed(packs, [at], "the schema dump", findings);
    let object = database.layout.pack(&at.pack);
    let read = database.piece(manifest.key, PieceKind::Schema, at).await;
    let Some(bytes) = findings.keep(&object, Some(at.pack), read)? else { return Ok(()) };
    match Archive::parse(&bytes) {
        Ok(archive) if archive.entries.len() as u64 == catalogue.schema_entries => {}
        Ok(archive) => {
            let (found, stated) = (archive.entries.len(), catalogue.schema_entries);
            findings.add("the schema dump".to_owned(), format!("it lists {found} objects instead of {stated}"), None);
        }
        Err(error) => findings.add("the schema dump".to_owned(), error.message(), None),
    }
    Ok(())
}

/// Reads every index part; gives the chunks that each pack must hold.
async fn indexes(
    database: &DatabaseVault,
    manifest: &Manifest,
    catalogue: &Catalogue,
    packs: &PackList,
    run: &Run,
    findings: &mut Findings,
) -> Result<BTreeMap<PackId, Vec<Expected>>> {
    run.observer.on(&Event::Step { name: "indexes" });
    let mut expected: BTreeMap<PackId, Vec<Expected>> = BTreeMap::new();
    let wanted = catalogue.tables.iter().flat_map(|table| &table.parts).copied().collect();
    let mut read = database.index_parts(manifest.key, wanted);
    for (number, table) in catalogue.tables.iter().enumerate() {
        require_listed(packs, &table.parts, &format!("the index of {}", table.name), findings);
        let (mut seen, mut is_whole) = (SeenIndex::default(), true);
        for at in &table.parts {
            run.check("reading the indexes")?;
            let object = format!("{} (index of {})", database.layout.pack(&at.pack), table.name);
            let part = read.next().await.expect("one for each that is wanted")?;
            let Some(part) = findings.keep(&object, Some(at.pack), part)? else {
                is_whole = false;
                continue;
            };
            seen.add(&part);
            let pieces = || part.chunks.iter().filter_map(|chunk| Some((&chunk.tally, chunk.piece.as_ref()?)));
            require_listed(packs, pieces().map(|(_, piece)| piece), &table.name.to_string(), findings);
            for (tally, piece) in pieces() {
                let expects = Expected::new(number, table.encoding, tally, piece);
                expected.entry(piece.pack).or_default().push(expects);
            }
        }
        if is_whole {
            seen.problems(&table.tally).into_iter().for_each(|p| findings.add(table.name.to_string(), p, None));
        }
    }
    expected.values_mut().for_each(Vec::shrink_to_fit);
    Ok(expected)
}

/// What the parts of a table's index say, one after the other.
#[derive(Default)]
struct SeenIndex {
    last: Option<(BlockRange, u32)>,
    /// At which block the ranges do not follow each other.
    broken_at: Option<u64>,
    sum: Tally,
}

impl SeenIndex {
    fn add(&mut self, part: &IndexPart) {
        self.sum.add(&part.tally());
        for &Chunk { range, part, .. } in &part.chunks {
            let continues =
                self.last.is_some_and(|(last, before)| range == last && before.checked_add(1) == Some(part));
            let begin = self.last.map_or(Some(0), |(last, _)| last.end);
            let follows = begin == Some(range.first) && part == 0 && range.end.is_none_or(|end| end > range.first);
            if !continues && !follows {
                self.broken_at.get_or_insert(range.first);
            }
            self.last = Some((range, part));
        }
    }

    /// What is wrong with the index: ranges that overlap or leave a gap, rows that do not add up.
    fn problems(&self, stated: &Tally) -> Vec<String> {
        let broken = match (self.broken_at, self.last) {
            (Some(block), _) => Some(format!("its block ranges overlap or leave a gap at block {block}")),
            (None, Some((BlockRange { end: None, .. }, _))) => None,
            (None, _) => Some("its block ranges end before the table does".to_owned()),
        };
        let differs = (self.sum != *stated).then(|| {
            let (sum, stated) = (self.sum.rows, stated.rows);
            format!("its chunks hold {sum} rows, the catalogue says {stated}, or their content differs")
        });
        broken.into_iter().chain(differs).collect()
    }
}

/// What came out of reading one pack.
struct PackVerdict {
    pack: PackId,
    damage: Option<String>,
    /// Tables with rows in it that cannot be read.
    lost: BTreeSet<usize>,
}

async fn rows(
    database: &DatabaseVault,
    manifest: &Manifest,
    catalogue: &Catalogue,
    packs: &PackList,
    mut expected: BTreeMap<PackId, Vec<Expected>>,
    run: &Run,
    findings: &mut Findings,
) -> Result<()> {
    run.observer.on(&Event::Step { name: "rows" });
    let (total_bytes, tables) = (packs.stored_bytes(), catalogue.tables.len() as u64);
    run.observer.on(&Event::Expect { total_bytes, tables });
    let keys = database.keys(manifest.key).await?;
    let work = packs.packs.iter().map(|entry| {
        let pieces = expected.remove(&entry.pack).unwrap_or_default();
        (manifest.shelf_of(entry), entry.pack, pieces)
    });
    let at_once = (std::thread::available_parallelism().map_or(2, usize::from) + 1).min(PACKS_AT_ONCE);
    let mut verdicts = stream::iter(work.collect::<Vec<_>>())
        .map(|(shelf, pack, pieces)| verify_pack(database, Arc::clone(&keys), shelf, pack, pieces, run))
        .buffer_unordered(at_once);
    let mut gathered: HashMap<PackId, PackVerdict> = HashMap::new();
    while let Some(verdict) = verdicts.next().await {
        let verdict = verdict?;
        gathered.insert(verdict.pack, verdict);
    }
    for entry in &packs.packs {
        let verdict = &gathered[&entry.pack];
        if let Some(damage) = &verdict.damage {
            let hit = name_tables(catalogue, &verdict.lost);
            let place = database.pack_place(&manifest.shelf_of(entry), &entry.pack);
            findings.add(place, format!("{damage}{hit}"), Some(entry.pack));
        }
    }
    Ok(())
}

fn name_tables(catalogue: &Catalogue, lost: &BTreeSet<usize>) -> String {
    let names: Vec<&TableName> = lost.iter().map(|number| &catalogue.tables[*number].name).collect();
    let shown: Vec<String> = names.iter().take(NAMES).map(ToString::to_string).collect();
    match names.len() {
        0 => String::new(),
        n if n > NAMES => format!("; rows lost of {} and {} more tables", shown.join(", "), n - NAMES),
        _ => format!("; rows lost of {}", shown.join(", ")),
    }
}

async fn verify_pack(
    database: &DatabaseVault,
    keys: Arc<Keys>,
    shelf: Shelf,
    pack: PackId,
    pieces: Vec<Expected>,
    run: &Run,
) -> Result<PackVerdict> {
    run.check("reading the packs")?;
    let read = match database.pack(&shelf, &pack).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let lost = pieces.iter().map(|piece| piece.table).collect();
            return Ok(PackVerdict { pack, damage: Some("it is missing".to_owned()), lost });
        }
        Err(error) => return Err(error),
    };
    let stored = read.len() as u64;
    let plain: Tally = pieces.iter().map(Expected::tally).sum();
    let verdict = tokio::task::spawn_blocking(move || verify_bytes(&keys, pack, &read, &pieces)).await;
    let progress = Progress {
        expected_bytes: stored,
        plaintext_bytes: plain.plaintext_bytes,
        rows: plain.rows,
        ..Progress::default()
    };
    run.observer.on(&Event::Advance(progress));
    verdict.map_err(|e| Error::bug("verifying a pack failed").because(e))?
}

fn verify_bytes(keys: &Keys, pack: PackId, bytes: &Bytes, pieces: &[Expected]) -> Result<PackVerdict> {
    let mut opener = Opener::new(keys)?;
    let mut verdict = PackVerdict { pack, damage: None, lost: BTreeSet::new() };
    if pack_id(bytes) != pack {
        verdict.damage = Some("it is damaged: its bytes do not have its name".to_owned());
    }
    let mut opened: HashMap<(u64, ContentId), bool> = HashMap::new();
    for expected in pieces {
        let good =
            *opened.entry((expected.offset, expected.id)).or_insert_with(|| is_good(&mut opener, bytes, expected));
        if !good {
            verdict.lost.insert(expected.table);
            verdict.damage.get_or_insert_with(|| "a piece in it is not what the index says".to_owned());
        }
    }
    Ok(verdict)
}

fn is_good(opener: &mut Opener<'_>, bytes: &Bytes, expected: &Expected) -> bool {
    let Some(sealed) = expected.sealed(bytes) else { return false };
    let opened = opener.open(PieceKind::Chunk, expected.id, expected.plaintext_bytes, sealed.to_vec());
    opened.is_ok_and(|rows| expected.encoding.tally(&rows).is_some_and(|found| found.same_rows(&expected.tally())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(first: u64, end: Option<u64>, part: u32) -> Chunk {
        Chunk { range: BlockRange { first, end }, part, tally: Tally::default(), piece: None }
    }

    /// With every chunk in a part of its own.
    fn problems(chunks: &[Chunk]) -> Vec<String> {
        let mut seen = SeenIndex::default();
        chunks.iter().for_each(|chunk| seen.add(&IndexPart { chunks: vec![*chunk] }));
        seen.problems(&Tally::default())
    }

    #[test]
    fn a_gap_an_overlap_a_missing_end_and_a_missing_part_are_found() {
        let good = [chunk(0, Some(256), 0), chunk(0, Some(256), 1), chunk(256, Some(512), 0), chunk(512, None, 0)];
        assert_eq!(problems(&good), Vec::<String>::new());
        assert_eq!(problems(&good[..3]).len(), 1);
        assert_eq!(problems(&good[1..]).len(), 1);
        assert_eq!(problems(&[good[0], good[3]]).len(), 1);
        assert_eq!(problems(&[good[0], good[0], good[2], good[3]]).len(), 1);
        assert_eq!(problems(&[chunk(0, None, 0), chunk(0, None, 2)]).len(), 1);
        assert_eq!(problems(&[chunk(0, None, 0), chunk(0, None, 1)]), Vec::<String>::new());
        assert_eq!(problems(&[]).len(), 1);
    }
}
