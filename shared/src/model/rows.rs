//! Rows as they stand in a chunk: one after another, in one of two encodings.

use std::ops::Range;

use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::tally::{Fingerprint, Tally};

/// How a table's rows are held in its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// COPY text format in the database's encoding, one row a line.
    Text,
    /// COPY binary format without its header and trailer: for rows whose text would be too long for a message of the
    /// server.
    Binary,
}

/// A field of a binary row that is null.
const NULL: i32 = -1;

impl Encoding {
    /// Where the row that begins at `from` ends, its line feed included; `None` when it is not whole.
    pub fn row_end(self, bytes: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Text => Some(from + memchr(b'\n', bytes.get(from..)?)? + 1),
            Self::Binary => {
                let (fields, mut at) = number::<2>(bytes, from)?;
                let fields = i16::from_be_bytes(fields);
                (fields >= 0).then_some(())?;
                for _ in 0..fields {
                    at = field_end(bytes, at)?;
                }
                Some(at)
            }
        }
    }

    /// Counts, measures and fingerprints rows; `None` when the last one is not whole.
    pub fn tally(self, bytes: &[u8]) -> Option<Tally> {
        let mut tally = Tally { plaintext_bytes: bytes.len() as u64, ..Tally::default() };
        for row in Rows::of(self, bytes) {
            tally.rows += 1;
            tally.fingerprint.include(&bytes[row?]);
        }
        Some(tally)
    }

    /// Takes the last `columns` columns off every row. Gives the rows without them, with the fingerprint of the rows as
    /// they came in their tally; `None` when a row is not whole or has fewer columns.
    pub fn split_off(self, bytes: &[u8], columns: usize) -> Option<(Vec<u8>, Tally)> {
        let mut rows = Vec::with_capacity(bytes.len());
        let (mut tally, mut with_all) = (Tally::default(), Fingerprint::default());
        for row in Rows::of(self, bytes) {
            let (row, begin) = (&bytes[row?], rows.len());
            with_all.include(row);
            match self {
                Self::Text => rows.extend_from_slice(without_last_fields(row, columns)),
                Self::Binary => push_without_last_fields(&mut rows, row, columns)?,
            }
            tally.rows += 1;
            tally.fingerprint.include(&rows[begin..]);
            if self == Self::Text {
                rows.push(b'\n');
            }
        }
        let plaintext_bytes = rows.len() as u64;
        Some((rows, Tally { plaintext_bytes, generated: Some(with_all), ..tally }))
    }
}

impl Fingerprint {
    /// Adds a row, without its line feed.
    fn include(&mut self, row: &[u8]) {
        self.0 = self.0.wrapping_add(xxh3_128(row));
    }
}

/// Where each row is, without its line feed; `None`, and then nothing more, where one is not whole.
struct Rows<'b> {
    encoding: Encoding,
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Rows<'b> {
    fn of(encoding: Encoding, bytes: &'b [u8]) -> Self {
        Self { encoding, bytes, at: 0 }
    }
}

impl Iterator for Rows<'_> {
    type Item = Option<Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let Some(end) = self.encoding.row_end(self.bytes, self.at) else {
            self.at = self.bytes.len();
            return Some(None);
        };
        let row = match self.encoding {
            Encoding::Text => self.at..end - 1,
            Encoding::Binary => self.at..end,
        };
        self.at = end;
        Some(Some(row))
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<([u8; N], usize)> {
    let end = at.checked_add(N)?;
    Some((bytes.get(at..end)?.try_into().ok()?, end))
}

fn field_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (length, at) = number::<4>(bytes, at)?;
    match i32::from_be_bytes(length) {
        NULL => Some(at),
        length => at.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= bytes.len()),
    }
}

/// In COPY text a tab is always between two fields: inside one it is written `\t`.
fn without_last_fields(row: &[u8], columns: usize) -> &[u8] {
    (0..columns).fold(row, |row, _| &row[..memrchr(b'\t', row).unwrap_or(0)])
}

fn push_without_last_fields(rows: &mut Vec<u8>, row: &[u8], columns: usize) -> Option<()> {
    let (fields, begin) = number::<2>(row, 0)?;
    let kept = usize::try_from(i16::from_be_bytes(fields)).ok()?.checked_sub(columns)?;
    let end = (0..kept).try_fold(begin, |at, _| field_end(row, at))?;
    rows.extend_from_slice(&i16::try_from(kept).ok()?.to_be_bytes());
    rows.extend_from_slice(&row[begin..end]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;
    use proptest::prelude::*;

    type Row = Vec<Option<Vec<u8>>>;

    fn binary(rows: &[Row]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in rows {
            bytes.extend((row.len() as i16).to_be_bytes());
            for field in row {
                match field {
                    None => bytes.extend(NULL.to_be_bytes()),
                    Some(value) => {
                        bytes.extend((value.len() as i32).to_be_bytes());
                        bytes.extend(value);
                    }
                }
            }
        }
        bytes
    }

    fn text(rows: &[Row]) -> Vec<u8> {
        let field = |field: &Option<Vec<u8>>| match field {
            None => "\\N".to_owned(),
            Some(value) => hex::encode(value),
        };
        let line = |row: &Row| row.iter().map(field).collect::<Vec<_>>().join("\t") + "\n";
        rows.iter().map(line).collect::<String>().into_bytes()
    }

    fn rows(columns: usize) -> impl Strategy<Value = Vec<Row>> {
        let field = prop::option::of(prop::collection::vec(any::<u8>(), 0..9));
        prop::collection::vec(prop::collection::vec(field, columns), 0..20)
    }

    proptest! {
        #[test]
        fn rows_of_both_encodings_are_counted_and_come_apart_where_they_end(rows in rows(3)) {
            for (encoding, bytes) in [(Encoding::Text, text(&rows)), (Encoding::Binary, binary(&rows))] {
                let tally = encoding.tally(&bytes).unwrap();
                prop_assert_eq!((tally.rows, tally.plaintext_bytes), (rows.len() as u64, bytes.len() as u64));
                for cut in 1..bytes.len() {
                    let ends_a_row = Rows::of(encoding, &bytes[..cut]).all(|row| row.is_some());
                    prop_assert_eq!(encoding.tally(&bytes[..cut]).is_some(), ends_a_row);
                }
            }
        }

        #[test]
        fn columns_that_are_split_off_leave_the_rows_without_them(rows in rows(4), columns in 0usize..=4) {
            let kept: Vec<Row> = rows.iter().map(|row| row[..4 - columns].to_vec()).collect();
            for (encoding, all, fewer) in
                [(Encoding::Text, text(&rows), text(&kept)), (Encoding::Binary, binary(&rows), binary(&kept))]
            {
                let (split, tally) = encoding.split_off(&all, columns).unwrap();
                prop_assert_eq!(&split, &fewer);
                let expected = encoding.tally(&fewer).unwrap();
                let generated = Some(encoding.tally(&all).unwrap().fingerprint);
                prop_assert_eq!(tally, Tally { generated, ..expected });
            }
        }
    }

    #[test]
    fn rows_with_anything_changed_are_rows_or_not_without_panic() {
        let rows = [vec![Some(b"one".to_vec()), None, Some(vec![])], vec![Some(vec![0; 40]), Some(vec![9]), None]];
        let samples = [b"1\t\\N\ta\\tb\n2\tx\t\n".to_vec(), text(&rows), binary(&rows)];
        fuzz(&samples.each_ref().map(Vec::as_slice), |bytes| {
            for encoding in [Encoding::Text, Encoding::Binary] {
                let tally = encoding.tally(bytes);
                assert!(tally.is_none_or(|tally| tally.rows <= bytes.len() as u64));
                let split = encoding.split_off(bytes, bytes.len() % 5);
                assert!(split.is_none_or(|(rows, _)| rows.len() <= bytes.len()));
            }
        });
    }
}
