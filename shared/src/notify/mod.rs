//! Telling people. One kind of event, [`Alert`]; each channel turns it into what its readers want.
//!
//! An alert holds no secret and no row: its text is an [`Error`](crate::Error)'s or made from counts, names and times.

mod email;
mod http;
mod slack;
mod sns;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, DatabaseName, Occasion};

pub use self::http::Http;
pub use crate::model::Severity;
pub use email::{Email, SmtpServer};
pub use slack::Slack;
pub use sns::Sns;
pub use webhook::Webhook;

/// However many tries a channel makes, the others and the work are not kept waiting for longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// Something that people should know of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// What happened, for filters: `backup_failed`, `verification_failed`, or a rule of the health report.
    pub kind: String,
    pub severity: Severity,
    /// Of a finding that comes, stays and goes; `null` for what just happened.
    pub occasion: Option<Occasion>,
    /// Which installation speaks: the stack's name, or a host's.
    pub source: String,
    pub database: Option<DatabaseName>,
    pub backup: Option<BackupId>,
    /// One line: what happened, to what.
    pub title: String,
    /// For people: what happened, to what, and what to do.
    pub text: String,
    /// For programs.
    pub facts: Value,
}

impl Alert {
    /// The title with how bad it is, or that it is over.
    fn headline(&self) -> String {
        let word = match self.occasion {
            Some(Occasion::Resolved) => "RESOLVED".to_owned(),
            _ => self.severity.as_str().to_uppercase(),
        };
        format!("{word}: {}", self.title)
    }

    /// The alert as lines for people.
    fn page(&self) -> String {
        let named = |name: &str, value: Option<String>| value.map(|value| format!("{name}: {value}\n"));
        let facts = [
            named("database", self.database.as_ref().map(ToString::to_string)),
            named("backup", self.backup.as_ref().map(ToString::to_string)),
            named("severity", Some(self.severity.to_string())),
            named("state", self.occasion.map(|occasion| occasion.as_str().to_owned())),
            named("from", Some(self.source.clone())),
        ];
        format!("{}\n\n{}\n\n{}", self.title, self.text, String::from_iter(facts.into_iter().flatten()))
    }
}

/// A way to tell people.
#[async_trait]
pub trait Channel: fmt::Debug + Send + Sync {
    /// `slack`
    fn name(&self) -> &str;

    /// Errors: `Configuration` when it is set up wrong, `Vault` when it is worth another try. Never with a secret.
    async fn send(&self, alert: &Alert) -> Result<()>;
}

/// All ways that are configured, each with what is worth telling there.
#[derive(Debug, Clone, Default)]
pub struct Channels(Vec<(Severity, Arc<dyn Channel>)>);

/// Whom an alert reached.
#[derive(Debug, Default)]
pub struct Delivery {
    pub sent: Vec<String>,
    pub failed: Vec<(String, Error)>,
}

impl Delivery {
    /// Whether nobody is left who should have heard of it and has not: one channel is enough, and so is none that wants it.
    pub fn has_arrived(&self) -> bool {
        !self.sent.is_empty() || self.failed.is_empty()
    }
}

/// A channel that cannot even be set up. It is one all the same, so that the others tell of it.
#[derive(Debug)]
struct Broken {
    name: &'static str,
    kind: ErrorKind,
    message: String,
    hint: String,
}

impl Broken {
    fn new(name: &'static str, error: &Error) -> Self {
        let hint = error.hint_text().unwrap_or("look at its section in the configuration").to_owned();
        Self { name, kind: error.kind(), message: error.message(), hint }
    }
}

#[async_trait]
impl Channel for Broken {
    fn name(&self) -> &str {
        self.name
    }

    async fn send(&self, _: &Alert) -> Result<()> {
        Err(Error::new(self.kind, self.message.clone()).hint(self.hint.clone()))
    }
}

impl Channels {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, min_severity: Severity, channel: impl Channel + 'static) {
        self.0.push((min_severity, Arc::new(channel)));
    }

    /// Adds what was made, or what says why it could not be.
    pub fn add_made(&mut self, name: &'static str, min_severity: Severity, made: Result<impl Channel + 'static>) {
        match made {
            Ok(channel) => self.add(min_severity, channel),
            Err(error) => self.add(min_severity, Broken::new(name, &error)),
        }
    }

    /// Tells something that just happened on every channel that wants to know. A channel that fails is told of on those that
    /// work, each time: nobody keeps a record of such alerts.
    pub async fn tell(&self, alert: &Alert) -> Delivery {
        let delivery = self.send(alert).await;
        for (name, error) in &delivery.failed {
            let of_failure = channel_failed(name, error, &alert.source);
            let is_working = |channel: &dyn Channel| delivery.sent.iter().any(|name| name == channel.name());
            self.send_where(is_working, &of_failure).await;
        }
        delivery
    }

    /// Sends it on every channel that wants to know, all at once, and no word elsewhere of those that fail.
    pub async fn send(&self, alert: &Alert) -> Delivery {
        let wanted = self.0.iter().filter(|(least, _)| alert.severity >= *least).map(|(_, channel)| channel);
        Self::send_all(wanted, alert).await
    }

    /// Sends it on one of them, whatever else that wants to know.
    pub async fn send_on(&self, name: &str, alert: &Alert) -> Delivery {
        self.send_where(|channel| channel.name() == name, alert).await
    }

    /// Sends it on all but one of them, whatever else they want to know.
    pub async fn send_elsewhere(&self, name: &str, alert: &Alert) -> Delivery {
        self.send_where(|channel| channel.name() != name, alert).await
    }

    async fn send_where(&self, is_meant: impl Fn(&dyn Channel) -> bool, alert: &Alert) -> Delivery {
        let all = self.0.iter().map(|(_, channel)| channel);
        Self::send_all(all.filter(|channel| is_meant(&***channel)), alert).await
    }

    async fn send_all<'a>(channels: impl Iterator<Item = &'a Arc<dyn Channel>>, alert: &Alert) -> Delivery {
        let one = async |channel: &Arc<dyn Channel>| {
            let name = channel.name().to_owned();
            let sent = match tokio::time::timeout(PATIENCE, channel.send(alert)).await {
                Ok(sent) => sent,
                Err(_) => Err(Error::vault(format!("{name} took longer than {} s", PATIENCE.as_secs()))),
            };
            (name, sent)
        };
        let mut delivery = Delivery::default();
        for (name, sent) in join_all(channels.map(one)).await {
            match sent {
                Ok(()) => delivery.sent.push(name),
                Err(error) => {
                    let kind = &alert.kind;
                    tracing::error!(channel = name, kind, %error, hint = error.hint_text(), "an alert was not sent");
                    delivery.failed.push((name, error));
                }
            }
        }
        delivery
    }
}

/// What an alert says that tells of a failed channel.
pub const CHANNEL_FAILED: &str = "channel_failed";

/// That a channel fails, for the others.
pub fn channel_failed(name: &str, error: &Error, source: &str) -> Alert {
    let hint = error.hint_text().map(|hint| format!("\n\n{hint}")).unwrap_or_default();
    Alert {
        kind: CHANNEL_FAILED.to_owned(),
        severity: Severity::Critical,
        occasion: None,
        source: source.to_owned(),
        database: None,
        backup: None,
        title: format!("alerts do not reach {name}"),
        text: format!("{}{hint}", error.message()),
        facts: json!({"channel": name}),
    }
}

#[cfg(test)]
mod servers;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Notes what it is told, or fails.
    #[derive(Debug)]
    struct Notebook {
        name: &'static str,
        works: bool,
        told: Arc<Mutex<Vec<String>>>,
    }

    #[async_trait]
    impl Channel for Notebook {
        fn name(&self) -> &str {
            self.name
        }

        async fn send(&self, alert: &Alert) -> Result<()> {
            match self.works {
                true => self.told.lock().unwrap().push(format!("{} {}", self.name, alert.kind)),
                false => return Err(Error::vault("it is out")),
            }
            Ok(())
        }
    }

    fn alert(severity: Severity) -> Alert {
        Alert {
            kind: "backup_age".to_owned(),
            severity,
            occasion: Some(Occasion::Opened),
            source: "acme".to_owned(),
            database: None,
            backup: None,
            title: "late".to_owned(),
            text: "very".to_owned(),
            facts: json!({}),
        }
    }

    async fn told(channels: &[(&'static str, Severity, bool)], severity: Severity) -> (Vec<String>, bool) {
        let (mut all, told) = (Channels::default(), Arc::new(Mutex::new(Vec::new())));
        for (name, least, works) in channels {
            all.add(*least, Notebook { name, works: *works, told: Arc::clone(&told) });
        }
        let arrived = all.tell(&alert(severity)).await.has_arrived();
        let told = told.lock().unwrap().clone();
        (told, arrived)
    }

    #[tokio::test]
    async fn each_channel_hears_what_it_wants_and_of_those_that_fail() {
        use Severity::*;
        let both = [("slack", Warning, true), ("mail", Critical, true)];
        assert_eq!(told(&both, Info).await, (vec![], true));
        assert_eq!(told(&both, Warning).await, (vec!["slack backup_age".to_owned()], true));
        assert_eq!(told(&both, Critical).await.0, ["slack backup_age", "mail backup_age"]);
        let one_out = [("slack", Warning, false), ("mail", Critical, true)];
        assert_eq!(
            told(&one_out, Critical).await,
            (vec!["mail backup_age".to_owned(), "mail channel_failed".to_owned()], true)
        );
        assert_eq!(told(&one_out, Warning).await, (vec![], false), "the only one that wanted it is out");
        assert_eq!(told(&[], Critical).await, (vec![], true));
    }
}
