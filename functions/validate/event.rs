//! What the validation function is told: by S3, in either form of its events, or by whoever asks for a verification.

use aws_lambda_events::s3::{S3Event, S3EventRecord};
use lifeboat::Result;
use lifeboat::model::{DatabaseName, Depth, Tier};
use lifeboat_functions::manifest_key::decoded;
use lifeboat_functions::understood;
use serde::Deserialize;
use serde_json::Value;

pub enum Event {
    Created(Vec<Object>),
    Request(Request),
}

/// An object in S3.
pub struct Object {
    pub bucket: String,
    pub key: String,
}

/// `docs/events/validate.schema.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default = "latest")]
    pub id: String,
    pub database: Option<DatabaseName>,
    #[serde(default = "full")]
    pub depth: Depth,
    /// In the place of `id`.
    pub pick: Option<Pick>,
    /// Among whose backups to pick.
    pub tier: Option<Tier>,
    /// A drill instead of a verification.
    #[serde(default)]
    pub drill: bool,
    /// A drill of one backup picked from each tier.
    #[serde(default)]
    pub each_tier: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    Random,
}

fn latest() -> String {
    "latest".to_owned()
}

fn full() -> Depth {
    Depth::Full
}

/// EventBridge's form of S3's notification: what of it matters here.
#[derive(Debug, Deserialize)]
struct Forwarded {
    detail: Detail,
}

#[derive(Debug, Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Named,
}

#[derive(Debug, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Named {
    key: String,
}

impl Event {
    /// Errors: `Usage`.
    pub fn read(event: Value) -> Result<Self> {
        if event.get("Records").is_some() {
            let S3Event { records, .. } = understood(event)?;
            return Ok(Self::Created(records.into_iter().filter(is_creation).map(object_of).collect()));
        }
        if event.get("source").is_some_and(|source| source == "aws.s3") {
            let Forwarded { detail } = understood(event)?;
            return Ok(Self::Created(vec![Object { bucket: detail.bucket.name, key: detail.object.key }]));
        }
        // S3 sends it when notifications are switched on.
        if event.get("Event").is_some_and(|name| name == "s3:TestEvent") {
            return Ok(Self::Created(Vec::new()));
        }
        understood(event).map(Self::Request)
    }
}

/// News of other kinds tell of no new object.
fn is_creation(record: &S3EventRecord) -> bool {
    let name = record.event_name.as_deref().unwrap_or_default();
    name.trim_start_matches("s3:").starts_with("ObjectCreated:")
}

fn object_of(record: S3EventRecord) -> Object {
    let spelled = record.s3.object.key.unwrap_or_default();
    Object { bucket: record.s3.bucket.name.unwrap_or_default(), key: decoded(&spelled).unwrap_or(spelled) }
}
