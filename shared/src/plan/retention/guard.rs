//! A second look at a plan before anything is deleted: wrong clocks, wrong policies and lost configurations look like plans,
//! too, but like large ones.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::plan::{Outcome, RetentionPlan};
use crate::model::Tier;

/// How much may go at once without somebody saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the live backups.
    pub max_share_percent: u8,
    /// So few may always go, or a small vault would ask all the time.
    pub always_allowed: usize,
}

impl Default for Limits {
    /// Between two daily cleanups a third of the backups expires where `hourly` keeps its 48 and nothing else is there:
    /// no schedule that ships comes near a half.
    fn default() -> Self {
        Self { max_share_percent: 50, always_allowed: 3 }
    }
}

/// Why a plan is not carried out unless somebody confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "refused", rename_all = "snake_case")]
pub enum Refusal {
    /// No live backup would be left.
    Everything {
        live: usize,
    },
    TooMany {
        expiring: usize,
        live: usize,
        max_share_percent: u8,
        by_tier: BTreeMap<Tier, usize>,
    },
}

/// Whether the plan may be carried out. `is_confirmed`: somebody has seen it, and said yes.
pub fn check(plan: &RetentionPlan, limits: Limits, is_confirmed: bool) -> Result<(), Refusal> {
    let live = plan.decisions.iter().filter(|decision| !matches!(decision.outcome, Outcome::Leaving(_))).count();
    let expiring = plan.expiring().count();
    let Limits { max_share_percent, always_allowed } = limits;
    if is_confirmed || expiring == 0 {
        return Ok(());
    }
    if expiring == live {
        return Err(Refusal::Everything { live });
    }
    if expiring > always_allowed && expiring * 100 > live * usize::from(max_share_percent) {
        let mut by_tier = BTreeMap::new();
        plan.expiring().for_each(|decision| *by_tier.entry(decision.tier.clone()).or_default() += 1);
        return Err(Refusal::TooMany { expiring, live, max_share_percent, by_tier });
    }
    Ok(())
}

impl Refusal {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Everything { .. } => {
                "see `lifeboat cleanup --dry-run`; if nothing of this is wanted any more, `lifeboat cleanup --yes`"
            }
            Self::TooMany { .. } => {
                "a first cleanup, one after a long pause and one after a change of policy look like this, but so do a wrong \
                 clock and a wrong policy. See `lifeboat cleanup --dry-run`; if it is what you want, run \
                 `lifeboat cleanup --yes` once: later ones are small again"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything { live: 1 } => f.write_str("the only backup would be deleted"),
            Self::Everything { live } => write!(f, "all {live} backups would be deleted"),
            Self::TooMany { expiring, live, max_share_percent, by_tier } => {
                write!(f, "{expiring} of {live} backups would be deleted (")?;
                for (number, (tier, count)) in by_tier.iter().enumerate() {
                    write!(f, "{}{tier}: {count}", if number == 0 { "" } else { ", " })?;
                }
                write!(f, "), more than the {max_share_percent} % that may go at once")
            }
        }
    }
}
