//! How often a schedule comes round, so that a backup that it should have made and did not is missed.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, date};

use crate::error::{Error, Result};

/// A schedule of five fields, as in crontab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How old the newest backup of it may become: the longest time between two runs, and a while to make the next; an hour, or
    /// half of the time where that is less.
    pub expected_within: Duration,
}

/// Errors: `Usage`.
pub fn parse(text: &str) -> Result<Schedule> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let bad = |why: String| {
        Error::usage(format!("it is not a schedule of five fields, as in crontab: {why}"))
            .hint("every day at 02:00 is \"0 2 * * *\"")
    };
    let schedule = parser.parse(text).map_err(|error| bad(error.to_string()))?;
    let gap = longest_gap(&schedule).ok_or_else(|| bad("it never comes round twice".to_owned()))?;
    Ok(Schedule { expected_within: gap + Duration::from_secs(3600).min(gap / 2) })
}

/// The longest of the times between runs, of as many as say something: those of four years, the first thousand.
fn longest_gap(schedule: &Cron) -> Option<Duration> {
    const RUNS: usize = 1000;
    // Not a year in which anything starts: only the distances matter.
    let (from, until): (DateTime, DateTime) = (date(2025, 1, 1).into(), date(2029, 3, 2).into());
    let runs: Vec<DateTime> = schedule.iter_after(from).take(RUNS).take_while(|run| *run < until).collect();
    let gap = |pair: &[DateTime]| Duration::try_from(pair[1].duration_since(pair[0])).ok();
    runs.windows(2).filter_map(gap).max()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> f64 {
        parse(text).unwrap().expected_within.as_secs_f64() / 3600.0
    }

    #[test]
    fn a_backup_is_missed_an_hour_after_it_should_have_come() {
        assert_eq!(hours("0 2 * * *"), 25.0);
        assert_eq!(hours("0 * * * *"), 1.5);
        assert_eq!(hours("*/10 * * * *"), 0.25);
        assert_eq!(hours("30 4 * * SUN"), 7.0 * 24.0 + 1.0);
        assert_eq!(hours("0 3 1 * *"), 31.0 * 24.0 + 1.0);
        assert_eq!(hours("0 2 * * 1-5"), 3.0 * 24.0 + 1.0, "over the weekend nothing is missed");
        assert_eq!(hours("0 8,20 * * *"), 13.0);
        assert_eq!(hours("0 0 1 1 *"), 366.0 * 24.0 + 1.0, "a leap year is a year, too");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for bad in ["", "daily", "0 2 * *", "0 2 * * * *", "60 2 * * *", "0 2 30 2 *", "0 2 * * * 2026"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn no_text_is_too_odd(text in "[0-9*,/ LW#?a-zA-Z-]{0,24}") {
            if let Ok(Schedule { expected_within: within }) = parse(&text) {
                prop_assert!(within > Duration::from_secs(60), "{within:?}");
            }
        }
    }
}
