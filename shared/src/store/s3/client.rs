//! How the SDK's client is set up: endpoint, retries, limits, signing.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::interceptors::InterceptorContext;
use aws_sdk_s3::config::retry::{ClassifyRetry, RetryAction, RetryPartition, TokenBucket};
use aws_sdk_s3::config::{Builder, ConfigBag, Intercept, RuntimeComponents, StalledStreamProtectionConfig};
use aws_sdk_s3::error::BoxError;

use super::S3Settings;
use super::clock::StoreClock;
use crate::aws::{require_region, retries, timeouts};
use crate::error::Result;

pub(super) fn build(settings: &S3Settings, config: &SdkConfig, clock: &StoreClock) -> Result<Client> {
    let mut builder = Builder::from(config);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    let custom_endpoint = settings.endpoint.is_some() || has_endpoint(config);
    match &settings.region {
        Some(region) => builder = builder.region(Region::new(region.clone())),
        // It takes part in signatures only.
        None if custom_endpoint && config.region().is_none() => {
            builder = builder.region(Region::from_static("us-east-1"));
        }
        None => require_region(config)?,
    }
    let builder = builder
        .force_path_style(settings.force_path_style.unwrap_or(custom_endpoint))
        .retry_config(retries(settings.attempts))
        .retry_partition(unrationed())
        .retry_classifier(Refusals)
        .timeout_config(timeouts(Duration::from_secs(60)))
        .stalled_stream_protection(patience())
        .interceptor(clock.clone());
    Ok(Client::from_conf(builder.build()))
}

/// As the SDK finds it, except in a profile's `services` section.
fn has_endpoint(config: &SdkConfig) -> bool {
    config.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some()
}

/// By default all clients of a process share a few hundred retries, and never regain those of a longer outage. Ours are
/// bounded by the attempts of each request and by how many requests run at a time.
fn unrationed() -> RetryPartition {
    RetryPartition::custom("lifeboat").token_bucket(TokenBucket::unlimited()).build()
}

/// A transfer that stands still for so long has failed. The default of 5 seconds is less than a busy machine may need.
fn patience() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::enabled().grace_period(Duration::from_secs(20)).build()
}

/// Answers worth another try that the SDK does not know as such.
#[derive(Debug)]
struct Refusals;

impl ClassifyRetry for Refusals {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response().map(|response| response.status().as_u16()) {
            // ConditionalRequestConflict, OperationAborted: another request for this key was under way.
            Some(408 | 409) => RetryAction::transient_error(),
            Some(429) => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "answers worth another try"
    }
}

/// Has the payload signed by its known SHA-256, instead of hashing it again.
#[derive(Debug)]
pub(super) struct SignedBy {
    pub sha256: [u8; 32],
}

impl Intercept for SignedBy {
    fn name(&self) -> &'static str {
        "SignedBy"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let known = PayloadSigningOverride::Precomputed(hex::encode(self.sha256));
        config.interceptor_state().store_put(known);
        Ok(())
    }
}
