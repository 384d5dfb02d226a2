//! When each of the steps that follow the rows may run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::batch::{MOST_BYTES, MOST_TASKS};
use super::restore::PostStep;
use crate::postgres::archive::DumpId;
use crate::postgres::schema_sql::Pass;

/// Hands out the steps of `post_data` so that each runs once, after what it waits for, beside nothing that it conflicts
/// with, in its pass.
///
/// A step that lacks a privilege may be [postponed](Self::postpone): functions that an index calls need what is granted
/// only in the next pass.
#[derive(Debug)]
pub struct Schedule<'a> {
    steps: &'a [PostStep],
    position: BTreeMap<DumpId, usize>,
    dependents: BTreeMap<DumpId, Vec<usize>>,
    /// How many steps each step still waits for.
    waiting_for: Vec<usize>,
    /// Ready to run, the longest first, then in the archive's order.
    ready: BTreeSet<(Reverse<u64>, usize)>,
    running: BTreeSet<usize>,
    /// What running steps lock and use, with the number of them that do.
    locked: BTreeMap<DumpId, usize>,
    used: BTreeMap<DumpId, usize>,
    postponed: BTreeSet<usize>,
    /// What is left in the stages to come.
    later: BTreeSet<usize>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Main,
    SchemaPrivileges,
    Privileges,
    Postponed,
    AfterPrivileges,
}

impl Stage {
    fn of(pass: Pass) -> Self {
        match pass {
            Pass::Main => Self::Main,
            Pass::SchemaPrivileges => Self::SchemaPrivileges,
            Pass::Privileges => Self::Privileges,
            Pass::AfterPrivileges => Self::AfterPrivileges,
        }
    }

    fn next(self) -> Option<Self> {
        match self {
            Self::Main => Some(Self::SchemaPrivileges),
            Self::SchemaPrivileges => Some(Self::Privileges),
            Self::Privileges => Some(Self::Postponed),
            Self::Postponed => Some(Self::AfterPrivileges),
            Self::AfterPrivileges => None,
        }
    }
}

impl<'a> Schedule<'a> {
    /// Leaves out the steps of `done`, which an earlier attempt finished.
    pub fn new(steps: &'a [PostStep], done: &BTreeSet<DumpId>) -> Self {
        let position: BTreeMap<DumpId, usize> =
            steps.iter().enumerate().map(|(at, step)| (step.step.dump_id, at)).collect();
        let to_do = |id: &DumpId| position.contains_key(id) && !done.contains(id);
        let mut dependents: BTreeMap<DumpId, Vec<usize>> = BTreeMap::new();
        let mut waiting_for = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let awaited: Vec<DumpId> = step.waits_for.iter().copied().filter(to_do).collect();
            waiting_for.push(awaited.len());
            awaited.into_iter().for_each(|id| dependents.entry(id).or_default().push(at));
        }
        let later = (0..steps.len()).filter(|at| to_do(&steps[*at].step.dump_id)).collect();
        let mut schedule = Self {
            steps,
            position,
            dependents,
            waiting_for,
            ready: BTreeSet::new(),
            running: BTreeSet::new(),
            locked: BTreeMap::new(),
            used: BTreeMap::new(),
            postponed: BTreeSet::new(),
            later,
            stage: Stage::Main,
        };
        schedule.collect_ready();
        schedule
    }

    /// A step to run now; `None` when all that is left must wait for what is running, or nothing is left.
    pub fn start_next(&mut self) -> Option<&'a PostStep> {
        while self.ready.is_empty() && self.running.is_empty() {
            self.stage = self.stage.next()?;
            self.collect_ready();
        }
        let at = self.next_free()?;
        Some(self.start(at))
    }

    /// Steps to run now in one transaction: one on a table of any size, or some on small ones, none of which conflicts
    /// with another. None when there is nothing to run now.
    pub fn start_batch(&mut self, most_steps: usize) -> Vec<&'a PostStep> {
        let mut batch = Vec::from_iter(self.start_next());
        let mut bytes = batch.first().map_or(0, |post| post.table_bytes);
        while batch.len() < most_steps.min(MOST_TASKS)
            && let Some(at) = self.next_free()
        {
            bytes = bytes.saturating_add(self.steps[at].table_bytes);
            if bytes > MOST_BYTES {
                break;
            }
            batch.push(self.start(at));
        }
        batch
    }

    fn next_free(&self) -> Option<usize> {
        self.ready.iter().map(|(_, at)| *at).find(|at| !self.conflicts(*at))
    }

    fn start(&mut self, at: usize) -> &'a PostStep {
        let step = &self.steps[at];
        self.ready.remove(&(Reverse(step.table_bytes), at));
        self.running.insert(at);
        step.locks.iter().for_each(|id| *self.locked.entry(*id).or_default() += 1);
        step.uses.iter().for_each(|id| *self.used.entry(*id).or_default() += 1);
        step
    }

    /// `false` when it was not running.
    fn end(&mut self, at: usize) -> bool {
        let was_running = self.running.remove(&at);
        if was_running {
            let step = &self.steps[at];
            step.locks.iter().for_each(|id| count_down(&mut self.locked, *id));
            step.uses.iter().for_each(|id| count_down(&mut self.used, *id));
        }
        was_running
    }

    /// Marks a step as ended: what waits for it may run.
    pub fn finish(&mut self, id: DumpId) {
        let Some(at) = self.position.get(&id).copied() else { return };
        if self.end(at) {
            for dependent in self.dependents.remove(&id).unwrap_or_default() {
                self.waiting_for[dependent] -= 1;
                self.collect_if_ready(dependent);
            }
        }
    }

    /// Puts a step off until privileges are granted. `false` when they are already, or there are none to come.
    pub fn postpone(&mut self, id: DumpId) -> bool {
        let grants = [Pass::SchemaPrivileges, Pass::Privileges];
        let has_privileges = self.later.iter().any(|at| grants.contains(&self.steps[*at].step.pass));
        let may_wait = self.stage == Stage::Main && has_privileges;
        let Some(at) = self.position.get(&id).copied().filter(|_| may_wait) else { return false };
        self.end(at);
        self.postponed.insert(at)
    }

    fn collect_ready(&mut self) {
        if self.stage == Stage::Postponed {
            self.later.append(&mut self.postponed);
        }
        for at in self.later.clone() {
            self.collect_if_ready(at);
        }
    }

    fn collect_if_ready(&mut self, at: usize) {
        let stage = Stage::of(self.steps[at].step.pass);
        let belongs = stage == self.stage || (stage == Stage::Main && self.stage == Stage::Postponed);
        if belongs && self.waiting_for[at] == 0 && self.later.remove(&at) {
            self.ready.insert((Reverse(self.steps[at].table_bytes), at));
        }
    }

    /// Whether the step needs a lock on what a running one uses, or the other way round.
    fn conflicts(&self, at: usize) -> bool {
        let step = &self.steps[at];
        step.locks.iter().any(|id| self.used.contains_key(id))
            || step.uses.iter().any(|id| self.locked.contains_key(id))
    }
}

fn count_down(counts: &mut BTreeMap<DumpId, usize>, id: DumpId) {
    if let Some(count) = counts.get_mut(&id) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::restore::Selection;
    use super::super::restore::tests::{any_entries, plan};
    use super::*;
    use crate::postgres::archive::tests::entry;
    use crate::postgres::schema_sql::SchemaOptions;
    use proptest::prelude::*;

    fn steps(entries: Vec<crate::postgres::archive::Entry>) -> Vec<PostStep> {
        plan(entries, &Selection::Everything, &SchemaOptions::default()).post_data
    }

    fn start_all(schedule: &mut Schedule<'_>) -> Vec<u32> {
        std::iter::from_fn(|| schedule.start_next()).map(|post| post.step.dump_id.0).collect()
    }

    proptest! {
        #[test]
        fn every_step_runs_once_in_its_turn_and_without_conflict(
            entries in any_entries(),
            done in prop::collection::btree_set(1..30u32, 0..6),
            choices in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 120),
        ) {
            let steps = steps(entries);
            let done: BTreeSet<DumpId> = done.into_iter().map(DumpId).collect();
            let mut schedule = Schedule::new(&steps, &done);
            let mut ended = done.clone();
            let mut running: Vec<&PostStep> = Vec::new();
            let mut ran = Vec::new();
            for (choice, fails) in choices {
                let batch = schedule.start_batch(1 + choice.index(4));
                let started = !batch.is_empty();
                for post in batch {
                    prop_assert!(post.waits_for.is_subset(&ended));
                    for other in &running {
                        prop_assert!(post.locks.is_disjoint(&other.uses) && other.locks.is_disjoint(&post.uses));
                        prop_assert_eq!(post.step.pass, other.step.pass);
                    }
                    running.push(post);
                }
                if started {
                    continue;
                }
                if !running.is_empty() {
                    let post = running.swap_remove(choice.index(running.len()));
                    let id = post.step.dump_id;
                    if !(fails && post.step.pass == Pass::Main && schedule.postpone(id)) {
                        schedule.finish(id);
                        ended.insert(id);
                        ran.push(id);
                    }
                }
            }
            prop_assert!(running.is_empty());
            ran.sort_unstable();
            let mut expected: Vec<DumpId> = steps.iter().map(|post| post.step.dump_id).collect();
            expected.retain(|id| !done.contains(id));
            expected.sort_unstable();
            prop_assert_eq!(ran, expected);
        }
    }

    #[test]
    fn indexes_of_one_table_run_together_and_constraints_alone() {
        let entries = || {
            vec![
                entry(1, "TABLE", "t", &[]),
                entry(2, "INDEX", "a", &[1]),
                entry(3, "INDEX", "b", &[1]),
                entry(4, "CONSTRAINT", "t pk", &[1]),
            ]
        };
        let steps = steps(entries());
        let mut schedule = Schedule::new(&steps, &BTreeSet::new());
        assert_eq!(start_all(&mut schedule), [2, 3]);
        schedule.finish(DumpId(2));
        assert!(start_all(&mut schedule).is_empty());
        schedule.finish(DumpId(3));
        assert_eq!(start_all(&mut schedule), [4]);
    }

    #[test]
    fn work_on_the_largest_table_begins_first() {
        let mut steps = plan(
            vec![entry(1, "INDEX", "small", &[]), entry(2, "INDEX", "large", &[])],
            &Selection::Everything,
            &SchemaOptions::default(),
        )
        .post_data;
        steps[1].table_bytes = 1 << 40;
        assert_eq!(start_all(&mut Schedule::new(&steps, &BTreeSet::new())), [2, 1]);
    }

    #[test]
    fn only_work_on_small_tables_goes_together() {
        let entries = (1..=5).map(|id| entry(id, "INDEX", &format!("i{id}"), &[])).collect();
        let mut steps = steps(entries);
        steps
            .iter_mut()
            .zip([MOST_BYTES + 1, MOST_BYTES / 2, MOST_BYTES / 2, 1, 0])
            .for_each(|(s, b)| s.table_bytes = b);
        let mut schedule = Schedule::new(&steps, &BTreeSet::new());
        let mut start = |most| schedule.start_batch(most).iter().map(|post| post.step.dump_id.0).collect::<Vec<_>>();
        assert_eq!(start(9), [1]);
        assert_eq!(start(9), [2, 3]);
        assert_eq!(start(1), [4]);
        assert_eq!(start(9), [5]);
        assert!(start(9).is_empty());
    }

    #[test]
    fn a_postponed_step_runs_after_the_privileges_and_holds_back_what_waits_for_it() {
        let steps = steps(vec![
            entry(1, "INDEX", "i", &[]),
            entry(2, "COMMENT", "INDEX i", &[1]),
            entry(3, "ACL", "SCHEMA s", &[]),
            entry(4, "EVENT TRIGGER", "e", &[]),
        ]);
        let mut schedule = Schedule::new(&steps, &BTreeSet::new());
        assert_eq!(start_all(&mut schedule), [1]);
        assert!(schedule.postpone(DumpId(1)));
        for expected in [3, 1, 2, 4] {
            assert_eq!(start_all(&mut schedule), [expected]);
            assert!(!schedule.postpone(DumpId(expected)));
            schedule.finish(DumpId(expected));
        }
    }
}
