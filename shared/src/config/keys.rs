//! Every key there is, and what its value may be.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::section::{Section, Written};
use super::tree::{Origin, Table};
use super::units::{parse_duration, parse_rate, parse_size};
use super::{
    AssertionConfig, Config, ConnectionSource, DatabaseConfig, DrillConfig, EmailConfig, Floor, MasterKeySource,
    NotifyConfig, RetentionConfig, SlackConfig, SnsConfig, TierConfig, TierKeep, VerifyConfig, WatchConfig,
    WebhookConfig,
};
use crate::aws::SecretReference;
use crate::error::{Error, Result};
use crate::model::{DatabaseName, Depth, DisasterPlan, Encoding, Severity, Targets, Tier};
use crate::notify::SmtpServer;
use crate::ops::backup::BlockedDdl;
use crate::ops::drill::Assertion;
use crate::plan::cost::Prices;
use crate::plan::retention::TierRules;
use crate::plan::rhythm;
use crate::plan::unread::ReadPolicy;
use crate::postgres::{Dsn, Environment};
use crate::store::{Deletes, StorageClass, ThawTier};

/// Variables that are no key of the file.
const VARIABLES: [&str; 5] = ["database_url", "master_key_file", "master_key_secret", "kms_key", "config"];

/// Those of them, and one more, that hold a secret or name where one is.
#[derive(Default)]
pub struct Variables {
    database_url: Option<String>,
    master_key: Option<String>,
    master_key_file: Option<String>,
    master_key_secret: Option<String>,
    kms_key: Option<String>,
}

impl Variables {
    /// Keeps the value if the variable is one of these, or hands it back. An empty variable is as if it were not set.
    pub fn take(&mut self, key: &str, value: String) -> Option<String> {
        if value.is_empty() {
            return None;
        }
        let place = match key {
            "DATABASE_URL" => &mut self.database_url,
            "MASTER_KEY" => &mut self.master_key,
            "MASTER_KEY_FILE" => &mut self.master_key_file,
            "MASTER_KEY_SECRET" => &mut self.master_key_secret,
            "KMS_KEY" => &mut self.kms_key,
            // Which file to read was decided before this.
            "CONFIG" => return None,
            _ => return Some(value),
        };
        *place = Some(value);
        None
    }

    /// Errors: `Configuration` when two variables name a key: nobody can tell which is meant.
    fn master_key(self, home: Option<&Path>) -> Result<Option<MasterKeySource>> {
        let in_file = |path: String| MasterKeySource::Reference(SecretReference::File(expand(&path, home)));
        let in_secret = |name: String| format!("secret:{name}").parse().map(MasterKeySource::Reference);
        let given = [
            ("LIFEBOAT_MASTER_KEY", self.master_key.map(|text| Ok(key_or_reference(text, home)))),
            ("LIFEBOAT_MASTER_KEY_FILE", self.master_key_file.map(|path| Ok(in_file(path)))),
            ("LIFEBOAT_MASTER_KEY_SECRET", self.master_key_secret.map(in_secret)),
            ("LIFEBOAT_KMS_KEY", self.kms_key.map(|key| Ok(MasterKeySource::Kms(key)))),
        ];
        let mut given = given.into_iter().filter_map(|(name, source)| Some((name, source?)));
        match (given.next(), given.next()) {
            (None, _) => Ok(None),
            (Some((name, source)), None) => source.map(Some).map_err(|error: Error| error.context(name)),
            (Some((one, _)), Some((other, _))) => Err(Error::configuration(format!("{one} and {other} are both set"))
                .hint("there is one master key: unset one of them")),
        }
    }
}

/// Variables with our prefix that are not meant for us: Kubernetes makes these for a service called `lifeboat`, and this
/// project's test bed has its own.
pub fn is_foreign(name: &str) -> bool {
    let of_service = |rest: &str| {
        ["SERVICE_HOST", "SERVICE_PORT", "PORT"].iter().any(|made| {
            rest.strip_prefix(made)
                .is_some_and(|more| more.is_empty() || (more.starts_with('_') && !more.starts_with("__")))
        })
    };
    name == "LIFEBOAT_BED" || name.strip_prefix(super::PREFIX).is_some_and(of_service)
}

/// Reads the whole tree.
pub fn config(tree: Table, variables: Variables, home: Option<&Path>) -> Result<Config> {
    let mut top = Section::new("", tree).with_variables(&VARIABLES);
    let database_url = variables.database_url.clone().map(SecretString::from);
    let in_variables = variables.master_key(home)?;
    let config = Config {
        vault: top.text("vault")?.map(|written| place(&written, home)),
        master_key: in_variables.or(master_key(&mut top, home)?),
        database_url,
        databases: databases(&mut top, home)?,
        tiers: tiers(&mut top)?,
        retention: retention(&mut top)?,
        time_zone: top.parsed("time_zone", time_zone)?,
        verify: verify(&mut top, home)?,
        prices: prices(&mut top)?,
        drill: drill(&mut top, home)?,
        watch: watch(&mut top)?,
        notify: notify(&mut top, home)?,
        pg_dump: top.text("pg_dump")?.map(|written| written.resolve(expand(&written.text, home))),
        has_pg_variables: false,
    };
    top.finish()?;
    Ok(config)
}

/// A vault's URL as it is, or its path from the folder of the file that says it.
fn place(written: &Written, home: Option<&Path>) -> String {
    let text = &written.text;
    if text.is_empty() || text.contains("://") {
        return text.clone();
    }
    written.resolve(expand(text, home)).to_string_lossy().into_owned()
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

fn master_key(top: &mut Section, home: Option<&Path>) -> Result<Option<MasterKeySource>> {
    let Some(written) = top.text("master_key")? else { return Ok(None) };
    match parse_master_key(&written.text) {
        Some(MasterKeySource::Reference(reference)) => {
            Ok(Some(MasterKeySource::Reference(resolved(reference, &written, home))))
        }
        Some(source) => Ok(Some(source)),
        None => Err(written.error("is not a reference to a key").hint(REFERENCES)),
    }
}

const REFERENCES: &str =
    "write secret:NAME, file:PATH, env:NAME or kms:ARN: the key itself never belongs in a configuration or a command";

impl MasterKeySource {
    /// A reference as it is written in a command. `home` is what `~` stands for.
    ///
    /// Errors: `Usage`, without repeating what may be the key itself.
    pub fn reference(text: &str, home: Option<&Path>) -> Result<Self> {
        match key_or_reference(text.to_owned(), home) {
            Self::Value(_) => Err(Error::usage("this is not a reference to a master key").hint(REFERENCES)),
            source => Ok(source),
        }
    }
}

fn parse_master_key(text: &str) -> Option<MasterKeySource> {
    match text.strip_prefix("kms:") {
        Some("") => None,
        Some(key) => Some(MasterKeySource::Kms(key.to_owned())),
        None => text.parse().ok().map(MasterKeySource::Reference),
    }
}

/// Base64 has no colon and references have one. Whether it is a good key is seen when it is used.
fn key_or_reference(text: String, home: Option<&Path>) -> MasterKeySource {
    match parse_master_key(&text) {
        Some(MasterKeySource::Reference(SecretReference::File(path))) => {
            MasterKeySource::Reference(SecretReference::File(expand(&path.to_string_lossy(), home)))
        }
        Some(source) => source,
        None => MasterKeySource::Value(text.into()),
    }
}

fn resolved(reference: SecretReference, written: &Written, home: Option<&Path>) -> SecretReference {
    match reference {
        SecretReference::File(path) => SecretReference::File(written.resolve(expand(&path.to_string_lossy(), home))),
        other => other,
    }
}

fn databases(top: &mut Section, home: Option<&Path>) -> Result<BTreeMap<DatabaseName, DatabaseConfig>> {
    let read = |(origin, name, section): (Origin, String, Section)| {
        let name: DatabaseName = named(&origin, &name)?;
        Ok((name, database(section, home)?))
    };
    top.named_sections("databases")?.into_iter().map(read).collect()
}

fn database(mut section: Section, home: Option<&Path>) -> Result<DatabaseConfig> {
    let database = DatabaseConfig {
        connection: connection(&mut section, "connection", home)?,
        exclude_table: section.list("exclude_table")?,
        exclude_table_data: section.list("exclude_table_data")?,
        blocked_ddl: section.parsed("blocked_ddl", |text| match text {
            "yield" => Ok(BlockedDdl::Yield),
            "hold" => Ok(BlockedDdl::Hold),
            _ => Err(Error::usage("it is neither \"yield\" nor \"hold\"")),
        })?,
        jobs: section.number("jobs", 1)?,
        level: section.number("level", 1)?,
        max_rate_bytes_per_s: section.parsed("max_rate", parse_rate)?,
        copy_format: section.parsed("copy_format", |text| match text {
            "text" => Ok(Encoding::Text),
            "binary" => Ok(Encoding::Binary),
            _ => Err(Error::usage("it is neither \"text\" nor \"binary\"")),
        })?,
        read: section.parsed("read", |text| match text {
            "all" => Ok(ReadPolicy::All),
            "changed" => Ok(ReadPolicy::Changed),
            _ => Err(Error::usage("it is neither \"all\" nor \"changed\"")),
        })?,
        // Every one of one is `read = "all"`.
        read_all_every: section.number("read_all_every", 2)?,
        floor: floor(&mut section)?,
    };
    section.finish()?;
    Ok(database)
}

fn floor(database: &mut Section) -> Result<Floor> {
    let Some(mut section) = database.section("floor")? else { return Ok(Floor::default()) };
    let floor = Floor {
        rows: section.number("rows", 0)?.unwrap_or(0),
        plaintext_bytes: section.parsed("plaintext_bytes", parse_size)?.unwrap_or(0),
    };
    section.finish()?;
    Ok(floor)
}

/// A reference, or a connection that holds no password.
fn connection(section: &mut Section, key: &'static str, home: Option<&Path>) -> Result<Option<ConnectionSource>> {
    let Some(written) = section.text(key)? else { return Ok(None) };
    if let Ok(reference) = written.text.parse::<SecretReference>() {
        return Ok(Some(ConnectionSource::Reference(resolved(reference, &written, home))));
    }
    // Only to see whether it is good and holds a password: what it leaves out comes from the environment later.
    let stand_in = Environment::from_iter([("USER", "nobody")]);
    match Dsn::parse(&written.text, &stand_in) {
        Ok(dsn) if dsn.password().is_none() => Ok(Some(ConnectionSource::Plain(written.text))),
        Ok(_) => Err(written.error("holds a password, and a configuration is no place for one").hint(
            "keep the whole URL elsewhere and refer to it: secret:NAME (Secrets Manager), env:NAME or file:PATH; or leave the \
             password out and use PGPASSWORD or ~/.pgpass",
        )),
        Err(error) => Err(written.error(format!("is neither a reference to a secret nor a connection: {error}"))
            .hint("write secret:NAME, env:NAME, file:PATH, or postgres://user@host:5432/database without a password")),
    }
}

fn tiers(top: &mut Section) -> Result<BTreeMap<Tier, TierConfig>> {
    let read = |(origin, name, section): (Origin, String, Section)| {
        let name: Tier = named(&origin, &name)?;
        Ok((name, tier(section)?))
    };
    top.named_sections("tiers")?.into_iter().map(read).collect()
}

fn tier(mut section: Section) -> Result<TierConfig> {
    let schedule = section.parsed("schedule", rhythm::parse)?;
    let keep = keep(&mut section)?;
    let storage = section.parsed("storage", str::parse)?.unwrap_or_default();
    let max_age = section.parsed("max_age", parse_duration)?;
    section.finish()?;
    Ok(TierConfig { schedule, keep, storage, max_age })
}

fn keep(section: &mut Section) -> Result<TierKeep> {
    let all = section.text("keep")?;
    let at_least = section.number("keep_at_least", 1)?.and_then(NonZeroU32::new);
    let mut count = |key| Ok::<u32, Error>(section.number(key, 1)?.unwrap_or(0));
    let rules = TierRules {
        keep_last: count("keep_last")?,
        keep_hourly: count("keep_hourly")?,
        keep_daily: count("keep_daily")?,
        keep_weekly: count("keep_weekly")?,
        keep_monthly: count("keep_monthly")?,
        keep_yearly: count("keep_yearly")?,
        keep_for: section.parsed("keep_for", parse_duration)?,
        keep_at_least: at_least.unwrap_or(TierRules::NONE.keep_at_least),
    };
    match (all, at_least) {
        (Some(all), _) if all.text != "all" => Err(all
            .error("can only be \"all\"")
            .hint("or say how many: keep_last = 30, keep_for = \"90d\", keep_daily = 7")),
        (Some(all), _) if !rules.is_empty() => Err(all
            .error("stands beside a rule that lets backups go")
            .hint("keep all, or keep_last, keep_for, keep_daily, …, but not both")),
        (Some(_), _) => Ok(TierKeep::All),
        (None, _) if !rules.is_empty() => Ok(TierKeep::Rules(rules)),
        (None, Some(at_least)) => Ok(TierKeep::AtLeast(at_least)),
        (None, None) => Ok(TierKeep::AsPreset),
    }
}

fn retention(top: &mut Section) -> Result<RetentionConfig> {
    let Some(mut section) = top.section("retention")? else { return Ok(RetentionConfig::default()) };
    let retention = RetentionConfig {
        preset: section.parsed("preset", str::parse)?.unwrap_or_default(),
        unverified_for: section.parsed("unverified_for", parse_duration)?,
        partial_for: section.parsed("partial_for", parse_duration)?,
        safety_for: section.parsed("safety_for", parse_duration)?,
        max_share_percent: section.number("max_share_percent", 1)?.map(|percent: u8| percent.min(100)),
        deletes: if section.flag("delete_versions")? { Deletes::EveryVersion } else { Deletes::Current },
    };
    section.finish()?;
    Ok(retention)
}

fn time_zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|error| {
        Error::usage("it is not a time zone").hint("use a name such as Europe/Berlin, or UTC").because(error)
    })
}

fn verify(top: &mut Section, home: Option<&Path>) -> Result<VerifyConfig> {
    let Some(mut section) = top.section("verify")? else { return Ok(VerifyConfig::default()) };
    let verify = VerifyConfig {
        after_backup: section.parsed("after_backup", str::parse::<Depth>)?,
        server: connection(&mut section, "server", home)?,
    };
    section.finish()?;
    Ok(verify)
}

fn drill(top: &mut Section, home: Option<&Path>) -> Result<DrillConfig> {
    let Some(mut section) = top.section("drill")? else { return Ok(DrillConfig::default()) };
    let drill = DrillConfig {
        server: connection(&mut section, "server", home)?,
        allow_source: section.flag("allow_source")?,
        targets: targets(&mut section)?,
        plan: DisasterPlan {
            contacts: section.list("contacts")?,
            escalation: section.list("escalation")?,
            document: section.text("document")?.map(|written| written.text),
        },
        tolerated: section.parsed_list("tolerate", str::parse)?.into_iter().collect(),
        assertions: assertions(&mut section)?,
    };
    section.finish()?;
    Ok(drill)
}

fn targets(drill: &mut Section) -> Result<Targets> {
    let Some(mut section) = drill.section("targets")? else { return Ok(Targets::default()) };
    let mut target = |key| -> Result<Option<u64>> {
        let duration = section.parsed(key, parse_duration)?;
        Ok(duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    };
    let targets = Targets { rto_ms: target("rto")?, rpo_ms: target("rpo")? };
    section.finish()?;
    Ok(targets)
}

fn assertions(drill: &mut Section) -> Result<Vec<AssertionConfig>> {
    let read = |(_, name, mut section): (Origin, String, Section)| {
        let sql = required(section.text("sql")?, &section, "sql")?.text;
        let database = section.parsed("database", str::parse)?;
        section.finish()?;
        Ok(AssertionConfig { assertion: Assertion { name, sql }, database })
    };
    drill.named_sections("assertions")?.into_iter().map(read).collect()
}

fn watch(top: &mut Section) -> Result<WatchConfig> {
    let Some(mut section) = top.section("watch")? else { return Ok(WatchConfig::default()) };
    let watch = WatchConfig {
        backup_age: section.parsed("backup_age", parse_duration)?,
        backup_age_critical: section.parsed("backup_age_critical", parse_duration)?,
        verified_age: section.parsed("verified_age", parse_duration)?,
        verified_age_critical: section.parsed("verified_age_critical", parse_duration)?,
        restore_age: section.parsed("restore_age", parse_duration)?,
        restore_age_critical: section.parsed("restore_age_critical", parse_duration)?,
        failure_rate_percent: section.number("failure_rate_percent", 0)?,
        duration: section.parsed("duration", parse_duration)?,
        size_change_percent: section.number("size_change_percent", 1)?,
        size_change_critical_percent: section.number("size_change_critical_percent", 1)?,
        rows_lost_percent: section.number("rows_lost_percent", 0)?,
        quota_bytes: section.parsed("quota", parse_size)?,
        quota_percent: section.number("quota_percent", 1)?,
        key_age: section.parsed("key_age", parse_duration)?,
        certificate: section.parsed("certificate", parse_duration)?,
        slot_lag_bytes: section.parsed("slot_lag", parse_size)?,
        slot_lag_critical_bytes: section.parsed("slot_lag_critical", parse_size)?,
        repeat_critical: section.parsed("repeat_critical", parse_duration)?,
        repeat_warning: section.parsed("repeat_warning", parse_duration)?,
    };
    section.finish()?;
    Ok(watch)
}

fn notify(top: &mut Section, home: Option<&Path>) -> Result<NotifyConfig> {
    let Some(mut section) = top.section("notify")? else { return Ok(NotifyConfig::default()) };
    let mut notify =
        NotifyConfig { source: section.text("source")?.map(|written| written.text), ..NotifyConfig::default() };
    if let Some(mut sns) = section.section("sns")? {
        let topic = required(sns.text("topic")?, &sns, "topic")?;
        if !topic.text.starts_with("arn:") {
            return Err(topic.error("is not the ARN of a topic"));
        }
        notify.sns = Some(SnsConfig { topic: topic.text, min_severity: min_severity(&mut sns)? });
        sns.finish()?;
    }
    if let Some(mut slack) = section.section("slack")? {
        let url = required(reference(&mut slack, "url", home)?, &slack, "url")?;
        notify.slack = Some(SlackConfig { url, min_severity: min_severity(&mut slack)? });
        slack.finish()?;
    }
    if let Some(mut webhook) = section.section("webhook")? {
        let url = required(reference(&mut webhook, "url", home)?, &webhook, "url")?;
        let key = reference(&mut webhook, "key", home)?;
        notify.webhook = Some(WebhookConfig { url, key, min_severity: min_severity(&mut webhook)? });
        webhook.finish()?;
    }
    if let Some(mut email) = section.section("email")? {
        let server = required(email.parsed("server", SmtpServer::parse)?, &email, "server")?;
        let password = reference(&mut email, "password", home)?;
        let from = required(email.text("from")?, &email, "from")?.text;
        let to = email.list("to")?;
        let digest = email.parsed("digest", digest_hour)?.unwrap_or(Some(Time::constant(8, 0, 0, 0)));
        let min_severity = min_severity(&mut email)?;
        notify.email = Some(EmailConfig { server, password, from, to, min_severity, digest });
        email.finish()?;
    }
    section.finish()?;
    Ok(notify)
}

fn digest_hour(text: &str) -> Result<Option<Time>> {
    let bad = || Error::usage("it is no time of day").hint("write \"08:00\", or \"off\" for no digest");
    match text {
        "off" => Ok(None),
        text => Time::strptime("%H:%M", text).map(Some).map_err(|_| bad()),
    }
}

fn min_severity(section: &mut Section) -> Result<Severity> {
    Ok(section.parsed("min_severity", str::parse)?.unwrap_or(Severity::Warning))
}

fn required<T>(value: Option<T>, section: &Section, key: &str) -> Result<T> {
    value.ok_or_else(|| Error::configuration(format!("{} is not configured", section.full_name(key))))
}

/// A secret, which is never written here itself.
fn reference(section: &mut Section, key: &'static str, home: Option<&Path>) -> Result<Option<SecretReference>> {
    let Some(written) = section.text(key)? else { return Ok(None) };
    match written.text.parse::<SecretReference>() {
        Ok(reference) => Ok(Some(resolved(reference, &written, home))),
        Err(_) => Err(written.error("is not a reference to a secret").hint(
            "write secret:NAME (Secrets Manager), env:NAME or file:PATH: it gives whoever reads it a voice here",
        )),
    }
}

/// What is not said costs what it does by default.
fn prices(top: &mut Section) -> Result<Prices> {
    let mut prices = Prices::default();
    let Some(mut section) = top.section("prices")? else { return Ok(prices) };
    if let Some(currency) = section.parsed("currency", currency)? {
        prices.currency = currency;
    }
    if let Some(transfer) = section.decimal("transfer", str::parse)? {
        prices.transfer = transfer;
    }
    for class in StorageClass::ALL {
        let Some(mut of_class) = section.section(class.as_str())? else { continue };
        let known = prices.classes.entry(class).or_default();
        known.storage = of_class.decimal("storage", str::parse)?.unwrap_or(known.storage);
        known.retrieval = of_class.decimal("retrieval", str::parse)?.unwrap_or(known.retrieval);
        known.requests = of_class.decimal("requests", str::parse)?.unwrap_or(known.requests);
        for tier in ThawTier::ALL.into_iter().filter(|tier| tier.at_most_minutes(class).is_some()) {
            let Some(mut of_tier) = of_class.section(tier.as_str())? else { continue };
            let known = prices.thaws.entry((class, tier)).or_default();
            // At the usual speed it is the class's own.
            if tier != ThawTier::Standard {
                known.retrieval = of_tier.decimal("retrieval", str::parse)?.unwrap_or(known.retrieval);
            }
            known.requests = of_tier.decimal("requests", str::parse)?.unwrap_or(known.requests);
            of_tier.finish()?;
        }
        of_class.finish()?;
    }
    section.finish()?;
    Ok(prices)
}

/// Only how it is printed: no rates are known here.
fn currency(text: &str) -> Result<String> {
    let is_code = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    match is_code {
        true => Ok(text.to_owned()),
        false => Err(Error::usage("it is not the code of a currency").hint("write three capitals, such as EUR")),
    }
}

fn named<T: FromStr<Err = Error>>(origin: &Origin, name: &str) -> Result<T> {
    name.parse().map_err(|error: Error| {
        let reworded = Error::configuration(format!("{origin}: {}", error.message()));
        reworded.hint(error.hint_text().unwrap_or_default())
    })
}
