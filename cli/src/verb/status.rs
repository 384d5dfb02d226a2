//! `lifeboat status`

use clap::ValueEnum;
use lifeboat::model::{DatabaseName, Severity};
use lifeboat::ops::watch::{self, Telling, Told};
use lifeboat::ops::{self, Status};
use lifeboat::plan::health::{DatabaseHealth, HealthFinding, Measures, State, open_metrics};
use lifeboat::vault::Vault;
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::Paint;

/// Say how the backups are: what is late, unproven, shrinking or broken, and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat status                        every database of the vault, and of the configuration
  lifeboat status --notify --quiet       hourly, from cron: tells people when something comes, stays, goes
  lifeboat status --prometheus > /var/lib/node_exporter/lifeboat.prom

Looks at the vault alone, never at a database. Thresholds are in [watch], docs/watch.md has every
rule. Exit code 8 when something is critical, or already at a warning with --fail-on warning.")]
pub struct Args {
    /// From which state on the exit code is 8
    #[arg(long, value_name = "STATE", value_enum, default_value_t)]
    fail_on: FailOn,

    /// Tell people on the channels of [notify]: what is new, what is still there, what is over
    #[arg(long)]
    notify: bool,

    /// Print OpenMetrics text
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Warning,
    #[default]
    Critical,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let config = &context.config;
    let expected: Vec<DatabaseName> = config.databases.keys().cloned().collect();
    let only = context.named_database()?;
    let status = ops::status(&vault, only.as_ref(), &expected, |name| config.health_policy(name)).await?;
    if args.notify {
        tell(&vault, &status, context).await?;
    }
    let limit = match args.fail_on {
        FailOn::Warning => State::Warning,
        FailOn::Critical => State::Critical,
    };
    let failed = (status.state >= limit).then(|| {
        let bad = status.databases.iter().filter(|health| health.state >= limit).count() as u64;
        Error::verification(format!("the backups of {} need somebody", human::counted(bad, "database")))
    });
    let text = match args.prometheus {
        true => open_metrics(&status.databases),
        false => page(&status, context.paint()),
    };
    Ok(Answer::new(&status, text).failed_with(failed))
}

/// Each finding once when it comes, by schedule while it stays, once when it is over: run it hourly, from cron.
async fn tell(vault: &Vault, status: &Status, context: &Context) -> Result<()> {
    let channels = context.channels().await?;
    let telling = Telling {
        source: context.config.source(),
        repeats: context.config.repeats(),
        channels: &channels,
        digest: context.config.digesting(),
    };
    let heard = watch::tell(vault, status, &telling, &context.run(None)?).await?;
    for (name, error) in heard.digest.map(|delivery| delivery.failed).unwrap_or_default() {
        context.warn(&format!("no digest on {name}: {}", Error::message(&error)));
    }
    for Told { occasion, title, sent, failed, .. } in heard.told {
        tracing::info!(title, occasion = occasion.as_str(), channels = sent.join(", "), "told");
        failed.iter().for_each(|failed| context.warn(&format!("not told on {failed}")));
    }
    Ok(())
}

fn page(status: &Status, paint: Paint) -> String {
    if status.databases.is_empty() {
        return "No databases. `lifeboat backup` makes the first backup of one.\n".to_owned();
    }
    let sections: Vec<String> = status.databases.iter().map(|health| section(health, paint)).collect();
    sections.join("\n")
}

fn section(health: &DatabaseHealth, paint: Paint) -> String {
    let state = match health.state {
        State::Healthy => paint.good("healthy"),
        State::Warning => paint.warn("WARNING"),
        State::Critical => paint.bad("CRITICAL"),
    };
    let mut page =
        format!("{}  {state}\n\n{}", paint.bold(health.database.as_str()), paint.facts(&facts(&health.measures)));
    if !health.findings.is_empty() {
        let findings: Vec<String> = health.findings.iter().map(|finding| finding_text(finding, paint)).collect();
        page.push_str(&format!("\n{}", findings.concat()));
    }
    page
}

fn facts(measures: &Measures) -> Vec<(&'static str, String)> {
    let Measures {
        backup_age_s,
        verified_age_s,
        restored_age_s,
        backups,
        duration_ms,
        rows,
        plaintext_bytes,
        success_rate,
        ..
    } = measures;
    let ago = |seconds: u64| format!("{} ago", human::whole_seconds(seconds));
    let mut facts = vec![("backups", human::count(*backups))];
    if *backups > 0 {
        facts.push(("newest", ago(*backup_age_s)));
        facts.push(("newest verified", ago(*verified_age_s)));
    }
    facts.push(("last restored", restored_age_s.map_or("never".to_owned(), ago)));
    if let (Some(rows), Some(bytes), Some(ms)) = (rows, plaintext_bytes, duration_ms) {
        let contents = format!("{}, {}", human::counted(*rows, "row"), human::bytes(*bytes));
        facts.push(("holds", format!("{contents}, in {}", human::duration_ms(*ms))));
    }
    facts.extend(success_rate.map(|rate| ("jobs that succeeded", format!("{:.1} % in 30 days", rate * 100.0))));
    facts
}

fn finding_text(finding: &HealthFinding, paint: Paint) -> String {
    let HealthFinding { rule, severity, problem, advice, .. } = finding;
    let word = match severity {
        Severity::Critical => paint.bad("critical"),
        Severity::Warning => paint.warn("warning"),
        Severity::Info => paint.dim("info"),
    };
    format!("{word}  {problem}  {}\n    {advice}\n", paint.dim(&format!("({rule})")))
}
