//! A deployed stack, as far as the functions can tell: bucket, secrets, topic, variables.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_secretsmanager::config::Builder as SecretsConfig;
use lifeboat::aws::Aws;
use lifeboat::ops::{BackupSummary, ListFilter, list};
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat_tests::{Bed, Moto, TestDb};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::http::Connection;
use crate::sandbox::Sandbox;

/// `{"path", "body"}` of what was sent, in order.
pub type Heard = Arc<Mutex<Vec<Value>>>;

pub const PREFIX: &str = "acme/backups";

pub struct Stack {
    moto: &'static Moto,
    pub bucket: String,
    /// Of its own, so that tests do not hear each other's alerts.
    topic: String,
    master_key: String,
    master_secret: String,
    databases: Vec<(String, String)>,
    heard: Heard,
}

impl Stack {
    /// Without a database, and without a vault.
    pub async fn new() -> Self {
        let moto = Bed::get().moto().await;
        let bucket = moto.fresh_bucket().await;
        let sns = aws_sdk_sns::Client::new(&moto.sdk_config());
        let topic = sns.create_topic().name(&bucket).send().await.unwrap().topic_arn.unwrap();
        let heard = subscribe(moto, &topic, &json!({})).await;
        let secrets = secrets(moto);
        // As the template has it made.
        let made = secrets.get_random_password().password_length(43).exclude_punctuation(true).send().await.unwrap();
        let master_key = made.random_password.unwrap();
        let name = format!("{bucket}/master-key");
        let master_secret = secrets.create_secret().name(name).secret_string(&master_key).send().await.unwrap();
        let master_secret = master_secret.arn.unwrap();
        Self { moto, bucket, topic, master_key, master_secret, databases: Vec::new(), heard }
    }

    /// With one database, called `shop`.
    pub async fn of(db: &TestDb) -> Self {
        let mut stack = Self::new().await;
        stack.add_database("shop", &db.url()).await;
        stack
    }

    pub async fn add_database(&mut self, name: &str, url: &str) {
        let id = format!("{}/{name}", self.bucket);
        let made = secrets(self.moto).create_secret().name(id).secret_string(url).send().await.unwrap();
        self.databases.push((name.to_owned(), made.arn.unwrap()));
    }

    /// Rotates a database's secret.
    pub async fn set_secret(&self, name: &str, url: &str) {
        let id = format!("{}/{name}", self.bucket);
        secrets(self.moto).put_secret_value().secret_id(id).secret_string(url).send().await.unwrap();
    }

    pub async fn sandbox(&self, function: &str) -> Sandbox {
        self.sandbox_with(function, &[]).await
    }

    /// A sandbox with these variables over the stack's own.
    pub async fn sandbox_with(&self, function: &str, variables: &[(&str, &str)]) -> Sandbox {
        let program = match function {
            "backup" => env!("CARGO_BIN_EXE_backup"),
            "validate" => env!("CARGO_BIN_EXE_validate"),
            "cleanup" => env!("CARGO_BIN_EXE_cleanup"),
            "restore" => env!("CARGO_BIN_EXE_restore"),
            "watch" => env!("CARGO_BIN_EXE_watch"),
            _ => panic!("there is no function {function}"),
        };
        let list = |of: fn(&(String, String)) -> &str| self.databases.iter().map(of).collect::<Vec<_>>().join(",");
        let own = [
            ("LIFEBOAT_VAULT", format!("s3://{}/{PREFIX}", self.bucket)),
            ("LIFEBOAT_MASTER_KEY_SECRET", self.master_secret.clone()),
            ("LIFEBOAT_KMS_KEY", String::new()),
            ("LIFEBOAT_PG_DUMP", Bed::get().pg_dump().await.display().to_string()),
            ("LIFEBOAT_FUNCTION_STACK", "test-stack".to_owned()),
            ("LIFEBOAT_FUNCTION_DATABASES", list(|(name, _)| name)),
            ("LIFEBOAT_FUNCTION_DATABASE_SECRETS", list(|(_, arn)| arn)),
            ("LIFEBOAT_FUNCTION_ALERT_TOPIC", self.topic.clone()),
            ("LIFEBOAT_FUNCTION_SETTINGS", String::new()),
            ("LIFEBOAT_FUNCTION_CREATE_VAULT", (function == "backup").to_string()),
            ("AWS_MAX_ATTEMPTS", "2".to_owned()),
        ];
        let mut environment: Vec<(String, String)> =
            own.into_iter().chain(self.moto.environment()).map(|(name, value)| (name.to_owned(), value)).collect();
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let password = Bed::get().server(17).await.password().to_owned();
        let secrets = [self.master_key.clone(), Moto::SECRET_ACCESS_KEY.to_owned(), password];
        Sandbox::new(&format!("test-stack-{function}"), program, environment, secrets.into()).await
    }

    /// Alerts that arrived at the topic's subscriber, as SNS wraps them, once there are so many.
    pub async fn alerts(&self, at_least: usize) -> Vec<Value> {
        for _ in 0..100 {
            if self.heard.lock().unwrap().len() >= at_least {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.heard.lock().unwrap().clone()
    }

    /// Another subscriber, who hears only what passes this filter policy.
    pub async fn subscribe(&self, filter: &Value) -> Heard {
        subscribe(self.moto, &self.topic, filter).await
    }

    /// The ARN of a new KMS key.
    pub async fn kms_key(&self) -> String {
        let made = aws_sdk_kms::Client::new(&self.moto.sdk_config()).create_key().send().await.unwrap();
        made.key_metadata.unwrap().arn.unwrap()
    }

    pub async fn vault(&self) -> Arc<Vault> {
        let settings = S3Settings { bucket: self.bucket.clone(), prefix: PREFIX.to_owned(), ..S3Settings::default() };
        let store = S3Store::connect(settings, &Aws::from(self.moto.sdk_config())).await.unwrap();
        let master = MasterKey::from_base64(&self.master_key.clone().into()).unwrap();
        Arc::new(Vault::open(Arc::new(store), master).await.unwrap())
    }

    pub async fn listed(&self) -> Vec<BackupSummary> {
        let listing = list(&self.vault().await, None, &ListFilter::default()).await.unwrap();
        assert!(listing.problems.is_empty(), "{:?}", listing.problems);
        listing.backups
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.moto.s3()
    }

    /// The key of a backup's manifest in the bucket.
    pub fn manifest_key(database: &str, id: &str) -> String {
        format!("{PREFIX}/databases/{database}/backups/{id}/manifest.json")
    }

    /// As S3 itself tells of new objects.
    pub fn notification(&self, keys: &[&str]) -> Value {
        let record = |key: &&str| {
            json!({
                "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": Moto::REGION,
                "eventTime": "2026-11-25T02:00:00.000Z", "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "EXAMPLE"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": "EXAMPLE123456789"},
                "s3": {
                    "s3SchemaVersion": "1.0", "configurationId": "manifests",
                    "bucket": {"name": self.bucket, "ownerIdentity": {"principalId": "EXAMPLE"},
                               "arn": format!("arn:aws:s3:::{}", self.bucket)},
                    "object": {"key": key, "size": 1024, "eTag": "0123456789abcdef0123456789abcdef", "sequencer": "0A1B2C3D4E5F678901"},
                },
            })
        };
        json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
    }

    /// The same by way of EventBridge.
    pub fn forwarded(&self, key: &str) -> Value {
        json!({
            "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created",
            "source": "aws.s3", "account": "123456789012", "time": "2026-11-25T02:00:00Z", "region": Moto::REGION,
            "resources": [format!("arn:aws:s3:::{}", self.bucket)],
            "detail": {
                "version": "0", "bucket": {"name": self.bucket},
                "object": {"key": key, "size": 1024, "etag": "0123456789abcdef0123456789abcdef", "sequencer": "0A1B2C3D4E5F678901"},
                "request-id": "EXAMPLE123456789", "requester": "123456789012", "source-ip-address": "127.0.0.1",
                "reason": "PutObject",
            },
        })
    }
}

async fn subscribe(moto: &Moto, topic: &str, filter: &Value) -> Heard {
    let (listener, heard) = (Listener::new().await, Heard::default());
    let sns = aws_sdk_sns::Client::new(&moto.sdk_config());
    let subscription = sns.subscribe().topic_arn(topic).protocol("http").endpoint(listener.url());
    subscription.attributes("FilterPolicy", filter.to_string()).send().await.unwrap();
    listener.collect(Arc::clone(&heard));
    heard
}

fn secrets(moto: &Moto) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::from_conf(SecretsConfig::from(&moto.sdk_config()).build())
}

/// A listener on loopback that keeps the bodies of what it is sent.
pub struct Listener(TcpListener);

impl Listener {
    pub async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Keeps `{"path", "body"}` of each request and answers 202.
    pub fn collect(self, heard: Heard) {
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.0.accept().await {
                let heard = Arc::clone(&heard);
                tokio::spawn(async move {
                    let mut connection = Connection::new(stream);
                    while let Ok(Some(request)) = connection.request().await {
                        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
                        heard.lock().unwrap().push(json!({"path": request.path, "body": body}));
                        if connection.answer(202, &[], b"").await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
}
