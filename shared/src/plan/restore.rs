//! What restoring a schema archive means: which entries, in which order, what may run at the same time.
//!
//! Before the rows come, entries run one after the other in the archive's order ([`SchemaPlan::pre_data`]). After them the
//! rest runs on many connections ([`SchemaPlan::post_data`]): a [`Schedule`](super::schedule::Schedule) hands out what is
//! ready, in the passes that `pg_restore` makes: objects, then privileges, then event triggers. An entry waits for those
//! it depends on, also through entries that are not restored.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::dependencies::Graph;
use super::exclusions::with_whole_exclusions;
use super::table_closure::{LeftOut, TableClosure};
use crate::error::Result;
use crate::postgres::archive::{Archive, DumpId, Entry, Section};
use crate::postgres::role_names::named_roles;
use crate::postgres::schema_sql::{
    self, Importance, Part, Pass, SchemaOptions, Step, is_privilege, is_schema, own_importance, refuse_older_target,
};

/// Which entries of an archive to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    Everything,
    /// These and no others; the caller answers for what they need.
    Only(BTreeSet<DumpId>),
    /// These tables with all that they need and all that belongs to them.
    Tables(BTreeSet<DumpId>),
}

/// What to run, and what is known to be missing afterwards.
#[derive(Debug, Clone)]
pub struct SchemaPlan {
    /// Settings for every session, as one query.
    pub session_settings: String,
    /// To run once before everything else; the target may refuse.
    pub opening: Option<&'static str>,
    /// Before the rows, in this order.
    pub pre_data: Vec<Step>,
    /// After the rows, in the archive's order.
    pub post_data: Vec<PostStep>,
    /// Roles that the target must have: owners, grantees, members of policies; by their names in the target.
    pub roles: BTreeSet<String>,
    /// Tables that come without rows, because a chosen one cannot be made without them.
    pub without_rows: Vec<DumpId>,
    /// What belongs to the chosen tables and cannot come with them.
    pub left_out: Vec<LeftOut>,
}

/// A step that runs beside others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostStep {
    pub step: Step,
    /// Steps of `post_data` that must end first; all stand before this one.
    pub waits_for: BTreeSet<DumpId>,
    /// Tables that it locks against everybody.
    pub locks: BTreeSet<DumpId>,
    /// Tables, and other things, that it uses.
    pub uses: BTreeSet<DumpId>,
    /// Bytes of the largest table it reads: the longest work begins first.
    pub table_bytes: u64,
}

/// Plans the restore of what `selection` chooses. `table_bytes` tells the size of tables by their oid in the archive's
/// server, for those that have one.
///
/// Fails with [`ErrorKind::Preflight`](crate::ErrorKind) for a target that is older than the archive's server, and for an
/// archive with objects of unknown kind.
pub fn plan_schema(
    archive: &Archive,
    selection: &Selection,
    options: &SchemaOptions,
    target_major: u32,
    table_bytes: &BTreeMap<u32, u64>,
) -> Result<SchemaPlan> {
    refuse_older_target(archive, target_major)?;
    let closure = match selection {
        Selection::Tables(tables) => Some(TableClosure::of(archive, tables)),
        _ => None,
    };
    let chosen = |entry: &Entry| match (selection, &closure) {
        (Selection::Only(ids), _) => ids.contains(&entry.dump_id),
        (_, Some(closure)) => closure.entries.contains(&entry.dump_id),
        _ => true,
    };
    let restored = |entry: &&Entry| is_schema(entry) && chosen(entry) && !(options.no_acl && is_privilege(entry));
    let entries: Vec<&Entry> = archive.entries.iter().filter(restored).collect();
    let graph = Graph::new(archive);
    let essential = essential_entries(&graph, &entries);
    let post_data_ids = post_data_ids(archive);

    let mut plan = SchemaPlan {
        session_settings: schema_sql::session_settings(archive, target_major),
        opening: schema_sql::opening(archive, target_major, options).filter(|_| *selection == Selection::Everything),
        pre_data: Vec::new(),
        post_data: Vec::new(),
        roles: BTreeSet::new(),
        without_rows: Vec::new(),
        left_out: Vec::new(),
    };
    let mut parallel = BTreeMap::new();
    for entry in with_whole_exclusions(entries, &graph).iter().map(Cow::as_ref) {
        let importance = if essential.contains(&entry.dump_id) { Importance::Essential } else { Importance::Optional };
        let Some(step) = schema_sql::step(entry, options, importance, target_major)? else { continue };
        plan.roles.extend(roles(entry, &step, options));
        if step.pass == Pass::Main && !post_data_ids.contains(&entry.dump_id) {
            plan.pre_data.push(step);
            continue;
        }
        let pass = step.pass;
        let waits_for = graph.waits_for(entry, |id| parallel.get(&id).is_some_and(|earlier| *earlier == pass));
        parallel.insert(entry.dump_id, pass);
        plan.post_data.push(PostStep {
            step,
            waits_for,
            locks: graph.locks(entry),
            uses: entry.dependencies.iter().copied().collect(),
            table_bytes: largest_table(&graph, entry, table_bytes),
        });
    }
    if let Some(closure) = closure {
        plan.without_rows = closure.without_rows;
        plan.left_out = closure.left_out;
    }
    Ok(plan)
}

fn largest_table(graph: &Graph<'_>, entry: &Entry, table_bytes: &BTreeMap<u32, u64>) -> u64 {
    graph.relations(entry).filter_map(|table| table_bytes.get(&table.oid)).copied().max().unwrap_or(0)
}

/// Roles that the step needs, by their names in the target.
fn roles(entry: &Entry, step: &Step, options: &SchemaOptions) -> BTreeSet<String> {
    let named = named_roles(entry).into_iter().map(|role| options.role_map.target(&role).to_owned());
    let owners = step.statements.iter().filter_map(|statement| match &statement.part {
        Part::Owner(role) => Some(role.clone()),
        _ => None,
    });
    named.chain(owners).collect()
}

/// What is essential for itself, and what that depends on.
fn essential_entries(graph: &Graph<'_>, entries: &[&Entry]) -> BTreeSet<DumpId> {
    let essential = entries.iter().filter(|entry| own_importance(entry) == Importance::Essential);
    graph.closed(essential.map(|entry| entry.dump_id), |_, _| true)
}

/// Entries that come after the rows. What has no section of its own, such as a comment, goes with what stands before it.
fn post_data_ids(archive: &Archive) -> BTreeSet<DumpId> {
    let mut section = Section::PreData;
    let mut ids = BTreeSet::new();
    for entry in &archive.entries {
        if entry.section != Section::None {
            section = entry.section;
        }
        if section != Section::PreData {
            ids.insert(entry.dump_id);
        }
    }
    ids
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::postgres::archive::tests::{archive, entry};
    use proptest::prelude::*;

    pub(in crate::plan) fn plan(entries: Vec<Entry>, selection: &Selection, options: &SchemaOptions) -> SchemaPlan {
        plan_schema(&archive(entries), selection, options, 18, &BTreeMap::new()).unwrap()
    }

    fn everything(entries: Vec<Entry>) -> SchemaPlan {
        plan(entries, &Selection::Everything, &SchemaOptions::default())
    }

    fn ids<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<u32> {
        steps.into_iter().map(|step| step.dump_id.0).collect()
    }

    /// Entries as `pg_dump` sorts them: after what they depend on, and before what comes later in a restore.
    pub(in crate::plan) fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
        let pre = prop::sample::select(vec!["SCHEMA", "TABLE", "FUNCTION", "EXTENSION", "VIEW", "COMMENT", "ACL"]);
        let post = prop::sample::select(vec![
            "INDEX",
            "CONSTRAINT",
            "FK CONSTRAINT",
            "TRIGGER",
            "COMMENT",
            "ACL",
            "EVENT TRIGGER",
            "PUBLICATION",
            "MATERIALIZED VIEW DATA",
        ]);
        let needs = || prop::collection::vec(any::<prop::sample::Index>(), 0..4);
        let pre = prop::collection::vec((pre, needs()), 1..12);
        let post = prop::collection::vec((post, needs()), 0..25);
        (pre, post).prop_map(|(pre, post)| {
            let mut entries: Vec<Entry> = Vec::new();
            let boundary = pre.len();
            for (n, (desc, needs)) in pre.into_iter().chain(post).enumerate() {
                let earlier = |need: &prop::sample::Index| 1 + need.index(n.max(1)) as u32;
                let needs: Vec<u32> = if n == 0 { Vec::new() } else { needs.iter().map(earlier).collect() };
                // Something with a section of its own must open what comes after the rows.
                let desc = if n == boundary { "INDEX" } else { desc };
                entries.push(entry(n as u32 + 1, desc, &format!("o{n}"), &needs));
            }
            entries
        })
    }

    proptest! {
        #[test]
        fn every_chosen_entry_is_planned_once_and_after_what_it_waits_for(
            entries in any_entries(),
            left_out in prop::collection::btree_set(1..30u32, 0..6),
        ) {
            let chosen: BTreeSet<DumpId> =
                entries.iter().map(|e| e.dump_id).filter(|id| !left_out.contains(&id.0)).collect();
            let wanted: Vec<u32> =
                entries.iter().filter(|e| chosen.contains(&e.dump_id) && is_schema(e)).map(|e| e.dump_id.0).collect();
            let plan = plan(entries, &Selection::Only(chosen), &SchemaOptions::default());
            let mut planned = ids(&plan.pre_data);
            planned.extend(ids(plan.post_data.iter().map(|post| &post.step)));
            planned.sort_unstable();
            prop_assert_eq!(planned, wanted);
            let mut before = BTreeSet::new();
            for post in &plan.post_data {
                prop_assert!(post.waits_for.is_subset(&before));
                before.insert(post.step.dump_id);
            }
        }

        #[test]
        fn what_something_essential_needs_is_essential(entries in any_entries()) {
            let plan = everything(entries.clone());
            let post = plan.post_data.iter().map(|post| &post.step);
            let importance: BTreeMap<DumpId, Importance> =
                plan.pre_data.iter().chain(post).map(|step| (step.dump_id, step.statements[0].importance)).collect();
            for entry in entries.iter().filter(|e| importance.get(&e.dump_id) == Some(&Importance::Essential)) {
                for needed in entry.dependencies.iter().filter_map(|id| importance.get(id)) {
                    prop_assert_eq!(*needed, Importance::Essential);
                }
            }
        }
    }

    #[test]
    fn an_extension_is_optional_until_a_table_needs_it() {
        let importance = |needs: &[u32]| {
            let plan = everything(vec![entry(1, "EXTENSION", "hstore", &[]), entry(2, "TABLE", "t", needs)]);
            plan.pre_data[0].statements[0].importance
        };
        assert_eq!((importance(&[]), importance(&[1])), (Importance::Optional, Importance::Essential));
    }

    #[test]
    fn privileges_come_after_the_rows_even_of_what_comes_before() {
        let plan = everything(vec![
            entry(1, "TABLE", "t", &[]),
            entry(2, "COMMENT", "TABLE t", &[1]),
            entry(3, "ACL", "TABLE t", &[1]),
            entry(4, "INDEX", "i", &[1]),
        ]);
        assert_eq!(ids(&plan.pre_data), [1, 2]);
        assert_eq!(ids(plan.post_data.iter().map(|post| &post.step)), [3, 4]);
        let no_acl = SchemaOptions { no_acl: true, ..Default::default() };
        let plan = self::plan(vec![entry(3, "ACL", "TABLE t", &[])], &Selection::Everything, &no_acl);
        assert!(plan.post_data.is_empty());
    }

    #[test]
    fn an_entry_waits_through_entries_that_are_not_restored() {
        let entries = vec![
            entry(1, "TABLE", "t", &[]),
            entry(2, "CONSTRAINT", "t pk", &[1]),
            entry(3, "MATERIALIZED VIEW DATA", "m", &[2]),
            entry(4, "INDEX", "i", &[1, 3]),
        ];
        let plan = everything(entries);
        assert_eq!(plan.post_data[1].waits_for, BTreeSet::from([DumpId(2)]));
    }

    #[test]
    fn roles_are_those_of_owners_and_definitions_under_their_new_names() {
        let table = Entry { owner: "app".to_owned(), ..entry(1, "TABLE", "t", &[]) };
        let acl = Entry {
            definition: "GRANT SELECT ON TABLE t TO reader;\nGRANT ALL ON TABLE t TO app;\n".to_owned(),
            drop_statement: String::new(),
            owner: "app".to_owned(),
            ..entry(2, "ACL", "TABLE t", &[1])
        };
        let role_map = [("app".to_owned(), "new".to_owned())].into_iter().collect();
        let roles = |options: &SchemaOptions| {
            plan(vec![table.clone(), acl.clone()], &Selection::Everything, options)
                .roles
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(roles(&SchemaOptions { role_map, ..Default::default() }), ["new", "reader"]);
        assert!(roles(&SchemaOptions { no_owner: true, no_acl: true, ..Default::default() }).is_empty());
    }

    #[test]
    fn an_older_target_is_refused() {
        let error =
            plan_schema(&archive(Vec::new()), &Selection::Everything, &SchemaOptions::default(), 17, &BTreeMap::new());
        assert!(error.is_err());
    }
}
