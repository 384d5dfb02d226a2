//! The AWS stand-in.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};

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
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let moment = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock is past 1970")
            .as_micros();
        let name = format!("test-{}-{moment}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.s3()
            .create_bucket()
            .bucket(&name)
            .send()
            .await
            .unwrap_or_else(|error| panic!("creating bucket {name}: {error:?}"));
        name
    }
}
