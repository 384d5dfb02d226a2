//! The daily digest: when it is due, and what it says. Values in, values out.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::alerts::PATIENCE;
use super::health::{DatabaseHealth, HealthFinding, Measures, State};
use crate::spell;

/// The last digest that somebody set out to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastDigest {
    pub day: Date,
    pub at: Timestamp,
    /// Whether it arrived.
    pub is_sent: bool,
}

/// The day whose digest is to be sent now: today's, once `hour` has come where people are, unless it was sent or somebody is at
/// it. Days that were missed are past.
pub fn due(hour: Time, zone: &TimeZone, last: Option<LastDigest>, now: Timestamp) -> Option<Date> {
    let here = now.to_zoned(zone.clone());
    let today = here.date();
    if here.time() < hour {
        return None;
    }
    match last {
        Some(last) if last.day > today => None,
        Some(last) if last.day == today => {
            let waited = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
            (!last.is_sent && waited >= PATIENCE).then_some(today)
        }
        _ => Some(today),
    }
}

/// One line of how all is, and a page.
pub fn text(databases: &[DatabaseHealth]) -> (String, String) {
    let count = |state: State| databases.iter().filter(|health| health.state == state).count();
    let (warning, critical) = (count(State::Warning), count(State::Critical));
    let title = match (databases.len(), warning + critical) {
        (0, _) => "no database is backed up".to_owned(),
        (1, 0) => "the backups of the database are healthy".to_owned(),
        (all, 0) => format!("the backups of all {all} databases are healthy"),
        (all, bad) => format!("the backups of {bad} of {all} databases need somebody ({critical} critical)"),
    };
    let sections: Vec<String> = databases.iter().map(section).collect();
    (title, sections.join("\n"))
}

fn section(health: &DatabaseHealth) -> String {
    let state = match health.state {
        State::Healthy => "healthy",
        State::Warning => "WARNING",
        State::Critical => "CRITICAL",
    };
    let mut section = format!("{}: {state}\n", health.database);
    for line in facts(&health.measures) {
        section.push_str(&format!("  {line}\n"));
    }
    for HealthFinding { severity, problem, advice, .. } in &health.findings {
        section.push_str(&format!("  {severity}: {problem}\n    {advice}\n"));
    }
    section
}

fn facts(measures: &Measures) -> Vec<String> {
    let ago = |seconds: u64| format!("{} ago", spell::duration(Duration::from_secs(seconds)));
    let mut facts = vec![match measures.backups {
        0 => "no backup".to_owned(),
        count => format!("{count} backups, the newest {}", ago(measures.backup_age_s)),
    }];
    if measures.backups > 0 {
        facts.push(match measures.verified_at {
            Some(_) => format!("newest verified {}", ago(measures.verified_age_s)),
            None => "never verified".to_owned(),
        });
    }
    facts.push(match measures.restored_age_s {
        Some(seconds) => format!("last restored and compared {}", ago(seconds)),
        None => "never restored and compared".to_owned(),
    });
    if let (Some(rows), Some(bytes)) = (measures.rows, measures.plaintext_bytes) {
        facts.push(format!("holds {rows} rows, {:.1} MB", bytes as f64 / 1e6));
    }
    facts.extend(measures.success_rate.map(|rate| format!("{:.1} % of the jobs of 30 days succeeded", rate * 100.0)));
    facts
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::Severity;
    use crate::plan::health::Rule;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn eight() -> Time {
        Time::constant(8, 0, 0, 0)
    }

    fn vienna() -> TimeZone {
        TimeZone::get("Europe/Vienna").unwrap()
    }

    #[test]
    fn it_is_due_once_the_hour_has_come_where_people_are() {
        let due = |now: &str| due(eight(), &vienna(), None, at(now)).map(|day| day.to_string());
        assert_eq!(due("2026-11-28T06:59:59Z"), None);
        assert_eq!(due("2026-11-28T07:00:00Z").as_deref(), Some("2026-11-28"));
        assert_eq!(due("2026-11-28T22:59:00Z").as_deref(), Some("2026-11-28"), "late is better than never");
        assert_eq!(due("2026-11-28T23:30:00Z"), None, "there it is the next day already");
        assert_eq!(due("2026-07-01T06:00:00Z").as_deref(), Some("2026-07-01"), "in summer");
    }

    #[test]
    fn what_was_sent_is_not_sent_again_and_what_got_lost_is() {
        let last =
            |is_sent| Some(LastDigest { day: "2026-11-28".parse().unwrap(), at: at("2026-11-28T07:00:00Z"), is_sent });
        let due = |is_sent, now: &str| due(eight(), &vienna(), last(is_sent), at(now)).map(|day| day.to_string());
        assert_eq!(due(true, "2026-11-28T12:00:00Z"), None);
        assert_eq!(due(true, "2026-11-29T07:00:00Z").as_deref(), Some("2026-11-29"));
        assert_eq!(due(false, "2026-11-28T07:09:00Z"), None, "somebody is at it");
        assert_eq!(due(false, "2026-11-28T07:10:00Z").as_deref(), Some("2026-11-28"));
        assert_eq!(due(true, "2026-11-27T12:00:00Z"), None, "a clock that went back");
    }

    proptest! {
        #[test]
        fn who_looks_every_hour_gets_one_digest_a_day_through_a_year(minute in 0..60_i64, hour in 0..24_i8) {
            let (zone, hour) = (vienna(), Time::constant(hour, 30, 0, 0));
            let begin = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(minute);
            let (mut last, mut days) = (None, Vec::new());
            for hours in 0..365 * 24 {
                let now = begin + SignedDuration::from_hours(hours);
                if let Some(day) = due(hour, &zone, last, now) {
                    last = Some(LastDigest { day, at: now, is_sent: true });
                    days.push(day);
                }
            }
            prop_assert!((364..=366).contains(&days.len()) || hour.hour() == 23, "{}", days.len());
            prop_assert!(days.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn the_digest_says_how_each_database_is_and_what_to_do() {
        let measures = Measures {
            backup_at: Some(at("2026-11-28T02:00:00Z")),
            verified_at: Some(at("2026-11-28T02:00:00Z")),
            backup_age_s: 6 * 3600,
            verified_age_s: 6 * 3600,
            restored_age_s: None,
            backups: 30,
            duration_ms: Some(1000),
            rows: Some(12_345),
            plaintext_bytes: Some(67_800_000),
            success_rate: Some(0.995),
        };
        let finding = HealthFinding {
            rule: Rule::RestoreAge,
            severity: Severity::Warning,
            about: String::new(),
            problem: "no backup was ever restored".to_owned(),
            advice: "drill one".to_owned(),
            facts: json!({}),
        };
        let health = |name: &str, state, findings| DatabaseHealth {
            database: name.parse().unwrap(),
            state,
            measures: measures.clone(),
            findings,
        };
        let none = Measures { backups: 0, verified_at: None, rows: None, success_rate: None, ..measures.clone() };
        let databases = [
            health("crm", State::Healthy, vec![]),
            health("shop", State::Warning, vec![finding]),
            DatabaseHealth { measures: none, ..health("wiki", State::Critical, vec![]) },
        ];
        let (title, page) = text(&databases);
        insta::assert_snapshot!(format!("{title}\n\n{page}"));
        assert_eq!(text(&databases[..1]).0, "the backups of the database are healthy");
    }
}
