//! What must come along when only some tables of an archive are restored.
//!
//! Chosen tables come with their rows and with all that belongs to them: defaults, sequences, constraints, indexes,
//! triggers, rules, policies, statistics, comments, privileges. A chosen partitioned table brings its partitions. What
//! these need is followed through the archive's dependencies: schemas, types, extensions, functions, and tables that others
//! are made from, which then come without rows. What ties a chosen table to one that is not (foreign keys, the place in a
//! partitioned table) is left out and listed.
//!
//! Function bodies in PL languages are text: what they call is not followed.

use std::collections::BTreeSet;

use super::dependencies::Graph;
use super::exclusions::is_exclusion;
use crate::postgres::archive::{Archive, DumpId, Entry};
use crate::postgres::schema_sql::{is_property, is_schema};

/// The entries to restore for some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableClosure {
    pub entries: BTreeSet<DumpId>,
    /// Tables whose rows are wanted: the chosen ones and their partitions.
    pub with_rows: BTreeSet<DumpId>,
    /// Tables that are needed, but not chosen.
    pub without_rows: Vec<DumpId>,
    pub left_out: Vec<LeftOut>,
}

/// An object that belongs to a chosen table and does not come with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub object: String,
    pub reason: String,
}

impl TableClosure {
    pub fn of(archive: &Archive, chosen: &BTreeSet<DumpId>) -> Self {
        let finder = Finder::new(archive);
        let with_rows = finder.with_partitions(chosen);
        let (belongings, left_out) = finder.belongings(&with_rows);
        let mut roots: BTreeSet<DumpId> = with_rows.union(&belongings).copied().collect();
        roots.extend(finder.operators_for(&belongings));
        let mut entries = finder.with_needs(roots);
        entries.extend(finder.properties(&entries));
        let needed_tables = archive.entries.iter().filter(|entry| entry.desc == "TABLE").map(|entry| entry.dump_id);
        let without_rows = needed_tables.filter(|id| entries.contains(id) && !with_rows.contains(id)).collect();
        Self { entries, with_rows, without_rows, left_out }
    }
}

struct Finder<'a> {
    archive: &'a Archive,
    graph: Graph<'a>,
    /// Partitioned tables with the tables that are attached to them.
    partitions: BTreeSet<(DumpId, DumpId)>,
}

impl<'a> Finder<'a> {
    fn new(archive: &'a Archive) -> Self {
        let graph = Graph::new(archive);
        let attachments = archive.entries.iter().filter(|entry| entry.desc == "TABLE ATTACH");
        let partitions = attachments.filter_map(|attachment| {
            // An attachment has the partition's name, and depends on both.
            let is_partition = |table: &Entry| table.tag == attachment.tag && table.schema == attachment.schema;
            let partition = graph.relations(attachment).find(|table| is_partition(table))?;
            let parent = graph.relations(attachment).find(|table| table.dump_id != partition.dump_id)?;
            Some((parent.dump_id, partition.dump_id))
        });
        let partitions = partitions.collect();
        Self { archive, graph, partitions }
    }

    fn with_partitions(&self, chosen: &BTreeSet<DumpId>) -> BTreeSet<DumpId> {
        let mut tables = BTreeSet::new();
        let mut open: Vec<DumpId> = chosen.iter().copied().collect();
        while let Some(table) = open.pop() {
            if tables.insert(table) {
                let attached = self.partitions.range((table, DumpId(0))..=(table, DumpId(u32::MAX)));
                open.extend(attached.map(|(_, partition)| partition));
            }
        }
        tables
    }

    /// What belongs to the tables, and what of that cannot come.
    fn belongings(&self, tables: &BTreeSet<DumpId>) -> (BTreeSet<DumpId>, Vec<LeftOut>) {
        let mut belongings = BTreeSet::new();
        let mut left_out = Vec::new();
        for entry in &self.archive.entries {
            if !self.belongs(entry, tables) {
                continue;
            }
            match self.missing(entry, tables, &belongings) {
                None => _ = belongings.insert(entry.dump_id),
                Some(_) if entry.desc == "INDEX ATTACH" => {} // goes without saying where the table is not attached
                Some(missing) => {
                    let reason = format!("{} is not restored", missing.name());
                    left_out.push(LeftOut { object: entry.name(), reason });
                }
            }
        }
        (belongings, left_out)
    }

    fn belongs(&self, entry: &Entry, tables: &BTreeSet<DumpId>) -> bool {
        match entry.desc.as_str() {
            "TABLE ATTACH" | "INDEX ATTACH" => self.graph.relations(entry).any(|table| tables.contains(&table.dump_id)),
            "INDEX" | "STATISTICS" | "SEQUENCE" | "SEQUENCE OWNED BY" | "DEFAULT" | "CONSTRAINT"
            | "CHECK CONSTRAINT" | "FK CONSTRAINT" | "TRIGGER" | "RULE" | "POLICY" | "ROW SECURITY" => {
                self.subject(entry).is_some_and(|subject| tables.contains(&subject.dump_id))
            }
            _ => false,
        }
    }

    /// The relation that the entry is part of: of those it depends on, the one that its name starts with.
    fn subject(&self, entry: &'a Entry) -> Option<&'a Entry> {
        let in_same_schema = |relation: &&'a Entry| relation.schema == entry.schema;
        let named = |relation: &&'a Entry| {
            let rest = entry.tag.strip_prefix(relation.tag.as_str());
            in_same_schema(relation) && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        match entry.desc.as_str() {
            "SEQUENCE OWNED BY" => {
                let dependencies = entry.dependencies.iter().filter_map(|id| self.graph.entry(*id));
                dependencies.flat_map(|sequence| self.graph.relations(sequence)).find(in_same_schema)
            }
            "STATISTICS" => self.graph.relations(entry).next(),
            "INDEX" | "SEQUENCE" => self.graph.relations(entry).find(in_same_schema),
            _ => self.graph.relations(entry).filter(named).max_by_key(|relation| relation.tag.len()),
        }
    }

    /// What the entry cannot do without and does not get.
    fn missing(&self, entry: &Entry, tables: &BTreeSet<DumpId>, belongings: &BTreeSet<DumpId>) -> Option<&'a Entry> {
        let absent = |dependency: &&Entry| match dependency.desc.as_str() {
            "TABLE" => entry.desc.ends_with("ATTACH") || entry.desc == "FK CONSTRAINT",
            "INDEX" | "CONSTRAINT" | "INDEX ATTACH" | "TRIGGER" => !is_of_partitioned_table(entry, dependency),
            _ => false,
        };
        let dependencies = entry.dependencies.iter().filter_map(|id| self.graph.entry(*id));
        let gone = |id: DumpId| !tables.contains(&id) && !belongings.contains(&id);
        dependencies.filter(absent).find(|dependency| gone(dependency.dump_id))
    }

    /// What an exclusion constraint may need: its operators and their classes are not among its dependencies.
    fn operators_for(&self, belongings: &BTreeSet<DumpId>) -> Vec<DumpId> {
        let chosen = |entry: &&Entry| belongings.contains(&entry.dump_id);
        if !self.archive.entries.iter().filter(chosen).any(is_exclusion) {
            return Vec::new();
        }
        let of_operators = |entry: &&Entry| {
            matches!(entry.desc.as_str(), "EXTENSION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY")
        };
        self.archive.entries.iter().filter(of_operators).map(|entry| entry.dump_id).collect()
    }

    /// What `start` needs, and what that needs. A view in a circle of dependencies is made as a shell, and whole by a rule.
    fn with_needs(&self, start: BTreeSet<DumpId>) -> BTreeSet<DumpId> {
        let mut open = start;
        loop {
            let needs = self.graph.closed(open.iter().copied(), |entry, dependency| self.needs(entry, dependency));
            let rules = self.archive.entries.iter().filter(|entry| {
                let of_needed = || self.subject(entry).is_some_and(|view| needs.contains(&view.dump_id));
                entry.desc == "RULE" && entry.tag.ends_with(" _RETURN") && of_needed()
            });
            let with_rules: BTreeSet<DumpId> = needs.iter().copied().chain(rules.map(|rule| rule.dump_id)).collect();
            if with_rules == needs {
                return needs;
            }
            open = with_rules;
        }
    }

    /// Partitions and their indexes are made like any others, and attached later.
    fn needs(&self, entry: &Entry, dependency: DumpId) -> bool {
        let to_partitioned_table = self.partitions.contains(&(dependency, entry.dump_id))
            || self.graph.entry(dependency).is_some_and(|dependency| is_of_partitioned_table(entry, dependency));
        !to_partitioned_table
    }

    /// Comments, privileges and labels of what is restored. A column's privileges also depend on the table's.
    fn properties(&self, entries: &BTreeSet<DumpId>) -> BTreeSet<DumpId> {
        let of_restored = |entry: &&Entry| {
            is_property(entry) && is_schema(entry) && entry.dependencies.iter().any(|id| entries.contains(id))
        };
        self.archive.entries.iter().filter(of_restored).map(|entry| entry.dump_id).collect()
    }
}

/// Whether `dependency` is the index that `entry`, a partition's, will be attached to.
fn is_of_partitioned_table(entry: &Entry, dependency: &Entry) -> bool {
    [entry, dependency].iter().all(|index| matches!(index.desc.as_str(), "INDEX" | "CONSTRAINT"))
}

#[cfg(test)]
mod tests {
    use super::super::restore::tests::any_entries;
    use super::*;
    use crate::postgres::archive::tests::{archive, entry};
    use proptest::prelude::*;

    fn closure(entries: Vec<Entry>, chosen: &[u32]) -> TableClosure {
        TableClosure::of(&archive(entries), &chosen.iter().copied().map(DumpId).collect())
    }

    fn ids(ids: impl IntoIterator<Item = DumpId>) -> Vec<u32> {
        ids.into_iter().map(|id| id.0).collect()
    }

    /// Orders with everything that belongs to it, customers that it refers to, and a view.
    fn shop() -> Vec<Entry> {
        vec![
            entry(1, "SCHEMA", "shop", &[]),
            entry(2, "TYPE", "mood", &[1]),
            entry(3, "FUNCTION", "trg()", &[1]),
            entry(4, "TABLE", "customers", &[1]),
            entry(5, "TABLE", "orders", &[1, 2]),
            entry(6, "SEQUENCE", "orders_id_seq", &[1, 5]),
            entry(7, "SEQUENCE OWNED BY", "orders_id_seq", &[6]),
            entry(8, "DEFAULT", "orders id", &[6, 5]),
            entry(9, "VIEW", "report", &[4, 5]),
            entry(10, "CONSTRAINT", "customers pk", &[4]),
            entry(11, "CONSTRAINT", "orders pk", &[5]),
            entry(12, "INDEX", "orders_idx", &[5]),
            entry(13, "COMMENT", "INDEX orders_idx", &[12]),
            entry(14, "TRIGGER", "orders t", &[5, 3]),
            entry(15, "FK CONSTRAINT", "orders fk", &[5, 4, 10]),
            entry(16, "ACL", "TABLE orders", &[5]),
            entry(17, "RULE", "customers log", &[4, 5]),
            entry(18, "PUBLICATION TABLE", "p orders", &[5]),
        ]
    }

    #[test]
    fn a_table_brings_what_belongs_to_it_and_what_that_needs() {
        let closure = closure(shop(), &[5]);
        assert_eq!(ids(closure.entries), [1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 16]);
        assert_eq!(ids(closure.with_rows), [5]);
        assert!(closure.without_rows.is_empty());
    }

    #[test]
    fn a_foreign_key_comes_only_with_both_its_tables() {
        let alone = closure(shop(), &[5]);
        assert_eq!(alone.left_out.len(), 1);
        assert_eq!(alone.left_out[0].object, "FK CONSTRAINT orders fk");
        assert!(alone.left_out[0].reason.contains("TABLE customers"));
        let both = closure(shop(), &[4, 5]);
        assert!(both.left_out.is_empty() && both.entries.contains(&DumpId(15)));
    }

    fn partitioned() -> Vec<Entry> {
        vec![
            entry(1, "TABLE", "events", &[]),
            entry(2, "TABLE", "events_1", &[1]),
            entry(3, "TABLE", "events_1_a", &[2]),
            entry(4, "TABLE ATTACH", "events_1", &[1, 2]),
            entry(5, "TABLE ATTACH", "events_1_a", &[3, 2]),
            entry(6, "INDEX", "events_idx", &[1]),
            entry(7, "INDEX", "events_1_idx", &[2, 6]),
            entry(8, "INDEX", "events_1_a_idx", &[3, 7]),
            entry(9, "INDEX ATTACH", "events_1_idx", &[7, 6, 2, 1]),
            entry(10, "INDEX ATTACH", "events_1_a_idx", &[8, 7, 3, 2]),
        ]
    }

    #[test]
    fn a_partitioned_table_brings_its_partitions() {
        let closure = closure(partitioned(), &[1]);
        assert_eq!(ids(closure.with_rows), [1, 2, 3]);
        assert_eq!(closure.entries.len(), 10);
    }

    #[test]
    fn a_partition_alone_comes_as_a_plain_table() {
        let closure = closure(partitioned(), &[3]);
        assert_eq!(ids(closure.entries), [3, 8]);
        assert_eq!(closure.left_out.len(), 1);
        assert!(closure.left_out[0].reason.contains("TABLE events_1 is"));
    }

    #[test]
    fn a_table_that_another_is_made_from_comes_without_rows() {
        let inherited = vec![entry(1, "TABLE", "base", &[]), entry(2, "TABLE", "child", &[1])];
        let closure = closure(inherited, &[2]);
        assert_eq!((ids(closure.entries), ids(closure.without_rows)), (vec![1, 2], vec![1]));
    }

    #[test]
    fn a_needed_view_in_a_circle_comes_whole() {
        let circle = vec![
            entry(1, "VIEW", "v", &[]),
            entry(2, "FUNCTION", "f(v)", &[1]),
            entry(3, "TABLE", "t", &[2]),
            entry(4, "TABLE", "u", &[]),
            entry(5, "RULE", "v _RETURN", &[4, 1, 2]),
        ];
        let closure = closure(circle, &[3]);
        assert_eq!((ids(closure.entries), ids(closure.without_rows)), (vec![1, 2, 3, 4, 5], vec![4]));
    }

    #[test]
    fn of_two_names_that_fit_the_longer_is_the_subject() {
        let entries =
            vec![entry(1, "TABLE", "a", &[]), entry(2, "TABLE", "a b", &[]), entry(3, "TRIGGER", "a b c", &[1, 2])];
        assert_eq!(ids(closure(entries.clone(), &[1]).entries), [1]);
        assert!(closure(entries, &[2]).entries.contains(&DumpId(3)));
    }

    #[test]
    fn an_exclusion_constraint_brings_whatever_operators_there_are() {
        let constraint = Entry {
            definition: "ALTER TABLE ONLY t\n    ADD CONSTRAINT x EXCLUDE USING gist (a WITH =);\n".to_owned(),
            ..entry(3, "CONSTRAINT", "t x", &[2])
        };
        let entries = vec![entry(1, "EXTENSION", "btree_gist", &[]), entry(2, "TABLE", "t", &[]), constraint];
        assert_eq!(ids(closure(entries, &[2]).entries), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn nothing_comes_without_what_it_needs(entries in any_entries(), chosen in prop::collection::btree_set(1..12u32, 1..4)) {
            let chosen: Vec<u32> =
                entries.iter().filter(|e| e.desc == "TABLE" && chosen.contains(&e.dump_id.0)).map(|e| e.dump_id.0).collect();
            let closure = closure(entries.clone(), &chosen);
            for entry in entries.iter().filter(|e| closure.entries.contains(&e.dump_id) && !is_property(e)) {
                for needed in &entry.dependencies {
                    let needed = &entries[needed.0 as usize - 1];
                    prop_assert!(closure.entries.contains(&needed.dump_id) || is_of_partitioned_table(entry, needed));
                }
            }
        }

        #[test]
        fn no_archive_breaks_it(tangle in prop::collection::vec((0..6usize, prop::collection::vec(1..9u32, 0..4)), 1..8)) {
            let kinds = ["TABLE", "TABLE ATTACH", "SEQUENCE OWNED BY", "SEQUENCE", "RULE", "COMMENT"];
            let tangled = |(n, (kind, needs)): (usize, &(usize, Vec<u32>))| entry(n as u32 + 1, kinds[*kind], "v _RETURN", needs);
            closure(tangle.iter().enumerate().map(tangled).collect(), &[1, 2]);
        }
    }
}
