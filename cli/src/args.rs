//! What can be said on the command line. The contract with scripts is `docs/cli.md`: options may be added, not renamed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use lifeboat::model::Depth;
use lifeboat::store::ThawTier;

use crate::paint::ColorChoice;
use crate::verb;

const ENVIRONMENT: &str = "\
Environment:
  LIFEBOAT_VAULT               where the vault is, as --vault
  LIFEBOAT_DATABASE_URL        the database, where --database names none
  LIFEBOAT_MASTER_KEY          the master key, base64 of 32 bytes, or a reference to it
  LIFEBOAT_MASTER_KEY_FILE     a file that holds it
  LIFEBOAT_MASTER_KEY_SECRET   the Secrets Manager secret that holds it
  LIFEBOAT_KMS_KEY             the KMS key in its place
  LIFEBOAT_CONFIG              the configuration file, as --config
  LIFEBOAT_…                   every key of the configuration file: LIFEBOAT_DATABASES__SHOP__JOBS=8
  PG*, AWS_*                   as everywhere; AWS_ENDPOINT_URL for stores that speak S3

Exit codes:
  0 ok · 1 bug · 2 usage · 3 configuration · 4 preflight refused · 5 database unreachable
  6 vault unreachable · 7 conflict · 8 verification failed · 9 not found
  10 confirmation needed · 11 out of time

The first backup:
  export LIFEBOAT_VAULT=s3://my-bucket/lifeboat
  export LIFEBOAT_DATABASE_URL=postgres://backup@db.internal/shop
  lifeboat init
  lifeboat doctor
  lifeboat backup
  lifeboat verify latest --depth full";

/// PostgreSQL backups that prove themselves
#[derive(Debug, Parser)]
#[command(name = "lifeboat", version, after_help = ENVIRONMENT, max_term_width = 120)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Configuration file [default: ./lifeboat.toml, then ~/.config/lifeboat/lifeboat.toml]
    #[arg(long, global = true, value_name = "FILE", env = "LIFEBOAT_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,

    /// The vault: s3://bucket/prefix, file:///path or a path
    #[arg(long, global = true, value_name = "URL")]
    pub vault: Option<String>,

    /// The database: its name in the vault and the configuration, or a postgres:// URL
    #[arg(long, global = true, value_name = "NAME|URL")]
    pub database: Option<String>,

    /// Print one JSON value on standard output; everything else goes to standard error
    #[arg(long, global = true)]
    pub json: bool,

    /// Log more: -v what happens, -vv how
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Show nothing but the answer and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// When to use colours; `auto` is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,

    /// How to write the log
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogStyle,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum LogStyle {
    /// Lines for people.
    #[default]
    #[value(help = None::<&str>)]
    Text,
    /// A JSON object per line.
    #[value(help = None::<&str>)]
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    Init(verb::init::Args),
    Doctor(verb::doctor::Args),
    Backup(verb::backup::Args),
    List(verb::list::Args),
    Show(verb::show::Args),
    Verify(verb::verify::Args),
    Restore(verb::restore::Args),
    Thaw(verb::thaw::Args),
    Drill(verb::drill::Args),
    Check(verb::check::Args),
    Cleanup(verb::cleanup::Args),
    Delete(verb::delete::Args),
    Undelete(verb::delete::UndeleteArgs),
    Hold(verb::hold::Args),
    Release(verb::hold::ReleaseArgs),
    Pull(verb::pull::Args),
    Push(verb::push::Args),
    Status(verb::status::Args),
    Notify(verb::notify::Args),
    Stats(verb::stats::Args),
    Cost(verb::cost::Args),
    Audit(verb::audit::Args),
    Keys(verb::keys::Args),
    Completions(verb::completions::Args),
}

/// The depths of verification, for clap to list.
pub const DEPTHS: [&str; 3] = [Depth::Quick.as_str(), Depth::Full.as_str(), Depth::Restore.as_str()];

pub fn thaw_tier() -> impl TypedValueParser<Value = ThawTier> {
    PossibleValuesParser::new(ThawTier::ALL.map(ThawTier::as_str)).try_map(|text| text.parse::<ThawTier>())
}

/// `K=V`
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// For clap, which prints what is wrong and shows the usage.
pub fn parsed<T>(result: lifeboat::Result<T>) -> Result<T, String> {
    result.map_err(|error| match error.hint_text() {
        Some(hint) => format!("{}: {hint}", error.message()),
        None => error.message(),
    })
}

pub fn duration(text: &str) -> Result<Duration, String> {
    parsed(lifeboat::config::parse_duration(text))
}

pub fn rate(text: &str) -> Result<u64, String> {
    parsed(lifeboat::config::parse_rate(text))
}

/// A time, a date (its first moment, UTC), or a duration before now.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return date.in_tz("UTC").map(|zoned| zoned.timestamp()).map_err(|error| error.to_string());
    }
    let before = lifeboat::config::parse_duration(text).ok().and_then(|d| Timestamp::now().checked_sub(d).ok());
    before.ok_or_else(|| "write 2026-11-21T02:00:00Z, 2026-11-21, or how long ago: 36h, 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use lifeboat_tests::soak;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_moment_is_a_time_a_date_or_how_long_ago() {
        let date: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-11-21").unwrap(), date);
        assert_eq!(moment("2026-11-21T01:00:00+01:00").unwrap(), date);
        assert!(moment("36h").unwrap() < Timestamp::now());
        for bad in ["", "yesterday", "99999999999w", "2026-13-01"] {
            assert!(moment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_tag_is_cut_at_its_first_equals_sign() {
        assert_eq!(key_value("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(key_value("=b").is_err() && key_value("a").is_err());
    }

    /// Every word that some verb takes, with values for them.
    fn words() -> Vec<String> {
        let values = "shop s3://b/p file:///v . a=b shop.* public.orders latest latest~1 2026-11-21 36h 5MB/s 1s 4 0 -1 \
                      18446744073709551616 quick restore daily - -- =";
        let mut words: Vec<String> = values.split_whitespace().map(str::to_owned).collect();
        for command in std::iter::once(&Cli::command()).chain(Cli::command().get_subcommands()) {
            words.push(command.get_name().to_owned());
            words.extend(command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")));
        }
        words
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: soak(500, 1_000_000), failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_command_line_is_understood_or_refused_without_panic(
            verb in any::<prop::sample::Index>(),
            words in prop::collection::vec(prop_oneof![4 => prop::sample::select(words()), 1 => "\\PC{0,20}"], 0..7),
        ) {
            let command = Cli::command();
            let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let line = ["lifeboat", *verb.get::<&str>(&verbs)].into_iter().chain(words.iter().map(String::as_str));
            if let Err(refused) = Cli::try_parse_from(line) {
                prop_assert!(!refused.to_string().is_empty());
            }
        }
    }
}
