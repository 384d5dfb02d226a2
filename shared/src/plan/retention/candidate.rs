//! What the plan knows about one backup.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{BackupId, Depth, Purpose, Tier, VerdictSummary};

/// One published backup, with all that was said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: BackupId,
    pub tier: Tier,
    pub purpose: Purpose,
    /// The moment that it shows, as lists give it.
    pub at: Timestamp,
    /// In any order.
    pub verdicts: Vec<VerdictSummary>,
    /// Since when another backup's failed verification, still unanswered, names a pack that this one needs.
    pub damaged_since: Option<Timestamp>,
    /// Those that were not released. Whether they are over is found out here.
    pub holds: Vec<StandingHold>,
    pub standing: Standing,
}

/// A hold that nobody released. One that cannot be read has no `until`, and says so as its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingHold {
    pub hold: String,
    pub by: String,
    pub reason: String,
    pub until: Option<Timestamp>,
}

impl StandingHold {
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// Whether a backup is on its way out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Standing {
    Live,
    /// An earlier plan expired it; its tombstone is open.
    Expired,
    /// Somebody asked for it to be deleted; its tombstone is open.
    Deleted,
    /// The sweep deletes it; nothing brings it back.
    Condemned,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Expired => "expired before",
            Self::Deleted => "somebody deleted it",
            Self::Condemned => "the sweep is deleting it",
        })
    }
}

/// What a backup's verdicts say together.
///
/// A failure *stands* until a later success at its depth or deeper answers it: a `full` that failed after a good `quick` is
/// not answered by the next good `quick`, which did not look at what is broken. One that came at the same moment answers
/// nothing. So no backup whose newest verdict is a failure is ever taken for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nobody looked.
    Unverified,
    /// At least one success, and no failure stands; the deepest success.
    Verified(Depth),
    /// A failure stands, or the backup needs a pack that is known to be damaged: since the earliest of these.
    Failed { since: Timestamp },
}

impl Proof {
    pub fn of(verdicts: &[VerdictSummary], damaged_since: Option<Timestamp>) -> Self {
        let last_success = Depth::ALL.map(|depth| {
            let deep_enough = verdicts.iter().filter(|verdict| verdict.ok && verdict.depth >= depth);
            (depth, deep_enough.map(|verdict| verdict.at).max())
        });
        let answered = |failed: &VerdictSummary| {
            last_success.iter().any(|(depth, at)| *depth == failed.depth && at.is_some_and(|at| at > failed.at))
        };
        let standing = verdicts.iter().filter(|verdict| !verdict.ok && !answered(verdict)).map(|failed| failed.at);
        if let Some(since) = standing.chain(damaged_since).min() {
            return Self::Failed { since };
        }
        let deepest = verdicts.iter().filter(|verdict| verdict.ok).map(|verdict| verdict.depth).max();
        deepest.map_or(Self::Unverified, Self::Verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verdict(second: i64, depth: Depth, ok: bool) -> VerdictSummary {
        VerdictSummary { at: Timestamp::from_second(second).unwrap(), depth, ok }
    }

    #[test]
    fn a_failure_stands_until_a_later_look_as_deep_is_good() {
        use Depth::*;
        let proof = |said: &[(i64, Depth, bool)]| {
            let said: Vec<_> = said.iter().map(|&(second, depth, ok)| verdict(second, depth, ok)).collect();
            Proof::of(&said, None)
        };
        let failed = |second| Proof::Failed { since: Timestamp::from_second(second).unwrap() };
        assert_eq!(proof(&[]), Proof::Unverified);
        assert_eq!(proof(&[(1, Quick, true)]), Proof::Verified(Quick));
        assert_eq!(proof(&[(1, Full, true), (2, Quick, true)]), Proof::Verified(Full));
        assert_eq!(proof(&[(1, Quick, true), (2, Full, false)]), failed(2));
        assert_eq!(proof(&[(1, Quick, true), (2, Full, false), (3, Quick, true)]), failed(2));
        assert_eq!(proof(&[(2, Full, false), (3, Restore, true)]), Proof::Verified(Restore));
        assert_eq!(proof(&[(1, Restore, true), (2, Quick, false)]), failed(2));
        assert_eq!(proof(&[(2, Full, false), (3, Full, true), (4, Full, false), (5, Full, false)]), failed(4));
        assert_eq!(proof(&[(2, Full, false), (2, Restore, true)]), failed(2));
        let packs = Some(Timestamp::from_second(9).unwrap());
        assert_eq!(Proof::of(&[verdict(1, Full, true)], packs), failed(9));
    }

    proptest! {
        #[test]
        fn the_newest_verdict_is_never_a_failure_of_a_verified_backup(
            said in prop::collection::vec((0i64..6, 0usize..3, any::<bool>()), 1..8),
        ) {
            let mut said: Vec<_> =
                said.into_iter().map(|(second, depth, ok)| verdict(second, Depth::ALL[depth], ok)).collect();
            let proof = Proof::of(&said, None);
            let newest = said.iter().map(|verdict| verdict.at).max();
            let newest_failed = said.iter().any(|verdict| Some(verdict.at) == newest && !verdict.ok);
            prop_assert!(!(newest_failed && matches!(proof, Proof::Verified(_))));
            said.reverse();
            prop_assert_eq!(Proof::of(&said, None), proof);
        }
    }
}
