//! `lifeboat notify test`

use clap::Subcommand;
use lifeboat::notify::{Alert, Severity};
use lifeboat::{Error, Result};
use serde::Serialize;
use serde_json::json;

use crate::answer::Answer;
use crate::context::Context;
use crate::human;

/// Try the ways in which people are told
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat notify test                   a word on every channel of [notify]

Exit code 3 when one of them does not take it, with the reason. docs/watch.md has the channels.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Send a test alert to every channel, whatever its least severity
    Test,
}

#[derive(Debug, Serialize)]
struct Tried {
    sent: Vec<String>,
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    channel: String,
    problem: String,
    hint: Option<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let What::Test = args.what;
    let delivery = context.channels().await?.tell(&test_alert(context)).await;
    let failed = delivery.failed.iter().map(|(channel, error)| Failed {
        channel: channel.clone(),
        problem: error.message(),
        hint: error.hint_text().map(str::to_owned),
    });
    let tried = Tried { sent: delivery.sent, failed: failed.collect() };
    let paint = context.paint();
    let sent = tried.sent.iter().map(|name| format!("{} {name}\n", paint.good("✓")));
    let lost = tried.failed.iter().map(|failed| {
        let hint = failed.hint.as_ref().map(|hint| format!("\n    {hint}")).unwrap_or_default();
        format!("{} {}: {}{hint}\n", paint.bad("✗"), failed.channel, failed.problem)
    });
    let text: String = sent.chain(lost).collect();
    let error = (!tried.failed.is_empty()).then(|| {
        let count = human::counted(tried.failed.len() as u64, "channel");
        Error::configuration(format!("{count} did not take the test alert"))
    });
    Ok(Answer::new(&tried, text).failed_with(error))
}

/// As severe as can be, so that every channel wants it.
fn test_alert(context: &Context) -> Alert {
    Alert {
        kind: "test".to_owned(),
        severity: Severity::Critical,
        occasion: None,
        source: context.config.source().to_owned(),
        database: None,
        backup: None,
        title: "this is only a test".to_owned(),
        text: "Somebody ran `lifeboat notify test`. Nothing is wrong, and nothing is to be done.".to_owned(),
        facts: json!({}),
    }
}
