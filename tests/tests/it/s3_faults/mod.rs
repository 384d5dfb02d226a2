//! How the S3 store fares when the network or the store does not: lost answers, broken bodies, refusals.

mod proxy;

use aws_config::SdkConfig;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat::aws::Aws;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::store::{Deletes, ObjectStore, Put, Tries, list_all, probe_create_only};
use lifeboat::{Error, ErrorKind};
use lifeboat_tests::{Bed, Moto};
use rand::RngCore;
use sha2::{Digest, Sha256};

use self::proxy::{Fault, Ignorance, Proxy};

const PREFIX: &str = "some/prefix";

/// A store behind a proxy, and another writer who reaches the stand-in directly.
struct Fixture {
    proxy: Proxy,
    bucket: String,
    store: S3Store,
    /// The same, deleting every version.
    thorough: S3Store,
    other: S3Store,
}

impl Fixture {
    async fn new() -> Self {
        Self::ignorant(Ignorance::default()).await
    }

    async fn ignorant(ignorance: Ignorance) -> Self {
        let moto = Bed::get().moto().await;
        let bucket = moto.fresh_bucket().await;
        let proxy = Proxy::before(moto.endpoint(), ignorance).await;
        let store = connect(&bucket, &proxy.endpoint(), moto.sdk_config()).await;
        let thorough = S3Settings { deletes: Deletes::EveryVersion, ..settings(&bucket, &proxy.endpoint()) };
        let thorough = S3Store::connect(thorough, &Aws::from(moto.sdk_config())).await.unwrap();
        let other = connect(&bucket, moto.endpoint(), moto.sdk_config()).await;
        Self { proxy, bucket, store, thorough, other }
    }

    async fn put(&self, body: &str) -> Put {
        self.store.put_new("a", body.to_owned().into(), Tries::Many).await.unwrap()
    }

    async fn put_fails(&self, tries: Tries) -> Error {
        let error = self.store.put_new("a", "ours".into(), tries).await.unwrap_err();
        assert_discreet(&error);
        error
    }

    /// Somebody else's object.
    async fn others(&self, body: impl Into<Bytes>) {
        assert_eq!(self.other.put_new("a", body.into(), Tries::Many).await.unwrap(), Put::Created);
    }
}

async fn connect(bucket: &str, endpoint: &str, config: SdkConfig) -> S3Store {
    S3Store::connect(settings(bucket, endpoint), &Aws::from(config)).await.unwrap()
}

fn settings(bucket: &str, endpoint: &str) -> S3Settings {
    S3Settings {
        bucket: bucket.to_owned(),
        prefix: PREFIX.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        attempts: Some(3),
        ..S3Settings::default()
    }
}

/// Neither credentials nor what derives from them.
fn assert_discreet(error: &Error) {
    let shown = format!("{error:?} {}", error.to_json());
    for secret in [Moto::SECRET_ACCESS_KEY, Moto::ACCESS_KEY_ID, "Signature=", "Authorization", "X-Amz-"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.len() < 2000, "{shown}");
}

fn once() -> Tries {
    Tries::Once { at: Timestamp::now() }
}

fn random_bytes(size_bytes: usize) -> Bytes {
    let mut bytes = vec![0; size_bytes];
    rand::rng().fill_bytes(&mut bytes);
    bytes.into()
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_reads_as_created() {
    let bed = Fixture::new().await;
    bed.proxy.plan([Fault::LoseAnswer]);
    assert_eq!(bed.put("ours").await, Put::Created);
    assert_eq!(bed.proxy.methods(), ["PUT", "PUT", "HEAD"]);
}

#[tokio::test]
async fn a_lost_answer_does_not_make_somebody_elses_object_ours() {
    let bed = Fixture::new().await;
    bed.others("theirs").await;
    for ours in ["ours", "ours, but longer"] {
        bed.proxy.plan([Fault::LoseAnswer]);
        assert_eq!(bed.put(ours).await, Put::Exists);
    }
    assert_eq!(bed.store.get("a").await.unwrap(), "theirs");
}

#[tokio::test]
async fn a_store_that_keeps_no_checksums_is_compared_by_bytes() {
    let ignorance = Ignorance { of_answer_header: Some("x-amz-checksum-sha256"), ..Ignorance::default() };
    let bed = Fixture::ignorant(ignorance).await;
    bed.others("theirs").await;
    assert_eq!(bed.store.head("a").await.unwrap().sha256, None);
    assert_eq!(bed.put("ours!!").await, Put::Exists);
    assert_eq!(bed.put("theirs").await, Put::Created);
}

#[tokio::test]
async fn one_try_is_one_request_and_a_lost_answer_leaves_it_open() {
    let bed = Fixture::new().await;
    for fault in [Fault::LoseRequest, Fault::LoseAnswer, Fault::error(500, "InternalError")] {
        bed.proxy.plan([fault]);
        let error = bed.put_fails(once()).await;
        assert_eq!(error.kind(), ErrorKind::Vault);
        assert!(error.message().contains("may or may not"), "{error}");
        assert_eq!(bed.proxy.methods(), ["PUT"]);
        bed.store.delete("a").await.unwrap();
        bed.proxy.requests();
    }
    bed.proxy.plan([Fault::error(403, "AccessDenied")]);
    let error = bed.put_fails(once()).await;
    assert!(!error.message().contains("may or may not"), "{error}");
}

/// S3 refuses requests whose signature is older than a quarter of an hour.
#[tokio::test]
async fn one_try_is_signed_with_the_time_of_the_decision_so_that_a_machine_that_slept_makes_it_in_vain() {
    let bed = Fixture::new().await;
    let at = Timestamp::now() - SignedDuration::from_mins(20);
    bed.proxy.plan([Fault::error(403, "RequestTimeTooSkewed")]);
    let error = bed.put_fails(Tries::Once { at }).await;
    assert_eq!(error.kind(), ErrorKind::OutOfTime);
    let requests = bed.proxy.requests();
    let signed: Vec<&str> = requests.iter().filter_map(|request| request.header("x-amz-date")).collect();
    assert_eq!(signed, [at.strftime("%Y%m%dT%H%M%SZ").to_string()]);
}

#[tokio::test]
async fn conflicts_and_overload_are_tried_again() {
    let bed = Fixture::new().await;
    let overload = || [Fault::error(503, "SlowDown"), Fault::error(500, "InternalError")];
    bed.proxy.plan([Fault::error(409, "ConditionalRequestConflict"), Fault::error(429, "TooManyRequests")]);
    assert_eq!(bed.put("ours").await, Put::Created);
    bed.proxy.plan(overload());
    assert_eq!(bed.store.get("a").await.unwrap(), "ours");
    bed.proxy.plan(overload());
    assert_eq!(list_all(&bed.store, "").await.unwrap().len(), 1);
    bed.proxy.plan(overload());
    bed.store.head("a").await.unwrap();
    bed.proxy.plan(overload());
    bed.store.delete("a").await.unwrap();

    bed.proxy.plan([Fault::error(503, "SlowDown"), Fault::LoseRequest, Fault::error(503, "SlowDown")]);
    let error = bed.put_fails(Tries::Many).await;
    assert_eq!(error.kind(), ErrorKind::Vault);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_was_damaged_is_fetched_again() {
    let bed = Fixture::new().await;
    let body = random_bytes(3_000_000);
    bed.others(body.clone()).await;
    bed.proxy.plan([Fault::BreakOff, Fault::FlipBit, Fault::LoseAnswer]);
    assert!(bed.store.get("a").await.unwrap() == body);
    bed.proxy.plan([Fault::BreakOff]);
    assert!(bed.store.get_range("a", 10..2_000_000).await.unwrap() == body[10..2_000_000]);

    bed.proxy.plan([Fault::BreakOff, Fault::BreakOff, Fault::FlipBit, Fault::BreakOff]);
    let error = bed.store.get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Vault);
    assert_discreet(&error);
}

#[tokio::test]
async fn a_put_is_one_conditional_request_with_its_checksum() {
    let bed = Fixture::new().await;
    let body = random_bytes(20 * 1024 * 1024);
    let sha256 = Sha256::digest(&body);
    assert_eq!(bed.store.put_new("a", body.clone(), Tries::Many).await.unwrap(), Put::Created);

    let requests = bed.proxy.requests();
    let [put] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert!(put.first_line.starts_with(&format!("PUT /{}/{PREFIX}/a", bed.bucket)), "{}", put.first_line);
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert_eq!(put.header("x-amz-checksum-sha256"), Some(BASE64_STANDARD.encode(sha256).as_str()));
    assert_eq!(put.header("x-amz-content-sha256"), Some(hex::encode(sha256).as_str()));
    let signed = put.header("authorization").unwrap_or_default();
    assert!(signed.contains("if-none-match;") && signed.contains("x-amz-checksum-sha256;"), "{signed}");
    assert!(put.body == body);
    assert_eq!(bed.store.head("a").await.unwrap().sha256, Some(sha256.into()));
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_is_found_out() {
    let ignorance = Ignorance { of_request_header: Some("if-none-match"), ..Ignorance::default() };
    let bed = Fixture::ignorant(ignorance).await;
    for _ in 0..2 {
        assert!(!probe_create_only(&bed.store, "").await.unwrap());
    }
    assert!(probe_create_only(&bed.other, "").await.unwrap());

    bed.proxy.plan([Fault::error(501, "NotImplemented")]);
    let error = bed.put_fails(Tries::Many).await;
    assert!(error.hint_text().unwrap().contains("conditional"), "{error}");
}

#[tokio::test]
async fn refusals_name_the_missing_right() {
    let bed = Fixture::new().await;
    let denied = || bed.proxy.plan([Fault::error(403, "AccessDenied")]);
    denied();
    let put = bed.put_fails(Tries::Many).await;
    denied();
    let get = bed.store.get("a").await.unwrap_err();
    denied();
    let head = bed.store.head("a").await.unwrap_err();
    denied();
    let list = bed.store.list_page("", None, 1).await.unwrap_err();
    denied();
    let names = bed.store.list_names("").await.unwrap_err();
    denied();
    let delete = bed.store.delete("a").await.unwrap_err();
    denied();
    let versions = bed.thorough.delete("a").await.unwrap_err();
    bed.others("theirs").await;
    bed.proxy.plan([Fault::None, Fault::error(403, "AccessDenied")]);
    let version = bed.thorough.delete("a").await.unwrap_err();
    for (error, right) in [
        (put, "s3:PutObject"),
        (get, "s3:GetObject"),
        (head, "s3:GetObject"),
        (list, "s3:ListBucket"),
        (names, "s3:ListBucket"),
        (delete, "s3:DeleteObject on"),
        (versions, "s3:ListBucketVersions"),
        (version, "s3:DeleteObjectVersion"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let hint = error.hint_text().unwrap();
        assert!(hint.contains(right) && hint.contains(&bed.bucket), "{hint}");
        assert_discreet(&error);
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_said() {
    let bed = Fixture::new().await;
    let elsewhere = Fault::Answer {
        status: 301,
        headers: "x-amz-bucket-region: eu-north-1\r\n",
        body: "<Error><Code>PermanentRedirect</Code><Message>Elsewhere.</Message></Error>".to_owned(),
    };
    for (fault, advice) in [
        (elsewhere, "AWS_REGION=eu-north-1"),
        (Fault::error(400, "ExpiredToken"), "sign in again"),
        (Fault::error(403, "InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID"),
        (Fault::error(403, "SignatureDoesNotMatch"), "AWS_SECRET_ACCESS_KEY"),
        (Fault::error(403, "RequestTimeTooSkewed"), "clock"),
    ] {
        bed.proxy.plan([fault]);
        let error = bed.store.get("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.hint_text().unwrap().contains(advice), "{:?}", error.hint_text());
        assert_discreet(&error);
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_the_way_to_some_is_told() {
    let bed = Fixture::new().await;
    let anonymous = SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(
            aws_config::meta::credentials::CredentialsProviderChain::first_try("nobody", NoCredentials),
        ))
        .build();
    let store = connect(&bed.bucket, &bed.proxy.endpoint(), anonymous).await;
    let error = store.put_new("a", "ours".into(), once()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.hint_text().unwrap().contains("AWS_PROFILE"));
    assert!(!error.message().contains("may or may not"), "{error}");
    assert_eq!(bed.proxy.methods(), [""; 0]);
}

#[derive(Debug)]
struct NoCredentials;

impl aws_sdk_s3::config::ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let none = aws_credential_types::provider::error::CredentialsError::not_loaded_no_source();
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(none))
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let moto = Bed::get().moto().await;
    let store = connect("no-such-bucket-here", moto.endpoint(), moto.sdk_config()).await;
    let put = store.put_new("a", "x".into(), Tries::Many).await.unwrap_err();
    let get = store.get("a").await.unwrap_err();
    let list = store.list_page("", None, 1).await.unwrap_err();
    for error in [put, get, list] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), "there is no bucket no-such-bucket-here");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_an_outage() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", unused.local_addr().unwrap());
    drop(unused);
    let store = connect("some-bucket", &endpoint, Bed::get().moto().await.sdk_config()).await;
    let error = store.get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Vault);
    assert!(error.hint_text().unwrap().contains("reachable"), "{error}");
    assert_discreet(&error);
}

#[tokio::test]
async fn what_is_not_the_vaults_is_not_listed_and_pages_stay_full() {
    let bed = Fixture::new().await;
    let s3 = Bed::get().moto().await.s3();
    for key in ["pool/", "pool/a b", "pool/.hidden", "odd folder/x", ".tmp/x"] {
        let key = format!("{PREFIX}/{key}");
        s3.put_object().bucket(&bed.bucket).key(key).send().await.unwrap();
    }
    for key in ["pool/a", "pool/b", "pool/c"] {
        bed.store.put_new(key, "x".into(), Tries::Many).await.unwrap();
    }
    let page = bed.store.list_page("pool/", None, 3).await.unwrap();
    assert_eq!(Vec::from_iter(page.iter().map(|o| o.key.as_str())), ["pool/a", "pool/b", "pool/c"]);
    assert_eq!(bed.store.list_names("").await.unwrap(), ["pool"]);
}

#[tokio::test]
async fn a_store_that_lists_out_of_order_is_refused() {
    let bed = Fixture::new().await;
    let object = |key| {
        format!(
            "<Contents><Key>{PREFIX}/{key}</Key><Size>1</Size><LastModified>2026-11-21T02:00:00Z</LastModified></Contents>"
        )
    };
    let body =
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{}{}</ListBucketResult>", object("b"), object("a"));
    bed.proxy.plan([Fault::Answer { status: 200, headers: "", body }]);
    let error = bed.store.list_page("", None, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Vault);
    assert!(error.message().contains("out of order"), "{error}");
}

#[tokio::test]
async fn the_clock_is_read_off_any_answer() {
    let bed = Fixture::new().await;
    bed.store.now().await.unwrap();
    assert_eq!(bed.proxy.methods(), ["GET"]);
    bed.store.now().await.unwrap();
    assert_eq!(bed.proxy.methods(), [""; 0]);

    let headers = "date: Sat, 21 Nov 2026 02:00:00 GMT\r\n";
    bed.proxy.plan([Fault::Answer { status: 404, headers, body: String::new() }]);
    bed.store.head("a").await.unwrap_err();
    let now = bed.store.now().await.unwrap();
    assert!(now.to_string().starts_with("2026-11-21T02:00:"), "{now}");
}
