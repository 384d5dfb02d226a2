//! Backups of many years, cleaned up as they come.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use super::*;

const BERLIN: &str = "Europe/Berlin";

struct Vault {
    policy: Policy,
    zone: TimeZone,
    live: Vec<Candidate>,
}

impl Vault {
    fn new(policy: Policy, zone: &str) -> Self {
        Self { policy, zone: TimeZone::get(zone).unwrap(), live: Vec::new() }
    }

    /// Each backup is verified, and after it everything that may go is gone.
    fn back_up(&mut self, backups: impl IntoIterator<Item = Candidate>, now: Timestamp) -> RetentionPlan {
        self.live.extend(backups);
        let plan = retention_plan(&self.live, &self.policy, now, &self.zone);
        let gone: HashSet<_> = plan.expiring().map(|decision| decision.backup.clone()).collect();
        self.live.retain(|candidate| !gone.contains(&candidate.id));
        plan
    }
}

/// What each rule keeps: how many, and the oldest and the newest of it.
fn kept_set(plan: &RetentionPlan, zone: &TimeZone) -> String {
    let mut by_period: BTreeMap<Period, Vec<String>> = BTreeMap::new();
    let mut oldest = None;
    for decision in plan.kept() {
        let Outcome::Keep(reasons) = &decision.outcome else { continue };
        for reason in reasons {
            match reason {
                Keep::NewestOf { period, bucket, .. } => by_period.entry(*period).or_default().push(bucket.to_string()),
                Keep::Oldest { .. } => oldest = Some(decision.at.to_zoned(zone.clone())),
                _ => {}
            }
        }
    }
    let mut text =
        format!("{}: {} backups\n", plan.now.to_zoned(zone.clone()).strftime("%F %H:%M"), plan.kept().count());
    for (period, buckets) in by_period {
        let shown = match period {
            Period::Hour | Period::Day => format!("{} … {}", buckets[0], buckets[buckets.len() - 1]),
            _ => buckets.join(" "),
        };
        writeln!(text, "  {:2} {period:5} {shown}", buckets.len()).unwrap();
    }
    if let Some(oldest) = oldest {
        writeln!(text, "   + oldest {}", oldest.strftime("%F %H:%M")).unwrap();
    }
    text
}

/// Ten years of a backup each hour, and a cleanup each evening: what each of these found, oldest first.
fn ten_years(mut each: impl FnMut(&RetentionPlan)) {
    let mut vault = Vault::new(Preset::Gfs.policy(), BERLIN);
    let begin = time("2025-12-31T23:00:00Z");
    for day in 0..3652 {
        let midnight = begin + (24 * day).hours();
        let evening = midnight + 23.hours() + 10.minutes();
        each(&vault.back_up((0..24).map(|hour| backup("hourly", midnight + hour.hours())), evening));
    }
}

#[test]
fn ten_years_of_hourly_backups_thin_out_as_gfs_promises() {
    let shown = ["2026-01-02", "2026-02-01", "2027-01-01", "2028-02-29", "2030-10-28", "2033-01-02", "2035-12-31"];
    let zone = TimeZone::get(BERLIN).unwrap();
    let mut text = String::new();
    ten_years(|plan| {
        let day = plan.now.to_zoned(zone.clone()).strftime("%F").to_string();
        if shown.contains(&day.as_str()) {
            text += &kept_set(plan, &zone);
        }
    });
    insta::assert_snapshot!(text, @r#"
    2026-01-02 23:10: 48 backups
      48 hour  2026-01-02T23+01 … 2026-01-01T00+01
       2 day   2026-01-02 … 2026-01-01
       1 week  2026-W01
       1 month 2026-01
       1 year  2026
       + oldest 2026-01-01 00:00
    2026-02-01 23:10: 77 backups
      48 hour  2026-02-01T23+01 … 2026-01-31T00+01
      30 day   2026-02-01 … 2026-01-03
       5 week  2026-W05 2026-W04 2026-W03 2026-W02 2026-W01
       2 month 2026-02 2026-01
       1 year  2026
       + oldest 2026-01-01 00:00
    2027-01-01 23:10: 94 backups
      48 hour  2027-01-01T23+01 … 2026-12-31T00+01
      30 day   2027-01-01 … 2026-12-03
      12 week  2026-W53 2026-W52 2026-W51 2026-W50 2026-W49 2026-W48 2026-W47 2026-W46 2026-W45 2026-W44 2026-W43 2026-W42
      12 month 2027-01 2026-12 2026-11 2026-10 2026-09 2026-08 2026-07 2026-06 2026-05 2026-04 2026-03 2026-02
       2 year  2027 2026
       + oldest 2026-01-01 00:00
    2028-02-29 23:10: 95 backups
      48 hour  2028-02-29T23+01 … 2028-02-28T00+01
      30 day   2028-02-29 … 2028-01-31
      12 week  2028-W09 2028-W08 2028-W07 2028-W06 2028-W05 2028-W04 2028-W03 2028-W02 2028-W01 2027-W52 2027-W51 2027-W50
      12 month 2028-02 2028-01 2027-12 2027-11 2027-10 2027-09 2027-08 2027-07 2027-06 2027-05 2027-04 2027-03
       3 year  2028 2027 2026
       + oldest 2026-01-01 00:00
    2030-10-28 23:10: 96 backups
      48 hour  2030-10-28T23+01 … 2030-10-27T01+02
      30 day   2030-10-28 … 2030-09-29
      12 week  2030-W44 2030-W43 2030-W42 2030-W41 2030-W40 2030-W39 2030-W38 2030-W37 2030-W36 2030-W35 2030-W34 2030-W33
      12 month 2030-10 2030-09 2030-08 2030-07 2030-06 2030-05 2030-04 2030-03 2030-02 2030-01 2029-12 2029-11
       5 year  2030 2029 2028 2027 2026
       + oldest 2026-01-01 00:00
    2033-01-02 23:10: 97 backups
      48 hour  2033-01-02T23+01 … 2033-01-01T00+01
      30 day   2033-01-02 … 2032-12-04
      12 week  2032-W53 2032-W52 2032-W51 2032-W50 2032-W49 2032-W48 2032-W47 2032-W46 2032-W45 2032-W44 2032-W43 2032-W42
      12 month 2033-01 2032-12 2032-11 2032-10 2032-09 2032-08 2032-07 2032-06 2032-05 2032-04 2032-03 2032-02
       7 year  2033 2032 2031 2030 2029 2028 2027
    2035-12-31 23:10: 99 backups
      48 hour  2035-12-31T23+01 … 2035-12-30T00+01
      30 day   2035-12-31 … 2035-12-02
      12 week  2036-W01 2035-W52 2035-W51 2035-W50 2035-W49 2035-W48 2035-W47 2035-W46 2035-W45 2035-W44 2035-W43 2035-W42
      12 month 2035-12 2035-11 2035-10 2035-09 2035-08 2035-07 2035-06 2035-05 2035-04 2035-03 2035-02 2035-01
       7 year  2035 2034 2033 2032 2031 2030 2029
    "#);
}

/// What is kept on a day does not depend on how often a cleanup ran before.
#[test]
fn the_history_thins_out_evenly_however_often_it_is_cleaned_up() {
    for zone in ["UTC", "America/Santiago"] {
        let rules = TierRules { keep_daily: 7, keep_weekly: 5, keep_monthly: 12, keep_yearly: 3, ..TierRules::NONE };
        let mut vault = Vault::new(policy("daily", rules), zone);
        let mut all = Vec::new();
        let begin = time("2024-01-01T04:00:00Z");
        for day in 0..(5 * 366) {
            let now = begin + (24 * day).hours();
            all.push(backup("daily", now));
            vault.back_up([backup("daily", now)], now);
            if day % 50 == 0 {
                let at_once = retention_plan(&all, &vault.policy, now, &vault.zone);
                let stepwise: Vec<_> = vault.live.iter().rev().map(|candidate| &candidate.id).collect();
                assert_eq!(at_once.kept().map(|kept| &kept.backup).collect::<Vec<_>>(), stepwise, "{now}");
            }
        }
        let days: Vec<Timestamp> = vault.live.iter().map(|candidate| candidate.at).collect();
        assert!((20..=27).contains(&days.len()), "{}", days.len());
        for (older, newer) in days.iter().zip(&days[1..]) {
            let in_days = |from: Timestamp, to: Timestamp| to.duration_since(from).as_hours() / 24;
            let (gap, age) = (in_days(*older, *newer), in_days(*newer, days[days.len() - 1]));
            let most = match age {
                0..6 => 1,
                6..22 => 7,
                22..300 => 31,
                _ => 366,
            };
            assert!(gap <= most, "{older} to {newer}: {gap} days");
        }
    }
}

fn colour(period: Option<Period>) -> &'static str {
    match period {
        Some(Period::Hour) => "#4477aa",
        Some(Period::Day) => "#228833",
        Some(Period::Week) => "#aa8800",
        Some(Period::Month) => "#ee6677",
        Some(Period::Year) => "#aa3377",
        None => "#666666",
    }
}

/// A row for each of some evenings, a stroke for each backup that stays, further left the older it is: an hour to ten years,
/// by the logarithm.
#[test]
#[ignore = "draws docs/pictures/retention-gfs.svg"]
fn draw_the_picture() {
    const AGES: [(f64, &str); 6] = [
        (1.0, "an hour"),
        (24.0, "a day"),
        (168.0, "a week"),
        (730.5, "a month"),
        (8766.0, "a year"),
        (87_660.0, "10 years"),
    ];
    let x = |hours: f64| 860.0 - 136.0 * hours.max(0.5).log10();
    let rows = [
        (1, "1 day"),
        (7, "1 week"),
        (31, "1 month"),
        (365, "1 year"),
        (1096, "3 years"),
        (2192, "6 years"),
        (3652, "10 years"),
    ];
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 940 330\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"940\" height=\"330\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"15\">What gfs keeps of a backup each hour, after …</text>\n",
    );
    for (hours, label) in AGES {
        let x = x(hours);
        writeln!(svg, "<path d=\"M{x:.0} 44V290\" stroke=\"#ddd\"/><text x=\"{x:.0}\" y=\"308\" text-anchor=\"middle\" fill=\"#666\">{label} ago</text>").unwrap();
    }
    for (number, period) in Period::ALL.into_iter().map(Some).chain([None]).enumerate() {
        let (x, label) = (430 + 80 * number, period.map_or("oldest", Period::as_str));
        let colour = colour(period);
        writeln!(svg, "<text x=\"{x}\" y=\"26\" fill=\"{colour}\">{label}</text>").unwrap();
    }
    let mut evening = 0;
    ten_years(|plan| {
        evening += 1;
        let Some(row) = rows.iter().position(|(day, _)| *day == evening) else { return };
        let y = 54 + 34 * row;
        writeln!(svg, "<text x=\"16\" y=\"{}\">{}</text>", y + 15, rows[row].1).unwrap();
        for decision in plan.kept() {
            let Outcome::Keep(reasons) = &decision.outcome else { continue };
            let finest = reasons.iter().find_map(|why| match why {
                Keep::NewestOf { period, .. } => Some(*period),
                _ => None,
            });
            let colour = colour(finest);
            let x = x(plan.now.duration_since(decision.at).as_secs_f64() / 3600.0);
            writeln!(svg, "<path d=\"M{x:.1} {y}v22\" stroke=\"{colour}\" stroke-width=\"2\"/>").unwrap();
        }
        writeln!(
            svg,
            "<text x=\"924\" y=\"{}\" text-anchor=\"end\" fill=\"#666\">{}</text>",
            y + 15,
            plan.kept().count()
        )
        .unwrap();
    });
    svg += "</svg>\n";
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures/retention-gfs.svg");
    std::fs::create_dir_all(std::path::Path::new(picture).parent().unwrap()).unwrap();
    std::fs::write(picture, svg).unwrap();
}
