//! `lifeboat hold` and `lifeboat release`

use jiff::Timestamp;
use lifeboat::model::{Hold, Operation};
use lifeboat::ops::HoldState;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::holds;
use lifeboat::vault::Motive;
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::args::parsed;
use crate::context::Context;
use crate::human;

/// Hold a backup: nothing deletes it until the hold is released or over
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat hold latest --reason 'before the migration' --until 30d
  lifeboat hold 20261121T020000Z-daily-k7q2 --reason 'case 4711: legal hold'

Without --until it holds for ever. A backup may have several holds; it stays until the last is
released or over. A backup on its way out is called back; exit code 7 when it is too late.")]
pub struct Args {
    /// The backup: an id, an unambiguous beginning of one, or `latest`
    #[arg(value_name = "ID")]
    id: String,

    /// Why, for whoever looks later
    #[arg(long, value_name = "R", value_parser = said)]
    reason: String,

    /// Until when: a time, a date (its first moment, UTC), or how long from now (30d)
    #[arg(long, value_name = "T", value_parser = end)]
    until: Option<Timestamp>,
}

/// Release a backup's holds: from then on the rules count again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat release 20261121T020000Z-daily-k7q2
  lifeboat release 20261121T020000Z-daily-k7q2 --hold 9f3a01c7 --reason 'case 4711 is closed'")]
pub struct ReleaseArgs {
    /// The backup: an id, an unambiguous beginning of one, or `latest`
    #[arg(value_name = "ID")]
    id: String,

    /// Only the hold of this name, as `hold` and `show` tell it; otherwise all
    #[arg(long, value_name = "NAME")]
    hold: Option<String>,

    /// Why, for whoever looks later
    #[arg(long, value_name = "R", default_value = "released by hand")]
    reason: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let (vault, run) = (context.vault().await?, context.run(None)?);
    let (db, id) = context.find_backup(&vault, &args.id).await?;
    let motive = Motive { reason: &args.reason, by: &run.actor };
    let intent = Intent::to(Operation::Hold).database(&db.name).backup(&id).target(&args.reason);
    let hold = context.audited(&vault, &run, intent, holds::hold(&db, &id, args.until, motive)).await?;
    let Hold { backup, hold: name, until, .. } = &hold;
    let text = match until {
        Some(until) => format!("{backup} is held until {} (hold {name})\n", human::time(*until)),
        None => format!("{backup} is held until it is released (hold {name})\n"),
    };
    Ok(Answer::new(&HoldState { hold: hold.clone(), released: false }, text))
}

pub async fn run_release(args: ReleaseArgs, context: &Context) -> Result<Answer> {
    let (vault, run) = (context.vault().await?, context.run(None)?);
    let (db, id) = context.find_backup(&vault, &args.id).await?;
    let motive = Motive { reason: &args.reason, by: &run.actor };
    let intent = Intent::to(Operation::Release).database(&db.name).backup(&id).target(&args.reason);
    let releasing = holds::release(&db, &id, args.hold.as_deref(), motive);
    let released = context.audited(&vault, &run, intent, releasing).await?;
    let text = format!("{id}: {} released\n", human::counted(released.len() as u64, "hold"));
    Ok(Answer::new(&released, text))
}

fn said(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why: somebody will ask".to_owned()),
        said => Ok(said.to_owned()),
    }
}

fn end(text: &str) -> Result<Timestamp, String> {
    if let Ok(from_now) = lifeboat::config::parse_duration(text) {
        let end = Timestamp::now().checked_add(from_now);
        return parsed(end.map_err(|_| Error::usage("that is beyond the end of time")));
    }
    crate::args::moment(text)
        .map_err(|_| "write 2026-11-21T02:00:00Z, 2026-11-21, or how long from now: 36h, 30d".to_owned())
}
