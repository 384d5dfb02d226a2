//! `lifeboat drill`

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::TypedValueParser;
use lifeboat::config::open::Connection;
use lifeboat::model::{BackupId, CheckOutcome, Drill, DrillCheck, Operation, Tier};
use lifeboat::notify::{Alert, Severity};
use lifeboat::ops::audit::Intent;
use lifeboat::ops::drill::{DrillOptions, drill, html, markdown, pick_backup, pick_of_each_tier};
use lifeboat::plan::drill::span;
use lifeboat::postgres::Connector;
use lifeboat::vault::{DatabaseVault, KeptDrill, Vault};
use lifeboat::{Error, Result};
use serde_json::json;

use crate::answer::Answer;
use crate::args::{duration, parsed};
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Rehearse the worst day: restore a backup on another server, prove it, check it, drop it, report
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat drill --server postgres://postgres@staging/postgres
  lifeboat drill --tier daily --report drill.html --notify     weekly, from cron
  lifeboat drill --each-tier                                   monthly
  lifeboat drill --list
  lifeboat drill --list --report drills.md

Without an ID any backup is picked at random, so that in time the old ones get their turn. The
report has the time that each step took, recovery time and possible loss against their targets,
what was checked, and whom to call when it is not a drill: [drill] in the configuration,
docs/drills.md. It is kept in the vault. Exit code 8 when the drill failed or a target was missed.")]
pub struct Args {
    /// The backup: an id, an unambiguous beginning of one, or `latest` [default: any]
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// Any backup of this tier
    #[arg(long, value_name = "T", value_parser = |text: &str| parsed(text.parse::<Tier>()), conflicts_with = "id")]
    tier: Option<Tier>,

    /// One backup of each tier, one after another
    #[arg(long, conflicts_with_all = ["id", "tier"])]
    each_tier: bool,

    /// Where to restore [default: drill.server, else verify.server]
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Even on the server that was backed up
    #[arg(long)]
    allow_source: bool,

    /// Write the report to this file, as its ending says: .md, .html or .json
    #[arg(long, value_name = "FILE", value_parser = report())]
    report: Option<Report>,

    /// Tell people on the channels of [notify] how it went
    #[arg(long)]
    notify: bool,

    /// Show the drills of the past instead, of one backup if an ID is given
    #[arg(long, conflicts_with_all = ["tier", "each_tier", "server", "allow_source", "notify", "deadline"])]
    list: bool,

    /// Stop cleanly after this time: 15m, 2h
    #[arg(long, value_name = "D", value_parser = duration)]
    deadline: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Report {
    path: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Markdown,
    Html,
    Json,
}

fn report() -> impl TypedValueParser<Value = Report> {
    clap::builder::PathBufValueParser::new().try_map(|path| {
        let format = match path.extension().and_then(|ending| ending.to_str()) {
            Some("md") => Format::Markdown,
            Some("html") => Format::Html,
            Some("json") => Format::Json,
            _ => return Err("write a file that ends with .md, .html or .json"),
        };
        Ok(Report { path, format })
    })
}

impl Report {
    fn write(&self, drills: &[KeptDrill]) -> Result<()> {
        let text = match self.format {
            Format::Markdown => markdown(drills),
            Format::Html => html(drills),
            Format::Json => serde_json::to_string_pretty(drills).expect("reports are plain values") + "\n",
        };
        fs::write(&self.path, text).map_err(|error| {
            Error::configuration(format!("cannot write the report to {}", self.path.display()))
                .because(error)
                .hint("the vault has it: lifeboat drill --list --report FILE")
        })
    }
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    if args.list {
        return past(&args, &vault, context).await;
    }
    let run = context.run(args.deadline)?;
    let mut drills = Vec::new();
    for (database, id) in chosen(&args, &vault, context).await? {
        let mut options = context.config.drill_options(&database.name);
        options.may_use_source |= args.allow_source;
        let server = server(&args, &options, &database, context).await?;
        let intent = Intent::to(Operation::Drill).database(&database.name).backup(&id);
        let drilled = context.audited(&vault, &run, intent, drill(&database, &id, &server, &options, &run)).await;
        if args.notify {
            tell(&database, &id, &drilled, context).await?;
        }
        drills.push(drilled?);
    }
    if let Some(report) = &args.report {
        report.write(&drills)?;
    }
    let text: Vec<String> = drills.iter().map(|kept| page(kept, context.paint())).collect();
    let answer = match drills.as_slice() {
        [one] if !args.each_tier => Answer::new(one, text.concat()),
        many => Answer::new(&many, text.join("\n")),
    };
    Ok(answer.failed_with(failure(&drills)))
}

async fn chosen(args: &Args, vault: &Arc<Vault>, context: &Context) -> Result<Vec<(DatabaseVault, BackupId)>> {
    if let Some(id) = &args.id {
        return Ok(vec![context.find_backup(vault, id).await?]);
    }
    let named = context.named_database()?;
    let mut chosen = Vec::new();
    if args.each_tier {
        let names = match named {
            Some(name) => vec![name],
            None => vault.databases().await?,
        };
        for name in names {
            for id in pick_of_each_tier(vault, &name).await? {
                chosen.push((vault.database(&name).await?, id));
            }
        }
    } else {
        chosen.extend(pick_backup(vault, named.as_ref(), args.tier.as_ref()).await?);
    }
    match chosen.is_empty() {
        false => Ok(chosen),
        true => Err(Error::not_found("there is no complete backup that could be drilled")
            .hint("`lifeboat list` shows what is there; frozen ones want `thaw` first, damaged ones are not drilled")),
    }
}

/// Never the server that was backed up by default: on the worst day it is gone.
async fn server(args: &Args, options: &DrillOptions, database: &DatabaseVault, context: &Context) -> Result<Connector> {
    let configured = context.config.drill_server().cloned().map(Connection::from);
    if args.server.is_none() && configured.is_none() && !options.may_use_source {
        return Err(Error::configuration("no server for drills is configured").hint(
            "say --server postgres://user@host/postgres, or write `server` in [drill]; the server that was backed up is \
             used with --allow-source only",
        ));
    }
    context.server(args.server.as_deref(), configured, &database.name).await
}

fn failure(drills: &[KeptDrill]) -> Option<Error> {
    let failed: Vec<&Drill> = drills.iter().map(|kept| &kept.drill).filter(|drill| !drill.ok).collect();
    let checks = |drill: &Drill| drill.failed().map(|check| check.name.clone()).collect::<Vec<_>>().join(", ");
    let first = failed.first()?;
    Some(Error::verification(match failed.len() {
        1 => format!("the drill with {} failed: {}", first.backup, checks(first)),
        count => format!("{count} of {} drills failed, first {}: {}", drills.len(), first.backup, checks(first)),
    }))
}

async fn tell(database: &DatabaseVault, id: &BackupId, drilled: &Result<KeptDrill>, context: &Context) -> Result<()> {
    let channels = context.channels().await?;
    let alert = alert(context.config.source(), database, id, drilled);
    for (name, error) in channels.tell(&alert).await.failed {
        context.warn(&format!("not told on {name}: {}", Error::message(&error)));
    }
    Ok(())
}

fn alert(source: &str, database: &DatabaseVault, id: &BackupId, drilled: &Result<KeptDrill>) -> Alert {
    let (ok, text, facts) = match drilled {
        Ok(KeptDrill { drill, record }) => {
            let failed: Vec<String> = drill.failed().map(ToString::to_string).collect();
            let text = match drill.ok {
                true => format!("Restored and proven in {}.", drill.restore_ms.map_or("no time".to_owned(), span)),
                false => failed.join("\n"),
            };
            let facts = json!({
                "restore_ms": drill.restore_ms,
                "loss_ms": drill.loss_ms,
                "tables": drill.tables,
                "rows": drill.rows,
                "report": record.object,
            });
            (drill.ok, text, facts)
        }
        Err(error) => (false, error.message(), json!({ "error": error.kind().name() })),
    };
    Alert {
        kind: if ok { "drill_passed" } else { "drill_failed" }.to_owned(),
        severity: if ok { Severity::Info } else { Severity::Critical },
        occasion: None,
        source: source.to_owned(),
        database: Some(database.name.clone()),
        backup: Some(id.clone()),
        title: format!("{}: the restore drill {}", database.name, if ok { "passed" } else { "failed" }),
        text,
        facts,
    }
}

async fn past(args: &Args, vault: &Arc<Vault>, context: &Context) -> Result<Answer> {
    let backup = match &args.id {
        Some(id) => Some(context.find_backup(vault, id).await?),
        None => None,
    };
    let names = match (&backup, context.named_database()?) {
        (Some((database, _)), _) => vec![database.name.clone()],
        (None, Some(named)) => vec![named],
        (None, None) => vault.databases().await?,
    };
    let (mut drills, mut damaged) = (Vec::new(), Vec::new());
    for name in names {
        let (kept, findings) = vault.database(&name).await?.drills().await?;
        drills.extend(kept);
        damaged.extend(findings);
    }
    drills.retain(|kept| backup.as_ref().is_none_or(|(_, id)| kept.drill.backup == *id));
    drills.sort_by_key(|kept| std::cmp::Reverse(kept.drill.at));
    if let Some(report) = &args.report {
        report.write(&drills)?;
    }
    let failed = (!damaged.is_empty()).then(|| {
        let damaged: Vec<String> = damaged.iter().map(|finding| finding.problem.clone()).collect();
        Error::verification(format!("reports of drills are damaged: {}", damaged.join("; ")))
    });
    Ok(Answer::new(&drills, table(&drills, context.paint())).failed_with(failed))
}

fn table(drills: &[KeptDrill], paint: Paint) -> String {
    if drills.is_empty() {
        return "No drills yet. `lifeboat drill` makes the first.\n".to_owned();
    }
    let measured = |ms: Option<u64>| ms.map_or("-".to_owned(), human::duration_ms);
    let row = |KeptDrill { drill, .. }: &KeptDrill| {
        let failed: Vec<&str> = drill.failed().map(|check| check.name.as_str()).collect();
        let verdict =
            if drill.ok { paint.good("passed") } else { paint.bad(&format!("FAILED: {}", failed.join(", "))) };
        let (at, backup) = (human::time(drill.at), drill.backup.to_string());
        vec![at, drill.database.to_string(), backup, measured(drill.restore_ms), measured(drill.loss_ms), verdict]
    };
    let columns = [
        text("DRILLED"),
        text("DATABASE"),
        text("BACKUP"),
        number("RECOVERY"),
        number("POSSIBLE LOSS"),
        text("VERDICT"),
    ];
    paint.table(&columns, drills.iter().map(row).collect())
}

fn page(kept: &KeptDrill, paint: Paint) -> String {
    let drill = &kept.drill;
    let verdict = if drill.ok { paint.good("Drill passed") } else { paint.bad("Drill FAILED") };
    let against = |measured: Option<u64>, target: Option<u64>| {
        let measured = measured.map_or("none".to_owned(), human::duration_ms);
        match target {
            Some(target) => format!("{measured}, of at most {}", human::duration_ms(target)),
            None => measured,
        }
    };
    let facts = [
        ("backup", drill.backup.to_string()),
        ("restored on", drill.server.clone()),
        ("holds", format!("{} in {}", human::counted(drill.rows, "row"), human::counted(drill.tables, "table"))),
        ("recovery time", against(drill.restore_ms, drill.targets.rto_ms)),
        ("possible loss", against(drill.loss_ms, drill.targets.rpo_ms)),
        ("report", kept.record.object.clone()),
    ];
    let mut page = format!("{verdict} {}\n\n{}\n", drill.database, paint.facts(&facts));
    let row = |DrillCheck { name, outcome, detail }: &DrillCheck| {
        let outcome = match outcome {
            CheckOutcome::Passed => paint.good(outcome.as_str()),
            CheckOutcome::Failed => paint.bad(outcome.as_str()),
            CheckOutcome::Tolerated | CheckOutcome::NotReached => paint.warn(outcome.as_str()),
        };
        vec![name.clone(), outcome, detail.clone()]
    };
    page.push_str(
        &paint.table(&[text("CHECK"), text("OUTCOME"), text("FOUND")], drill.checks.iter().map(row).collect()),
    );
    page
}
