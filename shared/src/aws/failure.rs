//! What an AWS call failed with, reduced to what people may see: the service's code, message and request id, or the chain of
//! causes when no answer came. Never a header, a body, a signed URL or a signature.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::error::Error;

/// Enough for every message of a service that helps.
const MAX_TEXT_CHARS: usize = 400;

#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    status: Option<u16>,
    code: Option<String>,
    /// Where S3 says the bucket is, when asked in the wrong place.
    bucket_region: Option<String>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No usable credentials were found: nothing was sent.
    NoCredentials,
    /// The request could not be built: nothing was sent.
    NotSent,
    /// No answer, or none that makes sense: what was asked may have happened.
    NoAnswer,
    /// The service said no.
    Answered,
}

impl Failure {
    pub fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + 'static,
    {
        let response = error.raw_response();
        let header = |name| response.and_then(|r| r.headers().get(name)).map(str::to_owned);
        let status = response.map(|r| r.status().as_u16());
        let (kind, text) = match error {
            SdkError::ServiceError(_) => {
                let request_id = header("x-amz-request-id").or_else(|| header("x-amzn-requestid"));
                (Kind::Answered, answer(error, status, request_id.as_deref()))
            }
            SdkError::ConstructionFailure(_) => (Kind::NotSent, causes(error)),
            _ => match chain(error).find(|cause| cause.is::<CredentialsError>()) {
                Some(cause) => (Kind::NoCredentials, format!("no AWS credentials: {}", causes(cause))),
                // "Dispatch failure" tells nobody anything.
                None => (Kind::NoAnswer, causes(error.source().unwrap_or(error))),
            },
        };
        Self {
            kind,
            status,
            code: error.code().map(str::to_owned),
            bucket_region: header("x-amz-bucket-region"),
            text: shortened(text),
        }
    }

    /// One line for people.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether what was asked for may have happened all the same.
    pub fn leaves_it_open(&self) -> bool {
        match self.kind {
            Kind::NoCredentials | Kind::NotSent => false,
            Kind::NoAnswer => true,
            Kind::Answered => self.status.is_none_or(|status| status >= 500),
        }
    }

    /// Whether the service could not be asked, or was not able to answer.
    pub fn is_outage(&self) -> bool {
        const THROTTLED: [&str; 5] =
            ["SlowDown", "Throttling", "ThrottlingException", "LimitExceededException", "TooManyRequestsException"];
        self.leaves_it_open() || THROTTLED.iter().any(|code| self.is(code)) || self.status == Some(429)
    }

    pub fn is_denied(&self) -> bool {
        self.is("AccessDenied") || self.is("AccessDeniedException") || (self.code.is_none() && self.status == Some(403))
    }

    /// What to do where this process's credentials, region or clock are to blame.
    pub fn configuration_hint(&self) -> Option<String> {
        if self.kind == Kind::NoCredentials {
            return Some(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (after `aws sso login`), or give this machine \
                 a role"
                    .to_owned(),
            );
        }
        if matches!(self.status, Some(301 | 307)) || self.is("AuthorizationHeaderMalformed") {
            return Some(match &self.bucket_region {
                Some(region) => format!("the bucket is in {region}: set AWS_REGION={region}"),
                None => {
                    "the bucket is in another region, or the endpoint is wrong: check AWS_REGION and AWS_ENDPOINT_URL"
                        .to_owned()
                }
            });
        }
        let hint = match self.code.as_deref()? {
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
                "the credentials have expired: sign in again (`aws sso login`) or renew the session token"
            }
            "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidToken" => {
                "the access key or session token is unknown there: check AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN and the endpoint"
            }
            "SignatureDoesNotMatch" | "IncompleteSignature" | "InvalidSignatureException" => {
                "check AWS_SECRET_ACCESS_KEY, and that no proxy changes requests"
            }
            "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => "the request had no credentials",
            "RequestTimeTooSkewed" => "this machine's clock is wrong: set it (NTP)",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The error of a call to `service`: `Vault`, which is worth a retry, when it could not be asked, else `Configuration`
    /// with what `hint` knows about the answer.
    pub fn explain(&self, doing: &str, service: &str, hint: impl FnOnce(&Self) -> Option<String>) -> Error {
        if let Some(error) = self.configuration_error(doing) {
            return error;
        }
        let message = format!("{doing}: {}", self.text);
        if self.is_outage() {
            return Error::vault(message)
                .hint(format!("is {service} reachable from here? Without internet access a VPC needs its endpoint"));
        }
        let error = Error::configuration(message);
        match hint(self) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// The error, if this process's credentials, region or clock are to blame.
    pub fn configuration_error(&self, doing: &str) -> Option<Error> {
        let hint = self.configuration_hint()?;
        Some(Error::configuration(format!("{doing}: {}", self.text)).hint(hint))
    }
}

fn answer<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    status: Option<u16>,
    request_id: Option<&str>,
) -> String {
    let mut text = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => status.map_or("an answer without a status".to_owned(), |status| format!("HTTP status {status}")),
    };
    if let Some(request_id) = request_id {
        text.push_str(&format!(" (request {request_id})"));
    }
    text
}

/// What each error of the chain says, without what its predecessor said already.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in chain(error) {
        let text = cause.to_string();
        if said.last().is_none_or(|last| !last.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
