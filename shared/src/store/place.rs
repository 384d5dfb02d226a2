//! Where a vault is, as people write it.

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::folder::FolderStore;
use super::s3::{S3Settings, S3Store};
use super::{Deletes, ObjectStore};
use crate::aws::Aws;
use crate::error::{Error, Result};

/// Opens the store at `s3://bucket/prefix`, `file:///path` or a plain path, with AWS as the environment says. Asks nobody and
/// creates nothing yet. Errors are of kind `Configuration`.
pub async fn open(url: &str) -> Result<Arc<dyn ObjectStore>> {
    open_with(url, &Aws::from_environment(), Deletes::Current).await
}

/// [`open`] with a way to AWS that is there already, and a say in what deleting means.
pub async fn open_with(url: &str, aws: &Aws, deletes: Deletes) -> Result<Arc<dyn ObjectStore>> {
    Ok(match Place::parse(url)? {
        Place::Folder(path) => Arc::new(FolderStore::new(path)?),
        Place::S3 { bucket, prefix } => {
            let settings = S3Settings { bucket, prefix, deletes, ..S3Settings::default() };
            Arc::new(S3Store::connect(settings, aws).await?)
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl Place {
    fn parse(url: &str) -> Result<Self> {
        match url.split_once("://") {
            Some(("s3", place)) => s3(place),
            Some(("file", _)) => file(url),
            Some(_) => Err(misunderstood("vaults are at s3://bucket/prefix, file:///path or a plain path")),
            None => path(url),
        }
    }
}

/// Does not repeat what was written: it may hold a password.
fn misunderstood(why: &str) -> Error {
    Error::configuration(format!("not a place for a vault: {why}"))
}

fn s3(place: &str) -> Result<Place> {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if !is_bucket(bucket) {
        return Err(misunderstood("s3:// needs a bucket's name, of 3 to 63 letters, digits, dots and dashes")
            .hint("credentials and endpoints do not belong here: use AWS_PROFILE, AWS_ENDPOINT_URL, …"));
    }
    let prefix = prefix.trim_end_matches('/');
    let odd =
        |part: &str| matches!(part, "" | "." | "..") || part.contains(['?', '#']) || part.contains(char::is_control);
    if !prefix.is_empty() && prefix.split('/').any(odd) {
        return Err(misunderstood("the prefix has an empty part, a dot for a part, ?, # or a control character"));
    }
    Ok(Place::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn file(url: &str) -> Result<Place> {
    let parsed = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
    parsed.map(Place::Folder).ok_or_else(|| misunderstood("a file URL has three slashes: file:///path"))
}

fn path(path: &str) -> Result<Place> {
    let first = path.split('/').next().unwrap_or_default();
    match first {
        "~" => Err(misunderstood("nothing expands ~ here").hint("write the whole path")),
        _ if path.is_empty() => Err(misunderstood("it is empty")),
        _ if first.contains(':') => {
            Err(misunderstood("it looks like a URL, but has no //").hint("begin a path with ./"))
        }
        _ => Ok(Place::Folder(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn places_are_understood_as_people_write_them() {
        let s3 = |bucket: &str, prefix: &str| Place::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        for (written, place) in [
            ("s3://acme-backups", s3("acme-backups", "")),
            ("s3://acme-backups/", s3("acme-backups", "")),
            ("s3://acme-backups/lifeboat/eu/", s3("acme-backups", "lifeboat/eu")),
            ("file:///srv/my%20vault", Place::Folder("/srv/my vault".into())),
            ("/srv/vault", Place::Folder("/srv/vault".into())),
            ("./vault", Place::Folder("./vault".into())),
            ("vault", Place::Folder("vault".into())),
        ] {
            assert_eq!(Place::parse(written).unwrap(), place, "{written}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_it() {
        for written in [
            "",
            "~/vault",
            "memory:",
            "s3:bucket",
            "s3://",
            "s3:///prefix",
            "s3://AKIA:hunter2@bucket/prefix",
            "s3://acme-backups//a",
            "s3://acme-backups/a/../b",
            "s3://acme-backups/a?region=eu",
            "file://relative",
            "https://hunter2@acme-backups.s3.amazonaws.com",
        ] {
            let error = Place::parse(written).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{written}");
            assert!(!error.to_json().to_string().contains("hunter2"));
        }
    }
}
