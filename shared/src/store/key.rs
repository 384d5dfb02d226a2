//! Which keys a vault may use: those that mean the same in every store.
//!
//! A key is segments joined by `/`, each of ASCII letters, digits and `-` `_` `.` `=`, none beginning with a dot.
//! So no key can leave the root, none needs escaping anywhere, and everything else that lies in a folder or below an
//! S3 prefix (`.tmp`, `.DS_Store`, `lost+found`, the console's "folder" markers) is visibly not the vault's.

use crate::error::{Error, Result};

/// Longest key, so that a prefix still fits into the 1,024 bytes of S3.
pub const MAX_KEY_BYTES: usize = 768;
/// Longest segment: the limit of nearly every filesystem.
const MAX_SEGMENT_BYTES: usize = 255;

/// Whether `key` may name an object.
pub fn is_key(key: &str) -> bool {
    key.len() <= MAX_KEY_BYTES && key.split('/').all(is_segment)
}

pub(super) fn check_key(key: &str) -> Result<()> {
    if is_key(key) {
        return Ok(());
    }
    Err(Error::bug(format!("{key:?} is not a valid object key")))
}

/// A prefix is the beginning of a key, or empty.
pub(super) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() || is_key(prefix) || prefix.strip_suffix('/').is_some_and(is_key) {
        return Ok(());
    }
    Err(Error::bug(format!("{prefix:?} is not a valid key prefix")))
}

/// A folder's prefix ends with `/`; the root's is empty.
pub(super) fn check_folder_prefix(prefix: &str) -> Result<()> {
    check_prefix(prefix)?;
    if prefix.is_empty() || prefix.ends_with('/') {
        return Ok(());
    }
    Err(Error::bug(format!("{prefix:?} does not end with a slash")))
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.len() <= MAX_SEGMENT_BYTES
        && !segment.starts_with('.')
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_vault_format_are_valid() {
        for key in [
            "format/1.json",
            "databases/shop/pool/0a/0a1b",
            "databases/shop/verdicts/20261121T020000Z-daily-k7q2/20261121T020000Z-full.json",
            "a..b",
            "a=b",
        ] {
            assert!(is_key(key), "{key}");
        }
    }

    #[test]
    fn a_key_cannot_leave_the_root_or_be_ambiguous() {
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            ".tmp/a",
            "a b",
            "a\\b",
            "a\0b",
            "lost+found",
            "ä",
            "a:b",
            "~",
        ] {
            assert!(!is_key(key), "{key}");
        }
        assert!(!is_key(&"a".repeat(256)));
        assert!(!is_key(&vec!["a".repeat(200); 5].join("/")));
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_key() {
        for prefix in ["", "a", "a/", "a/b", "format/1."] {
            assert!(check_prefix(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["/", "a//", "../", "a/.t"] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
        assert!(check_folder_prefix("a").is_err());
    }
}
