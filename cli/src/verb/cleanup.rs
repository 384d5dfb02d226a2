//! `lifeboat cleanup`

use jiff::Timestamp;
use lifeboat::Error;
use lifeboat::Result;
use lifeboat::model::Operation;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::cleanup::{Confirmed, LockedPacks, SweepReport, Waiting};
use lifeboat::ops::{self, CleanupReport};
use lifeboat::plan::retention::{Decision, Outcome};

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Column, Paint, text};

/// Let go of backups that no rule wants any more, and free what nobody needs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat cleanup --dry-run        every backup: whether it stays, and why
  lifeboat cleanup                  daily, from cron
  lifeboat cleanup --database shop --yes

A backup that no rule wants is no longer listed (list --all shows it), and can be called back with
`undelete` until the vault's grace time is over, 72 hours unless `init` said otherwise. Only then
is it deleted, with whatever no other backup needs. What is held or is the newest verified backup
stays whatever the rules say. docs/retention.md tells more.

A cleanup that would let more than half of a database's backups go (retention.max_share_percent)
does nothing and ends with exit code 10 until --yes says that this is meant. When anything in the
vault cannot be read or believed, nothing is deleted: exit code 8.")]
pub struct Args {
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,

    /// Let go of as many backups as the rules say, however many they are
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,

    /// Stop cleanly after this time: 15m, 2h. The next cleanup goes on
    #[arg(long, value_name = "D", value_parser = crate::args::duration)]
    deadline: Option<std::time::Duration>,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let run = context.run(args.deadline)?;
    let vault = context.vault().await?;
    let names = match context.named_database()? {
        Some(named) => vec![named],
        None => vault.databases().await?,
    };
    let confirmed = if args.yes { Confirmed::Whatever } else { Confirmed::Nothing };
    let options = context.config.cleanup_options(args.dry_run, confirmed);
    let (mut reports, mut failed) = (Vec::new(), None);
    for name in names {
        let cleaning = async { ops::cleanup(&vault.database(&name).await?, &options, &run).await };
        let cleaned = match options.dry_run {
            true => cleaning.await,
            false => {
                let intent = Intent::to(Operation::Cleanup).database(&name);
                context.audited(&vault, &run, intent, cleaning).await
            }
        };
        let refused = match cleaned {
            Ok(report) => {
                let refused = report.refusal().filter(|_| !report.dry_run);
                reports.push(report);
                refused
            }
            Err(error) => Some(error.context(&name)),
        };
        // One database's trouble is not the others'; of several the last is the exit code, and the others are told.
        if let Some(earlier) = refused.and_then(|error| failed.replace(error)) {
            context.warn(&earlier.message());
        }
    }
    match (reports.is_empty(), failed) {
        (true, Some(error)) => Err(error),
        (_, failed) => Ok(answer(&reports, context.paint(), failed)),
    }
}

fn answer(reports: &[CleanupReport], paint: Paint, failed: Option<Error>) -> Answer {
    let texts: Vec<String> = reports.iter().map(|report| told(report, paint)).collect();
    let text =
        if reports.is_empty() { "Nothing to clean up: the vault is empty.\n".to_owned() } else { texts.join("\n") };
    Answer::new(&reports, text).failed_with(failed)
}

fn told(report: &CleanupReport, paint: Paint) -> String {
    let (kept, expiring) = (report.plan.kept().count() as u64, report.plan.expiring().count() as u64);
    let stays = format!("{} stay{}", human::counted(kept, "backup"), if kept == 1 { "s" } else { "" });
    let verb = match (report.dry_run, &report.refused) {
        (true, _) => "would be let go",
        (false, Some(_)) => "would be let go, and nothing was done",
        (false, None) => {
            if expiring == 1 {
                "was let go"
            } else {
                "were let go"
            }
        }
    };
    let mut text = format!("{}: {stays}, {} {verb}\n", paint.bold(report.database.as_str()), human::count(expiring));
    // In full where nothing was done; who cleans up every night reads what has changed.
    let shown = |decision: &&Decision| report.dry_run || !matches!(decision.outcome, Outcome::Keep(_));
    let shown: Vec<&Decision> = report.plan.decisions.iter().filter(shown).collect();
    if !shown.is_empty() {
        text += &table(&shown, paint);
    }
    if let Some(refused) = report.refused.as_ref().filter(|_| report.dry_run) {
        text += &format!("{} {refused}: `lifeboat cleanup` would do nothing without --yes\n", paint.warn("warning:"));
    }
    text + &swept(&report.sweep, report.plan.now)
}

fn table(decisions: &[&Decision], paint: Paint) -> String {
    let columns: [Column; 5] = [text("ID"), text("TIER"), text("MADE"), text(""), text("WHY")];
    let now = Timestamp::now();
    let row = |decision: &&Decision| {
        let outcome = decision.outcome.to_string();
        let (what, why) = outcome.split_once(": ").unwrap_or((&outcome, ""));
        let what = match decision.outcome {
            Outcome::Keep(_) => paint.good(what),
            Outcome::Expire(_) => paint.bad(what),
            Outcome::Leaving(_) => paint.dim(what),
        };
        vec![decision.backup.to_string(), decision.tier.to_string(), human::ago(decision.at, now), what, why.to_owned()]
    };
    paint.table(&columns, decisions.iter().map(row).collect())
}

fn swept(sweep: &SweepReport, now: Timestamp) -> String {
    let mut text = String::new();
    for id in &sweep.called_back {
        text += &format!("{id} stays after all: it is held, or wanted again\n");
    }
    if !sweep.deleted_backups.is_empty() || sweep.deleted_packs > 0 {
        text += &format!(
            "deleted for good: {} and {}; {} freed\n",
            human::counted(sweep.deleted_backups.len() as u64, "backup"),
            human::counted(sweep.deleted_packs, "object"),
            human::bytes(sweep.freed_bytes)
        );
    }
    // Of a dry run: a sweep does it.
    let (due, waiting): (Vec<&Waiting>, Vec<&Waiting>) = sweep.waiting.iter().partition(|waiting| waiting.until <= now);
    if !due.is_empty() {
        let due = human::counted(due.len() as u64, "backup");
        text += &format!("{due} would be deleted for good, with what nothing else needs\n");
    }
    if let Some(first) = waiting.iter().map(|waiting| waiting.until).min() {
        let waiting = human::counted(waiting.len() as u64, "backup");
        text += &format!(
            "{waiting} on the way out can be called back (undelete), the first until {}\n",
            human::time(first)
        );
    }
    let released = |last| if last == Timestamp::MAX { "they are released".to_owned() } else { human::time(last) };
    if let Some(last) = sweep.locked.iter().map(|locked| locked.until).max() {
        let locked = human::counted(sweep.locked.len() as u64, "backup");
        text += &format!("{locked} would be deleted, but the store locks them until {}\n", released(last));
    }
    if let LockedPacks { packs, stored_bytes, until: Some(last) } = sweep.locked_packs {
        text += &format!(
            "{} ({}) that nobody needs stay: the store locks them until {}\n",
            human::counted(packs, "object"),
            human::bytes(stored_bytes),
            released(last)
        );
    }
    if sweep.is_partial {
        text += "time ran out before everything was looked at: the next cleanup goes on\n";
    }
    text
}
