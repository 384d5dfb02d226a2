//! `lifeboat stats`

use lifeboat::ops::{self, DatabaseStats};
use lifeboat::plan::stats::{BackupSpace, Growth, Stats, TierSpace};
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Show what backups take up: per tier and backup, what they share, and how it grows
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat stats                         every database of the vault
  lifeboat stats --database shop --json | jq '.[0].total.dedup_ratio'

STORED is what a backup needs, OWN what nobody else needs: so much becomes free once it is
deleted and swept. Backups share packs, so the whole is less than the sum.
A backup that cannot be read is told on standard error and not counted; the exit code is 8.")]
pub struct Args {}

pub async fn run(_: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let all = ops::stats(&vault, context.named_database()?.as_ref()).await?;
    let mut problems = 0;
    for problem in all.iter().flat_map(|of_one| &of_one.problems) {
        context.warn(&format!("{}: {}", problem.object, problem.problem));
        problems += 1;
    }
    let failed = (problems > 0).then(|| {
        Error::verification(format!("{} could not be read, and is not counted", human::counted(problems, "backup")))
            .hint("`lifeboat verify` says what is wrong with it")
    });
    Ok(Answer::new(&all, page(&all, context.paint())).failed_with(failed))
}

fn page(all: &[DatabaseStats], paint: Paint) -> String {
    if all.is_empty() {
        return "No databases. `lifeboat backup` makes the first backup of one.\n".to_owned();
    }
    let section = |of_one: &DatabaseStats| section(of_one, paint);
    all.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn section(of_one: &DatabaseStats, paint: Paint) -> String {
    let Stats { tiers, backups, .. } = &of_one.stats;
    let mut page = format!("{}\n\n{}", paint.bold(of_one.database.as_str()), paint.facts(&facts(&of_one.stats)));
    if !backups.is_empty() {
        page.push_str(&format!("\n{}\n{}", paint.bold("Tiers"), tier_table(tiers, paint)));
        page.push_str(&format!("\n{}\n{}", paint.bold("Backups"), backup_table(backups, paint)));
    }
    page
}

fn facts(stats: &Stats) -> Vec<(&'static str, String)> {
    let total = &stats.total;
    let times = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.1} ×"));
    let mut facts = vec![
        ("backups", human::count(total.backups)),
        ("rows", human::bytes(total.plaintext_bytes)),
        ("stored", human::bytes(total.stored_bytes)),
        ("compression", times(total.compression_ratio)),
        ("sharing", times(total.dedup_ratio)),
    ];
    facts.extend(stats.growth.as_ref().map(|growth| ("growth", growth_text(growth))));
    facts
}

fn growth_text(growth: &Growth) -> String {
    let per_day = |bytes: f64| {
        let sign = if bytes < 0.0 { "−" } else { "" };
        format!("{sign}{} a day", human::bytes(bytes.abs() as u64))
    };
    format!(
        "rows {}, backups {}, by {} in {:.0} days; rows in 30 days: {}",
        per_day(growth.plaintext_bytes_per_day),
        per_day(growth.new_bytes_per_day),
        human::counted(growth.backups, "backup"),
        growth.days,
        human::bytes(growth.plaintext_bytes_in_30_days)
    )
}

fn tier_table(tiers: &[TierSpace], paint: Paint) -> String {
    let row = |tier: &TierSpace| {
        vec![
            tier.tier.to_string(),
            human::count(tier.backups),
            human::bytes(tier.plaintext_bytes),
            human::bytes(tier.stored_bytes),
            human::bytes(tier.unique_bytes),
            human::bytes(tier.shared_bytes),
        ]
    };
    let columns = [text("TIER"), number("BACKUPS"), number("ROWS"), number("STORED"), number("OWN"), number("SHARED")];
    paint.table(&columns, tiers.iter().map(row).collect())
}

fn backup_table(backups: &[BackupSpace], paint: Paint) -> String {
    let row = |backup: &BackupSpace| {
        vec![
            backup.id.to_string(),
            human::bytes(backup.plaintext_bytes),
            human::bytes(backup.stored_bytes),
            human::bytes(backup.unique_bytes),
            human::bytes(backup.shared_bytes),
            human::bytes(backup.new_bytes),
        ]
    };
    let columns = [text("ID"), number("ROWS"), number("STORED"), number("OWN"), number("SHARED"), number("NEW")];
    paint.table(&columns, backups.iter().map(row).collect())
}
