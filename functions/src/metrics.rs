//! Metrics in CloudWatch's embedded format: a line of the log each, which CloudWatch turns into metrics by itself.

use std::io::Write;

use jiff::Timestamp;
use lifeboat::model::{DatabaseName, Tier};
use serde_json::{Value, json};

const NAMESPACE: &str = "Lifeboat";

/// One number.
pub type Metric = (&'static str, Unit, f64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Milliseconds,
    Seconds,
    PerSecond,
    Ratio,
    Percent,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Milliseconds => "Milliseconds",
            Self::Seconds => "Seconds",
            Self::PerSecond => "Count/Second",
            Self::Ratio => "None",
            Self::Percent => "Percent",
        }
    }
}

/// What a metric is about. It counts for the whole, too: for the stack, and for the database of a tier.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    pub database: Option<&'a DatabaseName>,
    pub tier: Option<&'a Tier>,
}

/// Writes the metrics to the log.
pub fn emit(stack: &str, scope: Scope<'_>, metrics: &[Metric]) {
    let line = line(stack, scope, metrics, Timestamp::now());
    // Nothing can be done about a closed standard output.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn line(stack: &str, scope: Scope<'_>, metrics: &[Metric], at: Timestamp) -> Value {
    let named = [
        ("Stack", Some(stack.to_owned())),
        ("Database", scope.database.map(ToString::to_string)),
        ("Tier", scope.tier.map(ToString::to_string)),
    ];
    let known: Vec<(&str, String)> = named.into_iter().map_while(|(name, value)| Some((name, value?))).collect();
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let sets: Vec<&[&str]> = (1..=names.len()).map(|count| &names[..count]).collect();
    let definitions: Vec<Value> =
        metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()})).collect();
    let mut line = json!({"_aws": {
        "Timestamp": at.as_millisecond(),
        "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": definitions}],
    }});
    for (name, value) in known {
        line[name] = value.into();
    }
    for (name, _, value) in metrics {
        line[*name] = (*value).into();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_counts_for_the_whole_and_for_the_part() {
        let (database, tier) = ("shop".parse().unwrap(), "daily".parse().unwrap());
        let metrics = [("Rows", Unit::Count, 3.0), ("Duration", Unit::Milliseconds, 12.5)];
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let line = line("acme", Scope { database: Some(&database), tier: Some(&tier) }, &metrics, at);
        let directive = json!({
            "Namespace": "Lifeboat",
            "Dimensions": [["Stack"], ["Stack", "Database"], ["Stack", "Database", "Tier"]],
            "Metrics": [{"Name": "Rows", "Unit": "Count"}, {"Name": "Duration", "Unit": "Milliseconds"}],
        });
        let expected = json!({
            "_aws": {"Timestamp": 1_700_000_000_000_i64, "CloudWatchMetrics": [directive]},
            "Stack": "acme", "Database": "shop", "Tier": "daily", "Rows": 3.0, "Duration": 12.5,
        });
        assert_eq!(line, expected);
    }
}
