//! `lifeboat restore`

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use lifeboat::model::{Operation, Skipped};
use lifeboat::ops::audit::Intent;
use lifeboat::ops::restore::{Action, RestoreOptions, RestorePlan, plan, restore};
use lifeboat::ops::thaw::{DEFAULT_DAYS, ThawRequest};
use lifeboat::ops::{RestoreReport, Run};
use lifeboat::store::ThawTier;
use lifeboat::{Error, Result};

use super::show::skipped;
use super::thaw::plan_text;
use crate::answer::Answer;
use crate::args::{duration, key_value, thaw_tier};
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Restore a backup, and prove every table equal
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat restore latest                       into a new database beside the original
  lifeboat restore latest --dry-run             what would be done
  lifeboat restore latest --into shop --clean   replaces shop, after a safety backup of it
  lifeboat restore latest --tag migration=42 --into shop --clean --yes
  lifeboat restore 20261121T02 --server postgres://postgres@staging/postgres --no-owner
  lifeboat restore latest --table orders --table order_items --into rescue
  lifeboat restore latest --table orders --into shop --into-schema yesterday
  lifeboat restore 20251101 --thaw bulk         asks for frozen rows; then, hours later, the same again

A restore ends with a proof: every table, read back, has the rows and the fingerprint that the
backup recorded. A database is replaced only after the new one is proven. A restore that was cut
off goes on when it is started again.")]
pub struct Args {
    /// The backup: its id, an unambiguous beginning of it, or `latest`
    id: String,

    /// With `latest`: the newest that has this tag; may be repeated
    #[arg(long = "tag", value_name = "K=V", value_parser = key_value)]
    tags: Vec<(String, String)>,

    /// The database to restore into [default: a new one, named after the original and the backup's time]
    #[arg(long, value_name = "NAME")]
    into: Option<String>,

    /// The server to restore to [default: the one that was backed up]
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Only these tables, with what they need; may be repeated
    #[arg(long = "table", value_name = "P")]
    tables: Vec<String>,

    /// Definitions without rows
    #[arg(long, conflicts_with_all = ["data_only", "into_schema"])]
    schema_only: bool,

    /// Rows without definitions, into tables that exist and are empty
    #[arg(long, requires = "into", conflicts_with_all = ["clean", "into_schema"])]
    data_only: bool,

    /// Rows into a new schema of the database --into, beside the live ones
    #[arg(long, value_name = "S", requires = "into", conflicts_with = "clean")]
    into_schema: Option<String>,

    /// Replace the database if it exists; asks before it does
    #[arg(long, requires = "into")]
    clean: bool,

    /// Do not back up what is replaced
    #[arg(long, requires = "clean")]
    no_safety_backup: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Everything belongs to the role that restores
    #[arg(long)]
    no_owner: bool,

    /// Leave privileges out
    #[arg(long)]
    no_acl: bool,

    /// Give to role B what was A's; may be repeated
    #[arg(long = "role-map", value_name = "A=B", value_parser = key_value)]
    role_map: Vec<(String, String)>,

    /// Restore what can be read of a damaged backup, and list the rest
    #[arg(long)]
    skip_damaged: bool,

    /// Have rows that are frozen thawed at this speed, and stop: run the same restore again when they are
    #[arg(long, value_parser = thaw_tier())]
    thaw: Option<ThawTier>,

    /// How long thawed rows can be read
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DAYS, requires = "thaw")]
    thaw_days: u32,

    /// Connections that load at once [default: 2]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Stop cleanly after this time: 15m, 2h
    #[arg(long, value_name = "D", value_parser = duration)]
    deadline: Option<Duration>,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let run = context.run(args.deadline)?;
    let vault = context.vault().await?;
    let (database, id) = match (args.tags.is_empty(), args.id.as_str()) {
        (true, id) => context.find_backup(&vault, id).await?,
        (false, "latest") => context.find_tagged(&vault, args.tags.iter().cloned().collect()).await?,
        (false, _) => {
            return Err(Error::usage("--tag chooses among the newest: say `latest`, or the id without --tag"));
        }
    };
    let server = context.server(args.server.as_deref(), None, &database.name).await?;
    let (dry_run, yes) = (args.dry_run, args.yes);
    let configured_jobs = context.config.databases.get(&database.name).and_then(|configured| configured.jobs);
    let options = options(args, configured_jobs, context)?;

    let plan = plan(&database, &id, &server, &options, &run).await?;
    if dry_run {
        return Ok(Answer::new(&plan, plan_page(&plan, context.paint())));
    }
    let confirmed = yes || (plan.needs_confirmation && confirm(&plan, context, &run).await?);
    let intent = Intent::to(Operation::Restore).database(&database.name).backup(&id).target(&plan.target);
    let report = context.audited(&vault, &run, intent, restore(&database, &plan, confirmed, &run)).await?;
    let failed = (!report.proof.ok).then(|| {
        let tables = human::counted(report.proof.tables_different.len() as u64, "table");
        Error::verification(format!("restored, but {tables} of {} could not be restored whole", report.target))
    });
    Ok(Answer::new(&report, page(&report, context.paint())).failed_with(failed))
}

fn options(args: Args, configured_jobs: Option<usize>, context: &Context) -> Result<RestoreOptions> {
    let defaults = RestoreOptions::default();
    Ok(RestoreOptions {
        into: args.into,
        tables: args.tables,
        schema_only: args.schema_only,
        data_only: args.data_only,
        into_schema: args.into_schema,
        clean: args.clean,
        no_owner: args.no_owner,
        no_acl: args.no_acl,
        role_map: args.role_map.into_iter().collect(),
        safety_backup: !args.no_safety_backup,
        pg_dump: context.config.pg_dump.clone(),
        skip_damaged: args.skip_damaged,
        jobs: args.jobs.or(configured_jobs).unwrap_or(defaults.jobs),
        thaw: args.thaw.map(|tier| ThawRequest::new(tier, args.thaw_days)).transpose()?,
        prices: context.config.prices.clone(),
    })
}

/// Shows the plan and asks for the name of what it replaces.
///
/// Errors: `Confirmation` where nobody can be asked, or another name was typed; `OutOfTime` on a request to stop.
async fn confirm(plan: &RestorePlan, context: &Context, run: &Run) -> Result<bool> {
    context.tell(&plan_page(plan, context.stderr()));
    let replaces = format!("this replaces the database {}", plan.target);
    if !std::io::stdin().is_terminal() {
        return Err(Error::confirmation(replaces).hint("look at the plan above, then say --yes"));
    }
    context.ask(&format!("\n{replaces}. Type its name to go on: "));
    let line = || std::io::stdin().lock().lines().next();
    let typed = run.cancel.run_until_cancelled(tokio::task::spawn_blocking(line)).await;
    run.check("waiting for the confirmation")?;
    match typed {
        Some(Ok(Some(Ok(typed)))) if typed.trim() == plan.target => Ok(true),
        _ => Err(Error::confirmation(format!("{replaces}, and was not confirmed")).hint("nothing was changed")),
    }
}

fn plan_page(plan: &RestorePlan, paint: Paint) -> String {
    let target = match plan.action {
        Action::Create => "a new database",
        Action::Fill => "there is, empty",
        Action::Resume => "there is, unfinished: the restore goes on",
        Action::Replace => "there is, and is replaced",
        Action::Add => "there is, and keeps what it has",
    };
    let contents =
        [human::counted(plan.tables, "table"), human::counted(plan.rows, "row"), human::bytes(plan.plaintext_bytes)];
    let mut facts = vec![
        ("backup", format!("{} of {}", plan.id, plan.database)),
        ("as of", human::time(plan.snapshot_at)),
        ("into", format!("{} ({target})", plan.target)),
        ("server", format!("PostgreSQL {} (the backup is from {})", plan.server_version, plan.source_version)),
        ("encoding", format!("{}, {}", plan.encoding, plan.locale)),
        ("contents", contents.join(", ")),
    ];
    let missing = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
    facts.extend(missing(&plan.missing_roles).map(|names| ("no such role", names)));
    facts.extend(missing(&plan.missing_extensions).map(|names| ("no extension", names)));
    let steps: String =
        plan.steps.iter().enumerate().map(|(number, step)| format!("  {}. {step}\n", number + 1)).collect();
    let mut page = format!("{}\n\n{}\n{steps}", paint.bold("Plan"), paint.facts(&facts));
    if let Some(thaw) = &plan.thaw {
        page.push_str(&plan_text(thaw, paint));
    }
    if !plan.left_out.is_empty() {
        page.push_str(&format!("\n{}\n{}", paint.bold("Left out"), skipped(&plan.left_out)));
    }
    page
}

fn page(report: &RestoreReport, paint: Paint) -> String {
    let equal = human::counted(report.proof.tables_equal, "table");
    let proof = match report.proof.tables_different.as_slice() {
        [] => paint.good(&format!("{equal} equal, row for row")),
        different => {
            let names: Vec<String> = different.iter().map(ToString::to_string).collect();
            paint.bad(&format!("{equal} equal; not whole: {}", names.join(", ")))
        }
    };
    let facts = [
        ("backup", report.id.to_string()),
        ("rows", format!("{} in {}", human::count(report.rows), human::counted(report.tables, "table"))),
        ("proof", proof),
        ("took", human::duration_ms(report.duration_ms)),
    ];
    let mut page = format!("{} {}\n\n{}", paint.good("Restored into"), report.target, paint.facts(&facts));
    let steps = report.steps.iter().map(|step| vec![step.name.clone(), human::duration_ms(step.duration_ms)]);
    page.push_str(&format!("\n{}", paint.table(&[text("STEP"), number("TOOK")], steps.collect())));
    let not_restored = |essential| -> Vec<Skipped> {
        let listed = report.not_restored.iter().filter(|lost| lost.essential == essential);
        listed.map(|lost| Skipped { object: lost.object.clone(), reason: lost.reason.clone() }).collect()
    };
    let (missing, refused) = (not_restored(true), not_restored(false));
    for (title, list) in [("Missing", &missing), ("Not restored", &refused), ("Remarks", &report.remarks)] {
        if !list.is_empty() {
            page.push_str(&format!("\n{}\n{}", paint.bold(title), skipped(list)));
        }
    }
    page
}
