//! Alerts of the functions: to the stack's topic and every channel that is configured, and never in the way of what they tell of.

use lifeboat::notify::Alert;

use crate::deployment::Deployment;
use crate::metrics::{Scope, Unit, emit};

/// Sends the alert. That it cannot be sent somewhere is logged, told on the other channels and counted, which an alarm of the
/// stack watches: the work stays done.
pub async fn raise(deployment: &Deployment, alert: &Alert) {
    // In boxes, because their types are deeper than the compiler follows.
    let channels = Box::pin(deployment.channels()).await;
    if channels.is_empty() {
        tracing::warn!(kind = alert.kind, "no channel for alerts is configured");
        return;
    }
    let delivery = Box::pin(channels.tell(alert)).await;
    emit(&deployment.settings.stack, Scope::default(), &[("AlertFailed", Unit::Count, delivery.failed.len() as f64)]);
}
