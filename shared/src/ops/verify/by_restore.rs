//! Restore: the backup becomes a scratch database, every table is compared, and the scratch database is dropped.

use rand::Rng;

use super::Findings;
use crate::error::{ErrorKind, Result};
use crate::model::{BackupId, NotRestored};
use crate::ops::restore::{RestoreOptions, drop_database, plan, restore};
use crate::ops::{Event, Run};
use crate::postgres::Connector;
use crate::vault::DatabaseVault;

pub async fn look(
    database: &DatabaseVault,
    id: &BackupId,
    scratch: &Connector,
    run: &Run,
    findings: &mut Findings,
) -> Result<()> {
    let name = format!("lifeboat_verify_{:08x}", rand::rng().random::<u32>());
    // Owners and privileges belong to the source's roles, which a scratch server need not have.
    let options =
        RestoreOptions { into: Some(name.clone()), no_owner: true, no_acl: true, ..RestoreOptions::default() };
    let plan = plan(database, id, scratch, &options, run).await?;
    let restored = restore(database, &plan, true, run).await;
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
    dropped
}
