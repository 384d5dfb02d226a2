//! Health: from what a vault shows to what people should know. Values in, findings out.
//!
//! People stop looking at backups that work, so silence must mean that all is well: what is not known (no backup at all, nothing
//! ever verified) is a finding, never a rule that does not apply. A rule speaks of what it can see in the vault; it never asks a
//! database.

mod open_metrics;
mod policy;
mod rules;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{BackupId, DatabaseName, Depth, ReplicationSlot, Severity, TableName, Tier};

pub use open_metrics::open_metrics;
pub use policy::{HealthPolicy, Limits, TierHealth};

/// What the vault shows of one database.
#[derive(Debug, Clone)]
pub struct DatabaseFacts {
    pub database: DatabaseName,
    /// Since when it could have been backed up: when the vault was made.
    pub since: Timestamp,
    /// Live, complete backups, newest first.
    pub backups: Vec<BackupFacts>,
    /// The newest verdict of depth `restore` on any of its backups that was good.
    pub last_restored_at: Option<Timestamp>,
    /// Backup jobs of the last [`WINDOW`].
    pub jobs: Vec<JobFacts>,
    /// From the backup before the newest to the newest.
    pub tables: Vec<TableChange>,
    /// Every object of the database, where a quota asks for it.
    pub stored_bytes: Option<u64>,
    /// Holds that ended by themselves within the last [`WINDOW`].
    pub ended_holds: Vec<EndedHold>,
    /// When the key was made that seals new backups.
    pub key_created_at: Option<Timestamp>,
    /// Records that are damaged, each with what is wrong.
    pub damaged: Vec<String>,
}

/// How far back failures count.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFacts {
    pub id: BackupId,
    pub tier: Tier,
    /// The moment that it shows.
    pub at: Timestamp,
    pub duration_ms: u64,
    pub rows: u64,
    pub plaintext_bytes: u64,
    pub proof: BackupProof,
    /// `server_version_num`
    pub server_version: u32,
    /// As the tool says it.
    pub pg_dump: String,
    /// When the server's certificate ends, where it was checked.
    pub certificate_until: Option<Timestamp>,
    pub slots: Vec<ReplicationSlot>,
}

/// What the verdicts on a backup say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupProof {
    Unverified,
    Verified(Depth),
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobFacts {
    pub begun_at: Timestamp,
    pub state: JobState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Done,
    /// It may still end well.
    Underway,
    /// Its time is over, and it left no result.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange {
    pub table: TableName,
    pub rows_before: u64,
    /// `None` when it is gone.
    pub rows_now: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedHold {
    pub backup: BackupId,
    pub reason: String,
    pub ended_at: Timestamp,
}

/// The rules, by the names that alerts and thresholds go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    DamagedRecord,
    BackupFailedVerification,
    BackupAge,
    TierAge,
    VerifiedAge,
    NeverVerified,
    RestoreAge,
    FailureRate,
    JobLost,
    Duration,
    Size,
    Floor,
    TableVanished,
    RowsLost,
    Quota,
    HoldEnded,
    KeyAge,
    CertificateEnds,
    SlotLag,
    ServerEndOfLife,
    ToolsOlderThanServer,
}

impl Rule {
    pub const ALL: [Self; 21] = [
        Self::DamagedRecord,
        Self::BackupFailedVerification,
        Self::BackupAge,
        Self::TierAge,
        Self::VerifiedAge,
        Self::NeverVerified,
        Self::RestoreAge,
        Self::FailureRate,
        Self::JobLost,
        Self::Duration,
        Self::Size,
        Self::Floor,
        Self::TableVanished,
        Self::RowsLost,
        Self::Quota,
        Self::HoldEnded,
        Self::KeyAge,
        Self::CertificateEnds,
        Self::SlotLag,
        Self::ServerEndOfLife,
        Self::ToolsOlderThanServer,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DamagedRecord => "damaged_record",
            Self::BackupFailedVerification => "backup_failed_verification",
            Self::BackupAge => "backup_age",
            Self::TierAge => "tier_age",
            Self::VerifiedAge => "verified_age",
            Self::NeverVerified => "never_verified",
            Self::RestoreAge => "restore_age",
            Self::FailureRate => "failure_rate",
            Self::JobLost => "job_lost",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Floor => "floor",
            Self::TableVanished => "table_vanished",
            Self::RowsLost => "rows_lost",
            Self::Quota => "quota",
            Self::HoldEnded => "hold_ended",
            Self::KeyAge => "key_age",
            Self::CertificateEnds => "certificate_ends",
            Self::SlotLag => "slot_lag",
            Self::ServerEndOfLife => "server_end_of_life",
            Self::ToolsOlderThanServer => "tools_older_than_server",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthFinding {
    pub rule: Rule,
    pub severity: Severity,
    /// Tells findings of one rule apart: a table, a tier. Empty where there is one at most.
    pub about: String,
    /// What is wrong, with its numbers.
    pub problem: String,
    /// What to do next.
    pub advice: String,
    /// For programs.
    pub facts: Value,
}

/// How a database, or all of them, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Healthy,
    Warning,
    Critical,
}

impl State {
    fn of(findings: &[HealthFinding]) -> Self {
        match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Critical) => Self::Critical,
            Some(Severity::Warning) => Self::Warning,
            Some(Severity::Info) | None => Self::Healthy,
        }
    }
}

/// Numbers that dashboards show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    /// The moment that the newest complete backup shows.
    pub backup_at: Option<Timestamp>,
    /// And the newest verified one.
    pub verified_at: Option<Timestamp>,
    /// Since the newest complete backup; since the vault was made, where there is none.
    pub backup_age_s: u64,
    /// Since the newest verified one, likewise.
    pub verified_age_s: u64,
    /// Since a backup was last restored and compared; `null` if none ever was.
    pub restored_age_s: Option<u64>,
    pub backups: u64,
    /// Of the newest backup.
    pub duration_ms: Option<u64>,
    pub rows: Option<u64>,
    pub plaintext_bytes: Option<u64>,
    /// Of the backup jobs that ended in the last 30 days; `null` where there was none.
    pub success_rate: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseHealth {
    pub database: DatabaseName,
    pub state: State,
    pub measures: Measures,
    /// The worst first.
    pub findings: Vec<HealthFinding>,
}

/// Judges one database.
pub fn health(facts: &DatabaseFacts, policy: &HealthPolicy, now: Timestamp) -> DatabaseHealth {
    let mut findings = rules::findings(facts, policy, now);
    findings.sort_by(|a, b| (b.severity, a.rule, &a.about).cmp(&(a.severity, b.rule, &b.about)));
    DatabaseHealth {
        database: facts.database.clone(),
        state: State::of(&findings),
        measures: rules::measures(facts, now),
        findings,
    }
}

/// How all are: as the worst.
pub fn overall(databases: &[DatabaseHealth]) -> State {
    databases.iter().map(|health| health.state).max().unwrap_or(State::Healthy)
}
