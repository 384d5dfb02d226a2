//! What somebody wants Lifeboat to work on: one file, the same keys as `LIFEBOAT_…` variables, see `docs/configuration.md`.
//!
//! Reading is pure and refuses what it does not know: a misspelled key would otherwise be a backup that silently lacks
//! something. So are keys of features that this version does not have, where somebody might rely on them (alerts). Secrets
//! are references, never values: a configuration may be committed, mailed and printed. [`open`] turns it into an open
//! vault and a reachable database.

mod keys;
pub mod open;
mod section;
mod tree;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use crate::aws::SecretReference;
use crate::error::{Error, Result};
use crate::model::{DatabaseName, Depth, DisasterPlan, Encoding, Look, Severity, Storage, Targets, Tier};
use crate::notify::SmtpServer;
use crate::ops::BackupSummary;
use crate::ops::backup::BlockedDdl;
use crate::ops::cleanup::{CleanupOptions, Confirmed};
use crate::ops::drill::{Assertion, DrillOptions};
use crate::ops::watch::Digesting;
use crate::plan::alerts::Repeats;
use crate::plan::cost::Prices;
use crate::plan::health::{HealthPolicy, TierHealth};
use crate::plan::retention::guard::Limits;
use crate::plan::retention::{Policy, Preset, TierRules};
use crate::plan::rhythm::Schedule;
use crate::plan::unread::ReadPolicy;
use crate::store::Deletes;
use section::nearest;
use tree::{PREFIX, Table};

pub use units::{parse_duration, parse_rate, parse_size};

/// The channel of `[notify.email]`.
const EMAIL: &str = "email";

/// libpq's variables that say where to connect to, rather than how.
const PG_TARGETS: [&str; 3] = ["PGHOST", "PGHOSTADDR", "PGDATABASE"];

/// Everything that is configured. What is missing here may come from flags.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `s3://bucket/prefix`, `file:///path` or a path.
    pub vault: Option<String>,
    pub master_key: Option<MasterKeySource>,
    /// `LIFEBOAT_DATABASE_URL`: the database to work on where no other is chosen.
    pub database_url: Option<SecretString>,
    pub databases: BTreeMap<DatabaseName, DatabaseConfig>,
    pub tiers: BTreeMap<Tier, TierConfig>,
    pub retention: RetentionConfig,
    /// Where days, weeks, months and years begin; UTC where nothing is said.
    pub time_zone: Option<TimeZone>,
    pub verify: VerifyConfig,
    /// What storage costs, for `cost`.
    pub prices: Prices,
    pub drill: DrillConfig,
    pub watch: WatchConfig,
    pub notify: NotifyConfig,
    /// The `pg_dump` to use; `None` looks for one.
    pub pg_dump: Option<PathBuf>,
    /// Whether `PG*` variables say which server or database is meant.
    pub has_pg_variables: bool,
}

/// Where the master key is.
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// `LIFEBOAT_MASTER_KEY`, the one secret that a variable may hold itself.
    Value(SecretString),
    Reference(SecretReference),
    /// Id, ARN or alias of a KMS key.
    Kms(String),
}

/// Says where the key is, not what it is.
impl fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("the variable LIFEBOAT_MASTER_KEY"),
            Self::Reference(SecretReference::File(path)) => write!(f, "the file {}", path.display()),
            Self::Reference(reference) => write!(f, "{reference}"),
            Self::Kms(key) => write!(f, "the KMS key {key}"),
        }
    }
}

/// `[databases.NAME]`
#[derive(Debug, Clone, Default)]
pub struct DatabaseConfig {
    pub connection: Option<ConnectionSource>,
    /// Patterns of tables to leave out.
    pub exclude_table: Vec<String>,
    /// Patterns of tables to keep without their rows.
    pub exclude_table_data: Vec<String>,
    pub blocked_ddl: Option<BlockedDdl>,
    /// Connections that read at once.
    pub jobs: Option<usize>,
    /// zstd's.
    pub level: Option<i32>,
    pub max_rate_bytes_per_s: Option<u64>,
    pub copy_format: Option<Encoding>,
    pub read: Option<ReadPolicy>,
    pub read_all_every: Option<u32>,
    pub floor: Floor,
}

/// How to reach a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionSource {
    Reference(SecretReference),
    /// A URL or `key=value` pairs, proven to hold no password.
    Plain(String),
}

/// The least that a good backup holds: less means that somebody emptied the database, or backs up the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    pub rows: u64,
    pub plaintext_bytes: u64,
}

impl Floor {
    /// Whether the backup holds enough.
    pub fn is_met_by(self, backup: &BackupSummary) -> bool {
        backup.rows >= self.rows && backup.plaintext_bytes >= self.plaintext_bytes
    }
}

/// `[tiers.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierConfig {
    /// Five fields, as in crontab. Nothing is started by it; a backup that it should have made is missed.
    pub schedule: Option<Schedule>,
    pub keep: TierKeep,
    pub storage: Storage,
    /// How old its newest backup may become.
    pub max_age: Option<Duration>,
}

/// What a tier says about its backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TierKeep {
    /// What the preset says.
    #[default]
    AsPreset,
    /// `keep = "all"`
    All,
    /// In the place of the preset's rules.
    Rules(TierRules),
    /// The preset's rules with another least number.
    AtLeast(NonZeroU32),
}

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionConfig {
    pub preset: Preset,
    pub unverified_for: Option<Duration>,
    pub partial_for: Option<Duration>,
    pub safety_for: Option<Duration>,
    pub max_share_percent: Option<u8>,
    /// `delete_versions`
    pub deletes: Deletes,
}

/// `[verify]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyConfig {
    /// How deep `backup` verifies what it just made.
    pub after_backup: Option<Depth>,
    /// Where `verify --depth restore` makes its scratch database; the backed-up server where nothing is said.
    pub server: Option<ConnectionSource>,
}

/// `[drill]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrillConfig {
    /// Where drills restore; `verify.server` where nothing is said.
    pub server: Option<ConnectionSource>,
    /// Whether that may be the server that was backed up.
    pub allow_source: bool,
    pub targets: Targets,
    pub plan: DisasterPlan,
    pub tolerated: BTreeSet<Look>,
    pub assertions: Vec<AssertionConfig>,
}

/// `[drill.assertions.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionConfig {
    pub assertion: Assertion,
    /// Of which database it must be true; of any where nothing is said.
    pub database: Option<DatabaseName>,
}

/// `[watch]`: thresholds of [`crate::plan::health`]. What is not said is as there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchConfig {
    pub backup_age: Option<Duration>,
    pub backup_age_critical: Option<Duration>,
    pub verified_age: Option<Duration>,
    pub verified_age_critical: Option<Duration>,
    pub restore_age: Option<Duration>,
    pub restore_age_critical: Option<Duration>,
    pub failure_rate_percent: Option<u32>,
    pub duration: Option<Duration>,
    pub size_change_percent: Option<u32>,
    pub size_change_critical_percent: Option<u32>,
    pub rows_lost_percent: Option<u32>,
    pub quota_bytes: Option<u64>,
    pub quota_percent: Option<u32>,
    pub key_age: Option<Duration>,
    pub certificate: Option<Duration>,
    pub slot_lag_bytes: Option<u64>,
    pub slot_lag_critical_bytes: Option<u64>,
    pub repeat_critical: Option<Duration>,
    pub repeat_warning: Option<Duration>,
}

/// `[notify]`: who is told, and how.
#[derive(Debug, Clone, Default)]
pub struct NotifyConfig {
    /// Which installation speaks.
    pub source: Option<String>,
    pub sns: Option<SnsConfig>,
    pub slack: Option<SlackConfig>,
    pub webhook: Option<WebhookConfig>,
    pub email: Option<EmailConfig>,
}

/// `[notify.sns]`
#[derive(Debug, Clone)]
pub struct SnsConfig {
    pub topic: String,
    pub min_severity: Severity,
}

/// `[notify.slack]`
#[derive(Debug, Clone)]
pub struct SlackConfig {
    pub url: SecretReference,
    pub min_severity: Severity,
}

/// `[notify.webhook]`
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub url: SecretReference,
    /// With which messages are signed.
    pub key: Option<SecretReference>,
    pub min_severity: Severity,
}

/// `[notify.email]`
#[derive(Debug, Clone)]
pub struct EmailConfig {
    pub server: SmtpServer,
    pub password: Option<SecretReference>,
    pub from: String,
    pub to: Vec<String>,
    pub min_severity: Severity,
    /// At which hour of the day the digest is sent; `None`: not at all.
    pub digest: Option<Time>,
}

/// A configuration file that was read.
#[derive(Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub text: String,
}

impl Config {
    /// The file with the variables laid over it. Of variables that do not begin with `LIFEBOAT_` only `HOME`, which `~/`
    /// means, and libpq's are looked at.
    ///
    /// Errors: `Configuration`, naming file and line or the variable; never a value that may be a secret.
    pub fn read(file: Option<&ConfigFile>, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut tree = match file {
            Some(ConfigFile { path, text }) => tree::parse_file(path, text)?,
            None => Table::new(),
        };
        let (mut own, mut home, mut has_pg_variables) = (keys::Variables::default(), None, false);
        for (name, value) in variables {
            match name.strip_prefix(PREFIX) {
                None if name == "HOME" => home = Some(PathBuf::from(value)),
                None => has_pg_variables |= !value.is_empty() && PG_TARGETS.contains(&name.as_str()),
                Some(_) if keys::is_foreign(&name) => {}
                Some(key) => {
                    if let Some(value) = own.take(key, value) {
                        tree::lay_over(&mut tree, &name, value)?;
                    }
                }
            }
        }
        let config = keys::config(tree, own, home.as_deref())?;
        Ok(Self { has_pg_variables, ..config })
    }

    /// Errors: `Configuration` naming the databases that are configured, the nearest first.
    pub fn database(&self, name: &DatabaseName) -> Result<&DatabaseConfig> {
        self.databases.get(name).ok_or_else(|| {
            let known: BTreeSet<&str> = self.databases.keys().map(DatabaseName::as_str).collect();
            let error = Error::configuration(format!("no database {name} is configured"));
            match (nearest(name.as_str(), known.iter().copied()), known.len()) {
                (Some(near), _) => error.hint(format!("did you mean {near}?")),
                (None, 0) => error.hint(format!("write a section [databases.{name}], or give a URL")),
                (None, _) => error.hint(format!("configured: {}", Vec::from_iter(known).join(", "))),
            }
        })
    }

    /// Settings that are understood but not acted on by this version, for people to know.
    pub fn not_acted_on(&self) -> Vec<String> {
        let scheduled = self.tiers.iter().filter(|(_, tier)| tier.schedule.is_some());
        scheduled
            .map(|(name, _)| {
                format!("tiers.{name}.schedule: start backups yourself (cron); `status` tells when they do not come")
            })
            .collect()
    }

    /// How long backups are wanted: the preset, and what the tiers say instead.
    pub fn policy(&self) -> Policy {
        let RetentionConfig { preset, unverified_for, partial_for, safety_for, .. } = self.retention;
        let mut policy = preset.policy();
        for (name, tier) in &self.tiers {
            match tier.keep {
                TierKeep::AsPreset => {}
                TierKeep::All => drop(policy.tiers.remove(name)),
                TierKeep::Rules(rules) => drop(policy.tiers.insert(name.clone(), rules)),
                TierKeep::AtLeast(keep_at_least) => {
                    policy.tiers.entry(name.clone()).and_modify(|rules| rules.keep_at_least = keep_at_least);
                }
            }
        }
        policy.unverified_for = unverified_for.unwrap_or(policy.unverified_for);
        policy.partial_for = partial_for.unwrap_or(policy.partial_for);
        policy.safety_for = safety_for.unwrap_or(policy.safety_for);
        policy
    }

    /// By which thresholds a database is judged.
    pub fn health_policy(&self, database: &DatabaseName) -> HealthPolicy {
        let (watch, known) = (&self.watch, HealthPolicy::default());
        let floor = self.databases.get(database).map(|database| database.floor).unwrap_or_default();
        let max_age =
            |tier: &TierConfig| tier.max_age.or(tier.schedule.as_ref().map(|schedule| schedule.expected_within));
        let tiers = self.tiers.iter().map(|(name, tier)| (name.clone(), TierHealth { max_age: max_age(tier) }));
        HealthPolicy {
            backup_age: known.backup_age.changed(watch.backup_age, watch.backup_age_critical, |age| age * 2),
            verified_age: known.verified_age.changed(watch.verified_age, watch.verified_age_critical, |age| age * 2),
            restore_age: known.restore_age.changed(watch.restore_age, watch.restore_age_critical, |age| age * 4),
            failure_rate_percent: watch.failure_rate_percent.unwrap_or(known.failure_rate_percent),
            duration: watch.duration.unwrap_or(known.duration),
            size_change_percent: known.size_change_percent.changed(
                watch.size_change_percent,
                watch.size_change_critical_percent,
                |percent| percent.saturating_mul(2),
            ),
            rows_lost_percent: watch.rows_lost_percent.unwrap_or(known.rows_lost_percent),
            quota_bytes: watch.quota_bytes.or(known.quota_bytes),
            quota_percent: watch.quota_percent.unwrap_or(known.quota_percent),
            key_age: watch.key_age.or(known.key_age),
            certificate: watch.certificate.unwrap_or(known.certificate),
            slot_lag_bytes: known.slot_lag_bytes.changed(
                watch.slot_lag_bytes,
                watch.slot_lag_critical_bytes,
                |bytes| bytes.saturating_mul(5),
            ),
            tiers: tiers.collect(),
            floor_rows: floor.rows,
            floor_plaintext_bytes: floor.plaintext_bytes,
        }
    }

    /// How a database is drilled.
    pub fn drill_options(&self, database: &DatabaseName) -> DrillOptions {
        let DrillConfig { allow_source, targets, plan, tolerated, assertions, .. } = &self.drill;
        let is_about = |config: &&AssertionConfig| config.database.as_ref().is_none_or(|of| of == database);
        DrillOptions {
            targets: *targets,
            plan: plan.clone(),
            assertions: assertions.iter().filter(is_about).map(|config| config.assertion.clone()).collect(),
            tolerated: tolerated.clone(),
            may_use_source: *allow_source,
        }
    }

    /// Where drills restore, if anything says so.
    pub fn drill_server(&self) -> Option<&ConnectionSource> {
        self.drill.server.as_ref().or(self.verify.server.as_ref())
    }

    /// How long silence lasts while a finding stays.
    pub fn repeats(&self) -> Repeats {
        let known = Repeats::default();
        Repeats {
            critical: self.watch.repeat_critical.unwrap_or(known.critical),
            warning: self.watch.repeat_warning.unwrap_or(known.warning),
        }
    }

    /// When the daily digest is sent, where there is one: it goes by e-mail.
    pub fn digesting(&self) -> Option<Digesting> {
        let hour = self.notify.email.as_ref()?.digest?;
        let zone = self.time_zone.clone().unwrap_or(TimeZone::UTC);
        Some(Digesting { hour, zone, channel: EMAIL })
    }

    /// Which installation speaks in alerts.
    pub fn source(&self) -> &str {
        self.notify.source.as_deref().unwrap_or("lifeboat")
    }

    /// A cleanup as it is configured.
    pub fn cleanup_options(&self, dry_run: bool, confirmed: Confirmed) -> CleanupOptions {
        let defaults = Limits::default();
        let max_share_percent = self.retention.max_share_percent.unwrap_or(defaults.max_share_percent);
        CleanupOptions {
            policy: self.policy(),
            zone: self.time_zone.clone().unwrap_or(TimeZone::UTC),
            limits: Limits { max_share_percent, ..defaults },
            dry_run,
            confirmed,
        }
    }
}

/// This process's variables. Errors: `Configuration` for one of ours that is not UTF-8.
pub fn variables() -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => drop(variables.insert(name, value)),
            Err(_) if name.starts_with("LIFEBOAT_") => {
                return Err(Error::configuration(format!("the variable {name} is not UTF-8")));
            }
            Err(_) => {}
        }
    }
    Ok(variables)
}

/// Where a configuration is looked for when nobody names a file: the working directory, then the user's configuration.
pub fn default_paths(home: Option<&Path>, xdg_config_home: Option<&Path>) -> Vec<PathBuf> {
    let user = user_folder(home, xdg_config_home).map(|folder| folder.join("lifeboat.toml"));
    [Some(PathBuf::from("lifeboat.toml")), user].into_iter().flatten().collect()
}

/// The user's own folder for configuration and keys: `~/.config/lifeboat`.
pub fn user_folder(home: Option<&Path>, xdg_config_home: Option<&Path>) -> Option<PathBuf> {
    let base = xdg_config_home.filter(|path| path.is_absolute()).map(Path::to_owned);
    Some(base.or_else(|| Some(home?.join(".config")))?.join("lifeboat"))
}

#[cfg(test)]
mod tests;
