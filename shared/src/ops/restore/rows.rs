//! Rows on their way from the vault into the target.
//!
//! A table's chunks are loaded in segments, each in one transaction with a record that it was: a restore that died goes on
//! with the others. Loaders are threads with a session each; what they read comes through the runtime that owns the
//! store's connections.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Chunk, Column, KeyId, NotRestored, PackId, PieceRef, TableEntry, TableKind, TableName, Tally};
use crate::ops::{Event, Observer, Progress};
use crate::postgres::copy_in::{self, write_large_object_pages, write_rows};
use crate::postgres::{Connector, Session, from_postgres};
use crate::vault::DatabaseVault;
use crate::vault::piece::{Opener, PieceKind};

/// Plaintext in one segment: a transaction's worth of work. A loader holds two in memory.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Pieces in one pack that are this near each other are read with one request.
const GAP_BYTES: u64 = 128 << 10;

/// A table to load, and where its rows go.
#[derive(Debug, Clone)]
pub struct Load {
    pub entry: TableEntry,
    /// The table itself, or its partitioned root, or another table with the same columns.
    pub into: TableName,
}

/// What loaders share.
pub struct Loading {
    pub database: DatabaseVault,
    pub key: KeyId,
    pub target: Connector,
    /// Pins a session's settings, as one query.
    pub settings: String,
    /// Of the rows' text.
    pub encoding: String,
    /// Tables that extensions make, which the target may lack or guard.
    pub of_extensions: BTreeSet<TableName>,
    pub jobs: usize,
    pub skip_damaged: bool,
    pub observer: Arc<dyn Observer>,
    pub stop: CancellationToken,
}

/// Consecutive chunks of one table.
#[derive(Debug, Clone)]
struct Segment {
    load: Arc<Load>,
    number: i32,
    chunks: Vec<Chunk>,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Tables that refused rows, with the first refusal of each: they may need what is not there yet.
    pub refused: Vec<(TableName, Refusal)>,
    pub lost: Lost,
}

/// Rows that could not be read from the vault, by table and segment. A segment that is loaded again loses the same again.
pub type Lost = BTreeMap<(TableName, i32), Vec<NotRestored>>;

/// In the place of a segment: what a table's damaged index costs.
const OF_INDEX: i32 = -1;

const AROUND_DAMAGE: &str =
    "restore the rest with --skip-damaged, or use another backup; `lifeboat verify` says what is hit";

/// Why a table did not take its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    /// The check constraint or partition bound that did not hold, where it was one.
    pub constraint: Option<String>,
    /// A leaf refused a row that belongs to it by the source's bounds or hashes.
    pub is_partition_bound: bool,
}

struct Shared {
    loading: Loading,
    segments: Mutex<VecDeque<Segment>>,
    refused: Mutex<Vec<(TableName, Refusal)>>,
    lost: Mutex<Lost>,
    failed: Mutex<Option<Error>>,
    runtime: tokio::runtime::Handle,
}

/// Loads the tables, but for the segments that the target has recorded as `done`.
///
/// Errors: `Verification` for a damaged piece unless damaged ones are skipped; `Database`, `Vault`, `OutOfTime`.
pub async fn load(loading: Loading, loads: Vec<Load>, done: &HashSet<(String, i32)>) -> Result<Loaded> {
    let (segments, lost) = plan_segments(&loading, loads, done).await?;
    let (jobs, stop) = (loading.jobs, loading.stop.clone());
    let shared = Arc::new(Shared {
        loading,
        segments: Mutex::new(segments.into()),
        refused: Mutex::default(),
        lost: Mutex::new(lost),
        failed: Mutex::default(),
        runtime: tokio::runtime::Handle::current(),
    });
    let threads: Vec<_> = (0..jobs)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("lifeboat-loader".to_owned()).spawn(move || load_all(&shared))
        })
        .collect::<std::io::Result<_>>()
        .map_err(|e| Error::bug("cannot start a thread").because(e))?;
    let join = move || threads.into_iter().map(|t| t.join()).filter(Result::is_err).count();
    let panicked = tokio::task::spawn_blocking(join).await.map_err(|e| Error::bug("loading failed").because(e))?;
    if let Some(error) = shared.failed.lock().expect("no panic while held").take() {
        return Err(error);
    }
    if panicked > 0 {
        return Err(Error::bug("a loader panicked"));
    }
    if stop.is_cancelled() {
        return Err(Error::out_of_time("stopped on request while loading rows")
            .hint("run the same restore again: it goes on where it stopped"));
    }
    let refused = std::mem::take(&mut *shared.refused.lock().expect("no panic while held"));
    let lost = std::mem::take(&mut *shared.lost.lock().expect("no panic while held"));
    Ok(Loaded { refused, lost })
}

/// Largest tables first.
async fn plan_segments(
    loading: &Loading,
    mut loads: Vec<Load>,
    done: &HashSet<(String, i32)>,
) -> Result<(Vec<Segment>, Lost)> {
    loads.sort_by_key(|load| std::cmp::Reverse(load.entry.tally.plaintext_bytes));
    let (mut segments, mut lost) = (Vec::new(), Lost::new());
    for load in loads {
        let load = Arc::new(load);
        let (chunks, unlisted) = chunks_of(loading, &load.entry).await?;
        lost.extend(unlisted.map(|unlisted| ((load.entry.name.clone(), OF_INDEX), vec![unlisted])));
        let cut = cut_segments(&chunks).into_iter().enumerate().map(|(number, chunks)| Segment {
            load: Arc::clone(&load),
            number: i32::try_from(number).expect("fewer than two billion segments"),
            chunks,
        });
        segments.extend(cut.filter(|segment| !done.contains(&(segment.load.entry.name.to_string(), segment.number))));
    }
    Ok((segments, lost))
}

/// The table's chunks that have rows, and what damage to its index costs.
async fn chunks_of(loading: &Loading, entry: &TableEntry) -> Result<(Vec<Chunk>, Option<NotRestored>)> {
    let (mut chunks, mut damaged) = (Vec::new(), None);
    for at in &entry.parts {
        match loading.database.index_part(loading.key, at).await {
            Ok(part) => chunks.extend(part.chunks.into_iter().filter(|chunk| chunk.piece.is_some())),
            Err(error) if error.kind() != ErrorKind::Verification => return Err(error),
            Err(_) if loading.skip_damaged => damaged = Some(at.pack),
            Err(error) => return Err(error.context(format!("the index of {}", entry.name)).hint(AROUND_DAMAGE)),
        }
    }
    let listed: Tally = chunks.iter().map(|chunk: &Chunk| &chunk.tally).sum();
    let rows = entry.tally.rows.saturating_sub(listed.rows);
    let unlisted = damaged.map(|pack| NotRestored {
        essential: true,
        object: entry.name.to_string(),
        reason: format!("{rows} rows are lost: pack {pack}, which lists them, is damaged or missing"),
    });
    Ok((chunks, unlisted))
}

fn cut_segments(chunks: &[Chunk]) -> Vec<Vec<Chunk>> {
    let mut segments: Vec<Vec<Chunk>> = Vec::new();
    let mut size = SEGMENT_BYTES;
    for chunk in chunks {
        if size >= SEGMENT_BYTES {
            segments.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(chunk.tally.plaintext_bytes);
        segments.last_mut().expect("pushed above").push(*chunk);
    }
    segments
}

/// A loader thread.
fn load_all(shared: &Arc<Shared>) {
    let stop = &shared.loading.stop;
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::bug("cannot start a loader").because(e))
        .and_then(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    result = load_segments(shared) => result,
                }
            })
        });
    if let Err(error) = result {
        shared.failed.lock().expect("no panic while held").get_or_insert(error);
        stop.cancel();
    }
}

async fn load_segments(shared: &Arc<Shared>) -> Result<()> {
    let mut session = loader(shared).await?;
    let mut ahead = shared.read_ahead();
    while let Some((segment, reading)) = ahead {
        let read = reading.await?;
        // While the server takes these rows, the store gives the next.
        ahead = shared.read_ahead();
        if !shared.is_refused(&segment.load.entry.name) {
            load_segment(shared, &mut session, &segment, read).await?;
        }
    }
    session.close().await;
    Ok(())
}

async fn loader(shared: &Shared) -> Result<Session> {
    let session = shared.loading.target.connect().await?;
    let settings = session.batch_execute(&shared.loading.settings).await;
    settings.map_err(|e| from_postgres("preparing a session for the rows", e))?;
    Ok(session)
}

impl Shared {
    /// The next segment, which is being read by now, unless it is too large to have it in memory beside another.
    fn read_ahead(self: &Arc<Self>) -> Option<(Segment, BoxFuture<'static, Result<ReadSegment>>)> {
        let segment = loop {
            let segment = self.segments.lock().expect("no panic while held").pop_front()?;
            if !self.is_refused(&segment.load.entry.name) {
                break segment;
            }
        };
        let reading = {
            let (shared, segment) = (Arc::clone(self), segment.clone());
            async move { read_segment(&shared, &segment).await }
        };
        let plaintext_bytes = segment.chunks.iter().map(|chunk| &chunk.tally).sum::<Tally>().plaintext_bytes;
        if plaintext_bytes > 2 * SEGMENT_BYTES {
            return Some((segment, reading.boxed()));
        }
        let reading = self.runtime.spawn(reading);
        let read = async { reading.await.map_err(|e| Error::bug("reading a segment failed").because(e))? };
        Some((segment, read.boxed()))
    }

    fn is_refused(&self, table: &TableName) -> bool {
        self.refused.lock().expect("no panic while held").iter().any(|(name, _)| name == table)
    }
}

/// What the vault had of a segment.
#[derive(Default)]
struct ReadSegment {
    texts: Vec<Vec<u8>>,
    rows: u64,
    lost: Vec<NotRestored>,
}

async fn read_segment(shared: &Arc<Shared>, segment: &Segment) -> Result<ReadSegment> {
    let pieces: Vec<(PieceRef, Tally)> =
        segment.chunks.iter().filter_map(|chunk| Some((chunk.piece?, chunk.tally))).collect();
    let mut read = ReadSegment::default();
    for run in runs(&pieces) {
        for ((piece, tally), opened) in pieces[run.clone()].iter().zip(read_run(shared, &pieces[run]).await?) {
            match opened {
                Ok(text) => {
                    read.rows = read.rows.saturating_add(tally.rows);
                    read.texts.push(text);
                }
                Err(error) if shared.loading.skip_damaged && error.kind() == ErrorKind::Verification => {
                    let object = segment.load.entry.name.to_string();
                    let reason = format!("{} rows are lost: pack {} is damaged or missing", tally.rows, piece.pack);
                    read.lost.push(NotRestored { object, reason, essential: true });
                }
                Err(error) => {
                    let table = &segment.load.entry.name;
                    return Err(error.context(format!("rows of {table}")).hint(AROUND_DAMAGE));
                }
            }
        }
    }
    Ok(read)
}

/// Runs of pieces that lie so near each other in a pack that one request reads them.
fn runs(pieces: &[(PieceRef, Tally)]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, (piece, _)) in pieces.iter().enumerate() {
        let follows = at.checked_sub(1).is_some_and(|before| {
            let before = pieces[before].0;
            let end = before.offset.saturating_add(before.length);
            before.pack == piece.pack && piece.offset >= end && piece.offset - end <= GAP_BYTES
        });
        match runs.last_mut().filter(|_| follows) {
            Some(run) => run.end = at + 1,
            None => runs.push(at..at + 1),
        }
    }
    runs
}

/// Reads and opens the pieces of a run; each may be damaged for itself. The outer error is one of the store.
async fn read_run(shared: &Arc<Shared>, pieces: &[(PieceRef, Tally)]) -> Result<Vec<Result<Vec<u8>>>> {
    let (Some((first, _)), Some((last, _))) = (pieces.first(), pieces.last()) else { return Ok(Vec::new()) };
    let range = first.offset..last.range()?.end;
    let (pack, begin): (PackId, u64) = (first.pack, first.offset);
    let database = shared.loading.database.clone();
    // By the runtime that owns the store's connections, whoever asks.
    let reading = shared.runtime.spawn(async move { database.pack_range(&pack, range).await });
    let bytes = match reading.await.map_err(|e| Error::bug("reading a pack failed").because(e))? {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::Verification && pieces.len() == 1 => return Ok(vec![Err(error)]),
        // The pack is too short for all of them, perhaps not for each.
        Err(error) if error.kind() == ErrorKind::Verification => {
            let mut opened = Vec::new();
            for piece in pieces.chunks(1) {
                opened.append(&mut Box::pin(read_run(shared, piece)).await?);
            }
            return Ok(opened);
        }
        Err(error) => return Err(error),
    };
    let keys = shared.loading.database.keys(shared.loading.key).await?;
    let pieces = pieces.to_vec();
    let open_all = move || {
        let mut opener = Opener::new(&keys)?;
        let open = |(piece, _): &(PieceRef, Tally)| {
            let from = usize::try_from(piece.offset - begin).expect("within the bytes that were read");
            let to = from + usize::try_from(piece.length).expect("within the bytes that were read");
            opener.open(PieceKind::Chunk, piece.id, piece.plaintext_bytes, bytes[from..to].to_vec())
        };
        Ok(pieces.iter().map(open).collect())
    };
    tokio::task::spawn_blocking(open_all).await.map_err(|e| Error::bug("opening pieces failed").because(e))?
}

async fn load_segment(shared: &Shared, session: &mut Session, segment: &Segment, read: ReadSegment) -> Result<()> {
    let entry = &segment.load.entry;
    let ReadSegment { texts, rows: expected, lost } = read;
    let bytes = texts.iter().map(|text| text.len() as u64).sum();
    match write_segment(shared, session, segment, texts, &lost).await {
        Ok(rows) if rows == expected => {
            if !lost.is_empty() {
                let place = (entry.name.clone(), segment.number);
                shared.lost.lock().expect("no panic while held").insert(place, lost);
            }
            let progress = Progress { expected_bytes: bytes, plaintext_bytes: bytes, rows, ..Progress::default() };
            shared.loading.observer.on(&Event::Advance(progress));
            Ok(())
        }
        Ok(rows) => Err(Error::verification(format!(
            "{} took {rows} rows of {expected}: something there drops rows",
            entry.name
        ))),
        Err(error) => {
            let Some((constraint, is_partition_bound)) = refusal(&error) else { return Err(not_loaded(entry, error)) };
            if session.batch_execute("ROLLBACK").await.is_err() {
                if !shared.loading.of_extensions.contains(&entry.name) {
                    return Err(not_loaded(entry, error));
                }
                // After a COPY that was refused before its rows the driver takes each answer for that of another question.
                *session = loader(shared).await?;
            }
            let reason = from_postgres("the rows were refused", error).message();
            let refusal = Refusal { reason, constraint, is_partition_bound };
            shared.refused.lock().expect("no panic while held").push((entry.name.clone(), refusal));
            Ok(())
        }
    }
}

fn not_loaded(entry: &TableEntry, error: tokio_postgres::Error) -> Error {
    from_postgres(&format!("loading {}", entry.name), error)
}

/// One transaction: the rows, and the record that they are there.
async fn write_segment(
    shared: &Shared,
    session: &Session,
    segment: &Segment,
    texts: Vec<Vec<u8>>,
    lost: &[NotRestored],
) -> Result<u64, tokio_postgres::Error> {
    let Load { entry, into } = &*segment.load;
    session.batch_execute("BEGIN").await?;
    let rows = match entry.kind {
        TableKind::LargeObjects => write_large_object_pages(session, texts).await?,
        TableKind::Table | TableKind::Partition => {
            let (columns, format): (&[Column], _) = (&entry.columns, entry.encoding);
            let into = copy_in::Into { table: into, columns, format, encoding: &shared.loading.encoding };
            write_rows(session, into, texts).await?
        }
    };
    session.batch_execute(&Record::segment(&entry.name.to_string(), segment.number, lost)).await?;
    session.batch_execute("COMMIT").await?;
    Ok(rows)
}

/// Whether the target refused the rows themselves, for a reason that may go away: `(constraint, was a partition's bound)`.
fn refusal(error: &tokio_postgres::Error) -> Option<(Option<String>, bool)> {
    let db = error.as_db_error()?;
    let constraint = db.constraint().map(str::to_owned);
    let is_bound = db.code() == &SqlState::CHECK_VIOLATION && constraint.is_none();
    // 0A: row-level security, which no table but an extension's has by now, takes no COPY.
    let of_rows = ["0A", "22", "23", "38", "39", "3F", "42", "P0"].contains(&&db.code().code()[..2]);
    of_rows.then_some((constraint, is_bound))
}

/// The loads, with the rows of these roots' partitions sent through them.
pub fn through(loads: &[Load], roots: &BTreeSet<TableName>) -> Vec<Load> {
    let sent = |load: &Load| match load.entry.root.clone().filter(|root| roots.contains(root)) {
        Some(into) => Load { into, ..load.clone() },
        None => load.clone(),
    };
    loads.iter().map(sent).collect()
}

/// Tables whose rows were refused because they belong to another leaf here than in the source, with their roots.
pub fn misplaced<'a>(refused: &[(TableName, Refusal)], loads: impl Iterator<Item = &'a Load>) -> BTreeSet<TableName> {
    let bounds: HashSet<&TableName> =
        refused.iter().filter(|(_, refusal)| refusal.is_partition_bound).map(|(name, _)| name).collect();
    loads.filter(|load| bounds.contains(&load.entry.name)).filter_map(|load| load.entry.root.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BlockRange, ContentId};

    fn piece(pack: u8, offset: u64, length: u64) -> (PieceRef, Tally) {
        let id = ContentId([0; 32]);
        (PieceRef { id, pack: PackId([pack; 32]), offset, length, plaintext_bytes: 9 }, Tally::default())
    }

    #[test]
    fn neighbours_in_a_pack_are_read_with_one_request() {
        let near = [piece(1, 0, 10), piece(1, 10, 10), piece(1, 21, 10)];
        assert_eq!(runs(&near), vec![0..3]);
        let apart = [piece(1, 0, 10), piece(2, 10, 10), piece(2, 20 + GAP_BYTES + 1, 10), piece(2, 0, 5)];
        assert_eq!(runs(&apart), vec![0..1, 1..2, 2..3, 3..4]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn segments_hold_every_chunk_once_and_end_when_they_are_full() {
        let chunk = |bytes| Chunk {
            range: BlockRange { first: 0, end: None },
            part: 0,
            tally: Tally { rows: 1, plaintext_bytes: bytes, ..Tally::default() },
            piece: Some(piece(1, 0, 1).0),
        };
        let sizes = [SEGMENT_BYTES / 2, SEGMENT_BYTES / 2, 1, 3 * SEGMENT_BYTES, 1];
        let cut: Vec<usize> = cut_segments(&sizes.map(chunk)).iter().map(Vec::len).collect();
        assert_eq!(cut, [2, 2, 1]);
    }
}
