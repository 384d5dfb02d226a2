//! From configuration to opened things: the vault, its master key, a database's connection.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::{
    Config, ConnectionSource, DatabaseConfig, EMAIL, EmailConfig, MasterKeySource, NotifyConfig, SlackConfig,
    SnsConfig, WebhookConfig,
};
use crate::aws::{Aws, SecretReference};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DatabaseName, Tier};
use crate::notify::{Channels, Email, Http, Slack, SmtpServer, Sns, Webhook};
use crate::ops::backup::BackupOptions;
use crate::postgres::{Connector, Dsn, Environment};
use crate::store::{self, ObjectStore};
use crate::vault::Vault;
use crate::vault::keys::MasterKey;

/// The database that every server has for people to connect to.
const MAINTENANCE_DATABASE: &str = "postgres";

/// The database to work on: what the vault calls it, how to reach it, and its settings.
#[derive(Debug, Clone)]
pub struct Selected {
    pub name: DatabaseName,
    pub connection: Option<Connection>,
    pub settings: DatabaseConfig,
}

/// How to reach a database, before any secret is fetched.
#[derive(Debug, Clone)]
pub enum Connection {
    /// A URL or `key=value` pairs, from a flag or `LIFEBOAT_DATABASE_URL`.
    Given(SecretString),
    Configured(ConnectionSource),
    /// `PG*` variables.
    Variables,
}

impl MasterKeySource {
    /// Errors: `Configuration` when there is none or it is no key; `Vault` when Secrets Manager could not be asked.
    pub async fn open(&self, aws: &Aws) -> Result<MasterKey> {
        let key = match self {
            Self::Value(key) => MasterKey::from_base64(key),
            Self::Reference(reference) => MasterKey::from_base64(&aws.secret(reference).await?),
            Self::Kms(key) => Ok(MasterKey::Kms(aws.kms_key(key).await?)),
        };
        key.map_err(|error| error.context(format!("reading {self}")))
    }
}

impl Config {
    /// Errors: `Configuration` when nobody said where the vault is, or the place makes no sense.
    pub async fn open_store(&self, aws: &Aws) -> Result<Arc<dyn ObjectStore>> {
        let url = self.vault.as_deref().ok_or_else(|| {
            Error::configuration("no vault is configured")
                .hint("say --vault s3://bucket/prefix or --vault /path, set LIFEBOAT_VAULT, or write `vault` in lifeboat.toml")
        })?;
        store::open_with(url, aws, self.retention.deletes).await
    }

    /// Errors: `Configuration` when there is none or it is no key; `Vault` when Secrets Manager could not be asked.
    pub async fn open_master_key(&self, aws: &Aws) -> Result<MasterKey> {
        let source = self.master_key.as_ref().ok_or_else(|| {
            Error::configuration("no master key is configured").hint(
                "set LIFEBOAT_MASTER_KEY_FILE (or LIFEBOAT_MASTER_KEY, LIFEBOAT_MASTER_KEY_SECRET, LIFEBOAT_KMS_KEY), or write \
                 `master_key` in lifeboat.toml; `lifeboat init` makes a key",
            )
        })?;
        source.open(aws).await
    }

    /// Every channel that is configured. One that cannot be set up is there all the same, and says so on the others when
    /// something is told.
    pub async fn open_channels(&self, aws: &Aws) -> Channels {
        let NotifyConfig { sns, slack, webhook, email, .. } = &self.notify;
        let mut channels = Channels::default();
        if let Some(SnsConfig { topic, min_severity }) = sns {
            channels.add_made("sns", *min_severity, Sns::topic(aws, topic).await);
        }
        if let Some(SlackConfig { url, min_severity }) = slack {
            let made = async { Ok(Slack::new(Http::new()?, aws.secret(url).await?)) };
            channels.add_made("slack", *min_severity, made.await);
        }
        if let Some(WebhookConfig { url, key, min_severity }) = webhook {
            let made =
                async { Ok(Webhook::new(Http::new()?, aws.secret(url).await?, optional(aws, key.as_ref()).await?)) };
            channels.add_made("webhook", *min_severity, made.await);
        }
        if let Some(EmailConfig { server, password, from, to, min_severity, .. }) = email {
            let made = async {
                let password = optional(aws, password.as_ref()).await?;
                Email::new(&SmtpServer { password, ..server.clone() }, from, to)
            };
            channels.add_made(EMAIL, *min_severity, made.await);
        }
        channels
    }

    /// Errors: as [`open_store`](Self::open_store), [`open_master_key`](Self::open_master_key) and [`Vault::open`].
    pub async fn open_vault(&self, aws: &Aws) -> Result<Arc<Vault>> {
        let store = self.open_store(aws).await?;
        let master = self.open_master_key(aws).await?;
        Ok(Arc::new(Vault::open(store, master).await?))
    }

    /// The database that is meant: `wanted` (a name or a connection), else `LIFEBOAT_DATABASE_URL`, else the only one that is
    /// configured, else `PG*` variables. `None` when nothing says which.
    ///
    /// Errors: `Configuration` for a connection that makes no sense; `Usage` when several are configured and none is chosen.
    pub fn select(&self, wanted: Option<&str>, environment: &Environment) -> Result<Option<Selected>> {
        match (wanted, &self.database_url) {
            (Some(text), _) if is_connection(text) => given(text.into(), environment).map(Some),
            (Some(name), _) => {
                let name = name.parse()?;
                Ok(Some(self.configured(name)))
            }
            (None, Some(url)) => given(url.clone(), environment).map(Some),
            (None, None) => self.select_default(environment),
        }
    }

    fn select_default(&self, environment: &Environment) -> Result<Option<Selected>> {
        let mut names = self.databases.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(Some(self.configured(only.clone()))),
            (Some(_), Some(_)) => {
                let names: Vec<&str> = self.databases.keys().map(DatabaseName::as_str).collect();
                Err(Error::usage("several databases are configured")
                    .hint(format!("choose one with --database: {}", names.join(", "))))
            }
            (None, _) if self.has_pg_variables => {
                let dsn = Dsn::from_environment(environment)?;
                Ok(Some(selected(&dsn, Connection::Variables)?))
            }
            (None, _) => Ok(None),
        }
    }

    /// A name that is not configured may still be in the vault, and its connection in the variables.
    fn configured(&self, name: DatabaseName) -> Selected {
        let settings = self.databases.get(&name).cloned();
        let elsewhere = match &self.database_url {
            Some(url) => Some(Connection::Given(url.clone())),
            None => self.has_pg_variables.then_some(Connection::Variables),
        };
        // Who configured other databases and misspelt this one does not mean the one in the variables.
        let elsewhere = elsewhere.filter(|_| settings.is_some() || self.databases.is_empty());
        let settings = settings.unwrap_or_default();
        Selected { name, connection: settings.connection.clone().map(Connection::Configured).or(elsewhere), settings }
    }
}

/// The secret, if one is named.
async fn optional(aws: &Aws, reference: Option<&SecretReference>) -> Result<Option<SecretString>> {
    match reference {
        Some(reference) => aws.secret(reference).await.map(Some),
        None => Ok(None),
    }
}

/// Whether somebody wrote a connection where a name could stand.
pub fn is_connection(text: &str) -> bool {
    text.contains("://") || text.contains('=')
}

fn given(text: SecretString, environment: &Environment) -> Result<Selected> {
    let dsn = Dsn::parse(text.expose_secret(), environment)?;
    selected(&dsn, Connection::Given(text))
}

/// Named after the database; it has no section of its own.
fn selected(dsn: &Dsn, connection: Connection) -> Result<Selected> {
    let name = DatabaseName::slug_of(dsn.database())?;
    Ok(Selected { name, connection: Some(connection), settings: DatabaseConfig::default() })
}

impl Selected {
    /// A complete backup of it, as it is configured.
    pub fn backup_options(&self, tier: Tier, config: &Config) -> BackupOptions {
        let storage = config.tiers.get(&tier).map(|tier| tier.storage).unwrap_or_default();
        let defaults = BackupOptions::new(self.name.clone(), tier);
        let settings = &self.settings;
        BackupOptions {
            exclude_tables: settings.exclude_table.clone(),
            exclude_table_data: settings.exclude_table_data.clone(),
            jobs: settings.jobs.unwrap_or(defaults.jobs),
            level: settings.level.unwrap_or(defaults.level),
            max_rate_bytes_per_s: settings.max_rate_bytes_per_s,
            copy_format: settings.copy_format.unwrap_or(defaults.copy_format),
            blocked_ddl: settings.blocked_ddl.unwrap_or_default(),
            read: settings.read.unwrap_or_default(),
            read_all_every: settings.read_all_every.unwrap_or(defaults.read_all_every),
            storage,
            pg_dump: config.pg_dump.clone(),
            ..defaults
        }
    }
}

impl From<ConnectionSource> for Connection {
    fn from(source: ConnectionSource) -> Self {
        Self::Configured(source)
    }
}

impl Connection {
    /// What somebody wrote for a server: a connection, or a reference to one.
    pub fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(reference) => Self::Configured(ConnectionSource::Reference(reference)),
            Err(_) => Self::Given(text.into()),
        }
    }

    /// Connects to the database.
    pub async fn open(&self, aws: &Aws, environment: &Environment) -> Result<Connector> {
        Connector::open(&self.dsn(aws, environment).await?).await
    }

    /// Connects to its server, by way of a database that a restore does not replace.
    pub async fn open_server(&self, aws: &Aws, environment: &Environment) -> Result<Connector> {
        let dsn = self.dsn(aws, environment).await?;
        match Connector::open(&dsn.with_database(MAINTENANCE_DATABASE)).await {
            // Some providers have none, or let nobody in.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Configuration) => {
                Connector::open(&dsn).await
            }
            opened => opened,
        }
    }

    /// Fetches the secret, if it is one, and reads the connection.
    pub async fn dsn(&self, aws: &Aws, environment: &Environment) -> Result<Dsn> {
        match self {
            Self::Given(text) => Dsn::parse(text.expose_secret(), environment),
            Self::Configured(ConnectionSource::Plain(text)) => Dsn::parse(text, environment),
            Self::Configured(ConnectionSource::Reference(reference)) => {
                let text = aws.secret(reference).await?;
                Dsn::parse(text.expose_secret(), environment).map_err(|error| error.context(reference))
            }
            Self::Variables => Dsn::from_environment(environment),
        }
    }
}
