//! How much something matters, and why people are told of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

impl FromStr for Severity {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Info, Self::Warning, Self::Critical];
        let unknown = || Error::usage("it is neither \"info\" nor \"warning\" nor \"critical\"");
        all.into_iter().find(|severity| severity.as_str() == text).ok_or_else(unknown)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// It was not there before.
    Opened,
    /// It has become more severe.
    Worsened,
    /// It is still there.
    Repeated,
    /// It is over.
    Resolved,
}

impl Occasion {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
        }
    }
}
