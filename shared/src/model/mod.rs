//! Values only: what is written in a vault and what is said about it. No I/O, no decisions.

mod audit;
mod catalogue;
mod drill;
mod id;
mod index;
mod manifest;
mod record;
mod rows;
mod severity;
mod tally;

pub use audit::{AuditEntry, Deed, DeedProof, DeedStatus, Operation};
pub use catalogue::{
    Catalogue, Collation, Column, DatabaseProperties, Extension, LargeObject, NotRestored, Role, Sequence,
    SettingOverride, Skipped, TableEntry, TableKind, TableName,
};
pub use drill::{CheckOutcome, DisasterPlan, Drill, DrillCheck, Look, Step, Targets};
pub use id::{BackupId, ContentId, DatabaseName, EraId, KeyId, Lsn, PackId, Tier, VaultId};
pub use index::{BlockRange, Chunk, IndexPart, PieceRef};
pub use manifest::{
    ClusterIdentity, DatabaseIdentity, Manifest, PackEntry, PackList, PackOrigin, Purpose, ReplicationSlot, Shelf,
    SnapshotFacts, Storage, ToolVersions, Totals,
};
pub use record::{
    AlertRecord, AlertSent, Cause, Claim, Depth, DigestRecord, Fate, Finding, Hold, HoldRelease, JobResult,
    KeyringEntry, Tombstone, TombstoneOutcome, VaultFormat, Verdict, VerdictSummary, WrappedKey,
};
pub use rows::Encoding;
pub use severity::{Occasion, Severity};
pub use tally::{Fingerprint, Tally};
