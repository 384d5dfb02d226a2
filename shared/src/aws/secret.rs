//! References to secrets, which is all that configuration holds of them, and the way from a reference to the secret.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use aws_config::Region;
use aws_sdk_secretsmanager::config::Builder;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroize;

use super::{Aws, Failure, require_region};
use crate::error::{Error, Result};

/// Where a secret is kept: `secret:NAME[#json-field]` (Secrets Manager, by name or ARN), `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SecretReference {
    SecretsManager {
        /// Name or ARN; an ARN is asked in its own region.
        id: String,
        /// The member of the JSON object that is meant, where the secret is one.
        field: Option<String>,
    },
    Environment(String),
    File(PathBuf),
}

impl FromStr for SecretReference {
    type Err = Error;

    /// Errors do not repeat the text: people paste the secret itself.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = match text.split_once(':') {
            Some((_, "")) => None,
            Some(("secret", name)) => secrets_manager(name),
            Some(("env", name)) => Some(Self::Environment(name.to_owned())),
            Some(("file", path)) => Some(Self::File(path.into())),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Error::configuration("not a reference to a secret")
                .hint("write secret:NAME, secret:NAME#FIELD, env:NAME or file:PATH, never the secret itself")
        })
    }
}

fn secrets_manager(name: &str) -> Option<SecretReference> {
    let (id, field) = match name.split_once('#') {
        Some((id, field)) => (id, Some(field.to_owned())),
        None => (name, None),
    };
    let named = !id.is_empty() && field.as_deref() != Some("");
    named.then(|| SecretReference::SecretsManager { id: id.to_owned(), field })
}

impl TryFrom<String> for SecretReference {
    type Error = Error;

    fn try_from(mut text: String) -> Result<Self> {
        let parsed = text.parse();
        text.zeroize();
        parsed
    }
}

impl From<SecretReference> for String {
    fn from(reference: SecretReference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager { id, field: None } => write!(f, "secret:{id}"),
            Self::SecretsManager { id, field: Some(field) } => write!(f, "secret:{id}#{field}"),
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Aws {
    /// The secret that is meant. One newline at a file's end is not part of it.
    ///
    /// Errors are of kind `Configuration`, or `Vault` (worth a retry) when Secrets Manager could not be asked.
    pub async fn secret(&self, reference: &SecretReference) -> Result<SecretString> {
        let secret = match reference {
            SecretReference::SecretsManager { id, field } => {
                let secret = self.secrets_manager_value(id).await?;
                match field {
                    Some(field) => json_field(id, secret.expose_secret().to_owned(), field)?,
                    None => secret.expose_secret().to_owned(),
                }
            }
            SecretReference::Environment(name) => from_environment(name)?,
            SecretReference::File(path) => from_file(path).await?,
        };
        if secret.is_empty() {
            return Err(Error::configuration(format!("the secret {reference} is empty")));
        }
        Ok(secret.into())
    }

    async fn secrets_manager_value(&self, id: &str) -> Result<SecretString> {
        if let Some(remembered) = self.0.remembered.get(id, SystemTime::now()) {
            return Ok(remembered);
        }
        let secret = self.ask_secrets_manager(id).await?;
        self.0.remembered.put(id, &secret, SystemTime::now());
        Ok(secret)
    }

    async fn ask_secrets_manager(&self, id: &str) -> Result<SecretString> {
        let config = self.sdk_config().await;
        let mut builder = Builder::from(config);
        match region_of_arn(id) {
            Some(region) => builder = builder.region(Region::new(region.to_owned())),
            None => require_region(config)?,
        }
        let client = aws_sdk_secretsmanager::Client::from_conf(builder.build());
        let answer = client.get_secret_value().secret_id(id).send().await;
        let answer = answer.map_err(|e| explain(id, &Failure::of(&e)))?;
        answer.secret_string.map(SecretString::from).ok_or_else(|| {
            Error::configuration(format!("the secret {id} holds binary data"))
                .hint("store it as text: base64 for keys, JSON for connections")
        })
    }
}

fn region_of_arn(id: &str) -> Option<&str> {
    let mut parts = id.split(':');
    (parts.next() == Some("arn")).then_some(())?;
    parts.nth(2).filter(|region| !region.is_empty())
}

fn json_field(id: &str, mut secret: String, field: &str) -> Result<String> {
    let parsed = serde_json::from_str(&secret);
    secret.zeroize();
    // The parser's own words may quote what it read.
    let Ok(Value::Object(mut fields)) = parsed else {
        return Err(Error::configuration(format!("the secret {id} is not a JSON object"))
            .hint(format!("leave out #{field} to use the whole secret")));
    };
    match fields.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(Error::configuration(format!("the field {field} of the secret {id} is not text"))),
        None => {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            Err(Error::configuration(format!("the secret {id} has no field {field}"))
                .hint(format!("it has: {}", names.join(", "))))
        }
    }
}

fn from_environment(name: &str) -> Result<String> {
    std::env::var(name).map_err(|e| match e {
        std::env::VarError::NotPresent => Error::configuration(format!("the environment variable {name} is not set")),
        // Its Display would show the value.
        std::env::VarError::NotUnicode(_) => {
            Error::configuration(format!("the environment variable {name} is not valid UTF-8"))
        }
    })
}

async fn from_file(path: &Path) -> Result<String> {
    let read = || async {
        let mode = tokio::fs::metadata(path).await?.permissions().mode();
        Ok((mode, tokio::fs::read(path).await?))
    };
    let (mode, bytes) = read().await.map_err(|e: io::Error| {
        Error::configuration(format!("cannot read the secret in {}", path.display())).because(e)
    })?;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "others may read this secret: chmod 600 the file"
        );
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        e.into_bytes().zeroize();
        Error::configuration(format!("the secret in {} is not text", path.display()))
    })?;
    let newline = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(newline.unwrap_or(text.len()));
    Ok(text)
}

fn explain(id: &str, failure: &Failure) -> Error {
    let doing = format!("cannot fetch the secret {id} from Secrets Manager");
    failure.explain(&doing, "Secrets Manager", |failure| {
        let hint = if failure.is_denied() {
            "grant secretsmanager:GetSecretValue on it, and kms:Decrypt if it has a key of its own"
        } else if failure.is("ResourceNotFoundException") {
            "check its name and AWS_REGION"
        } else {
            return None;
        };
        Some(hint.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(text: &str) -> SecretReference {
        text.parse().unwrap()
    }

    #[test]
    fn references_read_and_write_alike() {
        for text in [
            "secret:lifeboat/master-key",
            "secret:prod/shop-db#password",
            "secret:arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf#url",
            "env:LIFEBOAT_MASTER_KEY",
            "file:/run/secrets/master key",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        let field = Some("password".to_owned());
        assert_eq!(parse("secret:a#password"), SecretReference::SecretsManager { id: "a".to_owned(), field });
    }

    #[test]
    fn a_pasted_secret_is_refused_and_not_repeated() {
        for text in
            ["hunter2-hunter2", "secret:", "secret:#x", "secret:a#", "env:", "file:", "postgres://u:hunter2@h/d"]
        {
            let error = text.parse::<SecretReference>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(!format!("{error:?}").contains("hunter2"));
            let error = serde_json::from_value::<SecretReference>(Value::from(text)).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_arn_knows_its_region() {
        let arn = "arn:aws-cn:secretsmanager:cn-north-1:1:secret:x";
        assert_eq!(region_of_arn(arn), Some("cn-north-1"));
        assert_eq!(region_of_arn("prod/db"), None);
    }

    #[test]
    fn a_field_is_taken_out_of_json_and_errors_tell_names_only() {
        let json = r#"{"password":"hunter2","port":5432,"more":[]}"#.to_owned();
        assert_eq!(json_field("s", json.clone(), "password").unwrap(), "hunter2");
        assert_eq!(json_field("s", json.clone(), "port").unwrap(), "5432");
        for (secret, field) in [(&json, "user"), (&json, "more"), (&"hunter2".to_owned(), "x")] {
            let error = json_field("s", secret.clone(), field).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(!error.to_json().to_string().contains("hunter2"));
        }
        let error = json_field("s", json, "user").unwrap_err();
        assert_eq!(error.hint_text(), Some("it has: more, password, port"));
    }

    #[tokio::test]
    async fn a_files_last_newline_is_not_part_of_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (content, secret) in [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), (" a\n\n", " a\n")] {
            std::fs::write(&path, content).unwrap();
            let read = Aws::default().secret(&SecretReference::File(path.clone())).await.unwrap();
            assert_eq!(read.expose_secret(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(Aws::default().secret(&SecretReference::File(path.clone())).await.is_err());
        std::fs::write(&path, b"hunter2\xff").unwrap();
        let error = Aws::default().secret(&SecretReference::File(path)).await.unwrap_err();
        assert!(!error.message().contains("hunter2"));
    }

    #[tokio::test]
    async fn a_missing_secret_is_named() {
        for text in ["env:LIFEBOAT_TEST_NO_SUCH_VARIABLE", "file:/no/such/file"] {
            let error = Aws::default().secret(&parse(text)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.message().contains(text.split_once(':').unwrap().1), "{error}");
        }
    }
}
