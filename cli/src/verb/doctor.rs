//! `lifeboat doctor`

use lifeboat::Result;
use lifeboat::aws::SecretReference;
use lifeboat::config::MasterKeySource;
use lifeboat::ops::backup::BackupOptions;
use lifeboat::ops::doctor::{Diagnosis, Subject, doctor, refusal};
use lifeboat::postgres::preflight::{Finding, Severity};

use crate::answer::Answer;
use crate::context::Context;
use crate::paint::Paint;

/// Check database, vault, keys and tools; every finding with its fix
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat doctor
  lifeboat doctor --database postgres://backup@db.internal/shop --vault s3://my-bucket/lifeboat
  lifeboat doctor --json | jq -r '.findings[] | select(.severity == \"error\") | .fix'

Exit code 4 when something stands in the way of a backup. Changes nothing, but for one object of
a few bytes in the vault: whether the store refuses to replace objects can only be seen by trying.")]
pub struct Args {}

pub async fn run(_: Args, context: &Context) -> Result<Answer> {
    let config = &context.config;
    let key_file = match &config.master_key {
        Some(MasterKeySource::Reference(SecretReference::File(path))) => Some(path.as_path()),
        _ => None,
    };
    let selected = context.selected();
    let settings = selected.as_ref().map(|(selected, _)| selected.settings.clone()).unwrap_or_default();
    let name = selected.as_ref().ok().map(|(selected, _)| selected.name.clone());
    let source = async {
        let (_, connection) = selected?;
        context.connect(&connection).await
    };
    let (store, master, source) =
        tokio::join!(config.open_store(&context.aws), config.open_master_key(&context.aws), source);
    let mut diagnosis = doctor(Subject {
        store,
        master,
        key_file,
        database: name.as_ref(),
        source,
        jobs: settings.jobs.unwrap_or(BackupOptions::DEFAULT_JOBS),
        exclude_tables: &settings.exclude_table,
        exclude_table_data: &settings.exclude_table_data,
        pg_dump: config.pg_dump.clone(),
    })
    .await;
    diagnosis.findings.extend(config.not_acted_on().into_iter().map(not_acted_on));
    let failed = refusal(&diagnosis);
    Ok(Answer::new(&diagnosis, page(&diagnosis, context.paint())).failed_with(failed))
}

fn not_acted_on(problem: String) -> Finding {
    let fix = "nothing to do: the setting is understood, but this version does not act on it yet".to_owned();
    Finding { severity: Severity::Info, check: "configuration", object: None, problem, fix }
}

fn page(diagnosis: &Diagnosis, paint: Paint) -> String {
    let facts: Vec<(&str, String)> = diagnosis.facts.iter().map(|fact| (fact.name, fact.value.clone())).collect();
    let mut page = paint.facts(&facts) + &findings_page(&diagnosis.findings, paint);
    if diagnosis.ok {
        page.push_str(&format!("\n{} `lifeboat backup` should work.\n", paint.good("✓")));
    }
    page
}

/// Each with its fix below it.
pub fn findings_page(findings: &[Finding], paint: Paint) -> String {
    let mut page = String::new();
    for finding in findings {
        let mark = match finding.severity {
            Severity::Error => paint.bad("✗"),
            Severity::Warning => paint.warn("!"),
            Severity::Info => paint.dim("·"),
        };
        page.push_str(&format!("\n{mark} {}\n", finding.problem));
        if !finding.fix.is_empty() {
            page.push_str(&format!("  {} {}\n", paint.dim("→"), finding.fix));
        }
    }
    page
}
