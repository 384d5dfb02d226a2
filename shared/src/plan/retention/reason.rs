//! Why a backup stays or goes: facts, which `Display` puts into words.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::calendar::{Bucket, Period};
use super::candidate::StandingHold;
use crate::model::{BackupId, Depth};

/// Why a backup stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Keep {
    Held(StandingHold),
    /// It is dated later than now.
    InTheFuture,
    /// The newest verified complete backup of the database.
    NewestVerified {
        depth: Depth,
    },
    /// Its tier has no rules.
    NoRules,
    AmongLast {
        number: u32,
        keep_last: u32,
    },
    AtLeast {
        number: u32,
        keep_at_least: u32,
    },
    /// `keep_for` is not over.
    InTime {
        until: Timestamp,
    },
    NewestOf {
        period: Period,
        bucket: Bucket,
        number: u32,
        keep: u32,
    },
    /// It reaches back as far as possible while there are fewer periods than wanted.
    Oldest {
        period: Period,
        found: u32,
        keep: u32,
    },
    /// Nobody verified it yet.
    Unverified {
        until: Timestamp,
    },
    /// Its verification failed; somebody may look into it.
    Failed {
        since: Timestamp,
        until: Timestamp,
    },
    /// It is not known to be good, and there is not enough that would take its place.
    NotReplaced {
        newer_verified: u32,
        wanted: u32,
    },
    Partial {
        until: Timestamp,
    },
    Safety {
        until: Timestamp,
    },
}

/// Why a backup goes, as far as one rule is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Expire {
    NotAmongLast {
        keep_last: u32,
    },
    /// `keep_for` is over.
    OutOfTime {
        since: Timestamp,
    },
    NotNewestOf {
        period: Period,
        bucket: Bucket,
        newest: BackupId,
    },
    /// As many newer periods as wanted have a backup.
    TooOld {
        period: Period,
        bucket: Bucket,
        keep: u32,
    },
    Unverified {
        since: Timestamp,
    },
    Failed {
        since: Timestamp,
    },
    Partial {
        since: Timestamp,
    },
    Safety {
        since: Timestamp,
    },
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(StandingHold { by, reason, until, .. }) => {
                write!(f, "held by {by}: {reason}")?;
                until.map_or(Ok(()), |until| write!(f, " (until {until})"))
            }
            Self::InTheFuture => f.write_str("dated in the future"),
            Self::NewestVerified { depth } => write!(f, "newest verified backup ({depth})"),
            Self::NoRules => f.write_str("its tier keeps everything"),
            Self::AmongLast { number, keep_last } => write!(f, "number {number} of the last {keep_last}"),
            Self::AtLeast { number, keep_at_least } => write!(f, "number {number} of at least {keep_at_least}"),
            Self::InTime { until } => write!(f, "wanted until {until}"),
            Self::NewestOf { period, bucket, number, keep } => {
                write!(f, "newest of {period} {bucket}, number {number} of {keep}")
            }
            Self::Oldest { period, found, keep } => {
                write!(f, "oldest, while there are {found} of {keep} {period}s")
            }
            Self::Unverified { until } => write!(f, "not verified; given until {until}"),
            Self::Failed { since, until } => {
                write!(f, "failed its verification at {since}; given until {until}")
            }
            Self::NotReplaced { newer_verified, wanted } => {
                write!(f, "not known to be good, but only {newer_verified} of {wanted} newer ones are verified")
            }
            Self::Partial { until } => write!(f, "partial backup, wanted until {until}"),
            Self::Safety { until } => write!(f, "safety backup, wanted until {until}"),
        }
    }
}

impl fmt::Display for Expire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAmongLast { keep_last } => write!(f, "not among the last {keep_last}"),
            Self::OutOfTime { since } => write!(f, "wanted until {since}"),
            Self::NotNewestOf { period, bucket, newest } => write!(f, "{period} {bucket} has a newer one, {newest}"),
            Self::TooOld { period, bucket, keep } => {
                write!(f, "{period} {bucket} is before the last {keep} {period}s with a backup")
            }
            Self::Unverified { since } => write!(f, "not verified by {since}, and newer ones are"),
            Self::Failed { since } => write!(f, "failed its verification at {since}, and newer ones are good"),
            Self::Partial { since } => write!(f, "partial backup, wanted until {since}"),
            Self::Safety { since } => write!(f, "safety backup, wanted until {since}"),
        }
    }
}
