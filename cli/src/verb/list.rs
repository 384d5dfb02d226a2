//! `lifeboat list`

use jiff::Timestamp;
use lifeboat::model::{Purpose, Storage, Tier};
use lifeboat::ops::{self, BackupSummary, LastVerdict, ListFilter, Listing};
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::args::{key_value, moment, parsed};
use crate::context::Context;
use crate::human;
use crate::paint::{Column, Paint, number, text};

/// List backups, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat list                          every backup of every database in the vault
  lifeboat list --database shop --since 7d
  lifeboat list --tier daily --tag release=1.4 --json

VERIFIED is the deepest verification that was good, unless one failed since.
A record that is damaged does not hide the others: it is told on standard error, and the exit
code is 8.")]
pub struct Args {
    /// Only backups of this tier
    #[arg(long, value_name = "T", value_parser = |text: &str| parsed(text.parse::<Tier>()))]
    tier: Option<Tier>,

    /// Only backups with this tag; may be repeated
    #[arg(long = "tag", value_name = "K=V", value_parser = key_value)]
    tags: Vec<(String, String)>,

    /// Only backups made since then: a time, a date, or how long ago (36h, 30d)
    #[arg(long, value_name = "T", value_parser = moment)]
    since: Option<Timestamp>,

    /// Deleted backups that are still there, too
    #[arg(long)]
    all: bool,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let Args { tier, tags, since, all } = args;
    let filter = ListFilter { tier, tags: tags.into_iter().collect(), since, all };
    let Listing { backups, problems } = ops::list(&vault, context.named_database()?.as_ref(), &filter).await?;

    for problem in &problems {
        context.warn(&format!("{}: {}", problem.object, problem.problem));
    }
    let failed = (!problems.is_empty()).then(|| {
        let things = human::counted(problems.len() as u64, "record");
        Error::verification(format!("{things} of the vault cannot be trusted")).hint(
            "`lifeboat verify` finds out which backups are hurt; a versioned bucket may still have the good objects",
        )
    });
    Ok(Answer::new(&backups, table(&backups, context.paint())).failed_with(failed))
}

fn table(backups: &[BackupSummary], paint: Paint) -> String {
    if backups.is_empty() {
        return "No backups. `lifeboat backup` makes one.\n".to_owned();
    }
    let several = backups.iter().any(|backup| backup.database != backups[0].database);
    let notes: Vec<String> = backups.iter().map(notes).collect();
    let noted = notes.iter().any(|note| !note.is_empty());

    let mut columns: Vec<Column> = vec![text("ID"), text("TIER"), text("MADE"), number("ROWS"), number("SIZE")];
    columns.extend([number("STORED"), number("NEW"), text("VERIFIED")]);
    if several {
        columns.insert(1, text("DATABASE"));
    }
    if noted {
        columns.push(text("NOTE"));
    }
    let now = Timestamp::now();
    let row = |(backup, note): (&BackupSummary, String)| {
        let mut row = vec![
            backup.id.to_string(),
            backup.tier.to_string(),
            human::ago(backup.created_at, now),
            human::count(backup.rows),
            human::bytes(backup.plaintext_bytes),
            human::bytes(backup.stored_bytes),
            human::bytes(backup.new_bytes),
            verified(backup.verified.as_ref(), now, paint),
        ];
        if several {
            row.insert(1, backup.database.to_string());
        }
        if noted {
            row.push(note);
        }
        row
    };
    paint.table(&columns, backups.iter().zip(notes).map(row).collect())
}

/// `full, 2 hours ago`
pub fn verified(verdict: Option<&LastVerdict>, now: Timestamp, paint: Paint) -> String {
    match verdict {
        None => paint.dim("never"),
        Some(LastVerdict { depth, at, ok: true }) => paint.good(&format!("{depth}, {}", human::ago(*at, now))),
        Some(LastVerdict { depth, at, ok: false }) => paint.bad(&format!("FAILED {depth}, {}", human::ago(*at, now))),
    }
}

fn notes(backup: &BackupSummary) -> String {
    let purpose = match backup.purpose {
        Purpose::Backup => None,
        Purpose::Safety => Some("safety"),
        Purpose::Partial => Some("partial"),
    };
    // Who called the tier that has been told already.
    let purpose = purpose.filter(|purpose| *purpose != backup.tier.as_str());
    let archived = (backup.storage == Storage::Archive).then_some("archived");
    let held = backup.held.then_some("held");
    let deleted = backup.deleted.then_some("deleted");
    [purpose, archived, held, deleted].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
