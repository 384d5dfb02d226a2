//! When people are told of a finding: once when it comes, again while it stays, and once when it is over. Values in, a decision
//! out; what was told before is kept in the vault by [`crate::ops::watch`].

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Occasion, Severity};

/// The last that was told of a finding, or was to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastTold {
    pub occasion: Occasion,
    pub severity: Severity,
    /// When somebody set out to tell it.
    pub at: Timestamp,
    /// Whether it reached anybody.
    pub is_sent: bool,
}

/// How long silence lasts while a finding stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    pub critical: Duration,
    pub warning: Duration,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { critical: Duration::from_secs(4 * 3600), warning: Duration::from_secs(24 * 3600) }
    }
}

impl Repeats {
    /// What is only good to know is told once.
    fn after(self, severity: Severity) -> Option<Duration> {
        match severity {
            Severity::Critical => Some(self.critical),
            Severity::Warning => Some(self.warning),
            Severity::Info => None,
        }
    }
}

/// Who set out to tell something has so long to say that it arrived; then somebody else may.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What to tell now, of a finding that is there with a severity or is not there.
pub fn decide(last: Option<LastTold>, there: Option<Severity>, repeats: Repeats, now: Timestamp) -> Option<Occasion> {
    let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    let open = last.filter(|last| last.occasion != Occasion::Resolved);
    if let Some(lost) = last.filter(|last| !last.is_sent) {
        if since(lost.at) < PATIENCE {
            return None;
        }
        return Some(match (open, there) {
            (Some(open), Some(severity)) if severity > open.severity => Occasion::Worsened,
            (Some(open), Some(_)) => open.occasion,
            (None, Some(_)) => Occasion::Opened,
            (_, None) => Occasion::Resolved,
        });
    }
    match (open, there) {
        (None, None) => None,
        (None, Some(_)) => Some(Occasion::Opened),
        (Some(_), None) => Some(Occasion::Resolved),
        (Some(open), Some(severity)) if severity > open.severity => Some(Occasion::Worsened),
        (Some(open), Some(severity)) => {
            let is_due = repeats.after(severity).is_some_and(|after| since(open.at) >= after);
            is_due.then_some(Occasion::Repeated)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    /// Steps through the severities of a finding, looked at every so many minutes; gives what was told, and when.
    fn told(every: i64, history: &[(i64, Option<Severity>)], until: i64) -> Vec<(i64, Occasion)> {
        let (mut last, mut told) = (None, Vec::new());
        for minute in (0..until).step_by(usize::try_from(every).unwrap()) {
            let there = history.iter().rev().find(|(from, _)| *from <= minute).and_then(|(_, there)| *there);
            if let Some(occasion) = decide(last, there, Repeats::default(), at(minute)) {
                let severity = there.or(last.map(|last: LastTold| last.severity)).unwrap();
                last = Some(LastTold { occasion, severity, at: at(minute), is_sent: true });
                told.push((minute, occasion));
            }
        }
        told
    }

    #[test]
    fn a_finding_is_told_once_then_by_its_schedule_and_when_it_is_over() {
        use Occasion::*;
        use Severity::*;
        let day = 24 * 60;
        let critical = told(60, &[(60, Some(Critical)), (10 * 60, None)], day);
        assert_eq!(critical, [(60, Opened), (300, Repeated), (540, Repeated), (600, Resolved)]);
        let warning = told(60, &[(0, Some(Warning)), (50 * 60, None)], 3 * day);
        assert_eq!(warning, [(0, Opened), (day, Repeated), (2 * day, Repeated), (3000, Resolved)]);
        let worse = told(60, &[(0, Some(Warning)), (120, Some(Critical)), (180, Some(Warning))], day);
        assert_eq!(worse[..2], [(0, Opened), (120, Worsened)]);
        assert_eq!(worse.len(), 2, "less severe is told by the schedule of what it is now: {worse:?}");
        assert_eq!(told(60, &[(0, Some(Info)), (day, None)], 2 * day), [(0, Opened), (day, Resolved)]);
        assert_eq!(told(60, &[(0, None)], day), []);
        let again = told(60, &[(0, Some(Critical)), (60, None), (120, Some(Critical))], 180);
        assert_eq!(again, [(0, Opened), (60, Resolved), (120, Opened)]);
    }

    #[test]
    fn what_reached_nobody_is_told_again_after_a_while() {
        let lost = |occasion| Some(LastTold { occasion, severity: Severity::Warning, at: at(0), is_sent: false });
        let say = |last, there, minute| decide(last, there, Repeats::default(), at(minute));
        assert_eq!(say(lost(Occasion::Opened), Some(Severity::Warning), 9), None, "somebody may be at it");
        assert_eq!(say(lost(Occasion::Opened), Some(Severity::Warning), 10), Some(Occasion::Opened));
        assert_eq!(say(lost(Occasion::Opened), Some(Severity::Critical), 10), Some(Occasion::Worsened));
        assert_eq!(say(lost(Occasion::Repeated), Some(Severity::Warning), 10), Some(Occasion::Repeated));
        assert_eq!(say(lost(Occasion::Resolved), None, 10), Some(Occasion::Resolved));
        assert_eq!(say(lost(Occasion::Resolved), Some(Severity::Warning), 10), Some(Occasion::Opened));
        assert_eq!(say(lost(Occasion::Repeated), None, 10), Some(Occasion::Resolved));
    }

    fn severities() -> impl Strategy<Value = Option<Severity>> {
        prop::sample::select(vec![None, Some(Severity::Info), Some(Severity::Warning), Some(Severity::Critical)])
    }

    proptest! {
        /// Whatever comes and goes: nothing is resolved that was not open, nothing opens twice, and what stays critical is never
        /// silent for longer than its schedule.
        #[test]
        fn alerts_open_and_close_in_turn(history in prop::collection::vec((0..5000i64, severities()), 0..12)) {
            let mut history = history;
            history.sort_by_key(|(from, _)| *from);
            let mut is_open = false;
            for (_, occasion) in told(30, &history, 6000) {
                let was_open = is_open;
                is_open = occasion != Occasion::Resolved;
                prop_assert_eq!(was_open, occasion != Occasion::Opened);
            }
        }
    }
}
