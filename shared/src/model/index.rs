//! Where the rows of a table are: chunks, and the index parts that list them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::id::{ContentId, PackId};
use super::tally::{Fingerprint, Tally};
use crate::error::{Error, Result};

/// A sealed piece inside a pack, and what must come out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PieceRef {
    pub id: ContentId,
    pub pack: PackId,
    pub offset: u64,
    /// Bytes of the sealed piece in the pack.
    pub length: u64,
    /// Bytes after opening.
    pub plaintext_bytes: u64,
}

impl PieceRef {
    /// Where it is in its pack. Errors: `Verification` for a place that no object can have.
    pub fn range(&self) -> Result<Range<u64>> {
        let end = self.offset.checked_add(self.length);
        end.map(|end| self.offset..end).ok_or_else(|| {
            Error::verification(format!("a piece cannot be at {}+{} of its pack", self.offset, self.length))
        })
    }
}

/// Heap blocks from `first` up to, not including, `end`; the last range of a table has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockRange {
    pub first: u64,
    pub end: Option<u64>,
}

impl BlockRange {
    /// All that there is.
    pub const WHOLE: Self = Self { first: 0, end: None };
}

/// Some rows of one table: those in a block range, or a part of them when the range's rows are wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub range: BlockRange,
    /// Counts the chunks of one range from 0; a range without rows has one chunk without a piece.
    pub part: u32,
    pub tally: Tally,
    /// `None` exactly when there are no rows.
    pub piece: Option<PieceRef>,
}

/// The chunks of a run of block ranges of one table, in order of range and part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexPart {
    pub chunks: Vec<Chunk>,
}

/// The stored form: JSON, chunks as arrays, packs named once.
#[derive(Serialize, Deserialize)]
struct Stored {
    packs: Vec<PackId>,
    chunks: Vec<StoredChunk>,
}

/// `[first block, end block or null, part, rows, plaintext bytes, fingerprint, piece or null, fingerprint with the generated
/// columns or null]`
type StoredChunk = (u64, Option<u64>, u32, u64, u64, Fingerprint, Option<StoredPiece>, Option<Fingerprint>);

/// `[content id, index into packs, offset, length]`
type StoredPiece = (ContentId, usize, u64, u64);

impl IndexPart {
    /// Same chunks, same bytes: an unchanged part has an unchanged content id.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut packs: Vec<PackId> = self.packs().collect();
        packs.sort_unstable();
        packs.dedup();
        let place = |pack: &PackId| packs.binary_search(pack).expect("collected above");
        let chunks = self.chunks.iter().map(|c| {
            let piece = c.piece.map(|p| (p.id, place(&p.pack), p.offset, p.length));
            let Tally { rows, plaintext_bytes, fingerprint, generated } = c.tally;
            (c.range.first, c.range.end, c.part, rows, plaintext_bytes, fingerprint, piece, generated)
        });
        let stored = Stored { chunks: chunks.collect(), packs };
        serde_json::to_vec(&stored).expect("plain values serialise")
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::verification(format!("a chunk index is damaged: {why}"));
        let stored: Stored = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        let chunk = |(first, end, part, rows, plaintext_bytes, fingerprint, piece, generated): StoredChunk| {
            let piece = match piece {
                None => None,
                Some((id, pack, offset, length)) => {
                    let pack = *stored.packs.get(pack).ok_or_else(|| bad(format!("no pack number {pack}")))?;
                    Some(PieceRef { id, pack, offset, length, plaintext_bytes })
                }
            };
            if piece.is_some() != (rows > 0) {
                return Err(bad(format!("a chunk of {rows} rows with{} a piece", if rows > 0 { "out" } else { "" })));
            }
            let tally = Tally { rows, plaintext_bytes, fingerprint, generated };
            if rows == 0 && tally != Tally::default() {
                return Err(bad("a chunk without rows but with content".to_owned()));
            }
            Ok(Chunk { range: BlockRange { first, end }, part, tally, piece })
        };
        let chunks = stored.chunks.iter().copied().map(chunk).collect::<Result<_>>()?;
        Ok(Self { chunks })
    }

    /// The packs of its chunks, with repetitions.
    pub fn packs(&self) -> impl Iterator<Item = PackId> + '_ {
        self.chunks.iter().filter_map(|c| Some(c.piece?.pack))
    }

    pub fn tally(&self) -> Tally {
        self.chunks.iter().map(|c| &c.tally).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;
    use proptest::prelude::*;

    fn chunk() -> impl Strategy<Value = Chunk> {
        let sums = (any::<u128>(), any::<Option<u128>>());
        let fields = (any::<u64>(), any::<Option<u64>>(), any::<u32>(), 0u64..3, any::<u64>(), sums);
        let piece = (any::<[u8; 32]>(), 0u8..4, any::<u64>(), any::<u64>());
        (fields, piece).prop_map(|((first, end, part, rows, bytes, (sum, generated)), (id, pack, offset, length))| {
            Chunk {
                range: BlockRange { first, end },
                part,
                tally: if rows == 0 {
                    Tally::default()
                } else {
                    Tally {
                        rows,
                        plaintext_bytes: bytes,
                        fingerprint: Fingerprint(sum),
                        generated: generated.map(Fingerprint),
                    }
                },
                piece: (rows > 0).then_some(PieceRef {
                    id: ContentId(id),
                    pack: PackId([pack; 32]),
                    offset,
                    length,
                    plaintext_bytes: bytes,
                }),
            }
        })
    }

    #[test]
    fn an_index_with_anything_changed_is_read_or_refused_without_panic() {
        let tally = Tally { rows: 3, plaintext_bytes: 33, fingerprint: Fingerprint(7), generated: None };
        let piece =
            PieceRef { id: ContentId([1; 32]), pack: PackId([2; 32]), offset: 0, length: 70, plaintext_bytes: 33 };
        let chunk = |first, end, part, piece: Option<PieceRef>| Chunk {
            range: BlockRange { first, end },
            part,
            tally: piece.map_or_else(Tally::default, |_| tally),
            piece,
        };
        let chunks = vec![
            chunk(0, Some(256), 0, Some(piece)),
            chunk(0, Some(256), 1, Some(PieceRef { offset: 70, pack: PackId([3; 32]), ..piece })),
            chunk(256, None, 0, None),
        ];
        fuzz(&[&IndexPart { chunks }.to_bytes()], |bytes| {
            let Ok(part) = IndexPart::from_bytes(bytes) else { return };
            assert!(part.chunks.len() + part.packs().count() <= bytes.len());
            let _ = part.tally();
            part.chunks.iter().filter_map(|chunk| chunk.piece).for_each(|piece| drop(piece.range()));
        });
    }

    proptest! {
        #[test]
        fn an_index_part_survives_its_stored_form(chunks in prop::collection::vec(chunk(), 0..30)) {
            let part = IndexPart { chunks };
            prop_assert_eq!(IndexPart::from_bytes(&part.to_bytes()).unwrap(), part);
        }

        #[test]
        fn a_place_beyond_all_objects_is_refused_without_panic(offset: u64, length: u64) {
            let at = PieceRef { id: ContentId([0; 32]), pack: PackId([0; 32]), offset, length, plaintext_bytes: 0 };
            prop_assert_eq!(at.range().ok(), offset.checked_add(length).map(|end| offset..end));
        }

        #[test]
        fn a_damaged_index_is_an_error_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            prop_assert!(IndexPart::from_bytes(&bytes).is_err());
        }
    }
}
