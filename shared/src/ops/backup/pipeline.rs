//! Rows on their way from the server into packs, with bounded memory.
//!
//! ```text
//! readers (a thread and a session each)   sealers (threads)                          collector (this task)
//!   COPY a range, cut at row ends  ──▶  fingerprint, content id ── in the parent? ──▶  index parts per table
//!                                         └─ no: zstd, seal, pack ──▶ uploads ─────▶
//! ```
//!
//! Queues between them are short, so a slow store slows the readers down. Whatever fails first stops all.
//!
//! A range that the server shows to be as the parent has it is not read; its chunks go straight to the collector.
//!
//! A table that turns out to have a row too long for text is begun again in binary: its ranges are handed out once more,
//! and what was read of it so far is forgotten.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::collect::Collector;
use super::pace::Pace;
use super::parent::{KnownPart, KnownParts, Parent};
use super::readers::{read_all, read_left_over};
use super::upload::{MetaPacks, Place, Uploader};
use crate::error::{Error, Result};
use crate::model::{Chunk, ContentId, Encoding, PackId, PieceRef, TableEntry, TableName, Tally};
use crate::ops::{Event, Observer, Progress};
use crate::plan::read::{PART_RANGES, PlannedTable, ReadPlan};
use crate::plan::unread::Comparison;
use crate::postgres::chunker::Buffers;
use crate::postgres::snapshot::Ticket;
use crate::postgres::{Connector, Session};
use crate::vault::keys::Keys;
use crate::vault::pack::{ClosedPack, PackBuffer};
use crate::vault::piece::{PieceKind, Sealer, content_id};

/// What the pipeline works with.
pub struct Work {
    pub connector: Connector,
    pub ticket: Ticket,
    pub plan: Arc<ReadPlan>,
    pub parent: Option<Arc<Parent>>,
    /// `None` reads everything, and looks for nothing.
    pub comparison: Option<Comparison>,
    pub keys: Arc<Keys>,
    /// See [`Rows`].
    pub by_large_object_pages: bool,
    /// zstd's.
    pub level: i32,
    pub jobs: usize,
    pub max_rate_bytes_per_s: Option<u64>,
    pub observer: Arc<dyn Observer>,
    /// Cancelled by whoever wants it to stop, and by the pipeline itself when a part of it fails.
    pub stop: CancellationToken,
}

/// What became of the rows.
#[derive(Debug)]
pub struct Outcome {
    /// In the plan's order.
    pub tables: Vec<ReadTable>,
    /// Packs that hold the rows, earlier ones included.
    pub packs: HashSet<PackId>,
    pub chunks: u64,
    pub new_chunks: u64,
    pub unread_chunks: u64,
    /// Tables with rows that should have been as the parent has them, and are not.
    pub misjudged: BTreeSet<TableName>,
}

/// A table whose rows were all read.
#[derive(Debug)]
pub struct ReadTable {
    /// Without its index parts.
    pub entry: TableEntry,
    pub parts: Vec<Place>,
}

impl ReadTable {
    /// With its index parts, which must have been flushed.
    pub fn with_parts(self, meta: &MetaPacks) -> TableEntry {
        TableEntry { parts: self.parts.into_iter().map(|place| meta.at(place)).collect(), ..self.entry }
    }
}

/// A range of one table to read: numbers into the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub table: usize,
    pub range: u64,
    pub encoding: Encoding,
}

/// `(table, part)`
pub(super) type PartName = (usize, u64);

impl Task {
    pub fn part(self) -> PartName {
        (self.table, self.range / PART_RANGES)
    }
}

/// Rows that were read, before anything was done to them.
pub(super) struct RawChunk {
    pub task: Task,
    pub part: u32,
    /// With the generated columns behind the others.
    pub rows: Vec<u8>,
    pub known: Arc<KnownPart>,
    /// What it must be, unless the rule that finds unchanged ranges is wrong.
    pub expected: Option<ContentId>,
}

/// What threads tell the collector.
pub(super) enum Message {
    /// From now on only this encoding counts for a table; what came of it so far does not.
    StartOver {
        table: usize,
        encoding: Encoding,
    },
    /// A range was read to its end and gave this many chunks.
    RangeRead {
        task: Task,
        chunks: u32,
    },
    /// A range is as the parent has it: its chunks, all of them.
    RangeUnread {
        task: Task,
        chunks: Vec<Chunk>,
    },
    /// A range that looked unchanged is not.
    Misjudged {
        table: usize,
    },
    /// Where a chunk is.
    Placed {
        task: Task,
        chunk: Chunk,
        is_new: bool,
    },
    Failed(Error),
}

/// A chunk that waits for its pack.
struct Placement {
    task: Task,
    part: u32,
    tally: Tally,
}

/// What all threads share.
pub(super) struct Shared {
    pub work: Work,
    pub tasks: Mutex<VecDeque<Task>>,
    /// Of each table, how its rows are read.
    encodings: Mutex<Vec<Encoding>>,
    /// Ranges of tables that a reader could not lock at once.
    pub left_over: Mutex<Vec<Task>>,
    known: KnownParts,
    pub buffers: Buffers,
    runtime: tokio::runtime::Handle,
    pub pace: Pace,
    uploads: Uploader,
    pack: Mutex<PackBuffer<Placement>>,
    messages: mpsc::UnboundedSender<Message>,
}

/// Reads every range of the plan and stores what the parent does not have. `coordinator` is the session that holds the
/// snapshot: it reads what readers cannot lock.
pub async fn run(work: Work, coordinator: &Session, uploads: &Uploader, meta: &mut MetaPacks) -> Result<Outcome> {
    let plan = Arc::clone(&work.plan);
    let stop = work.stop.clone();
    let (messages, mut inbox) = mpsc::unbounded_channel();
    let collector = Collector::new(&work, meta);
    let shared = Arc::new(Shared {
        tasks: Mutex::new((0..plan.tables.len()).flat_map(|at| tasks(&plan, at, plan.tables[at].encoding)).collect()),
        encodings: Mutex::new(plan.tables.iter().map(|table| table.encoding).collect()),
        left_over: Mutex::default(),
        known: KnownParts::default(),
        buffers: Buffers::default(),
        runtime: tokio::runtime::Handle::current(),
        pace: Pace::new(work.max_rate_bytes_per_s),
        uploads: uploads.clone(),
        pack: Mutex::default(),
        messages,
        work,
    });
    let feeding = async {
        let fed = feed(shared, coordinator).await;
        if fed.is_err() {
            stop.cancel();
        }
        fed
    };
    let (fed, collected) = tokio::join!(feeding, collector.collect(&mut inbox, &stop));
    // What failed first is what stopped the other.
    let outcome = collected?;
    fed.map(|()| outcome)
}

/// Every range of a table.
fn tasks(plan: &ReadPlan, table: usize, encoding: Encoding) -> impl Iterator<Item = Task> + use<> {
    (0..plan.tables[table].ranges.count()).map(move |range| Task { table, range, encoding })
}

/// Starts the threads, sees all rows through to the last pack, and lets go of everything.
async fn feed(shared: Arc<Shared>, coordinator: &Session) -> Result<()> {
    let sealer_count = thread::available_parallelism().map_or(2, usize::from).min(shared.work.jobs + 1);
    let (raw, to_seal) = flume::bounded(sealer_count + 1);
    let readers = (0..shared.work.jobs).map(|_| {
        let (shared, raw) = (Arc::clone(&shared), raw.clone());
        start("lifeboat-reader", move || read_all(&shared, &raw))
    });
    let readers = readers.collect::<Result<Vec<_>>>()?;
    let sealers = (0..sealer_count).map(|_| {
        let (shared, to_seal) = (Arc::clone(&shared), to_seal.clone());
        start("lifeboat-sealer", move || seal_all(&shared, &to_seal))
    });
    let sealers = sealers.collect::<Result<Vec<_>>>()?;
    drop(to_seal);
    join(readers).await?;
    tokio::select! {
        () = shared.work.stop.cancelled() => {}
        result = read_left_over(&shared, coordinator, &raw) => result?,
    }
    drop(raw);
    join(sealers).await?;
    let last = shared.pack.lock().expect("no panic while held").close();
    if let Some(pack) = last {
        let store = move || store_pack(&shared, pack);
        tokio::task::spawn_blocking(store).await.map_err(|e| Error::bug("storing a pack failed").because(e))?;
    }
    Ok(())
}

type Thread = thread::JoinHandle<Result<()>>;

fn start(name: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Thread> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|e| Error::bug("cannot start a thread").because(e))
}

/// Waits for all of them; gives the first error.
async fn join(threads: Vec<Thread>) -> Result<()> {
    let wait = move || {
        let ended = threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Error::bug("a thread panicked"))));
        ended.fold(Ok(()), Result::and)
    };
    tokio::task::spawn_blocking(wait).await.map_err(|e| Error::bug("waiting for threads failed").because(e))?
}

impl Shared {
    /// Whether its table was begun again in another encoding.
    pub fn is_outdated(&self, task: Task) -> bool {
        self.encodings.lock().expect("no panic while held")[task.table] != task.encoding
    }

    pub fn table(&self, task: Task) -> &PlannedTable {
        &self.work.plan.tables[task.table]
    }

    /// Begins a table again in binary, because one of its rows does not fit into a message as text.
    ///
    /// Errors: `too_long`, with what can be done, where binary is no way out.
    pub fn start_over(&self, task: Task, too_long: Error) -> Result<()> {
        let table = self.table(task);
        let encoding = Encoding::Binary;
        let no_way_out = match &table.only_text {
            _ if task.encoding == encoding => Some("not even in binary".to_owned()),
            only_text => only_text.as_ref().map(|why| format!("and binary is no way out: {why}")),
        };
        if let Some(why) = no_way_out {
            return Err(Error::preflight(format!("{} has a row too long for the server to send, {why}", table.name))
                .because(too_long)
                .hint(format!(
                    "make that row smaller, or leave the rows out with --exclude-table-data {}",
                    table.name
                )));
        }
        let mut encodings = self.encodings.lock().expect("no panic while held");
        if encodings[task.table] != encoding {
            tracing::info!(table = %table.name, "a row is too long for text: the table is read in binary");
            encodings[task.table] = encoding;
            self.tell(Message::StartOver { table: task.table, encoding });
            self.known.start_over(task.table);
            self.tasks.lock().expect("no panic while held").extend(tasks(&self.work.plan, task.table, encoding));
        }
        Ok(())
    }

    /// Tells the collector; it outlives all who send, unless it failed and is only waiting for them to end.
    pub fn tell(&self, message: Message) {
        let _ = self.messages.send(message);
    }

    /// What the parent has of a part; read by the runtime that owns the store's connections, and kept while ranges of it are
    /// to be read.
    pub async fn known(self: &Arc<Self>, part: PartName) -> Result<Arc<KnownPart>> {
        let Some(parent) = &self.work.parent else {
            return Ok(Arc::default());
        };
        let table = &self.work.plan.tables[part.0];
        let cell = self.known.cell(part, table.ranges.count_in(part.1));
        let read = || async {
            let parent = Arc::clone(parent);
            let (name, range_blocks) = (table.name.clone(), table.ranges.range_blocks());
            let reading = self.runtime.spawn(async move { parent.part(&name, range_blocks, part.1).await });
            reading.await.map_err(|e| Error::bug("reading the parent failed").because(e))?.map(Arc::new)
        };
        cell.get_or_try_init(read).await.cloned()
    }
}

/// A sealer thread.
fn seal_all(shared: &Arc<Shared>, raw: &flume::Receiver<RawChunk>) -> Result<()> {
    let mut sealer = Sealer::new(&shared.work.keys, shared.work.level)?;
    for chunk in raw {
        if shared.work.stop.is_cancelled() {
            break;
        }
        if let Err(error) = seal(shared, &mut sealer, chunk) {
            shared.tell(Message::Failed(error));
            break;
        }
    }
    Ok(())
}

fn seal(shared: &Arc<Shared>, sealer: &mut Sealer<'_>, raw: RawChunk) -> Result<()> {
    let RawChunk { task, part, rows, known, expected } = raw;
    let (rows, tally) = kept(shared.table(task), task.encoding, rows)?;
    require_restorable(shared, task, &rows)?;
    let id = content_id(&shared.work.keys, PieceKind::Chunk, &rows);
    if expected.is_some_and(|expected| expected != id) {
        shared.tell(Message::Misjudged { table: task.table });
    }
    let mut done = Progress { plaintext_bytes: tally.plaintext_bytes, rows: tally.rows, ..Progress::default() };
    let placement = Placement { task, part, tally };
    let full = match known.chunks.get(&id) {
        Some(piece) => {
            done.reused_bytes = piece.length;
            shared.tell(shared.placed(placement, *piece, false));
            None
        }
        None => {
            let piece = sealer.seal(PieceKind::Chunk, id, &rows)?;
            done.new_bytes = piece.bytes.len() as u64;
            shared.pack.lock().expect("no panic while held").push(placement, &piece)
        }
    };
    shared.buffers.give_back(rows);
    shared.work.observer.on(&Event::Advance(done));
    if let Some(pack) = full {
        store_pack(shared, pack);
    }
    Ok(())
}

/// The rows without what the server generates, and what they were together.
fn kept(table: &PlannedTable, encoding: Encoding, rows: Vec<u8>) -> Result<(Vec<u8>, Tally)> {
    let kept = match table.generated.len() {
        0 => encoding.tally(&rows).map(|tally| (rows, tally)),
        generated => encoding.split_off(&rows, generated),
    };
    kept.ok_or_else(|| Error::bug(format!("a chunk of {} does not end where a row does", table.name)))
}

/// Some types can hold what no COPY takes back (`"char"` before 15, functions in C): the text must be valid in the
/// database's own encoding, or the backup would not restore.
fn require_restorable(shared: &Shared, task: Task, rows: &[u8]) -> Result<()> {
    let encoding = &shared.work.connector.identity().server_encoding;
    if task.encoding == Encoding::Binary || encoding != "UTF8" || std::str::from_utf8(rows).is_ok() {
        return Ok(());
    }
    let table = &shared.table(task).name;
    Err(Error::preflight(format!("{table} holds a value that is not valid {encoding}: no restore would accept it"))
        .hint(format!("repair that row, or leave the rows out with --exclude-table-data {table}")))
}

/// Blocks until an upload slot is free.
fn store_pack(shared: &Arc<Shared>, pack: ClosedPack<Placement>) {
    let this = Arc::clone(shared);
    shared.uploads.store(pack, move |stored| match stored {
        Ok(pieces) => pieces.into_iter().for_each(|(placement, piece)| this.tell(this.placed(placement, piece, true))),
        Err(error) => this.tell(Message::Failed(error)),
    });
}

impl Shared {
    /// Tells that a range is done, with what was not told before.
    pub fn range_is_done(&self, task: Task, done: Progress) {
        self.known.range_is_done(task.part());
        let expected_bytes = self.expected_bytes(task);
        self.work.observer.on(&Event::Advance(Progress { expected_bytes, ..done }));
    }

    /// As much of the table as is in the range, if all are alike.
    pub fn expected_bytes(&self, task: Task) -> u64 {
        let table = self.table(task);
        table.heap_bytes / table.ranges.count()
    }

    fn placed(&self, placement: Placement, piece: PieceRef, is_new: bool) -> Message {
        let Placement { task, part, tally } = placement;
        let range = self.work.plan.tables[task.table].ranges.range(task.range);
        Message::Placed { task, chunk: Chunk { range, part, tally, piece: Some(piece) }, is_new }
    }
}
