//! Can this database be backed up, completely, by this role, from here? Every obstacle at once, each with its way out.
//!
//! [`gather`] asks the server, [`assess`] decides. Nothing is changed, and nothing is set beyond one transaction: the
//! sessions may turn out to be a pooler's.

mod assess;
mod facts;

use std::path::Path;

use serde::Serialize;

pub use assess::assess;
pub use facts::{Facts, Keeper, Kept, LargeObjects, Limits, RelationAccess, Replica, Tool, gather};

use super::connect::Connector;
use crate::error::{Error, Result};
use crate::model::TableName;

/// What the backup will do, as far as it matters here.
pub struct Options<'a> {
    /// Sessions that will read at the same time.
    pub jobs: u32,
    /// The pg_dump to use; `None` looks for one.
    pub pg_dump: Option<&'a Path>,
    /// Accept a server newer than those Lifeboat is tested with.
    pub allow_newer_server: bool,
    /// How much of a table or sequence the backup will hold.
    pub wants: &'a (dyn Fn(&TableName) -> Wanted + Sync),
    pub wants_large_objects: bool,
}

/// How much of a table a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Definition,
    Rows,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A backup would fail, or would miss something without noticing.
    Error,
    /// A backup works, but something about it is worth changing.
    Warning,
    /// Good to know.
    Info,
}

/// One thing that was found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Stable name of the check, for scripts.
    pub check: &'static str,
    /// What it is about, where it is about one thing.
    pub object: Option<String>,
    pub problem: String,
    pub fix: String,
}

impl Finding {
    /// A failure to do what a check needs, as a finding of that check.
    pub fn from_error(check: &'static str, error: &Error) -> Self {
        Self {
            severity: Severity::Error,
            check,
            object: None,
            problem: error.message(),
            fix: error.hint_text().unwrap_or_default().to_owned(),
        }
    }
}

/// Everything that was found, errors first, then in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The error to end with when the work is refused: every obstacle, and every way out.
    pub fn refusal(&self) -> Option<Error> {
        let errors: Vec<&Finding> = self.findings.iter().filter(|f| f.severity == Severity::Error).collect();
        if errors.is_empty() {
            return None;
        }
        let problems: Vec<&str> = errors.iter().map(|f| f.problem.as_str()).collect();
        let mut fixes: Vec<&str> = errors.iter().map(|f| f.fix.as_str()).collect();
        fixes.dedup();
        Some(Error::preflight(problems.join("; ")).hint(fixes.join("; ")))
    }
}

/// Asks and decides. Fails only when the server cannot be asked.
pub async fn preflight(connector: &Connector, options: &Options<'_>) -> Result<Report> {
    Ok(assess(&gather(connector, options.pg_dump).await?, options))
}
