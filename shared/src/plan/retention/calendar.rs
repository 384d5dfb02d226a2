//! Hours, days, weeks, months and years as people of one time zone count them.

use std::fmt;

use jiff::Zoned;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The hour, day, … that a moment belongs to.
    pub fn bucket(self, moment: &Zoned) -> Bucket {
        let date = moment.date();
        match self {
            Self::Hour => Bucket::Hour { start: date.at(moment.hour(), 0, 0, 0), offset: moment.offset() },
            Self::Day => Bucket::Day(date),
            Self::Week => {
                let week = date.iso_week_date();
                Bucket::Week { year: week.year(), week: week.week() }
            }
            Self::Month => Bucket::Month { year: date.year(), month: date.month() },
            Self::Year => Bucket::Year(date.year()),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One hour, day, … of the calendar. Shown as in ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// When clocks are set back an hour comes twice: the offset tells which.
    Hour {
        start: DateTime,
        offset: Offset,
    },
    Day(Date),
    /// The year that the week belongs to: not always that of its day.
    Week {
        year: i16,
        week: i8,
    },
    Month {
        year: i16,
        month: i8,
    },
    Year(i16),
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour { start, offset } => write!(f, "{}T{:02}{offset}", start.date(), start.hour()),
            Self::Day(date) => write!(f, "{date}"),
            Self::Week { year, week } => write!(f, "{year:04}-W{week:02}"),
            Self::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Self::Year(year) => write!(f, "{year:04}"),
        }
    }
}

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    fn buckets(at: &str, zone: &str) -> String {
        let at = at.parse::<Timestamp>().unwrap().to_zoned(TimeZone::get(zone).unwrap());
        Period::ALL.map(|period| period.bucket(&at).to_string()).join(" ")
    }

    #[test]
    fn a_moment_belongs_to_the_periods_of_its_time_zone() {
        assert_eq!(buckets("2026-11-21T02:00:00Z", "UTC"), "2026-11-21T02+00 2026-11-21 2026-W47 2026-11 2026");
        assert_eq!(
            buckets("2026-12-31T23:30:00Z", "Europe/Berlin"),
            "2027-01-01T00+01 2027-01-01 2026-W53 2027-01 2027"
        );
        assert_eq!(buckets("2024-12-30T12:00:00Z", "UTC"), "2024-12-30T12+00 2024-12-30 2025-W01 2024-12 2024");
        assert_eq!(buckets("2028-02-29T12:00:00Z", "UTC"), "2028-02-29T12+00 2028-02-29 2028-W09 2028-02 2028");
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_hours_of_one_day() {
        let first = buckets("2026-10-25T00:30:00Z", "Europe/Berlin");
        let second = buckets("2026-10-25T01:30:00Z", "Europe/Berlin");
        assert_eq!(first, "2026-10-25T02+02 2026-10-25 2026-W43 2026-10 2026");
        assert_eq!(second, "2026-10-25T02+01 2026-10-25 2026-W43 2026-10 2026");
    }
}
