//! What depends on what in a schema archive.

use std::collections::{BTreeMap, BTreeSet};

use crate::postgres::archive::{Archive, DumpId, Entry, Section};
use crate::postgres::schema_sql::{Pass, pass_of};

/// The archive's entries by their numbers.
pub(super) struct Graph<'a>(BTreeMap<DumpId, &'a Entry>);

impl<'a> Graph<'a> {
    pub(super) fn new(archive: &'a Archive) -> Self {
        Self(archive.entries.iter().map(|entry| (entry.dump_id, entry)).collect())
    }

    /// Dependencies may name what is not in the archive: built-in objects, members of extensions.
    pub(super) fn entry(&self, id: DumpId) -> Option<&'a Entry> {
        self.0.get(&id).copied()
    }

    pub(super) fn relations<'s>(&'s self, entry: &'s Entry) -> impl Iterator<Item = &'a Entry> {
        entry.dependencies.iter().filter_map(|id| self.entry(*id)).filter(|dependency| is_relation(dependency))
    }

    /// `start` and everything that it depends on by dependencies that count.
    pub(super) fn closed(
        &self,
        start: impl Iterator<Item = DumpId>,
        counts: impl Fn(&Entry, DumpId) -> bool,
    ) -> BTreeSet<DumpId> {
        let mut closed = BTreeSet::new();
        let mut open: Vec<DumpId> = start.collect();
        while let Some(id) = open.pop() {
            let Some(entry) = self.entry(id) else { continue };
            if closed.insert(id) {
                open.extend(entry.dependencies.iter().filter(|dependency| counts(entry, **dependency)));
            }
        }
        closed
    }

    /// The nearest entries for which `is_step` holds that `entry` depends on, however far away.
    pub(super) fn waits_for(&self, entry: &Entry, is_step: impl Fn(DumpId) -> bool) -> BTreeSet<DumpId> {
        let mut waits_for = BTreeSet::new();
        let mut seen = BTreeSet::from([entry.dump_id]);
        let mut open = entry.dependencies.clone();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if is_step(id) {
                waits_for.insert(id);
            } else if let Some(between) = self.entry(id).filter(|between| between.section != Section::PreData) {
                open.extend(&between.dependencies);
            }
        }
        waits_for
    }

    /// Nearly all that comes after the rows is an `ALTER TABLE` or locks like one; `CREATE INDEX` lets others read and
    /// build indexes too.
    pub(super) fn locks(&self, entry: &Entry) -> BTreeSet<DumpId> {
        if entry.desc == "INDEX" || pass_of(entry) != Pass::Main {
            return BTreeSet::new();
        }
        self.relations(entry).map(|table| table.dump_id).collect()
    }
}

fn is_relation(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "TABLE" | "FOREIGN TABLE" | "MATERIALIZED VIEW" | "VIEW")
}
