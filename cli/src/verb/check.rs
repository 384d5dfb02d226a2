//! `lifeboat check`

use lifeboat::config::open::Connection;
use lifeboat::postgres::check::{CheckReport, RowCounts, TableRows, check};
use lifeboat::postgres::preflight::{Finding, Severity};
use lifeboat::{Error, Result};
use serde::Serialize;

use super::doctor::findings_page;
use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Check the health of a live database: row counts, constraints, orphans, indexes, sequences
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat check
  lifeboat check postgres://postgres@staging/shop_copy
  lifeboat check --estimate --json

Reads only. Exit code 8 when something is broken: rows whose foreign key points nowhere, an
invalid unique index, a sequence behind its column.")]
pub struct Args {
    /// The database to check [default: the one that is backed up]
    url: Option<String>,

    /// Take row counts from the planner's statistics instead of counting
    #[arg(long)]
    estimate: bool,
}

/// As `check --json` shows it.
#[derive(Serialize)]
struct Health<'a> {
    ok: bool,
    #[serde(flatten)]
    report: &'a CheckReport,
    findings: &'a [Finding],
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let connection = match &args.url {
        Some(url) => Connection::parse(url),
        None => context.selected()?.1,
    };
    let run = context.run(None)?;
    let server = context.connect(&connection).await?;
    let counts = if args.estimate { RowCounts::Estimated } else { RowCounts::Exact };
    let report = check(&server, counts, &run.cancel).await?;

    let findings = report.findings();
    let broken = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let failed = (broken > 0).then(|| {
        let things = if broken == 1 { "one thing is".to_owned() } else { format!("{broken} things are") };
        Error::verification(format!("{things} broken in {}", report.database))
    });
    let health = Health { ok: failed.is_none(), report: &report, findings: &findings };
    Ok(Answer::new(&health, page(&report, &findings, context.paint())).failed_with(failed))
}

fn page(report: &CheckReport, findings: &[Finding], paint: Paint) -> String {
    let facts = [("database", report.database.clone()), ("server", format!("PostgreSQL {}", report.server_version))];
    let mut page = format!("{}\n", paint.facts(&facts));
    if !report.tables.is_empty() {
        page.push_str(&paint.table(&[text("TABLE"), number("ROWS")], report.tables.iter().map(row).collect()));
    }
    page.push_str(&findings_page(findings, paint));
    if findings.is_empty() {
        page.push_str(&format!("\n{} Nothing is wrong.\n", paint.good("✓")));
    }
    page
}

fn row(table: &TableRows) -> Vec<String> {
    let rows = match (table.rows, table.exact) {
        (Some(rows), true) => human::count(rows),
        (Some(rows), false) => format!("about {}", human::count(rows)),
        (None, _) => "?".to_owned(),
    };
    vec![table.table.to_string(), rows]
}
