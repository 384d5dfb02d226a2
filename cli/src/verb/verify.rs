//! `lifeboat verify`

use std::time::Duration;

use lifeboat::model::{Depth, Finding, Operation};
use lifeboat::ops::VerifyReport;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::verify::verify;
use lifeboat::{Error, Result};

use super::backup::depth;
use crate::answer::Answer;
use crate::args::duration;
use crate::context::Context;
use crate::human;
use crate::paint::Paint;

/// Prove that backups are what they say they are; each verdict is recorded in the vault
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat verify latest                     reads everything
  lifeboat verify latest --depth quick       a second: is everything there?
  lifeboat verify latest --depth restore --server postgres://postgres@staging/postgres

Depths:
  quick     the manifest is authentic; every pack it needs exists, with its size and its
            checksum as the store knows it
  full      and every byte decrypts to what was read; rows and fingerprints add up
  restore   and it restores into a scratch database, where every table is equal row for row

Exit code 8 when a backup did not pass. With --json one report, or an array for several backups.")]
pub struct Args {
    /// The backups: ids, unambiguous beginnings of ids, or `latest`
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// How much to read
    #[arg(long, value_parser = depth(), default_value = "full")]
    depth: Depth,

    /// For --depth restore: where to make the scratch database [default: verify.server, else the backed-up server]
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Stop cleanly after this time: 15m, 2h
    #[arg(long, value_name = "D", value_parser = duration)]
    deadline: Option<Duration>,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let run = context.run(args.deadline)?;
    let vault = context.vault().await?;
    let mut wanted = Vec::new();
    for id in &args.ids {
        wanted.push(context.find_backup(&vault, id).await?);
    }
    let mut reports = Vec::new();
    for (database, id) in &wanted {
        let scratch = context.scratch_server(args.depth, args.server.as_deref(), &database.name).await?;
        let intent = Intent::to(Operation::Verify).database(&database.name).backup(id);
        let verifying = verify(database, id, args.depth, scratch.as_ref(), &run);
        reports.push(context.audited(&vault, &run, intent, verifying).await?);
    }
    Ok(answer(&reports, context.paint()))
}

fn answer(reports: &[VerifyReport], paint: Paint) -> Answer {
    let text: String = reports.iter().map(|report| line(report, paint)).collect();
    let bad = reports.iter().filter(|report| !report.ok).count();
    let failed = (bad > 0).then(|| {
        let error = Error::verification(match reports {
            [one] => format!("{} did not pass", one.id),
            many => format!("{bad} of {} backups did not pass", many.len()),
        });
        error.hint(
            "an older version of the damaged objects, if the bucket keeps versions, or a copy of the vault may still be good; \
             the next backup uploads again what is damaged",
        )
    });
    let answer = match reports {
        [one] => Answer::new(one, text),
        many => Answer::new(&many, text),
    };
    answer.failed_with(failed)
}

fn line(report: &VerifyReport, paint: Paint) -> String {
    let took = human::duration_ms(report.duration_ms);
    if report.ok {
        return format!("{} {}  {} in {took}\n", paint.good("✓"), paint.bold(report.id.as_str()), report.depth);
    }
    let found = human::counted(report.findings.len() as u64, "finding");
    let title =
        format!("{} {}  {}: {found}, in {took}\n", paint.bad("✗"), paint.bold(report.id.as_str()), report.depth);
    title + &findings(&report.findings)
}

/// A line each.
pub fn findings(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("  {}: {}\n", finding.object, finding.problem)).collect()
}
