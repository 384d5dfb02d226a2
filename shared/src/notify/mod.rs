//! Telling people. One kind of event, [`Alert`]; each channel turns it into what its readers want.
//!
//! An alert holds no secret and no row: its text is an [`Error`](crate::Error)'s or made from counts, names and times.

mod sns;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::model::{BackupId, DatabaseName};

pub use sns::Sns;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Will become critical if nobody acts.
    Warning,
    /// Somebody must act now.
    Critical,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that people should know of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// What happened, for filters: `backup_failed`, `verification_failed`, ….
    pub kind: String,
    pub severity: Severity,
    /// Which installation speaks: the stack's name.
    pub source: String,
    pub database: Option<DatabaseName>,
    pub backup: Option<BackupId>,
    /// One line: what happened, to what.
    pub title: String,
    /// For people: what happened, to what, and what to do.
    pub text: String,
    /// For programs.
    pub facts: Value,
}

impl Alert {
    /// The alert as lines for people.
    fn page(&self) -> String {
        let named = |name: &str, value: Option<String>| value.map(|value| format!("{name}: {value}\n"));
        let facts = [
            named("database", self.database.as_ref().map(ToString::to_string)),
            named("backup", self.backup.as_ref().map(ToString::to_string)),
            named("severity", Some(self.severity.to_string())),
            named("from", Some(self.source.clone())),
        ];
        format!("{}\n\n{}\n\n{}", self.title, self.text, String::from_iter(facts.into_iter().flatten()))
    }
}
