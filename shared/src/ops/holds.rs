//! Reading holds: each is a record, and so is its release. Neither counts before it is proven.

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{BackupId, Hold, HoldRelease};
use crate::store;
use crate::vault::DatabaseVault;

const READS_AT_ONCE: usize = 16;

/// A hold, and whether it was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    #[serde(flatten)]
    pub hold: Hold,
    pub released: bool,
}

impl HoldState {
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        !self.released && self.hold.until.is_none_or(|until| until > now)
    }
}

/// The hold behind one key of the vault.
pub struct FoundHold {
    pub key: String,
    /// As the key says it; `None` for a key that is no hold's.
    pub backup: Option<BackupId>,
    pub state: Result<HoldState>,
}

/// Every hold below `prefix`, which is that of all holds of the database or of one backup's.
pub async fn read_holds(db: &DatabaseVault, prefix: &str) -> Result<Vec<FoundHold>> {
    let keys: Vec<String> = store::list_all(db.store(), prefix).await?.into_iter().map(|object| object.key).collect();
    let holds: Vec<String> = keys.iter().filter(|key| !key.ends_with(".released.json")).cloned().collect();
    let read = async |key: String| {
        let backup = backup_of_key(db, &key);
        let release = key.strip_suffix(".json").map(|key| format!("{key}.released.json"));
        let release = release.filter(|release| keys.binary_search(release).is_ok());
        FoundHold { state: state(db, &key, backup.as_ref(), release.as_deref()).await, backup, key }
    };
    Ok(stream::iter(holds).map(read).buffered(READS_AT_ONCE).collect().await)
}

async fn state(db: &DatabaseVault, key: &str, backup: Option<&BackupId>, release: Option<&str>) -> Result<HoldState> {
    let hold: Hold = db.read_record("hold", key).await?;
    if backup != Some(&hold.backup) {
        return Err(Error::verification(format!("{key} is a hold of another backup")));
    }
    if let Some(release) = release {
        db.read_record::<HoldRelease>("release", release).await?;
    }
    Ok(HoldState { hold, released: release.is_some() })
}

fn backup_of_key(db: &DatabaseVault, key: &str) -> Option<BackupId> {
    key.strip_prefix(&db.layout.all_holds())?.split_once('/')?.0.parse().ok()
}
