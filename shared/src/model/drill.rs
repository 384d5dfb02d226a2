//! What a drill found: `drills/{time}-{backup id}.json`. It holds no rows: not even the values that assertions looked at.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{BackupId, DatabaseName, Tier, VaultId};
use crate::error::Error;

/// One rehearsal of the worst day: a backup was restored on another server, proven, looked at, and dropped again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    pub vault: VaultId,
    pub database: DatabaseName,
    pub backup: BackupId,
    pub tier: Tier,
    /// When it ended, by the store's clock.
    pub at: Timestamp,
    pub by: String,
    /// Every check passed, or was tolerated.
    pub ok: bool,
    /// The server that it was restored on: address, and version as it says it.
    pub server: String,
    /// Of the server that was backed up.
    pub source_version: String,
    /// The moment that the backup shows.
    pub snapshot_at: Timestamp,
    pub tables: u64,
    pub rows: u64,
    pub plaintext_bytes: u64,
    /// The restore's own, in their order.
    pub steps: Vec<Step>,
    /// From the plan of the restore to the proven database; `None` when it came to none.
    pub restore_ms: Option<u64>,
    /// What would have been lost with the server at the time of the drill: the age of the newest good backup.
    pub loss_ms: Option<u64>,
    pub targets: Targets,
    pub checks: Vec<DrillCheck>,
    /// Whom to call, as the configuration said at the time.
    pub plan: DisasterPlan,
    pub lifeboat: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub duration_ms: u64,
}

/// What the business can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Targets {
    /// Recovery time objective: how long a restore may take.
    pub rto_ms: Option<u64>,
    /// Recovery point objective: how much may be lost, as the age of the newest good backup.
    pub rpo_ms: Option<u64>,
}

/// What people have to know on that day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DisasterPlan {
    pub contacts: Vec<String>,
    /// In the order in which to call.
    pub escalation: Vec<String>,
    /// Where the plan is written.
    pub document: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillCheck {
    /// `restore`, `rows`, `constraints`, `indexes`, `orphans`, `sequences`, `assertion NAME`, `rto`, `rpo`.
    pub name: String,
    pub outcome: CheckOutcome,
    /// For people.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Passed,
    Failed,
    /// It failed, and the configuration says that it may.
    Tolerated,
    /// Nothing came of the restore that could have been looked at.
    NotReached,
}

impl CheckOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Tolerated => "tolerated",
            Self::NotReached => "not reached",
        }
    }
}

/// `orphans: 3 rows refer to nothing`
impl fmt::Display for DrillCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

impl Drill {
    pub fn failed(&self) -> impl Iterator<Item = &DrillCheck> {
        self.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed)
    }
}

/// What a drill looks for in the restored database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    Constraints,
    Indexes,
    Orphans,
    Sequences,
}

impl Look {
    pub const ALL: [Self; 4] = [Self::Constraints, Self::Indexes, Self::Orphans, Self::Sequences];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constraints => "constraints",
            Self::Indexes => "indexes",
            Self::Orphans => "orphans",
            Self::Sequences => "sequences",
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Look {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|look| look.as_str() == text);
        found.ok_or_else(|| {
            Error::usage("it is nothing that a drill looks for").hint("use constraints, indexes, orphans or sequences")
        })
    }
}
