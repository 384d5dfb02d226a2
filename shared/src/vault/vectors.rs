//! The worked example of `docs/format.md`, computed: the document and the code cannot drift apart.

use std::collections::BTreeMap;

use super::keys::{Keys, MasterKey, Place, SecretKey, derived};
use super::piece::{Opener, PieceKind, content_id};
use super::{pack, record};
use crate::model::{
    BlockRange, Chunk, ContentId, Encoding, Hold, IndexPart, KeyId, PackEntry, PackId, PackList, PackOrigin, PieceRef,
    VaultId, WrappedKey,
};

const DOCUMENT: &str = include_str!("../../../docs/format.md");

/// The fenced block that begins with this line.
fn block(fence: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("\n```{fence}\n")).expect("the document has the block");
    rest.split_once("```").expect("the block ends").0
}

struct Example(BTreeMap<&'static str, &'static str>);

impl Example {
    fn read() -> Self {
        let pair = |line: &'static str| line.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        Self(block("text vectors").lines().map(|line| pair(line).expect("name = value")).collect())
    }

    fn text(&self, name: &str) -> &'static str {
        self.0[name]
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.text(name)).unwrap()
    }

    fn vault(&self) -> VaultId {
        self.text("vault id").parse().unwrap()
    }

    fn key(&self) -> KeyId {
        self.text("key id").parse().unwrap()
    }

    fn data_key(&self) -> SecretKey {
        SecretKey::from_slice(&self.bytes("data key")).unwrap()
    }

    fn keys(&self) -> Keys {
        Keys::derive(self.key(), &self.data_key())
    }

    fn content_id(&self) -> ContentId {
        self.text("content id").parse().unwrap()
    }

    fn pack(&self) -> PackId {
        self.text("pack").parse().unwrap()
    }
}

#[tokio::test]
async fn the_wrapped_key_opens_to_the_data_key() {
    let example = Example::read();
    let master = MasterKey::from_base64(&example.text("master key").into()).unwrap();
    let wrapped = WrappedKey::Master { sealed: example.text("wrapped key").to_owned() };
    let place = Place { vault: example.vault(), database: example.text("database"), key: example.key() };
    assert_eq!(master.unwrap(&wrapped, place).await.unwrap().expose(), example.data_key().expose());
}

#[test]
fn the_three_keys_derive_from_the_data_key() {
    let example = Example::read();
    for (name, purpose) in
        [("record key", "lifeboat/1/record"), ("id key", "lifeboat/1/content-id"), ("seal key", "lifeboat/1/seal")]
    {
        assert_eq!(hex::encode(derived(&example.data_key(), purpose).expose()), example.text(name), "{name}");
    }
}

#[test]
fn the_chunk_has_its_content_id_and_fingerprint() {
    let example = Example::read();
    let chunk = example.bytes("chunk");
    assert_eq!(content_id(&example.keys(), PieceKind::Chunk, &chunk), example.content_id());
    let tally = Encoding::Text.tally(&chunk).unwrap();
    assert_eq!((tally.rows, tally.fingerprint.to_string().as_str()), (2, example.text("fingerprint")));
}

#[test]
fn the_sealed_chunk_opens_and_its_pack_has_its_name() {
    let example = Example::read();
    let (sealed, chunk, keys) = (example.bytes("sealed chunk"), example.bytes("chunk"), example.keys());
    assert_eq!(pack::pack_id(&sealed), example.pack());
    let opened =
        Opener::new(&keys).unwrap().open(PieceKind::Chunk, example.content_id(), chunk.len() as u64, sealed).unwrap();
    assert_eq!(opened, chunk);
}

#[test]
fn the_index_and_the_pack_list_are_spelled_as_shown() {
    let example = Example::read();
    let length = example.bytes("sealed chunk").len() as u64;
    let tally = Encoding::Text.tally(&example.bytes("chunk")).unwrap();
    let piece = PieceRef {
        id: example.content_id(),
        pack: example.pack(),
        offset: 0,
        length,
        plaintext_bytes: tally.plaintext_bytes,
    };
    let chunk = Chunk { range: BlockRange::WHOLE, part: 0, tally, piece: Some(piece) };
    let index = IndexPart { chunks: vec![chunk] };
    assert_eq!(String::from_utf8(index.to_bytes()).unwrap(), example.text("index"));
    let packs = vec![PackEntry { pack: example.pack(), size_bytes: length, origin: PackOrigin::New }];
    let list = PackList { attempt: Some(example.text("attempt").to_owned()), packs };
    let lines = format!("attempt {}\n{}\n", example.text("attempt"), example.text("pack list"));
    assert_eq!(String::from_utf8(list.to_bytes()).unwrap(), lines);
}

#[test]
fn the_record_is_spelled_as_shown() {
    let example = Example::read();
    let hold = Hold {
        vault: example.vault(),
        database: example.text("database").parse().unwrap(),
        backup: "20261121T020000Z-daily-k7q2".parse().unwrap(),
        hold: "audit".to_owned(),
        reason: "legal".to_owned(),
        by: "ada@desk".to_owned(),
        at: "2026-11-21T03:00:00Z".parse().unwrap(),
        until: None,
    };
    let key = "databases/shop/holds/20261121T020000Z-daily-k7q2/audit.json";
    let stored = record::encode(&example.keys(), "hold", key, &hold);
    assert_eq!(String::from_utf8(stored).unwrap(), block("json record"));
}
