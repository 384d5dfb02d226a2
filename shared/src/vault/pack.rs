//! Packs: sealed pieces one after another in one object, named by the SHA-256 of its bytes.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::piece::SealedPiece;
use crate::model::{ContentId, PackId, PieceRef};

/// Size at which a pack is closed: large enough that requests cost little, small enough for one PUT.
pub const PACK_BYTES: usize = 16 << 20;

/// Collects pieces until they fill a pack. `T` is the caller's name for a piece.
#[derive(Debug)]
pub struct PackBuffer<T> {
    bytes: Vec<u8>,
    pieces: Vec<Packed<T>>,
}

#[derive(Debug)]
struct Packed<T> {
    name: T,
    id: ContentId,
    offset: u64,
    length: u64,
    plaintext_bytes: u64,
}

/// A closed pack, ready to be stored.
#[derive(Debug)]
pub struct ClosedPack<T> {
    pub bytes: Bytes,
    pieces: Vec<Packed<T>>,
}

impl<T> Default for PackBuffer<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), pieces: Vec::new() }
    }
}

impl<T> PackBuffer<T> {
    /// Adds a piece; gives back a pack that is full.
    pub fn push(&mut self, name: T, piece: &SealedPiece) -> Option<ClosedPack<T>> {
        self.pieces.push(Packed {
            name,
            id: piece.id,
            offset: self.bytes.len() as u64,
            length: piece.bytes.len() as u64,
            plaintext_bytes: piece.plaintext_bytes,
        });
        self.bytes.extend_from_slice(&piece.bytes);
        if self.bytes.len() >= PACK_BYTES { self.close() } else { None }
    }

    /// What is left, if anything.
    pub fn close(&mut self) -> Option<ClosedPack<T>> {
        if self.pieces.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes).into();
        Some(ClosedPack { bytes, pieces: std::mem::take(&mut self.pieces) })
    }
}

impl<T> ClosedPack<T> {
    /// Its name. Reads all bytes: call it off the async threads.
    pub fn id(&self) -> PackId {
        pack_id(&self.bytes)
    }

    /// Where each piece is, once the pack is stored as `pack`.
    pub fn into_refs(self, pack: PackId) -> impl Iterator<Item = (T, PieceRef)> {
        self.pieces.into_iter().map(move |p| {
            let Packed { name, id, offset, length, plaintext_bytes } = p;
            (name, PieceRef { id, pack, offset, length, plaintext_bytes })
        })
    }
}

/// SHA-256 of stored bytes.
pub fn pack_id(bytes: &[u8]) -> PackId {
    PackId(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(n: u8, length: usize) -> SealedPiece {
        SealedPiece { id: ContentId([n; 32]), bytes: vec![n; length], plaintext_bytes: length as u64 * 3 }
    }

    #[test]
    fn a_full_pack_says_where_each_of_its_pieces_is() {
        let mut buffer = PackBuffer::default();
        assert!(buffer.push('a', &piece(1, 10)).is_none());
        assert!(buffer.push('b', &piece(2, 20)).is_none());
        let full = buffer.push('c', &piece(3, PACK_BYTES)).expect("it is full");
        let (bytes, id) = (full.bytes.clone(), full.id());
        let refs: Vec<_> = full.into_refs(id).collect();
        assert_eq!(refs.iter().map(|(name, _)| *name).collect::<String>(), "abc");
        for (n, (_, at)) in refs.iter().enumerate() {
            let slice = &bytes[at.offset as usize..(at.offset + at.length) as usize];
            assert!(slice.iter().all(|b| usize::from(*b) == n + 1));
        }
        assert!(buffer.close().is_none());
    }
}
