//! The JSON that managed databases keep in a secret: `username`, `password`, `host`, `port`, `dbname`.

use serde::Deserialize;
use serde_json::Value;

use super::Environment;
use super::params::Params;
use crate::error::{Error, Result};

/// Secrets hold other keys too (identifiers, ARNs, what their owners added): those are not ours to judge.
#[derive(Deserialize)]
struct Secret {
    engine: Option<Value>,
    #[serde(alias = "user")]
    username: Option<Value>,
    password: Option<Value>,
    host: Option<Value>,
    port: Option<Value>,
    #[serde(alias = "database")]
    dbname: Option<Value>,
    sslmode: Option<Value>,
    sslrootcert: Option<Value>,
}

pub(super) fn parse(text: &str, environment: &Environment) -> Result<Params> {
    // serde's message may quote the text.
    let secret: Secret =
        serde_json::from_str(text).map_err(|_| Error::configuration("the connection's secret is not a JSON object"))?;
    refuse_other_engines(secret.engine)?;
    let mut params = Params::default();
    let fields = [
        ("user", "username", secret.username),
        ("password", "password", secret.password),
        ("host", "host", secret.host),
        ("port", "port", secret.port),
        ("dbname", "dbname", secret.dbname),
        ("sslmode", "sslmode", secret.sslmode),
        ("sslrootcert", "sslrootcert", secret.sslrootcert),
    ];
    for (name, key, value) in fields {
        if let Some(value) = scalar(key, value)? {
            params.set(name, value)?;
        }
    }
    if !params.has("user") {
        return Err(Error::configuration("the connection's secret has no `username`"));
    }
    if !params.has("host") && environment.get("PGHOST").is_none() {
        return Err(Error::configuration("the connection's secret has no `host`").hint(
            "a master secret managed by RDS holds user and password only: set PGHOST, PGPORT and PGDATABASE beside it",
        ));
    }
    Ok(params)
}

fn refuse_other_engines(engine: Option<Value>) -> Result<()> {
    const OURS: [&str; 3] = ["postgres", "postgresql", "aurora-postgresql"];
    match scalar("engine", engine)? {
        Some(engine) if !OURS.contains(&engine.as_str()) => {
            Err(Error::configuration("the connection's secret is for another `engine` than postgres"))
        }
        _ => Ok(()),
    }
}

fn scalar(key: &str, value: Option<Value>) -> Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Error::configuration(format!("`{key}` of the connection's secret is not a text"))),
    }
}
