//! Keys: one master key wraps a data key per database (and one for the vault itself); three keys are derived from each.
//!
//! The master key never leaves this module except into [`MasterKey::wrap`] and [`MasterKey::unwrap`]. No key here can be
//! printed, and all are wiped when dropped: secrets are [`SecretKey`]s, and what is made of them lives in AWS-LC, which
//! wipes what it frees.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::aws::{EncryptionContext, KmsKey};
use crate::error::{Error, Result};
use crate::model::{KeyId, VaultId, WrappedKey};

const KEY_LEN: usize = 32;
/// For the master key's text: Secrets Manager makes 43 random letters and digits, which are 32 bytes and two bits.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
const TAG_LEN: usize = 16;

/// 32 secret bytes: never printed, wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; KEY_LEN]>);

impl SecretKey {
    pub fn random() -> Self {
        Self(Zeroizing::new(random_bytes()))
    }

    /// `None` unless there are exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    pub(super) fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    pub(super) fn aead(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.expose()).expect("32 bytes"))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// From the operating system's generator, each time anew: of a virtual machine that was cloned, or a process that was
/// forked, a generator of our own would repeat nonces under one key. (AWS-LC's takes 40 ms of processor time to start, too.)
pub(super) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// What one wrapped key is for. A key wrapped for one place does not unwrap in another.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub vault: VaultId,
    /// The database's name, or empty for the vault's own key.
    pub database: &'a str,
    pub key: KeyId,
}

impl Place<'_> {
    /// For people.
    fn describe(&self) -> String {
        match self.database {
            "" => "this vault".to_owned(),
            name => format!("the keyring of database {name}"),
        }
    }

    /// What to do when a master key does not open it.
    fn its_master_key(&self) -> &'static str {
        match self.database {
            "" => {
                "use the master key that `lifeboat init` made for this vault, or the one that `lifeboat keys rewrap` was given since"
            }
            _ => {
                "if the master key was changed lately, run `lifeboat keys rewrap` once more with the one before: this key was made meanwhile"
            }
        }
    }

    fn associated_data(&self) -> Vec<u8> {
        format!("lifeboat/1/wrap|{}|{}|{}", self.vault, self.database, self.key).into_bytes()
    }

    /// The KMS encryption context. The vault's own key has no database in it.
    fn context(&self) -> EncryptionContext {
        let pair = |name: &str, value: String| (format!("lifeboat:{name}"), value);
        let mut context =
            EncryptionContext::from([pair("vault", self.vault.to_string()), pair("key", self.key.to_string())]);
        if !self.database.is_empty() {
            context.extend([pair("database", self.database.to_owned())]);
        }
        context
    }
}

/// The key above all keys. Without it no backup can be read; nothing in the vault can replace it.
#[derive(Clone)]
pub enum MasterKey {
    Local(SecretKey),
    /// It never leaves KMS, which wraps and unwraps for those whom its policy allows to ask.
    Kms(KmsKey),
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(_) => f.write_str("MasterKey::Local(…)"),
            Self::Kms(key) => write!(f, "MasterKey::Kms({})", key.id()),
        }
    }
}

impl MasterKey {
    pub fn random() -> Self {
        Self::Local(SecretKey::random())
    }

    /// From base64 of exactly 32 bytes, with or without its padding; surrounding white space is ignored.
    pub fn from_base64(text: &SecretString) -> Result<Self> {
        let text = text.expose_secret().trim();
        let bytes = KEY_TEXT.decode(text).ok().map(Zeroizing::new);
        bytes.and_then(|b| SecretKey::from_slice(&b)).map(Self::Local).ok_or_else(|| {
            Error::configuration("the master key is not base64 of exactly 32 bytes")
                .hint("`lifeboat init` makes one; `openssl rand -base64 32` does too")
        })
    }

    /// The key as it is kept in a file or secret. `None` for a key that cannot leave KMS.
    pub fn to_base64(&self) -> Option<SecretString> {
        match self {
            Self::Local(key) => Some(SecretString::from(BASE64.encode(key.expose()))),
            Self::Kms(_) => None,
        }
    }

    pub async fn wrap(&self, data_key: &SecretKey, place: Place<'_>) -> Result<WrappedKey> {
        match self {
            Self::Local(master) => Ok(WrappedKey::Master { sealed: wrap_locally(master, data_key, place) }),
            Self::Kms(key) => {
                let sealed = BASE64.encode(key.encrypt(data_key.expose(), &place.context()).await?);
                Ok(WrappedKey::Kms { kms_key: key.id().to_owned(), sealed })
            }
        }
    }

    /// Asks only the KMS key that is configured, never the one that the vault names: that could be a stranger's.
    ///
    /// Errors: kind `Configuration` when this is not the master key that wrapped it; those of KMS.
    pub async fn unwrap(&self, wrapped: &WrappedKey, place: Place<'_>) -> Result<SecretKey> {
        match (self, wrapped) {
            (Self::Local(master), WrappedKey::Master { sealed }) => {
                unwrap_locally(master, sealed, place).ok_or_else(|| {
                    Error::configuration(format!("this master key does not open {}", place.describe()))
                        .hint(place.its_master_key())
                })
            }
            (Self::Kms(key), WrappedKey::Kms { sealed, .. }) => {
                let damaged =
                    || Error::verification(format!("what should open {} is not a wrapped key", place.describe()));
                let plain = key.decrypt(&BASE64.decode(sealed).map_err(|_| damaged())?, &place.context()).await?;
                SecretKey::from_slice(&plain).ok_or_else(damaged)
            }
            (Self::Local(_), WrappedKey::Kms { kms_key, .. }) => {
                Err(Error::configuration(format!("{} opens with the KMS key {kms_key}", place.describe()))
                    .hint("set master_key = \"kms:…\" or LIFEBOAT_KMS_KEY"))
            }
            (Self::Kms(_), WrappedKey::Master { .. }) => Err(Error::configuration(format!(
                "{} opens with a master key of its own, not with KMS",
                place.describe()
            ))
            .hint(place.its_master_key())),
        }
    }
}

fn wrap_locally(master: &SecretKey, data_key: &SecretKey, place: Place<'_>) -> String {
    let nonce: [u8; NONCE_LEN] = random_bytes();
    // Room for everything from the start: growing would leave a copy of the key behind.
    let mut bytes = Vec::with_capacity(NONCE_LEN + KEY_LEN + TAG_LEN);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(data_key.expose());
    let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(place.associated_data()));
    let tag = master.aead().seal_in_place_separate_tag(nonce, aad, &mut bytes[NONCE_LEN..]).expect("a short message");
    bytes.extend_from_slice(tag.as_ref());
    BASE64.encode(bytes)
}

fn unwrap_locally(master: &SecretKey, sealed: &str, place: Place<'_>) -> Option<SecretKey> {
    let mut bytes = Zeroizing::new(BASE64.decode(sealed).ok()?);
    let (nonce, ciphertext) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("split at its length");
    let plain = master.aead().open_in_place(nonce, Aad::from(place.associated_data()), ciphertext).ok()?;
    SecretKey::from_slice(plain)
}

/// The keys derived from one data key.
pub struct Keys {
    pub id: KeyId,
    content: hmac::Key,
    record: hmac::Key,
    confirmation: hmac::Key,
    pub(super) seal: LessSafeKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.id)
    }
}

impl Keys {
    pub fn derive(id: KeyId, data_key: &SecretKey) -> Self {
        let mac = |purpose| hmac::Key::new(hmac::HMAC_SHA256, derived(data_key, purpose).expose());
        Self {
            id,
            content: mac("lifeboat/1/content-id"),
            record: mac("lifeboat/1/record"),
            confirmation: mac("lifeboat/1/confirmation"),
            seal: derived(data_key, "lifeboat/1/seal").aead(),
        }
    }

    /// HMAC-SHA-256 over the parts, one after another, under the id key.
    pub(super) fn content_mac(&self, parts: [&[u8]; 2]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.content);
        parts.iter().for_each(|part| mac.update(part));
        mac.sign().as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    pub(super) fn record_mac(&self, bytes: &[u8]) -> [u8; 32] {
        hmac::sign(&self.record, bytes).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// For tokens, which are no part of a vault: under a key of their own, so that neither can pass for the other.
    pub fn confirmation_mac(&self, bytes: &[u8]) -> [u8; 32] {
        hmac::sign(&self.confirmation, bytes).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    /// Compares in constant time.
    pub fn confirmation_mac_matches(&self, bytes: &[u8], expected: &[u8; 32]) -> bool {
        hmac::verify(&self.confirmation, bytes, expected).is_ok()
    }

    /// Compares in constant time.
    pub(super) fn record_mac_matches(&self, bytes: &[u8], expected: &[u8; 32]) -> bool {
        hmac::verify(&self.record, bytes, expected).is_ok()
    }
}

/// HKDF-SHA-256 without salt.
pub(super) fn derived(data_key: &SecretKey, purpose: &str) -> SecretKey {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    hkdf::Salt::none(hkdf::HKDF_SHA256)
        .extract(data_key.expose())
        .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(key.as_mut_slice()))
        .expect("32 bytes are within HKDF's bound");
    SecretKey(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(database: &str) -> Place<'_> {
        Place { vault: VaultId([1; 16]), database, key: KeyId([2; 8]) }
    }

    #[tokio::test]
    async fn a_wrapped_key_opens_only_with_its_master_key_in_its_place() {
        let (master, other) = (MasterKey::random(), MasterKey::random());
        let key = SecretKey::random();
        let wrapped = master.wrap(&key, place("shop")).await.unwrap();
        assert_eq!(master.unwrap(&wrapped, place("shop")).await.unwrap().expose(), key.expose());
        assert!(master.unwrap(&wrapped, place("other")).await.is_err());
        assert!(other.unwrap(&wrapped, place("shop")).await.is_err());
    }

    #[test]
    fn a_master_key_survives_its_text_and_is_never_printed() {
        let master = MasterKey::random();
        let text = master.to_base64().unwrap();
        let again = MasterKey::from_base64(&text).unwrap();
        assert_eq!(again.to_base64().unwrap().expose_secret(), text.expose_secret());
        assert_eq!(format!("{master:?} {:?}", SecretKey::random()), "MasterKey::Local(…) SecretKey(…)");
        let unpadded = SecretString::from(text.expose_secret().trim_end_matches('='));
        let again = MasterKey::from_base64(&unpadded).unwrap();
        assert_eq!(again.to_base64().unwrap().expose_secret(), text.expose_secret());
        // As Secrets Manager makes one.
        assert!(MasterKey::from_base64(&SecretString::from("9".repeat(43))).is_ok());
        for bad in
            ["", "abc", "AAAA", &BASE64.encode([0; 31]), &"9".repeat(44), &"9".repeat(42), &BASE64.encode([0; 33])]
        {
            assert!(MasterKey::from_base64(&SecretString::from(bad)).is_err());
        }
    }
}
