//! `lifeboat thaw`

use lifeboat::Result;
use lifeboat::model::Operation;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::thaw::{DEFAULT_DAYS, ThawPlan, ThawReport, ThawRequest, refusal, thaw};
use lifeboat::plan::thaw::{Count, Frost, Offer};
use lifeboat::store::ThawTier;

use crate::answer::Answer;
use crate::args::thaw_tier;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Say whether an archived backup can be read, and have what is frozen thawed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat thaw 20261101                          what is frozen, how long it takes, what it costs
  lifeboat thaw 20261101 --tier bulk --days 7     asks the store for it

Backups of a tier with storage = \"archive\" lie in a folder of their own, which the bucket's rules
may freeze (S3 Glacier). What describes them is never frozen. The exit code is 0 when everything
can be read now, 10 while something cannot: ask, wait, and run the restore, verify or pull again.")]
pub struct Args {
    /// The backup: its id, an unambiguous beginning of it, or `latest`
    id: String,

    /// Ask the store for what is frozen, at this speed
    #[arg(long, value_parser = thaw_tier())]
    tier: Option<ThawTier>,

    /// How long it can be read then
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DAYS)]
    days: u32,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let run = context.run(None)?;
    let request = args.tier.map(|tier| ThawRequest::new(tier, args.days)).transpose()?;
    let vault = context.vault().await?;
    let (database, id) = context.find_backup(&vault, &args.id).await?;
    let thawing = thaw(&database, &id, request, args.days, &context.config.prices, &run);
    let report = match args.tier {
        // Asked for nothing, it only looks.
        None => thawing.await?,
        Some(tier) => {
            let intent = Intent::to(Operation::Thaw).database(&database.name).backup(&id).target(tier.as_str());
            context.audited(&vault, &run, intent, thawing).await?
        }
    };
    let failed = refusal(&id, &report.plan.frost);
    Ok(Answer::new(&report, page(&report, context.paint())).failed_with(failed))
}

fn page(report: &ThawReport, paint: Paint) -> String {
    let ThawReport { id, plan, asked_for, .. } = report;
    let mut page = match plan.frost.is_readable() {
        true => format!("{} {id}\n", paint.good("Can be read:")),
        false => format!("{} {id}\n", paint.bad("Cannot be read yet:")),
    };
    if *asked_for > 0 {
        page.push_str(&format!("{} asked for\n", human::counted(*asked_for, "object")));
    }
    page.push_str(&plan_text(plan, paint));
    page
}

/// What is frozen and how it can be thawed; empty when nothing ever was.
pub fn plan_text(plan: &ThawPlan, paint: Paint) -> String {
    let facts = frost_facts(&plan.frost);
    if facts.is_empty() {
        return String::new();
    }
    let mut page = format!("\n{}", paint.facts(&facts));
    if plan.frost.frozen.objects > 0 {
        page.push_str(&format!("\n{}\n{}", paint.bold("Ways to thaw it"), offers(&plan.offers, paint)));
    }
    page
}

/// None when nothing ever was frozen.
pub fn frost_facts(frost: &Frost) -> Vec<(&'static str, String)> {
    let Frost { frozen, underway, thawed, thawed_until, ready_by, .. } = frost;
    let amount =
        |count: &Count| format!("{} in {}", human::bytes(count.stored_bytes), human::counted(count.objects, "object"));
    let and = |amount: String, word: &str, at: &Option<jiff::Timestamp>| match at {
        Some(at) => format!("{amount}, {word} {}", human::time(*at)),
        None => amount,
    };
    let mut facts = Vec::new();
    if frozen.objects > 0 {
        facts.push(("frozen", amount(frozen)));
    }
    if underway.objects > 0 {
        facts.push(("being thawed", and(amount(underway), "ready at the latest at", ready_by)));
    }
    if thawed.objects > 0 {
        facts.push(("thawed", and(amount(thawed), "until", thawed_until)));
    }
    facts
}

fn offers(offers: &[Offer], paint: Paint) -> String {
    let row = |offer: &Offer| {
        let at_most = human::duration_ms(u64::from(offer.at_most_minutes) * 60_000);
        let days = human::counted(offer.days.into(), "day");
        vec![offer.tier.to_string(), at_most, days, format!("{} {}", offer.cost, offer.currency)]
    };
    let columns = [text("SPEED"), number("TAKES AT MOST"), number("READABLE FOR"), number("COSTS")];
    paint.table(&columns, offers.iter().map(row).collect())
}
