//! Numbers, sizes and times as people read them.

use jiff::{Timestamp, tz::TimeZone};
pub use lifeboat::spell::bytes;

/// `1,234,567`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 table`, `12,000 tables`
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `850 ms`, `4.2 s`, `3 min 12 s`, `2 h 5 min`
pub fn duration_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..59_950 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => whole_seconds((ms + 500) / 1000),
    }
}

/// `12 s`, `3 min 12 s`, `2 h 5 min`
pub fn whole_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `just now`, `5 minutes ago`, `3 hours ago`, `2 days ago`; the date when that says more.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    let spell = |number: i64, unit: &str| format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" });
    match seconds {
        ..-60 => time(at),
        -60..60 => "just now".to_owned(),
        60..3600 => spell(seconds / 60, "minute"),
        3600..172_800 => spell(seconds / 3600, "hour"),
        172_800..2_592_000 => spell(seconds / 86_400, "day"),
        _ => at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string(),
    }
}

/// RFC 3339, to the second.
pub fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `91 %`, or nothing where there is no whole.
pub fn share(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| format!("{} %", (u128::from(part) * 100 / u128::from(whole)).min(100)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1234), "1,234");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "table"), "1 table");
    }

    #[test]
    fn durations_name_their_two_largest_units() {
        for (ms, text) in [
            (850, "850 ms"),
            (4_200, "4.2 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min 0 s"),
            (192_000, "3 min 12 s"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(duration_ms(ms), text);
        }
    }

    #[test]
    fn times_are_relative_while_that_helps() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (at, text) in [
            ("2026-11-21T11:59:30Z", "just now"),
            ("2026-11-21T11:59:00Z", "1 minute ago"),
            ("2026-11-20T12:00:00Z", "24 hours ago"),
            ("2026-11-19T12:00:00Z", "2 days ago"),
            ("2026-09-01T12:00:00Z", "2026-09-01"),
            ("2026-11-21T13:00:00Z", "2026-11-21T13:00:00Z"),
        ] {
            assert_eq!(ago(at.parse().unwrap(), now), text);
        }
    }

    #[test]
    fn a_share_of_nothing_is_not_said() {
        assert_eq!(share(91, 100).as_deref(), Some("91 %"));
        assert_eq!(share(0, 0), None);
    }
}
