//! The thresholds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Tier;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const GB: u64 = 1_000_000_000;

/// When a number becomes a warning, and when it is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits<T> {
    pub warning: T,
    pub critical: T,
}

impl<T: Copy + Ord> Limits<T> {
    /// With what somebody says instead. Who moves the warning alone moves the other along, by `far`.
    #[must_use]
    pub fn changed(self, warning: Option<T>, critical: Option<T>, far: impl Fn(T) -> T) -> Self {
        let moved = warning.map_or(self.critical, far);
        let warning = warning.unwrap_or(self.warning);
        Self { warning, critical: critical.unwrap_or(moved).max(warning) }
    }
}

/// What somebody expects of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TierHealth {
    /// The newest backup of the tier may be so old; at twice that it is critical.
    pub max_age: Option<Duration>,
}

/// Thresholds, for all databases alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPolicy {
    pub backup_age: Limits<Duration>,
    pub verified_age: Limits<Duration>,
    pub restore_age: Limits<Duration>,
    /// Of the jobs of 30 days.
    pub failure_rate_percent: u32,
    /// A backup takes too long at this, or at twice the median of those before it.
    pub duration: Duration,
    /// A change of the whole, up or down.
    pub size_change_percent: Limits<u32>,
    /// Of one table.
    pub rows_lost_percent: u32,
    /// What the database's objects may take up.
    pub quota_bytes: Option<u64>,
    pub quota_percent: u32,
    /// How old the key may be that seals new backups; nothing is said of it where nobody asks.
    pub key_age: Option<Duration>,
    /// The server's certificate is told when it ends within this; within a seventh of this it is critical.
    pub certificate: Duration,
    /// WAL that the server keeps for one of the database's logical replication slots.
    pub slot_lag_bytes: Limits<u64>,
    pub tiers: BTreeMap<Tier, TierHealth>,
    /// The least that a backup holds.
    pub floor_rows: u64,
    pub floor_plaintext_bytes: u64,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            backup_age: Limits { warning: 25 * HOUR, critical: 50 * HOUR },
            verified_age: Limits { warning: 26 * HOUR, critical: 50 * HOUR },
            restore_age: Limits { warning: 8 * DAY, critical: 35 * DAY },
            failure_rate_percent: 10,
            duration: 30 * Duration::from_secs(60),
            size_change_percent: Limits { warning: 25, critical: 50 },
            rows_lost_percent: 50,
            quota_bytes: None,
            quota_percent: 85,
            key_age: None,
            certificate: 21 * DAY,
            slot_lag_bytes: Limits { warning: 10 * GB, critical: 50 * GB },
            tiers: BTreeMap::new(),
            floor_rows: 0,
            floor_plaintext_bytes: 0,
        }
    }
}
