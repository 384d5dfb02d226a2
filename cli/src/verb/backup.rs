//! `lifeboat backup`

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use lifeboat::config::Floor;
use lifeboat::config::open::Selected;
use lifeboat::model::{Depth, Encoding, Operation, Storage, Tier};
use lifeboat::ops::audit::Intent;
use lifeboat::ops::backup::{BackupOptions, BlockedDdl, backup};
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, BackupSummary, LastVerdict, Run, VerifyReport};
use lifeboat::plan::unread::ReadPolicy;
use lifeboat::vault::Vault;
use lifeboat::{Error, Result};
use std::sync::Arc;

use super::show::{skipped, storage_fact};
use super::verify::findings;
use crate::answer::Answer;
use crate::args::{DEPTHS, duration, key_value, parsed, rate};
use crate::context::Context;
use crate::human;
use crate::paint::Paint;

/// Make one backup
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat backup
  lifeboat backup --tier daily --verify quick --deadline 30m
  lifeboat backup --database postgres://backup@db.internal/shop --tag release=1.4
  lifeboat backup --table 'public.order*'      a partial backup: never `latest`, fills no quota

Patterns: `orders` in any schema, `audit.*`, `*.tmp_?`, `\"Odd Name\"`. Options take the place of
what is configured for the database. Ctrl-C stops cleanly: nothing half-made is ever listed.")]
pub struct Args {
    /// The family of backups that this one belongs to [default: manual]
    #[arg(long, value_name = "T", value_parser = |text: &str| parsed(text.parse::<Tier>()))]
    tier: Option<Tier>,

    /// Mark the backup; may be repeated
    #[arg(long = "tag", value_name = "K=V", value_parser = key_value)]
    tags: Vec<(String, String)>,

    /// Only the rows of these tables; may be repeated
    #[arg(long = "table", value_name = "P")]
    tables: Vec<String>,

    /// Leave these tables out; may be repeated
    #[arg(long = "exclude-table", value_name = "P")]
    exclude_tables: Vec<String>,

    /// Keep these tables without their rows; may be repeated
    #[arg(long, value_name = "P")]
    exclude_table_data: Vec<String>,

    /// Connections that read at once [default: 2]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Compression, 1 (fast) to 19 (small) [default: 1]
    #[arg(long, value_name = "N")]
    level: Option<i32>,

    /// Read no more than this per second: 500kB, 20MB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    max_rate: Option<u64>,

    /// How to read rows: text restores into changed columns, too; binary is easier on the server [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = copy_format())]
    copy_format: Option<Encoding>,

    /// Stop cleanly after this time: 15m, 2h
    #[arg(long, value_name = "D", value_parser = duration)]
    deadline: Option<Duration>,

    /// Verify the new backup right away
    #[arg(long, value_name = "DEPTH", value_parser = depth())]
    verify: Option<Depth>,

    /// When the backup's locks make somebody's DDL wait: stop, or finish [default: yield]
    #[arg(long, value_name = "POLICY", value_parser = blocked_ddl())]
    blocked_ddl: Option<BlockedDdl>,

    /// Read every row, or only what has changed since the backup before as far as the server can show it [default: all]
    #[arg(long, value_name = "WHAT", value_parser = read())]
    read: Option<ReadPolicy>,

    /// Where to keep the rows: in the pool that backups share, or apart, to be frozen [default: what the tier says, else pool]
    #[arg(long, value_name = "WHERE", value_parser = storage())]
    storage: Option<Storage>,

    /// Go on under this name although another server is behind it now (after a restore or a move)
    #[arg(long)]
    adopt: bool,
}

/// For clap, which lists the choices.
pub fn depth() -> impl TypedValueParser<Value = Depth> {
    PossibleValuesParser::new(DEPTHS).try_map(|text| text.parse::<Depth>())
}

fn blocked_ddl() -> impl TypedValueParser<Value = BlockedDdl> {
    PossibleValuesParser::new(["yield", "hold"]).map(|text| match text.as_str() {
        "hold" => BlockedDdl::Hold,
        _ => BlockedDdl::Yield,
    })
}

fn copy_format() -> impl TypedValueParser<Value = Encoding> {
    PossibleValuesParser::new(["text", "binary"]).map(|text| match text.as_str() {
        "binary" => Encoding::Binary,
        _ => Encoding::Text,
    })
}

fn read() -> impl TypedValueParser<Value = ReadPolicy> {
    PossibleValuesParser::new(["all", "changed"]).map(|text| match text.as_str() {
        "changed" => ReadPolicy::Changed,
        _ => ReadPolicy::All,
    })
}

fn storage() -> impl TypedValueParser<Value = Storage> {
    PossibleValuesParser::new(Storage::ALL.map(Storage::as_str)).try_map(|text| text.parse::<Storage>())
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let (selected, connection) = context.selected()?;
    let run = context.run(args.deadline)?;
    let depth = args.verify.or(context.config.verify.after_backup);
    let floor = selected.settings.floor;
    let vault = context.vault().await?;
    let source = context.connect(&connection).await?;
    let options = options(args, &selected, context);

    let intent = Intent::to(Operation::Backup).database(&options.database);
    let mut report = context.audited(&vault, &run, intent, backup(&vault, &source, &options, &run)).await?;
    let mut failed = below(floor, &report.backup);
    if let Some(depth) = depth {
        let verified = verify_new(&vault, &report.backup, depth, context, &run).await;
        failed = settle(&mut report, verified, context).or(failed);
    }
    Ok(Answer::new(&report, page(&report, context.paint())).failed_with(failed))
}

/// What the flags say, else what is configured for the database, else the defaults.
fn options(args: Args, selected: &Selected, context: &Context) -> BackupOptions {
    let given = |flags: Vec<String>, configured: Vec<String>| if flags.is_empty() { configured } else { flags };
    let tier = args.tier.unwrap_or_else(Tier::manual);
    let configured = selected.backup_options(tier, &context.config);
    BackupOptions {
        tags: args.tags.into_iter().collect(),
        tables: args.tables,
        exclude_tables: given(args.exclude_tables, configured.exclude_tables),
        exclude_table_data: given(args.exclude_table_data, configured.exclude_table_data),
        jobs: args.jobs.unwrap_or(configured.jobs),
        level: args.level.unwrap_or(configured.level),
        max_rate_bytes_per_s: args.max_rate.or(configured.max_rate_bytes_per_s),
        copy_format: args.copy_format.unwrap_or(configured.copy_format),
        adopt: args.adopt,
        blocked_ddl: args.blocked_ddl.unwrap_or(configured.blocked_ddl),
        read: args.read.unwrap_or(configured.read),
        storage: args.storage.unwrap_or(configured.storage),
        ..configured
    }
}

/// The failure that a backup below its floor is.
fn below(floor: Floor, backup: &BackupSummary) -> Option<Error> {
    if floor.is_met_by(backup) {
        return None;
    }
    let less = if backup.rows < floor.rows {
        format!("{} of at least {}", human::counted(backup.rows, "row"), human::count(floor.rows))
    } else {
        format!("{} of at least {}", human::bytes(backup.plaintext_bytes), human::bytes(floor.plaintext_bytes))
    };
    let error = Error::verification(format!("the backup {} was made, but holds {less}", backup.id));
    Some(error.hint("is this the right database, and is something missing in it? The floor is configured for it"))
}

async fn verify_new(
    vault: &Arc<Vault>,
    backup: &BackupSummary,
    depth: Depth,
    context: &Context,
    run: &Run,
) -> Result<VerifyReport> {
    let database = vault.database(&backup.database).await?;
    let scratch = context.scratch_server(depth, None, &backup.database).await?;
    let intent = Intent::to(Operation::Verify).database(&database.name).backup(&backup.id);
    context.audited(vault, run, intent, verify(&database, &backup.id, depth, scratch.as_ref(), run)).await
}

/// Writes the verdict into the report; gives the failure if there is one. The backup stays, whatever became of its
/// verification.
fn settle(report: &mut BackupReport, verified: Result<VerifyReport>, context: &Context) -> Option<Error> {
    let id = &report.backup.id;
    match verified {
        Ok(VerifyReport { depth, at, ok, findings: found, .. }) => {
            report.backup.verified = Some(LastVerdict { depth, at, ok });
            if ok {
                return None;
            }
            context.tell(&findings(&found));
            Some(Error::verification(format!("the backup {id} was made, but did not pass its {depth} verification")))
        }
        Err(error) => Some(error.context(format!("the backup {id} was made, but not verified"))),
    }
}

fn page(report: &BackupReport, paint: Paint) -> String {
    let backup = &report.backup;
    let earlier = backup.stored_bytes.saturating_sub(backup.new_bytes);
    let packed = human::share(earlier, backup.stored_bytes).filter(|_| earlier > 0);
    let packed = packed.map(|share| format!(", {share} of it there already")).unwrap_or_default();
    let mut facts = vec![
        ("rows", format!("{} in {}", human::count(backup.rows), human::counted(backup.tables, "table"))),
        ("read", human::bytes(backup.plaintext_bytes)),
        ("stored", format!("{}{packed}", human::bytes(backup.stored_bytes))),
        ("new", human::bytes(backup.new_bytes)),
        ("took", human::duration_ms(backup.duration_ms)),
    ];
    facts.extend(storage_fact(backup.storage));
    if report.unread_chunks > 0 {
        facts.push(("unread", format!("{}, unchanged", human::counted(report.unread_chunks, "chunk"))));
    }
    if let Some(verdict) = &backup.verified {
        let word = if verdict.ok { paint.good("ok") } else { paint.bad("FAILED") };
        facts.push(("verified", format!("{}: {word}", verdict.depth)));
    }
    let mut page = format!("{} {}\n\n{}", paint.good("Backed up"), backup.database, paint.facts(&facts));
    if !report.skipped.is_empty() {
        page.push_str(&format!("\n{}\n{}", paint.bold("Not in the backup"), skipped(&report.skipped)));
    }
    page.push_str(&format!("\n{}\n", paint.bold(backup.id.as_str())));
    page
}
