//! Cutting a range's rows into chunks, where the rows themselves say so.
//!
//! A chunk that the parent has is not stored again. Were chunks cut by size, a row more would move every cut behind it, and
//! were they as large as what is read at once, a row would cost all of that. So a chunk ends, once it has its least size,
//! with the first row whose hash is small enough for its length: where that is depends on the rows after the last cut, so
//! a change makes the chunk that it is in another one, and hardly ever those behind it. That costs the client a hash of one
//! row in seven, and nobody else anything.

use std::sync::Mutex;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::Encoding;

/// Which rule cuts chunks: any change of where they end needs another number. Chunks of two backups are only compared where
/// both cut by the same.
pub const CHUNKING: u32 = 1;

/// What a chunk has at least, but for a range's last one.
const LEAST_BYTES: usize = 384 << 10;
/// How much more it has on average. Only these rows are hashed, so it is small.
const MORE_BYTES: usize = 64 << 10;
/// A chunk ends with the row that reaches this.
const MOST_BYTES: usize = 1 << 20;
/// What almost every chunk fits into, with what arrived behind its end.
const BUFFER_BYTES: usize = 768 << 10;
/// Buffers that are kept when nobody needs them: as many as are in use at once on a machine of a few processors.
const MOST_BUFFERS: usize = 16;

/// What COPY's binary format begins with; an extension of the length in its last four bytes may follow.
pub(super) const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In the place of a row: there are no more.
pub(super) const BINARY_TRAILER: [u8; 2] = (-1i16).to_be_bytes();

/// Buffers that chunks were in and that others can be put into: given back to the allocator, their memory would go back to the
/// system and come from it again.
#[derive(Default)]
pub struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer of at least [`BUFFER_BYTES`].
    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().expect("no panic while held").pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Keeps the buffer of a chunk that nobody needs any more, unless it is of an unusual size or there are enough.
    pub fn give_back(&self, mut chunk: Vec<u8>) {
        let mut spare = self.0.lock().expect("no panic while held");
        if spare.len() < MOST_BUFFERS && (BUFFER_BYTES..=2 * BUFFER_BYTES).contains(&chunk.capacity()) {
            chunk.clear();
            spare.push(chunk);
        }
    }
}

/// Cuts a stream of rows into chunks.
///
/// Where they end depends on the rows alone, never on how they arrive: the same rows make the same chunks.
pub(super) struct Chunker<'b> {
    encoding: Encoding,
    buffers: &'b Buffers,
    chunk: Vec<u8>,
    /// Where the first row begins that was not looked at.
    row: usize,
    /// How far its end was looked for, in text.
    searched: usize,
    /// The binary format's header is still to come.
    wants_header: bool,
}

impl<'b> Chunker<'b> {
    pub fn new(encoding: Encoding, buffers: &'b Buffers) -> Self {
        let wants_header = encoding == Encoding::Binary;
        Self { encoding, buffers, chunk: Vec::new(), row: 0, searched: 0, wants_header }
    }

    /// Takes what arrived. It must be [`cut`](Self::cut) until nothing comes of it any more.
    pub fn push(&mut self, message: &[u8]) {
        if self.chunk.capacity() == 0 {
            self.chunk = self.buffers.take();
        }
        self.chunk.extend_from_slice(message);
    }

    /// Gives a chunk, once there is one.
    pub fn cut(&mut self) -> Option<Vec<u8>> {
        if self.wants_header && !self.drop_header() {
            return None;
        }
        let end = self.end_of_chunk()?;
        let mut rest = self.buffers.take();
        rest.extend_from_slice(&self.chunk[end..]);
        self.chunk.truncate(end);
        (self.row, self.searched) = (0, 0);
        Some(std::mem::replace(&mut self.chunk, rest))
    }

    /// Whether the header was there.
    fn drop_header(&mut self) -> bool {
        let Some(header) = self.chunk.first_chunk::<{ BINARY_HEADER.len() }>() else { return false };
        let extension: [u8; 4] = header[15..].try_into().expect("four bytes");
        let length = BINARY_HEADER.len() + u32::from_be_bytes(extension) as usize;
        if self.chunk.len() >= length {
            self.chunk.drain(..length);
            self.wants_header = false;
        }
        !self.wants_header
    }

    fn end_of_chunk(&mut self) -> Option<usize> {
        loop {
            let begin = self.row;
            let end = self.row_end()?;
            (self.row, self.searched) = (end, end);
            if end >= MOST_BYTES || begin >= LEAST_BYTES && ends_chunk(&self.chunk[begin..end]) {
                return Some(end);
            }
        }
    }

    /// Where the row ends that is to be looked at next. In text all that end before a chunk may are passed over.
    fn row_end(&mut self) -> Option<usize> {
        match self.encoding {
            Encoding::Text => {
                let end = self.encoding.row_end(&self.chunk, self.searched.max(LEAST_BYTES - 1));
                self.searched = self.chunk.len();
                end
            }
            Encoding::Binary => self.encoding.row_end(&self.chunk, self.row),
        }
    }

    /// What is left when the stream has ended; `None` when that is not whole rows.
    pub fn end(self) -> Option<Vec<u8>> {
        let Self { encoding, mut chunk, row, wants_header, .. } = self;
        let ends_well = match encoding {
            Encoding::Text => chunk.last().is_none_or(|last| *last == b'\n'),
            Encoding::Binary => {
                let ends_well = !wants_header && chunk[row..] == BINARY_TRAILER;
                chunk.truncate(row);
                ends_well
            }
        };
        ends_well.then_some(chunk)
    }
}

/// Of rows as of bytes, one in [`MORE_BYTES`] ends a chunk; a row of that length always does.
fn ends_chunk(row: &[u8]) -> bool {
    let share = u64::MAX / MORE_BYTES as u64;
    xxh3_64(row) <= share.saturating_mul(row.len() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Chunks that come of a stream that is delivered in pieces of `size`; `None` when it breaks off.
    fn cut(encoding: Encoding, stream: &[u8], size: usize) -> Option<Vec<Vec<u8>>> {
        let buffers = Buffers::default();
        let (mut chunker, mut chunks) = (Chunker::new(encoding, &buffers), Vec::new());
        for piece in stream.chunks(size) {
            chunker.push(piece);
            chunks.extend(std::iter::from_fn(|| chunker.cut()));
        }
        chunks.extend(Some(chunker.end()?).filter(|rest| !rest.is_empty()));
        Some(chunks)
    }

    /// A row of one column.
    fn encoded(encoding: Encoding, row: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Text => [row, b"\n"].concat(),
            Encoding::Binary => {
                let length = i32::try_from(row.len()).unwrap();
                [&1i16.to_be_bytes()[..], &length.to_be_bytes(), row].concat()
            }
        }
    }

    /// As COPY sends them.
    fn stream(encoding: Encoding, rows: &[Vec<u8>]) -> Vec<u8> {
        let rows = rows.iter().flat_map(|row| encoded(encoding, row)).collect();
        match encoding {
            Encoding::Text => rows,
            Encoding::Binary => [&BINARY_HEADER[..], &rows, &BINARY_TRAILER].concat(),
        }
    }

    fn rows(count: u32) -> Vec<Vec<u8>> {
        (0..count).map(|n| format!("{n}\tname {}\t{}", n % 977, "x".repeat(n as usize % 150)).into_bytes()).collect()
    }

    fn sizes(chunks: &[Vec<u8>]) -> Vec<usize> {
        chunks.iter().map(Vec::len).collect()
    }

    /// What is the same is found again by its bytes, so the network must not have a say in where chunks end.
    #[test]
    fn however_a_stream_arrives_its_chunks_are_the_same() {
        let rows = rows(60_000);
        for encoding in [Encoding::Text, Encoding::Binary] {
            let stream = stream(encoding, &rows);
            let chunks = cut(encoding, &stream, stream.len()).unwrap();
            assert!(chunks.len() > 6, "{:?}", sizes(&chunks));
            for size in [1 << 20, 128 << 10, 8191, 333] {
                assert_eq!(sizes(&cut(encoding, &stream, size).unwrap()), sizes(&chunks), "{encoding:?} {size}");
            }
            let all = chunks.concat();
            match encoding {
                Encoding::Text => assert_eq!(all, stream),
                Encoding::Binary => assert_eq!(all, stream[BINARY_HEADER.len()..stream.len() - 2]),
            }
            let (last, others) = chunks.split_last().unwrap();
            assert!(others.iter().all(|chunk| (LEAST_BYTES..MOST_BYTES + 200).contains(&chunk.len())));
            assert!(!last.is_empty());
            for chunk in &chunks {
                assert!(encoding.tally(chunk).is_some(), "whole rows");
            }
        }
    }

    #[test]
    fn rows_that_never_end_a_chunk_are_cut_by_size_and_long_ones_alone() {
        let text = |rows: &[Vec<u8>]| stream(Encoding::Text, rows);
        let dull =
            (1..=255).map(|bytes| vec![b'x'; bytes]).find(|row| !ends_chunk(&encoded(Encoding::Text, row))).unwrap();
        let rows = vec![dull; 2 * MOST_BYTES];
        let line_bytes = rows[0].len() + 1;
        let stream = text(&rows[..MOST_BYTES * 5 / 2 / line_bytes]);
        let most = MOST_BYTES.next_multiple_of(line_bytes);
        assert_eq!(sizes(&cut(Encoding::Text, &stream, 99_999).unwrap()), [most, most, stream.len() - 2 * most]);

        let long = |bytes: usize| vec![b'x'; bytes];
        let stream = text(&[long(MOST_BYTES + 3), long(5), long(LEAST_BYTES), long(MORE_BYTES), long(7)]);
        let chunks = sizes(&cut(Encoding::Text, &stream, 99_999).unwrap());
        assert_eq!(chunks, [MOST_BYTES + 4, 5 + 1 + LEAST_BYTES + 1 + MORE_BYTES + 1, 8]);
    }

    #[test]
    fn buffers_are_used_again_unless_they_are_odd_or_too_many() {
        let buffers = Buffers::default();
        let mut chunk = buffers.take();
        chunk.extend_from_slice(b"rows");
        let place = chunk.as_ptr();
        buffers.give_back(chunk);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0), "the same one, empty");
        for capacity in [0, BUFFER_BYTES / 2, 3 * BUFFER_BYTES] {
            buffers.give_back(Vec::with_capacity(capacity));
        }
        assert!(buffers.0.lock().unwrap().is_empty());
        (0..2 * MOST_BUFFERS).for_each(|_| buffers.give_back(Vec::with_capacity(BUFFER_BYTES)));
        assert_eq!(buffers.0.lock().unwrap().len(), MOST_BUFFERS);
    }

    #[test]
    fn what_breaks_off_is_no_chunk() {
        assert_eq!(cut(Encoding::Binary, &stream(Encoding::Binary, &[]), 1), Some(vec![]));
        let stream = stream(Encoding::Binary, &rows(3));
        for broken_off in [1, 20, stream.len() - 1, stream.len() - 5] {
            assert_eq!(cut(Encoding::Binary, &stream[..broken_off], 8191), None);
        }
        assert_eq!(cut(Encoding::Text, b"a\nb\n", 2), Some(vec![b"a\nb\n".to_vec()]));
        assert_eq!(cut(Encoding::Text, b"a\nb", 2), None);
        assert_eq!(cut(Encoding::Text, b"", 2), Some(vec![]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The point of it all. (A row that ends a chunk is in two, and those behind them follow another cut.)
        #[test]
        fn a_row_more_or_less_changes_the_chunk_that_it_is_in(at in 0usize..60_000, is_binary: bool, is_removed: bool) {
            let encoding = if is_binary { Encoding::Binary } else { Encoding::Text };
            let before = rows(60_000);
            let mut after = before.clone();
            prop_assume!(!ends_chunk(&encoded(encoding, &before[at])));
            if is_removed {
                after.remove(at);
            } else {
                after.insert(at, b"new".to_vec());
            }
            let chunks = |rows: &[Vec<u8>]| cut(encoding, &stream(encoding, rows), 128 << 10).unwrap();
            let known = chunks(&before);
            let new = chunks(&after).into_iter().filter(|chunk| !known.contains(chunk)).count();
            prop_assert_eq!(new, 1, "of {}", known.len());
        }
    }
}
