//! Restore: the backup becomes a scratch database, every table is compared, and the scratch database is dropped.

use std::time::Instant;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rand::Rng;

use super::{Findings, Scratch};
use crate::error::{ErrorKind, Result};
use crate::model::{BackupId, NotRestored};
use crate::ops::restore::{RestoreOptions, drop_database, plan, restore};
use crate::ops::{Event, RestoreReport, Run};
use crate::postgres::{Connector, from_postgres};
use crate::vault::DatabaseVault;

/// Looks at the restored database before it is dropped.
#[async_trait]
pub trait Inspect: Send {
    async fn inspect(&mut self, restored: Restored<'_>) -> Result<()>;
}

/// A database that came of a backup.
pub struct Restored<'a> {
    pub report: &'a RestoreReport,
    /// From the first look at the target server to the proven database.
    pub took_ms: u64,
    /// The way to it.
    pub server: &'a Connector,
}

pub async fn look(
    database: &DatabaseVault,
    id: &BackupId,
    Scratch { server: scratch, inspect }: Scratch<'_>,
    run: &Run,
    findings: &mut Findings,
) -> Result<()> {
    let now = database.vault.now().await?;
    drop_leftovers(scratch, now, run).await?;
    let name = scratch_name(now);
    // Owners and privileges belong to the source's roles, which a scratch server need not have.
    let options =
        RestoreOptions { into: Some(name.clone()), no_owner: true, no_acl: true, ..RestoreOptions::default() };
    let begun = Instant::now();
    let plan = plan(database, id, scratch, &options, run).await?;
    let restored = restore(database, &plan, true, run).await;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let inspected = match (&restored, inspect) {
        (Ok(report), Some(inspect)) => visit(inspect, report, took_ms, scratch).await,
        _ => Ok(()),
    };
    let dropped = drop_database(scratch, &name).await;
    match restored {
        Ok(report) => {
            let (missing, refused): (Vec<_>, Vec<_>) = report.not_restored.into_iter().partition(|lost| lost.essential);
            for lost in missing {
                findings.add(lost.object, format!("not restored: {}", lost.reason), None);
            }
            // What the scratch server keeps to its own superuser says nothing about the backup.
            for NotRestored { object, reason, .. } in refused {
                run.observer
                    .on(&Event::Warning { text: format!("the scratch server goes without {object}: {reason}") });
            }
        }
        Err(error) if error.kind() == ErrorKind::Verification => {
            findings.add(id.to_string(), error.message(), None);
        }
        Err(error) => return Err(error),
    }
    inspected.and(dropped)
}

async fn visit(inspect: &mut dyn Inspect, report: &RestoreReport, took_ms: u64, scratch: &Connector) -> Result<()> {
    let server = scratch.open_database(&report.target).await?;
    inspect.inspect(Restored { report, took_ms, server: &server }).await
}

/// Scratch databases are named by when they were made, so that what a killed verification left can be told from what another
/// is at work in.
const PREFIX: &str = "lifeboat_verify_";
const TIME: &str = "%Y%m%dt%H%M%Sz";
/// No verification takes so long.
const LEFT_OVER_AFTER: SignedDuration = SignedDuration::from_hours(48);

fn scratch_name(now: Timestamp) -> String {
    format!("{PREFIX}{}_{:08x}", now.strftime(TIME), rand::rng().random::<u32>())
}

/// When it was made, of a scratch database.
fn made_at(name: &str) -> Option<Timestamp> {
    let (time, number) = name.strip_prefix(PREFIX)?.split_once('_')?;
    let is_ours = number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let time = jiff::civil::DateTime::strptime(TIME, time).ok().filter(|_| is_ours)?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// Drops what earlier verifications left behind when they were killed. What somebody is connected to stays.
async fn drop_leftovers(scratch: &Connector, now: Timestamp, run: &Run) -> Result<()> {
    let session = scratch.connect().await?;
    let failed = |error| from_postgres("looking for scratch databases that were left behind", error);
    let named = "SELECT datname::text FROM pg_catalog.pg_database WHERE starts_with(datname::text, $1)";
    let found = session.query(named, &[&PREFIX]).await.map_err(failed)?;
    let names = found.iter().map(|row| row.get::<_, String>(0));
    let old = names.filter(|name| made_at(name).is_some_and(|made| now.duration_since(made) > LEFT_OVER_AFTER));
    for name in old {
        let text = match session.batch_execute(&format!("DROP DATABASE \"{name}\"")).await {
            Ok(()) => format!("dropped {name}, which a verification that was killed had left behind"),
            Err(error) => from_postgres(&format!("dropping {name}, which was left behind"), error).message(),
        };
        run.observer.on(&Event::Warning { text });
    }
    session.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_database_tells_when_it_was_made_and_nobody_elses_is_taken_for_one() {
        let now: Timestamp = "2026-11-28T01:23:45Z".parse().unwrap();
        assert_eq!(made_at(&scratch_name(now)), Some(now));
        for other in [
            "lifeboat_verify_1a2b3c4d",
            "lifeboat_verify_20261128t012345z",
            "lifeboat_verify_20261128t012345z_1a2b3c4",
            "lifeboat_verify_20261128t012345z_1a2b3c4x",
            "lifeboat_verify_20261328t012345z_1a2b3c4d",
            "my_lifeboat_verify_20261128t012345z_1a2b3c4d",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
