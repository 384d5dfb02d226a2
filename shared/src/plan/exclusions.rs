//! Exclusion constraints, which `pg_dump` does not tell all about.
//!
//! On a partitioned table it writes one constraint for the table alone, one for each partition, and attaches their indexes
//! to each other, which no server (up to 18) accepts for exclusion constraints. Instead the partitioned table's constraint
//! is made with all of the partitions' in one statement, as somebody first made it, and those get their names.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::dependencies::Graph;
use crate::postgres::archive::{DumpId, Entry};
use crate::postgres::sql_text::{Token, literal, qualified, quoted, tokens};

/// Whether the entry adds an exclusion constraint, or a key without overlaps, which is one underneath.
pub(super) fn is_exclusion(entry: &Entry) -> bool {
    if entry.desc != "CONSTRAINT" {
        return false;
    }
    let tokens = tokens(&entry.definition);
    let excludes = |at: &[Token<'_>]| at[0].is("ADD") && at[1].is("CONSTRAINT") && at[3].is("EXCLUDE");
    let overlaps = |at: &[Token<'_>]| at[0].is("WITHOUT") && at[1].is("OVERLAPS");
    tokens.windows(4).any(excludes) || tokens.windows(2).any(overlaps)
}

/// The entries with exclusion constraints of partitioned tables as servers accept them.
pub(super) fn with_whole_exclusions<'a>(entries: Vec<&'a Entry>, graph: &Graph<'a>) -> Vec<Cow<'a, Entry>> {
    let chosen: BTreeSet<DumpId> = entries.iter().map(|entry| entry.dump_id).collect();
    let parent_of = |entry: &Entry| parent(entry, graph).filter(|parent| chosen.contains(&parent.dump_id));
    let exclusions = entries.iter().filter(|entry| is_exclusion(entry));
    let children: Vec<(&Entry, &Entry)> = exclusions.filter_map(|entry| Some((*entry, parent_of(entry)?))).collect();
    if children.is_empty() {
        return entries.into_iter().map(Cow::Borrowed).collect();
    }
    let rewritten = |entry: &'a Entry| {
        let of_child = |id: DumpId| children.iter().any(|(child, _)| child.dump_id == id);
        if let Some((_, parent)) = children.iter().find(|(child, _)| child.dump_id == entry.dump_id) {
            return Cow::Owned(renamed(entry, parent, graph));
        }
        if entry.desc == "INDEX ATTACH" && entry.dependencies.iter().any(|id| of_child(*id)) {
            return Cow::Owned(Entry { definition: String::new(), ..entry.clone() });
        }
        if children.iter().any(|(_, parent)| parent.dump_id == entry.dump_id) {
            return Cow::Owned(whole(entry, &children, graph));
        }
        Cow::Borrowed(entry)
    };
    entries.into_iter().map(rewritten).collect()
}

/// The partitioned table's constraint that this one is a partition's part of.
fn parent<'a>(entry: &Entry, graph: &Graph<'a>) -> Option<&'a Entry> {
    let mut dependencies = entry.dependencies.iter().filter_map(|id| graph.entry(*id));
    dependencies.find(|dependency| dependency.desc == "CONSTRAINT")
}

/// The topmost constraint, made for all partitions, which it locks.
fn whole(entry: &Entry, children: &[(&Entry, &Entry)], graph: &Graph<'_>) -> Entry {
    let mut whole = entry.clone();
    if let Some(only) = tokens(&entry.definition).iter().find(|token| token.is("ONLY")) {
        whole.definition.replace_range(only.at.clone(), "");
    }
    let mut family = BTreeSet::from([entry.dump_id]);
    for (child, parent) in children {
        // Parents stand before their children.
        if family.contains(&parent.dump_id) && family.insert(child.dump_id) {
            whole.dependencies.extend(graph.relations(child).map(|table| table.dump_id));
        }
    }
    whole
}

/// In place of a partition's constraint: its name, and what else the definition says.
fn renamed(entry: &Entry, parent: &Entry, graph: &Graph<'_>) -> Entry {
    let (Some((table, name)), Some((parent_table, parent_name))) = (named(entry, graph), named(parent, graph)) else {
        return entry.clone();
    };
    let body = format!(
        "DECLARE made name;\n\
         BEGIN\n\
         SELECT child.conname INTO STRICT made FROM pg_catalog.pg_constraint AS child\n\
         JOIN pg_catalog.pg_constraint AS parent ON parent.oid OPERATOR(pg_catalog.=) child.conparentid\n\
         WHERE child.conrelid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass\n\
         AND parent.conrelid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass\n\
         AND parent.conname OPERATOR(pg_catalog.=) {};\n\
         IF made OPERATOR(pg_catalog.<>) {} THEN\n\
         EXECUTE pg_catalog.format({}, made);\n\
         END IF;\n\
         END",
        literal(&table),
        literal(&parent_table),
        literal(parent_name),
        literal(name),
        literal(&format!(
            "ALTER TABLE {} RENAME CONSTRAINT %I TO {}",
            table.replace('%', "%%"),
            quoted(name).replace('%', "%%")
        )),
    );
    let rest = tokens(&entry.definition).into_iter().find(|token| token.is_symbol(';')).map_or(0, |end| end.at.end);
    Entry { definition: format!("DO {};{}", literal(&body), &entry.definition[rest..]), ..entry.clone() }
}

/// The quoted table and the constraint's name in it.
fn named<'a>(entry: &'a Entry, graph: &Graph<'_>) -> Option<(String, &'a str)> {
    let tables = graph.relations(entry).filter(|table| table.schema == entry.schema);
    let named =
        tables.filter_map(|table| Some((table, entry.tag.strip_prefix(table.tag.as_str())?.strip_prefix(' ')?)));
    let (table, name) = named.max_by_key(|(table, _)| table.tag.len())?;
    Some((qualified(table.schema.as_deref(), &table.tag), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::archive::tests::{archive, entry};

    fn exclusion(dump_id: u32, table: &str, name: &str, needs: &[u32]) -> Entry {
        let definition = format!(
            "ALTER TABLE ONLY {table}\n    ADD CONSTRAINT {} EXCLUDE USING gist (a WITH =);\nCLUSTER;\n",
            quoted(name)
        );
        Entry { definition, ..entry(dump_id, "CONSTRAINT", &format!("{table} {name}"), needs) }
    }

    fn rewritten(entries: Vec<Entry>) -> Vec<Entry> {
        let archive = archive(entries);
        let entries = with_whole_exclusions(archive.entries.iter().collect(), &Graph::new(&archive));
        entries.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn a_partitioned_tables_exclusion_is_made_whole_and_its_parts_get_their_names() {
        let entries = vec![
            entry(1, "TABLE", "t", &[]),
            entry(2, "TABLE", "t1", &[1]),
            entry(3, "TABLE", "t11", &[2]),
            exclusion(4, "t", "x", &[1]),
            exclusion(5, "t1", "x1", &[2, 4]),
            exclusion(6, "t11", "it's", &[3, 5]),
            entry(7, "INDEX ATTACH", "x1", &[4, 5, 2, 1]),
        ];
        let made = rewritten(entries.clone());
        assert!(made[3].definition.starts_with("ALTER TABLE  t\n    ADD CONSTRAINT \"x\" EXCLUDE"));
        assert_eq!(made[3].dependencies, [1, 2, 3].map(DumpId), "all are locked");
        for (at, table, name) in [(4, "t1", "x1"), (5, "t11", "it''''s")] {
            let definition = &made[at].definition;
            assert!(definition.starts_with("DO '") && definition.ends_with("CLUSTER;\n"), "{definition}");
            assert!(definition.contains(&format!("''\"{table}\"''")) && definition.contains(name), "{definition}");
        }
        assert_eq!(made[6].definition, "");
        assert_eq!(made[..3], entries[..3]);
    }

    #[test]
    fn a_plain_tables_exclusion_stays_as_it_is() {
        let entries = vec![entry(1, "TABLE", "t", &[]), exclusion(2, "t", "x", &[1])];
        assert_eq!(rewritten(entries.clone()), entries);
    }

    #[test]
    fn a_key_without_overlaps_is_an_exclusion_and_one_of_odd_names_is_none() {
        let is_exclusion = |key: &str| {
            let definition = format!("ALTER TABLE t ADD CONSTRAINT exclude PRIMARY KEY ({key});");
            is_exclusion(&Entry { definition, ..entry(1, "CONSTRAINT", "t exclude", &[]) })
        };
        assert!(is_exclusion("a, b WITHOUT OVERLAPS"));
        assert!(!is_exclusion("exclude, without, overlaps"));
    }
}
