//! Gathers what became of each range into the tables' index parts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::parent::Parent;
use super::pipeline::{Message, Outcome, PartName, ReadTable, Work};
use super::upload::{MetaPacks, Place};
use crate::error::{Error, Result};
use crate::model::{Chunk, Encoding, IndexPart, PackId, TableEntry, TableName, Tally};
use crate::plan::read::{PlannedTable, ReadPlan};
use crate::postgres::chunker::CHUNKING;
use crate::vault::piece::PieceKind;

/// Collects messages until every sender is gone.
pub struct Collector<'m> {
    plan: Arc<ReadPlan>,
    parent: Option<Arc<Parent>>,
    meta: &'m mut MetaPacks,
    /// Of each table, in which its rows count.
    encodings: Vec<Encoding>,
    open: HashMap<PartName, OpenPart>,
    sealed: HashMap<PartName, SealedPart>,
    misjudged: BTreeSet<TableName>,
}

struct OpenPart {
    ranges_left: u64,
    chunks_left: i64,
    chunks: Vec<Chunk>,
    new_chunks: u64,
    unread_chunks: u64,
}

struct SealedPart {
    tally: Tally,
    place: Place,
    packs: HashSet<PackId>,
    chunks: u64,
    new_chunks: u64,
    unread_chunks: u64,
}

impl OpenPart {
    fn is_complete(&self) -> bool {
        self.ranges_left == 0 && self.chunks_left == 0
    }
}

impl<'m> Collector<'m> {
    pub fn new(work: &Work, meta: &'m mut MetaPacks) -> Self {
        Self {
            plan: Arc::clone(&work.plan),
            parent: work.parent.clone(),
            meta,
            encodings: work.plan.tables.iter().map(|table| table.encoding).collect(),
            open: HashMap::new(),
            sealed: HashMap::new(),
            misjudged: BTreeSet::new(),
        }
    }

    /// The first failure stops everything; the rest is only waited for.
    pub async fn collect(
        mut self,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
        stop: &CancellationToken,
    ) -> Result<Outcome> {
        let mut failed = None;
        while let Some(message) = inbox.recv().await {
            if failed.is_some() {
                continue;
            }
            if let Err(error) = self.take(message).await {
                stop.cancel();
                failed = Some(error);
            }
        }
        match failed {
            Some(error) => Err(error),
            None if stop.is_cancelled() => Err(Error::out_of_time("stopped on request while reading rows")),
            None => self.finish(),
        }
    }

    async fn take(&mut self, message: Message) -> Result<()> {
        let name = match message {
            Message::Failed(error) => return Err(error),
            Message::StartOver { table, encoding } => {
                self.encodings[table] = encoding;
                self.open.retain(|name, _| name.0 != table);
                self.sealed.retain(|name, _| name.0 != table);
                return Ok(());
            }
            Message::Misjudged { table } => {
                self.misjudged.insert(self.plan.tables[table].name.clone());
                return Ok(());
            }
            Message::RangeRead { task, .. } | Message::RangeUnread { task, .. } | Message::Placed { task, .. }
                if task.encoding != self.encodings[task.table] =>
            {
                return Ok(());
            }
            Message::RangeRead { task, chunks } => {
                let part = self.part(task.part());
                part.ranges_left -= 1;
                part.chunks_left += i64::from(chunks);
                if chunks == 0 {
                    let range = self.plan.tables[task.table].ranges.range(task.range);
                    let empty = Chunk { range, part: 0, tally: Tally::default(), piece: None };
                    self.part(task.part()).chunks.push(empty);
                }
                task.part()
            }
            Message::RangeUnread { task, chunks } => {
                let part = self.part(task.part());
                part.ranges_left -= 1;
                part.unread_chunks += chunks.len() as u64;
                part.chunks.extend(chunks);
                task.part()
            }
            Message::Placed { task, chunk, is_new } => {
                let part = self.part(task.part());
                part.chunks_left -= 1;
                part.new_chunks += u64::from(is_new);
                part.chunks.push(chunk);
                task.part()
            }
        };
        if self.part(name).is_complete() {
            let part = self.open.remove(&name).expect("looked at above");
            self.seal(name, part).await?;
        }
        Ok(())
    }

    fn part(&mut self, name: PartName) -> &mut OpenPart {
        let ranges_left = self.plan.tables[name.0].ranges.count_in(name.1);
        let new = || OpenPart { ranges_left, chunks_left: 0, chunks: Vec::new(), new_chunks: 0, unread_chunks: 0 };
        self.open.entry(name).or_insert_with(new)
    }

    async fn seal(&mut self, name: PartName, part: OpenPart) -> Result<()> {
        let OpenPart { mut chunks, new_chunks, unread_chunks, .. } = part;
        chunks.sort_by_key(|chunk| (chunk.range.first, chunk.part));
        let part = IndexPart { chunks };
        let table = &self.plan.tables[name.0];
        let known = self.parent.as_ref().and_then(|p| p.index(&table.name, table.ranges.range_blocks(), name.1));
        let sealed = SealedPart {
            tally: part.tally(),
            place: self.meta.add(PieceKind::Index, part.to_bytes(), known).await?,
            packs: part.packs().collect(),
            chunks: part.chunks.iter().filter(|chunk| chunk.piece.is_some()).count() as u64,
            new_chunks,
            unread_chunks,
        };
        self.sealed.insert(name, sealed);
        Ok(())
    }

    fn finish(self) -> Result<Outcome> {
        let entries = self.plan.tables.iter().enumerate().map(|(number, table)| self.entry(number, table));
        let tables = entries.collect::<Result<_>>()?;
        let sealed = || self.sealed.values();
        Ok(Outcome {
            tables,
            packs: sealed().flat_map(|part| part.packs.iter().copied()).collect(),
            chunks: sealed().map(|part| part.chunks).sum(),
            new_chunks: sealed().map(|part| part.new_chunks).sum(),
            unread_chunks: sealed().map(|part| part.unread_chunks).sum(),
            misjudged: self.misjudged,
        })
    }

    fn entry(&self, number: usize, table: &PlannedTable) -> Result<ReadTable> {
        let mut tally = Tally::default();
        let mut parts = Vec::new();
        for part in 0..table.ranges.parts() {
            let missing = || Error::bug(format!("part {part} of {} was never finished", table.name));
            let sealed = self.sealed.get(&(number, part)).ok_or_else(missing)?;
            tally.add(&sealed.tally);
            parts.push(sealed.place);
        }
        let entry = TableEntry {
            name: table.name.clone(),
            kind: table.kind,
            oid: table.oid,
            filenode: table.filenode,
            unlogged: table.unlogged,
            root: table.root.clone(),
            columns: table.columns.clone(),
            generated_columns: table.generated.clone(),
            type_signature: table.type_signature.clone(),
            condition: table.condition.clone(),
            encoding: self.encodings[number],
            binary_by_choice: table.is_binary_by_choice,
            range_blocks: table.ranges.range_blocks(),
            chunking: CHUNKING,
            tally,
            parts: Vec::new(),
        };
        Ok(ReadTable { entry, parts })
    }
}
