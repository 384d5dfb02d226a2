//! Records: small JSON objects that people can read and nobody can alter unseen.
//!
//! Stored as the pretty-printed body and one last line `{"mac":"…","mac_key":"…","sha256":"…"}`. The MAC is HMAC-SHA-256
//! under the record key over the exact bytes of the body, its line feed included; the SHA-256 of the same bytes tells damage
//! from a wrong key before any key is at hand. The body names its own kind and object key, so that a record moved to another
//! place is refused although its MAC is right. The last line has one spelling only: any changed byte of a record is found.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::keys::Keys;
use super::{FEATURES, FORMAT_VERSION};
use crate::error::{Error, Result};
use crate::model::KeyId;

/// The content is nested, not flattened: no field of it can ever be taken for one of ours.
#[derive(Serialize, Deserialize)]
struct Body<T> {
    record: String,
    object: String,
    format: u32,
    /// Names of features without which a reader would misunderstand this record.
    requires: Vec<String>,
    content: T,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    mac: String,
    mac_key: KeyId,
    sha256: String,
}

impl Trailer {
    fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("plain values serialise");
        line.push(b'\n');
        line
    }
}

/// The bytes to store at `key`.
pub fn encode<T: Serialize>(keys: &Keys, kind: &str, key: &str, content: &T) -> Vec<u8> {
    let body =
        Body { record: kind.to_owned(), object: key.to_owned(), format: FORMAT_VERSION, requires: Vec::new(), content };
    let mut bytes = serde_json::to_vec_pretty(&body).expect("plain values serialise");
    bytes.push(b'\n');
    let mac = hex::encode(keys.record_mac(&bytes));
    let trailer = Trailer { mac, mac_key: keys.id, sha256: hex::encode(Sha256::digest(&bytes)) };
    bytes.extend_from_slice(&trailer.to_line());
    bytes
}

/// A record as it was read: undamaged, but not yet believed.
#[derive(Debug)]
pub struct Unverified<'a> {
    key: &'a str,
    body: &'a [u8],
    mac: [u8; 32],
    /// Which key's record key made the MAC.
    pub mac_key: KeyId,
}

impl<'a> Unverified<'a> {
    /// Errors: `Verification` for bytes that are no record, or that changed since they were written.
    pub fn parse(key: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let parse = || {
            let end = bytes.len().checked_sub(1)?;
            let (body, line) = bytes.split_at(memchr::memrchr(b'\n', &bytes[..end])? + 1);
            let trailer: Trailer = serde_json::from_slice(line).ok()?;
            let mut mac = [0; 32];
            hex::decode_to_slice(&trailer.mac, &mut mac).ok()?;
            let canonical = Trailer { mac: hex::encode(mac), sha256: hex::encode(Sha256::digest(body)), ..trailer };
            (canonical.to_line() == line).then_some(Self { key, body, mac, mac_key: trailer.mac_key })
        };
        parse()
            .ok_or_else(|| Error::verification(format!("{key} is damaged: its bytes are not those that were written")))
    }

    /// The content, once the MAC, the kind and the place are proven.
    ///
    /// Errors: `Verification`; `Configuration` for a record that only a newer Lifeboat understands.
    pub fn verify<T: DeserializeOwned>(&self, keys: &Keys, kind: &str) -> Result<T> {
        if keys.id != self.mac_key || !keys.record_mac_matches(self.body, &self.mac) {
            return Err(Error::verification(format!("{} was altered: its MAC does not match", self.key)));
        }
        self.content(kind)
    }

    /// The content without proof. Only for finding the key that proves it.
    pub fn content<T: DeserializeOwned>(&self, kind: &str) -> Result<T> {
        // In two steps, so that a newer record is called newer, not damaged.
        let body: Body<&serde_json::value::RawValue> = self.parse_json(self.body)?;
        if body.record != kind || body.object != self.key {
            let found = format!("{} holds the {} record of {}", self.key, body.record, body.object);
            return Err(Error::verification(format!("{found}: it was moved or copied there")));
        }
        refuse_newer(self.key, body.format, &body.requires)?;
        self.parse_json(body.content.get().as_bytes())
    }

    fn parse_json<'b, B: Deserialize<'b>>(&self, json: &'b [u8]) -> Result<B> {
        serde_json::from_slice(json)
            .map_err(|e| Error::verification(format!("{} is not a record of its kind", self.key)).because(e))
    }
}

/// Errors: `Configuration` when `what` has a later format, or needs a feature that this engine does not know.
pub fn refuse_newer(what: &str, format: u32, features: &[String]) -> Result<()> {
    let unknown = features.iter().find(|f| !FEATURES.contains(&f.as_str()));
    if unknown.is_none() && format <= FORMAT_VERSION {
        return Ok(());
    }
    let feature = unknown.map(|f| format!(" with the feature {f:?}")).unwrap_or_default();
    Err(Error::configuration(format!("{what} has format {format}{feature}, newer than this Lifeboat"))
        .hint("update Lifeboat; an older one neither reads nor deletes there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::fuzz::fuzz;
    use crate::vault::keys::SecretKey;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn keys() -> Keys {
        Keys::derive(KeyId([3; 8]), &SecretKey::random())
    }

    #[test]
    fn a_record_is_refused_in_another_place_or_as_another_kind() {
        let keys = keys();
        let bytes = encode(&keys, "hold", "a/b.json", &json!({"x": 1}));
        let read = |key, kind| Unverified::parse(key, &bytes).unwrap().verify::<Value>(&keys, kind);
        assert_eq!(read("a/b.json", "hold").unwrap(), json!({"x": 1}));
        assert!(read("a/c.json", "hold").is_err());
        assert!(read("a/b.json", "tombstone").is_err());
    }

    #[test]
    fn a_record_may_have_fields_named_like_the_envelope() {
        let keys = keys();
        let content = json!({"record": 1, "object": 2, "format": 3, "requires": 4, "content": 5, "key": 6, "mac": 7});
        let bytes = encode(&keys, "hold", "a/b.json", &content);
        assert_eq!(Unverified::parse("a/b.json", &bytes).unwrap().verify::<Value>(&keys, "hold").unwrap(), content);
    }

    #[test]
    fn a_record_signed_with_another_key_is_refused() {
        let bytes = encode(&keys(), "hold", "a/b.json", &json!({}));
        let read = Unverified::parse("a/b.json", &bytes).unwrap().verify::<Value>(&keys(), "hold");
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Verification);
    }

    #[test]
    fn a_record_that_needs_a_later_lifeboat_says_so() {
        for (format, features) in [(FORMAT_VERSION + 1, vec![]), (FORMAT_VERSION, vec!["masking".to_owned()])] {
            assert_eq!(refuse_newer("it", format, &features).unwrap_err().kind(), ErrorKind::Configuration);
        }
        assert!(refuse_newer("it", FORMAT_VERSION, &[]).is_ok());
    }

    #[test]
    fn a_record_with_anything_changed_is_refused() {
        let keys = keys();
        let content = json!({"reason": "audit", "n": 12, "deep": [[{"a": [1, 2]}]]});
        let [one, other] = ["a/b.json", "a/c.json"].map(|key| encode(&keys, "hold", key, &content));
        fuzz(&[&one, &other], |bytes| {
            let read = Unverified::parse("a/b.json", bytes).and_then(|read| read.verify::<Value>(&keys, "hold"));
            assert!(read.is_err() || bytes == one);
        });
    }

    /// What somebody who has the key could sign.
    #[test]
    fn a_body_with_anything_changed_under_a_right_mac_is_read_or_refused_without_panic() {
        let keys = keys();
        let whole = encode(&keys, "hold", "a/b.json", &json!({"reason": "audit", "n": 12, "deep": [[{"a": [1, 2]}]]}));
        let body = Unverified::parse("a/b.json", &whole).unwrap().body.to_vec();
        fuzz(&[&body], |body| {
            let body = [body, &b"\n"[..]].concat();
            let (mac, sha256) = (hex::encode(keys.record_mac(&body)), hex::encode(Sha256::digest(&body)));
            let bytes = [body, Trailer { mac, mac_key: keys.id, sha256 }.to_line()].concat();
            let _ = Unverified::parse("a/b.json", &bytes).unwrap().verify::<Value>(&keys, "hold");
        });
    }

    proptest! {
        #[test]
        fn any_changed_byte_of_a_record_is_found(at: prop::sample::Index, to: u8) {
            let keys = keys();
            let mut bytes = encode(&keys, "hold", "a/b.json", &json!({"reason": "audit", "n": 12}));
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            let read = Unverified::parse("a/b.json", &bytes).and_then(|r| r.verify::<Value>(&keys, "hold"));
            prop_assert_eq!(read.unwrap_err().kind(), ErrorKind::Verification, "byte {}", at);
        }

        #[test]
        fn any_cut_record_is_found(length: prop::sample::Index) {
            let bytes = encode(&keys(), "hold", "a/b.json", &json!({"reason": "audit"}));
            prop_assert!(Unverified::parse("a/b.json", &bytes[..length.index(bytes.len())]).is_err());
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Unverified::parse("k", &bytes).is_err());
        }
    }
}
