//! AWS, as this process's environment and profile configure it: the one place where the SDK is set up.

mod caller;
mod failure;
mod kms;
mod remembered;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::OnceCell;

use crate::error::{Error, Result};

pub(crate) use failure::Failure;
pub use kms::{EncryptionContext, KmsKey};
use remembered::Remembered;
pub use secret::SecretReference;

/// How often one request is tried, unless `AWS_MAX_ATTEMPTS` says otherwise.
const ATTEMPTS: u32 = 8;

/// The way to AWS. Cheap to clone; asks the environment, the profile or the instance at first use only, so that who keeps
/// everything in a folder needs no AWS at all.
#[derive(Clone, Default)]
pub struct Aws(Arc<Inner>);

#[derive(Default)]
struct Inner {
    config: OnceCell<SdkConfig>,
    remembered: Remembered,
}

impl Aws {
    /// The SDK's default chain: `AWS_*` variables, profiles, SSO, web identity, container and instance roles.
    pub fn from_environment() -> Self {
        Self::default()
    }

    /// The same, remembering each secret of Secrets Manager for so long: for a process that lives on between its tasks.
    pub fn remembering_secrets(ttl: Duration) -> Self {
        Self(Arc::new(Inner { config: OnceCell::new(), remembered: Remembered::new(ttl) }))
    }

    /// Makes the next use of every secret ask Secrets Manager again: it may have been rotated.
    pub fn forget_secrets(&self) {
        self.0.remembered.forget();
    }

    /// The SDK's configuration, for clients of services that the engine itself does not use.
    pub async fn sdk_config(&self) -> &SdkConfig {
        self.0.config.get_or_init(load).await
    }
}

/// For who has configured the SDK already, tests above all.
impl From<SdkConfig> for Aws {
    fn from(config: SdkConfig) -> Self {
        Self(Arc::new(Inner { config: OnceCell::new_with(Some(config)), remembered: Remembered::default() }))
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let region = self.0.config.get().and_then(SdkConfig::region);
        f.debug_struct("Aws").field("region", &region).finish()
    }
}

/// The error of a call to a `service` that the engine itself does not use, with what to do when it was denied.
pub fn explain<E>(doing: &str, service: &str, error: &SdkError<E, HttpResponse>, when_denied: &str) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let hint = |failure: &Failure| failure.is_denied().then(|| when_denied.to_owned());
    Failure::of(error).explain(doing, service, hint)
}

async fn load() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .app_name(AppName::new("lifeboat").expect("the name has only letters"))
        .retry_config(retries(None))
        .timeout_config(timeouts(Duration::from_secs(30)))
        .load()
        .await
}

/// Retries with exponential back-off and full jitter.
pub(crate) fn retries(attempts: Option<u32>) -> RetryConfig {
    let from_environment = || std::env::var("AWS_MAX_ATTEMPTS").ok()?.parse().ok();
    RetryConfig::standard()
        .with_max_attempts(attempts.or_else(from_environment).unwrap_or(ATTEMPTS).max(1))
        .with_initial_backoff(Duration::from_millis(250))
        .with_max_backoff(Duration::from_secs(20))
}

pub(crate) fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).operation_attempt_timeout(attempt).build()
}

/// A region, or what to do to have one.
pub(crate) fn require_region(config: &SdkConfig) -> Result<()> {
    if config.region().is_some() {
        return Ok(());
    }
    Err(Error::configuration("no AWS region is configured")
        .hint("set AWS_REGION, or `region` in the profile (~/.aws/config)"))
}
