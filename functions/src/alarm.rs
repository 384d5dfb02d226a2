//! Alerts of the functions: to the stack's topic, and never in the way of what they tell of.

use lifeboat::notify::{Alert, Sns};

use crate::deployment::Deployment;
use crate::metrics::{Scope, Unit, emit};

/// Sends the alert. That it cannot be sent is logged and counted, which an alarm of the stack watches: the work stays done.
pub async fn raise(deployment: &Deployment, alert: &Alert) {
    let Some(topic) = &deployment.settings.alert_topic else {
        tracing::warn!(kind = alert.kind, "no topic for alerts is configured");
        return;
    };
    let sent = match Sns::topic(&deployment.aws, topic).await {
        Ok(topic) => topic.publish(alert).await,
        Err(error) => Err(error),
    };
    let failed = match sent {
        Ok(()) => 0.0,
        Err(error) => {
            tracing::error!(kind = alert.kind, error = %error, hint = error.hint_text(), "the alert was not sent");
            1.0
        }
    };
    emit(&deployment.settings.stack, Scope::default(), &[("AlertFailed", Unit::Count, failed)]);
}
