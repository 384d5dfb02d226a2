//! The row fingerprint: what proves that a restored table holds the rows that were read.

use std::borrow::Borrow;
use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// XXH3-128 (seed 0) of each row, a COPY line without its line end or a binary row, summed modulo 2^128. Does not depend on
/// the order of rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

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
    /// Length as they stand in chunks, line ends included.
    pub plaintext_bytes: u64,
    pub fingerprint: Fingerprint,
    /// Of the rows with their stored generated columns behind the others, in tables that have some. Chunks do not hold
    /// those columns: the server computes them again, and may come to something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<Fingerprint>,
}

impl Tally {
    /// Whether both are of the same rows, whatever was generated from them.
    pub fn same_rows(&self, other: &Self) -> bool {
        Self { generated: None, ..*self } == Self { generated: None, ..*other }
    }

    pub fn add(&mut self, other: &Self) {
        // Saturating: no choice of damaged parts can add up to a small whole, or end the program.
        self.rows = self.rows.saturating_add(other.rows);
        self.plaintext_bytes = self.plaintext_bytes.saturating_add(other.plaintext_bytes);
        self.fingerprint.add(other.fingerprint);
        if let Some(generated) = other.generated {
            self.generated.get_or_insert_default().add(generated);
        }
    }
}

impl<T: Borrow<Self>> Sum<T> for Tally {
    fn sum<I: Iterator<Item = T>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut whole, part| {
            whole.add(part.borrow());
            whole
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Encoding;
    use proptest::prelude::*;

    fn tally(text: &[u8]) -> Tally {
        Encoding::Text.tally(text).unwrap()
    }

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
            let whole = tally(&lines(&rows));
            let (head, tail) = reversed.split_at(cut.min(rows.len()));
            let parts = [tally(&lines(head)), tally(&lines(tail))];
            prop_assert_eq!(parts.iter().sum::<Tally>(), whole);
            prop_assert_eq!(whole.rows, rows.len() as u64);
        }

        #[test]
        fn one_changed_row_changes_the_fingerprint(rows in prop::collection::vec("[a-z]{1,9}", 1..40), at in 0usize..40) {
            let before = tally(&lines(&rows));
            let mut changed = rows.clone();
            changed[at % rows.len()].push('!');
            prop_assert_ne!(tally(&lines(&changed)).fingerprint, before.fingerprint);
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
        let twice = tally(b"a\na\n");
        assert_ne!(twice, Tally::default());
        assert_ne!(twice.fingerprint, Fingerprint::default());
    }
}
