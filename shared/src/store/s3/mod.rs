//! A store in S3, or in whatever speaks its protocol. Objects live at `prefix/key`.
//!
//! A put is one `PutObject`, never multipart, with `If-None-Match: *` and the body's SHA-256, which S3 checks on arrival and
//! keeps. What may happen to it:
//! - *412*: the key is taken. By us, when an earlier try's reply was lost: the object's checksum (its bytes, where the store
//!   keeps none) tells.
//! - *409*: two conditional requests met; S3 asks for another try.
//! - *no answer*: [`Tries::Many`] asks again and lands above; [`Tries::Once`] gives an error that leaves it open.
//!
//! What is tried once is signed with the time at which it was decided: S3 itself refuses it when it comes much later.
//!
//! Reads are checked against the checksum where they are whole, and against the length always. A body that breaks off or
//! stalls is fetched again; everything before the body is retried by the SDK.

mod client;
mod clock;
mod explain;
mod thaw;
mod versions;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::{ByteStream, ByteStreamError, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, Object, ObjectLockLegalHold, ObjectLockLegalHoldStatus};
use aws_smithy_async::time::StaticTimeSource;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use self::clock::StoreClock;
use self::explain::Action;
use super::key::{check_folder_prefix, check_key, check_prefix};
use super::{
    Deletes, Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, StorageClass, ThawTier, Tries, beyond_the_end, is_key,
    no_such_object,
};
use crate::aws::{Aws, Failure, timeouts};
use crate::error::{Error, ErrorKind, Result};

/// How often a body that broke off is fetched.
const BODY_ATTEMPTS: u32 = 4;
/// Most that S3 lists at once.
const PAGE_KEYS: usize = 1000;
/// The slowest upload that is given time to finish.
const SLOWEST_UPLOAD_BYTES_PER_S: u64 = 32 * 1024;

/// How objects are marked that may be frozen: rules of the bucket's lifecycle can ask for it.
const ARCHIVE_TAG: &str = "lifeboat-storage=archive";

/// Which bucket, and where it is if not where the environment says.
#[derive(Debug, Clone, Default)]
pub struct S3Settings {
    pub bucket: String,
    /// Below which all keys lie; slashes at its ends do not count.
    pub prefix: String,
    /// Instead of `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or AWS itself.
    pub endpoint: Option<String>,
    /// Instead of the configured one. A custom endpoint needs none.
    pub region: Option<String>,
    /// The bucket's name in the path instead of in the host's name. By default with a custom endpoint.
    pub force_path_style: Option<bool>,
    pub deletes: Deletes,
    /// How often a request is tried. By default `AWS_MAX_ATTEMPTS`, or 8.
    pub attempts: Option<u32>,
}

/// A bucket, or what lies below a prefix in it. Clones share connections.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    clock: StoreClock,
    bucket: String,
    /// Empty, or ending with a slash.
    prefix: String,
    deletes: Deletes,
}

impl S3Store {
    /// Asks nobody yet; only what is missing locally is an error (kind `Configuration`).
    pub async fn connect(settings: S3Settings, aws: &Aws) -> Result<Self> {
        let clock = StoreClock::default();
        let client = client::build(&settings, aws.sdk_config().await, &clock)?;
        let prefix = match settings.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self { client, clock, bucket: settings.bucket, prefix, deletes: settings.deletes })
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Store({})", self.location())
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn location(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        self.put(key, body, sha256, tries, None).await
    }

    async fn put_archived(&self, key: &str, body: Bytes, sha256: [u8; 32]) -> Result<Put> {
        self.put(key, body, sha256, Tries::Many, Some(ARCHIVE_TAG)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        check_key(key)?;
        self.fetch(key, None).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        check_key(key)?;
        if range.start < range.end {
            return self.fetch(key, Some(range)).await;
        }
        // There is no way to ask for no bytes.
        let size_bytes = self.head(key).await?.info.size_bytes;
        if range.start > range.end || range.end > size_bytes {
            return Err(beyond_the_end(key, &range, Some(size_bytes)));
        }
        Ok(Bytes::new())
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        check_key(key)?;
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key));
        let answer = request.checksum_mode(ChecksumMode::Enabled).send().await;
        let head = answer.map_err(|e| self.explain(Action::Head, key, &Failure::of(&e)))?;
        let class = head.storage_class.as_ref().map(|class| class.as_str());
        let info = self.info(key, head.content_length, head.last_modified, class)?;
        let thaw = thaw::state(info.storage_class, head.restore.as_deref());
        let sha256 = head.checksum_sha256.as_deref().and_then(decoded);
        Ok(ObjectHead { info, sha256, thaw, locked_until: locked_until(&head) })
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        check_prefix(prefix)?;
        let mut found: Vec<ObjectInfo> = Vec::new();
        let mut last = after.map(|after| self.full(after)).unwrap_or_default();
        let mut token = None;
        while found.len() < limit {
            let keys = (limit - found.len()).min(PAGE_KEYS) as i32;
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.full(prefix)).max_keys(keys);
            let request = match token {
                Some(token) => request.continuation_token(token),
                None => request.set_start_after(after.map(|after| self.full(after))),
            };
            let page = request.send().await.map_err(|e| self.explain(Action::List, prefix, &Failure::of(&e)))?;
            token = self.next_token(&page)?;
            for object in page.contents.unwrap_or_default() {
                found.extend(self.listed(object, &mut last)?);
            }
            if token.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        check_folder_prefix(prefix)?;
        let full = self.full(prefix);
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full).delimiter("/");
            let answer = request.set_continuation_token(token).send().await;
            let page = answer.map_err(|e| self.explain(Action::List, prefix, &Failure::of(&e)))?;
            token = self.next_token(&page)?;
            let folders = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            names.extend(folders.filter_map(|folder| {
                let name = folder.strip_prefix(&full)?.strip_suffix('/')?;
                is_key(name).then(|| name.to_owned())
            }));
            if token.is_none() {
                break;
            }
        }
        // `a-b/` comes before `a/` among prefixes, and after it among names.
        names.sort_unstable();
        Ok(names)
    }

    async fn thaw(&self, key: &str, tier: ThawTier, days: u32) -> Result<()> {
        self.ask_for(key, tier, days).await
    }

    async fn legal_hold(&self, key: &str, is_held: bool) -> Result<bool> {
        check_key(key)?;
        let status = if is_held { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let hold = ObjectLockLegalHold::builder().status(status).build();
        let request = self.client.put_object_legal_hold().bucket(&self.bucket).key(self.full(key)).legal_hold(hold);
        match request.send().await.map_err(|e| Failure::of(&e)) {
            Ok(_) => Ok(true),
            Err(failure) if has_no_object_lock(&failure) => Ok(false),
            Err(failure) => Err(self.explain(Action::Hold, key, &failure)),
        }
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        check_key(key)?;
        if self.deletes == Deletes::EveryVersion {
            return self.delete_versions(key).await;
        }
        let answer = self.client.delete_object().bucket(&self.bucket).key(self.full(key)).send().await;
        match answer.map_err(|e| Failure::of(&e)) {
            Err(failure) if !failure.is("NoSuchKey") => Err(self.explain(Action::Delete, key, &failure)),
            _ => Ok(Deletion::Done),
        }
    }

    /// From the `Date` of a recent answer, or of one asked for now.
    async fn now(&self) -> Result<Timestamp> {
        if let Some(now) = self.clock.now() {
            return Ok(now);
        }
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
        request.send().await.map_err(|e| self.explain(Action::List, "", &Failure::of(&e)))?;
        let now = self.clock.now();
        now.ok_or_else(|| Error::vault(format!("{} answers without a date", self.location())))
    }
}

/// Until when nobody can delete it, told to whoever has the rights to know: s3:GetObjectRetention, s3:GetObjectLegalHold.
fn locked_until(head: &HeadObjectOutput) -> Option<Timestamp> {
    match head.object_lock_legal_hold_status {
        Some(ObjectLockLegalHoldStatus::On) => Some(Timestamp::MAX),
        _ => head.object_lock_retain_until_date.as_ref().and_then(clock::timestamp),
    }
}

/// Whether the bucket has none ("Bucket is missing Object Lock Configuration"), or the store has never heard of it.
fn has_no_object_lock(failure: &Failure) -> bool {
    let is_missing = failure.is("InvalidRequest") && failure.text().to_ascii_lowercase().contains("lock");
    is_missing || failure.status() == Some(501)
}

/// Writing.
impl S3Store {
    async fn put(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries, tags: Option<&str>) -> Result<Put> {
        check_key(key)?;
        match self.send(key, body.clone(), sha256, tries, tags).await {
            Ok(()) => Ok(Put::Created),
            Err(failure) if failure.status() == Some(412) => self.compare(key, &body, sha256).await,
            Err(failure) => Err(self.explain_put(key, &failure, tries)),
        }
    }

    async fn send(
        &self,
        key: &str,
        body: Bytes,
        sha256: [u8; 32],
        tries: Tries,
        tags: Option<&str>,
    ) -> Result<(), Failure> {
        let upload = Duration::from_secs(60 + body.len() as u64 / SLOWEST_UPLOAD_BYTES_PER_S);
        let mut limits = aws_sdk_s3::config::Config::builder().timeout_config(timeouts(upload));
        if let Tries::Once { at } = tries {
            limits = limits.retry_config(RetryConfig::disabled()).time_source(StaticTimeSource::new(at.into()));
        }
        let request = self.client.put_object().bucket(&self.bucket).key(self.full(key)).if_none_match("*");
        request
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64_STANDARD.encode(sha256))
            .set_tagging(tags.map(str::to_owned))
            .body(ByteStream::from(body))
            .customize()
            .config_override(limits)
            .interceptor(client::SignedBy { sha256 })
            .send()
            .await
            .map(|_| ())
            .map_err(|e| Failure::of::<PutObjectError>(&e))
    }

    /// What the object that was there first means for a put of `body`.
    async fn compare(&self, key: &str, body: &Bytes, sha256: [u8; 32]) -> Result<Put> {
        let there = self.head(key).await.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::vault(format!("{key} was there when we wrote it, and gone when we looked")),
            _ => e,
        })?;
        let equal = match there {
            there if there.info.size_bytes != body.len() as u64 => false,
            ObjectHead { sha256: Some(theirs), .. } => theirs == sha256,
            ObjectHead { sha256: None, .. } => self.get(key).await? == body,
        };
        Ok(if equal { Put::Created } else { Put::Exists })
    }
}

/// Reading.
impl S3Store {
    async fn fetch(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        let mut attempt = 1;
        loop {
            let answer = self.request(key, range.as_ref()).await?;
            if let Some(range) = &range {
                check_range(key, range, answer.content_range.as_deref())?;
            }
            match read(answer).await {
                Ok(body) => return Ok(body),
                Err(e) if attempt == BODY_ATTEMPTS => {
                    let location = self.location();
                    return Err(Error::vault(format!("reading {key} in {location} broke off")).because(e));
                }
                Err(e) => tracing::debug!(key, attempt, error = %e, "reading an object broke off"),
            }
            tokio::time::sleep(backoff(attempt)).await;
            attempt += 1;
        }
    }

    async fn request(&self, key: &str, range: Option<&Range<u64>>) -> Result<GetObjectOutput> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(key));
        let request = match range {
            Some(range) => request.range(format!("bytes={}-{}", range.start, range.end - 1)),
            None => request.checksum_mode(ChecksumMode::Enabled),
        };
        request.send().await.map_err(|e| {
            let failure = Failure::of(&e);
            match range {
                Some(range) if failure.status() == Some(416) => beyond_the_end(key, range, None),
                _ => self.explain(Action::Get, key, &failure),
            }
        })
    }

    /// An object of a listing, unless it is not the vault's. `last` is the full key before it.
    fn listed(&self, object: Object, last: &mut String) -> Result<Option<ObjectInfo>> {
        let full = object.key.unwrap_or_default();
        if full <= *last {
            return Err(Error::vault(format!("{} lists its objects out of order", self.location()))
                .hint("directory buckets (S3 Express) and some other stores do: use a general purpose bucket"));
        }
        *last = full;
        match last.strip_prefix(&self.prefix).filter(|key| is_key(key)) {
            Some(key) => {
                let class = object.storage_class.as_ref().map(|class| class.as_str());
                self.info(key, object.size, object.last_modified, class).map(Some)
            }
            None => Ok(None),
        }
    }

    fn info(
        &self,
        key: &str,
        size: Option<i64>,
        modified: Option<DateTime>,
        class: Option<&str>,
    ) -> Result<ObjectInfo> {
        let described = || {
            Some(ObjectInfo {
                key: key.to_owned(),
                size_bytes: size?.try_into().ok()?,
                modified: clock::timestamp(&modified?)?,
                storage_class: StorageClass::of_s3(class),
            })
        };
        described()
            .ok_or_else(|| Error::vault(format!("{} does not tell the size and the time of {key}", self.location())))
    }

    fn next_token(&self, page: &ListObjectsV2Output) -> Result<Option<String>> {
        if !page.is_truncated.unwrap_or(false) {
            return Ok(None);
        }
        let token = page.next_continuation_token.clone();
        let missing = || Error::vault(format!("{} breaks a listing off", self.location()));
        token.map(Some).ok_or_else(missing)
    }

    fn no_such_object(&self, key: &str) -> Error {
        no_such_object(&self.location(), key)
    }
}

/// A store may answer a range that goes past the end with fewer bytes, or ignore that a range was asked for.
fn check_range(key: &str, range: &Range<u64>, answered: Option<&str>) -> Result<()> {
    let exact = format!("bytes {}-{}/", range.start, range.end - 1);
    match answered {
        Some(answered) if answered.starts_with(&exact) => Ok(()),
        Some(answered) => {
            let size = answered.rsplit_once('/').and_then(|(_, size)| size.parse().ok());
            Err(beyond_the_end(key, range, size))
        }
        None => Err(Error::vault(format!("the store cannot read a part of {key}"))),
    }
}

async fn read(answer: GetObjectOutput) -> Result<Bytes, ByteStreamError> {
    let announced = answer.content_length.and_then(|length| usize::try_from(length).ok());
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0));
    let mut stream = answer.body;
    while let Some(piece) = stream.try_next().await? {
        body.extend_from_slice(&piece);
    }
    if announced.is_some_and(|announced| announced != body.len()) {
        let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        return Err(short.into());
    }
    Ok(body.freeze())
}

fn backoff(attempt: u32) -> Duration {
    let longest_ms = 250 * 2_u64.pow(attempt);
    Duration::from_millis(rand::random_range(0..longest_ms))
}

/// The SHA-256 of whole objects; that of a multipart upload (`…-3`) is something else.
fn decoded(checksum: &str) -> Option<[u8; 32]> {
    BASE64_STANDARD.decode(checksum).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_checksum_is_not_taken_for_the_objects() {
        let whole = BASE64_STANDARD.encode([7; 32]);
        assert_eq!(decoded(&whole), Some([7; 32]));
        assert_eq!(decoded(&format!("{whole}-3")), None);
        assert_eq!(decoded(&BASE64_STANDARD.encode([7; 20])), None);
    }

    #[test]
    fn a_range_is_accepted_only_as_asked() {
        let range = 5..10;
        assert!(check_range("k", &range, Some("bytes 5-9/10")).is_ok());
        let error = check_range("k", &range, Some("bytes 5-7/8")).unwrap_err();
        assert_eq!(error.message(), "bytes 5..10 lie beyond the end of k, which has 8 bytes");
        assert!(check_range("k", &range, None).is_err());
        assert!(check_range("k", &(0..1), Some("bytes 0-10/11")).is_err());
    }
}
