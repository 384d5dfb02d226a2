//! What holds for every history.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::model::BackupId;
use crate::plan::retention::plan::CLOCK_SKEW;

/// Clocks are set forward and back there, at midnight too and by half an hour, and once a whole day was left out.
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/Santiago", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"];

/// Moments around which something is special.
const MOMENTS: [&str; 9] = [
    "2026-03-29T01:00:00Z", // Berlin: 02:00 to 03:00
    "2026-10-25T01:00:00Z", // Berlin: 03:00 to 02:00
    "2026-04-05T03:00:00Z", // Santiago: 24:00 to 23:00
    "2026-09-06T04:00:00Z", // Santiago: 24:00 to 01:00
    "2010-11-07T02:31:00Z", // St John's: 00:01 to 23:01 of the day before
    "2011-12-30T10:00:00Z", // Apia: no 30 December
    "2028-02-29T00:00:00Z",
    "2026-12-31T23:59:59Z", // week 53
    "9999-12-29T00:00:00Z", // a clock gone mad
];

fn moments() -> impl Strategy<Value = Timestamp> {
    let steps = prop_oneof![
        4 => (0..6i64).prop_map(|seconds| seconds),
        6 => (-60..60i64).prop_map(|minutes| minutes * 60 * 15),
        6 => (-40..40i64).prop_map(|days| days * 86_400),
        3 => (-800..800i64).prop_map(|days| days * 86_400),
    ];
    let weights = [3, 3, 3, 3, 3, 3, 3, 3, 1];
    let moment = prop::sample::select(
        MOMENTS.iter().zip(weights).flat_map(|(moment, weight)| [*moment].repeat(weight)).collect::<Vec<_>>(),
    );
    (moment, steps).prop_map(|(moment, seconds)| {
        let at = time(moment).saturating_add(SignedDuration::from_secs(seconds)).unwrap();
        // Ids have four digits for the year.
        at.min(time("9999-12-30T00:00:00Z"))
    })
}

/// Most are live, complete and verified.
fn candidate(number: u8) -> impl Strategy<Value = Candidate> {
    let purposes = prop_oneof![8 => Just(Purpose::Backup), 1 => Just(Purpose::Safety), 1 => Just(Purpose::Partial)];
    let standings = prop_oneof![
        10 => Just(Standing::Live),
        1 => prop::sample::select(vec![Standing::Expired, Standing::Deleted, Standing::Condemned]),
    ];
    let verdicts = prop::option::weighted(0.4, prop::collection::vec(verdict(), 0..4));
    let tiers = prop::sample::select(vec!["daily", "hourly", "other"]);
    let holds = prop::option::weighted(0.1, prop::option::of(moments()));
    let damages = prop::option::weighted(0.05, moments());
    (tiers, moments(), purposes, standings, verdicts, holds, damages).prop_map(
        move |(tier, at, purpose, standing, verdicts, hold, damaged_since)| {
            let made = Candidate { purpose, standing, damaged_since, ..numbered(tier, at, number) };
            let made = Candidate { verdicts: verdicts.unwrap_or(made.verdicts.clone()), ..made };
            match hold {
                Some(until) => made.held(until),
                None => made,
            }
        },
    )
}

fn verdict() -> impl Strategy<Value = VerdictSummary> {
    let depths = prop::sample::select(Depth::ALL.to_vec());
    (moments(), depths, prop::bool::weighted(0.7)).prop_map(|(at, depth, ok)| VerdictSummary { at, depth, ok })
}

fn candidates(first_number: u8) -> impl Strategy<Value = Vec<Candidate>> {
    (0..40u8).prop_flat_map(move |count| (first_number..first_number + count).map(candidate).collect::<Vec<_>>())
}

fn rules() -> impl Strategy<Value = TierRules> {
    let counts = prop::array::uniform6(prop_oneof![2 => Just(0u32), 3 => 1..5u32]);
    (counts, prop::option::of(0..60u32), 1..4u32).prop_map(|(counts, days, at_least)| TierRules {
        keep_last: counts[0],
        keep_for: days.map(|days| DAY * days),
        keep_hourly: counts[1],
        keep_daily: counts[2],
        keep_weekly: counts[3],
        keep_monthly: counts[4],
        keep_yearly: counts[5],
        keep_at_least: NonZeroU32::new(at_least).unwrap(),
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (rules(), rules(), 0..20u32, 0..60u32, 0..30u32).prop_map(|(daily, hourly, unverified, partial, safety)| Policy {
        tiers: [(tier("daily"), daily), (tier("hourly"), hourly)].into(),
        unverified_for: DAY * unverified,
        partial_for: DAY * partial,
        safety_for: DAY * safety,
    })
}

fn longer(rules: TierRules, by: TierRules) -> TierRules {
    TierRules {
        keep_last: rules.keep_last + by.keep_last,
        keep_for: rules.keep_for.max(by.keep_for),
        keep_hourly: rules.keep_hourly + by.keep_hourly,
        keep_daily: rules.keep_daily + by.keep_daily,
        keep_weekly: rules.keep_weekly + by.keep_weekly,
        keep_monthly: rules.keep_monthly + by.keep_monthly,
        keep_yearly: rules.keep_yearly + by.keep_yearly,
        keep_at_least: rules.keep_at_least.max(by.keep_at_least),
    }
}

/// Everything a plan is made from.
#[derive(Debug, Clone)]
struct Scene {
    history: Vec<Candidate>,
    policy: Policy,
    now: Timestamp,
    zone: &'static str,
}

fn scenes() -> impl Strategy<Value = Scene> {
    (candidates(0), policies(), moments(), prop::sample::select(ZONES.to_vec()))
        .prop_map(|(history, policy, now, zone)| Scene { history, policy, now, zone })
}

impl Scene {
    fn zone(&self) -> TimeZone {
        TimeZone::get(self.zone).unwrap()
    }

    fn plan(&self) -> RetentionPlan {
        retention_plan(&self.history, &self.policy, self.now, &self.zone())
    }

    fn expiring(&self) -> BTreeSet<BackupId> {
        self.plan().expiring().map(|decision| decision.backup.clone()).collect()
    }

    fn reconsidered(&self) -> BTreeSet<BackupId> {
        let plan = reconsider(&self.history, &self.policy, self.now, &self.zone());
        plan.expiring().map(|decision| decision.backup.clone()).collect()
    }

    /// The same after a cleanup.
    fn cleaned(&self) -> Self {
        let mut cleaned = self.clone();
        let expiring = self.expiring();
        for candidate in cleaned.history.iter_mut().filter(|candidate| expiring.contains(&candidate.id)) {
            candidate.standing = Standing::Expired;
        }
        cleaned
    }

    /// Some live backup, if there is one.
    fn live(&self, which: prop::sample::Index) -> Option<usize> {
        let live: Vec<usize> =
            (0..self.history.len()).filter(|place| self.history[*place].standing == Standing::Live).collect();
        (!live.is_empty()).then(|| live[which.index(live.len())])
    }

    fn without(&self, place: usize) -> Self {
        let mut without = self.clone();
        without.history.remove(place);
        without
    }
}

/// Dated later than the clocks may differ.
fn is_future(candidate: &Candidate, now: Timestamp) -> bool {
    now.checked_add(CLOCK_SKEW).is_ok_and(|latest| candidate.at > latest)
}

fn is_verified(candidate: &Candidate) -> bool {
    candidate.standing == Standing::Live
        && candidate.purpose == Purpose::Backup
        && matches!(Proof::of(&candidate.verdicts, candidate.damaged_since), Proof::Verified(_))
}

fn age(candidate: &Candidate) -> (Timestamp, &BackupId) {
    (candidate.at, &candidate.id)
}

proptest! {
    #[test]
    fn every_backup_has_one_decision_with_a_reason_whatever_the_order(scene in scenes(), seed in any::<u64>()) {
        let plan = scene.plan();
        let decided: BTreeSet<&BackupId> = plan.decisions.iter().map(|decision| &decision.backup).collect();
        let given: BTreeSet<&BackupId> = scene.history.iter().map(|candidate| &candidate.id).collect();
        prop_assert_eq!(plan.decisions.len(), scene.history.len());
        prop_assert_eq!(decided, given);
        for decision in &plan.decisions {
            let reasons = match &decision.outcome {
                Outcome::Keep(reasons) => reasons.len(),
                Outcome::Expire(reasons) => reasons.len(),
                Outcome::Leaving(standings) => standings.len(),
            };
            prop_assert!(reasons > 0);
        }
        let mut shuffled = scene.clone();
        shuffled.history.sort_by_key(|candidate| {
            candidate.id.as_str().bytes().fold(seed, |mixed, byte| (mixed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        });
        shuffled.history.iter_mut().for_each(|candidate| candidate.verdicts.reverse());
        prop_assert_eq!(shuffled.plan(), plan);
    }

    #[test]
    fn the_newest_verified_stays_with_holds_and_the_future(scene in scenes()) {
        let expiring = scene.expiring();
        let verified = scene.history.iter().filter(|candidate| is_verified(candidate));
        let newest = verified.clone().filter(|candidate| !is_future(candidate, scene.now)).max_by_key(|candidate| age(candidate));
        let newest_at_all = verified.max_by_key(|candidate| age(candidate));
        for kept in newest.into_iter().chain(newest_at_all) {
            prop_assert!(!expiring.contains(&kept.id));
        }
        for candidate in &scene.history {
            let is_held = candidate.holds.iter().any(|hold| hold.is_in_force(scene.now));
            if is_held || is_future(candidate, scene.now) || candidate.standing != Standing::Live {
                prop_assert!(!expiring.contains(&candidate.id));
            }
        }
    }

    /// That is to say: they fill no quota, and stand for nothing else.
    #[test]
    fn what_is_not_known_to_be_good_makes_no_other_expire(scene in scenes(), which: prop::sample::Index) {
        let Some(place) = scene.live(which) else { return Ok(()) };
        let candidate = &scene.history[place];
        if !is_verified(candidate) || is_future(candidate, scene.now) {
            let mut with = scene.expiring();
            with.remove(&candidate.id);
            prop_assert_eq!(with, scene.without(place).expiring());
        }
    }

    /// Where nobody verifies, nothing goes.
    #[test]
    fn a_complete_backup_goes_only_where_enough_good_ones_after_it_stay(scene in scenes()) {
        let expiring = scene.expiring();
        let is_complete = |candidate: &&Candidate| candidate.purpose == Purpose::Backup;
        for gone in scene.history.iter().filter(is_complete).filter(|candidate| expiring.contains(&candidate.id)) {
            let stays = scene.history.iter().filter(|candidate| {
                candidate.tier == gone.tier && is_verified(candidate) && age(candidate) > age(gone)
                    && !is_future(candidate, scene.now) && !expiring.contains(&candidate.id)
            });
            prop_assert!(stays.count() >= scene.policy.tiers[&gone.tier].keep_at_least.get() as usize);
        }
    }

    #[test]
    fn a_second_cleanup_finds_nothing_to_do_and_the_sweep_agrees(scene in scenes()) {
        let cleaned = scene.cleaned();
        prop_assert_eq!(cleaned.expiring(), BTreeSet::new());
        let mut alone = scene.clone();
        alone.history.retain(|candidate| candidate.standing == Standing::Live);
        prop_assert_eq!(alone.cleaned().reconsidered(), alone.expiring());
        let gone = alone.expiring();
        alone.history.retain(|candidate| !gone.contains(&candidate.id));
        prop_assert_eq!(alone.expiring(), BTreeSet::new());
    }

    #[test]
    fn a_longer_policy_never_deletes_more(scene in scenes(), by in policies()) {
        let mut generous = scene.clone();
        for (tier, rules) in &mut generous.policy.tiers {
            // No rules at all is the longest policy: any rule is shorter.
            if !rules.is_empty() {
                *rules = longer(*rules, by.tiers[tier]);
            }
        }
        generous.policy.unverified_for += by.unverified_for;
        generous.policy.partial_for += by.partial_for;
        generous.policy.safety_for += by.safety_for;
        prop_assert!(generous.expiring().is_subset(&scene.expiring()));
    }

    #[test]
    fn an_earlier_clock_never_deletes_more(scene in scenes(), now in moments()) {
        let other = Scene { now, ..scene.clone() };
        let (earlier, later) = if now < scene.now { (other, scene) } else { (scene, other) };
        prop_assert!(earlier.expiring().is_subset(&later.expiring()));
    }

    /// So what expired stays so as time goes on and backups are added.
    #[test]
    fn a_newer_backup_never_makes_an_expired_one_wanted_again(scene in scenes(), later in candidates(100), by in 0..100u32) {
        prop_assume!(scene.now < time("9000-01-01T00:00:00Z"));
        let mut history = scene.clone();
        history.history.retain(|candidate| !is_future(candidate, scene.now) && candidate.standing == Standing::Live);
        let mut next = history.cleaned();
        next.now += DAY * by;
        let newer = later.into_iter().filter(|candidate| is_future(candidate, scene.now) && candidate.standing == Standing::Live);
        next.history.extend(newer);
        // Nor is a hold over, which would be a newer fact.
        let wanted_again: Vec<_> = history.expiring().difference(&next.reconsidered()).cloned().collect();
        prop_assert_eq!(wanted_again, Vec::<BackupId>::new());
    }

    /// Cleanup that trusts a backup which later failed its verification is not possible.
    #[test]
    fn a_failure_or_a_deletion_never_makes_another_expire(scene in scenes(), which: prop::sample::Index) {
        let Some(place) = scene.live(which) else { return Ok(()) };
        let id = scene.history[place].id.clone();
        let others = |scene: &Scene| {
            let mut expiring = scene.expiring();
            expiring.remove(&id);
            expiring
        };
        let before = others(&scene);
        let mut failed = scene.clone();
        failed.history[place] = failed.history[place].clone().said(Timestamp::MAX, Depth::Quick, false);
        prop_assert!(others(&failed).is_subset(&before));
        let mut damaged = scene.clone();
        damaged.history[place].damaged_since = Some(scene.now);
        prop_assert!(others(&damaged).is_subset(&before));
        let mut deleted = scene.clone();
        deleted.history[place].standing = Standing::Deleted;
        prop_assert!(others(&deleted).is_subset(&before));
    }

    #[test]
    fn a_hold_changes_nothing_for_the_others(scene in scenes(), which: prop::sample::Index) {
        let Some(place) = scene.live(which) else { return Ok(()) };
        let mut held = scene.clone();
        held.history[place] = held.history[place].clone().held(None);
        let mut before = scene.expiring();
        before.remove(&scene.history[place].id);
        prop_assert_eq!(held.expiring(), before);
    }

    /// It takes the place of older ones; of a newer one only where that was kept as the oldest there was.
    #[test]
    fn a_success_makes_only_older_ones_expire(scene in scenes(), which: prop::sample::Index) {
        let Some(place) = scene.live(which) else { return Ok(()) };
        let mut proven = scene.clone();
        proven.history[place] = proven.history[place].clone().said(Timestamp::MAX, Depth::Restore, true);
        proven.history[place].damaged_since = None;
        let subject = &scene.history[place];
        let kept_only_as_oldest = |id: &BackupId| {
            let plan = scene.plan();
            let decision = plan.decisions.iter().find(|decision| decision.backup == *id).unwrap();
            matches!(&decision.outcome, Outcome::Keep(reasons) if reasons.iter().all(|why| matches!(why, Keep::Oldest { .. })))
        };
        for id in proven.expiring().difference(&scene.expiring()) {
            let replaced = scene.history.iter().find(|candidate| candidate.id == *id).unwrap();
            prop_assert!(age(replaced) < age(subject) || kept_only_as_oldest(id) || replaced.id == subject.id);
        }
    }

    /// Each rule has what it promises, as far as there are backups.
    #[test]
    fn as_many_periods_as_promised_keep_a_verified_backup(scene in scenes()) {
        let kept: BTreeSet<BackupId> = scene.plan().kept().map(|decision| decision.backup.clone()).collect();
        for (tier, rules) in &scene.policy.tiers {
            let verified = || scene.history.iter().filter(|candidate| {
                candidate.tier == *tier && !is_future(candidate, scene.now) && is_verified(candidate)
            });
            let least = (rules.keep_last.max(rules.keep_at_least.get()) as usize).min(verified().count());
            prop_assert!(verified().filter(|candidate| kept.contains(&candidate.id)).count() >= least);
            for (period, keep) in rules.periods() {
                let bucket = |candidate: &Candidate| period.bucket(&candidate.at.to_zoned(scene.zone()));
                let there: BTreeSet<Bucket> = verified().map(bucket).collect();
                let left: BTreeSet<Bucket> = verified().filter(|candidate| kept.contains(&candidate.id)).map(bucket).collect();
                prop_assert!(left.len() >= there.len().min(keep as usize));
            }
        }
    }
}
