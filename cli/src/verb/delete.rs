//! `lifeboat delete` and `lifeboat undelete`

use lifeboat::Result;
use lifeboat::model::Operation;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::{self, DeletionReport};
use lifeboat::vault::Motive;

use crate::answer::Answer;
use crate::context::Context;
use crate::human;

/// Delete backups, after a grace time in which `undelete` calls them back
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat delete 20261121T020000Z-daily-k7q2
  lifeboat delete 20261121T020000Z-daily-k7q2 --reason 'holds data of a customer who left'

The backup is no longer listed (list --all shows it). `cleanup` deletes it once the grace time is
over, with whatever no other backup needs. A backup that is held is not deleted: exit code 7. The
newest verified backup and the only one want --yes: exit code 10. A backup that is damaged can be
deleted by its whole id.")]
pub struct Args {
    /// The backups: ids, or unambiguous beginnings of ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// Why, for whoever looks later
    #[arg(long, value_name = "R", default_value = "deleted by hand")]
    reason: String,

    /// Even the newest verified backup, or the only one
    #[arg(long)]
    yes: bool,
}

/// Call backups back that were deleted or let go, while their grace time lasts
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat list --all
  lifeboat undelete 20261121T020000Z-daily-k7q2

Exit code 7 when it is too late. What no rule wants is let go again by the next cleanup: `hold`
keeps it, and calls it back, too.")]
pub struct UndeleteArgs {
    /// The backups, by their whole ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// Why, for whoever looks later
    #[arg(long, value_name = "R", default_value = "called back by hand")]
    reason: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let (vault, run) = (context.vault().await?, context.run(None)?);
    let motive = Motive { reason: &args.reason, by: &run.actor };
    let mut wanted = Vec::new();
    for id in &args.ids {
        wanted.push(context.find_backup(&vault, id).await?);
    }
    let mut reports = Vec::new();
    for (db, id) in &wanted {
        let intent = Intent::to(Operation::Delete).database(&db.name).backup(id).target(&args.reason);
        reports.push(context.audited(&vault, &run, intent, ops::delete(db, id, args.yes, motive)).await?);
    }
    Ok(answer(&reports))
}

pub async fn run_undelete(args: UndeleteArgs, context: &Context) -> Result<Answer> {
    let (vault, run) = (context.vault().await?, context.run(None)?);
    let motive = Motive { reason: &args.reason, by: &run.actor };
    let mut reports = Vec::new();
    for id in &args.ids {
        let (db, id) = context.find_backup(&vault, id).await?;
        let intent = Intent::to(Operation::Undelete).database(&db.name).backup(&id).target(&args.reason);
        reports.push(context.audited(&vault, &run, intent, ops::undelete(&db, &id, motive)).await?);
    }
    Ok(answer(&reports))
}

fn answer(reports: &[DeletionReport]) -> Answer {
    let line = |report: &DeletionReport| match report.until {
        Some(until) => {
            format!("{} deleted; `lifeboat undelete` calls it back until {}\n", report.id, human::time(until))
        }
        None => format!("{} is there\n", report.id),
    };
    Answer::new(&reports, reports.iter().map(line).collect::<String>())
}
