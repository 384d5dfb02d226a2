//! One verification: what was found wrong with a backup, recorded as a verdict.
//!
//! Each depth includes those before it. What can be damaged is a finding, and the rest is still looked at; only when the
//! vault or the scratch server cannot be reached does the verification itself fail, without a verdict.

mod by_restore;
mod full;
mod quick;

use std::collections::HashSet;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Depth, Finding, Manifest, PackId, PackList, Verdict};
use crate::ops::{Event, Run, VerifyReport, thaw};
use crate::postgres::Connector;
use crate::vault::DatabaseVault;
pub use by_restore::{Inspect, Restored};

/// Verifies one backup and records the verdict. [`Depth::Restore`] needs `scratch`, a server on which a database can be made.
///
/// Errors: `NotFound` for no such backup, `Confirmation` for one whose rows are frozen and would have to be read, `Vault`,
/// `OutOfTime`; damage is not an error but a report that is not `ok`.
pub async fn verify(
    database: &DatabaseVault,
    id: &BackupId,
    depth: Depth,
    scratch: Option<&Connector>,
    run: &Run,
) -> Result<VerifyReport> {
    let scratch = scratch.map(|server| Scratch { server, inspect: None });
    verify_at(database, id, depth, scratch, run).await
}

/// Verifies by restore, and has `inspect` look at what came of it before it is dropped; not, where nothing did.
///
/// Errors: as of [`verify`], and those of `inspect`.
pub async fn rehearse(
    database: &DatabaseVault,
    id: &BackupId,
    server: &Connector,
    run: &Run,
    inspect: &mut dyn Inspect,
) -> Result<VerifyReport> {
    let scratch = Scratch { server, inspect: Some(inspect) };
    verify_at(database, id, Depth::Restore, Some(scratch), run).await
}

async fn verify_at(
    database: &DatabaseVault,
    id: &BackupId,
    depth: Depth,
    scratch: Option<Scratch<'_>>,
    run: &Run,
) -> Result<VerifyReport> {
    let begun = Instant::now();
    let mut findings = Findings::default();
    look(database, id, depth, scratch, run, &mut findings).await?;
    let verdict = Verdict {
        vault: database.vault.id(),
        database: database.name.clone(),
        backup: id.clone(),
        depth,
        ok: findings.0.is_empty(),
        at: database.vault.now().await?,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        findings: findings.0,
        lifeboat: env!("CARGO_PKG_VERSION").to_owned(),
    };
    database.write_verdict(&verdict).await?;
    Ok(verdict.into())
}

async fn look(
    database: &DatabaseVault,
    id: &BackupId,
    depth: Depth,
    scratch: Option<Scratch<'_>>,
    run: &Run,
    findings: &mut Findings,
) -> Result<()> {
    run.observer.on(&Event::Step { name: "manifest" });
    let object = database.layout.manifest(id);
    let Some(manifest) = findings.keep(&object, None, database.manifest(id).await)? else { return Ok(()) };
    let object = database.layout.pack(&manifest.pack_list);
    let listed = database.pack_list(&manifest).await;
    let Some(packs) = findings.keep(&object, Some(manifest.pack_list), listed)? else { return Ok(()) };
    require_totals(&manifest, &packs, findings);
    quick::look(database, &manifest, &packs, run, findings).await?;
    if depth >= Depth::Full {
        thaw::require_readable(database, &manifest).await?;
        full::look(database, &manifest, &packs, run, findings).await?;
    }
    if depth >= Depth::Restore && findings.0.is_empty() {
        let scratch = scratch.ok_or_else(|| {
            Error::usage("a verification by restore needs a server to restore on").hint("name one with --server")
        })?;
        by_restore::look(database, id, scratch, run, findings).await?;
    }
    Ok(())
}

/// Where a restore is tried.
pub(super) struct Scratch<'a> {
    server: &'a Connector,
    inspect: Option<&'a mut dyn Inspect>,
}

fn require_totals(manifest: &Manifest, packs: &PackList, findings: &mut Findings) {
    let (stated, listed) = (manifest.totals.stored_bytes, packs.stored_bytes());
    if stated != listed {
        let problem = format!("its packs have {listed} bytes by the pack list, {stated} by the manifest");
        findings.add(manifest.id.to_string(), problem, None);
    }
}

/// What was found wrong, each thing once.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, object: String, problem: String, pack: Option<PackId>) {
        let finding = Finding { object, problem, pack };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// The value, or `None` and a finding when it is damaged. Any other error is passed on.
    fn keep<T>(&mut self, object: &str, pack: Option<PackId>, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Verification => {
                self.add(object.to_owned(), error.message(), pack);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn packs(&self) -> HashSet<PackId> {
        self.0.iter().filter_map(|finding| finding.pack).collect()
    }
}
