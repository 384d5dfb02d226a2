//! Many pieces at once: those that lie near each other in a pack come with one request.

use std::collections::VecDeque;
use std::ops::Range;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::database::DatabaseVault;
use super::piece::{Opener, PieceKind};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{IndexPart, KeyId, PackId, PieceRef, Shelf};
use crate::plan::batch::take_within;

/// What lies between two pieces and is read for nothing: it costs less than a request. A chunk of another table, mostly, which
/// another session read at the same time.
const GAP_BYTES: u64 = 256 << 10;
/// A request asks for no more, unless one piece is larger.
const RUN_BYTES: u64 = 16 << 20;
/// Requests under way for one caller.
const RUNS_AT_ONCE: usize = 4;
/// Of indexes that are in memory at the same time, in the form in which they are stored: that of some GB of rows.
const GROUP_BYTES: u64 = 2 << 20;

/// Pieces that one request reads: numbers into the pieces that are wanted.
#[derive(Debug, PartialEq, Eq)]
struct PieceRun {
    pack: PackId,
    /// Of the pack, in bytes.
    range: Range<u64>,
    pieces: Vec<usize>,
}

impl DatabaseVault {
    /// Reads and opens pieces from one shelf, in the order in which they are asked for. Each may be damaged or missing for itself, which is
    /// an error of kind `Verification` in its place; the outer error is one of the store.
    pub async fn pieces(
        &self,
        key: KeyId,
        kind: PieceKind,
        shelf: &Shelf,
        wanted: &[PieceRef],
    ) -> Result<Vec<Result<Vec<u8>>>> {
        let read = |run: PieceRun| async move {
            let opened = self.open_run(key, kind, shelf, wanted, &run).await?;
            Ok::<_, Error>(run.pieces.into_iter().zip(opened).collect::<Vec<_>>())
        };
        let opened: Vec<_> = stream::iter(runs(wanted)).map(read).buffer_unordered(RUNS_AT_ONCE).try_collect().await?;
        let nowhere = |(number, at): (usize, &PieceRef)| Some((number, Err(at.range().err()?)));
        let mut opened: Vec<(usize, Result<Vec<u8>>)> = opened.into_iter().flatten().collect();
        opened.extend(wanted.iter().enumerate().filter_map(nowhere));
        opened.sort_by_key(|(number, _)| *number);
        Ok(opened.into_iter().map(|(_, opened)| opened).collect())
    }

    /// Reads parts of indexes in the order in which they are asked for, as [`pieces`](Self::pieces) does, but only a few
    /// megabytes of them at a time: the index of a large table does not fit into memory together with what is made of it.
    pub fn index_parts(&self, key: KeyId, wanted: Vec<PieceRef>) -> BoxStream<'_, Result<Result<IndexPart>>> {
        let read = move |group: Vec<PieceRef>| async move { self.index_group(key, &group).await };
        stream::iter(groups(wanted)).then(read).map_ok(|parts| stream::iter(parts).map(Ok)).try_flatten().boxed()
    }

    async fn index_group(&self, key: KeyId, wanted: &[PieceRef]) -> Result<Vec<Result<IndexPart>>> {
        let opened = self.pieces(key, PieceKind::Index, &Shelf::Pool, wanted).await?;
        let named: Vec<(String, Result<Vec<u8>>)> =
            wanted.iter().map(|at| self.place(&Shelf::Pool, at)).zip(opened).collect();
        let parse = move || {
            let parse = |(place, json): (String, Result<Vec<u8>>)| {
                json.and_then(|json| IndexPart::from_bytes(&json).map_err(|error| error.context(place)))
            };
            named.into_iter().map(parse).collect()
        };
        tokio::task::spawn_blocking(parse).await.map_err(|e| Error::bug("reading an index failed").because(e))
    }

    async fn open_run(
        &self,
        key: KeyId,
        kind: PieceKind,
        shelf: &Shelf,
        wanted: &[PieceRef],
        run: &PieceRun,
    ) -> Result<Vec<Result<Vec<u8>>>> {
        let bytes = match self.pack_range(shelf, &run.pack, run.range.clone()).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() != ErrorKind::Verification => return Err(error),
            Err(error) if run.pieces.len() == 1 => return Ok(vec![Err(error)]),
            // The pack is too short for all of them, perhaps not for each.
            Err(_) => {
                let mut opened = Vec::with_capacity(run.pieces.len());
                for number in &run.pieces {
                    let alone = PieceRun { pack: run.pack, range: wanted[*number].range()?, pieces: vec![*number] };
                    opened.append(&mut Box::pin(self.open_run(key, kind, shelf, wanted, &alone)).await?);
                }
                return Ok(opened);
            }
        };
        let keys = self.keys(key).await?;
        let begin = run.range.start;
        let placed = |number: &usize| (wanted[*number], self.place(shelf, &wanted[*number]));
        let pieces: Vec<(PieceRef, String)> = run.pieces.iter().map(placed).collect();
        let open_all = move || {
            let mut opener = Opener::new(&keys)?;
            let open = |(at, place): (PieceRef, String)| {
                let from = usize::try_from(at.offset - begin).expect("within the bytes that were read");
                let to = from + usize::try_from(at.length).expect("within the bytes that were read");
                let opened = opener.open(kind, at.id, at.plaintext_bytes, bytes[from..to].to_vec());
                opened.map_err(|error| error.context(place))
            };
            Ok(pieces.into_iter().map(open).collect())
        };
        tokio::task::spawn_blocking(open_all).await.map_err(|e| Error::bug("opening pieces failed").because(e))?
    }

    /// Where a piece is, for people.
    pub(super) fn place(&self, shelf: &Shelf, at: &PieceRef) -> String {
        format!("the piece at {}+{} of {}", at.offset, at.length, self.pack_place(shelf, &at.pack))
    }
}

/// What is read together: one part of any size, or as many as are [`GROUP_BYTES`] when they are opened.
fn groups(wanted: Vec<PieceRef>) -> impl Iterator<Item = Vec<PieceRef>> {
    let mut wanted = VecDeque::from(wanted);
    let next = move || take_within(&mut wanted, usize::MAX, GROUP_BYTES, |at| at.plaintext_bytes);
    std::iter::repeat_with(next).take_while(|group| !group.is_empty())
}

/// Which requests read these pieces, in the order of packs and of places in them. Leaves out what no pack can hold.
fn runs(wanted: &[PieceRef]) -> Vec<PieceRun> {
    let place = |(number, at): (usize, &PieceRef)| Some((at.pack, at.range().ok()?, number));
    let mut places: Vec<(PackId, Range<u64>, usize)> = wanted.iter().enumerate().filter_map(place).collect();
    places.sort_by_key(|(pack, range, number)| (*pack, range.start, *number));
    let mut runs: Vec<PieceRun> = Vec::new();
    for (pack, range, number) in places {
        let follows = |run: &&mut PieceRun| {
            let end = run.range.end.max(range.end);
            run.pack == pack
                && range.start <= run.range.end.saturating_add(GAP_BYTES)
                && end - run.range.start <= RUN_BYTES
        };
        match runs.last_mut().filter(follows) {
            Some(run) => {
                run.range.end = run.range.end.max(range.end);
                run.pieces.push(number);
            }
            None => runs.push(PieceRun { pack, range, pieces: vec![number] }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContentId;
    use proptest::prelude::*;

    fn piece(pack: u8, offset: u64, length: u64) -> PieceRef {
        PieceRef { id: ContentId([0; 32]), pack: PackId([pack; 32]), offset, length, plaintext_bytes: 9 }
    }

    fn numbers(wanted: &[PieceRef]) -> Vec<Vec<usize>> {
        runs(wanted).into_iter().map(|run| run.pieces).collect()
    }

    #[test]
    fn neighbours_in_a_pack_are_read_with_one_request() {
        assert_eq!(numbers(&[piece(1, 0, 10), piece(1, 10, 10), piece(1, 21, 10)]), [[0, 1, 2]]);
        assert_eq!(numbers(&[piece(1, 21, 10), piece(1, 0, 10), piece(1, 0, 10)]), [[1, 2, 0]]);
        let apart = [piece(1, 0, 10), piece(2, 10, 10), piece(2, 20 + GAP_BYTES + 1, 10)];
        assert_eq!(numbers(&apart), [[0], [1], [2]]);
        assert_eq!(numbers(&[piece(1, 0, 10), piece(1, 10, RUN_BYTES)]), [[0], [1]]);
        assert!(numbers(&[]).is_empty());
        assert!(numbers(&[piece(1, u64::MAX, 1)]).is_empty());
    }

    proptest! {
        #[test]
        fn every_part_of_an_index_is_in_one_group_in_order_and_no_group_is_too_large_or_needless(
            sizes in prop::collection::vec(prop_oneof![0..99u64, 0..2 * GROUP_BYTES, Just(u64::MAX)], 0..60),
        ) {
            let wanted: Vec<PieceRef> =
                sizes.into_iter().map(|size| PieceRef { plaintext_bytes: size, ..piece(1, 0, 1) }).collect();
            let bytes = |group: &[PieceRef]| group.iter().fold(0u64, |sum, at| sum.saturating_add(at.plaintext_bytes));
            let groups: Vec<Vec<PieceRef>> = groups(wanted.clone()).collect();
            prop_assert_eq!(groups.concat(), &wanted[..]);
            for (group, next) in groups.iter().zip(groups.iter().skip(1)) {
                prop_assert!(bytes(group).saturating_add(next[0].plaintext_bytes) > GROUP_BYTES);
            }
            prop_assert!(groups.iter().all(|group| group.len() == 1 || bytes(group) <= GROUP_BYTES && !group.is_empty()));
        }

        #[test]
        fn every_piece_is_read_once_by_a_request_that_holds_it(
            wanted in prop::collection::vec((0..3u8, 0..4 * RUN_BYTES, 0..2 * RUN_BYTES), 0..60),
        ) {
            let wanted: Vec<PieceRef> = wanted.into_iter().map(|(pack, at, length)| piece(pack, at, length)).collect();
            let mut read = Vec::new();
            for run in runs(&wanted) {
                prop_assert!(run.pieces.len() == 1 || run.range.end - run.range.start <= RUN_BYTES);
                for number in run.pieces {
                    let range = wanted[number].range().unwrap();
                    prop_assert_eq!(wanted[number].pack, run.pack);
                    prop_assert!(run.range.start <= range.start && range.end <= run.range.end);
                    read.push(number);
                }
            }
            read.sort_unstable();
            prop_assert_eq!(read, (0..wanted.len()).collect::<Vec<_>>());
        }
    }
}
