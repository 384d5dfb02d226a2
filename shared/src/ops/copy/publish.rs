//! The last step of a copy: the manifest, within the claim's time or not at all.

use bytes::Bytes;
use jiff::Timestamp;

use super::era::Ground;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Cause};
use crate::vault::{DatabaseVault, Motive};

/// One PUT that is not repeated by itself: a late duplicate would be a backup that nobody waits for. When its reply is lost, what
/// the target holds decides. What the store's own time shows to be late gets a tombstone at once.
pub async fn publish(target: &DatabaseVault, id: &BackupId, manifest: Bytes, ground: &Ground, by: &str) -> Result<()> {
    let now = target.vault.now().await?;
    require_time_left(ground, now)?;
    match target.publish_bytes(id, manifest.clone(), now).await {
        Ok(()) => {}
        Err(error) if target.has_published(id, &manifest).await.is_ok_and(|is_there| is_there) => {
            tracing::warn!(backup_id = %id, %error, "the reply to the manifest was lost, but it is there");
        }
        Err(error) => return Err(error),
    }
    require_timely(target, id, ground, by).await
}

/// Withdraws what the store's clock shows to be late.
pub(super) async fn require_timely(target: &DatabaseVault, id: &BackupId, ground: &Ground, by: &str) -> Result<()> {
    let written = target.store().head(&target.layout.manifest(id)).await?.info.modified;
    if let Err(late) = require_time_left(ground, written) {
        withdraw(target, id, by).await?;
        return Err(late);
    }
    Ok(())
}

fn require_time_left(ground: &Ground, now: Timestamp) -> Result<()> {
    if now < ground.deadline {
        return Ok(());
    }
    Err(Error::out_of_time(format!(
        "the copy was ready {:#} after its time, and is not published",
        now - ground.deadline
    ))
    .hint("run it again: what it copied in the last days is used again"))
}

async fn withdraw(target: &DatabaseVault, id: &BackupId, by: &str) -> Result<()> {
    let written = target.entomb(id, Cause::Deletion, Motive { reason: "copied after its time", by }).await;
    written.map(drop).map_err(|error| {
        let place = target.store().location();
        Error::new(ErrorKind::Vault, format!("the copy of {id} was published too late and could not be withdrawn"))
            .because(error)
            .hint(format!("delete it: lifeboat --vault {place} delete {id}"))
    })
}
