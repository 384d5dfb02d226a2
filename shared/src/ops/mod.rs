//! What people and schedules start: one operation per file, told in the order in which it happens.

pub mod audit;
pub mod backup;
pub mod cleanup;
pub mod copy;
mod cost;
pub mod delete;
pub mod doctor;
pub mod drill;
#[cfg(test)]
mod fixture;
pub mod holds;
pub mod keys;
mod legal_hold;
pub mod list;
mod report;
pub mod restore;
pub mod show;
mod stats;
mod status;
pub mod thaw;
pub mod verify;
pub mod watch;

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
pub use crate::model::Step;

pub use cleanup::{CleanupReport, cleanup};
pub use copy::{CopyOptions, CopyReport, copy};
pub use cost::{DatabaseCost, Trial, WhatIf, cost};
pub use delete::{DeletionReport, delete, undelete};
pub use holds::HoldState;
pub use list::{ListFilter, Listing, list};
pub use report::{BackupReport, BackupSummary, LastVerdict, Proof, RestoreReport, VerifyReport};
pub use show::{BackupDetails, show};
pub use stats::{DatabaseStats, stats};
pub use status::{Status, status};

/// What every operation gets from whoever started it.
#[derive(Clone)]
pub struct Run {
    /// Cancelled by Ctrl-C, SIGTERM or the caller: the operation stops cleanly at the next chance.
    pub cancel: CancellationToken,
    /// When the operation must have stopped.
    pub deadline: Option<Timestamp>,
    /// Who started it, for records: an operating-system user at a host, or an IAM caller.
    pub actor: String,
    pub observer: Arc<dyn Observer>,
}

impl Run {
    /// Errors: `OutOfTime` once the operation was asked to stop or its deadline has passed.
    pub fn check(&self, doing: &str) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::out_of_time(format!("stopped on request while {doing}"))
                .hint("nothing half-made is visible; run it again"));
        }
        match self.deadline {
            Some(deadline) if Timestamp::now() >= deadline => {
                Err(Error::out_of_time(format!("the deadline came while {doing}"))
                    .hint("give it more time (--deadline), more memory or --jobs, or fewer tables"))
            }
            _ => Ok(()),
        }
    }
}

/// Follows an operation, for a progress bar or a log. Must return at once; called from many threads.
pub trait Observer: Send + Sync {
    fn on(&self, event: &Event);
}

/// What an operation tells while it runs. Never holds a row or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A named step began: `preflight`, `snapshot`, `rows`, `schema`, `publish`, ….
    Step { name: &'static str },
    /// How much the current step expects to do, as far as known: heap bytes for a backup, plaintext bytes otherwise.
    Expect { total_bytes: u64, tables: u64 },
    /// Work done since the last event of this kind.
    Advance(Progress),
    /// Something people should read: a warning that did not stop the work.
    Warning { text: String },
    /// The work is done, and the audit trail does not tell of it.
    Untold { text: String },
}

/// Work done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Of the step's [`Event::Expect`].
    pub expected_bytes: u64,
    pub plaintext_bytes: u64,
    /// Stored bytes that were added to the vault.
    pub new_bytes: u64,
    /// Stored bytes that an earlier backup already had.
    pub reused_bytes: u64,
    pub rows: u64,
}

/// Follows nothing.
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _: &Event) {}
}
