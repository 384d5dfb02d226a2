//! `lifeboat audit`

use std::collections::HashSet;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use lifeboat::model::{AuditEntry, Deed, DeedStatus, Operation};
use lifeboat::ops::audit::{AuditTrail, audit, csv};
use lifeboat::plan::audit::{AuditFilter, AuditFinding};
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Show who did what to the vault, and prove that nothing was changed or taken out of that record
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat audit --since 30d
  lifeboat audit --type restore --type delete
  lifeboat audit --verify                   monthly: is the trail whole?
  lifeboat audit --csv > audit.csv          Timestamp, Type, Status, Size, Location, Verified, Actor

Every operation that makes, proves, reads, holds or lets go of backups leaves an entry; what lets
go of something or gives rows away leaves one before it begins, too. Entries are numbered, written
once, signed by the vault's own key, and each names the bytes of the one before it: docs/audit.md.
With --verify the exit code is 8 when something was changed, removed or moved.")]
pub struct Args {
    /// Only what was done since: a time, a date, or how long ago (36h, 30d)
    #[arg(long, value_name = "T", value_parser = crate::args::moment)]
    since: Option<Timestamp>,

    /// Only operations of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_parser = operation())]
    types: Vec<Operation>,

    /// Look whether the whole trail is as it was written
    #[arg(long)]
    verify: bool,

    /// Print comma-separated values
    #[arg(long, conflicts_with_all = ["json", "verify"])]
    csv: bool,
}

fn operation() -> impl TypedValueParser<Value = Operation> {
    PossibleValuesParser::new(Operation::ALL.map(Operation::as_str)).try_map(|text| text.parse::<Operation>())
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let filter = AuditFilter { since: args.since, operations: args.types.into_iter().collect() };
    let trail = audit(&vault, &filter, args.verify).await?;
    let text = if args.csv { csv(&trail) } else { page(&trail, context.paint()) };
    let failed = trail.findings.iter().flatten().next().map(|first| {
        let count = trail.findings.iter().flatten().count() as u64;
        Error::verification(format!(
            "the audit trail has {}, first: {}",
            human::counted(count, "finding"),
            first.problem
        ))
        .hint("docs/audit.md says what each finding means, and what to do")
    });
    Ok(Answer::new(&trail, text).failed_with(failed))
}

fn page(trail: &AuditTrail, paint: Paint) -> String {
    let mut page = match trail.entries.is_empty() {
        true => "No entries.\n".to_owned(),
        false => table(trail, paint),
    };
    match trail.findings.as_deref() {
        None => {}
        Some([]) => page.push_str(&format!("\n{} the trail is whole\n", paint.good("✓"))),
        Some(findings) => {
            let line =
                |finding: &AuditFinding| format!("{} {}: {}\n", paint.bad("✗"), finding.kind.as_str(), finding.problem);
            page.push_str(&format!("\n{}", findings.iter().map(line).collect::<String>()));
        }
    }
    page
}

fn table(trail: &AuditTrail, paint: Paint) -> String {
    let unended: HashSet<u64> = trail.unended.iter().copied().collect();
    let row = |entry: &AuditEntry| {
        let Deed { operation, database, backup, target, actor, error, .. } = &entry.deed;
        let status = match (entry.deed.status, error) {
            (DeedStatus::Announced, _) if unended.contains(&entry.number) => paint.warn("announced, no end"),
            (DeedStatus::Announced, _) => paint.dim("announced"),
            (DeedStatus::Done, _) => paint.good("done"),
            (DeedStatus::Failed, error) => paint.bad(&format!("failed: {}", error.as_deref().unwrap_or("unknown"))),
        };
        let of = [database.as_ref().map(ToString::to_string), backup.as_ref().map(ToString::to_string), target.clone()];
        let what: Vec<String> = of.into_iter().flatten().collect();
        vec![
            entry.number.to_string(),
            human::time(entry.at),
            operation.to_string(),
            status,
            what.join(", "),
            actor.clone(),
        ]
    };
    let columns = [number("NO"), text("WHEN"), text("TYPE"), text("STATUS"), text("WHAT"), text("WHO")];
    paint.table(&columns, trail.entries.iter().map(row).collect())
}
