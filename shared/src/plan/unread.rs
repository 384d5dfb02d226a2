//! When a range of blocks need not be read again: the server itself shows that no row of it came, went or changed since the
//! parent was made.
//!
//! A row version never changes once it is written, so a range holds what it held when as many rows are visible in it as
//! then, and none of them is the work of a transaction that was not over then. Every such transaction's id is at or after
//! the *xmin* of the parent's snapshot; not its xmax, because a subtransaction that was under way has an id below it.
//!
//! That is an argument about one heap file on one server whose history has only grown. Everything here makes sure that it
//! is that: each condition was seen to matter.

use crate::model::{BlockRange, ClusterIdentity, Manifest, SnapshotFacts, TableEntry};
use crate::plan::read::{PlannedTable, Ranges};

/// Transactions that may have begun since the parent: ids are compared as 32-bit numbers, half of which are "before". What
/// is left of the half is for those that begin while the backup reads.
const MAX_TRANSACTIONS: u64 = (1 << 31) - (1 << 27);

/// A range that held less in the parent is read: that costs no more than to look.
const LOOK_FROM_BYTES: u64 = 32 << 10;

/// How much of the database a backup reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadPolicy {
    /// Every row, every time.
    #[default]
    All,
    /// Ranges that have changed since the parent.
    Changed,
}

/// A snapshot, and the server on which it was taken.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub cluster: &'a ClusterIdentity,
    pub snapshot: &'a SnapshotFacts,
}

/// The oldest transaction that was not over in the parent's snapshot: `txid % 2^32`, as rows have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon(pub u32);

/// Why every row is read although it might not have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    NoParent,
    OtherServer,
    OtherDatabase,
    Replica,
    /// Promoted, or rewound by a point-in-time restore.
    OtherTimeline,
    Restarted,
    /// The parent shows a later moment.
    NotLater,
    TooManyTransactions,
    /// A snapshot's text is not one.
    Unreadable,
}

impl Refusal {
    /// For people: why everything is read.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoParent => "there is no earlier backup to go by",
            Self::OtherServer => "the earlier backup is of another server",
            Self::OtherDatabase => "the earlier backup is of another database",
            Self::Replica => "this backup or the earlier one is of a replica",
            Self::OtherTimeline => "the server was promoted or restored since the earlier backup",
            Self::Restarted => "the server was started again since the earlier backup",
            Self::NotLater => "the server is not later than at the earlier backup",
            Self::TooManyTransactions => "too many transactions ran since the earlier backup",
            Self::Unreadable => "the earlier backup's snapshot cannot be read",
        }
    }
}

/// How the ranges of now are compared with the parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    pub horizon: Horizon,
    /// Unchanged ranges are read all the same, and must then be what the parent has: that is what shows that the rule held
    /// in the backups that relied on it.
    pub is_audit: bool,
}

/// Whether ranges can be compared with the parent's at all, and what is done with those that are unchanged: of `all_every`
/// backups in a row one reads them. The parent must have been chosen before the snapshot of now was taken.
pub fn comparison(parent: Option<&Manifest>, now: Moment<'_>, all_every: u32) -> Result<Comparison, Refusal> {
    let parent = parent.ok_or(Refusal::NoParent)?;
    let horizon = horizon(Moment { cluster: &parent.cluster, snapshot: &parent.snapshot }, now)?;
    Ok(Comparison { horizon, is_audit: parent.since_all_read + 1 >= all_every })
}

/// Whether ranges of the parent can be compared with those of now, and by which transaction.
fn horizon(parent: Moment<'_>, now: Moment<'_>) -> Result<Horizon, Refusal> {
    let (then_cluster, now_cluster) = (parent.cluster, now.cluster);
    let refuse = |refused: bool, why: Refusal| if refused { Err(why) } else { Ok(()) };
    refuse(then_cluster.system_identifier != now_cluster.system_identifier, Refusal::OtherServer)?;
    refuse(parent.snapshot.database_oid != now.snapshot.database_oid, Refusal::OtherDatabase)?;
    refuse(then_cluster.is_replica || now_cluster.is_replica, Refusal::Replica)?;
    refuse(then_cluster.timeline != now_cluster.timeline, Refusal::OtherTimeline)?;
    refuse(then_cluster.postmaster_started_at != now_cluster.postmaster_started_at, Refusal::Restarted)?;
    refuse(parent.snapshot.lsn > now.snapshot.lsn, Refusal::NotLater)?;
    let (then_min, then_max) = bounds(&parent.snapshot.snapshot).ok_or(Refusal::Unreadable)?;
    let (now_min, now_max) = bounds(&now.snapshot.snapshot).ok_or(Refusal::Unreadable)?;
    refuse(then_min > now_min || then_max > now_max, Refusal::NotLater)?;
    refuse(now_max - then_min > MAX_TRANSACTIONS, Refusal::TooManyTransactions)?;
    Ok(Horizon((then_min & u64::from(u32::MAX)) as u32))
}

/// xmin and xmax of `xmin:xmax:xip,…`.
fn bounds(snapshot: &str) -> Option<(u64, u64)> {
    let mut parts = snapshot.split(':');
    let (min, max) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (min <= max).then_some((min, max))
}

/// Whether a range of this table that has the same rows also has the same bytes, and the same place in the parent.
pub fn is_comparable(then: &TableEntry, now: &PlannedTable) -> bool {
    matches!(now.ranges, Ranges::Blocks { range_blocks, .. } if range_blocks == then.range_blocks)
        && now.is_text_fixed
        // Its condition may look at anything.
        && now.condition.is_none()
        && then.condition.is_none()
        && (then.oid, then.filenode) == (now.oid, now.filenode)
        && (&then.type_signature, then.encoding) == (&now.type_signature, now.encoding)
        && (&then.columns, &then.generated_columns) == (&now.columns, &now.generated)
}

/// Whether to look if this range is as the parent has it in its range from the same block on.
///
/// The parent's last range has no end, and may have got one since. The other way round it is no use: what is now behind the
/// last range's beginning may have been in several.
pub fn is_worth_a_look(then: BlockRange, then_bytes: u64, now: BlockRange) -> bool {
    then.first == now.first && (then.end == now.end || then.end.is_none()) && then_bytes >= LOOK_FROM_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Lsn;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn cluster() -> ClusterIdentity {
        ClusterIdentity {
            system_identifier: "7".into(),
            timeline: 1,
            postmaster_started_at: Timestamp::UNIX_EPOCH,
            version: 170_004,
            version_text: "17.4".into(),
            is_replica: false,
        }
    }

    fn snapshot(text: &str, lsn: u64) -> SnapshotFacts {
        SnapshotFacts {
            snapshot: text.into(),
            lsn: Lsn(lsn),
            database_oid: 5,
            taken_at: Timestamp::UNIX_EPOCH,
            replayed_at: None,
        }
    }

    #[test]
    fn each_condition_alone_is_enough_to_read_everything() {
        let (then, now) = ((cluster(), snapshot("100:110:100,105", 8)), (cluster(), snapshot("120:121:", 9)));
        let judge = |then: &(ClusterIdentity, SnapshotFacts), now: &(ClusterIdentity, SnapshotFacts)| {
            let moment = |of: &(ClusterIdentity, SnapshotFacts)| (of.0.clone(), of.1.clone());
            let (then, now) = (moment(then), moment(now));
            horizon(Moment { cluster: &then.0, snapshot: &then.1 }, Moment { cluster: &now.0, snapshot: &now.1 })
        };
        assert_eq!(judge(&then, &now), Ok(Horizon(100)));
        let other = |change: &dyn Fn(&mut ClusterIdentity, &mut SnapshotFacts)| {
            let mut changed = now.clone();
            change(&mut changed.0, &mut changed.1);
            changed
        };
        let cases: [(Refusal, (ClusterIdentity, SnapshotFacts)); 8] = [
            (Refusal::OtherServer, other(&|c, _| c.system_identifier = "8".into())),
            (Refusal::OtherDatabase, other(&|_, s| s.database_oid = 6)),
            (Refusal::Replica, other(&|c, _| c.is_replica = true)),
            (Refusal::OtherTimeline, other(&|c, _| c.timeline = 2)),
            (Refusal::Restarted, other(&|c, _| c.postmaster_started_at = Timestamp::MAX)),
            (Refusal::NotLater, other(&|_, s| s.lsn = Lsn(7))),
            (Refusal::NotLater, other(&|_, s| s.snapshot = "99:121:".into())),
            (Refusal::Unreadable, other(&|_, s| s.snapshot = "120".into())),
        ];
        for (refusal, changed) in cases {
            assert_eq!(judge(&then, &changed), Err(refusal));
        }
        let replica = (ClusterIdentity { is_replica: true, ..cluster() }, then.1.clone());
        assert_eq!(judge(&replica, &now), Err(Refusal::Replica));
        let same = judge(&then, &then);
        assert_eq!(same, Ok(Horizon(100)));
    }

    proptest! {
        /// By ids of 32 bits, as rows have them, everything that began since is younger than the horizon.
        #[test]
        fn whatever_began_since_is_within_the_half_of_the_circle(min in 3u64..1 << 40, width in 0u64..1000, since in 0u64..1 << 33) {
            let (then, now) = (snapshot(&format!("{min}:{}:", min + width), 1), snapshot(&format!("{0}:{0}:", min + width + since), 1));
            let cluster = cluster();
            let moment = |snapshot| Moment { cluster: &cluster, snapshot };
            let judged = horizon(moment(&then), moment(&now));
            match judged {
                Ok(Horizon(horizon)) => {
                    prop_assert_eq!(u64::from(horizon), min % (1 << 32));
                    let latest = (min + width + since) as u32;
                    prop_assert!(latest.wrapping_sub(horizon).cast_signed() >= 0);
                    prop_assert!(width + since <= MAX_TRANSACTIONS);
                }
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::TooManyTransactions);
                    prop_assert!(width + since > MAX_TRANSACTIONS);
                }
            }
        }

        #[test]
        fn any_text_as_a_snapshot_is_read_or_refused_without_panic(text in ".{0,40}|[0-9]{1,3}:[0-9]{1,3}") {
            let (cluster, odd, plain) = (cluster(), snapshot(&text, 1), snapshot("3:4:", 1));
            let moment = |snapshot| Moment { cluster: &cluster, snapshot };
            for (then, now) in [(&odd, &plain), (&plain, &odd)] {
                let judged = horizon(moment(then), moment(now));
                prop_assert!(judged.is_err() || bounds(&text).is_some());
            }
        }
    }
}
