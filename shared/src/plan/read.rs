//! The read plan: which tables are read, in which ranges, in which order, and what is left out and why.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::model::{BlockRange, Column, Encoding, LargeObject, Skipped, TableKind, TableName};
use crate::plan::selection::{Pattern, any_matches, require_matches};
use crate::postgres::catalog::{ExtensionMember, Relation, RelationKind, TableColumns};
use crate::postgres::preflight::Wanted;

/// Heap blocks in one range: 2 MiB at the usual block size.
pub const RANGE_BLOCKS: u64 = 256;
/// Ranges in one index part.
pub const PART_RANGES: u64 = 1024;
/// Large objects in one range.
const LARGE_OBJECTS_PER_RANGE: usize = 256;

/// Which tables the caller wants.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these tables' rows; empty for all.
    pub tables: Vec<Pattern>,
    /// Neither definition nor rows.
    pub exclude: Vec<Pattern>,
    /// The definition, but no rows.
    pub exclude_data: Vec<Pattern>,
}

impl Selection {
    /// How much of a table a backup holds, as far as its name tells.
    pub fn wanted(&self, table: &TableName) -> Wanted {
        if any_matches(&self.exclude, table) {
            Wanted::Nothing
        } else if any_matches(&self.exclude_data, table)
            || !(self.tables.is_empty() || any_matches(&self.tables, table))
        {
            Wanted::Definition
        } else {
            Wanted::Rows
        }
    }
}

/// What the plan is made from.
#[derive(Debug)]
pub struct Source<'a> {
    pub relations: &'a [Relation],
    pub columns: &'a HashMap<u32, TableColumns>,
    pub roots: &'a HashMap<u32, TableName>,
    pub large_objects: &'a [LargeObject],
    /// Tables whose rows are known to be too long for text.
    pub too_long: &'a HashSet<TableName>,
    /// The one to prefer where both can be restored anywhere.
    pub encoding: Encoding,
    pub server_encoding: &'a str,
    pub is_replica: bool,
    pub block_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadPlan {
    /// Largest first.
    pub tables: Vec<PlannedTable>,
    pub skipped: Vec<Skipped>,
}

/// A table to read.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTable {
    pub oid: u32,
    pub name: TableName,
    pub kind: TableKind,
    pub filenode: u32,
    pub unlogged: bool,
    pub root: Option<TableName>,
    pub columns: Vec<Column>,
    /// Stored generated columns, which are read to be compared, not to be kept.
    pub generated: Vec<Column>,
    pub type_signature: String,
    /// Whether a row's text depends on nothing but its stored bytes and the type signature.
    pub is_text_fixed: bool,
    pub condition: Option<String>,
    pub heap_bytes: u64,
    pub ranges: Ranges,
    pub encoding: Encoding,
    /// It would be read as text, had nobody asked for binary.
    pub is_binary_by_choice: bool,
    /// Why its rows can be read as text only.
    pub only_text: Option<String>,
}

/// How a table is cut for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Aligned runs of heap blocks; the last one is open-ended.
    Blocks { count: u64, range_blocks: u64 },
    /// One read of everything: not a heap, so there are no blocks to go by.
    Whole,
    /// Runs of large objects, each given by its first oid; the last one is open-ended.
    LargeObjects { first_oids: Vec<u32> },
}

impl Ranges {
    pub fn count(&self) -> u64 {
        match self {
            Self::Blocks { count, .. } => *count,
            Self::Whole => 1,
            Self::LargeObjects { first_oids } => first_oids.len() as u64,
        }
    }

    /// Range number `number`, counted from 0.
    pub fn range(&self, number: u64) -> BlockRange {
        let is_last = number + 1 == self.count();
        match self {
            Self::Blocks { range_blocks, .. } => {
                BlockRange { first: number * range_blocks, end: (!is_last).then_some((number + 1) * range_blocks) }
            }
            Self::Whole => BlockRange::WHOLE,
            Self::LargeObjects { first_oids } => {
                let place = usize::try_from(number).expect("an index of a vector");
                let end = first_oids.get(place + 1).copied().map(u64::from);
                BlockRange { first: if place == 0 { 0 } else { first_oids[place].into() }, end }
            }
        }
    }

    pub fn range_blocks(&self) -> u64 {
        match self {
            Self::Blocks { range_blocks, .. } => *range_blocks,
            Self::Whole | Self::LargeObjects { .. } => 0,
        }
    }

    pub fn parts(&self) -> u64 {
        self.count().div_ceil(PART_RANGES)
    }

    /// How many ranges are in index part number `part`, counted from 0.
    pub fn count_in(&self, part: u64) -> u64 {
        self.count().saturating_sub(part * PART_RANGES).min(PART_RANGES)
    }
}

impl ReadPlan {
    pub fn heap_bytes(&self) -> u64 {
        self.tables.iter().map(|t| t.heap_bytes).sum()
    }
}

/// Errors: `NotFound` for a pattern that means no table, so that a typing error does not become a missing table.
pub fn read_plan(source: &Source<'_>, selection: &Selection) -> Result<ReadPlan> {
    let names = source.relations.iter().filter(holds_rows).map(|r| &r.name);
    for patterns in [&selection.tables, &selection.exclude, &selection.exclude_data] {
        require_matches(patterns, names.clone())?;
    }
    let mut plan = ReadPlan::default();
    for relation in source.relations.iter().filter(holds_rows) {
        if any_matches(&selection.exclude, &relation.name) {
            plan.skip(&relation.name, "excluded, definition and rows");
            continue;
        }
        match decide(relation, source, selection) {
            Decision::Read(condition) => plan.tables.push(planned(relation, condition, source)),
            Decision::Skip(reason) => plan.skip(&relation.name, &reason),
            Decision::Nothing => {}
        }
    }
    if selection.tables.is_empty() && !source.large_objects.is_empty() {
        plan.tables.push(large_objects(source.large_objects));
    }
    plan.tables.sort_by(|a, b| b.heap_bytes.cmp(&a.heap_bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(plan)
}

/// Tables of which not even the definition is wanted.
pub fn excluded(relations: &[Relation], selection: &Selection) -> Vec<TableName> {
    let names = relations.iter().filter(holds_rows).map(|relation| &relation.name);
    names.filter(|name| any_matches(&selection.exclude, name)).cloned().collect()
}

fn holds_rows(relation: &&Relation) -> bool {
    !matches!(relation.kind, RelationKind::Sequence)
}

impl ReadPlan {
    fn skip(&mut self, table: &TableName, reason: &str) {
        self.skipped.push(Skipped { object: table.to_string(), reason: reason.to_owned() });
    }
}

enum Decision {
    /// With the condition that selects the rows, if not all.
    Read(Option<String>),
    Skip(String),
    /// Holds no rows of its own.
    Nothing,
}

fn decide(relation: &Relation, source: &Source<'_>, selection: &Selection) -> Decision {
    let skip = |reason: &str| Decision::Skip(reason.to_owned());
    match relation.kind {
        RelationKind::PartitionedTable | RelationKind::MaterializedView | RelationKind::Sequence => {
            return Decision::Nothing;
        }
        RelationKind::ForeignTable => return skip("foreign table: its rows live on another server"),
        RelationKind::Table => {}
    }
    if !selection.tables.is_empty() && !selected(relation, source, &selection.tables) {
        return skip("not selected");
    }
    if selected(relation, source, &selection.exclude_data) {
        return skip("rows excluded");
    }
    if relation.unlogged && source.is_replica {
        return skip("unlogged: a replica has none of its rows");
    }
    match &relation.extension {
        None => Decision::Read(None),
        Some(ExtensionMember { condition: Some(condition), .. }) if condition.trim().is_empty() => Decision::Read(None),
        Some(ExtensionMember { condition: Some(condition), .. }) => Decision::Read(Some(condition.clone())),
        Some(ExtensionMember { extension, condition: None }) => {
            Decision::Skip(format!("belongs to extension {extension}, which makes it again"))
        }
    }
}

/// A partition is meant when it, or the partitioned table above it, is.
fn selected(relation: &Relation, source: &Source<'_>, patterns: &[Pattern]) -> bool {
    let root = source.roots.get(&relation.oid);
    any_matches(patterns, &relation.name) || root.is_some_and(|root| any_matches(patterns, root))
}

fn planned(relation: &Relation, condition: Option<String>, source: &Source<'_>) -> PlannedTable {
    let TableColumns { columns, generated, type_signature, is_text_fixed, unportable } =
        source.columns.get(&relation.oid).cloned().unwrap_or_default();
    let only_text = only_text(source, &unportable);
    let must_be_binary = only_text.is_none() && source.too_long.contains(&relation.name);
    let is_binary_by_choice = only_text.is_none()
        && !must_be_binary
        && source.encoding == Encoding::Binary
        && is_cheaper_in_binary(columns.iter().chain(&generated));
    let ranges = match relation.access_method.as_str() {
        "heap" => {
            let blocks = relation.heap_bytes.div_ceil(source.block_bytes);
            Ranges::Blocks { count: blocks.div_ceil(RANGE_BLOCKS).max(1), range_blocks: RANGE_BLOCKS }
        }
        _ => Ranges::Whole,
    };
    PlannedTable {
        oid: relation.oid,
        name: relation.name.clone(),
        kind: if relation.is_partition { TableKind::Partition } else { TableKind::Table },
        filenode: relation.filenode,
        unlogged: relation.unlogged,
        root: source.roots.get(&relation.oid).cloned(),
        columns,
        generated,
        type_signature,
        is_text_fixed,
        condition,
        heap_bytes: relation.heap_bytes,
        ranges,
        encoding: if must_be_binary || is_binary_by_choice { Encoding::Binary } else { Encoding::Text },
        is_binary_by_choice,
        only_text,
    }
}

/// Whole numbers and truth values are short as text and printed quickly, while each field has a length of four bytes in
/// binary. All else (times, numerics, texts with their escapes, bytes) costs the server less in binary.
fn is_cheaper_in_binary<'a>(columns: impl Iterator<Item = &'a Column>) -> bool {
    const SHORT: [&str; 5] = ["smallint", "integer", "bigint", "oid", "boolean"];
    let (short, others): (Vec<&Column>, Vec<&Column>) =
        columns.partition(|column| SHORT.contains(&column.type_name.as_str()));
    !others.is_empty() && short.len() <= others.len()
}

/// In binary, texts come in UTF-8, and some types' values mean nothing in another database.
fn only_text(source: &Source<'_>, unportable: &[Column]) -> Option<String> {
    if source.server_encoding != "UTF8" {
        return Some(format!("the database's encoding is {}", source.server_encoding));
    }
    let column = unportable.first()?;
    Some(format!("column {} is of type {}", column.name, column.type_name))
}

fn large_objects(objects: &[LargeObject]) -> PlannedTable {
    let column = |name: &str, type_name: &str| Column { name: name.to_owned(), type_name: type_name.to_owned() };
    PlannedTable {
        oid: 0,
        name: TableName::new("pg_catalog", "pg_largeobject"),
        kind: TableKind::LargeObjects,
        filenode: 0,
        unlogged: false,
        root: None,
        columns: vec![column("loid", "oid"), column("page", "bigint"), column("data", "bytea")],
        generated: Vec::new(),
        type_signature: String::new(),
        is_text_fixed: false,
        condition: None,
        heap_bytes: 0,
        ranges: Ranges::LargeObjects {
            first_oids: objects.chunks(LARGE_OBJECTS_PER_RANGE).map(|run| run[0].oid).collect(),
        },
        encoding: Encoding::Text,
        is_binary_by_choice: false,
        only_text: Some("large objects are read in pages".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(name: &str, heap_bytes: u64) -> Relation {
        Relation {
            oid: 1,
            name: TableName::new("public", name),
            kind: RelationKind::Table,
            unlogged: false,
            is_partition: false,
            is_populated: true,
            access_method: "heap".into(),
            filenode: 1,
            filenode_now: 1,
            heap_bytes,
            extension: None,
        }
    }

    fn plan(relations: &[Relation], is_replica: bool, selection: &Selection) -> Result<ReadPlan> {
        let (columns, roots) = (HashMap::new(), HashMap::new());
        let source = Source {
            relations,
            columns: &columns,
            roots: &roots,
            large_objects: &[],
            too_long: &HashSet::from([TableName::new("public", "wide")]),
            encoding: Encoding::Text,
            server_encoding: "UTF8",
            is_replica,
            block_bytes: 8192,
        };
        read_plan(&source, selection)
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|t| Pattern::parse(t).unwrap()).collect()
    }

    #[test]
    fn everything_that_is_not_read_is_listed_with_its_reason() {
        let member =
            |condition: Option<&str>| ExtensionMember { extension: "ext".into(), condition: condition.map(Into::into) };
        let relations = [
            table("plain", 10),
            Relation { kind: RelationKind::ForeignTable, ..table("far", 0) },
            Relation { unlogged: true, ..table("scratch", 0) },
            Relation { extension: Some(member(None)), ..table("ext_own", 0) },
            Relation { extension: Some(member(Some("WHERE x"))), ..table("ext_config", 0) },
            table("secret", 0),
            table("log", 0),
        ];
        let selection = Selection { exclude: patterns(&["secret"]), exclude_data: patterns(&["log"]), tables: vec![] };
        let plan = plan(&relations, true, &selection).unwrap();
        let read: Vec<&str> = plan.tables.iter().map(|t| t.name.name.as_str()).collect();
        assert_eq!(read, ["plain", "ext_config"]);
        let skipped: Vec<&str> = plan.skipped.iter().map(|s| s.object.as_str()).collect();
        assert_eq!(skipped, ["public.far", "public.scratch", "public.ext_own", "public.secret", "public.log"]);
        assert_eq!(excluded(&relations, &selection), [TableName::new("public", "secret")]);
    }

    #[test]
    fn rows_too_long_for_text_are_read_in_binary_where_that_means_the_same_elsewhere() {
        let unportable = vec![Column { name: "which".into(), type_name: "regclass".into() }];
        let columns = HashMap::from([(1, TableColumns { unportable, ..TableColumns::default() })]);
        let (too_long, roots) = (HashSet::from([TableName::new("public", "wide")]), HashMap::new());
        let relations = [table("wide", 1), table("plain", 1)];
        let source = Source {
            relations: &relations,
            columns: &HashMap::new(),
            roots: &roots,
            large_objects: &[],
            too_long: &too_long,
            encoding: Encoding::Text,
            server_encoding: "UTF8",
            is_replica: false,
            block_bytes: 8192,
        };
        let encodings = |source: &Source<'_>| -> Vec<Encoding> {
            let plan = read_plan(source, &Selection::default()).unwrap();
            plan.tables.iter().map(|table| table.encoding).collect()
        };
        assert_eq!(encodings(&source), [Encoding::Text, Encoding::Binary]);
        let by_choice = |source: &Source<'_>| -> Vec<bool> {
            let plan = read_plan(source, &Selection::default()).unwrap();
            plan.tables.iter().map(|table| table.is_binary_by_choice).collect()
        };
        assert_eq!(by_choice(&source), [false, false]);
        let column = |type_name: &str| Column { name: "a".into(), type_name: type_name.into() };
        let of = |types: &[&str]| {
            let columns = types.iter().map(|name| column(name)).collect();
            HashMap::from([(1, TableColumns { columns, ..TableColumns::default() })])
        };
        for (types, binary) in [
            (&["bigint", "timestamp with time zone"][..], true),
            (&["bigint", "integer", "numeric(10,2)"], false),
            (&["text"], true),
            (&["boolean"], false),
            (&[], false),
        ] {
            let asked = Source { columns: &of(types), encoding: Encoding::Binary, ..source };
            assert_eq!(by_choice(&asked), [binary, false], "{types:?}");
        }
        let latin = Source { server_encoding: "LATIN1", ..source };
        assert_eq!(encodings(&latin), [Encoding::Text, Encoding::Text]);
        let named = Source { columns: &columns, server_encoding: "UTF8", ..latin };
        let plan = read_plan(&named, &Selection::default()).unwrap();
        assert_eq!(plan.tables[1].only_text.as_deref(), Some("column which is of type regclass"));
        assert_eq!(plan.tables[1].encoding, Encoding::Text);
    }

    #[test]
    fn a_pattern_without_a_table_is_refused() {
        let selection = Selection { tables: patterns(&["ordesr"]), ..Selection::default() };
        let error = plan(&[table("orders", 1)], false, &selection).unwrap_err();
        assert_eq!(error.hint_text(), Some("did you mean public.orders?"));
    }

    proptest! {
        #[test]
        fn ranges_are_aligned_disjoint_and_leave_no_block_out(heap_bytes in 0u64..1 << 45) {
            let plan = plan(&[table("t", heap_bytes)], false, &Selection::default()).unwrap();
            let ranges = &plan.tables[0].ranges;
            let count = ranges.count();
            prop_assert!(count >= 1);
            for number in [0, 1, count / 2, count.saturating_sub(2), count - 1] {
                if number >= count { continue }
                let range = ranges.range(number);
                prop_assert_eq!(range.first, number * RANGE_BLOCKS);
                if number + 1 < count {
                    prop_assert_eq!(range.end, Some(ranges.range(number + 1).first));
                } else {
                    prop_assert_eq!(range.end, None);
                }
            }
            prop_assert!((count - 1) * RANGE_BLOCKS * 8192 <= heap_bytes);
        }
    }
}
