//! `lifeboat cost`

use jiff::tz::TimeZone;
use lifeboat::ops::{self, DatabaseCost, Trial, WhatIf};
use lifeboat::plan::cost::{Amount, ClassCost, Cost, Part, RestoreCost, TierCost};
use lifeboat::plan::retention::Preset;
use lifeboat::{Error, Result};

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Show what backups cost a month: per tier and storage class, and under another policy
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat cost                          every database of the vault
  lifeboat cost --what-if simple         and what would stay, and cost, with that preset
  lifeboat cost --database shop --json | jq '.[0].total.monthly'

Prices are those of [prices] in the configuration; without it, estimates: S3's list prices in
us-east-1 in 2025. docs/cost.md says what is counted and what is not.
A backup that cannot be read is told on standard error; the exit code is 8.")]
pub struct Args {
    /// Also under another policy: a preset, or `configured`
    #[arg(long, value_name = "PRESET", value_parser = policy)]
    what_if: Option<Policy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Configured,
    Preset(Preset),
}

fn policy(text: &str) -> Result<Policy, String> {
    match text {
        "configured" => Ok(Policy::Configured),
        preset => preset
            .parse()
            .map(Policy::Preset)
            .map_err(|_| format!("{text:?} is not a policy: use standard, simple, gfs or configured")),
    }
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    let config = &context.config;
    let trial = args.what_if.map(|policy| Trial {
        name: match policy {
            Policy::Configured => "configured".to_owned(),
            Policy::Preset(preset) => preset.to_string(),
        },
        policy: match policy {
            Policy::Configured => config.policy(),
            Policy::Preset(preset) => preset.policy(),
        },
        zone: config.time_zone.clone().unwrap_or(TimeZone::UTC),
    });
    let all = ops::cost(&vault, context.named_database()?.as_ref(), &config.prices, trial.as_ref()).await?;
    let mut problems = 0;
    for problem in all.iter().flat_map(|of_one| &of_one.problems) {
        context.warn(&format!("{}: {}", problem.object, problem.problem));
        problems += 1;
    }
    let failed = (problems > 0).then(|| {
        Error::verification(format!(
            "{} could not be read: what they need counts as needed by none",
            human::counted(problems, "backup")
        ))
        .hint("`lifeboat verify` says what is wrong with it")
    });
    Ok(Answer::new(&all, page(&all, context.paint())).failed_with(failed))
}

fn page(all: &[DatabaseCost], paint: Paint) -> String {
    if all.is_empty() {
        return "No databases. `lifeboat backup` makes the first backup of one.\n".to_owned();
    }
    let section = |of_one: &DatabaseCost| section(of_one, paint);
    all.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn section(of_one: &DatabaseCost, paint: Paint) -> String {
    let cost = &of_one.cost;
    let mut page = format!("{}\n\n{}", paint.bold(of_one.database.as_str()), paint.facts(&facts(of_one)));
    page.push_str(&format!("\n{}\n{}", paint.bold("What for"), uses(cost, paint)));
    page.push_str(&format!("\n{}\n{}", paint.bold("Stored as"), classes(&cost.classes, paint)));
    if let Some(what_if) = &of_one.what_if {
        page.push_str(&format!("\n{}\n{}", paint.bold("What if"), paint.facts(&trial(what_if))));
    }
    page
}

fn facts(of_one: &DatabaseCost) -> Vec<(&'static str, String)> {
    let Cost { currency, total, yearly, restore, .. } = &of_one.cost;
    let mut facts = vec![
        ("stored", human::bytes(total.stored_bytes)),
        ("a month", money(total.monthly, currency)),
        ("a year", money(*yearly, currency)),
    ];
    facts.extend(restore.as_ref().map(|restore| ("a restore", restore_text(restore, currency))));
    facts
}

fn restore_text(restore: &RestoreCost, currency: &str) -> String {
    let RestoreCost { backup, frozen_bytes, same_region, elsewhere, .. } = restore;
    let mut text = format!(
        "{} in the store's region, {} elsewhere: the newest, {backup}",
        money(*same_region, currency),
        money(*elsewhere, currency)
    );
    if *frozen_bytes > 0 {
        text.push_str(&format!("; {} of it have to be thawed first", human::bytes(*frozen_bytes)));
    }
    text
}

fn uses(cost: &Cost, paint: Paint) -> String {
    let tier = |tier: &TierCost| {
        let backups = human::count(tier.backups);
        vec![tier.tier.to_string(), backups, human::bytes(tier.stored_bytes), tier.monthly.to_string()]
    };
    let other = |name: &str, part: &Part| {
        vec![name.to_owned(), String::new(), human::bytes(part.stored_bytes), part.monthly.to_string()]
    };
    let mut rows: Vec<Vec<String>> = cost.tiers.iter().map(tier).collect();
    rows.push(other("(records)", &cost.records));
    rows.push(other("(needed by none)", &cost.unneeded));
    paint.table(&[text("TIER"), number("BACKUPS"), number("STORED"), number("A MONTH")], rows)
}

fn classes(classes: &[ClassCost], paint: Paint) -> String {
    let row = |ClassCost { class, part }: &ClassCost| {
        let objects = human::count(part.objects);
        vec![class.to_string(), objects, human::bytes(part.stored_bytes), part.monthly.to_string()]
    };
    let columns = [text("CLASS"), number("OBJECTS"), number("STORED"), number("A MONTH")];
    paint.table(&columns, classes.iter().map(row).collect())
}

fn trial(what_if: &WhatIf) -> Vec<(&'static str, String)> {
    let WhatIf { policy, backups, expired, cost } = what_if;
    let total = cost.total;
    vec![
        ("policy", policy.clone()),
        ("backups", format!("{} stay, {} go", human::count(*backups), human::count(*expired))),
        ("stored", human::bytes(total.stored_bytes)),
        ("a month", money(total.monthly, &cost.currency)),
    ]
}

fn money(amount: Amount, currency: &str) -> String {
    format!("{amount} {currency}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_go_by_the_names_of_presets() {
        assert_eq!(policy("simple"), Ok(Policy::Preset(Preset::Simple)));
        assert_eq!(policy("configured"), Ok(Policy::Configured));
        assert!(policy("forever").unwrap_err().contains("gfs"));
    }
}
