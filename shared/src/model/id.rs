//! Names of things. Each is a type, so that one cannot stand where another belongs.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// A fixed number of bytes, written as lower-case hexadecimal.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                let mut bytes = [0; $bytes];
                let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if lower => Ok(Self(bytes)),
                    _ => Err(Error::verification(concat!(
                        "expected ", stringify!($bytes), " bytes of lower-case hexadecimal for a ", stringify!($name)
                    ))),
                }
            }
        }

        serde_as_text!($name);
    };
}

/// Serialises through `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// SHA-256 of a pack's stored bytes: its name.
    PackId, 32
);
hex_id!(
    /// HMAC-SHA-256 of a piece's kind and plaintext under the id key.
    ContentId, 32
);
hex_id!(
    /// Names a data key.
    KeyId, 8
);
hex_id!(
    /// Names a vault; random, made at `init`.
    VaultId, 16
);

hex_id!(
    /// Names a time in which backups were copied into a vault: what sets names of packs apart that copies put there.
    EraId, 8
);

impl EraId {
    pub fn random() -> Self {
        Self(rand::rng().random())
    }
}

impl KeyId {
    pub fn random() -> Self {
        Self(rand::rng().random())
    }
}

impl VaultId {
    pub fn random() -> Self {
        Self(rand::rng().random())
    }
}

/// A lower-case slug of at most `max` bytes: a letter or digit first, then letters, digits, `_` and `-`.
fn check_slug(what: &str, text: &str, max: usize) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let first_good = text.bytes().next().is_some_and(good);
    let rest_good = text.bytes().all(|b| good(b) || b == b'_' || b == b'-');
    if first_good && rest_good && text.len() <= max {
        return Ok(());
    }
    Err(Error::usage(format!("{text:?} is not a good {what}"))
        .hint(format!("use up to {max} lower-case letters, digits, '-' and '_', beginning with a letter or digit")))
}

/// A string that was checked when it was made.
macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                check_slug($what, text, $max)?;
                Ok(Self(text.to_owned()))
            }
        }

        serde_as_text!($name);
    };
}

slug!(
    /// How a vault calls a database: the folder below `databases/`.
    DatabaseName, "database name", 63
);
slug!(
    /// A family of backups with its own schedule and retention: `daily`, `manual`, ….
    Tier, "tier", 32
);

impl DatabaseName {
    /// The nearest slug to any text: what `--database` is called when nobody chose a name.
    pub fn slug_of(text: &str) -> Result<Self> {
        let lower = text.to_lowercase();
        let slug: String = lower
            .chars()
            .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' })
            .take(63)
            .collect();
        slug.trim_start_matches(['-', '_']).parse()
    }
}

impl Tier {
    pub fn manual() -> Self {
        Self("manual".to_owned())
    }
}

/// `{utc time}-{tier}-{4 random base32}`, e.g. `20261121T020000Z-daily-k7q2`: sorts by time, reads aloud.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackupId(String);

impl BackupId {
    const TIME_FORMAT: &'static str = "%Y%m%dT%H%M%SZ";
    const ALPHABET: &'static [u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    pub fn new(at: Timestamp, tier: &Tier) -> Self {
        let mut rng = rand::rng();
        let random: String = (0..4).map(|_| Self::ALPHABET[rng.random_range(0..32)] as char).collect();
        let time = at.to_zoned(TimeZone::UTC).strftime(Self::TIME_FORMAT);
        Self(format!("{time}-{tier}-{random}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the backup's job began, to the second.
    pub fn time(&self) -> Timestamp {
        Self::split(&self.0).expect("checked when made").0
    }

    pub fn tier(&self) -> Tier {
        Self::split(&self.0).expect("checked when made").1
    }

    fn split(text: &str) -> Option<(Timestamp, Tier)> {
        let (time, rest) = text.split_once('-')?;
        let (tier, random) = rest.rsplit_once('-')?;
        let random_good = random.len() == 4 && random.bytes().all(|b| Self::ALPHABET.contains(&b));
        let civil = jiff::civil::DateTime::strptime(Self::TIME_FORMAT, time).ok()?;
        let at = civil.to_zoned(TimeZone::UTC).ok()?;
        // One spelling only: two texts that mean one backup would be two folders.
        let canonical = at.strftime(Self::TIME_FORMAT).to_string() == time;
        (random_good && canonical).then_some((at.timestamp(), tier.parse().ok()?))
    }
}

impl FromStr for BackupId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match Self::split(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(Error::usage(format!("{text:?} is not a backup id"))
                .hint("ids look like 20261121T020000Z-daily-k7q2; `lifeboat list` shows them")),
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(BackupId);

/// A position in the write-ahead log, written as PostgreSQL does: `16/B374D848`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lsn {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (high, low) = text.split_once('/')?;
            let high = u32::from_str_radix(high, 16).ok()?;
            let low = u32::from_str_radix(low, 16).ok()?;
            Some(Self((u64::from(high) << 32) | u64::from(low)))
        };
        parse()
            .filter(|lsn| lsn.to_string() == text)
            .ok_or_else(|| Error::verification(format!("{text:?} is not a WAL position")))
    }
}

serde_as_text!(Lsn);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_backup_id_tells_its_time_and_tier() {
        let at: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let id = BackupId::new(at, &"pre-deploy".parse().unwrap());
        assert!(id.as_str().starts_with("20261121T020000Z-pre-deploy-"), "{id}");
        assert_eq!(id.time(), at);
        assert_eq!(id.tier().as_str(), "pre-deploy");
        assert_eq!(id.as_str().parse::<BackupId>().unwrap(), id);
    }

    #[test]
    fn names_that_would_escape_their_folder_are_refused() {
        for bad in ["", "..", "a/b", "A", "-a", "ä", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad:?}");
        }
        assert_eq!(DatabaseName::slug_of("Shop DB/ü").unwrap().as_str(), "shop-db--");
    }

    #[test]
    fn a_value_has_one_spelling() {
        for bad in ["2026121T020000Z-daily-k7q2", "20261121T020060Z-daily-k7q2", "20261121T020000z-daily-k7q2"] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
        for bad in ["+1/2", "01/2", "a/b", "1/2/3"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn lsns_and_hex_ids_survive_their_text(lsn: u64, bytes: [u8; 32]) {
            prop_assert_eq!(Lsn(lsn).to_string().parse::<Lsn>().unwrap(), Lsn(lsn));
            prop_assert_eq!(PackId(bytes).to_string().parse::<PackId>().unwrap(), PackId(bytes));
        }

        #[test]
        fn any_text_as_an_id_is_accepted_or_refused_without_panic(text in ".*") {
            let _ = text.parse::<BackupId>();
            let _ = text.parse::<Lsn>();
            let _ = text.parse::<ContentId>();
            let _ = DatabaseName::slug_of(&text);
        }
    }
}
