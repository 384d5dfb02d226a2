//! What operations answer: the objects of the command line's `--json`, see `docs/cli.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{
    BackupId, DatabaseName, Depth, Finding, Manifest, NotRestored, Purpose, Skipped, Step, Storage, TableName, Tier,
    Verdict,
};

/// One backup, as `list --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupSummary {
    pub id: BackupId,
    pub database: DatabaseName,
    pub tier: Tier,
    pub purpose: Purpose,
    pub storage: Storage,
    pub created_at: Timestamp,
    pub tables: u64,
    pub rows: u64,
    pub plaintext_bytes: u64,
    pub stored_bytes: u64,
    pub new_bytes: u64,
    pub duration_ms: u64,
    /// What its verdicts say together, see [`last_word`](super::list::last_word); `null` when it was never verified.
    pub verified: Option<LastVerdict>,
    pub held: bool,
    /// On its way out: it has an open tombstone. Only `list --all` shows such a backup.
    pub deleted: bool,
    pub tags: BTreeMap<String, String>,
}

impl BackupSummary {
    pub fn of(manifest: &Manifest, verified: Option<LastVerdict>, held: bool) -> Self {
        let duration = manifest.finished_at.duration_since(manifest.started_at);
        Self {
            id: manifest.id.clone(),
            database: manifest.database.clone(),
            tier: manifest.tier.clone(),
            purpose: manifest.purpose,
            storage: manifest.storage,
            created_at: manifest.snapshot.taken_at,
            tables: manifest.totals.tables,
            rows: manifest.totals.rows,
            plaintext_bytes: manifest.totals.plaintext_bytes,
            stored_bytes: manifest.totals.stored_bytes,
            new_bytes: manifest.totals.new_bytes,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(0),
            verified,
            held,
            deleted: false,
            tags: manifest.tags.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVerdict {
    pub depth: Depth,
    pub at: Timestamp,
    pub ok: bool,
}

/// A new backup, as `backup --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupReport {
    #[serde(flatten)]
    pub backup: BackupSummary,
    pub skipped: Vec<Skipped>,
    /// Chunks that were not read again, because the server showed that they are as the backup before has them.
    pub unread_chunks: u64,
}

/// As `verify --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub id: BackupId,
    pub depth: Depth,
    pub ok: bool,
    pub at: Timestamp,
    pub duration_ms: u64,
    pub findings: Vec<Finding>,
}

impl From<Verdict> for VerifyReport {
    fn from(verdict: Verdict) -> Self {
        let Verdict { backup: id, depth, ok, at, duration_ms, findings, .. } = verdict;
        Self { id, depth, ok, at, duration_ms, findings }
    }
}

/// As `restore --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    pub id: BackupId,
    pub database: DatabaseName,
    /// Name of the database that was restored into.
    pub target: String,
    pub tables: u64,
    pub rows: u64,
    pub duration_ms: u64,
    pub steps: Vec<Step>,
    pub proof: Proof,
    /// What is in the backup but not in the target, and why: refused by the target's provider, or damaged.
    pub not_restored: Vec<NotRestored>,
    /// What is there, but not quite as it was: a constraint left NOT VALID, a generated column that came out different.
    pub remarks: Vec<Skipped>,
}

/// Whether the target holds the rows that were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub ok: bool,
    pub tables_equal: u64,
    pub tables_different: Vec<TableName>,
}
