//! Objects that S3 has frozen: whether they can be read, and asking for them.

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier};

use super::S3Store;
use super::clock::timestamp;
use super::explain::Action;
use crate::aws::Failure;
use crate::error::Result;
use crate::store::key::check_key;
use crate::store::{StorageClass, Thaw, ThawTier};

/// From the class, and from `x-amz-restore`, which S3 sends from the first request to thaw until the object is frozen again:
/// `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`.
pub(super) fn state(class: StorageClass, restore: Option<&str>) -> Thaw {
    match restore {
        _ if !class.is_frozen() => Thaw::NotNeeded,
        None => Thaw::Frozen,
        Some(restore) if restore.contains("ongoing-request=\"true\"") => Thaw::Underway,
        Some(restore) => {
            let until = restore.split_once("expiry-date=\"").and_then(|(_, rest)| rest.split_once('"'));
            let until = until.and_then(|(date, _)| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
            Thaw::Done(until.and_then(|until| timestamp(&until)))
        }
    }
}

impl S3Store {
    pub(super) async fn ask_for(&self, key: &str, tier: ThawTier, days: u32) -> Result<()> {
        check_key(key)?;
        let tier = match tier {
            ThawTier::Expedited => Tier::Expedited,
            ThawTier::Standard => Tier::Standard,
            ThawTier::Bulk => Tier::Bulk,
        };
        let explain = |failure: Failure| self.explain(Action::Thaw, key, &failure);
        let job = GlacierJobParameters::builder().tier(tier).build();
        let job = job.map_err(|e| crate::Error::bug("a request to thaw").because(e))?;
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let wanted = RestoreRequest::builder().days(days).glacier_job_parameters(job).build();
        let request = self.client.restore_object().bucket(&self.bucket).key(self.full(key)).restore_request(wanted);
        match request.send().await.map_err(|e| Failure::of(&e)) {
            Err(failure) if !failure.is("RestoreAlreadyInProgress") => Err(explain(failure)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_told_by_the_class_and_the_header() {
        let done = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
        let until = "2012-12-21T00:00:00Z".parse().unwrap();
        for (class, restore, expected) in [
            (StorageClass::Standard, None, Thaw::NotNeeded),
            (StorageClass::GlacierIr, Some(done), Thaw::NotNeeded),
            (StorageClass::Glacier, None, Thaw::Frozen),
            (StorageClass::DeepArchive, Some("ongoing-request=\"true\""), Thaw::Underway),
            (StorageClass::Glacier, Some(done), Thaw::Done(Some(until))),
            (StorageClass::Glacier, Some("ongoing-request=\"false\""), Thaw::Done(None)),
            (StorageClass::Glacier, Some("ongoing-request=\"false\", expiry-date=\"soon\""), Thaw::Done(None)),
        ] {
            assert_eq!(state(class, restore), expected, "{class} {restore:?}");
        }
    }
}
