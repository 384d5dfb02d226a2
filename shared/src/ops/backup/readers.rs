//! Readers: each a thread with a session of its own, which reads one task after the other, small ones many at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::parent::{KnownPart, KnownRange};
use super::pipeline::{Message, RawChunk, Shared, Task};
use crate::error::{Error, Result};
use crate::model::{Chunk, TableKind, Tally};
use crate::ops::Progress;
use crate::plan::batch::{MOST_TASKS, take_batch};
use crate::plan::read::Ranges;
use crate::plan::unread::{is_comparable, is_worth_a_look};
use crate::postgres::copy_out::{Rows, Unread, look_at, read_range};
use crate::postgres::snapshot::Reader;
use crate::postgres::{Session, from_postgres};

/// Before it has more tables than this, a reader lets go of its locks, so that the server's lock table never fills.
const TABLES_PER_TRANSACTION: usize = 200;

impl Shared {
    /// What a reader does next: one task, or many small ones; none when there is nothing left.
    fn next_batch(&self) -> Vec<Task> {
        let mut tasks = self.tasks.lock().expect("no panic while held");
        take_batch(&mut tasks, |task| self.expected_bytes(*task))
    }

    /// What no reader could lock, and what became of that when it was begun again.
    fn next_left_over(&self) -> Option<Task> {
        let left_over = self.left_over.lock().expect("no panic while held").pop();
        left_over.or_else(|| self.tasks.lock().expect("no panic while held").pop_front())
    }
}

/// A reader thread: its session runs on a runtime of its own, which is what makes it as fast as the server.
pub(super) fn read_all(shared: &Arc<Shared>, raw: &flume::Sender<RawChunk>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::bug("cannot start a reader").because(e))?;
    let result = runtime.block_on(async {
        tokio::select! {
            () = shared.work.stop.cancelled() => Ok(()),
            result = read_tasks(shared, raw) => result,
        }
    });
    if let Err(error) = result {
        shared.tell(Message::Failed(error));
    }
    Ok(())
}

async fn read_tasks(shared: &Arc<Shared>, raw: &flume::Sender<RawChunk>) -> Result<()> {
    let reader = Reader::join(&shared.work.connector, &shared.work.ticket).await?;
    let mut locked = HashSet::new();
    loop {
        let batch = shared.next_batch();
        if batch.is_empty() {
            break;
        }
        if locked.len() + batch.len() > TABLES_PER_TRANSACTION {
            reader.begin_again().await?;
            locked.clear();
        }
        let batch = lock_all(shared, &reader, &mut locked, batch).await?;
        // All are asked for at once, so that the server need not wait for us between two of them.
        let read = async |task| (task, read_task(shared, &reader.session, task, raw).await);
        let ended: Vec<(Task, Result<(), Unread>)> = stream::iter(batch).map(read).buffered(MOST_TASKS).collect().await;
        if settle(shared, ended)? {
            reader.begin_again().await?;
            locked.clear();
        }
    }
    reader.session.close().await;
    Ok(())
}

/// Locks the tables of these tasks; gives the tasks whose table could be. The others are left over.
async fn lock_all(
    shared: &Shared,
    reader: &Reader,
    locked: &mut HashSet<usize>,
    batch: Vec<Task>,
) -> Result<Vec<Task>> {
    let needs_lock = |task: &&Task| shared.table(**task).kind != TableKind::LargeObjects;
    let wanted: BTreeSet<usize> =
        batch.iter().filter(needs_lock).map(|task| task.table).filter(|table| !locked.contains(table)).collect();
    let name = |table: &usize| &shared.work.plan.tables[*table].name;
    let mut unlocked = BTreeSet::new();
    if !wanted.is_empty() && !reader.try_lock(wanted.iter().map(name)).await? {
        for table in &wanted {
            if wanted.len() == 1 || !reader.try_lock(std::iter::once(name(table))).await? {
                unlocked.insert(*table);
            }
        }
    }
    locked.extend(wanted.difference(&unlocked));
    let (left_over, batch): (Vec<Task>, Vec<Task>) = batch.into_iter().partition(|task| unlocked.contains(&task.table));
    shared.left_over.lock().expect("no panic while held").extend(left_over);
    Ok(batch)
}

/// Sees to what could not be read. Says whether the transaction has failed.
fn settle(shared: &Shared, ended: Vec<(Task, Result<(), Unread>)>) -> Result<bool> {
    let (mut behind, mut failed, mut aborted) = (Vec::new(), false, None);
    for (task, result) in ended {
        match result {
            Ok(()) => {}
            Err(Unread::Failed(error)) => return Err(error),
            Err(Unread::TooLong(error)) => {
                shared.start_over(task, error)?;
                failed = true;
            }
            Err(Unread::NotBegun(error)) => {
                behind.push(task);
                aborted = Some(error);
            }
        }
    }
    match aborted.filter(|_| !failed) {
        Some(error) => Err(error),
        None => {
            shared.tasks.lock().expect("no panic while held").extend(behind);
            Ok(failed)
        }
    }
}

/// The coordinator's transaction is the snapshot: it must not fail with a row that is too long.
pub(super) async fn read_left_over(
    shared: &Arc<Shared>,
    coordinator: &Session,
    raw: &flume::Sender<RawChunk>,
) -> Result<()> {
    let run = async |sql: &str| coordinator.batch_execute(sql).await.map_err(|e| from_postgres("reading", e));
    while let Some(task) = shared.next_left_over() {
        run("SAVEPOINT range").await?;
        match read_task(shared, coordinator, task, raw).await {
            Ok(()) => {}
            Err(Unread::Failed(error) | Unread::NotBegun(error)) => return Err(error),
            Err(Unread::TooLong(error)) => {
                shared.start_over(task, error)?;
                run("ROLLBACK TO SAVEPOINT range").await?;
            }
        }
        run("RELEASE SAVEPOINT range").await?;
    }
    Ok(())
}

async fn read_task(
    shared: &Arc<Shared>,
    session: &Session,
    task: Task,
    raw: &flume::Sender<RawChunk>,
) -> Result<(), Unread> {
    if shared.is_outdated(task) {
        return Ok(());
    }
    let table = shared.table(task);
    let known = shared.known(task.part()).await?;
    let unchanged = unchanged(shared, session, task, &known).await?;
    let is_audit = shared.work.comparison.is_some_and(|comparison| comparison.is_audit);
    if let Some(parents) = unchanged.filter(|_| !is_audit) {
        leave_unread(shared, task, parents);
        return Ok(());
    }
    let rows = Rows {
        table: &table.name,
        kind: table.kind,
        columns: &table.columns,
        generated: &table.generated,
        format: task.encoding,
        condition: table.condition.as_deref(),
        by_blocks: matches!(table.ranges, Ranges::Blocks { .. }),
        encoding: &shared.work.connector.identity().server_encoding,
        by_large_object_pages: shared.work.by_large_object_pages,
    };
    let mut chunks = 0;
    let sink = async |rows: Vec<u8>| {
        shared.pace.wait(rows.len() as u64).await;
        let expected = unchanged.map(|parents| parents.id_of(chunks));
        let chunk = RawChunk { task, part: chunks, rows, known: Arc::clone(&known), expected };
        chunks += 1;
        // The sealers end before the readers only when something failed, and that is told by whoever failed.
        raw.send_async(chunk).await.map_err(|_| Error::out_of_time("reading was stopped"))
    };
    read_range(session, rows, table.ranges.range(task.range), &shared.buffers, sink).await?;
    shared.tell(Message::RangeRead { task, chunks });
    shared.range_is_done(task, Progress::default());
    Ok(())
}

/// The range as the parent has it, if the server shows that it is still the same.
async fn unchanged<'k>(
    shared: &Shared,
    session: &Session,
    task: Task,
    known: &'k KnownPart,
) -> Result<Option<&'k KnownRange>, Unread> {
    let (Some(comparison), Some(parent)) = (shared.work.comparison, &shared.work.parent) else { return Ok(None) };
    let (table, range) = (shared.table(task), shared.table(task).ranges.range(task.range));
    let is_comparable = || parent.table(&table.name).is_some_and(|then| is_comparable(then, table));
    let worth_a_look =
        |then: &&KnownRange| is_worth_a_look(then.range, then.tally.plaintext_bytes, range) && is_comparable();
    // Begun again in another encoding, the table has no chunk in common with the parent's.
    let candidate = known.ranges.get(&range.first).filter(|_| task.encoding == table.encoding).filter(worth_a_look);
    let Some(then) = candidate else { return Ok(None) };
    let seen = look_at(session, &table.name, range, comparison.horizon).await?;
    Ok((seen.young == 0 && seen.rows == then.tally.rows).then_some(then))
}

fn leave_unread(shared: &Shared, task: Task, parents: &KnownRange) {
    let range = shared.table(task).ranges.range(task.range);
    let chunks: Vec<Chunk> = parents.chunks.iter().map(|chunk| Chunk { range, ..*chunk }).collect();
    let reused_bytes = chunks.iter().filter_map(|chunk| chunk.piece).map(|piece| piece.length).sum();
    let Tally { rows, plaintext_bytes, .. } = parents.tally;
    shared.tell(Message::RangeUnread { task, chunks });
    shared.range_is_done(task, Progress { rows, plaintext_bytes, reused_bytes, ..Progress::default() });
}
