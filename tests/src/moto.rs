//! The AWS stand-in.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::types::StorageClass;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running stand-in for AWS, which takes any credentials.
#[derive(Debug)]
pub struct Moto {
    endpoint: String,
}

impl Moto {
    pub const REGION: &'static str = "us-east-1";
    pub const ACCESS_KEY_ID: &'static str = "AKIATESTBED";
    pub const SECRET_ACCESS_KEY: &'static str = "test-bed-secret-access-key";

    pub(crate) fn at(endpoint: String) -> Self {
        Self { endpoint }
    }

    /// What belongs into `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The environment that points a program at the stand-in.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", Self::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", Self::SECRET_ACCESS_KEY.to_owned()),
        ]
    }

    pub fn sdk_config(&self) -> SdkConfig {
        let credentials = Credentials::new(Self::ACCESS_KEY_ID, Self::SECRET_ACCESS_KEY, None, None, "the test bed");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::from_static(Self::REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk_config()).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The name of a new, empty bucket.
    pub async fn fresh_bucket(&self) -> String {
        self.make_bucket(false).await
    }

    /// The name of a new, empty bucket with Object Lock, which locks nothing by itself.
    pub async fn fresh_locking_bucket(&self) -> String {
        self.make_bucket(true).await
    }

    async fn make_bucket(&self, has_object_lock: bool) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let moment = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock is past 1970")
            .as_micros();
        let name = format!("test-{}-{moment}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.s3()
            .create_bucket()
            .bucket(&name)
            .object_lock_enabled_for_bucket(has_object_lock)
            .send()
            .await
            .unwrap_or_else(|error| panic!("creating bucket {name}: {error:?}"));
        name
    }

    /// Does what a lifecycle rule does after its days: freezes every object of the bucket that is tagged for it. From now on,
    /// what anybody asks this stand-in to thaw takes two seconds.
    pub async fn freeze_what_is_tagged(&self, bucket: &str) -> usize {
        self.take_two_seconds_to_thaw().await;
        let s3 = self.s3();
        let listed = s3.list_objects_v2().bucket(bucket).send().await.expect("the bucket is there");
        let mut frozen = 0;
        for key in listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
            let tags = s3.get_object_tagging().bucket(bucket).key(&key).send().await.expect("the object is there");
            if tags.tag_set.iter().any(|tag| (tag.key.as_str(), tag.value.as_str()) == ("lifeboat-storage", "archive"))
            {
                let copy = s3.copy_object().bucket(bucket).key(&key).copy_source(format!("{bucket}/{key}"));
                copy.storage_class(StorageClass::Glacier).send().await.expect("an object can be copied onto itself");
                frozen += 1;
            }
        }
        // It counts from the last change of the object.
        tokio::time::sleep(Duration::from_secs(3)).await;
        frozen
    }

    async fn take_two_seconds_to_thaw(&self) {
        let body = r#"{"model_name": "s3::keyrestore", "transition": {"progression": "time", "seconds": 2}}"#;
        let host = self.endpoint.trim_start_matches("http://");
        let head = format!("POST /moto-api/state-manager/set-transition HTTP/1.0\r\nHost: {host}\r\n");
        let request = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(host).await.expect("the stand-in is up");
        stream.write_all(request.as_bytes()).await.expect("it takes requests");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        assert!(answer.lines().next().is_some_and(|status| status.contains("201")), "{answer}");
    }
}
