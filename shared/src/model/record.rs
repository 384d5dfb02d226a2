//! Small records beside the manifests: each is written once and authenticated.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::id::{BackupId, DatabaseName, KeyId, PackId, VaultId};
use super::severity::{Occasion, Severity};
use crate::error::Error;

/// `format/{n}.json`: what a reader must understand, and the limits that make deleting safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultFormat {
    pub vault: VaultId,
    /// 1.
    pub version: u32,
    /// Names of features; a reader that misses one refuses to read and to delete.
    pub features: Vec<String>,
    pub created_at: Timestamp,
    /// A tombstone younger than this condemns nothing.
    pub grace_hours: u32,
    /// A job publishes within this time of its first listing, or not at all. Less than half the grace.
    pub job_limit_hours: u32,
    /// The vault's own key, which authenticates this record.
    pub key: KeyId,
    pub wrapped_key: WrappedKey,
}

/// A data key as it is stored: encrypted by the master key for one place only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum WrappedKey {
    /// AES-256-GCM under the 32-byte master key: `nonce ‖ ciphertext ‖ tag`, base64.
    Master { sealed: String },
    /// `kms:Encrypt` under a KMS key with an encryption context, base64.
    Kms { kms_key: String, sealed: String },
}

/// `keyring/{key id}/{n}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringEntry {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub key: KeyId,
    pub created_at: Timestamp,
    pub wrapped_key: WrappedKey,
}

/// How much of a backup a verification reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Manifest, pack list, a listing.
    Quick,
    /// Every byte.
    Full,
    /// A restore into a scratch database, compared table for table.
    Restore,
}

impl Depth {
    pub const ALL: [Self; 3] = [Self::Quick, Self::Full, Self::Restore];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Depth {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|d| d.as_str() == text);
        found.ok_or_else(|| Error::usage(format!("{text:?} is not a depth")).hint("use quick, full or restore"))
    }
}

/// Something wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// The vault object or the table.
    pub object: String,
    pub problem: String,
    /// The damaged or missing pack, when the finding is about one: no later backup refers to it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackId>,
}

/// `verdicts/{backup id}/{time}-{depth}-{ok|failed}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub depth: Depth,
    pub ok: bool,
    pub at: Timestamp,
    pub duration_ms: u64,
    pub findings: Vec<Finding>,
    pub lifeboat: String,
}

/// The essence of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictSummary {
    /// The store's time.
    pub at: Timestamp,
    pub depth: Depth,
    pub ok: bool,
}

impl VerdictSummary {
    pub fn of(verdict: &Verdict) -> Self {
        Self { at: verdict.at, depth: verdict.depth, ok: verdict.ok }
    }
}

/// `holds/{backup id}/{hold id}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub hold: String,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    pub until: Option<Timestamp>,
}

/// `holds/{backup id}/{hold id}.released.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRelease {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub hold: String,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// `tombstones/{backup id}/{n}.json`: an intent to delete, which the sweep carries out after the grace time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub number: u32,
    pub cause: Cause,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// Why a backup shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No rule wants it any more. What a rule comes to want again is called back.
    Retention,
    /// Somebody deleted it, or it should never have been published.
    Deletion,
}

/// What became of a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The backup stays.
    Cancelled,
    /// The sweep deletes the backup: from now on nobody may rely on it.
    Condemned,
}

/// `tombstones/{backup id}/{n}.outcome.json`: written once, so a cancellation and a condemnation cannot both happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneOutcome {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub number: u32,
    pub fate: Fate,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
}

/// `jobs/{job id}/claim-{n}.json`: who works on a job, until when, and under which backup id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub job: String,
    pub number: u32,
    pub attempt: String,
    pub operation: String,
    pub backup: BackupId,
    pub by: String,
    pub at: Timestamp,
    /// After this the claim counts for nothing and the next number may be claimed.
    pub deadline: Timestamp,
}

/// `jobs/{job id}/result.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobResult {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub job: String,
    pub backup: BackupId,
    pub at: Timestamp,
    pub facts: BTreeMap<String, String>,
}

/// `alerts/{database}/{finding}/{n}.json`: somebody sets out to tell people of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    pub vault: VaultId,
    /// `None` of what is no database's: a channel that fails.
    pub database: Option<DatabaseName>,
    /// The rule, and a digest of what it is about.
    pub finding: String,
    pub number: u32,
    pub occasion: Occasion,
    pub severity: Severity,
    pub rule: String,
    pub about: String,
    pub title: String,
    pub text: String,
    pub by: String,
    pub at: Timestamp,
}

/// `digests/{day}/{n}.json`: somebody sets out to send the digest of a day; `….sent.json`: it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRecord {
    pub vault: VaultId,
    /// Where people are: `2026-11-28`.
    pub day: Date,
    pub number: u32,
    pub by: String,
    pub at: Timestamp,
}

/// `alerts/{database}/{finding}/{n}.sent.json`: it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSent {
    pub vault: VaultId,
    pub database: Option<DatabaseName>,
    pub finding: String,
    pub number: u32,
    pub channels: Vec<String>,
    pub at: Timestamp,
}
