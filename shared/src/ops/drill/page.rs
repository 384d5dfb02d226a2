//! Reports of drills as pages: for a wiki, for an auditor, for the wall. Both say the same.

use std::fmt::Write;

use jiff::Timestamp;

use crate::model::{CheckOutcome, DisasterPlan, Drill, DrillCheck};
use crate::plan::drill::span;
use crate::vault::KeptDrill;

/// What is above the tables, as names and texts.
fn facts(kept: &KeptDrill) -> Vec<(&'static str, String)> {
    let Drill { targets, .. } = &kept.drill;
    let drill = &kept.drill;
    let against = |measured: Option<u64>, target: Option<u64>| {
        let measured = measured.map_or("none".to_owned(), span);
        target.map_or(measured.clone(), |target| format!("{measured} (target {})", span(target)))
    };
    vec![
        ("Backup", format!("{} ({})", drill.backup, drill.tier)),
        ("Shows", moment(drill.snapshot_at)),
        (
            "Holds",
            format!("{} tables, {} rows, {:.1} MB", drill.tables, drill.rows, drill.plaintext_bytes as f64 / 1e6),
        ),
        ("From", format!("PostgreSQL {}", drill.source_version)),
        ("Restored on", drill.server.clone()),
        ("Recovery time (RTO)", against(drill.restore_ms, targets.rto_ms)),
        ("Possible loss (RPO)", against(drill.loss_ms, targets.rpo_ms)),
        ("Drilled", moment(drill.at)),
        ("By", drill.by.clone()),
        ("Lifeboat", drill.lifeboat.clone()),
    ]
}

/// Whom to call, as names and texts; nothing where nothing is configured.
fn plan(plan: &DisasterPlan) -> Vec<(&'static str, String)> {
    let DisasterPlan { contacts, escalation, document } = plan;
    let mut lines: Vec<(&str, String)> = contacts.iter().map(|contact| ("Contact", contact.clone())).collect();
    lines.extend(escalation.iter().enumerate().map(|(at, who)| ("Escalation", format!("{}. {who}", at + 1))));
    lines.extend(document.iter().map(|document| ("Plan", document.clone())));
    lines
}

/// Who signs a printed report, with room to do it.
const SIGNATURES: [&str; 2] = ["Carried out by", "Reviewed by"];

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn title(drill: &Drill) -> String {
    let verdict = if drill.ok { "passed" } else { "FAILED" };
    format!("Restore drill of {}: {verdict}", drill.database)
}

fn proof(kept: &KeptDrill) -> String {
    format!(
        "This report is kept in the vault as {}, under an authentication code that only the database's key makes. \
         SHA-256 of that object: {}.",
        kept.record.object, kept.record.sha256
    )
}

/// One after another.
pub fn markdown(drills: &[KeptDrill]) -> String {
    drills.iter().map(one_markdown).collect::<Vec<_>>().join("\n---\n\n")
}

fn one_markdown(kept: &KeptDrill) -> String {
    let drill = &kept.drill;
    let mut page = format!("# {}\n\n", title(drill));
    markdown_table(&mut page, ["", ""], facts(kept).into_iter().map(|(name, text)| [name.to_owned(), text]));
    page.push_str("\n## Checks\n\n");
    let checks = drill
        .checks
        .iter()
        .map(|DrillCheck { name, outcome, detail }| [name.clone(), outcome.as_str().to_owned(), detail.clone()]);
    markdown_table(&mut page, ["check", "outcome", "what was found"], checks);
    page.push_str("\n## Steps\n\n");
    let steps = drill.steps.iter().map(|step| [step.name.clone(), span(step.duration_ms)]);
    markdown_table(&mut page, ["step", "took"], steps);
    let plan = plan(&drill.plan);
    if !plan.is_empty() {
        page.push_str("\n## When it is not a drill\n\n");
        markdown_table(&mut page, ["", ""], plan.into_iter().map(|(name, text)| [name.to_owned(), text]));
    }
    page.push_str("\n## Signatures\n\n");
    let lines = SIGNATURES.map(|who| [who.to_owned(), String::new(), String::new()]);
    markdown_table(&mut page, ["", "name, signature", "date"], lines.into_iter());
    let _ = writeln!(page, "\n{}", proof(kept));
    page
}

fn markdown_table<const N: usize>(page: &mut String, head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let _ = writeln!(page, "| {} |\n|{}", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(page, "| {} |", row.map(|cell| cell_markdown(&cell)).join(" | "));
    }
}

fn cell_markdown(text: &str) -> String {
    let mut cell = String::new();
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' => cell.extend(['\\', c]),
            '\n' | '\r' => cell.push(' '),
            c => cell.push(c),
        }
    }
    cell
}

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; }
tr { border-bottom: 1px solid #dfe4ea; } th { color: #5b6675; font-weight: 600; width: 12rem; }
.passed { color: #14713d; } .failed { color: #b3261e; font-weight: 700; } .tolerated, .not-reached { color: #8a5a00; }
.outcome { white-space: nowrap; } .sign td { height: 2.6rem; }
.bar { background: #2f6fdf; height: .6rem; border-radius: 2px; min-width: 2px; }
footer { margin-top: 2rem; color: #5b6675; font-size: .85rem; overflow-wrap: anywhere; }
";

/// A page of its own, without anything from elsewhere.
pub fn html(drills: &[KeptDrill]) -> String {
    let title = match drills {
        [one] => title(&one.drill),
        _ => "Restore drills".to_owned(),
    };
    let articles: String = drills.iter().map(one_html).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{articles}</body>\n</html>\n",
        escaped(&title)
    )
}

fn one_html(kept: &KeptDrill) -> String {
    let drill = &kept.drill;
    let class = if drill.ok { "passed" } else { "failed" };
    let mut page = format!("<article>\n<h1 class=\"{class}\">{}</h1>\n", escaped(&title(drill)));
    let pairs = |pairs: Vec<(&'static str, String)>| -> String {
        let row = |(name, text): (&str, String)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(&text));
        format!("<table>\n{}</table>\n", pairs.into_iter().map(row).collect::<String>())
    };
    page.push_str(&pairs(facts(kept)));
    page.push_str("<h2>Checks</h2>\n<table>\n");
    for DrillCheck { name, outcome, detail } in &drill.checks {
        let class = outcome.as_str().replace(' ', "-");
        let (name, outcome, detail) = (escaped(name), outcome_text(*outcome), escaped(detail));
        let _ = writeln!(page, "<tr><th>{name}</th><td class=\"outcome {class}\">{outcome}</td><td>{detail}</td></tr>");
    }
    page.push_str("</table>\n<h2>Steps</h2>\n<table>\n");
    let longest_ms = drill.steps.iter().map(|step| step.duration_ms).max().unwrap_or(0).max(1);
    for step in &drill.steps {
        let percent = step.duration_ms * 100 / longest_ms;
        let (name, took) = (escaped(&step.name), span(step.duration_ms));
        let bar = format!("<div class=\"bar\" style=\"width: {percent}%\"></div>");
        let _ = writeln!(page, "<tr><th>{name}</th><td style=\"width: 9rem\">{took}</td><td>{bar}</td></tr>");
    }
    page.push_str("</table>\n");
    let plan = plan(&drill.plan);
    if !plan.is_empty() {
        let _ = write!(page, "<h2>When it is not a drill</h2>\n{}", pairs(plan));
    }
    page.push_str(
        "<h2>Signatures</h2>\n<table class=\"sign\">\n<tr><th></th><th>name, signature</th><th>date</th></tr>\n",
    );
    for who in SIGNATURES {
        let _ = writeln!(page, "<tr><th>{who}</th><td></td><td></td></tr>");
    }
    page.push_str("</table>\n");
    let _ = write!(page, "<footer>{}</footer>\n</article>\n", escaped(&proof(kept)));
    page
}

/// Never by colour alone.
fn outcome_text(outcome: CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Passed => "✓ passed",
        CheckOutcome::Failed => "✗ failed",
        CheckOutcome::Tolerated => "tolerated",
        CheckOutcome::NotReached => "not reached",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Step, Targets};
    use crate::vault::RecordProof;

    fn kept(ok: bool, name: &str) -> KeptDrill {
        let at: Timestamp = "2026-11-28T03:00:00Z".parse().unwrap();
        let outcome = if ok { CheckOutcome::Passed } else { CheckOutcome::Failed };
        let check = |name: &str, detail: &str| DrillCheck { name: name.to_owned(), outcome, detail: detail.to_owned() };
        let drill = Drill {
            vault: "00000000000000000000000000000001".parse().unwrap(),
            database: "shop".parse().unwrap(),
            backup: "20261127T020000Z-daily-k7q2".parse().unwrap(),
            tier: "daily".parse().unwrap(),
            at,
            by: "ops@example".to_owned(),
            ok,
            server: "drill.internal:5432, PostgreSQL 17.4".to_owned(),
            source_version: "16.8".to_owned(),
            snapshot_at: "2026-11-27T02:00:00Z".parse().unwrap(),
            tables: 12,
            rows: 3400,
            plaintext_bytes: 560_000,
            steps: vec![
                Step { name: "schema".to_owned(), duration_ms: 500 },
                Step { name: "rows".to_owned(), duration_ms: 2000 },
            ],
            restore_ms: ok.then_some(65_400),
            loss_ms: Some(25 * 3_600_000),
            targets: Targets { rto_ms: Some(3_600_000), rpo_ms: None },
            checks: vec![check("restore", "the backup became a database"), check(name, "a < b | c & \"d\"\nnext")],
            plan: DisasterPlan {
                contacts: vec!["Ada, +43 1 000".to_owned()],
                escalation: vec!["on call".to_owned(), "CTO".to_owned()],
                document: Some("https://wiki.example/disaster".to_owned()),
            },
            lifeboat: "0.1.0".to_owned(),
        };
        let object = "databases/shop/drills/x.json".to_owned();
        KeptDrill { drill, record: RecordProof { object, sha256: "ab".repeat(32) } }
    }

    #[test]
    fn the_report_as_markdown() {
        insta::assert_snapshot!(markdown(&[kept(true, "orphans")]));
    }

    #[test]
    fn the_report_as_a_page() {
        insta::assert_snapshot!(html(&[kept(false, "assertion <b>recent</b>")]));
    }

    #[test]
    fn nothing_that_was_found_becomes_markup() {
        let page = html(&[kept(true, "<script>alert(1)</script>"), kept(false, "x' onclick='y")]);
        assert!(!page.contains("<script>") && !page.contains("x' onclick"), "{page}");
        assert_eq!(page.matches("<article>").count(), 2);
        let table = markdown(&[kept(true, "a|b")]);
        assert!(table.contains("| a\\|b | passed | a \\< b \\| c & \"d\" next |"), "{table}");
    }
}
