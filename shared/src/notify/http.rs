//! One way to post to a channel over HTTP: few tries, short patience, no redirects, and never a word of the URL, which for some
//! channels is the secret.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(500);
/// Enough of an answer to see what somebody complains of.
const ANSWER_CHARS: usize = 200;

/// Posts from now on.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// For one try.
    patience: Duration,
}

impl Http {
    /// Errors: `Configuration` when this machine has no certificates to trust.
    pub fn new() -> Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_native_roots().map_err(|e| {
            Error::configuration("this machine has no root certificates to trust, so nothing can be told over HTTPS")
                .hint("install ca-certificates")
                .because(e)
        })?;
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), patience: PATIENCE })
    }

    /// For tests of those who never answer.
    #[cfg(test)]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Posts JSON; tries again where that may help.
    ///
    /// Errors: `Configuration` for what is no URL, and for a refusal; `Vault` (worth another try) when nobody answers, or too late.
    pub async fn post(&self, channel: &str, url: &SecretString, headers: &[(&str, String)], json: &str) -> Result<()> {
        let mut attempt = 1;
        loop {
            let failed = match tokio::time::timeout(self.patience, self.post_once(channel, url, headers, json)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => Error::vault(format!("{channel} did not answer within {} s", self.patience.as_secs())),
            };
            if attempt == TRIES || !failed.kind().is_transient() {
                return Err(failed);
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    async fn post_once(&self, channel: &str, url: &SecretString, headers: &[(&str, String)], json: &str) -> Result<()> {
        let no_url = || {
            Error::configuration(format!("what is configured for {channel} is not an https:// or http:// URL"))
                .hint("its secret holds the whole URL and nothing else")
        };
        let uri: http::Uri = url.expose_secret().trim().parse().map_err(|_| no_url())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(no_url());
        }
        let mut request = http::Request::post(uri).header("content-type", "application/json");
        request = request.header("user-agent", concat!("lifeboat/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(json.to_owned())).map_err(|_| no_url())?;
        // Not the error's own words: they may name the address.
        let answer = self.client.request(request).await.map_err(|error| {
            let why = if error.is_connect() { "cannot be reached" } else { "broke the connection off" };
            Error::vault(format!("{channel} {why}")).hint("is its host right, and open to this network?")
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let said: String =
            String::from_utf8_lossy(&body).chars().take(ANSWER_CHARS).filter(|c| !c.is_control()).collect();
        let message = match said.trim() {
            "" => format!("{channel} answered {status}"),
            said => format!("{channel} answered {status}: {said}"),
        };
        Err(match status.as_u16() {
            300..400 => Error::configuration(format!("{channel} answered {status}, a redirect, which is not followed"))
                .hint("configure the URL that it leads to"),
            408 | 429 | 500.. => Error::vault(message),
            _ => Error::configuration(message).hint("is the URL the right one, and still good?"),
        })
    }
}
