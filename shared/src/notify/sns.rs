//! Alerts to an SNS topic. E-mail subscribers read a page, all others get the alert as JSON; the attributes `severity`, `kind`
//! and `database` are there for filter policies.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::json;

use super::{Alert, Channel};
use crate::aws::{Aws, Failure, require_region};
use crate::error::{Error, Result};
use crate::model::Occasion;

/// SNS takes no more, and only printable ASCII.
const MAX_SUBJECT_CHARS: usize = 100;
/// SNS takes 256 KiB for all of a message; the facts of an alert may be many.
const MAX_TEXT_CHARS: usize = 8 * 1024;

/// A topic.
#[derive(Debug, Clone)]
pub struct Sns {
    client: Client,
    topic: String,
}

impl Sns {
    /// The topic of this ARN, in the region that the ARN names. Asks nobody yet.
    pub async fn topic(aws: &Aws, arn: &str) -> Result<Self> {
        let config = aws.sdk_config().await;
        let mut builder = aws_sdk_sns::config::Builder::from(config);
        match arn.split(':').nth(3).filter(|region| !region.is_empty()) {
            Some(region) => builder = builder.region(aws_config::Region::new(region.to_owned())),
            None => require_region(config)?,
        }
        Ok(Self { client: Client::from_conf(builder.build()), topic: arn.to_owned() })
    }

    fn explain(&self, failure: &Failure) -> Error {
        failure.explain(&format!("cannot publish to the topic {}", self.topic), "SNS", |failure| {
            let hint = match failure.is_denied() {
                true => "grant sns:Publish on it, and kms:GenerateDataKey and kms:Decrypt on its key",
                false => "check the topic's ARN",
            };
            Some(hint.to_owned())
        })
    }
}

#[async_trait]
impl Channel for Sns {
    fn name(&self) -> &str {
        "sns"
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        let request = self
            .client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject(alert))
            .message_structure("json")
            .message(message(alert))
            .message_attributes("severity", text(alert.severity.as_str()))
            .message_attributes("kind", text(&alert.kind));
        let request = match &alert.database {
            Some(database) => request.message_attributes("database", text(database.as_str())),
            None => request,
        };
        let answer = request.send().await;
        answer.map(drop).map_err(|error| self.explain(&Failure::of(&error)))
    }
}

fn text(value: &str) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
    attribute.build().expect("the type of the value is given")
}

/// One line of ASCII that says how bad it is, and for whom.
fn subject(alert: &Alert) -> String {
    let severity = match alert.occasion {
        Some(Occasion::Resolved) => "RESOLVED".to_owned(),
        _ => alert.severity.as_str().to_uppercase(),
    };
    let line = format!("[{severity}] {}: {}", alert.source, alert.title);
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let line: String = line.chars().map(plain).collect();
    match line.len() > MAX_SUBJECT_CHARS {
        true => format!("{}...", &line[..MAX_SUBJECT_CHARS - 3]),
        false => line,
    }
}

/// What each protocol gets.
fn message(alert: &Alert) -> String {
    let shortened = |text: &str| text.chars().take(MAX_TEXT_CHARS).collect::<String>();
    let alert = Alert { text: shortened(&alert.text), ..alert.clone() };
    let as_json = serde_json::to_string(&alert).expect("an alert is plain values");
    let sms = subject(&alert);
    json!({"default": as_json, "email": alert.page(), "sms": sms}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::notify::Severity;

    fn alert(title: &str, text: &str) -> Alert {
        Alert {
            kind: "backup_failed".to_owned(),
            severity: Severity::Critical,
            occasion: None,
            source: "lifeboat".to_owned(),
            database: Some("shop".parse().unwrap()),
            backup: None,
            title: title.to_owned(),
            text: text.to_owned(),
            facts: json!({"kind": "database_unreachable"}),
        }
    }

    #[test]
    fn mail_is_a_page_and_everybody_else_gets_json() {
        let message: Value =
            serde_json::from_str(&message(&alert("backup of shop failed", "no route to host"))).unwrap();
        let page = "backup of shop failed\n\nno route to host\n\ndatabase: shop\nseverity: critical\nfrom: lifeboat\n";
        assert_eq!(message["email"], page);
        assert_eq!(message["sms"], "[CRITICAL] lifeboat: backup of shop failed");
        let default: Value = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
        assert_eq!(default["facts"]["kind"], "database_unreachable");
        assert_eq!(default["severity"], "critical");
    }

    proptest! {
        #[test]
        fn whatever_happened_sns_takes_the_message(title in "\\PC{0,300}", text in "(?s).{0,60000}") {
            let alert = alert(&title, &text);
            let subject = subject(&alert);
            prop_assert!(subject.len() <= MAX_SUBJECT_CHARS && subject.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert!(message(&alert).len() < 256 * 1024);
        }
    }
}
