//! What a function has from its deployment: configuration and the way to AWS, made once per cold start.

use std::sync::Arc;
use std::time::Duration;

use lifeboat::aws::Aws;
use lifeboat::config::open::{Connection, Selected};
use lifeboat::config::{self, Config, ConfigFile};
use lifeboat::model::{BackupId, DatabaseName, Depth, Operation};
use lifeboat::notify::{Alert, Channels, Severity, Sns};
use lifeboat::ops::audit::{Intent, audited};
use lifeboat::ops::{self, Run};
use lifeboat::postgres::{Connector, Environment};
use lifeboat::store::{ObjectStore, require_create_only};
use lifeboat::vault::{DatabaseVault, Vault};
use lifeboat::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;

use crate::alarm;
use crate::metrics::{Metric, Scope, emit};
use crate::settings::{Settings, ValidationDepth};

/// How long a secret is believed. A rotated password is noticed earlier: by the server that refuses the old one.
const SECRETS_TTL: Duration = Duration::from_secs(5 * 60);
/// The limits of a vault that is made here, as `lifeboat init` has them.
const GRACE_HOURS: u32 = 72;
const JOB_LIMIT_HOURS: u32 = 24;

/// The configuration and what it leads to.
pub struct Deployment {
    pub config: Config,
    pub(crate) settings: Settings,
    pub(crate) aws: Aws,
    environment: Environment,
    store: OnceCell<Arc<dyn ObjectStore>>,
}

impl Deployment {
    /// Reads this process's variables. Errors: `Configuration`.
    pub fn from_variables() -> Result<Self> {
        let mut variables = config::variables()?;
        let settings = Settings::take(&mut variables)?;
        let file = settings.toml.clone().map(|text| ConfigFile { path: "the parameter Settings".into(), text });
        let config = Config::read(file.as_ref(), variables.clone())?;
        Ok(Self {
            config,
            settings,
            aws: Aws::remembering_secrets(SECRETS_TTL),
            environment: Environment::from_iter(variables),
            store: OnceCell::new(),
        })
    }

    /// How deep a backup is validated when it was made just now.
    pub fn validation_depth(&self) -> ValidationDepth {
        self.settings.depth
    }

    pub fn backup_age_limit(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.backup_age_limit_h) * 3600)
    }

    /// Writes metrics to the log.
    pub fn measure(&self, scope: Scope<'_>, metrics: &[Metric]) {
        emit(&self.settings.stack, scope, metrics);
    }

    /// Every channel on which people are told: the stack's topic, which hears everything, and those that are configured.
    pub async fn channels(&self) -> Channels {
        let mut channels = self.config.open_channels(&self.aws).await;
        if let Some(topic) = &self.settings.alert_topic {
            channels.add_made("sns", Severity::Info, Sns::topic(&self.aws, topic).await);
        }
        channels
    }

    /// Which installation speaks in alerts.
    pub fn source(&self) -> &str {
        &self.settings.stack
    }

    /// Tells people something that is no failure of the function.
    pub async fn tell(&self, alert: &Alert) {
        alarm::raise(self, alert).await;
    }

    /// Tells people something good, if they want to hear that, too.
    pub async fn tell_success(&self, alert: &Alert) {
        if self.settings.notify_success {
            alarm::raise(self, alert).await;
        }
    }

    /// A client of Lambda.
    pub async fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(self.aws.sdk_config().await)
    }

    async fn store(&self) -> Result<Arc<dyn ObjectStore>> {
        self.store.get_or_try_init(|| self.config.open_store(&self.aws)).await.cloned()
    }

    /// The vault, read anew: its format may have changed since the last invocation.
    ///
    /// Errors: `NotFound` where there is none; `Configuration`, `Vault`.
    pub async fn vault(&self) -> Result<Arc<Vault>> {
        let master = self.config.open_master_key(&self.aws).await?;
        Ok(Arc::new(Vault::open(self.store().await?, master).await?))
    }

    /// The vault, made if there is none and the stack wants it made.
    pub async fn vault_or_new(&self, run: &Run) -> Result<Arc<Vault>> {
        match self.vault().await {
            Err(error) if error.kind() == ErrorKind::NotFound && self.settings.create_vault => {
                self.new_vault(run).await
            }
            opened => opened,
        }
    }

    async fn new_vault(&self, run: &Run) -> Result<Arc<Vault>> {
        let store = self.store().await?;
        require_create_only(&*store).await?;
        let master = self.config.open_master_key(&self.aws).await?;
        match Vault::init(store, master, GRACE_HOURS, JOB_LIMIT_HOURS).await {
            Ok(vault) => {
                tracing::info!(vault = vault.store.location(), "made a new vault");
                audited(&vault, run, Intent::to(Operation::Init), async { Ok(()) }).await?;
                Ok(Arc::new(vault))
            }
            // Another invocation was faster; or there are backups without a format record, of which this says more than opening.
            Err(error) if error.kind() == ErrorKind::Conflict => self.vault().await.map_err(|_| error),
            Err(error) => Err(error),
        }
    }

    /// The vault's place in its bucket: the bucket, and the prefix of every key, empty or with a slash at its end. `None` for
    /// a vault that is not in S3.
    pub fn place(&self) -> Option<(&str, String)> {
        let place = self.config.vault.as_deref()?.strip_prefix("s3://")?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_end_matches('/');
        Some((bucket, if prefix.is_empty() { String::new() } else { format!("{prefix}/") }))
    }

    /// The databases that are configured, in order of their names.
    pub fn databases(&self) -> Vec<DatabaseName> {
        self.config.databases.keys().cloned().collect()
    }

    /// A configured database, with its connection.
    pub fn database(&self, name: &DatabaseName) -> Result<(Selected, Connection)> {
        self.config.database(name)?;
        let selected = self.config.select(Some(name.as_str()), &self.environment)?;
        let connected = selected.and_then(|selected| Some((selected.clone(), selected.connection?)));
        connected.ok_or_else(|| Error::configuration(format!("no connection is configured for {name}")))
    }

    pub async fn connect(&self, connection: &Connection) -> Result<Connector> {
        self.with_fresh_secrets(|| connection.open(&self.aws, &self.environment)).await
    }

    /// A server to restore on: the one that is configured for that, else the database's own.
    pub async fn restore_server(&self, database: &DatabaseName) -> Result<Connector> {
        let connection = match self.scratch() {
            Some(server) => server,
            None => self.database(database)?.1,
        };
        self.with_fresh_secrets(|| connection.open_server(&self.aws, &self.environment)).await
    }

    /// The server for a verification of this depth, if it needs one: never the database's own.
    pub async fn scratch_server(&self, depth: Depth) -> Result<Option<Connector>> {
        if depth < Depth::Restore {
            return Ok(None);
        }
        self.elsewhere(self.scratch(), "or choose the depth full").await.map(Some)
    }

    /// The server for drills.
    pub async fn drill_server(&self) -> Result<Connector> {
        let server = self.config.drill_server().cloned().map(Connection::from);
        self.elsewhere(server, "or configure `server` in [drill]").await
    }

    async fn elsewhere(&self, server: Option<Connection>, else_do: &str) -> Result<Connector> {
        let server = server.ok_or_else(|| {
            Error::configuration("no server to restore on is configured")
                .hint(format!("give the stack the secret of a server for restores (RestoreSecretArn), {else_do}"))
        })?;
        self.with_fresh_secrets(|| server.open_server(&self.aws, &self.environment)).await
    }

    fn scratch(&self) -> Option<Connection> {
        self.config.verify.server.clone().map(Connection::from)
    }

    /// Once more with secrets fetched anew, if the server refuses what was remembered.
    async fn with_fresh_secrets(&self, open: impl AsyncFn() -> Result<Connector>) -> Result<Connector> {
        match open().await {
            Err(error) if error.kind() == ErrorKind::Configuration => {
                self.aws.forget_secrets();
                open().await
            }
            opened => opened,
        }
    }

    /// The backup that `id` means: in the database that is named, else in the only one that is configured, else in any.
    pub async fn find_backup(
        &self,
        vault: &Arc<Vault>,
        database: Option<&DatabaseName>,
        id: &str,
    ) -> Result<(DatabaseVault, BackupId)> {
        let databases = match (database, self.databases().as_slice()) {
            (Some(named), _) => vec![named.clone()],
            (None, [only]) if id == "latest" => vec![only.clone()],
            (None, _) => vault.databases().await?,
        };
        if id == "latest" && databases.len() > 1 {
            let names: Vec<&str> = databases.iter().map(DatabaseName::as_str).collect();
            return Err(Error::usage("several databases have a latest backup")
                .hint(format!("choose one with \"database\": {}", names.join(", "))));
        }
        ops::list::find(vault, &databases, id).await
    }
}
