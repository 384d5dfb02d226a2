//! `lifeboat show`

use jiff::Timestamp;
use lifeboat::Result;
use lifeboat::model::{Skipped, Storage, TableKind, Verdict};
use lifeboat::ops::show::TableDetails;
use lifeboat::ops::{self, BackupDetails, HoldState};

use super::list::verified;
use super::thaw::frost_facts;
use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Show one backup: tables, rows, sizes, fingerprints, what was skipped and why, verdicts, holds
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat show latest
  lifeboat show 20261121T02              any unambiguous beginning of an id
  lifeboat show latest --json | jq '.tables[] | select(.rows == 0)'")]
pub struct Args {
    /// The backup: its id, an unambiguous beginning of it, or `latest`
    id: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let (db, id) = context.find_backup(&vault, &args.id).await?;
    let details = ops::show(&db, &id).await?;
    Ok(Answer::new(&details, page(&details, context.paint())))
}

fn page(details: &BackupDetails, paint: Paint) -> String {
    let mut page = format!("{}\n\n{}", paint.bold(details.backup.id.as_str()), paint.facts(&facts(details, paint)));
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            page.push_str(&format!("\n{}\n{body}", paint.bold(title)));
        }
    };
    section("Tables", tables(&details.tables, paint));
    section("Not in the backup", skipped(&details.skipped));
    section("Verdicts", details.verdicts.iter().map(|v| verdict(v, paint)).collect());
    section("Holds", details.holds.iter().map(hold).collect());
    page
}

fn facts(details: &BackupDetails, paint: Paint) -> Vec<(&'static str, String)> {
    let (backup, source, now) = (&details.backup, &details.source, Timestamp::now());
    let made = format!(
        "{} ({}), in {}",
        human::time(backup.created_at),
        human::ago(backup.created_at, now),
        human::duration_ms(backup.duration_ms)
    );
    let role = if source.is_replica { "replica" } else { "primary" };
    let size = format!(
        "{} read, {} stored, {} of them new",
        human::bytes(backup.plaintext_bytes),
        human::bytes(backup.stored_bytes),
        human::bytes(backup.new_bytes)
    );
    let contents = [
        human::counted(backup.tables, "table"),
        human::counted(backup.rows, "row"),
        human::counted(details.sequences, "sequence"),
        human::counted(details.large_objects, "large object"),
        human::counted(details.schema_objects, "schema object"),
    ];
    let mut facts = vec![
        ("database", format!("{} ({}, {})", backup.database, details.database.name, details.database.encoding)),
        ("made", made),
        ("tier", backup.tier.to_string()),
        ("contents", contents.join(", ")),
        ("size", size),
        ("verified", verified(backup.verified.as_ref(), now, paint)),
        (
            "server",
            format!("PostgreSQL {}, {role}, system {}, at {}", source.server, source.system_identifier, source.lsn),
        ),
    ];
    if let Some(replayed_at) = source.replayed_at {
        facts.push(("data as of", human::time(replayed_at)));
    }
    facts.extend(storage_fact(backup.storage));
    facts.extend(frost_facts(&details.frost));
    if let Some(parent) = &details.parent {
        facts.push(("builds on", parent.to_string()));
    }
    let list = |names: Vec<String>| (!names.is_empty()).then(|| names.join(", "));
    let tags = backup.tags.iter().map(|(key, value)| format!("{key}={value}"));
    let extensions = details.extensions.iter().map(|e| format!("{} {}", e.name, e.version));
    facts.extend(list(tags.collect()).map(|tags| ("tags", tags)));
    facts.extend(list(extensions.collect()).map(|extensions| ("extensions", extensions)));
    facts.extend(list(details.roles.iter().map(|r| r.name.clone()).collect()).map(|roles| ("roles", roles)));
    facts.push(("tools", format!("lifeboat {}, pg_dump {}", details.tools.lifeboat, details.tools.pg_dump)));
    facts
}

/// Of a backup that is kept apart.
pub fn storage_fact(storage: Storage) -> Option<(&'static str, String)> {
    (storage == Storage::Archive).then(|| ("storage", "archive: shared with no other backup".to_owned()))
}

fn tables(tables: &[TableDetails], paint: Paint) -> String {
    if tables.is_empty() {
        return String::new();
    }
    let row = |table: &TableDetails| {
        let name = match table.kind {
            TableKind::LargeObjects => "(large objects)".to_owned(),
            TableKind::Table | TableKind::Partition => table.name.to_string(),
        };
        vec![name, human::count(table.rows), human::bytes(table.plaintext_bytes), table.fingerprint.to_string()]
    };
    let columns = [text("NAME"), number("ROWS"), number("SIZE"), text("FINGERPRINT")];
    paint.table(&columns, tables.iter().map(row).collect())
}

/// `  object: reason`, a line each.
pub fn skipped(skipped: &[Skipped]) -> String {
    skipped.iter().map(|s| format!("  {}: {}\n", s.object, s.reason)).collect()
}

fn verdict(verdict: &Verdict, paint: Paint) -> String {
    let took = human::duration_ms(verdict.duration_ms);
    let word = if verdict.ok { paint.good("ok") } else { paint.bad("FAILED") };
    let line = format!("  {}  {}: {word}, in {took}\n", human::time(verdict.at), verdict.depth);
    let findings = verdict.findings.iter().map(|f| format!("    {}: {}\n", f.object, f.problem));
    std::iter::once(line).chain(findings).collect()
}

fn hold(HoldState { hold, released }: &HoldState) -> String {
    let until = hold.until.map(|until| format!(", until {}", human::time(until))).unwrap_or_default();
    let released = if *released { ", released" } else { "" };
    format!("  {}  {} by {}{until}{released}\n", human::time(hold.at), hold.reason, hold.by)
}
