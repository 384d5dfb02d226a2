//! `lifeboat pull`, and what it shares with `lifeboat push`

use std::sync::Arc;
use std::time::Duration;

use lifeboat::model::{Depth, Operation};
use lifeboat::ops::audit::Intent;
use lifeboat::ops::{self, CopyOptions, CopyReport};
use lifeboat::store::ObjectStore;
use lifeboat::vault::Vault;
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::args::duration;
use crate::context::Context;
use crate::human;
use crate::paint::Paint;

/// Copy backups out of the vault, to a folder that is a complete vault with them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat pull latest --to /backups/shop           s3://… → /backups/shop
  lifeboat --vault /backups/shop list
  lifeboat --vault /backups/shop restore latest

Direction: from the vault that --vault or the configuration names, to the folder. `push` is the other
way. Only what the backups need is copied, and of that only what the folder does not have. The folder
opens with the same master key. Run again, a pull that was cut off copies what is missing. What was
pulled stays until a cleanup of the folder lets it go:
  lifeboat --vault /backups/shop --config local.toml cleanup")]
pub struct Args {
    #[command(flatten)]
    what: What,

    /// Where to: a folder, new, empty or with earlier copies; or s3://bucket/prefix
    #[arg(long, value_name = "FOLDER")]
    to: String,
}

/// What both directions take.
#[derive(Debug, clap::Args)]
pub struct What {
    /// The backups: ids, unambiguous beginnings of ids, or `latest`
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// How to verify each copy: quick (all is there), full (reads it back) or none
    #[arg(long, value_name = "DEPTH", value_parser = ["quick", "full", "none"], default_value = "quick")]
    verify: String,

    /// Stop cleanly after this time: 15m, 2h
    #[arg(long, value_name = "D", value_parser = duration)]
    deadline: Option<Duration>,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let place = context.store_at(&args.to).await?;
    copy_all(&vault, place, &args.what, Operation::Pull, context).await
}

/// From `source` to `place`, which becomes the same vault if nothing is there.
pub async fn copy_all(
    source: &Arc<Vault>,
    place: Arc<dyn ObjectStore>,
    what: &What,
    operation: Operation,
    context: &Context,
) -> Result<Answer> {
    let run = context.run(what.deadline)?;
    let verify = match what.verify.as_str() {
        "none" => None,
        depth => Some(depth.parse::<Depth>()?),
    };
    let mut wanted = Vec::new();
    for id in &what.ids {
        wanted.push(context.find_backup(source, id).await?);
    }
    if place.location() == source.store.location() {
        return Err(Error::usage(format!("{} cannot be copied to itself", place.location()))
            .hint("`pull` copies from the vault to a folder, `push` from a folder into the vault"));
    }
    let replica = source.open_replica(place).await?;
    let mut reports = Vec::new();
    for (db, id) in &wanted {
        let target = db.open_replica(&replica).await?;
        let intent = |other: &Vault| Intent::to(operation).database(&db.name).backup(id).target(other.store.location());
        // Both tell: that rows were given away here, and where they came from there.
        let copying = ops::copy(db, &target, id, CopyOptions { verify }, &run);
        let copying = context.audited(&replica, &run, intent(source), copying);
        reports.push(context.audited(source, &run, intent(&replica), copying).await?);
    }
    Ok(answer(&reports, context.paint()))
}

fn answer(reports: &[CopyReport], paint: Paint) -> Answer {
    let text: String = reports.iter().map(|report| line(report, paint)).collect();
    let bad: Vec<&str> = reports.iter().filter(|report| is_bad(report)).map(|report| report.id.as_str()).collect();
    let failed = (!bad.is_empty()).then(|| {
        Error::verification(format!("the copy did not pass: {}", bad.join(", ")))
            .hint("copy it to another place; `lifeboat verify` tells whether the original passes")
    });
    Answer::new(&reports, text).failed_with(failed)
}

fn is_bad(report: &CopyReport) -> bool {
    report.verified.as_ref().is_some_and(|verified| !verified.ok)
}

fn line(report: &CopyReport, paint: Paint) -> String {
    let mark = if is_bad(report) { paint.bad("✗") } else { paint.good("✓") };
    let packs = |count, bytes| format!("{}, {}", human::counted(count, "pack"), human::bytes(bytes));
    let done = match (report.was_there, report.present_packs) {
        (true, _) => format!("was in {} already", report.to),
        (false, 0) => format!("copied to {}: {}", report.to, packs(report.copied_packs, report.copied_bytes)),
        (false, present) => format!(
            "copied to {}: {}; {} were there",
            report.to,
            packs(report.copied_packs, report.copied_bytes),
            packs(present, report.present_bytes)
        ),
    };
    let verified = report.verified.as_ref().map_or("not verified".to_owned(), |verified| {
        let found = human::counted(verified.findings.len() as u64, "finding");
        if verified.ok { format!("{}: good", verified.depth) } else { format!("{}: {found}", verified.depth) }
    });
    let took = human::duration_ms(report.duration_ms);
    let findings = report.verified.as_ref().map(|verified| super::verify::findings(&verified.findings));
    format!("{mark} {}  {done}; {verified}, in {took}\n", paint.bold(report.id.as_str()))
        + &findings.unwrap_or_default()
}
