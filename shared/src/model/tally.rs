//! The row fingerprint: what proves that a restored table holds the rows that were read.

use std::fmt;
use std::str::FromStr;

use memchr::memchr_iter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};

/// XXH3-128 (seed 0) of each COPY line without its line end, summed modulo 2^128. Does not depend on the order of rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let sum = u128::from_str_radix(text, 16).ok().map(Self);
        sum.filter(|sum| sum.to_string() == text)
            .ok_or_else(|| Error::verification("a row fingerprint is 32 lower-case hexadecimal digits"))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Rows counted, measured and fingerprinted. Tallies of parts add up to the tally of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    pub rows: u64,
    /// Length as COPY text, line ends included.
    pub plaintext_bytes: u64,
    pub fingerprint: Fingerprint,
}

impl Tally {
    /// Of COPY text that holds whole lines, each ended by a line feed.
    pub fn of_copy_text(text: &[u8]) -> Self {
        let mut rows = 0;
        let mut sum = 0u128;
        let mut start = 0;
        for end in memchr_iter(b'\n', text) {
            sum = sum.wrapping_add(xxh3_128(&text[start..end]));
            rows += 1;
            start = end + 1;
        }
        debug_assert_eq!(start, text.len(), "COPY text is cut at row ends");
        Self { rows, plaintext_bytes: text.len() as u64, fingerprint: Fingerprint(sum) }
    }

    pub fn add(&mut self, other: &Self) {
        // Saturating: no choice of damaged parts can add up to a small whole, or end the program.
        self.rows = self.rows.saturating_add(other.rows);
        self.plaintext_bytes = self.plaintext_bytes.saturating_add(other.plaintext_bytes);
        self.fingerprint.0 = self.fingerprint.0.wrapping_add(other.fingerprint.0);
    }
}

impl<'a> std::iter::Sum<&'a Tally> for Tally {
    fn sum<I: Iterator<Item = &'a Tally>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut whole, part| {
            whole.add(part);
            whole
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(rows: &[String]) -> Vec<u8> {
        rows.iter().flat_map(|row| format!("{row}\n").into_bytes()).collect()
    }

    proptest! {
        #[test]
        fn a_tally_does_not_depend_on_row_order_or_on_where_chunks_end(
            rows in prop::collection::vec("[a-z\\t\\\\]{0,9}", 0..40), cut in 0usize..40,
        ) {
            let mut reversed = rows.clone();
            reversed.reverse();
            let whole = Tally::of_copy_text(&lines(&rows));
            let (head, tail) = reversed.split_at(cut.min(rows.len()));
            let parts = [Tally::of_copy_text(&lines(head)), Tally::of_copy_text(&lines(tail))];
            prop_assert_eq!(parts.iter().sum::<Tally>(), whole);
            prop_assert_eq!(whole.rows, rows.len() as u64);
        }

        #[test]
        fn one_changed_row_changes_the_fingerprint(rows in prop::collection::vec("[a-z]{1,9}", 1..40), at in 0usize..40) {
            let before = Tally::of_copy_text(&lines(&rows));
            let mut changed = rows.clone();
            changed[at % rows.len()].push('!');
            prop_assert_ne!(Tally::of_copy_text(&lines(&changed)).fingerprint, before.fingerprint);
        }
    }

    #[test]
    fn a_fingerprint_has_one_spelling() {
        let text = "000000000000000000000000000000ab";
        assert_eq!(text.parse::<Fingerprint>().unwrap(), Fingerprint(0xab));
        for bad in ["ab", "000000000000000000000000000000AB", "+00000000000000000000000000000ab"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_doubled_row_is_not_a_missing_pair() {
        let twice = Tally::of_copy_text(b"a\na\n");
        assert_ne!(twice, Tally::default());
        assert_ne!(twice.fingerprint, Fingerprint::default());
    }
}
