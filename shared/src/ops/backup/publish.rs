//! The last step: one create-only PUT makes the backup exist.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, Cause, Claim, Manifest};
use crate::vault::{DatabaseVault, Motive};

use super::claim::require_time_left;

/// Publishes the manifest within the claim's time, or not at all.
///
/// The PUT is not repeated by itself: a late duplicate would be a backup that nobody waits for. When its reply is lost, what
/// the vault holds decides. A machine that sleeps between its look at the clock and the PUT makes it in vain: the store
/// refuses what was decided long ago, so the time runs out some minutes late at most. The store's own time of the write is checked afterwards: a manifest that came too late may refer
/// to what a sweep has taken, so it gets a tombstone at once.
pub async fn publish(database: &DatabaseVault, manifest: &Manifest, claim: &Claim) -> Result<()> {
    let now = database.vault.now().await?;
    require_time_left(claim, now)?;
    match database.publish(manifest, now).await {
        Ok(()) => {}
        Err(error) if is_there(database, manifest).await => {
            tracing::warn!(backup_id = %manifest.id, %error, "the reply to the manifest was lost, but it is there");
        }
        Err(error) => return Err(error),
    }
    let written = database.store().head(&database.layout.manifest(&manifest.id)).await?.info.modified;
    match require_time_left(claim, written) {
        Ok(()) => Ok(()),
        Err(late) => {
            withdraw(database, &manifest.id, &claim.by).await?;
            Err(late)
        }
    }
}

async fn is_there(database: &DatabaseVault, manifest: &Manifest) -> bool {
    database.manifest(&manifest.id).await.is_ok_and(|there| there.attempt == manifest.attempt)
}

async fn withdraw(database: &DatabaseVault, id: &BackupId, by: &str) -> Result<()> {
    let motive = Motive { reason: "published after its deadline", by };
    let written = database.entomb(id, Cause::Deletion, motive).await;
    written.map(drop).map_err(|error| {
        Error::new(ErrorKind::Vault, format!("backup {id} was published too late and could not be withdrawn"))
            .because(error)
            .hint(format!("delete it: lifeboat delete {id}"))
    })
}
