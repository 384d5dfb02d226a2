//! One function per rule.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use super::policy::Limits;
use super::server::{end_of_life, major_in};
use super::{BackupFacts, BackupProof, DatabaseFacts, HealthFinding, HealthPolicy, JobState, Measures, Rule, WINDOW};
use crate::model::{ReplicationSlot, Severity, Tier};
use crate::spell;

/// So many backups make a median worth comparing with.
const USUAL: usize = 5;
/// A table with fewer rows may lose them all: that is what small tables do.
const FEW_ROWS: u64 = 1000;
/// A database with less may shrink or grow by any share.
const SMALL_BYTES: u64 = 10 << 20;
/// A job that failed counts among so many at least: one of two is no rate.
const FEW_JOBS: usize = 5;
/// Findings of one rule about one thing each; what is more is counted.
const MOST_TABLES: usize = 10;
/// Findings about damaged records, likewise.
const MOST_RECORDS: usize = 5;

pub fn findings(facts: &DatabaseFacts, policy: &HealthPolicy, now: Timestamp) -> Vec<HealthFinding> {
    let look = Look { facts, policy, now };
    [
        look.damaged(),
        look.failed_verification(),
        look.backup_age(),
        look.tier_ages(),
        look.verification(),
        look.restore_age(),
        look.failure_rate(),
        look.lost_job(),
        look.duration(),
        look.size(),
        look.floor(),
        look.tables(),
        look.quota(),
        look.ended_holds(),
        look.key_age(),
        look.certificate(),
        look.slots(),
        look.server(),
        look.tools(),
    ]
    .concat()
}

pub fn measures(facts: &DatabaseFacts, now: Timestamp) -> Measures {
    let newest = facts.backups.first();
    Measures {
        backup_at: newest.map(|backup| backup.at),
        verified_at: newest_verified(facts).map(|backup| backup.at),
        backup_age_s: age(newest.map_or(facts.since, |backup| backup.at), now).as_secs(),
        verified_age_s: age(newest_verified(facts).map_or(facts.since, |backup| backup.at), now).as_secs(),
        restored_age_s: facts.last_restored_at.map(|at| age(at, now).as_secs()),
        backups: facts.backups.len() as u64,
        duration_ms: newest.map(|backup| backup.duration_ms),
        rows: newest.map(|backup| backup.rows),
        plaintext_bytes: newest.map(|backup| backup.plaintext_bytes),
        success_rate: rate(facts, now),
    }
}

/// The day in UTC.
fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

/// A time of the future has the age of nothing.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

fn newest_verified(facts: &DatabaseFacts) -> Option<&BackupFacts> {
    facts.backups.iter().find(|backup| matches!(backup.proof, BackupProof::Verified(_)))
}

/// How many of the jobs of the window that ended did so with a backup.
fn ended(facts: &DatabaseFacts, now: Timestamp) -> (usize, usize) {
    let recent = |begun: Timestamp| now.duration_since(begun) <= WINDOW;
    let states = facts.jobs.iter().filter(|job| recent(job.begun_at)).map(|job| job.state);
    let states: Vec<JobState> = states.filter(|state| *state != JobState::Underway).collect();
    (states.iter().filter(|state| **state == JobState::Done).count(), states.len())
}

fn rate(facts: &DatabaseFacts, now: Timestamp) -> Option<f64> {
    match ended(facts, now) {
        (_, 0) => None,
        (done, all) => Some(done as f64 / all as f64),
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

fn finding(rule: Rule, severity: Severity, problem: String, advice: &str) -> HealthFinding {
    HealthFinding { rule, severity, about: String::new(), problem, advice: advice.to_owned(), facts: json!({}) }
}

impl HealthFinding {
    fn about(mut self, about: impl ToString) -> Self {
        self.about = about.to_string();
        self
    }

    fn with(mut self, facts: serde_json::Value) -> Self {
        self.facts = facts;
        self
    }
}

impl<T: PartialOrd> Limits<T> {
    /// At a limit nothing is wrong yet.
    fn broken_by(&self, value: &T) -> Option<Severity> {
        match value {
            value if *value > self.critical => Some(Severity::Critical),
            value if *value > self.warning => Some(Severity::Warning),
            _ => None,
        }
    }
}

struct Look<'a> {
    facts: &'a DatabaseFacts,
    policy: &'a HealthPolicy,
    now: Timestamp,
}

impl Look<'_> {
    fn age(&self, at: Timestamp) -> Duration {
        age(at, self.now)
    }

    fn newest(&self) -> Option<&BackupFacts> {
        self.facts.backups.first()
    }

    fn damaged(&self) -> Vec<HealthFinding> {
        let advice = "put the object back from another copy of the vault or an older version of it; until then nothing of this \
                      database is deleted";
        let tell = |problem: &String| {
            let object = problem.split(':').next().unwrap_or_default();
            finding(Rule::DamagedRecord, Severity::Critical, problem.clone(), advice).about(object)
        };
        self.facts.damaged.iter().take(MOST_RECORDS).map(tell).collect()
    }

    fn failed_verification(&self) -> Vec<HealthFinding> {
        let advice = "do not rely on it: `lifeboat show` tells what is wrong with it; the next backup stores again what is damaged";
        let failed = self.facts.backups.iter().filter(|backup| backup.proof == BackupProof::Failed).take(MOST_RECORDS);
        let tell = |backup: &BackupFacts| {
            // That of an old one matters less than that of the one that a restore would take today.
            let is_newest = self.newest().is_some_and(|newest| newest.id == backup.id);
            let severity = if is_newest { Severity::Critical } else { Severity::Warning };
            let problem = format!("backup {} failed its verification", backup.id);
            finding(Rule::BackupFailedVerification, severity, problem, advice).about(&backup.id)
        };
        failed.map(tell).collect()
    }

    fn backup_age(&self) -> Vec<HealthFinding> {
        let newest = self.newest();
        let age = self.age(newest.map_or(self.facts.since, |backup| backup.at));
        let Some(severity) = self.policy.backup_age.broken_by(&age) else { return Vec::new() };
        let problem = match newest {
            Some(_) => format!("the newest backup is {} old", spell::duration(age)),
            None => format!("there is no backup, {} after the vault was made", spell::duration(age)),
        };
        let advice = "look why the last backups failed (alerts, logs), then make one: `lifeboat backup`";
        let facts = json!({"age_s": age.as_secs(), "limit_s": self.policy.backup_age.warning.as_secs()});
        vec![finding(Rule::BackupAge, severity, problem, advice).with(facts)]
    }

    fn tier_ages(&self) -> Vec<HealthFinding> {
        let expected = self.policy.tiers.iter().filter_map(|(tier, health)| Some((tier, health.max_age?)));
        let tell = |(tier, max_age): (&Tier, Duration)| {
            let newest = self.facts.backups.iter().find(|backup| backup.tier == *tier);
            let age = self.age(newest.map_or(self.facts.since, |backup| backup.at));
            let severity = Limits { warning: max_age, critical: max_age * 2 }.broken_by(&age)?;
            let problem = match newest {
                Some(_) => format!(
                    "the newest {tier} backup is {} old; {} are expected",
                    spell::duration(age),
                    spell::duration(max_age)
                ),
                None => format!("there is no {tier} backup; one is expected every {}", spell::duration(max_age)),
            };
            let advice = "is its schedule there, and on? Look at the scheduler, then at the logs of its last runs";
            let facts = json!({"tier": tier, "age_s": age.as_secs(), "limit_s": max_age.as_secs()});
            Some(finding(Rule::TierAge, severity, problem, advice).about(tier).with(facts))
        };
        expected.filter_map(tell).collect()
    }

    /// One of two: there never was a verification, or the newest is too old.
    fn verification(&self) -> Vec<HealthFinding> {
        let Some(oldest) = self.facts.backups.last() else { return Vec::new() };
        let verified = newest_verified(self.facts);
        let age = self.age(verified.map_or(oldest.at, |backup| backup.at));
        let Some(severity) = self.policy.verified_age.broken_by(&age) else { return Vec::new() };
        let facts = json!({"age_s": age.as_secs(), "limit_s": self.policy.verified_age.warning.as_secs()});
        let found = match verified {
            Some(_) => {
                let problem = format!("the newest backup that was verified is {} old", spell::duration(age));
                let advice = "verify one (`lifeboat verify latest`), and see why it does not happen by itself: `after_backup`, or \
                              the bucket's events";
                finding(Rule::VerifiedAge, severity, problem, advice)
            }
            None => {
                let problem = format!("no backup was ever verified; the oldest is {} old", spell::duration(age));
                let advice = "verify one (`lifeboat verify latest`), then have it done after each backup: `[verify] after_backup`, or \
                              the stack's validate function";
                finding(Rule::NeverVerified, severity, problem, advice)
            }
        };
        vec![found.with(facts)]
    }

    fn restore_age(&self) -> Vec<HealthFinding> {
        let Some(oldest) = self.facts.backups.last() else { return Vec::new() };
        let age = self.age(self.facts.last_restored_at.unwrap_or(oldest.at));
        let Some(severity) = self.policy.restore_age.broken_by(&age) else { return Vec::new() };
        let problem = match self.facts.last_restored_at {
            Some(_) => {
                format!("the last restore of a backup that was compared row for row is {} ago", spell::duration(age))
            }
            None => format!("no backup was ever restored and compared, in {}", spell::duration(age)),
        };
        let advice = "restore one into a scratch database: `lifeboat verify latest --depth restore`, weekly; in AWS the stack's drill";
        let facts = json!({"age_s": age.as_secs(), "limit_s": self.policy.restore_age.warning.as_secs()});
        vec![finding(Rule::RestoreAge, severity, problem, advice).with(facts)]
    }

    fn failure_rate(&self) -> Vec<HealthFinding> {
        let (done, all) = ended(self.facts, self.now);
        let failed = percent((all - done) as u64, all as u64);
        let is_within = (all - done) as u64 * 100 <= all as u64 * u64::from(self.policy.failure_rate_percent);
        if all < FEW_JOBS || is_within {
            return Vec::new();
        }
        let problem = format!("{} of the last 30 days' {all} backup jobs left no backup ({failed} %)", all - done);
        let advice =
            "look at what they have in common: the hour (locks, load), the duration (deadline), the database's answers";
        let facts = json!({"failed": all - done, "jobs": all});
        vec![finding(Rule::FailureRate, Severity::Warning, problem, advice).with(facts)]
    }

    /// The newest job is what somebody waits for.
    fn lost_job(&self) -> Vec<HealthFinding> {
        let newest = self.facts.jobs.iter().max_by_key(|job| job.begun_at);
        let Some(job) = newest.filter(|job| job.state == JobState::Lost) else { return Vec::new() };
        let problem = format!(
            "the last backup job, begun {} ago, ended without a backup",
            spell::duration(self.age(job.begun_at))
        );
        let advice = "its log says why, if it was not killed: out of memory, out of time, a machine that went away";
        let facts = json!({"begun_at": job.begun_at});
        vec![finding(Rule::JobLost, Severity::Warning, problem, advice).with(facts)]
    }

    fn duration(&self) -> Vec<HealthFinding> {
        let [newest, before @ ..] = self.facts.backups.as_slice() else { return Vec::new() };
        let took = Duration::from_millis(newest.duration_ms);
        let mut earlier: Vec<u64> = before.iter().take(30).map(|backup| backup.duration_ms).collect();
        earlier.sort_unstable();
        let usual = (earlier.len() >= USUAL).then(|| Duration::from_millis(earlier[earlier.len() / 2]));
        // Twice a moment is a moment.
        let is_unusual = usual.is_some_and(|usual| took > 2 * usual && took > Duration::from_secs(60));
        if took <= self.policy.duration && !is_unusual {
            return Vec::new();
        }
        let compared = usual.map(|usual| format!("; usual are {} s", usual.as_secs())).unwrap_or_default();
        let problem = format!("the newest backup took {} s{compared}", took.as_secs());
        let advice = "a busy server, a slow network or a grown table: `lifeboat stats` shows the growth; `read = \"changed\"` and more \
                      `jobs` help";
        let facts = json!({"duration_ms": newest.duration_ms, "usual_ms": usual.map(|usual| usual.as_millis() as u64)});
        vec![finding(Rule::Duration, Severity::Warning, problem, advice).about("newest").with(facts)]
    }

    fn size(&self) -> Vec<HealthFinding> {
        let [newest, before, ..] = self.facts.backups.as_slice() else { return Vec::new() };
        let (now, then) = (newest.plaintext_bytes, before.plaintext_bytes);
        if now.max(then) < SMALL_BYTES {
            return Vec::new();
        }
        let change = percent(now.abs_diff(then), then);
        let change = u32::try_from(change).unwrap_or(u32::MAX);
        let Some(severity) = self.policy.size_change_percent.broken_by(&change) else { return Vec::new() };
        let (word, severity) = match now < then {
            true => ("less", severity),
            // Data that came is no loss.
            false => ("more", Severity::Warning),
        };
        let problem = format!(
            "the newest backup holds {change} % {word} than the one before it: {} of rows, {} before",
            spell::bytes(now),
            spell::bytes(then),
        );
        let advice =
            "was that meant? `lifeboat show` of both tells which tables; `lifeboat hold` the one before until you know";
        let facts = json!({"plaintext_bytes": now, "before": then});
        vec![finding(Rule::Size, severity, problem, advice).with(facts)]
    }

    fn floor(&self) -> Vec<HealthFinding> {
        let Some(newest) = self.newest() else { return Vec::new() };
        let HealthPolicy { floor_rows, floor_plaintext_bytes, .. } = self.policy;
        if newest.rows >= *floor_rows && newest.plaintext_bytes >= *floor_plaintext_bytes {
            return Vec::new();
        }
        let problem = format!(
            "the newest backup holds {} rows and {}; the floor is {floor_rows} rows and {}",
            newest.rows,
            spell::bytes(newest.plaintext_bytes),
            spell::bytes(*floor_plaintext_bytes),
        );
        let advice = "is it the right database, and is something missing in it? Hold the last good backup";
        vec![finding(Rule::Floor, Severity::Critical, problem, advice)]
    }

    fn tables(&self) -> Vec<HealthFinding> {
        let advice = "was that meant? The backup before has the rows: `lifeboat restore … --table`; `lifeboat hold` it until you know";
        let tell = |change: &super::TableChange| {
            let (table, before) = (&change.table, change.rows_before);
            let (rule, problem) = match change.rows_now {
                None if before > 0 => (Rule::TableVanished, format!("the table {table} is gone; it had {before} rows")),
                None => return None,
                Some(now) => {
                    let lost = before.saturating_sub(now);
                    let share = percent(lost, before);
                    if before < FEW_ROWS || share <= u64::from(self.policy.rows_lost_percent) {
                        return None;
                    }
                    (
                        Rule::RowsLost,
                        format!("the table {table} has lost {share} % of its rows: {now} of {before} are left"),
                    )
                }
            };
            let facts = json!({"table": table.to_string(), "rows_before": before, "rows": change.rows_now});
            Some(finding(rule, Severity::Warning, problem, advice).about(table).with(facts))
        };
        self.facts.tables.iter().filter_map(tell).take(MOST_TABLES).collect()
    }

    fn quota(&self) -> Vec<HealthFinding> {
        let (Some(quota), Some(stored)) = (self.policy.quota_bytes, self.facts.stored_bytes) else { return Vec::new() };
        let share = percent(stored, quota);
        if share < u64::from(self.policy.quota_percent) {
            return Vec::new();
        }
        let severity = if share >= 100 { Severity::Critical } else { Severity::Warning };
        let (used, all) = (spell::bytes(stored), spell::bytes(quota));
        let problem = format!("its backups take up {share} % of the quota: {used} of {all}");
        let advice = "`lifeboat stats` tells which tier; keep fewer (docs/retention.md), or raise the quota";
        vec![
            finding(Rule::Quota, severity, problem, advice).with(json!({"stored_bytes": stored, "quota_bytes": quota})),
        ]
    }

    fn ended_holds(&self) -> Vec<HealthFinding> {
        let recent = |hold: &&super::EndedHold| self.age(hold.ended_at) <= Duration::from_secs(7 * 24 * 3600);
        let tell = |hold: &super::EndedHold| {
            let problem = format!("a hold on {} ended: {}", hold.backup, hold.reason);
            let advice = "retention may let it go now: `lifeboat hold` it again if it is still needed";
            finding(Rule::HoldEnded, Severity::Info, problem, advice).about(&hold.backup)
        };
        self.facts.ended_holds.iter().filter(recent).map(tell).collect()
    }

    fn key_age(&self) -> Vec<HealthFinding> {
        let (Some(limit), Some(made)) = (self.policy.key_age, self.facts.key_created_at) else { return Vec::new() };
        let age = self.age(made);
        if age <= limit {
            return Vec::new();
        }
        let problem = format!("the key that seals new backups is {} old", spell::duration(age));
        let advice = "`lifeboat keys rotate` makes a new one; the backup after that stores every row anew";
        vec![finding(Rule::KeyAge, Severity::Warning, problem, advice).with(json!({"created_at": made}))]
    }

    /// Of the server as the newest backup found it: a certificate that was changed since is seen by the next one.
    fn certificate(&self) -> Vec<HealthFinding> {
        let Some(until) = self.newest().and_then(|newest| newest.certificate_until) else { return Vec::new() };
        let left = Duration::try_from(until.duration_since(self.now)).unwrap_or_default();
        if left > self.policy.certificate {
            return Vec::new();
        }
        let problem = match left.is_zero() {
            true => format!("the certificate that the server showed the newest backup has ended on {}", day(until)),
            false => format!("the server's certificate ends on {}, in {}", day(until), spell::duration(left)),
        };
        let advice = "have it renewed: with an ended certificate backups cannot connect any more";
        let severity = if left <= self.policy.certificate / 7 { Severity::Critical } else { Severity::Warning };
        vec![finding(Rule::CertificateEnds, severity, problem, advice).with(json!({"until": until}))]
    }

    /// As the newest backup found them.
    fn slots(&self) -> Vec<HealthFinding> {
        let tell = |slot: &ReplicationSlot| {
            let ReplicationSlot { name, is_active, is_lost, lag_bytes } = slot;
            let facts = json!({"slot": name, "active": is_active, "lost": is_lost, "lag_bytes": lag_bytes});
            let finding = if *is_lost {
                let problem =
                    format!("the replication slot {name} is lost: the server has thrown away WAL that it needs");
                let advice =
                    "drop it (`pg_drop_replication_slot`) and have its reader begin anew, from a new copy of the data";
                finding(Rule::SlotLag, Severity::Critical, problem, advice)
            } else {
                let severity = self.policy.slot_lag_bytes.broken_by(lag_bytes)?;
                let reader = if *is_active { "its reader is behind" } else { "nobody reads it" };
                let problem = format!(
                    "the server keeps {} of WAL for the replication slot {name}: {reader}",
                    spell::bytes(*lag_bytes)
                );
                let advice = "see to its reader, or drop it (`pg_drop_replication_slot`): until then its WAL fills the server's disk";
                finding(Rule::SlotLag, severity, problem, advice)
            };
            Some(finding.about(name).with(facts))
        };
        self.newest().map(|newest| newest.slots.iter().filter_map(tell).collect()).unwrap_or_default()
    }

    fn server(&self) -> Vec<HealthFinding> {
        let Some(newest) = self.newest() else { return Vec::new() };
        let major = newest.server_version / 10_000;
        let Some(end) = end_of_life(major) else { return Vec::new() };
        let today = self.now.to_zoned(TimeZone::UTC).date();
        let is_near = today.checked_add(90.days()).is_ok_and(|soon| soon >= end);
        if !is_near {
            return Vec::new();
        }
        let verb = if today >= end { "ended" } else { "ends" };
        let problem = format!("the support of PostgreSQL {major} by its project {verb} on {end}");
        let advice =
            "plan the upgrade; a restore of a backup into a newer server (`lifeboat restore --server`) rehearses it";
        let severity = if today >= end { Severity::Warning } else { Severity::Info };
        vec![
            finding(Rule::ServerEndOfLife, severity, problem, advice)
                .with(json!({"major": major, "ends": end.to_string()})),
        ]
    }

    fn tools(&self) -> Vec<HealthFinding> {
        let Some(newest) = self.newest() else { return Vec::new() };
        let (server, tool) = (newest.server_version / 10_000, major_in(&newest.pg_dump));
        let Some(tool) = tool.filter(|tool| *tool < server) else { return Vec::new() };
        let problem = format!("the newest backup was made with pg_dump {tool} of a server {server}");
        let advice = "install the client tools of the server's version, or newer";
        vec![finding(Rule::ToolsOlderThanServer, Severity::Warning, problem, advice)]
    }
}
