//! Until when the PostgreSQL project mends a major version.

use jiff::civil::{Date, date};

/// From the project's versioning policy; `None` for a version that is not known here.
pub fn end_of_life(major: u32) -> Option<Date> {
    Some(match major {
        14 => date(2026, 11, 12),
        15 => date(2027, 11, 11),
        16 => date(2028, 11, 9),
        17 => date(2029, 11, 8),
        18 => date(2030, 11, 14),
        _ => return None,
    })
}

/// The major version that a tool's own words name: `pg_dump (PostgreSQL) 17.2 (Debian 17.2-1)`.
pub fn major_in(words: &str) -> Option<u32> {
    let number = |word: &str| word.split('.').next().and_then(|major| major.parse().ok());
    words.split_whitespace().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_version_is_read_from_its_words() {
        for (words, major) in [
            ("pg_dump (PostgreSQL) 17.2", Some(17)),
            ("18.6", Some(18)),
            ("pg_dump (PostgreSQL) 16beta1", None),
            ("", None),
        ] {
            assert_eq!(major_in(words), major, "{words}");
        }
    }
}
