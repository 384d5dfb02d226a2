//! Sealed pieces: compressed, encrypted, and bound to what they are.
//!
//! `"LBO1" | key id (8) | nonce (12) | AES-256-GCM(zstd(plaintext)) | tag (16)`, with the magic, the key id, the kind and the
//! content id as associated data. A piece opened as another kind, or in another's place, does not decrypt.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::keys::{Keys, random_bytes};
use crate::error::{Error, Result};
use crate::model::{ContentId, KeyId};

const MAGIC: &[u8; 4] = b"LBO1";
const KEY_ID_LEN: usize = 8;
const HEADER_LEN: usize = MAGIC.len() + KEY_ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;

/// What a piece holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// Rows of one table.
    Chunk,
    /// A run of chunks of one table.
    Index,
    Catalogue,
    /// The schema dump.
    Schema,
}

impl PieceKind {
    /// Its name in content ids and associated data, ended so that no name is the beginning of another's input.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Chunk => b"chunk\0",
            Self::Index => b"index\0",
            Self::Catalogue => b"catalogue\0",
            Self::Schema => b"schema\0",
        }
    }
}

/// A piece, ready to be packed.
#[derive(Debug)]
pub struct SealedPiece {
    pub id: ContentId,
    pub bytes: Vec<u8>,
    pub plaintext_bytes: u64,
}

pub fn content_id(keys: &Keys, kind: PieceKind, plaintext: &[u8]) -> ContentId {
    ContentId(keys.content_mac([kind.label(), plaintext]))
}

/// Seals pieces; one per thread, because it reuses its memory.
pub struct Sealer<'k> {
    keys: &'k Keys,
    compressor: Compressor<'static>,
    /// Room for what comes out of the compressor, which may want more than it fills.
    compressed: Vec<u8>,
}

/// The most room that a sealer keeps for the next piece.
const KEPT_BYTES: usize = 16 << 20;

impl<'k> Sealer<'k> {
    /// `level` is zstd's, 1 to 19.
    pub fn new(keys: &'k Keys, level: i32) -> Result<Self> {
        let compressor = Compressor::new(level).map_err(|e| Error::bug("zstd did not start").because(e))?;
        Ok(Self { keys, compressor, compressed: Vec::new() })
    }

    /// `id` must be the [`content_id`] of this kind and plaintext.
    pub fn seal(&mut self, kind: PieceKind, id: ContentId, plaintext: &[u8]) -> Result<SealedPiece> {
        self.compressed.clear();
        self.compressed.reserve(zstd_safe::compress_bound(plaintext.len()));
        self.compressor
            .compress_to_buffer(plaintext, &mut self.compressed)
            .map_err(|e| Error::bug("zstd could not compress").because(e))?;
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.compressed.len() + TAG_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.keys.id.0);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&self.compressed);
        self.compressed.shrink_to(KEPT_BYTES);
        let aad = associated_data(self.keys.id, kind, &id);
        let tag = self
            .keys
            .seal
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes[HEADER_LEN..])
            .map_err(|_| Error::bug("a piece is too long to encrypt"))?;
        bytes.extend_from_slice(tag.as_ref());
        Ok(SealedPiece { id, bytes, plaintext_bytes: plaintext.len() as u64 })
    }
}

/// Opens pieces; one per thread.
pub struct Opener<'k> {
    keys: &'k Keys,
    decompressor: Decompressor<'static>,
}

impl<'k> Opener<'k> {
    pub fn new(keys: &'k Keys) -> Result<Self> {
        let decompressor = Decompressor::new().map_err(|e| Error::bug("zstd did not start").because(e))?;
        Ok(Self { keys, decompressor })
    }

    /// The plaintext, proven to be what was sealed: decrypted, decompressed to exactly `plaintext_bytes`, hashing to `id`.
    ///
    /// Errors: kind `Verification`, with the reason, never with content.
    pub fn open(
        &mut self,
        kind: PieceKind,
        id: ContentId,
        plaintext_bytes: u64,
        mut sealed: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let key = key_of(&sealed)?;
        if key != self.keys.id {
            return Err(Error::verification(format!("it is sealed with the key {key}, not {}", self.keys.id)));
        }
        let nonce: [u8; NONCE_LEN] =
            sealed[MAGIC.len() + KEY_ID_LEN..HEADER_LEN].try_into().expect("length checked by key_of");
        let aad = associated_data(key, kind, &id);
        let compressed = self
            .keys
            .seal
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed[HEADER_LEN..])
            .map_err(|_| Error::verification("it does not decrypt: damaged, or another piece's bytes"))?;
        let wrong_size = || Error::verification("it does not decompress to its stated size");
        // Asked of the frame before memory is taken for what the reference says.
        let framed_bytes = zstd_safe::get_frame_content_size(compressed).ok().flatten();
        let capacity = usize::try_from(plaintext_bytes).map_err(|_| wrong_size())?;
        if framed_bytes != Some(plaintext_bytes) || plaintext_bytes > most_decompressed(compressed.len() as u64) {
            return Err(wrong_size());
        }
        let mut plaintext = Vec::new();
        plaintext
            .try_reserve_exact(capacity)
            .map_err(|e| Error::verification(format!("it is too big for memory: {capacity} bytes")).because(e))?;
        self.decompressor.decompress_to_buffer(compressed, &mut plaintext).map_err(|_| wrong_size())?;
        if plaintext.len() != capacity || content_id(self.keys, kind, &plaintext) != id {
            return Err(Error::verification("its content is not what its id says"));
        }
        Ok(plaintext)
    }
}

/// What a zstd frame of this many bytes can hold at most: its blocks have 128 KiB or less, and take 4 bytes or more.
fn most_decompressed(frame_bytes: u64) -> u64 {
    const BLOCK_BYTES: u64 = 128 << 10;
    (frame_bytes / 4).saturating_mul(BLOCK_BYTES)
}

/// The key that a sealed piece names.
pub fn key_of(sealed: &[u8]) -> Result<KeyId> {
    if sealed.len() < HEADER_LEN + TAG_LEN || !sealed.starts_with(MAGIC) {
        return Err(Error::verification("it is not a sealed piece"));
    }
    Ok(KeyId(sealed[MAGIC.len()..MAGIC.len() + KEY_ID_LEN].try_into().expect("length checked")))
}

fn associated_data(key: KeyId, kind: PieceKind, id: &ContentId) -> Vec<u8> {
    [&MAGIC[..], &key.0, kind.label(), &id.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;
    use crate::vault::keys::SecretKey;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::derive(KeyId([7; 8]), &SecretKey::random())
    }

    fn seal(keys: &Keys, kind: PieceKind, plaintext: &[u8]) -> SealedPiece {
        let id = content_id(keys, kind, plaintext);
        Sealer::new(keys, 1).unwrap().seal(kind, id, plaintext).unwrap()
    }

    proptest! {
        #[test]
        fn a_piece_opens_to_what_was_sealed(plaintext in prop::collection::vec(any::<u8>(), 0..5000)) {
            let keys = keys();
            let piece = seal(&keys, PieceKind::Chunk, &plaintext);
            let opened = Opener::new(&keys).unwrap().open(PieceKind::Chunk, piece.id, piece.plaintext_bytes, piece.bytes);
            prop_assert_eq!(opened.unwrap(), plaintext);
        }

        #[test]
        fn any_flipped_bit_is_found(plaintext in prop::collection::vec(any::<u8>(), 1..300), at: prop::sample::Index, bit in 0u8..8) {
            let keys = keys();
            let mut piece = seal(&keys, PieceKind::Chunk, &plaintext);
            let at = at.index(piece.bytes.len());
            piece.bytes[at] ^= 1 << bit;
            let opened = Opener::new(&keys).unwrap().open(PieceKind::Chunk, piece.id, piece.plaintext_bytes, piece.bytes);
            prop_assert!(opened.is_err());
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size: u64) {
            let keys = keys();
            let opened = Opener::new(&keys).unwrap().open(PieceKind::Index, ContentId([0; 32]), size % 1_000_000, bytes);
            prop_assert!(opened.is_err());
        }
    }

    /// Sealed with the right key around any frame: what only the key's owner could make.
    fn seal_frame(keys: &Keys, id: ContentId, frame: &[u8]) -> Vec<u8> {
        let mut sealed = frame.to_vec();
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let aad = associated_data(keys.id, PieceKind::Chunk, &id);
        keys.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed).unwrap();
        [&MAGIC[..], &keys.id.0, &nonce, &sealed].concat()
    }

    #[test]
    fn a_frame_with_anything_changed_opens_to_what_was_sealed_or_not_at_all() {
        let keys = keys();
        let plaintext = b"1\tada\n2\tbob\n".repeat(40);
        let id = content_id(&keys, PieceKind::Chunk, &plaintext);
        let frames = [1, 19].map(|level| zstd::bulk::compress(&plaintext, level).unwrap());
        let zeros = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
        let mut opener = Opener::new(&keys).unwrap();
        fuzz(&[&frames[0], &frames[1], &zeros], |frame| {
            let stated = zstd_safe::get_frame_content_size(frame).ok().flatten();
            let opened = opener.open(PieceKind::Chunk, id, stated.unwrap_or_default(), seal_frame(&keys, id, frame));
            assert!(opened.is_err() || opened.is_ok_and(|opened| opened == plaintext));
        });
    }

    /// A frame's header may say what its blocks can never hold.
    #[test]
    fn a_size_beyond_what_a_frame_can_hold_is_refused_before_memory_is_taken() {
        let keys = keys();
        let id = ContentId([0; 32]);
        let whole = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
        for size in [1_u64 << 33, 1 << 44, 1 << 60, u64::MAX - 2] {
            // Magic, one segment with eight bytes of size, then the blocks of another frame.
            let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &size.to_le_bytes(), &whole[9..]].concat();
            assert_eq!(zstd_safe::get_frame_content_size(&frame).ok().flatten(), Some(size));
            let refused = Opener::new(&keys).unwrap().open(PieceKind::Chunk, id, size, seal_frame(&keys, id, &frame));
            assert!(refused.unwrap_err().message().contains("stated size"), "{size}");
        }
    }

    /// The most that a frame can hold for its length is a run of one byte.
    #[test]
    fn what_compresses_best_still_opens() {
        let keys = keys();
        for length in [0, 1, 2, 100, 128 << 10, 32 << 20] {
            let plaintext = vec![b'x'; length];
            let piece = seal(&keys, PieceKind::Chunk, &plaintext);
            let opened =
                Opener::new(&keys).unwrap().open(PieceKind::Chunk, piece.id, piece.plaintext_bytes, piece.bytes);
            assert_eq!(opened.unwrap().len(), length);
        }
    }

    #[test]
    fn a_piece_is_bound_to_its_kind_its_id_its_size_and_its_key() {
        let keys = keys();
        let fresh = || seal(&keys, PieceKind::Chunk, b"rows\n").bytes;
        let id = content_id(&keys, PieceKind::Chunk, b"rows\n");
        let mut opener = Opener::new(&keys).unwrap();
        assert!(opener.open(PieceKind::Chunk, id, 5, fresh()).is_ok());
        assert!(opener.open(PieceKind::Index, id, 5, fresh()).is_err());
        assert!(opener.open(PieceKind::Chunk, ContentId([0; 32]), 5, fresh()).is_err());
        assert!(opener.open(PieceKind::Chunk, id, 4, fresh()).is_err());
        assert!(opener.open(PieceKind::Chunk, id, 6, fresh()).is_err());
        assert!(opener.open(PieceKind::Chunk, id, u64::MAX, fresh()).is_err());
        let other = Keys::derive(KeyId([8; 8]), &SecretKey::random());
        assert!(Opener::new(&other).unwrap().open(PieceKind::Chunk, id, 5, fresh()).is_err());
    }

    #[test]
    fn the_same_plaintext_seals_to_different_bytes_but_one_id() {
        let keys = keys();
        let (one, two) = (seal(&keys, PieceKind::Chunk, b"x"), seal(&keys, PieceKind::Chunk, b"x"));
        assert_eq!(one.id, two.id);
        assert_ne!(one.bytes, two.bytes);
        assert_ne!(one.id, content_id(&keys, PieceKind::Index, b"x"));
    }
}
