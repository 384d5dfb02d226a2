//! Single rules by example; what holds for all histories in `properties`; ten years of backups in `years`.

mod properties;
mod years;

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::*;
use crate::model::{Depth, Purpose, Tier, VerdictSummary};

const DAY: Duration = Duration::from_secs(86_400);

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn tier(name: &str) -> Tier {
    name.parse().unwrap()
}

/// A live, complete backup that was verified as soon as it was made.
fn backup(tier_name: &str, at: Timestamp) -> Candidate {
    numbered(tier_name, at, 0)
}

/// One of several that began in the same second.
fn numbered(tier_name: &str, at: Timestamp, number: u8) -> Candidate {
    let letter = |n: u8| char::from(b'a' + n % 26);
    let utc = at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
    let id = format!("{utc}-{tier_name}-aa{}{}", letter(number / 26), letter(number));
    Candidate {
        id: id.parse().unwrap(),
        tier: tier(tier_name),
        purpose: Purpose::Backup,
        at,
        verdicts: vec![VerdictSummary { at, depth: Depth::Quick, ok: true }],
        damaged_since: None,
        holds: Vec::new(),
        standing: Standing::Live,
    }
}

impl Candidate {
    fn said(mut self, at: Timestamp, depth: Depth, ok: bool) -> Self {
        self.verdicts.push(VerdictSummary { at, depth, ok });
        self
    }

    fn unverified(mut self) -> Self {
        self.verdicts.clear();
        self
    }

    fn held(mut self, until: Option<Timestamp>) -> Self {
        let text = |text: &str| text.to_owned();
        self.holds.push(StandingHold { hold: text("h1"), by: text("ana"), reason: text("audit"), until });
        self
    }
}

/// A backup at 02:00 on each of `count` days, the last one on `last`; oldest first.
fn every_day(tier_name: &str, last: &str, count: i64) -> Vec<Candidate> {
    let last = time(&format!("{last}T02:00:00Z"));
    (0..count).rev().map(|ago| backup(tier_name, last - (24 * ago).hours())).collect()
}

fn policy(tier_name: &str, rules: TierRules) -> Policy {
    Policy { tiers: [(tier(tier_name), rules)].into(), ..Policy::default() }
}

/// Rules that may keep a single backup.
fn at_least_one(rules: TierRules) -> TierRules {
    TierRules { keep_at_least: NonZeroU32::MIN, ..rules }
}

fn plan_at(candidates: &[Candidate], policy: &Policy, now: &str) -> RetentionPlan {
    retention_plan(candidates, policy, time(now), &TimeZone::UTC)
}

/// The days of the kept ones, newest first.
fn kept_days(plan: &RetentionPlan) -> String {
    let days: Vec<_> = plan.kept().map(|kept| kept.at.strftime("%m-%d").to_string()).collect();
    days.join(" ")
}

fn lines(plan: &RetentionPlan) -> String {
    plan.decisions.iter().map(|decision| format!("{decision}\n")).collect()
}

#[test]
fn every_backup_has_its_outcome_with_each_reason() {
    let rules = at_least_one(TierRules { keep_last: 2, keep_weekly: 2, keep_for: Some(2 * DAY), ..TierRules::NONE });
    let mut history = every_day("daily", "2026-11-26", 6);
    history[0] = history[0].clone().held(None);
    history.push(Candidate { standing: Standing::Expired, ..backup("daily", time("2026-11-13T02:00:00Z")) });
    history.push(backup("daily", time("2026-11-27T02:00:00Z")));
    let plan = plan_at(&history, &policy("daily", rules), "2026-11-26T12:00:00Z");
    insta::assert_snapshot!(lines(&plan), @r#"
    20261127T020000Z-daily-aaaa keep: dated in the future; wanted until 2026-11-29T02:00:00Z
    20261126T020000Z-daily-aaaa keep: newest verified backup (quick); wanted until 2026-11-28T02:00:00Z; number 1 of the last 2; number 1 of at least 1; newest of week 2026-W48, number 1 of 2
    20261125T020000Z-daily-aaaa keep: wanted until 2026-11-27T02:00:00Z; number 2 of the last 2
    20261124T020000Z-daily-aaaa expire: wanted until 2026-11-26T02:00:00Z; not among the last 2; week 2026-W48 has a newer one, 20261126T020000Z-daily-aaaa
    20261123T020000Z-daily-aaaa expire: wanted until 2026-11-25T02:00:00Z; not among the last 2; week 2026-W48 has a newer one, 20261126T020000Z-daily-aaaa
    20261122T020000Z-daily-aaaa keep: newest of week 2026-W47, number 2 of 2
    20261121T020000Z-daily-aaaa keep: held by ana: audit
    20261113T020000Z-daily-aaaa leaving: expired before
    "#);
    insta::assert_json_snapshot!(plan.decisions[4..7], @r#"
    [
      {
        "backup": "20261123T020000Z-daily-aaaa",
        "tier": "daily",
        "purpose": "backup",
        "at": "2026-11-23T02:00:00Z",
        "outcome": "expire",
        "reasons": [
          {
            "because": "out_of_time",
            "since": "2026-11-25T02:00:00Z"
          },
          {
            "because": "not_among_last",
            "keep_last": 2
          },
          {
            "because": "not_newest_of",
            "period": "week",
            "bucket": "2026-W48",
            "newest": "20261126T020000Z-daily-aaaa"
          }
        ]
      },
      {
        "backup": "20261122T020000Z-daily-aaaa",
        "tier": "daily",
        "purpose": "backup",
        "at": "2026-11-22T02:00:00Z",
        "outcome": "keep",
        "reasons": [
          {
            "because": "newest_of",
            "period": "week",
            "bucket": "2026-W47",
            "number": 2,
            "keep": 2
          }
        ]
      },
      {
        "backup": "20261121T020000Z-daily-aaaa",
        "tier": "daily",
        "purpose": "backup",
        "at": "2026-11-21T02:00:00Z",
        "outcome": "keep",
        "reasons": [
          {
            "because": "held",
            "hold": "h1",
            "by": "ana",
            "reason": "audit",
            "until": null
          }
        ]
      }
    ]
    "#);
}

#[test]
fn the_newest_of_each_period_stays_and_the_oldest_while_there_are_too_few() {
    let history = every_day("daily", "2026-11-26", 20);
    let rules = at_least_one(TierRules { keep_weekly: 3, ..TierRules::NONE });
    let now = "2026-11-26T12:00:00Z";
    assert_eq!(kept_days(&plan_at(&history, &policy("daily", rules), now)), "11-26 11-22 11-15");
    let rules = TierRules { keep_weekly: 5, ..rules };
    assert_eq!(kept_days(&plan_at(&history, &policy("daily", rules), now)), "11-26 11-22 11-15 11-08 11-07");
}

#[test]
fn a_tier_without_rules_keeps_everything_but_safety_backups() {
    let old = every_day("pre-deploy", "2020-01-01", 9);
    let safety = Candidate { purpose: Purpose::Safety, ..backup("pre-deploy", time("2020-02-01T00:00:00Z")) };
    let history = [old, vec![safety.clone()]].concat();
    for policy in [Policy::default(), policy("pre-deploy", TierRules::NONE)] {
        let plan = plan_at(&history, &policy, "2026-11-26T12:00:00Z");
        assert_eq!(plan.expiring().map(|gone| &gone.backup).collect::<Vec<_>>(), [&safety.id]);
    }
}

#[test]
fn partial_and_safety_backups_fill_no_quota_and_have_their_own_ages() {
    let mut history = every_day("manual", "2026-11-26", 4);
    history[3].purpose = Purpose::Safety;
    history[2].purpose = Purpose::Partial;
    let policy = policy("manual", at_least_one(TierRules::last(1)));
    let kept = |now| kept_days(&plan_at(&history, &policy, now));
    assert_eq!(kept("2026-11-26T12:00:00Z"), "11-26 11-25 11-24");
    assert_eq!(kept("2026-12-10T02:00:00Z"), "11-25 11-24");
    assert_eq!(kept("2027-02-23T02:00:00Z"), "11-24");
}

#[test]
fn an_unverified_backup_goes_after_its_time_once_others_took_its_place() {
    let mut history = every_day("daily", "2026-11-26", 12);
    history[2] = history[2].clone().unverified();
    let policy = policy("daily", TierRules::last(3));
    let kept = |history: &[Candidate], now| kept_days(&plan_at(history, &policy, now));
    assert_eq!(kept(&history, "2026-11-24T01:54:59Z"), "11-26 11-25 11-24 11-23 11-22 11-21 11-17");
    assert_eq!(kept(&history, "2026-11-26T12:00:00Z"), "11-26 11-25 11-24");
    assert_eq!(kept(&history[..5], "2026-11-26T12:00:00Z"), "11-19 11-18 11-17 11-16");
    let nobody_verifies: Vec<_> = history.into_iter().map(Candidate::unverified).collect();
    assert_eq!(plan_at(&nobody_verifies, &policy, "2036-01-01T00:00:00Z").expiring().count(), 0);
}

#[test]
fn a_backup_that_failed_its_verification_stands_for_no_other() {
    let now = "2026-11-26T12:00:00Z";
    let mut history = every_day("daily", "2026-11-26", 8);
    let policy = policy("daily", TierRules::last(3));
    assert_eq!(kept_days(&plan_at(&history, &policy, now)), "11-26 11-25 11-24");
    history[7] = history[7].clone().said(time("2026-11-26T03:00:00Z"), Depth::Full, false);
    history[6].damaged_since = Some(time("2026-11-26T03:00:00Z"));
    assert_eq!(kept_days(&plan_at(&history, &policy, now)), "11-26 11-25 11-24 11-23 11-22");
    let newest = plan_at(&history, &policy, now).decisions.into_iter().find(|decision| {
        matches!(&decision.outcome, Outcome::Keep(reasons) if reasons.contains(&Keep::NewestVerified { depth: Depth::Quick }))
    });
    assert_eq!(newest.unwrap().backup, history[5].id);
}

#[test]
fn a_failed_backup_is_given_time_from_its_failure_on() {
    let mut history = every_day("daily", "2026-11-26", 8);
    history[0] = history[0].clone().said(time("2026-11-25T03:00:00Z"), Depth::Full, false);
    history[0] = history[0].clone().said(time("2026-11-30T03:00:00Z"), Depth::Full, false);
    let policy = policy("daily", TierRules::last(3));
    let stays = |now| plan_at(&history, &policy, now).kept().any(|kept| kept.backup == history[0].id);
    assert!(stays("2026-12-02T02:59:59Z"));
    assert!(!stays("2026-12-02T03:00:00Z"));
}

#[test]
fn the_newest_verified_backup_stays_though_its_tier_is_another() {
    let mut policy = policy("daily", at_least_one(TierRules::last(1)));
    policy.tiers.insert(tier("manual"), at_least_one(TierRules::days(1)));
    let mut history = every_day("daily", "2026-11-26", 3);
    history.push(Candidate { standing: Standing::Deleted, ..backup("manual", time("2026-11-27T02:00:00Z")) });
    history.push(backup("manual", time("2026-11-26T05:00:00Z")).unverified());
    let plan = plan_at(&history, &policy, "2027-11-28T12:00:00Z");
    assert_eq!(kept_days(&plan), "11-26 11-26");
    assert_eq!(plan.decisions[0].outcome, Outcome::Leaving(vec![Standing::Deleted]));
}

#[test]
fn an_expiry_is_taken_back_when_what_replaced_the_backup_turns_out_bad() {
    let policy = policy("daily", at_least_one(TierRules::last(1)));
    let mut history = every_day("daily", "2026-11-26", 3);
    history[0].standing = Standing::Deleted;
    history[1].standing = Standing::Expired;
    let wanted =
        |history: &[Candidate]| kept_days(&reconsider(history, &policy, time("2026-12-26T12:00:00Z"), &TimeZone::UTC));
    assert_eq!(wanted(&history), "11-26");
    history[2] = history[2].clone().said(time("2026-11-27T00:00:00Z"), Depth::Restore, false);
    assert_eq!(wanted(&history), "11-26 11-25");
    history[0] = history[0].clone().held(None);
    assert_eq!(wanted(&history), "11-26 11-25 11-24");
    history[0].standing = Standing::Condemned;
    assert_eq!(wanted(&history), "11-26 11-25");
}

#[test]
fn a_hold_keeps_until_it_is_over() {
    let policy = policy("daily", at_least_one(TierRules::last(1)));
    let mut history = every_day("daily", "2026-11-26", 3);
    history[0] = history[0].clone().held(Some(time("2026-12-01T00:00:00Z")));
    assert_eq!(kept_days(&plan_at(&history, &policy, "2026-11-30T23:59:59Z")), "11-26 11-24");
    assert_eq!(kept_days(&plan_at(&history, &policy, "2026-12-01T00:00:00Z")), "11-26");
}

#[test]
fn the_shipped_policies_keep_what_they_promise() {
    let now = "2028-03-01T12:00:00Z";
    let counts = |preset: Preset| {
        let policy = preset.policy();
        ["daily", "weekly", "monthly", "manual", "other"].map(|tier_name| {
            let plan = plan_at(&every_day(tier_name, "2028-03-01", 800), &policy, now);
            plan.kept().count()
        })
    };
    assert_eq!(counts(Preset::Standard), [30, 12, 12, 90, 800]);
    assert_eq!(counts(Preset::Simple), [7, 90, 366, 90, 800]);
    assert_eq!(Policy::default(), Preset::Standard.policy());
    for preset in Preset::ALL {
        assert_eq!(preset.as_str().parse::<Preset>().unwrap(), preset);
    }
}

#[test]
fn a_large_cleanup_waits_for_somebody_to_confirm_it() {
    let limits = guard::Limits::default();
    let now = "2026-11-26T12:00:00Z";
    let check = |count, confirmed| {
        let plan = plan_at(&every_day("daily", "2026-11-26", count), &policy("daily", TierRules::last(3)), now);
        guard::check(&plan, limits, confirmed)
    };
    assert_eq!(check(3, false), Ok(()));
    assert_eq!(check(6, false), Ok(()));
    assert_eq!(check(100, true), Ok(()));
    let refusal = check(100, false).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "97 of 100 backups would be deleted (daily: 97), more than the 50 % that may go at once"
    );
    assert!(refusal.hint().contains("--dry-run"));
    let only_safety = [Candidate { purpose: Purpose::Safety, ..backup("safety", time("2026-01-01T00:00:00Z")) }];
    let plan = plan_at(&only_safety, &Policy::default(), now);
    assert_eq!(guard::check(&plan, limits, false), Err(guard::Refusal::Everything { live: 1 }));
    assert_eq!(guard::check(&plan, limits, true), Ok(()));
}
