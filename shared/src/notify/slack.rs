//! Alerts in a Slack channel, through an incoming webhook.

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::http::Http;
use super::{Alert, Channel};
use crate::error::Result;
use crate::model::{Occasion, Severity};

/// Slack takes 3,000 characters in a section.
const MAX_TEXT_CHARS: usize = 2_900;
/// And 150 in a header.
const MAX_TITLE_CHARS: usize = 150;

#[derive(Debug)]
pub struct Slack {
    http: Http,
    /// Whoever has it may write into the channel.
    url: SecretString,
}

impl Slack {
    pub fn new(http: Http, url: SecretString) -> Self {
        Self { http, url }
    }
}

#[async_trait]
impl Channel for Slack {
    fn name(&self) -> &str {
        "slack"
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        self.http.post("Slack", &self.url, &[], &message(alert).to_string()).await
    }
}

fn colour(alert: &Alert) -> &'static str {
    match (alert.occasion, alert.severity) {
        (Some(Occasion::Resolved), _) => "#2eb886",
        (_, Severity::Critical) => "#d00000",
        (_, Severity::Warning) => "#daa038",
        (_, Severity::Info) => "#439fe0",
    }
}

/// Slack reads these three in its markup.
fn plain(text: &str, most: usize) -> String {
    let text: String = text.chars().take(most).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn message(alert: &Alert) -> Value {
    let title = alert.headline();
    let field = |name: &str, value: &str| format!("*{name}* {}", plain(value, 200));
    let mut context = vec![field("severity", alert.severity.as_str()), field("from", &alert.source)];
    context.extend(alert.database.as_ref().map(|database| field("database", database.as_str())));
    context.extend(alert.backup.as_ref().map(|backup| field("backup", backup.as_str())));
    json!({
        // For notifications, which show no blocks.
        "text": plain(&title, MAX_TITLE_CHARS),
        "attachments": [{
            "color": colour(alert),
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": title.chars().take(MAX_TITLE_CHARS).collect::<String>()}},
                {"type": "section", "text": {"type": "mrkdwn", "text": plain(&alert.text, MAX_TEXT_CHARS)}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": context.join("   ")}]},
            ],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_a_colour_a_title_and_no_markup_of_others() {
        let alert = Alert {
            kind: "rows_lost".to_owned(),
            severity: Severity::Critical,
            occasion: None,
            source: "acme".to_owned(),
            database: Some("shop".parse().unwrap()),
            backup: None,
            title: "rows <lost>".to_owned(),
            text: format!("<!channel> & {}", "x".repeat(9_000)),
            facts: json!({}),
        };
        let made = message(&alert);
        let attachment = &made["attachments"][0];
        assert_eq!(attachment["color"], "#d00000");
        assert_eq!(attachment["blocks"][0]["text"]["text"], "CRITICAL: rows <lost>");
        let text = attachment["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(text.starts_with("&lt;!channel&gt; &amp; xxx") && text.len() < 3_000);
        let resolved = message(&Alert { occasion: Some(Occasion::Resolved), ..alert });
        assert_eq!(resolved["attachments"][0]["color"], "#2eb886");
        assert_eq!(resolved["text"], "RESOLVED: rows &lt;lost&gt;");
    }
}
