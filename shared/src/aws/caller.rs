//! Who AWS takes this process for.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

use super::Aws;

/// It is for the record only: nobody waits long for it.
const PATIENCE: Duration = Duration::from_secs(3);

impl Aws {
    /// The ARN of the user or role whose credentials these are. `None` where nobody tells: no credentials, no way to STS.
    pub async fn caller(&self) -> Option<String> {
        let config = aws_sdk_sts::config::Builder::from(self.sdk_config().await)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build())
            .build();
        // Credentials are looked for before the request's own time begins.
        let asked = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send();
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => answer.arn,
            Ok(Err(error)) => {
                tracing::debug!(error = %aws_smithy_types::error::display::DisplayErrorContext(&error), "no caller identity");
                None
            }
            Err(_) => None,
        }
    }
}
