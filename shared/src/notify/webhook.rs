//! Alerts as JSON to any URL, signed, so that the receiver knows who speaks: `docs/alert.schema.json`.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::http::Http;
use super::{Alert, Channel};
use crate::error::{Error, Result};

#[derive(Debug)]
pub struct Webhook {
    http: Http,
    url: SecretString,
    /// With which it signs.
    key: Option<SecretString>,
}

impl Webhook {
    pub fn new(http: Http, url: SecretString, key: Option<SecretString>) -> Self {
        Self { http, url, key }
    }
}

#[async_trait]
impl Channel for Webhook {
    fn name(&self) -> &str {
        "webhook"
    }

    async fn send(&self, alert: &Alert) -> Result<()> {
        let body = serde_json::to_string(alert).map_err(|e| Error::bug("an alert").because(e))?;
        let signed = self.key.as_ref().map(|key| signature(key, Timestamp::now().as_second(), &body));
        let headers = signed.map(|signature| ("x-lifeboat-signature", signature));
        self.http.post("the webhook", &self.url, headers.as_slice(), &body).await
    }
}

/// `t=‹seconds since 1970›,v1=‹HMAC-SHA-256 of "‹seconds›.‹body›", hexadecimal›`: with the time in it, a message that was
/// overheard cannot be sent again later.
fn signature(key: &SecretString, second: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    let tag = hmac::sign(&key, format!("{second}.{body}").as_bytes());
    format!("t={second},v1={}", hex::encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key`
    #[test]
    fn the_signature_is_an_hmac_of_the_time_and_the_body() {
        let signed = signature(&"key".to_owned().into(), 1_700_000_000, r#"{"a":1}"#);
        assert_eq!(signed, format!("t=1700000000,v1={EXPECTED}"));
    }

    const EXPECTED: &str = "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
}
