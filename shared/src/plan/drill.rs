//! Drills: which backup to restore, and whether what came of it is good enough. Values in, values out.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::model::{BackupId, CheckOutcome, DatabaseName, DrillCheck, Look, Purpose, Targets, Tier};

/// A backup that may be drilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: BackupId,
    pub database: DatabaseName,
    pub tier: Tier,
    pub purpose: Purpose,
    /// The moment that it shows.
    pub at: Timestamp,
    /// What is known of it: `None` when it was never verified.
    pub verified: Option<bool>,
    /// Its rows are there to be read now.
    pub is_readable: bool,
}

impl Candidate {
    /// Known damage needs no drill, and safety backups and parts of a database are not what anybody would go back to.
    fn may_be_drilled(&self) -> bool {
        self.purpose == Purpose::Backup && self.is_readable && self.verified != Some(false)
    }
}

/// Any backup of the tier, or of any; each is as likely as the others, so that in time the old ones get their turn.
pub fn pick<'c>(candidates: &'c [Candidate], tier: Option<&Tier>, dice: &mut impl Rng) -> Option<&'c Candidate> {
    let of_tier = |candidate: &&Candidate| tier.is_none_or(|tier| candidate.tier == *tier);
    let fit: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.may_be_drilled()).filter(of_tier).collect();
    fit.choose(dice).copied()
}

/// The tiers of which something can be drilled.
pub fn tiers(candidates: &[Candidate]) -> BTreeSet<Tier> {
    candidates.iter().filter(|candidate| candidate.may_be_drilled()).map(|candidate| candidate.tier.clone()).collect()
}

/// What would be lost if the server were lost now: everything since the newest backup that is proven.
pub fn loss_ms(candidates: &[Candidate], now: Timestamp) -> Option<u64> {
    let good = candidates
        .iter()
        .filter(|candidate| candidate.purpose == Purpose::Backup && candidate.verified == Some(true))
        .map(|candidate| candidate.at);
    good.max().map(|newest| u64::try_from(now.duration_since(newest).as_millis()).unwrap_or(0))
}

/// What a drill saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Why no database came of it.
    pub failure: Option<String>,
    /// Tables that hold what the backup says.
    pub tables_equal: u64,
    pub rows: u64,
    /// What is not as it should be in the restored database, each with whether it would break something.
    pub problems: Vec<(Look, bool, String)>,
    /// What the configuration asserts: its name, and why it does not hold.
    pub assertions: Vec<(String, Option<String>)>,
    pub restore_ms: Option<u64>,
    pub loss_ms: Option<u64>,
}

/// Every check there is, whatever came of it.
pub fn judge(seen: &Seen, targets: Targets, tolerated: &BTreeSet<Look>) -> Vec<DrillCheck> {
    let came = seen.failure.is_none();
    let mut checks = vec![
        match &seen.failure {
            Some(why) => check("restore", CheckOutcome::Failed, why.clone()),
            None => check("restore", CheckOutcome::Passed, "the backup became a database".to_owned()),
        },
        reached(came, "rows", || {
            let equal = format!("{} tables with {} rows hold what was read", seen.tables_equal, seen.rows);
            (CheckOutcome::Passed, equal)
        }),
    ];
    checks.extend(Look::ALL.map(|look| reached(came, look.as_str(), || looked(seen, look, tolerated))));
    checks.extend(seen.assertions.iter().map(|(name, broken)| {
        reached(came, &format!("assertion {name}"), || match broken {
            None => (CheckOutcome::Passed, "it holds".to_owned()),
            Some(why) => (CheckOutcome::Failed, why.clone()),
        })
    }));
    checks.extend(targets.rto_ms.map(|target| {
        reached(came, "rto", || timed("from the first request to a proven database", seen.restore_ms, target))
    }));
    checks.extend(targets.rpo_ms.map(|target| {
        let (outcome, detail) = timed("age of the newest good backup", seen.loss_ms, target);
        check("rpo", outcome, detail)
    }));
    checks
}

fn check(name: &str, outcome: CheckOutcome, detail: String) -> DrillCheck {
    DrillCheck { name: name.to_owned(), outcome, detail }
}

fn reached(came: bool, name: &str, of: impl FnOnce() -> (CheckOutcome, String)) -> DrillCheck {
    let (outcome, detail) = match came {
        true => of(),
        false => (CheckOutcome::NotReached, "there was nothing to look at".to_owned()),
    };
    check(name, outcome, detail)
}

/// What is good to know does not fail a drill; what would break something does, unless the configuration bears with it.
fn looked(seen: &Seen, look: Look, tolerated: &BTreeSet<Look>) -> (CheckOutcome, String) {
    const SHOWN: usize = 5;
    let of_kind = || seen.problems.iter().filter(|(of, ..)| *of == look);
    let texts: Vec<&str> = of_kind().map(|(.., text)| text.as_str()).take(SHOWN).collect();
    let more = of_kind().count().saturating_sub(SHOWN);
    let mut detail = match texts.is_empty() {
        true => "nothing is wrong".to_owned(),
        false => texts.join("; "),
    };
    if more > 0 {
        detail.push_str(&format!("; and {more} more"));
    }
    let breaks = of_kind().any(|(_, breaks, _)| *breaks);
    let outcome = match (breaks, tolerated.contains(&look)) {
        (false, _) => CheckOutcome::Passed,
        (true, true) => CheckOutcome::Tolerated,
        (true, false) => CheckOutcome::Failed,
    };
    (outcome, detail)
}

/// Whether it kept the target. `told` makes a sentence of how long it was.
fn timed(told: &str, measured_ms: Option<u64>, target_ms: u64) -> (CheckOutcome, String) {
    let target = span(target_ms);
    let Some(ms) = measured_ms else {
        return (CheckOutcome::Failed, format!("there is none that is good; the target is {target}"));
    };
    let outcome = if ms <= target_ms { CheckOutcome::Passed } else { CheckOutcome::Failed };
    (outcome, format!("{told}: {}; the target is {target}", span(ms)))
}

/// `1h 2m 3s`
pub fn span(ms: u64) -> String {
    let duration = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    let rounded = if ms < 10_000 { duration } else { SignedDuration::from_secs(duration.as_secs()) };
    format!("{rounded:#}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn candidate(at: &str, tier: &str) -> Candidate {
        let at: Timestamp = at.parse().unwrap();
        let id = format!("{}-{tier}-aaaa", at.strftime("%Y%m%dT%H%M%SZ"));
        Candidate {
            id: id.parse().unwrap(),
            database: "shop".parse().unwrap(),
            tier: tier.parse().unwrap(),
            purpose: Purpose::Backup,
            at,
            verified: Some(true),
            is_readable: true,
        }
    }

    fn outcomes(seen: &Seen, targets: Targets, tolerated: &[Look]) -> Vec<(String, CheckOutcome)> {
        let tolerated = tolerated.iter().copied().collect();
        judge(seen, targets, &tolerated).into_iter().map(|check| (check.name, check.outcome)).collect()
    }

    fn of(outcomes: &[(String, CheckOutcome)], name: &str) -> CheckOutcome {
        outcomes.iter().find(|(known, _)| known == name).unwrap().1
    }

    const BOTH: Targets = Targets { rto_ms: Some(60_000), rpo_ms: Some(86_400_000) };

    #[test]
    fn every_backup_that_somebody_might_need_is_drilled_in_time_and_no_other() {
        let mut candidates = vec![
            candidate("2026-11-20T02:00:00Z", "daily"),
            candidate("2026-11-21T02:00:00Z", "daily"),
            candidate("2026-11-22T02:00:00Z", "weekly"),
            candidate("2026-11-23T02:00:00Z", "daily"),
            candidate("2026-11-24T02:00:00Z", "daily"),
            candidate("2026-11-25T02:00:00Z", "daily"),
        ];
        candidates[3].purpose = Purpose::Safety;
        candidates[4].verified = Some(false);
        candidates[5].is_readable = false;
        let mut dice = StdRng::seed_from_u64(7);
        let mut picked = |tier: Option<&str>| -> BTreeSet<BackupId> {
            let tier = tier.map(|tier| tier.parse().unwrap());
            (0..100)
                .filter_map(|_| pick(&candidates, tier.as_ref(), &mut dice))
                .map(|picked| picked.id.clone())
                .collect()
        };
        let ids = |numbers: &[usize]| numbers.iter().map(|number| candidates[*number].id.clone()).collect();
        assert_eq!(picked(None), ids(&[0, 1, 2]));
        assert_eq!(picked(Some("daily")), ids(&[0, 1]));
        assert_eq!(picked(Some("yearly")), ids(&[]));
        assert_eq!(tiers(&candidates), ["daily", "weekly"].map(|tier| tier.parse().unwrap()).into());
    }

    #[test]
    fn what_would_be_lost_is_what_came_since_the_newest_good_backup() {
        let now = "2026-11-21T03:00:00Z".parse().unwrap();
        let mut candidates =
            vec![candidate("2026-11-20T02:00:00Z", "daily"), candidate("2026-11-21T02:00:00Z", "daily")];
        assert_eq!(loss_ms(&candidates, now), Some(3_600_000));
        for verified in [None, Some(false)] {
            candidates[1].verified = verified;
            assert_eq!(loss_ms(&candidates, now), Some(25 * 3_600_000));
        }
        assert_eq!(loss_ms(&[], now), None);
    }

    #[test]
    fn targets_are_kept_to_the_millisecond() {
        for (ms, expected) in
            [(59_999, CheckOutcome::Passed), (60_000, CheckOutcome::Passed), (60_001, CheckOutcome::Failed)]
        {
            let seen = Seen { restore_ms: Some(ms), loss_ms: Some(1), ..Seen::default() };
            assert_eq!(of(&outcomes(&seen, BOTH, &[]), "rto"), expected);
            let seen = Seen { restore_ms: Some(1), loss_ms: Some(ms * 1440), ..Seen::default() };
            assert_eq!(of(&outcomes(&seen, BOTH, &[]), "rpo"), expected);
        }
        let seen = Seen { restore_ms: Some(1), loss_ms: None, ..Seen::default() };
        assert_eq!(of(&outcomes(&seen, BOTH, &[]), "rpo"), CheckOutcome::Failed);
        let names: Vec<String> = outcomes(&seen, Targets::default(), &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["restore", "rows", "constraints", "indexes", "orphans", "sequences"]);
    }

    #[test]
    fn where_nothing_was_restored_nothing_else_has_passed() {
        let seen = Seen {
            failure: Some("the key is lost".to_owned()),
            assertions: vec![("recent".to_owned(), None)],
            loss_ms: Some(1),
            ..Seen::default()
        };
        let outcomes = outcomes(&seen, BOTH, &Look::ALL);
        assert_eq!(of(&outcomes, "restore"), CheckOutcome::Failed);
        assert_eq!(of(&outcomes, "rpo"), CheckOutcome::Passed, "it does not hang on this restore");
        let others = outcomes.iter().filter(|(name, _)| !["restore", "rpo"].contains(&name.as_str()));
        for (name, outcome) in others {
            assert_eq!(*outcome, CheckOutcome::NotReached, "{name}");
        }
    }

    #[test]
    fn what_breaks_something_fails_unless_it_is_tolerated_and_the_rest_is_only_told() {
        let problem = |breaks| (Look::Orphans, breaks, "3 rows refer to nothing".to_owned());
        for (breaks, tolerated, expected) in [
            (false, &[][..], CheckOutcome::Passed),
            (true, &[][..], CheckOutcome::Failed),
            (true, &[Look::Sequences][..], CheckOutcome::Failed),
            (true, &[Look::Orphans][..], CheckOutcome::Tolerated),
        ] {
            let seen = Seen { problems: vec![problem(breaks)], ..Seen::default() };
            let checks = judge(&seen, Targets::default(), &tolerated.iter().copied().collect());
            let orphans = checks.iter().find(|check| check.name == "orphans").unwrap();
            assert_eq!((orphans.outcome, orphans.detail.as_str()), (expected, "3 rows refer to nothing"));
        }
    }

    #[test]
    fn an_assertion_that_does_not_hold_fails() {
        let seen = Seen {
            assertions: vec![("good".to_owned(), None), ("bad".to_owned(), Some("it is not true".to_owned()))],
            ..Seen::default()
        };
        let outcomes = outcomes(&seen, Targets::default(), &Look::ALL);
        assert_eq!(of(&outcomes, "assertion good"), CheckOutcome::Passed);
        assert_eq!(of(&outcomes, "assertion bad"), CheckOutcome::Failed);
    }

    proptest! {
        #[test]
        fn a_worse_drill_never_looks_better(
            restore_ms in proptest::option::of(0..200_000_u64),
            problems in 0..4_usize,
            failed in any::<bool>(),
        ) {
            let better = Seen { restore_ms, loss_ms: Some(1), ..Seen::default() };
            let worse = Seen {
                restore_ms: restore_ms.map(|ms| ms + 1),
                failure: failed.then(|| "it failed".to_owned()),
                problems: (0..problems).map(|number| (Look::ALL[number], true, "bad".to_owned())).collect(),
                ..better.clone()
            };
            let failures = |seen: &Seen| {
                let bad = |(_, outcome): &(String, CheckOutcome)| *outcome != CheckOutcome::Passed;
                outcomes(seen, BOTH, &[]).iter().filter(|check| bad(check)).count()
            };
            prop_assert!(failures(&worse) >= failures(&better));
        }
    }
}
