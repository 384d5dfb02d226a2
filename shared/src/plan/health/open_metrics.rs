//! Health as OpenMetrics text, for Prometheus and whatever reads the same.

use std::fmt::Write;

use super::{DatabaseHealth, State};

/// One metric: its name, what it is, and its value for a database that has one.
type Gauge = (&'static str, &'static str, fn(&DatabaseHealth) -> Option<f64>);

const GAUGES: [Gauge; 9] = [
    ("lifeboat_health", "0 healthy, 1 warning, 2 critical.", |h| Some(number(h.state))),
    ("lifeboat_backup_age_seconds", "Since the newest complete backup.", |h| Some(h.measures.backup_age_s as f64)),
    ("lifeboat_verified_age_seconds", "Since the newest verified backup.", |h| Some(h.measures.verified_age_s as f64)),
    ("lifeboat_restored_age_seconds", "Since a backup was last restored and compared.", |h| {
        h.measures.restored_age_s.map(|age| age as f64)
    }),
    ("lifeboat_backups", "Live, complete backups.", |h| Some(h.measures.backups as f64)),
    ("lifeboat_backup_duration_seconds", "Of the newest backup.", |h| {
        h.measures.duration_ms.map(|ms| ms as f64 / 1000.0)
    }),
    ("lifeboat_backup_rows", "In the newest backup.", |h| h.measures.rows.map(|rows| rows as f64)),
    ("lifeboat_backup_plaintext_bytes", "Of rows in the newest backup.", |h| {
        h.measures.plaintext_bytes.map(|bytes| bytes as f64)
    }),
    ("lifeboat_success_ratio", "Backup jobs of 30 days that left a backup.", |h| h.measures.success_rate),
];

fn number(state: State) -> f64 {
    match state {
        State::Healthy => 0.0,
        State::Warning => 1.0,
        State::Critical => 2.0,
    }
}

/// Every measure of every database, and each finding as a series of its own.
pub fn open_metrics(databases: &[DatabaseHealth]) -> String {
    let mut text = String::new();
    for (name, help, value) in GAUGES {
        head(&mut text, name, help);
        for health in databases {
            if let Some(value) = value(health) {
                let _ = writeln!(text, "{name}{{database=\"{}\"}} {value}", health.database);
            }
        }
    }
    head(&mut text, "lifeboat_finding", "1 for each finding.");
    for health in databases {
        for finding in &health.findings {
            let (rule, severity, about) = (finding.rule, finding.severity, escaped(&finding.about));
            let labels =
                format!("database=\"{}\",rule=\"{rule}\",severity=\"{severity}\",about=\"{about}\"", health.database);
            let _ = writeln!(text, "lifeboat_finding{{{labels}}} 1");
        }
    }
    text.push_str("# EOF\n");
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
