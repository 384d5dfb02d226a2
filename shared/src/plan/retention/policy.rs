//! How long backups are wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::calendar::Period;
use crate::error::{Error, Result};
use crate::model::Tier;

/// How long the backups of a database are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A tier that is not here keeps everything.
    pub tiers: BTreeMap<Tier, TierRules>,
    /// How long a backup stays that was not verified, or, from its failure on, that failed.
    pub unverified_for: Duration,
    pub partial_for: Duration,
    pub safety_for: Duration,
}

/// The rules of one tier; a backup stays that any of them wants. Of the counts, 0 is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierRules {
    pub keep_last: u32,
    pub keep_for: Option<Duration>,
    pub keep_hourly: u32,
    pub keep_daily: u32,
    pub keep_weekly: u32,
    pub keep_monthly: u32,
    pub keep_yearly: u32,
    /// Verified backups that stay whatever their age.
    pub keep_at_least: NonZeroU32,
}

impl TierRules {
    /// Rules that want nothing but the least number: a beginning to add to. As they are, they keep everything.
    pub const NONE: Self = Self {
        keep_last: 0,
        keep_for: None,
        keep_hourly: 0,
        keep_daily: 0,
        keep_weekly: 0,
        keep_monthly: 0,
        keep_yearly: 0,
        keep_at_least: NonZeroU32::new(3).expect("not zero"),
    };

    pub const fn last(count: u32) -> Self {
        Self { keep_last: count, ..Self::NONE }
    }

    pub const fn days(days: u64) -> Self {
        Self { keep_for: Some(days_long(days)), ..Self::NONE }
    }

    /// Whether there is no rule by which a backup could become too old.
    pub fn is_empty(&self) -> bool {
        Self { keep_at_least: Self::NONE.keep_at_least, ..*self } == Self::NONE
    }

    /// How many of each period are wanted.
    pub fn periods(&self) -> impl Iterator<Item = (Period, u32)> + use<> {
        let counts = [self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly];
        Period::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}

/// Days of 24 hours, as durations are written in a configuration.
const fn days_long(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// A policy with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// For schedules by the hour, day, week and month beside each other: so many of each.
    #[default]
    Standard,
    /// The same schedules, each kept for a time.
    Simple,
    /// For one schedule, hourly or daily, that thins out by itself over the years.
    Gfs,
}

impl Preset {
    pub const ALL: [Self; 3] = [Self::Standard, Self::Simple, Self::Gfs];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Simple => "simple",
            Self::Gfs => "gfs",
        }
    }

    pub fn policy(self) -> Policy {
        let tiers: &[(&str, TierRules)] = match self {
            Self::Standard => &[
                ("hourly", TierRules::last(48)),
                ("daily", TierRules::last(30)),
                ("weekly", TierRules::last(12)),
                ("monthly", TierRules::last(12)),
            ],
            // A year is never longer than 366 days, so twelve months are never short of one.
            Self::Simple => &[
                ("hourly", TierRules::days(2)),
                ("daily", TierRules::days(7)),
                ("weekly", TierRules::days(90)),
                ("monthly", TierRules::days(366)),
            ],
            Self::Gfs => &[
                ("hourly", TierRules { keep_hourly: 48, ..GFS_OF_DAYS }),
                ("daily", GFS_OF_DAYS),
                ("weekly", TierRules { keep_daily: 0, ..GFS_OF_DAYS }),
                ("monthly", TierRules { keep_daily: 0, keep_weekly: 0, ..GFS_OF_DAYS }),
            ],
        };
        let tiers = tiers.iter().chain(&MANUAL);
        Policy {
            tiers: tiers.map(|(name, rules)| (name.parse().expect("a good name"), *rules)).collect(),
            unverified_for: days_long(7),
            partial_for: days_long(90),
            safety_for: days_long(14),
        }
    }
}

/// In every preset.
const MANUAL: [(&str, TierRules); 1] = [("manual", TierRules::days(90))];

/// As deep as the counts of [`Preset::Standard`], and seven years, for which many have to keep their books.
const GFS_OF_DAYS: TierRules =
    TierRules { keep_daily: 30, keep_weekly: 12, keep_monthly: 12, keep_yearly: 7, ..TierRules::NONE };

impl Default for Policy {
    fn default() -> Self {
        Preset::default().policy()
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|preset| preset.as_str() == text);
        found.ok_or_else(|| {
            Error::usage(format!("{text:?} is not a retention preset")).hint("use standard, simple or gfs")
        })
    }
}
