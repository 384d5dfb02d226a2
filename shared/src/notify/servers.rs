//! Channels against servers that take, refuse, redirect and hang.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a receiver was sent: head and body.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// Answers one connection after the other with these status lines; of an empty one it never answers.
async fn receiver(answers: &'static [&'static str]) -> (SecretString, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/T0/secret-path", listener.local_addr().unwrap());
    let received = Received::default();
    let noted = Arc::clone(&received);
    tokio::spawn(async move {
        let mut open = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let request = read_request(&mut stream).await;
            noted.lock().unwrap().push(request);
            if !answer.is_empty() {
                let answer = format!(
                    "HTTP/1.1 {answer}\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\ncontent-length: 4\r\n\r\noops"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            open.push(stream);
        }
        std::future::pending::<()>().await;
    });
    (url.into(), received)
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn alert() -> Alert {
    Alert {
        kind: "backup_age".to_owned(),
        severity: Severity::Critical,
        occasion: Some(Occasion::Opened),
        source: "acme".to_owned(),
        database: Some("shop".parse().unwrap()),
        backup: None,
        title: "the newest backup is 3 days old".to_owned(),
        text: "make one".to_owned(),
        facts: json!({"age_s": 259_200}),
    }
}

fn http() -> Http {
    Http::new().unwrap().with_patience(Duration::from_secs(2))
}

#[tokio::test]
async fn a_webhook_gets_the_alert_as_signed_json_after_faults_that_pass() {
    let (url, received) = receiver(&["500 Oops", "429 Slow down", "200 OK"]).await;
    let webhook = Webhook::new(http(), url, Some("key".to_owned().into()));
    webhook.send(&alert()).await.unwrap();
    let received = received.lock().unwrap().clone();
    assert_eq!(received.len(), 3);
    let (head, body) = &received[2];
    assert!(head.contains("POST /T0/secret-path HTTP/1.1") && head.contains("x-lifeboat-signature: t="), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["kind"], &body["occasion"], &body["facts"]["age_s"]),
        (&json!("backup_age"), &json!("opened"), &json!(259_200))
    );
}

#[tokio::test]
async fn what_refuses_redirects_hangs_or_is_not_there_is_told_without_the_secret() {
    let refused = async |answers: &'static [&'static str], patience_ms: u64| {
        let (url, received) = receiver(answers).await;
        let slack = Slack::new(http().with_patience(Duration::from_millis(patience_ms)), url);
        let error = slack.send(&alert()).await.unwrap_err();
        assert!(!error.message().contains("secret-path"), "{error}");
        let tries = received.lock().unwrap().len();
        (error.kind(), error.message(), tries)
    };
    let (kind, message, tries) = refused(&["404 Not Found"], 2000).await;
    assert_eq!((kind, tries, message.as_str()), (ErrorKind::Configuration, 1, "Slack answered 404 Not Found: oops"));
    let (kind, message, tries) = refused(&["302 Found"], 2000).await;
    assert!(kind == ErrorKind::Configuration && tries == 1 && message.contains("redirect"), "{message}");
    let (kind, message, tries) = refused(&["", "", ""], 200).await;
    assert!(kind == ErrorKind::Vault && tries == 3 && message.contains("did not answer"), "{message}");
    let gone = Slack::new(http(), "http://127.0.0.1:1/secret-path".to_owned().into());
    let error = gone.send(&alert()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Vault && error.message() == "Slack cannot be reached", "{error}");
    for bad in ["not a url at all", "ftp://host/secret-path", ""] {
        let error = Slack::new(http(), bad.to_owned().into()).send(&alert()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && !error.message().contains("secret-path"), "{error}");
    }
}

/// A mail server that takes everything, or refuses the recipient.
async fn mail_server(takes: bool) -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mail = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&mail);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mail.example.com ESMTP\r\n").await.unwrap();
        let mut in_data = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return;
            }
            let answer = match line.trim_end() {
                "." if in_data => {
                    in_data = false;
                    "250 taken"
                }
                _ if in_data => {
                    noted.lock().unwrap().push_str(&line);
                    continue;
                }
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                rcpt if rcpt.starts_with("RCPT") && !takes => "550 nobody of that name",
                _ => "250 fine",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    });
    (port, mail)
}

#[tokio::test]
async fn a_mail_is_handed_to_the_server_or_the_refusal_told() {
    let email = |port: u16| {
        let server = SmtpServer::parse(&format!("smtp+plain://127.0.0.1:{port}")).unwrap();
        Email::new(&server, "lifeboat@example.com", &["ops@example.com".to_owned()]).unwrap()
    };
    let (port, mail) = mail_server(true).await;
    email(port).send(&alert()).await.unwrap();
    let mail = mail.lock().unwrap().clone();
    assert!(
        mail.contains("To: ops@example.com") && mail.contains("database: shop") && mail.contains("make one"),
        "{mail}"
    );
    assert!(mail.contains("Subject: [acme] CRITICAL: the newest backup is 3 days old"), "{mail}");
    let (port, _) = mail_server(false).await;
    let refused = email(port).send(&alert()).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Configuration && refused.message().contains("550"), "{refused}");
    assert_eq!(email(1).send(&alert()).await.unwrap_err().kind(), ErrorKind::Vault);
}
