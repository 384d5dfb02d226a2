//! From the failure of a request to an error that says what to do.

use super::S3Store;
use crate::aws::Failure;
use crate::error::Error;
use crate::store::{ObjectStore, Tries, frozen, too_late};

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Put,
    Get,
    Head,
    List,
    ListVersions,
    Delete,
    DeleteVersion,
    Thaw,
    Hold,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Put => "write",
            Self::Get => "read",
            Self::Head => "look at",
            Self::List => "list",
            Self::ListVersions => "list the versions of",
            Self::Delete => "delete",
            Self::DeleteVersion => "delete a version of",
            Self::Thaw => "thaw",
            Self::Hold => "put a legal hold on",
        }
    }

    /// The right that it needs.
    fn permission(self) -> &'static str {
        match self {
            Self::Put => "s3:PutObject",
            Self::Get | Self::Head => "s3:GetObject",
            Self::List => "s3:ListBucket",
            Self::ListVersions => "s3:ListBucketVersions",
            Self::Delete => "s3:DeleteObject",
            Self::DeleteVersion => "s3:DeleteObjectVersion",
            Self::Thaw => "s3:RestoreObject",
            Self::Hold => "s3:PutObjectLegalHold",
        }
    }
}

impl S3Store {
    pub(super) fn explain(&self, action: Action, key: &str, failure: &Failure) -> Error {
        if failure.is("NoSuchBucket") {
            return Error::not_found(format!("there is no bucket {}", self.bucket))
                .hint("check its name, AWS_REGION and AWS_ENDPOINT_URL, or create it");
        }
        let no_object = failure.is("NoSuchKey") || (action == Action::Head && failure.status() == Some(404));
        if no_object {
            return self.no_such_object(key);
        }
        if action == Action::Get && failure.is("InvalidObjectState") {
            return frozen(&self.location(), key);
        }
        let doing = match key {
            "" => format!("cannot {} {}", action.verb(), self.location()),
            key => format!("cannot {} {key} in {}", action.verb(), self.location()),
        };
        if let Some(error) = failure.configuration_error(&doing) {
            return error;
        }
        let message = format!("{doing}: {}", failure.text());
        if failure.is_denied() {
            return Error::configuration(message).hint(self.missing_right(action, failure));
        }
        let error = Error::vault(message);
        match Self::hint(action, failure) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    pub(super) fn explain_put(&self, key: &str, failure: &Failure, tries: Tries) -> Error {
        let error = self.explain(Action::Put, key, failure);
        let is_once = matches!(tries, Tries::Once { .. });
        if is_once && failure.is("RequestTimeTooSkewed") {
            return too_late(key).because(error);
        }
        if is_once && failure.leaves_it_open() {
            let message = format!("{key} may or may not have been created: {}", error.message());
            return Error::new(error.kind(), message).hint("look whether it is there before you try again");
        }
        error
    }

    fn hint(action: Action, failure: &Failure) -> Option<&'static str> {
        let hint = match (failure.status(), action) {
            (Some(501), Action::Put) => {
                "this store knows no conditional writes (If-None-Match), which Lifeboat's safety rests on: use one that does"
            }
            (_, Action::Thaw) if failure.is("GlacierExpeditedRetrievalNotAvailable") => {
                "S3 has no capacity for expedited retrievals at the moment: ask for the standard one"
            }
            (Some(409), Action::Put) => "another writer was creating the same object: nothing of ours was written",
            (Some(400), _) if failure.is("BadDigest") || failure.is("XAmzContentChecksumMismatch") => {
                "the bytes were changed on the way: nothing was written"
            }
            (Some(400), Action::Head) => "the credentials may have expired (such answers have no text)",
            _ if failure.is_outage() => {
                "the store did not answer, or was too busy, in every try: is the endpoint reachable?"
            }
            _ => return None,
        };
        Some(hint)
    }

    fn missing_right(&self, action: Action, failure: &Failure) -> String {
        let (bucket, prefix) = (&self.bucket, &self.prefix);
        if failure.text().contains("kms:") {
            return "the bucket is encrypted with a KMS key: grant kms:GenerateDataKey and kms:Decrypt on it"
                .to_owned();
        }
        let permission = action.permission();
        match action {
            Action::List | Action::ListVersions => format!("grant {permission} on arn:aws:s3:::{bucket}"),
            Action::Get | Action::Head => format!(
                "grant {permission} on arn:aws:s3:::{bucket}/{prefix}*, and s3:ListBucket on arn:aws:s3:::{bucket} (without it, \
                 a missing object reads as denied)"
            ),
            Action::Put if failure.text().contains("s3:PutObjectTagging") => format!(
                "archived backups are marked with a tag: grant s3:PutObjectTagging on arn:aws:s3:::{bucket}/{prefix}*"
            ),
            Action::Put | Action::Delete | Action::DeleteVersion | Action::Thaw | Action::Hold => {
                format!("grant {permission} on arn:aws:s3:::{bucket}/{prefix}*")
            }
        }
    }
}
