//! Deleting for good, in a bucket that keeps old versions.

use jiff::Timestamp;

use super::explain::Action;
use super::{S3Store, locked_until};
use crate::aws::Failure;
use crate::error::{Error, Result};
use crate::store::{Deletion, ObjectStore};

/// Most that S3 lists at once.
const PAGE_VERSIONS: i32 = 1000;

/// A version of an object, or the mark that it was deleted.
struct Version {
    id: String,
    is_latest: bool,
}

impl S3Store {
    /// Deletes every version that is not locked, the newest last: whoever dies in between leaves an object that the next sweep
    /// finds.
    pub(super) async fn delete_versions(&self, key: &str) -> Result<Deletion> {
        let mut versions = self.versions(key).await?;
        versions.sort_by_key(|version| version.is_latest);
        let mut locked_until = None;
        for Version { id, .. } in versions {
            let request = self.client.delete_object().bucket(&self.bucket).key(self.full(key)).version_id(&id);
            match request.send().await.map_err(|e| Failure::of(&e)) {
                Ok(_) => {}
                Err(failure) if failure.is("NoSuchKey") || failure.is("NoSuchVersion") => {}
                Err(failure) => match self.lock_of(key, &id, &failure).await? {
                    Some(until) => locked_until = locked_until.max(Some(until)),
                    None => return Err(self.explain(Action::DeleteVersion, key, &failure)),
                },
            }
        }
        Ok(locked_until.map_or(Deletion::Done, |until| Deletion::Locked { until }))
    }

    async fn versions(&self, key: &str) -> Result<Vec<Version>> {
        let full = self.full(key);
        let mut versions = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&full).max_keys(PAGE_VERSIONS);
            let answer = request.set_key_marker(key_marker).set_version_id_marker(id_marker).send().await;
            let page = answer.map_err(|e| self.explain(Action::ListVersions, key, &Failure::of(&e)))?;
            let stored = page.versions.unwrap_or_default().into_iter();
            let stored = stored.map(|version| (version.key, version.version_id, version.is_latest));
            let marks = page.delete_markers.unwrap_or_default().into_iter();
            let marks = marks.map(|mark| (mark.key, mark.version_id, mark.is_latest));
            for (_, id, is_latest) in stored.chain(marks).filter(|(of, ..)| of.as_deref() == Some(&full)) {
                let unnamed = || Error::vault(format!("{} lists a version of {key} without its id", self.location()));
                versions.push(Version { id: id.ok_or_else(unnamed)?, is_latest: is_latest.unwrap_or(false) });
            }
            // Keys that only begin alike come later.
            (key_marker, id_marker) = (page.next_key_marker, page.next_version_id_marker);
            if !page.is_truncated.unwrap_or(false) || key_marker.as_deref() != Some(&full) {
                return Ok(versions);
            }
        }
    }

    /// Until when the store keeps a version that it refused to delete; `None` when that is not why.
    async fn lock_of(&self, key: &str, version: &str, refusal: &Failure) -> Result<Option<Timestamp>> {
        if !refusal.is_denied() {
            return Ok(None);
        }
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key)).version_id(version);
        // A mark of a deletion has no metadata, and no lock.
        let Ok(head) = request.send().await else { return Ok(None) };
        let now = self.now().await?;
        Ok(locked_until(&head).filter(|until| *until > now))
    }
}
