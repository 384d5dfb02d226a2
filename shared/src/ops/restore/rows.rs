//! Rows on their way from the vault into the target.
//!
//! A table's chunks are loaded in segments, each in one transaction with a record that it was: a restore that died goes on
//! with the others. Loaders are threads with a session each; what they read comes through the runtime that owns the
//! store's connections.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Chunk, KeyId, NotRestored, PieceRef, Shelf, TableEntry, TableKind, TableName};
use crate::ops::{Event, Observer, Progress};
use crate::plan::batch::{MOST_TASKS, take_batch};
use crate::postgres::copy_in::{self, write_large_object_pages, write_rows};
use crate::postgres::{Connector, Session, from_postgres};
use crate::vault::DatabaseVault;
use crate::vault::piece::PieceKind;

/// Plaintext in one segment: a transaction's worth of work. A loader holds two in memory.
const SEGMENT_BYTES: u64 = 16 << 20;

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
    /// Where the rows are.
    pub shelf: Shelf,
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

/// Consecutive chunks of one table that have rows.
#[derive(Debug, Clone)]
struct Segment {
    load: Arc<Load>,
    number: i32,
    chunks: Box<[StoredRows]>,
}

/// A chunk's rows. Those of all segments are in memory at first, so each has no more than it takes to load them.
#[derive(Debug, Clone, Copy)]
struct StoredRows {
    piece: PieceRef,
    rows: u64,
}

impl Segment {
    fn plaintext_bytes(&self) -> u64 {
        self.chunks.iter().fold(0, |sum, chunk| sum.saturating_add(chunk.piece.plaintext_bytes))
    }

    /// Its size for who puts small ones together: large objects go alone, as they take more than a COPY.
    fn bytes_beside_others(&self) -> u64 {
        match self.load.entry.kind {
            TableKind::LargeObjects => u64::MAX,
            TableKind::Table | TableKind::Partition => self.plaintext_bytes(),
        }
    }
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
    let wanted = loads.iter().flat_map(|load| &load.entry.parts).copied().collect();
    let mut parts = loading.database.index_parts(loading.key, wanted);
    let (mut segments, mut lost) = (Vec::new(), Lost::new());
    for load in &loads {
        let (entry, load) = (&load.entry, Arc::new(load.clone()));
        let (mut cutter, mut damaged) = (Cutter::default(), None);
        for at in &entry.parts {
            match parts.next().await.expect("one for each that is wanted")? {
                Ok(part) => part.chunks.iter().for_each(|chunk| cutter.add(chunk)),
                Err(error) if error.kind() != ErrorKind::Verification => return Err(error),
                Err(_) if loading.skip_damaged => damaged = Some(at.pack),
                Err(error) => return Err(error.context(format!("the index of {}", entry.name)).hint(AROUND_DAMAGE)),
            }
        }
        if let Some(pack) = damaged {
            let rows = entry.tally.rows.saturating_sub(cutter.rows);
            let reason = format!("{rows} rows are lost: pack {pack}, which lists them, is damaged or missing");
            let unlisted = NotRestored { essential: true, object: entry.name.to_string(), reason };
            lost.insert((entry.name.clone(), OF_INDEX), vec![unlisted]);
        }
        let segment = |(number, chunks)| {
            let number = i32::try_from(number).expect("fewer than two billion segments");
            Segment { load: Arc::clone(&load), number, chunks }
        };
        let is_done = |segment: &Segment| done.contains(&(entry.name.to_string(), segment.number));
        segments.extend(cutter.end().into_iter().enumerate().map(segment).filter(|segment| !is_done(segment)));
    }
    Ok((segments, lost))
}

/// Cuts a table's chunks into segments; those without rows are left out.
#[derive(Default)]
struct Cutter {
    segments: Vec<Box<[StoredRows]>>,
    open: Vec<StoredRows>,
    open_bytes: u64,
    /// Of all segments.
    rows: u64,
}

impl Cutter {
    fn add(&mut self, chunk: &Chunk) {
        let (Some(piece), rows) = (chunk.piece, chunk.tally.rows) else { return };
        self.open.push(StoredRows { piece, rows });
        self.open_bytes = self.open_bytes.saturating_add(piece.plaintext_bytes);
        self.rows = self.rows.saturating_add(rows);
        if self.open_bytes >= SEGMENT_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        self.segments.push(self.open.drain(..).collect());
        self.open_bytes = 0;
    }

    fn end(mut self) -> Vec<Box<[StoredRows]>> {
        if !self.open.is_empty() {
            self.close();
        }
        self.segments
    }
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
    while let Some((batch, reading)) = ahead {
        let read = reading.await?;
        // While the server takes these rows, the store gives the next.
        ahead = shared.read_ahead();
        let wanted = batch.iter().zip(read).filter(|(segment, _)| !shared.is_refused(&segment.load.entry.name));
        load_batch(shared, &mut session, wanted.collect()).await?;
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
    /// The next segment, or many small ones, which are being read by now, unless there is too much to have it in memory
    /// beside another.
    fn read_ahead(self: &Arc<Self>) -> Option<(Vec<Segment>, Reading)> {
        let batch = {
            let mut segments = self.segments.lock().expect("no panic while held");
            while segments.front().is_some_and(|segment| self.is_refused(&segment.load.entry.name)) {
                segments.pop_front();
            }
            take_batch(&mut segments, Segment::bytes_beside_others)
        };
        let plaintext_bytes = batch.first()?.plaintext_bytes();
        let reading = {
            let (shared, batch) = (Arc::clone(self), batch.clone());
            async move { read_batch(&shared, &batch).await }
        };
        // By the runtime that owns the store's connections, whoever asks.
        let runtime = self.runtime.clone();
        let start = move || runtime.spawn(reading);
        if plaintext_bytes > 2 * SEGMENT_BYTES {
            return Some((batch, async { joined(start()).await }.boxed()));
        }
        Some((batch, joined(start()).boxed()))
    }

    fn into<'a>(&'a self, load: &'a Load) -> copy_in::Into<'a> {
        let Load { entry, into } = load;
        let (columns, format, encoding) = (entry.columns.as_slice(), entry.encoding, self.loading.encoding.as_str());
        copy_in::Into { table: into, columns, format, encoding }
    }

    /// Tells that the target has the segment.
    fn loaded(&self, segment: &Segment, read: ReadSegment) {
        let bytes = read.texts.iter().map(|text| text.len() as u64).sum();
        if !read.lost.is_empty() {
            let place = (segment.load.entry.name.clone(), segment.number);
            self.lost.lock().expect("no panic while held").insert(place, read.lost);
        }
        let progress =
            Progress { expected_bytes: bytes, plaintext_bytes: bytes, rows: read.rows, ..Progress::default() };
        self.loading.observer.on(&Event::Advance(progress));
    }

    fn is_refused(&self, table: &TableName) -> bool {
        self.refused.lock().expect("no panic while held").iter().any(|(name, _)| name == table)
    }
}

/// Segments on their way from the vault.
type Reading = BoxFuture<'static, Result<Vec<ReadSegment>>>;

/// What the vault had of a segment.
#[derive(Default)]
struct ReadSegment {
    texts: Vec<Bytes>,
    rows: u64,
    lost: Vec<NotRestored>,
}

async fn joined(reading: JoinHandle<Result<Vec<ReadSegment>>>) -> Result<Vec<ReadSegment>> {
    reading.await.map_err(|e| Error::bug("reading rows failed").because(e))?
}

async fn read_batch(shared: &Shared, batch: &[Segment]) -> Result<Vec<ReadSegment>> {
    let Loading { database, key, shelf, skip_damaged, .. } = &shared.loading;
    let wanted: Vec<PieceRef> = batch.iter().flat_map(|segment| &segment.chunks).map(|chunk| chunk.piece).collect();
    let mut opened = database.pieces(*key, PieceKind::Chunk, shelf, &wanted).await?.into_iter();
    let mut read = Vec::with_capacity(batch.len());
    for segment in batch {
        let mut of_segment = ReadSegment::default();
        for (StoredRows { piece, rows }, opened) in segment.chunks.iter().zip(opened.by_ref()) {
            let table = &segment.load.entry.name;
            match opened {
                Ok(text) => {
                    of_segment.rows = of_segment.rows.saturating_add(*rows);
                    of_segment.texts.push(text.into());
                }
                Err(error) if *skip_damaged && error.kind() == ErrorKind::Verification => {
                    let reason = format!("{rows} rows are lost: pack {} is damaged or missing", piece.pack);
                    of_segment.lost.push(NotRestored { object: table.to_string(), reason, essential: true });
                }
                Err(error) => return Err(error.context(format!("rows of {table}")).hint(AROUND_DAMAGE)),
            }
        }
        read.push(of_segment);
    }
    Ok(read)
}

/// Loads segments in one transaction if they are many and the target takes them all so, else each in its own.
async fn load_batch(shared: &Shared, session: &mut Session, batch: Vec<(&Segment, ReadSegment)>) -> Result<()> {
    if batch.len() > 1 {
        if write_together(shared, session, &batch).await {
            batch.into_iter().for_each(|(segment, read)| shared.loaded(segment, read));
            return Ok(());
        }
        // Answers to what was asked in advance may still be on their way.
        *session = loader(shared).await?;
    }
    for (segment, read) in batch {
        if !shared.is_refused(&segment.load.entry.name) {
            load_segment(shared, session, segment, read).await?;
        }
    }
    Ok(())
}

/// One transaction for many segments, each COPY sent as soon as the one before it was. `false`: the target refused
/// something, nothing took effect, and the session is of no more use.
async fn write_together(shared: &Shared, session: &Session, batch: &[(&Segment, ReadSegment)]) -> bool {
    let write = async {
        session.batch_execute("BEGIN").await?;
        let copies =
            batch.iter().map(|(segment, read)| write_rows(session, shared.into(&segment.load), read.texts.clone()));
        let rows: Vec<u64> = stream::iter(copies).buffered(MOST_TASKS).try_collect().await?;
        let whole = rows.iter().zip(batch).all(|(rows, (_, read))| *rows == read.rows);
        let notes: Vec<String> = batch
            .iter()
            .map(|(segment, read)| Record::segment(&segment.load.entry.name.to_string(), segment.number, &read.lost))
            .collect();
        if whole {
            session.batch_execute(&format!("{}; COMMIT", notes.join("; "))).await?;
        }
        Ok::<_, tokio_postgres::Error>(whole)
    };
    let written = write.await;
    if let Err(error) = &written {
        let code = error.code().map(SqlState::code);
        tracing::debug!(segments = batch.len(), code, "not together: one after the other");
    }
    written.unwrap_or(false)
}

async fn load_segment(shared: &Shared, session: &mut Session, segment: &Segment, read: ReadSegment) -> Result<()> {
    let entry = &segment.load.entry;
    match write_segment(shared, session, segment, &read).await {
        Ok(rows) if rows == read.rows => {
            shared.loaded(segment, read);
            Ok(())
        }
        Ok(rows) => Err(Error::verification(format!(
            "{} took {rows} rows of {}: something there drops rows",
            entry.name, read.rows
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
    read: &ReadSegment,
) -> Result<u64, tokio_postgres::Error> {
    let entry = &segment.load.entry;
    session.batch_execute("BEGIN").await?;
    let rows = match entry.kind {
        TableKind::LargeObjects => write_large_object_pages(session, read.texts.clone()).await?,
        TableKind::Table | TableKind::Partition => {
            write_rows(session, shared.into(&segment.load), read.texts.clone()).await?
        }
    };
    session.batch_execute(&Record::segment(&entry.name.to_string(), segment.number, &read.lost)).await?;
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
    use crate::model::{BlockRange, ContentId, PackId, Tally};

    #[test]
    fn segments_hold_every_chunk_once_and_end_when_they_are_full() {
        let piece = |plaintext_bytes| PieceRef {
            id: ContentId([0; 32]),
            pack: PackId([1; 32]),
            offset: 0,
            length: 1,
            plaintext_bytes,
        };
        let chunk = |bytes: u64| {
            let piece = (bytes > 0).then_some(piece(bytes));
            let tally = Tally { rows: bytes.min(1), plaintext_bytes: bytes, ..Tally::default() };
            Chunk { range: BlockRange::WHOLE, part: 0, tally, piece }
        };
        let mut cutter = Cutter::default();
        let sizes = [SEGMENT_BYTES / 2, SEGMENT_BYTES / 2, 1, 0, 3 * SEGMENT_BYTES, 1, 0];
        sizes.map(chunk).iter().for_each(|chunk| cutter.add(chunk));
        assert_eq!(cutter.rows, 5);
        assert_eq!(cutter.end().iter().map(|segment| segment.len()).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
