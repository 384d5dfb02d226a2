use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::Occasion;
use crate::plan::alerts::{LastTold, Repeats, decide};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

fn backup(second: i64) -> BackupFacts {
    let tier: Tier = "daily".parse().unwrap();
    BackupFacts {
        id: BackupId::new(at(second), &tier),
        tier,
        at: at(second),
        duration_ms: 60_000,
        rows: 1_000_000,
        plaintext_bytes: 1 << 30,
        proof: BackupProof::Verified(Depth::Full),
        server_version: 170_002,
        pg_dump: "pg_dump (PostgreSQL) 17.2".to_owned(),
        certificate_until: None,
        slots: Vec::new(),
    }
}

/// A month of daily backups, seen at second 0, an hour after the last.
fn good() -> DatabaseFacts {
    DatabaseFacts {
        database: "shop".parse().unwrap(),
        since: at(-400 * DAY),
        backups: (0..30).map(|day| backup(-HOUR - day * DAY)).collect(),
        last_restored_at: Some(at(-3 * DAY)),
        jobs: (0..29).map(|day| JobFacts { begun_at: at(-HOUR - day * DAY), state: JobState::Done }).collect(),
        tables: Vec::new(),
        stored_bytes: None,
        ended_holds: Vec::new(),
        key_created_at: Some(at(-400 * DAY)),
        damaged: Vec::new(),
    }
}

fn change(before: u64, now: Option<u64>) -> TableChange {
    TableChange { table: TableName::new("public", "orders"), rows_before: before, rows_now: now }
}

fn told(facts: &DatabaseFacts, policy: &HealthPolicy) -> Vec<String> {
    let judged = health(facts, policy, at(0));
    judged.findings.iter().map(|found| format!("{} {}", found.severity, found.rule)).collect()
}

/// With one thing changed, the findings are these.
#[track_caller]
fn case(changed: impl Fn(&mut DatabaseFacts, &mut HealthPolicy), expected: &[&str]) {
    let (mut facts, mut policy) = (good(), HealthPolicy::default());
    changed(&mut facts, &mut policy);
    assert_eq!(told(&facts, &policy), expected);
}

fn older(facts: &mut DatabaseFacts, by: i64) {
    for backup in &mut facts.backups {
        backup.at = at(backup.at.as_second() - at(0).as_second() - by);
    }
}

#[test]
fn a_good_month_has_nothing_to_tell() {
    case(|_, _| {}, &[]);
    let judged = health(&good(), &HealthPolicy::default(), at(0));
    assert_eq!(
        (judged.state, judged.measures.backup_age_s, judged.measures.success_rate),
        (State::Healthy, 3600, Some(1.0))
    );
}

#[test]
fn ages_are_told_past_their_limits_and_not_at_them() {
    case(|facts, _| older(facts, 24 * HOUR), &[]);
    case(|facts, _| older(facts, 24 * HOUR + 1), &["warning backup_age"]);
    case(|facts, _| older(facts, 25 * HOUR + 1), &["warning backup_age", "warning verified_age"]);
    case(|facts, _| older(facts, 49 * HOUR), &["warning backup_age", "warning verified_age"]);
    case(|facts, _| older(facts, 49 * HOUR + 1), &["critical backup_age", "critical verified_age"]);
    case(|facts, _| facts.backups[0].proof = BackupProof::Unverified, &[]);
    case(
        |facts, _| facts.backups[..2].iter_mut().for_each(|backup| backup.proof = BackupProof::Unverified),
        &["warning verified_age"],
    );
    case(|facts, _| facts.last_restored_at = Some(at(-8 * DAY)), &[]);
    case(|facts, _| facts.last_restored_at = Some(at(-8 * DAY - 1)), &["warning restore_age"]);
    case(|facts, _| facts.last_restored_at = Some(at(-35 * DAY - 1)), &["critical restore_age"]);
    case(|facts, _| facts.last_restored_at = None, &["warning restore_age"]);
}

#[test]
fn what_never_was_is_told_too() {
    case(|facts, _| (facts.backups.clear(), facts.last_restored_at = None).1, &["critical backup_age"]);
    case(
        |facts, _| {
            facts.backups.clear();
            facts.since = at(-HOUR);
        },
        &[],
    );
    case(
        |facts, _| facts.backups.iter_mut().for_each(|backup| backup.proof = BackupProof::Unverified),
        &["critical never_verified"],
    );
}

#[test]
fn a_tier_that_is_expected_and_does_not_come_is_told() {
    let expect = |policy: &mut HealthPolicy, tier: &str, max_age| {
        policy.tiers.insert(tier.parse().unwrap(), TierHealth { max_age: Some(seconds(max_age)) });
    };
    case(|_, policy| expect(policy, "daily", HOUR), &[]);
    case(|_, policy| expect(policy, "daily", HOUR - 1), &["warning tier_age"]);
    case(|_, policy| expect(policy, "daily", HOUR / 2 - 1), &["critical tier_age"]);
    case(|_, policy| expect(policy, "monthly", 31 * DAY), &["critical tier_age"]);
    let no_age = |_: &mut DatabaseFacts, policy: &mut HealthPolicy| {
        policy.tiers.insert("yearly".parse().unwrap(), TierHealth::default());
    };
    case(no_age, &[]);
}

#[test]
fn failures_count_by_their_share_and_the_last_one_by_itself() {
    let lose = |facts: &mut DatabaseFacts, which: Range<usize>| {
        facts.jobs[which].iter_mut().for_each(|job| job.state = JobState::Lost);
    };
    case(|facts, _| lose(facts, 5..7), &[]);
    case(|facts, _| lose(facts, 5..8), &["warning failure_rate"]);
    case(|facts, _| lose(facts, 0..1), &["warning job_lost"]);
    case(|facts, _| facts.jobs[0].state = JobState::Underway, &[]);
    case(
        |facts, _| {
            facts.jobs.truncate(4);
            lose(facts, 1..4);
        },
        &[],
    );
}

#[test]
fn what_takes_longer_or_holds_less_than_it_did_is_told() {
    case(|facts, _| facts.backups[0].duration_ms = 120_000, &[]);
    case(|facts, _| facts.backups[0].duration_ms = 120_001, &["warning duration"]);
    case(|facts, _| facts.backups.iter_mut().for_each(|b| b.duration_ms = 30 * 60_000), &[]);
    case(|facts, _| facts.backups.iter_mut().for_each(|b| b.duration_ms = 30 * 60_000 + 1), &["warning duration"]);
    let size = |percent: u64| {
        move |facts: &mut DatabaseFacts, _: &mut HealthPolicy| {
            facts.backups[0].plaintext_bytes = (1 << 30) / 100 * percent;
        }
    };
    case(size(76), &[]);
    case(size(73), &["warning size"]);
    case(size(50), &["warning size"]);
    case(size(48), &["critical size"]);
    case(size(125), &[]);
    case(size(127), &["warning size"]);
    case(size(900), &["warning size"]);
    case(|_, policy| policy.floor_rows = 1_000_000, &[]);
    case(|_, policy| policy.floor_rows = 1_000_001, &["critical floor"]);
    case(|_, policy| policy.floor_plaintext_bytes = (1 << 30) + 1, &["critical floor"]);
}

#[test]
fn tables_that_go_or_lose_their_rows_are_told() {
    case(|facts, _| facts.tables.push(change(0, None)), &[]);
    case(|facts, _| facts.tables.push(change(1, None)), &["warning table_vanished"]);
    case(|facts, _| facts.tables.push(change(1000, Some(500))), &[]);
    case(|facts, _| facts.tables.push(change(1000, Some(489))), &["warning rows_lost"]);
    case(|facts, _| facts.tables.push(change(999, Some(0))), &[]);
    let many = |facts: &mut DatabaseFacts, _: &mut HealthPolicy| facts.tables = vec![change(5000, Some(0)); 40];
    case(many, &["warning rows_lost"; 10]);
}

#[test]
fn damage_quotas_holds_versions_and_tools_are_told() {
    case(|facts, _| facts.damaged.push("x.json: it is damaged".to_owned()), &["critical damaged_record"]);
    case(|facts, _| facts.backups[0].proof = BackupProof::Failed, &["critical backup_failed_verification"]);
    case(|facts, _| facts.backups[9].proof = BackupProof::Failed, &["warning backup_failed_verification"]);
    let fill = |bytes| {
        move |facts: &mut DatabaseFacts, policy: &mut HealthPolicy| {
            (facts.stored_bytes, policy.quota_bytes) = (Some(bytes), Some(1000));
        }
    };
    case(fill(849), &[]);
    case(fill(850), &["warning quota"]);
    case(fill(1000), &["critical quota"]);
    let hold = |second| {
        move |facts: &mut DatabaseFacts, _: &mut HealthPolicy| {
            let backup = facts.backups[0].id.clone();
            facts.ended_holds.push(EndedHold { backup, reason: "audit".to_owned(), ended_at: at(second) });
        }
    };
    case(hold(-DAY), &["info hold_ended"]);
    case(hold(-8 * DAY), &[]);
    case(|facts, _| facts.backups[0].server_version = 140_001, &["warning server_end_of_life"]);
    case(|facts, _| facts.backups[0].server_version = 180_001, &["warning tools_older_than_server"]);
    case(|facts, _| facts.backups[0].pg_dump = "pg_dump (PostgreSQL) 18.1".to_owned(), &[]);
}

#[test]
fn keys_that_get_old_and_certificates_that_end_are_told() {
    let key = |made, limit: Option<i64>| {
        move |facts: &mut DatabaseFacts, policy: &mut HealthPolicy| {
            (facts.key_created_at, policy.key_age) = (Some(at(made)), limit.map(seconds));
        }
    };
    case(key(-400 * DAY, None), &[]);
    case(key(-365 * DAY, Some(365 * DAY)), &[]);
    case(key(-365 * DAY - 1, Some(365 * DAY)), &["warning key_age"]);
    case(|facts, policy| (facts.key_created_at, policy.key_age) = (None, Some(seconds(1))), &[]);
    let certificate = |second| {
        move |facts: &mut DatabaseFacts, _: &mut HealthPolicy| facts.backups[0].certificate_until = Some(at(second))
    };
    case(certificate(21 * DAY + 1), &[]);
    case(certificate(21 * DAY), &["warning certificate_ends"]);
    case(certificate(3 * DAY + 1), &["warning certificate_ends"]);
    case(certificate(3 * DAY), &["critical certificate_ends"]);
    case(certificate(-DAY), &["critical certificate_ends"]);
    case(|facts, _| facts.backups[1].certificate_until = Some(at(DAY)), &[]);
    let earlier = |facts: &mut DatabaseFacts, policy: &mut HealthPolicy| {
        (facts.backups[0].certificate_until, policy.certificate) = (Some(at(20 * DAY)), seconds(7 * DAY));
    };
    case(earlier, &[]);
}

#[test]
fn slots_for_which_the_server_keeps_much_wal_are_told_each_and_a_lost_one_however_little_that_is() {
    const GB: u64 = 1_000_000_000;
    let slot =
        |name: &str, lag_bytes, is_lost| ReplicationSlot { name: name.into(), is_active: false, is_lost, lag_bytes };
    let slots = |slots: Vec<ReplicationSlot>| {
        move |facts: &mut DatabaseFacts, _: &mut HealthPolicy| facts.backups[0].slots.clone_from(&slots)
    };
    case(slots(vec![slot("a", 10 * GB, false)]), &[]);
    case(slots(vec![slot("a", 10 * GB + 1, false), slot("b", 0, false)]), &["warning slot_lag"]);
    case(slots(vec![slot("a", 50 * GB, false)]), &["warning slot_lag"]);
    case(slots(vec![slot("a", 50 * GB + 1, false)]), &["critical slot_lag"]);
    case(slots(vec![slot("a", 0, true), slot("b", 11 * GB, false)]), &["critical slot_lag", "warning slot_lag"]);
    case(move |facts, _| facts.backups[1].slots = vec![slot("a", 99 * GB, false)], &[]);
    let earlier = move |facts: &mut DatabaseFacts, policy: &mut HealthPolicy| {
        (facts.backups[0].slots, policy.slot_lag_bytes.warning) = (vec![slot("a", GB + 1, false)], GB);
    };
    case(earlier, &["warning slot_lag"]);
}

/// A year of one database, as its vault would show it at any hour.
struct Year {
    /// Days on which the night's backup does not come.
    missed: Range<i64>,
    /// Days whose backups fail their verification.
    bad: Range<i64>,
    /// From this day on a table is empty.
    truncated_on: Option<i64>,
    /// Days on which the database's clock stands still.
    frozen: Range<i64>,
    /// Days on which only half of the rows are there.
    halved: Range<i64>,
}

impl Year {
    const QUIET: Self = Self { missed: 0..0, bad: 0..0, truncated_on: None, frozen: 0..0, halved: 0..0 };

    /// Daily at 02:00, verified ten minutes later, drilled on Sundays; it grows by a tenth of a percent a day.
    fn at(&self, hour: i64) -> DatabaseFacts {
        let today = hour / 24;
        let nights = (today - 40).max(0)..=today;
        let made = nights.rev().filter(|day| day * 24 + 2 <= hour && !self.missed.contains(day));
        let backups: Vec<BackupFacts> = made
            .map(|day| {
                let proof = match self.bad.contains(&day) {
                    true => BackupProof::Failed,
                    false => BackupProof::Verified(Depth::Full),
                };
                let share = if self.halved.contains(&day) { 2 } else { 1 };
                let plaintext_bytes = ((1u64 << 30) + day.unsigned_abs() * (1 << 20)) / share;
                let clock = if self.frozen.contains(&day) { self.frozen.start - 1 } else { day };
                BackupFacts { proof, plaintext_bytes, ..backup(clock * DAY + 2 * HOUR) }
            })
            .collect();
        let truncated =
            self.truncated_on.filter(|day| backups.first().is_some_and(|newest| newest.at == at(day * DAY + 2 * HOUR)));
        DatabaseFacts {
            since: at(0),
            last_restored_at: (today >= 7).then(|| at(today / 7 * 7 * DAY)),
            jobs: backups.iter().map(|b| JobFacts { begun_at: b.at, state: JobState::Done }).collect(),
            stored_bytes: Some((60 << 30) + today.unsigned_abs() * (100 << 20)),
            tables: truncated.map(|_| change(90_000, Some(0))).into_iter().collect(),
            backups,
            ..good()
        }
    }

    /// The hours at which a rule speaks.
    fn hours(&self, rule: Rule) -> Vec<i64> {
        let policy = HealthPolicy::default();
        let speaks =
            |hour: &i64| health(&self.at(*hour), &policy, at(hour * HOUR)).findings.iter().any(|f| f.rule == rule);
        (0..365 * 24).filter(speaks).collect()
    }
}

#[test]
fn a_quiet_year_has_no_finding() {
    for hour in 0..365 * 24 {
        let judged = health(&Year::QUIET.at(hour), &HealthPolicy::default(), at(hour * HOUR));
        assert_eq!(judged.findings, [], "hour {hour}");
    }
}

#[test]
fn each_incident_of_a_year_is_told_in_time_and_until_it_is_over() {
    let two_nights = Year { missed: 100..102, ..Year::QUIET }.hours(Rule::BackupAge);
    // The night of day 99 was the last; 25 hours later it is late, until the night of day 102.
    assert_eq!((two_nights.first(), two_nights.last()), (Some(&(99 * 24 + 2 + 26)), Some(&(102 * 24 + 1))));
    assert_eq!(two_nights.len() as i64, two_nights[two_nights.len() - 1] - two_nights[0] + 1, "without a gap");
    let bad_night = Year { bad: 200..201, ..Year::QUIET };
    let failed = bad_night.hours(Rule::BackupFailedVerification);
    assert_eq!(failed.first(), Some(&(200 * 24 + 2)));
    let unverified = bad_night.hours(Rule::VerifiedAge);
    assert_eq!((unverified.first(), unverified.last()), (Some(&(199 * 24 + 2 + 27)), Some(&(201 * 24 + 1))));
    let three_bad = Year { bad: 200..203, ..Year::QUIET }.hours(Rule::VerifiedAge);
    assert_eq!((three_bad.first(), three_bad.last()), (Some(&(199 * 24 + 2 + 27)), Some(&(203 * 24 + 1))));
    let emptied = Year { truncated_on: Some(300), ..Year::QUIET }.hours(Rule::RowsLost);
    assert_eq!(emptied, (300 * 24 + 2..301 * 24 + 2).collect::<Vec<_>>());
}

/// With everything that can go wrong in a year, looked at every hour; alerts reach nobody on two of the days.
#[test]
fn of_a_bad_year_each_incident_is_told_once_by_schedule_and_when_it_is_over() {
    let year = Year { missed: 100..102, bad: 200..201, truncated_on: Some(300), frozen: 250..253, halved: 330..331 };
    // Slow growth: it reaches 85 % in summer, and somebody makes room a fortnight later.
    let quota_bytes = |day: i64| Some(if day < 264 { 100 << 30 } else { 150 << 30 });
    let is_silent = |day: i64| day == 101 || day == 265;
    let mut last: BTreeMap<Rule, LastTold> = BTreeMap::new();
    let mut told = Vec::new();
    for hour in 0..365 * 24 {
        let (day, now) = (hour / 24, at(hour * HOUR));
        let policy = HealthPolicy { quota_bytes: quota_bytes(day), ..HealthPolicy::default() };
        let judged = health(&year.at(hour), &policy, now);
        let there: BTreeMap<Rule, Severity> =
            judged.findings.iter().map(|found| (found.rule, found.severity)).collect();
        for rule in Rule::ALL {
            let known = last.get(&rule).copied();
            let Some(occasion) = decide(known, there.get(&rule).copied(), Repeats::default(), now) else { continue };
            let severity = there.get(&rule).copied().or(known.map(|known| known.severity)).unwrap();
            let is_sent = !is_silent(day);
            last.insert(rule, LastTold { occasion, severity, at: now, is_sent });
            if is_sent {
                told.push(format!("day {day:>3}, {:>2} h: {severity} {rule} {}", hour % 24, occasion.as_str()));
            }
        }
    }
    insta::assert_snapshot!(told.join("\n"));
    assert!(last.values().all(|last| last.is_sent && last.occasion == Occasion::Resolved), "{last:?}");
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
    }
}

#[test]
fn open_metrics_has_every_measure_and_every_finding() {
    let mut facts = good();
    facts.damaged.push("a \"quoted\" key: it is damaged".to_owned());
    let text = open_metrics(&[health(&facts, &HealthPolicy::default(), at(0))]);
    insta::assert_snapshot!(text);
}

#[test]
fn who_moves_a_warning_moves_what_is_critical_along() {
    let limits = Limits { warning: 10, critical: 20 };
    assert_eq!(limits.changed(None, None, |x| x * 2), limits);
    assert_eq!(limits.changed(Some(30), None, |x| x * 2), Limits { warning: 30, critical: 60 });
    assert_eq!(limits.changed(Some(30), Some(40), |x| x * 2), Limits { warning: 30, critical: 40 });
    assert_eq!(
        limits.changed(None, Some(5), |x| x * 2),
        Limits { warning: 10, critical: 10 },
        "never before the warning"
    );
}

fn any_facts() -> impl Strategy<Value = DatabaseFacts> {
    let proof =
        prop::sample::select(vec![BackupProof::Unverified, BackupProof::Verified(Depth::Quick), BackupProof::Failed]);
    let one = (-500 * DAY..2 * DAY, any::<u32>(), any::<u64>(), proof, 0..300_000u32).prop_map(
        |(second, ms, bytes, proof, version)| BackupFacts {
            duration_ms: u64::from(ms),
            rows: bytes / 7,
            plaintext_bytes: bytes,
            proof,
            server_version: version,
            ..backup(second)
        },
    );
    let tables =
        prop::collection::vec((any::<u64>(), any::<Option<u64>>()).prop_map(|(before, now)| change(before, now)), 0..4);
    (prop::collection::vec(one, 0..12), tables, any::<Option<u64>>()).prop_map(|(mut backups, tables, stored_bytes)| {
        backups.sort_by_key(|backup| std::cmp::Reverse(backup.at));
        DatabaseFacts { backups, tables, stored_bytes, ..good() }
    })
}

proptest! {
    #[test]
    fn any_facts_are_judged_and_the_state_is_that_of_the_worst_finding(facts in any_facts(), quota in any::<Option<u64>>()) {
        let policy = HealthPolicy { quota_bytes: quota, ..HealthPolicy::default() };
        let judged = health(&facts, &policy, at(0));
        let worst = judged.findings.first().map_or(State::Healthy, |first| State::of(std::slice::from_ref(first)));
        prop_assert_eq!(judged.state, worst);
        prop_assert!(judged.findings.iter().all(|found| !found.problem.is_empty() && !found.advice.is_empty()));
    }

    /// However much else is known, time alone never makes a database healthier.
    #[test]
    fn waiting_never_heals(facts in any_facts(), wait in 0..100 * DAY) {
        let ages = [Rule::BackupAge, Rule::VerifiedAge, Rule::NeverVerified, Rule::RestoreAge];
        let worst = |now| {
            let judged = health(&facts, &HealthPolicy::default(), at(now));
            ages.map(|rule| judged.findings.iter().filter(|f| f.rule == rule).map(|f| f.severity).max())
        };
        for (now, later) in worst(0).into_iter().zip(worst(wait)) {
            prop_assert!(later >= now);
        }
    }
}
