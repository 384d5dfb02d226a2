//! What every verb works with: the configuration with the flags laid over it, and the way to what it names.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat::aws::{Aws, SecretReference};
use lifeboat::config::open::{Connection, Selected};
use lifeboat::config::{self, Config, ConfigFile, MasterKeySource};
use lifeboat::model::{BackupId, DatabaseName, Depth, Purpose};
use lifeboat::notify::Channels;
use lifeboat::ops::audit::{Intent, Told, audited};
use lifeboat::ops::{self, ListFilter, Run};
use lifeboat::postgres::{Connector, Environment};
use lifeboat::store::{self, Deletes, ObjectStore};
use lifeboat::vault::{DatabaseVault, Vault};
use lifeboat::{Error, Result};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::args::Common;
use crate::paint::Paint;
use crate::progress::{Manner, Reporter};
use crate::screen::Screen;

pub struct Context {
    pub config: Config,
    pub aws: Aws,
    /// Where `init` keeps a master key that nobody chose a place for.
    pub default_key_file: Option<PathBuf>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    common: Common,
    environment: Environment,
    screen: Screen,
    stdout: Paint,
    cancel: CancellationToken,
    /// `AWS_ENDPOINT_URL_S3` says where S3 is.
    has_s3_endpoint: bool,
    caller: OnceCell<Option<String>>,
}

impl Context {
    /// `stdout` paints answers; `cancel` is cancelled when the work is to stop.
    ///
    /// Errors: `Configuration`.
    pub fn new(common: Common, screen: Screen, stdout: Paint, cancel: CancellationToken) -> Result<Self> {
        let variables = config::variables()?;
        let path = |name: &str| variables.get(name).filter(|value| !value.is_empty()).map(Path::new);
        let (home, xdg) = (path("HOME"), path("XDG_CONFIG_HOME"));
        let file = config_file(common.config.as_deref(), config::default_paths(home, xdg))?;
        let mut config = Config::read(file.as_ref(), variables.clone())?;
        if common.vault.is_some() {
            config.vault.clone_from(&common.vault);
        }
        let default_key_file = config::user_folder(home, xdg).map(|folder| folder.join("master.key"));
        if config.master_key.is_none() {
            let there = default_key_file.clone().filter(|path| path.is_file());
            config.master_key = there.map(|path| MasterKeySource::Reference(SecretReference::File(path)));
        }
        let home = home.map(Path::to_owned);
        let has_s3_endpoint = variables.get("AWS_ENDPOINT_URL_S3").is_some_and(|url| !url.is_empty());
        let environment = Environment::from_iter(variables);
        let (aws, caller) = (Aws::from_environment(), OnceCell::new());
        Ok(Self {
            config,
            aws,
            default_key_file,
            home,
            common,
            environment,
            screen,
            stdout,
            cancel,
            has_s3_endpoint,
            caller,
        })
    }

    /// For the text of the answer.
    pub fn paint(&self) -> Paint {
        self.stdout
    }

    /// Tells people something that is no error.
    pub fn warn(&self, text: &str) {
        if !self.common.quiet {
            self.screen.say(&format!("{} {text}", self.stderr().warn("warning:")));
        }
    }

    /// The channels on which people are told. Errors: `Configuration` when there is none.
    pub async fn channels(&self) -> Result<Channels> {
        let channels = self.config.open_channels(&self.aws).await;
        match channels.is_empty() {
            false => Ok(channels),
            true => Err(Error::configuration("nobody can be told: no channel is configured").hint(
                "write a section [notify.slack], .webhook, .email or .sns, and try it with `lifeboat notify test`",
            )),
        }
    }

    /// Lines for people, beside the answer.
    pub fn tell(&self, text: &str) {
        self.screen.say(text);
    }

    /// Asks for something to be typed.
    pub fn ask(&self, text: &str) {
        self.screen.ask(text);
    }

    /// For what is told beside the answer.
    pub fn stderr(&self) -> Paint {
        Paint::for_stream(self.common.color, &std::io::stderr())
    }

    pub async fn vault(&self) -> Result<Arc<Vault>> {
        self.config.open_vault(&self.aws).await
    }

    /// A place that is not the configured one.
    pub async fn store_at(&self, url: &str) -> Result<Arc<dyn ObjectStore>> {
        store::open_with(url, &self.aws, Deletes::Current).await
    }

    /// The vault there, which the configured master key opens.
    pub async fn vault_at(&self, url: &str) -> Result<Arc<Vault>> {
        let (store, master) = (self.store_at(url).await?, self.config.open_master_key(&self.aws).await?);
        Ok(Arc::new(Vault::open(store, master).await?))
    }

    /// The database that `--database` names; `None` without the option.
    pub fn named_database(&self) -> Result<Option<DatabaseName>> {
        let wanted = self.common.database.as_deref();
        let selected = wanted.map(|wanted| self.config.select(Some(wanted), &self.environment)).transpose()?;
        Ok(selected.flatten().map(|selected| selected.name))
    }

    /// The database to work on, with its connection.
    ///
    /// Errors: `Configuration` when nobody said which, or how to reach it.
    pub fn selected(&self) -> Result<(Selected, Connection)> {
        let selected = self.config.select(self.common.database.as_deref(), &self.environment)?.ok_or_else(|| {
            Error::configuration("no database is configured").hint(
                "say --database postgres://user@host/name, set LIFEBOAT_DATABASE_URL or PGHOST and PGDATABASE, or write a \
                 section [databases.NAME] in lifeboat.toml",
            )
        })?;
        match selected.connection.clone() {
            Some(connection) => Ok((selected, connection)),
            // Says which databases are configured, and which was probably meant.
            None => match self.config.database(&selected.name) {
                Err(unknown) => Err(unknown),
                Ok(_) => Err(Error::configuration(format!("no connection is configured for {}", selected.name))
                    .hint(format!("write `connection` in the section [databases.{}]", selected.name))),
            },
        }
    }

    /// The server to restore to: the one that `--server` gives, the one `configured` for that, else the one that the
    /// database came from, by way of a database that a restore does not replace.
    pub async fn server(
        &self,
        given: Option<&str>,
        configured: Option<Connection>,
        database: &DatabaseName,
    ) -> Result<Connector> {
        if let Some(chosen) = given.map(Connection::parse).or(configured) {
            return self.connect(&chosen).await;
        }
        let wanted = self.common.database.as_deref().unwrap_or(database.as_str());
        let own = self.config.select(Some(wanted), &self.environment)?;
        let own = own.and_then(|selected| selected.connection).ok_or_else(|| {
            Error::configuration("no server to restore to is configured")
                .hint(format!("say --server postgres://user@host/postgres, or configure the database {database}"))
        })?;
        own.open_server(&self.aws, &self.environment).await
    }

    /// Where a verification of this depth makes its scratch database, if it makes one.
    pub async fn scratch_server(
        &self,
        depth: Depth,
        given: Option<&str>,
        database: &DatabaseName,
    ) -> Result<Option<Connector>> {
        match depth {
            Depth::Quick | Depth::Full => Ok(None),
            Depth::Restore => {
                let configured = self.config.verify.server.clone().map(Connection::from);
                self.server(given, configured, database).await.map(Some)
            }
        }
    }

    pub async fn connect(&self, connection: &Connection) -> Result<Connector> {
        connection.open(&self.aws, &self.environment).await
    }

    /// The backup that `name` means, in the database that `--database` names or in any.
    pub async fn find_backup(&self, vault: &Arc<Vault>, name: &str) -> Result<(DatabaseVault, BackupId)> {
        let databases = self.databases_to_search(vault, name).await?;
        ops::list::find(vault, &databases, name).await
    }

    /// The newest complete backup that has all of these tags.
    ///
    /// Errors: `NotFound`; `Verification` when a record is damaged that might be a newer one's.
    pub async fn find_tagged(
        &self,
        vault: &Arc<Vault>,
        tags: BTreeMap<String, String>,
    ) -> Result<(DatabaseVault, BackupId)> {
        let named: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let databases = self.databases_to_search(vault, "latest").await?;
        let [database] = databases.as_slice() else {
            return Err(Error::not_found("the vault has no backup"));
        };
        let listing = ops::list(vault, Some(database), &ListFilter { tags, ..ListFilter::default() }).await?;
        if let Some(problem) = listing.problems.first() {
            return Err(Error::verification(format!("{}: {}", problem.object, problem.problem))
                .hint("name the backup by its id: `lifeboat list` shows them"));
        }
        let newest = listing.backups.into_iter().find(|backup| backup.purpose == Purpose::Backup);
        let newest = newest.ok_or_else(|| {
            Error::not_found(format!("{database} has no complete backup with the tag {}", named.join(", ")))
                .hint("`lifeboat list` shows what is there")
        })?;
        Ok((vault.database(database).await?, newest.id))
    }

    /// The database that `--database` names, else the one that is configured, else the only one of the vault.
    pub async fn database(&self, vault: &Arc<Vault>) -> Result<DatabaseVault> {
        let names = self.databases_to_search(vault, "latest").await?;
        let name = names.first().ok_or_else(|| Error::not_found("the vault has no database"))?;
        vault.database(name).await
    }

    async fn databases_to_search(&self, vault: &Arc<Vault>, name: &str) -> Result<Vec<DatabaseName>> {
        if let Some(named) = self.named_database()? {
            return Ok(vec![named]);
        }
        let databases = vault.databases().await?;
        if name != "latest" || databases.len() < 2 {
            return Ok(databases);
        }
        match self.config.select(None, &self.environment) {
            Ok(Some(selected)) if databases.contains(&selected.name) => Ok(vec![selected.name]),
            _ => {
                let names: Vec<&str> = databases.iter().map(DatabaseName::as_str).collect();
                Err(Error::usage("the vault has several databases")
                    .hint(format!("choose one with --database: {}", names.join(", "))))
            }
        }
    }

    /// Does the work, and tells the vault's audit trail who did what.
    pub async fn audited<T: Told>(
        &self,
        vault: &Vault,
        run: &Run,
        intent: Intent,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let caller = self.caller.get_or_init(async || self.aws_caller(vault).await).await.clone();
        audited(vault, run, intent.caller(caller), work).await
    }

    /// Whom AWS takes us for, where the vault is in AWS.
    async fn aws_caller(&self, vault: &Vault) -> Option<String> {
        // Before anything is asked of AWS: who keeps everything in a folder needs none.
        if !vault.store.location().starts_with("s3://") {
            return None;
        }
        // Stores that speak S3 seldom speak STS, and AWS itself knows nothing of their credentials.
        let elsewhere = self.has_s3_endpoint && self.aws.sdk_config().await.endpoint_url().is_none();
        if elsewhere { None } else { self.aws.caller().await }
    }

    /// For an operation that begins now and must end within `limit`.
    pub fn run(&self, limit: Option<Duration>) -> Result<Run> {
        let deadline = limit.map(|limit| {
            Timestamp::now().checked_add(limit).map_err(|_| Error::usage("--deadline is beyond the end of time"))
        });
        let manner = match (self.common.quiet, Screen::is_terminal()) {
            (true, _) => Manner::Quiet,
            (false, true) => Manner::Bar,
            (false, false) => Manner::Lines,
        };
        Ok(Run {
            cancel: self.cancel.clone(),
            deadline: deadline.transpose()?,
            actor: actor(),
            observer: Arc::new(Reporter::new(self.screen.clone(), self.stderr(), manner)),
        })
    }
}

/// The file that was named, or the first of the usual ones that exists.
fn config_file(named: Option<&Path>, usual: Vec<PathBuf>) -> Result<Option<ConfigFile>> {
    let candidates = named.map_or(usual, |path| vec![path.to_owned()]);
    for path in candidates {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Some(ConfigFile { path, text })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {}
            Err(error) => {
                return Err(
                    Error::configuration(format!("cannot read the configuration {}", path.display())).because(error)
                );
            }
        }
    }
    Ok(None)
}

/// `user@host`, for records.
fn actor() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}
