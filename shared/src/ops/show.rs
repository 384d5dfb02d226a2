//! Everything that is known about one backup.

use futures::try_join;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::holds::{HoldState, read_holds};
use super::list::last_word;
use super::report::BackupSummary;
use super::thaw;
use crate::error::Result;
use crate::model::{
    BackupId, Catalogue, DatabaseProperties, Extension, Fingerprint, Lsn, Manifest, Role, Skipped, TableEntry,
    TableKind, TableName, ToolVersions, Verdict, VerdictSummary,
};
use crate::plan::thaw::Frost;
use crate::vault::DatabaseVault;

/// One backup, as `show --json` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupDetails {
    pub backup: BackupSummary,
    pub parent: Option<BackupId>,
    /// What of its rows is, or was, frozen; all zeros for a backup that shares the pool.
    pub frost: Frost,
    pub source: Source,
    pub database: DatabaseProperties,
    pub tables: Vec<TableDetails>,
    pub sequences: u64,
    pub large_objects: u64,
    /// Objects in the schema dump.
    pub schema_objects: u64,
    pub populated_views: Vec<TableName>,
    pub extensions: Vec<Extension>,
    pub roles: Vec<Role>,
    pub skipped: Vec<Skipped>,
    /// Oldest first.
    pub verdicts: Vec<Verdict>,
    pub holds: Vec<HoldState>,
    pub tools: ToolVersions,
}

/// The server that was read, and the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The version, as the server says it: `17.2 (Debian 17.2-1)`.
    pub server: String,
    pub system_identifier: String,
    pub timeline: u32,
    pub is_replica: bool,
    pub lsn: Lsn,
    pub snapshot_at: Timestamp,
    /// On a replica, the age of the data.
    pub replayed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDetails {
    #[serde(flatten)]
    pub name: TableName,
    pub kind: TableKind,
    pub columns: u64,
    pub rows: u64,
    pub plaintext_bytes: u64,
    pub fingerprint: Fingerprint,
}

/// Errors: `NotFound`; `Verification` when the manifest, the catalogue or a record of this backup is damaged.
pub async fn show(db: &DatabaseVault, id: &BackupId) -> Result<BackupDetails> {
    let manifest = db.manifest(id).await?;
    let (catalogue, verdicts, holds, tombstoned, frost) = try_join!(
        db.catalogue(&manifest),
        db.verdicts(id),
        holds(db, id),
        db.tombstoned(),
        thaw::frost(db, &manifest, None)
    )?;
    let said: Vec<VerdictSummary> = verdicts.iter().map(VerdictSummary::of).collect();
    let held = holds.iter().any(|hold| hold.is_in_force(Timestamp::now()));
    let mut backup = BackupSummary::of(&manifest, last_word(&said), held);
    backup.deleted = tombstoned.contains(id);
    Ok(details(backup, manifest, catalogue, verdicts, holds, frost))
}

fn details(
    backup: BackupSummary,
    manifest: Manifest,
    catalogue: Catalogue,
    verdicts: Vec<Verdict>,
    holds: Vec<HoldState>,
    frost: Frost,
) -> BackupDetails {
    let Manifest { cluster, snapshot, parent, tools, .. } = manifest;
    BackupDetails {
        backup,
        parent,
        frost,
        source: Source {
            server: cluster.version_text,
            system_identifier: cluster.system_identifier,
            timeline: cluster.timeline,
            is_replica: cluster.is_replica,
            lsn: snapshot.lsn,
            snapshot_at: snapshot.taken_at,
            replayed_at: snapshot.replayed_at,
        },
        database: catalogue.database,
        tables: catalogue.tables.into_iter().map(table).collect(),
        sequences: catalogue.sequences.len() as u64,
        large_objects: catalogue.large_objects.len() as u64,
        schema_objects: catalogue.schema_entries,
        populated_views: catalogue.populated_views,
        extensions: catalogue.extensions,
        roles: catalogue.roles,
        skipped: catalogue.skipped,
        verdicts,
        holds,
        tools,
    }
}

fn table(entry: TableEntry) -> TableDetails {
    TableDetails {
        columns: entry.columns.len() as u64,
        name: entry.name,
        kind: entry.kind,
        rows: entry.tally.rows,
        plaintext_bytes: entry.tally.plaintext_bytes,
        fingerprint: entry.tally.fingerprint,
    }
}

async fn holds(db: &DatabaseVault, id: &BackupId) -> Result<Vec<HoldState>> {
    let found = read_holds(db, &db.layout.holds(id)).await?;
    found.into_iter().map(|found| found.state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::model::Depth;
    use crate::ops::fixture::{self, Backup};

    #[tokio::test]
    async fn show_tells_verdicts_and_holds_of_one_backup() {
        let (_, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        db.write_verdict(&fixture::verdict(&db, &id, Depth::Quick)).await.unwrap();
        let hold = fixture::hold(&db, &id, "audit");
        db.write_record("hold", &db.layout.hold(&id, "audit"), &hold).await.unwrap();
        let details = show(&db, &id).await.unwrap();
        assert_eq!(details.backup.id, id);
        assert!(details.backup.held && details.backup.verified.is_some_and(|v| v.ok));
        assert_eq!(details.holds, [HoldState { hold, released: false }]);
        let json = serde_json::to_value(&details).unwrap();
        assert_eq!(serde_json::from_value::<BackupDetails>(json).unwrap(), details);
    }

    #[tokio::test]
    async fn a_backup_that_is_not_there_is_not_found() {
        let (_, db) = fixture::database("shop").await;
        let id = "20261121T020000Z-daily-aaaa".parse().unwrap();
        assert_eq!(show(&db, &id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
