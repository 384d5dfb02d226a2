//! Alerts by e-mail, through an SMTP server.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use super::{Alert, Channel};
use crate::error::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where mail is handed in.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub user: Option<String>,
    pub password: Option<SecretString>,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte: `smtps://`, port 465.
    Implicit,
    /// After a word in the clear, and never without: `smtp://`, port 587.
    StartTls,
    /// Not at all: `smtp+plain://`, for a relay on this machine.
    None,
}

impl SmtpServer {
    /// `smtps://user@host:465`, `smtp://host:587`, `smtp+plain://localhost:25`. Errors: `Usage`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::usage(format!("it is not a mail server: {why}"))
                .hint("write smtps://user@host:465 or smtp://user@host:587")
        };
        let url = url::Url::parse(text).map_err(|_| bad("it is no URL"))?;
        let (tls, port) = match url.scheme() {
            "smtps" => (SmtpTls::Implicit, 465),
            "smtp" => (SmtpTls::StartTls, 587),
            "smtp+plain" => (SmtpTls::None, 25),
            _ => return Err(bad("it begins with neither smtps:// nor smtp://")),
        };
        if url.password().is_some() {
            return Err(bad("it holds a password, which belongs into `password`, as a reference"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let user = Some(url.username()).filter(|user| !user.is_empty());
        // A user may be an address, whose `@` a URL writes as `%40`.
        let user = user.map(|user| percent_decode_str(user).decode_utf8()).transpose();
        let user = user.map_err(|_| bad("its user is not UTF-8"))?.map(Cow::into_owned);
        Ok(Self { host: host.to_owned(), port: url.port().unwrap_or(port), tls, user, password: None })
    }
}

/// Mail to some people.
#[derive(Debug)]
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    /// Errors: `Configuration` for addresses that are none.
    pub fn new(server: &SmtpServer, from: &str, to: &[String]) -> Result<Self> {
        let address = |text: &str| {
            let bad = || Error::configuration(format!("{text:?} is not a mail address"));
            text.parse::<Mailbox>().map_err(|_| bad())
        };
        let host = server.host.as_str();
        let relay = match server.tls {
            SmtpTls::Implicit => AsyncSmtpTransport::<Tokio1Executor>::relay(host),
            SmtpTls::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host),
            SmtpTls::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)),
        };
        let mut relay = relay
            .map_err(|_| Error::configuration(format!("mail cannot be sent through {host}: TLS is not available")))?
            .port(server.port)
            .timeout(Some(PATIENCE));
        if let (Some(user), Some(password)) = (&server.user, &server.password) {
            relay = relay.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        let to: Vec<Mailbox> = to.iter().map(|text| address(text)).collect::<Result<_>>()?;
        if to.is_empty() {
            return Err(Error::configuration("mail goes to nobody").hint("name somebody in `to`"));
        }
        Ok(Self { transport: relay.build(), host: host.to_owned(), from: address(from)?, to })
    }

    fn message(&self, alert: &Alert) -> Result<Message> {
        let subject: String = alert.headline().chars().filter(|c| !c.is_control()).take(200).collect();
        let mut message = Message::builder().from(self.from.clone()).subject(format!("[{}] {subject}", alert.source));
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = message.header(ContentType::TEXT_PLAIN).body(alert.page());
        message.map_err(|e| Error::bug("a mail could not be written").because(e))
    }
}

#[async_trait]
impl Channel for Email {
    fn name(&self) -> &str {
        "email"
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        let sent = self.transport.send(self.message(alert)?).await;
        sent.map(drop).map_err(|error| {
            let code = error.status().map(|code| format!(" ({code})")).unwrap_or_default();
            let doing = format!("mail was not taken by {}{code}", self.host);
            match error.is_permanent() {
                true => Error::configuration(doing).hint("do user, password and addresses suit the server?"),
                false => Error::vault(doing).hint("is the server reachable from here, with this port and encryption?"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    #[test]
    fn a_server_is_named_by_a_url_without_a_password() {
        let parsed = |text: &str| SmtpServer::parse(text).map(|s| (s.host, s.port, s.tls, s.user));
        let user = Some("me@example.com".to_owned());
        assert_eq!(
            parsed("smtps://me%40example.com@mail.example.com").unwrap(),
            ("mail.example.com".to_owned(), 465, SmtpTls::Implicit, user)
        );
        assert_eq!(parsed("smtp://relay:2525").unwrap(), ("relay".to_owned(), 2525, SmtpTls::StartTls, None));
        assert_eq!(parsed("smtp+plain://localhost").unwrap(), ("localhost".to_owned(), 25, SmtpTls::None, None));
        for bad in ["mail.example.com", "http://x", "smtp://", "smtp://me:secret@host"] {
            let error = parsed(bad).unwrap_err();
            assert!(!error.message().contains("secret@"), "{error}");
        }
    }

    #[test]
    fn a_mail_has_the_page_as_its_text_and_one_line_as_its_subject() {
        let server = SmtpServer::parse("smtp+plain://localhost").unwrap();
        let email = Email::new(&server, "Lifeboat <lifeboat@example.com>", &["ops@example.com".to_owned()]).unwrap();
        let alert = Alert {
            kind: "backup_age".to_owned(),
            severity: Severity::Critical,
            occasion: None,
            source: "acme".to_owned(),
            database: None,
            backup: None,
            title: "late\r\nBcc: everybody@example.com".to_owned(),
            text: "very".to_owned(),
            facts: serde_json::json!({}),
        };
        let mail = String::from_utf8(email.message(&alert).unwrap().formatted()).unwrap();
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("Subject: [acme] CRITICAL: lateBcc: everybody@example.com") && body.contains("very"),
            "{mail}"
        );
        assert!(!head.lines().any(|line| line.starts_with("Bcc")));
        assert!(Email::new(&server, "nobody", &["ops@example.com".to_owned()]).is_err());
        assert!(Email::new(&server, "a@example.com", &[]).is_err());
    }
}
