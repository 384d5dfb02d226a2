//! From the key of an object that S3 speaks of to the backup that it published.

use lifeboat::model::{BackupId, DatabaseName};
use percent_encoding::percent_decode_str;

/// The backup whose manifest has this key, in a vault at `prefix` (empty, or ending with a slash). `None` for any other object.
pub fn published(key: &str, prefix: &str) -> Option<(DatabaseName, BackupId)> {
    let parts: Vec<&str> = key.strip_prefix(prefix)?.split('/').collect();
    match parts.as_slice() {
        ["databases", database, "backups", backup, "manifest.json"] => {
            Some((database.parse().ok()?, backup.parse().ok()?))
        }
        _ => None,
    }
}

/// A key as S3's own notifications spell it: as in a form, with `+` for a space. `None` for one that is not UTF-8.
pub fn decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "20261121T020000Z-daily-k7q2";

    #[test]
    fn only_the_manifest_of_a_backup_is_one() {
        let key = format!("databases/shop/backups/{ID}/manifest.json");
        let (database, id) = published(&key, "").unwrap();
        assert_eq!((database.as_str(), id.as_str()), ("shop", ID));
        assert!(published(&format!("acme/{key}"), "acme/").is_some());
        assert!(published(&key, "acme/").is_none() && published(&format!("acme/{key}"), "").is_none());
        for other in [
            format!("databases/shop/backups/{ID}/manifest.json.bak"),
            format!("databases/shop/backups/{ID}/more/manifest.json"),
            format!("databases/shop/verdicts/{ID}/manifest.json"),
            "databases/shop/backups/latest/manifest.json".to_owned(),
            format!("databases/Shop!/backups/{ID}/manifest.json"),
            String::new(),
        ] {
            assert!(published(&other, "").is_none(), "{other}");
        }
    }

    #[test]
    fn a_key_that_is_not_utf8_is_not_ours() {
        assert_eq!(decoded("a%ff"), None);
    }

    proptest! {
        #[test]
        fn every_key_comes_back_from_its_spelling(key in "\\PC{0,60}") {
            let spelled = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(decoded(&spelled), Some(key.clone()));
            prop_assert_eq!(decoded(&spelled.replace("%20", "+")), Some(key));
        }

        #[test]
        fn no_key_makes_it_panic(key in "\\PC{0,80}", prefix in "\\PC{0,10}") {
            published(&key, &prefix);
            decoded(&key);
        }
    }
}
