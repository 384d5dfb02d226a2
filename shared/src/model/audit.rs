//! The audit trail: `audit/{block}/{number}.json`, one entry after another, each naming the bytes of the one before it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{BackupId, DatabaseName, VaultId};
use super::record::Depth;
use crate::error::Error;

/// One thing that somebody did, or set out to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub vault: VaultId,
    /// From 1 on, without gaps.
    pub number: u64,
    /// SHA-256 of the stored bytes of the entry before, in hex; `None` for the first.
    pub previous: Option<String>,
    /// By the store's clock.
    pub at: Timestamp,
    #[serde(flatten)]
    pub deed: Deed,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    pub operation: Operation,
    pub status: DeedStatus,
    /// The same for what is announced and how it ended.
    pub run: String,
    /// An operating-system user at a host, with the IAM caller where there is one; or a function with its request.
    pub actor: String,
    pub database: Option<DatabaseName>,
    pub backup: Option<BackupId>,
    /// What it was done to outside the vault, or why: the database restored into, the place of a copy, the reason of a hold.
    pub target: Option<String>,
    /// The kind of the error of what failed.
    pub error: Option<String>,
    pub stored_bytes: Option<u64>,
    pub verified: Option<DeedProof>,
    pub duration_ms: Option<u64>,
    pub lifeboat: String,
}

/// What a verification found that was part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeedProof {
    pub depth: Depth,
    pub ok: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeedStatus {
    /// It was about to begin. Where no other entry of its run follows, it was killed, or is under way.
    Announced,
    Done,
    Failed,
}

impl DeedStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What can be done to a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Init,
    Backup,
    Verify,
    Restore,
    Drill,
    Cleanup,
    Delete,
    Undelete,
    Hold,
    Release,
    Thaw,
    Pull,
    Push,
    RotateKey,
    RewrapKeys,
}

impl Operation {
    pub const ALL: [Self; 15] = [
        Self::Init,
        Self::Backup,
        Self::Verify,
        Self::Restore,
        Self::Drill,
        Self::Cleanup,
        Self::Delete,
        Self::Undelete,
        Self::Hold,
        Self::Release,
        Self::Thaw,
        Self::Pull,
        Self::Push,
        Self::RotateKey,
        Self::RewrapKeys,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Restore => "restore",
            Self::Drill => "drill",
            Self::Cleanup => "cleanup",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Thaw => "thaw",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::RotateKey => "rotate_key",
            Self::RewrapKeys => "rewrap_keys",
        }
    }

    /// Whether something that was kept may be gone after it.
    pub const fn lets_go(self) -> bool {
        matches!(self, Self::Cleanup | Self::Delete | Self::Release)
    }

    /// Whether it lets go of something, or gives rows away: then it leaves a trace even if its process is killed on the way.
    pub const fn is_announced(self) -> bool {
        self.lets_go() || matches!(self, Self::Restore | Self::Drill | Self::Pull | Self::Push)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Operation {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|operation| operation.as_str() == text);
        let known = Self::ALL.map(Self::as_str).join(", ");
        found.ok_or_else(|| {
            Error::usage(format!("{text:?} is nothing that the audit trail records"))
                .hint(format!("use one of {known}"))
        })
    }
}
