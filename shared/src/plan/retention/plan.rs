//! The plan itself: from the newest backup back, each rule of a tier takes what it wants; what nobody takes goes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::calendar::{Bucket, Period};
use super::candidate::{Candidate, Proof, Standing};
use super::policy::{Policy, TierRules};
use super::reason::{Expire, Keep};
use crate::model::{BackupId, Depth, Purpose, Tier};

/// How far the clocks of a database and of the store may differ: what is dated later is dated wrong.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// What becomes of each backup of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionPlan {
    pub now: Timestamp,
    /// One for each backup, newest first.
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub backup: BackupId,
    pub tier: Tier,
    pub purpose: Purpose,
    pub at: Timestamp,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// With every reason: at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reasons", rename_all = "snake_case")]
pub enum Outcome {
    Keep(Vec<Keep>),
    Expire(Vec<Expire>),
    /// Its tombstone is there already: nothing to decide.
    Leaving(Vec<Standing>),
}

impl RetentionPlan {
    pub fn expiring(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| matches!(decision.outcome, Outcome::Expire(_)))
    }

    pub fn kept(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| matches!(decision.outcome, Outcome::Keep(_)))
    }
}

/// Decides about every backup of one database. The order of `candidates` does not matter.
pub fn retention_plan(candidates: &[Candidate], policy: &Policy, now: Timestamp, zone: &TimeZone) -> RetentionPlan {
    let is_live = |candidate: &Candidate| candidate.standing == Standing::Live;
    plan(candidates, is_live, policy, now, zone)
}

/// The same as if nothing had expired yet: an expiry that is right still comes out as one; what comes out as kept is wanted
/// (again), because it is held, what replaced it turned out bad, or the policy is a longer one. What somebody deleted stays
/// so unless it is held.
pub fn reconsider(candidates: &[Candidate], policy: &Policy, now: Timestamp, zone: &TimeZone) -> RetentionPlan {
    let is_live = |candidate: &Candidate| match candidate.standing {
        Standing::Live | Standing::Expired => true,
        Standing::Deleted => candidate.holds.iter().any(|hold| hold.is_in_force(now)),
        Standing::Condemned => false,
    };
    plan(candidates, is_live, policy, now, zone)
}

fn plan(
    candidates: &[Candidate],
    is_live: impl Fn(&Candidate) -> bool,
    policy: &Policy,
    now: Timestamp,
    zone: &TimeZone,
) -> RetentionPlan {
    let backup = |facts| Backup {
        facts,
        proof: Proof::of(&facts.verdicts, facts.damaged_since),
        is_live: is_live(facts),
        is_future: facts.at > now.checked_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX),
    };
    let mut backups: Vec<Backup<'_>> = candidates.iter().map(backup).collect();
    backups.sort_by(|a, b| (b.facts.at, &b.facts.id).cmp(&(a.facts.at, &a.facts.id)));

    let mut reasons: Vec<Reasons> = backups.iter().map(|backup| whatever_the_rules_say(backup, now)).collect();
    if let Some((place, depth)) = newest_verified(&backups) {
        reasons[place].keep.push(Keep::NewestVerified { depth });
    }
    let mut tiers: BTreeMap<&Tier, TierPlan<'_>> = BTreeMap::new();
    for (place, (backup, reasons)) in backups.iter().zip(&mut reasons).enumerate().filter(|(_, (b, _))| b.is_live) {
        let tier = tiers.entry(&backup.facts.tier).or_insert_with_key(|tier| TierPlan::new(policy.tiers.get(*tier)));
        tier.weigh(place, backup, Weighing { policy, now, zone }, reasons);
    }
    for (place, reason) in tiers.values().flat_map(TierPlan::oldest) {
        reasons[place].keep.push(reason);
    }
    let decisions = backups.iter().zip(reasons).map(|(backup, reasons)| backup.decision(reasons)).collect();
    RetentionPlan { now, decisions }
}

struct Backup<'a> {
    facts: &'a Candidate,
    proof: Proof,
    is_live: bool,
    is_future: bool,
}

/// What speaks for a backup and what against it. Anything for it outweighs everything against it.
#[derive(Default)]
struct Reasons {
    keep: Vec<Keep>,
    expire: Vec<Expire>,
}

/// What is the same for every backup.
#[derive(Clone, Copy)]
struct Weighing<'a> {
    policy: &'a Policy,
    now: Timestamp,
    zone: &'a TimeZone,
}

impl Backup<'_> {
    /// The depth to which a live and complete backup is verified.
    fn verified(&self) -> Option<Depth> {
        match self.proof {
            Proof::Verified(depth) if self.is_live && self.facts.purpose == Purpose::Backup => Some(depth),
            _ => None,
        }
    }

    fn decision(&self, reasons: Reasons) -> Decision {
        let outcome = match reasons {
            _ if !self.is_live => Outcome::Leaving(vec![self.facts.standing]),
            Reasons { keep, expire } if keep.is_empty() => Outcome::Expire(expire),
            Reasons { keep, .. } => Outcome::Keep(keep),
        };
        let Candidate { id, tier, purpose, at, .. } = self.facts;
        Decision { backup: id.clone(), tier: tier.clone(), purpose: *purpose, at: *at, outcome }
    }
}

impl Reasons {
    /// Speaks for the backup until `wanted_for` after `from`, then against it.
    fn in_time(
        &mut self,
        from: Timestamp,
        wanted_for: Duration,
        now: Timestamp,
        keep: impl Fn(Timestamp) -> Keep,
        expire: impl Fn(Timestamp) -> Expire,
    ) {
        let until = from.checked_add(wanted_for).unwrap_or(Timestamp::MAX);
        if until > now {
            self.keep.push(keep(until));
        } else {
            self.expire.push(expire(until));
        }
    }
}

fn whatever_the_rules_say(backup: &Backup<'_>, now: Timestamp) -> Reasons {
    let holds = backup.facts.holds.iter().filter(|hold| hold.is_in_force(now)).cloned().map(Keep::Held);
    let future = backup.is_future.then_some(Keep::InTheFuture);
    Reasons { keep: holds.chain(future).collect(), expire: Vec::new() }
}

/// One that is dated in the future only when there is no other: its date is wrong.
fn newest_verified(backups: &[Backup<'_>]) -> Option<(usize, Depth)> {
    let verified = |(place, backup): (usize, &Backup<'_>)| Some((place, backup.verified()?));
    let mut all = backups.iter().enumerate().filter_map(verified);
    let newest = all.clone().find(|(place, _)| !backups[*place].is_future);
    newest.or_else(|| all.next())
}

/// What the rules of one tier have taken so far, from the newest backup back.
struct TierPlan<'a> {
    /// None: everything stays.
    rules: Option<&'a TierRules>,
    /// Backups that fill the quotas.
    verified: u32,
    periods: Vec<Taken<'a>>,
    oldest_verified: Option<usize>,
}

/// The newest backup of each period of one kind.
struct Taken<'a> {
    period: Period,
    keep: u32,
    newest: BTreeMap<Bucket, &'a BackupId>,
    /// Where the last of them is.
    last: Option<usize>,
}

impl<'a> TierPlan<'a> {
    fn new(rules: Option<&'a TierRules>) -> Self {
        let rules = rules.filter(|rules| !rules.is_empty());
        let taken = |(period, keep)| Taken { period, keep, newest: BTreeMap::new(), last: None };
        let periods = rules.into_iter().flat_map(TierRules::periods).map(taken).collect();
        Self { rules, verified: 0, periods, oldest_verified: None }
    }

    /// Collects what speaks for and against the next older backup.
    fn weigh(&mut self, place: usize, backup: &Backup<'a>, weighing: Weighing<'_>, reasons: &mut Reasons) {
        let Weighing { policy, now, zone } = weighing;
        let at = backup.facts.at;
        if backup.facts.purpose == Purpose::Safety {
            let (keep, expire) = (|until| Keep::Safety { until }, |since| Expire::Safety { since });
            return reasons.in_time(at, policy.safety_for, now, keep, expire);
        }
        let Some(rules) = self.rules else { return reasons.keep.push(Keep::NoRules) };
        if let Some(wanted_for) = rules.keep_for {
            let (keep, expire) = (|until| Keep::InTime { until }, |since| Expire::OutOfTime { since });
            reasons.in_time(at, wanted_for, now, keep, expire);
        }
        match (backup.facts.purpose, backup.proof) {
            (Purpose::Partial, _) => {
                let (keep, expire) = (|until| Keep::Partial { until }, |since| Expire::Partial { since });
                reasons.in_time(at, policy.partial_for, now, keep, expire);
            }
            (_, Proof::Unverified) => {
                let (keep, expire) = (|until| Keep::Unverified { until }, |since| Expire::Unverified { since });
                reasons.in_time(at, policy.unverified_for, now, keep, expire);
                self.require_replacement(rules, reasons);
            }
            (_, Proof::Failed { since }) => {
                let (keep, expire) = (|until| Keep::Failed { since, until }, |_| Expire::Failed { since });
                reasons.in_time(at.max(since), policy.unverified_for, now, keep, expire);
                self.require_replacement(rules, reasons);
            }
            (_, Proof::Verified(_)) if backup.is_future => {}
            (_, Proof::Verified(_)) => self.take(place, backup, rules, zone, reasons),
        }
    }

    /// A backup that is not known to be good goes only when others have taken its place.
    fn require_replacement(&self, rules: &TierRules, reasons: &mut Reasons) {
        let wanted = rules.keep_at_least.get();
        if self.verified < wanted {
            reasons.keep.push(Keep::NotReplaced { newer_verified: self.verified, wanted });
        }
    }

    fn take(&mut self, place: usize, backup: &Backup<'a>, rules: &TierRules, zone: &TimeZone, reasons: &mut Reasons) {
        self.verified += 1;
        self.oldest_verified = Some(place);
        let number = self.verified;
        let (keep_last, keep_at_least) = (rules.keep_last, rules.keep_at_least.get());
        if number <= keep_last {
            reasons.keep.push(Keep::AmongLast { number, keep_last });
        } else if keep_last > 0 {
            reasons.expire.push(Expire::NotAmongLast { keep_last });
        }
        if number <= keep_at_least {
            reasons.keep.push(Keep::AtLeast { number, keep_at_least });
        }
        let moment = backup.facts.at.to_zoned(zone.clone());
        for taken in &mut self.periods {
            taken.take(place, &backup.facts.id, taken.period.bucket(&moment), reasons);
        }
    }

    /// What the oldest backup is kept for besides, once all are weighed.
    fn oldest(&self) -> impl Iterator<Item = (usize, Keep)> {
        let unfilled = |taken: &&Taken<'_>| taken.found() < taken.keep && taken.last != self.oldest_verified;
        let reason = |taken: &Taken<'_>| {
            Some((self.oldest_verified?, Keep::Oldest { period: taken.period, found: taken.found(), keep: taken.keep }))
        };
        self.periods.iter().filter(unfilled).filter_map(reason)
    }
}

impl<'a> Taken<'a> {
    fn found(&self) -> u32 {
        u32::try_from(self.newest.len()).expect("no more than it keeps")
    }

    fn take(&mut self, place: usize, backup: &'a BackupId, bucket: Bucket, reasons: &mut Reasons) {
        let (period, keep) = (self.period, self.keep);
        if let Some(newest) = self.newest.get(&bucket) {
            reasons.expire.push(Expire::NotNewestOf { period, bucket, newest: (*newest).clone() });
        } else if self.found() < keep {
            self.newest.insert(bucket, backup);
            self.last = Some(place);
            reasons.keep.push(Keep::NewestOf { period, bucket, number: self.found(), keep });
        } else {
            reasons.expire.push(Expire::TooOld { period, bucket, keep });
        }
    }
}

/// One line, for people: the backup, what becomes of it, and why.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.backup, self.outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(reasons) => {
                f.write_str("keep: ")?;
                list(f, reasons)
            }
            Self::Expire(reasons) => {
                f.write_str("expire: ")?;
                list(f, reasons)
            }
            Self::Leaving(standings) => {
                f.write_str("leaving: ")?;
                list(f, standings)
            }
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, reasons: &[T]) -> fmt::Result {
    for (number, reason) in reasons.iter().enumerate() {
        let separator = if number == 0 { "" } else { "; " };
        write!(f, "{separator}{reason}")?;
    }
    Ok(())
}
