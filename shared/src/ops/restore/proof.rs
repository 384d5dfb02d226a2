//! The proof: every table of the target is read back the way the source was, and must have its rows and fingerprint. What
//! the target has generated from them need not be the same, but a difference is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::rows::Load;
use crate::error::{Error, Result};
use crate::model::{BlockRange, Column, Encoding, TableKind, TableName, Tally};
use crate::ops::{Event, Observer, Progress};
use crate::plan::batch::{MOST_TASKS, take_batch};
use crate::plan::read::RANGE_BLOCKS;
use crate::postgres::chunker::Buffers;
use crate::postgres::copy_out::{Rows, Unread, may_read_large_object_pages, read_range};
use crate::postgres::quote::qualified;
use crate::postgres::session::{reader_settings, set_local};
use crate::postgres::{Connector, Session, from_postgres};

/// The block size of every server that anybody runs; only the sizes of batches follow it.
const BLOCK_BYTES: u64 = 8192;

/// A table to read back.
struct Wanted {
    table: TableName,
    kind: TableKind,
    columns: Vec<Column>,
    generated: Vec<Column>,
    encoding: Encoding,
    condition: Option<String>,
}

/// Tables that are not as the backup says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub of_rows: Vec<TableName>,
    /// Their rows are equal, but not what was generated from them.
    pub of_generated: Vec<TableName>,
}

/// What must come out, for a table or for the leaves of a partitioned table together.
#[derive(Default)]
struct Group {
    expected: Tally,
    found: Tally,
    members: Vec<TableName>,
}

/// What to read back at one go.
#[derive(Debug, Clone, Copy)]
struct Task {
    /// Into `wanted`.
    number: usize,
    range: BlockRange,
    blocks: u64,
}

struct Shared {
    target: Connector,
    encoding: String,
    wanted: Vec<Wanted>,
    buffers: Buffers,
    tasks: Mutex<VecDeque<Task>>,
    found: Mutex<BTreeMap<usize, Tally>>,
    failed: Mutex<Option<Error>>,
    observer: Arc<dyn Observer>,
    stop: CancellationToken,
}

/// What does not hold what the backup says. Rows that were loaded through a partitioned root are proven as a sum over
/// its leaves, because they may lie in other leaves here.
///
/// Errors: `Database`, `OutOfTime`; a difference is not an error.
pub async fn differences(
    target: &Connector,
    loads: &[Load],
    encoding: &str,
    jobs: usize,
    observer: &Arc<dyn Observer>,
    stop: &CancellationToken,
) -> Result<Differences> {
    let mut wanted: Vec<Wanted> = loads.iter().map(wanted).collect();
    let tasks = plan_tasks(target, &mut wanted).await?;
    let shared = Arc::new(Shared {
        target: target.clone(),
        encoding: encoding.to_owned(),
        wanted,
        buffers: Buffers::default(),
        tasks: Mutex::new(tasks),
        found: Mutex::default(),
        failed: Mutex::default(),
        observer: Arc::clone(observer),
        stop: stop.clone(),
    });
    let threads: Vec<_> = (0..jobs)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("lifeboat-prover".to_owned()).spawn(move || prove_all(&shared))
        })
        .collect::<std::io::Result<_>>()
        .map_err(|e| Error::bug("cannot start a thread").because(e))?;
    let join = move || threads.into_iter().map(|t| t.join()).filter(Result::is_err).count();
    let panicked = tokio::task::spawn_blocking(join).await.map_err(|e| Error::bug("the proof failed").because(e))?;
    if let Some(error) = shared.failed.lock().expect("no panic while held").take() {
        return Err(error);
    }
    if panicked > 0 {
        return Err(Error::bug("a prover panicked"));
    }
    if stop.is_cancelled() {
        return Err(Error::out_of_time("stopped on request while proving the rows")
            .hint("run the same restore again: it goes on where it stopped"));
    }
    let found = std::mem::take(&mut *shared.found.lock().expect("no panic while held"));
    Ok(compare(loads, &found))
}

fn wanted(load: &Load) -> Wanted {
    let entry = &load.entry;
    Wanted {
        // Rows that went through a root are found in its leaves.
        table: if load.into == entry.name || entry.root.as_ref() == Some(&load.into) {
            entry.name.clone()
        } else {
            load.into.clone()
        },
        kind: entry.kind,
        columns: entry.columns.clone(),
        generated: entry.generated_columns.clone(),
        encoding: entry.encoding,
        condition: entry.condition.clone(),
    }
}

/// The number of each load, and what was found for it, in groups of what belongs together.
fn compare(loads: &[Load], found: &BTreeMap<usize, Tally>) -> Differences {
    let mut groups: BTreeMap<&TableName, Group> = BTreeMap::new();
    for (number, load) in loads.iter().enumerate() {
        let group = groups.entry(&load.into).or_default();
        group.expected.add(&load.entry.tally);
        group.found.add(found.get(&number).unwrap_or(&Tally::default()));
        group.members.push(load.entry.name.clone());
    }
    let mut differences = Differences::default();
    for Group { expected, found, members } in groups.into_values() {
        if !expected.same_rows(&found) {
            differences.of_rows.extend(members);
        } else if found.generated.is_some() && found.generated != expected.generated {
            differences.of_generated.extend(members);
        }
    }
    differences
}

/// Also lets go of generated columns that the target does not have as such: rows may have come to tables that were there.
async fn plan_tasks(target: &Connector, wanted: &mut [Wanted]) -> Result<VecDeque<Task>> {
    let session = target.connect().await?;
    let names: Vec<String> = wanted.iter().map(|wanted| qualified(&wanted.table)).collect();
    let sql = "SELECT t.n::int8, a.attname::text
               FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS t(name, n)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = pg_catalog.to_regclass(t.name) AND a.attgenerated = 's'
               WHERE NOT a.attisdropped";
    let rows = session.query(sql, &[&names]).await.map_err(|e| from_postgres("looking for generated columns", e))?;
    let mut generated: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    rows.iter().for_each(|row| generated.entry(row.get(0)).or_default().push(row.get(1)));
    for (number, wanted) in (1..).zip(wanted.iter_mut()) {
        let there = generated.remove(&number).unwrap_or_default();
        if !wanted.generated.iter().all(|column| there.contains(&column.name)) {
            wanted.generated.clear();
        }
    }
    let sql = "SELECT n::int8, coalesce(pg_catalog.pg_relation_size(pg_catalog.to_regclass(name)), 0),
                      pg_catalog.current_setting('block_size')::int8
               FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS t(name, n)";
    let rows = session.query(sql, &[&names]).await.map_err(|e| from_postgres("sizing the restored tables", e))?;
    let mut sizes: Vec<(usize, u64)> = rows
        .iter()
        .map(|row| {
            let number = usize::try_from(row.get::<_, i64>(0) - 1).expect("numbered from 1");
            (number, row.get::<_, i64>(1).unsigned_abs().div_ceil(row.get::<_, i64>(2).unsigned_abs().max(1)))
        })
        .collect();
    session.close().await;
    sizes.sort_by_key(|(_, blocks)| std::cmp::Reverse(*blocks));
    let ranges = |(number, blocks): (usize, u64)| {
        let count = match wanted[number].kind {
            TableKind::LargeObjects => 1,
            TableKind::Table | TableKind::Partition => blocks.div_ceil(RANGE_BLOCKS).max(1),
        };
        (0..count).map(move |range| {
            let end = (range + 1 < count).then_some((range + 1) * RANGE_BLOCKS);
            Task { number, range: BlockRange { first: range * RANGE_BLOCKS, end }, blocks: blocks / count }
        })
    };
    Ok(sizes.into_iter().flat_map(ranges).collect())
}

impl Wanted {
    fn tally(&self, rows: &[u8]) -> Result<Tally> {
        let tally = match self.generated.len() {
            0 => self.encoding.tally(rows),
            generated => self.encoding.split_off(rows, generated).map(|(_, tally)| tally),
        };
        tally.ok_or_else(|| Error::bug(format!("a chunk of {} does not end where a row does", self.table)))
    }
}

/// A prover thread.
fn prove_all(shared: &Shared) {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::bug("cannot start a prover").because(e))
        .and_then(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    () = shared.stop.cancelled() => Ok(()),
                    result = prove(shared) => result,
                }
            })
        });
    if let Err(error) = result {
        shared.failed.lock().expect("no panic while held").get_or_insert(error);
        shared.stop.cancel();
    }
}

async fn prove(shared: &Shared) -> Result<()> {
    let session = shared.target.connect_patient().await?;
    let settings = set_local(&reader_settings(shared.target.identity(), std::time::Duration::from_secs(60)));
    let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {settings}");
    session.batch_execute(&begin).await.map_err(|e| from_postgres("preparing a session for the proof", e))?;
    let by_large_object_pages = may_read_large_object_pages(&session).await?;
    loop {
        let batch = take_batch(&mut shared.tasks.lock().expect("no panic while held"), Task::bytes);
        if batch.is_empty() {
            break;
        }
        // All are asked for at once, so that the server need not wait for us between two of them.
        let read = |task| shared.read_back(&session, task, by_large_object_pages);
        let tallies: Vec<(usize, Tally)> = stream::iter(batch).map(read).buffered(MOST_TASKS).try_collect().await?;
        let mut found = shared.found.lock().expect("no panic while held");
        tallies.iter().for_each(|(number, tally)| found.entry(*number).or_default().add(tally));
    }
    session.close().await;
    Ok(())
}

impl Task {
    /// Roughly: what the table's blocks hold, which is not what lies beside them.
    fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(BLOCK_BYTES)
    }
}

impl Shared {
    async fn read_back(&self, session: &Session, task: Task, by_large_object_pages: bool) -> Result<(usize, Tally)> {
        let wanted = &self.wanted[task.number];
        let rows = Rows {
            table: &wanted.table,
            kind: wanted.kind,
            columns: &wanted.columns,
            generated: &wanted.generated,
            format: wanted.encoding,
            condition: wanted.condition.as_deref(),
            by_blocks: wanted.kind != TableKind::LargeObjects,
            encoding: &self.encoding,
            by_large_object_pages,
        };
        let mut tally = Tally::default();
        let add = async |rows: Vec<u8>| {
            tally.add(&wanted.tally(&rows)?);
            self.buffers.give_back(rows);
            Ok(())
        };
        read_range(session, rows, task.range, &self.buffers, add).await.map_err(Unread::into_error)?;
        let bytes = tally.plaintext_bytes;
        let progress =
            Progress { expected_bytes: bytes, plaintext_bytes: bytes, rows: tally.rows, ..Progress::default() };
        self.observer.on(&Event::Advance(progress));
        Ok((task.number, tally))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fingerprint, TableEntry};
    use crate::ops::fixture;

    fn load(name: &str, into: &str, sum: u128) -> Load {
        let entry = TableEntry { tally: tally(sum), ..fixture::table(name) };
        Load { entry, into: TableName::new("s", into) }
    }

    fn tally(sum: u128) -> Tally {
        Tally { rows: 1, plaintext_bytes: 2, fingerprint: Fingerprint(sum), generated: None }
    }

    #[test]
    fn leaves_that_were_loaded_through_their_root_are_proven_as_a_sum() {
        let loads = [load("a", "a", 1), load("leaf1", "root", 2), load("leaf2", "root", 3), load("b", "b", 4)];
        let found = |sums: [u128; 4]| sums.iter().enumerate().map(|(n, sum)| (n, tally(*sum))).collect();
        assert_eq!(compare(&loads, &found([1, 3, 2, 4])), Differences::default());
        assert_eq!(compare(&loads, &found([1, 2, 3, 5])).of_rows, [TableName::new("s", "b")]);
        assert_eq!(compare(&loads, &found([1, 2, 4, 4])).of_rows.len(), 2);
        assert_eq!(compare(&loads[..1], &BTreeMap::new()).of_rows, [TableName::new("s", "a")]);
    }

    #[test]
    fn what_was_generated_may_differ_and_is_told_apart_from_the_rows() {
        let generated = |tally: Tally, sum| Tally { generated: Some(Fingerprint(sum)), ..tally };
        let mut load = load("a", "a", 1);
        load.entry.tally = generated(tally(1), 7);
        let found = |tally| compare(std::slice::from_ref(&load), &BTreeMap::from([(0, tally)]));
        assert_eq!(found(generated(tally(1), 7)), Differences::default());
        assert_eq!(found(tally(1)), Differences::default(), "the target does not generate it");
        assert_eq!(found(generated(tally(1), 8)).of_generated, [TableName::new("s", "a")]);
        assert_eq!(found(generated(tally(2), 8)).of_rows, [TableName::new("s", "a")]);
    }
}
