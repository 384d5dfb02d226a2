//! Records written without the engine: by somebody who has some key, and by somebody who has none.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Signs what it likes with one data key.
pub struct Forger {
    key: String,
    record_key: hmac::Key,
}

impl Forger {
    /// With the data key that is wrapped in this record: of the format, or of a keyring.
    pub fn with_key_of(record: &[u8], master: &SecretString) -> Self {
        let content = body_of(record)["content"].clone();
        let text = |field: &str| content[field].as_str().unwrap_or_default().to_owned();
        let place = format!("lifeboat/1/wrap|{}|{}|{}", text("vault"), text("database"), text("key"));
        let master = BASE64.decode(master.expose_secret()).unwrap();
        let mut sealed = BASE64.decode(content["wrapped_key"]["sealed"].as_str().unwrap()).unwrap();
        let (nonce, sealed) = sealed.split_at_mut(12);
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &master).unwrap());
        let data_key = aead.open_in_place(nonce, Aad::from(place.into_bytes()), sealed).unwrap();
        let mut record_key = [0; 32];
        hkdf::Salt::none(hkdf::HKDF_SHA256)
            .extract(data_key)
            .expand(&[b"lifeboat/1/record"], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut record_key))
            .unwrap();
        Self { key: text("key"), record_key: hmac::Key::new(hmac::HMAC_SHA256, &record_key) }
    }

    pub fn sign(&self, body: &Value) -> Bytes {
        let body = format!("{body:#}\n");
        let mac = hex::encode(hmac::sign(&self.record_key, body.as_bytes()));
        with_last_line(&body, &mac, &self.key)
    }
}

pub fn body_of(record: &[u8]) -> Value {
    let (body, _) = split(record);
    serde_json::from_str(body).unwrap()
}

/// Another body over the old MAC, with the SHA-256 that it must have: what can be done without a key.
pub fn altered(record: &[u8], body: &Value) -> Bytes {
    let last: Value = serde_json::from_str(split(record).1).unwrap();
    with_last_line(&format!("{body:#}\n"), last["mac"].as_str().unwrap(), last["mac_key"].as_str().unwrap())
}

/// Without the line that has the MAC.
pub fn unsigned(record: &[u8]) -> Bytes {
    Bytes::copy_from_slice(split(record).0.as_bytes())
}

fn split(record: &[u8]) -> (&str, &str) {
    let text = std::str::from_utf8(record).unwrap();
    let (_, last) = text.trim_end().rsplit_once('\n').unwrap();
    text.split_at(text.len() - last.len() - 1)
}

fn with_last_line(body: &str, mac: &str, key: &str) -> Bytes {
    let sha256 = hex::encode(Sha256::digest(body));
    Bytes::from(format!("{body}{{\"mac\":\"{mac}\",\"mac_key\":\"{key}\",\"sha256\":\"{sha256}\"}}\n"))
}

/// The pointers of all values in `body` that hold no others.
pub fn leaves(body: &Value) -> Vec<String> {
    let below = |(name, value): (String, &Value)| match leaves(value) {
        none if none.is_empty() => vec![format!("/{name}")],
        some => some.into_iter().map(|leaf| format!("/{name}{leaf}")).collect(),
    };
    match body {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).flat_map(below).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).flat_map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// A value of the same type, as far as that goes, that is not the same.
pub fn another(value: &Value) -> Value {
    match value {
        Value::Null => Value::from("something"),
        Value::Bool(value) => Value::from(!value),
        Value::Number(number) => Value::from(number.as_u64().map_or(0, |n| n.wrapping_add(1))),
        Value::String(text) => {
            let mut text = text.clone();
            let last = text.pop();
            text.push(if last == Some('0') { '1' } else { '0' });
            Value::from(text)
        }
        Value::Array(_) | Value::Object(_) => Value::Null,
    }
}
