//! Who did what: operations are told to the vault's audit trail, and the trail is read, examined and exported.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Serialize;

use super::copy::CopyReport;
use super::delete::DeletionReport;
use super::keys::DataKey;
use super::thaw::ThawReport;
use super::{BackupReport, CleanupReport, Event, RestoreReport, Run, VerifyReport};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{AuditEntry, BackupId, DatabaseName, Deed, DeedProof, DeedStatus, Depth, Hold, Operation};
use crate::plan::audit::{AuditFilter, AuditFinding, Link, examine, unended};
use crate::spell;
use crate::store;
use crate::vault::{KeptDrill, Rewrapped, StoredEntry, Vault};

const LISTS_AT_ONCE: usize = 16;

/// What somebody is about to do.
#[derive(Debug, Clone)]
pub struct Intent {
    operation: Operation,
    database: Option<DatabaseName>,
    backup: Option<BackupId>,
    target: Option<String>,
    caller: Option<String>,
}

impl Intent {
    pub fn to(operation: Operation) -> Self {
        Self { operation, database: None, backup: None, target: None, caller: None }
    }

    /// Whose credentials it is done with, beside who started it.
    pub fn caller(self, caller: Option<String>) -> Self {
        Self { caller, ..self }
    }

    pub fn database(self, database: &DatabaseName) -> Self {
        Self { database: Some(database.clone()), ..self }
    }

    pub fn backup(self, backup: &BackupId) -> Self {
        Self { backup: Some(backup.clone()), ..self }
    }

    /// What it is done to outside the vault, or why. Never a secret, never a row.
    pub fn target(self, target: impl Into<String>) -> Self {
        Self { target: Some(target.into()), ..self }
    }

    fn deed(self, run: &Run) -> Deed {
        let Self { operation, database, backup, target, caller } = self;
        let actor = match caller {
            Some(caller) => format!("{} as {caller}", run.actor),
            None => run.actor.clone(),
        };
        Deed {
            operation,
            status: DeedStatus::Announced,
            run: hex::encode(rand::random::<[u8; 8]>()),
            actor,
            database,
            backup,
            target,
            error: None,
            stored_bytes: None,
            verified: None,
            duration_ms: None,
            lifeboat: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What came of an operation, for the trail.
pub trait Told {
    /// Adds to the deed what it tells; nothing, where that it is done is all.
    fn tell(&self, deed: &mut Deed) {
        let _ = deed;
    }
}

impl Told for BackupReport {
    fn tell(&self, deed: &mut Deed) {
        deed.database = Some(self.backup.database.clone());
        deed.backup = Some(self.backup.id.clone());
        deed.stored_bytes = Some(self.backup.stored_bytes);
    }
}

impl Told for VerifyReport {
    fn tell(&self, deed: &mut Deed) {
        deed.verified = Some(DeedProof { depth: self.depth, ok: self.ok });
        fail_unless(self.ok, deed);
    }
}

impl Told for RestoreReport {
    fn tell(&self, deed: &mut Deed) {
        deed.target = Some(self.target.clone());
        deed.verified = Some(DeedProof { depth: Depth::Restore, ok: self.proof.ok });
        fail_unless(self.proof.ok, deed);
    }
}

impl Told for KeptDrill {
    fn tell(&self, deed: &mut Deed) {
        deed.target = Some(self.drill.server.clone());
        deed.verified = Some(DeedProof { depth: Depth::Restore, ok: self.drill.ok });
        fail_unless(self.drill.ok, deed);
    }
}

impl Told for CleanupReport {
    fn tell(&self, deed: &mut Deed) {
        if let Some(refused) = &self.refused {
            deed.target = Some(refused.to_string());
            deed.status = DeedStatus::Failed;
            deed.error = Some(ErrorKind::Confirmation.name().to_owned());
            return;
        }
        let expired = self.plan.expiring().count();
        let gone = self.sweep.deleted_backups.iter().map(BackupId::as_str).collect::<Vec<_>>().join(", ");
        let gone = if gone.is_empty() { "none".to_owned() } else { gone };
        deed.target =
            Some(format!("{expired} to go, deleted for good: {gone}, {} freed", spell::bytes(self.sweep.freed_bytes)));
    }
}

impl Told for CopyReport {
    fn tell(&self, deed: &mut Deed) {
        deed.stored_bytes = Some(self.copied_bytes + self.present_bytes);
        if let Some(verified) = &self.verified {
            verified.tell(deed);
        }
    }
}

impl Told for ThawReport {}

impl Told for DeletionReport {}

impl Told for Hold {}

impl Told for DataKey {
    fn tell(&self, deed: &mut Deed) {
        deed.target = Some(self.key.to_string());
    }
}

impl Told for Rewrapped {
    fn tell(&self, deed: &mut Deed) {
        deed.target = Some(format!("data keys: {}", self.wrapped + self.wrapped_before));
    }
}

impl<T> Told for Vec<T> {}

impl Told for () {}

fn fail_unless(ok: bool, deed: &mut Deed) {
    if !ok {
        deed.status = DeedStatus::Failed;
        deed.error = Some(ErrorKind::Verification.name().to_owned());
    }
}

/// Does the work and tells the trail how it ended. What lets go of something is announced first, and not done where that
/// cannot be told; a restore is done all the same: on the day that it matters the vault may be readable and nothing more.
///
/// Errors: the work's own. That the trail could not be told of it is a warning to the observer.
pub async fn audited<T: Told>(
    vault: &Vault,
    run: &Run,
    intent: Intent,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let begun = Instant::now();
    let mut deed = intent.deed(run);
    if deed.operation.is_announced() {
        match vault.append_audit(&deed).await {
            Err(error) if deed.operation.lets_go() => {
                return Err(error.context(format!("no {} without a trace in the audit trail", deed.operation)));
            }
            told => warn(told.err(), &deed, run),
        }
    }
    // In a box, because its type is deeper than the compiler follows.
    let result = Box::pin(work).await;
    match &result {
        Ok(done) => {
            deed.status = DeedStatus::Done;
            done.tell(&mut deed);
        }
        Err(error) => {
            deed.status = DeedStatus::Failed;
            deed.error = Some(error.kind().name().to_owned());
        }
    }
    deed.duration_ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    warn(vault.append_audit(&deed).await.err(), &deed, run);
    result
}

fn warn(error: Option<Error>, deed: &Deed, run: &Run) {
    if let Some(error) = error {
        let text = format!("the audit trail does not tell of this {}: {}", deed.operation, error.message());
        run.observer.on(&Event::Untold { text });
    }
}

/// The trail, or a part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditTrail {
    /// Where the vault is.
    pub location: String,
    /// Oldest first.
    pub entries: Vec<AuditEntry>,
    /// Numbers of what was announced without a word of how it ended.
    pub unended: Vec<u64>,
    /// What is wrong with all of it, whatever was asked for. `None`: nobody asked.
    pub findings: Option<Vec<AuditFinding>>,
}

/// Reads the trail; `examined` looks whether it is whole, too.
///
/// Errors: `Vault`. What cannot be believed is left out, and a finding.
pub async fn audit(vault: &Arc<Vault>, filter: &AuditFilter, examined: bool) -> Result<AuditTrail> {
    let stored = vault.audit_trail().await?;
    let findings = match examined {
        true => {
            let backups = published(vault).await?;
            let links: Vec<Link> = stored.iter().map(link).collect();
            Some(examine(&links, &backups, vault.now().await?))
        }
        false => None,
    };
    let entries: Vec<AuditEntry> = stored.into_iter().filter_map(|stored| stored.entry.ok()).collect();
    let unended = unended(&entries);
    let entries: Vec<AuditEntry> = entries.into_iter().filter(|entry| filter.admits(entry)).collect();
    let shown: HashSet<u64> = entries.iter().map(|entry| entry.number).collect();
    let unended = unended.into_iter().filter(|number| shown.contains(number)).collect();
    Ok(AuditTrail { location: vault.store.location(), entries, unended, findings })
}

fn link(stored: &StoredEntry) -> Link {
    let entry = stored.entry.as_ref().map(Clone::clone).map_err(Error::message);
    Link { number: stored.number, sha256: stored.sha256.clone(), entry }
}

/// Every backup of the vault, with when its manifest was written.
async fn published(vault: &Arc<Vault>) -> Result<Vec<(BackupId, Timestamp)>> {
    let of_database = async |name: DatabaseName| -> Result<Vec<(BackupId, Timestamp)>> {
        let layout = crate::vault::layout::Layout::new(&name);
        let objects = store::list_all(&*vault.store, &layout.backups()).await?;
        let published =
            objects.into_iter().filter_map(|object| Some((layout.published(&object.key)?, object.modified)));
        Ok(published.collect())
    };
    let lists = stream::iter(vault.databases().await?).map(of_database).buffered(LISTS_AT_ONCE);
    Ok(lists.try_collect::<Vec<_>>().await?.concat())
}

/// For a spreadsheet: `Timestamp,Type,Status,Size,Location,Verified,Actor`.
pub fn csv(trail: &AuditTrail) -> String {
    let mut text = "Timestamp,Type,Status,Size,Location,Verified,Actor\r\n".to_owned();
    for AuditEntry { at, deed, .. } in &trail.entries {
        let status = match &deed.error {
            Some(error) => format!("{}: {error}", deed.status.as_str()),
            None => deed.status.as_str().to_owned(),
        };
        let size = deed.stored_bytes.map_or(String::new(), |bytes| bytes.to_string());
        let verified = deed
            .verified
            .map_or(String::new(), |proof| format!("{} {}", proof.depth, if proof.ok { "passed" } else { "failed" }));
        let fields = [
            at.to_string(),
            deed.operation.to_string(),
            status,
            size,
            location(&trail.location, deed),
            verified,
            deed.actor.clone(),
        ];
        text.push_str(&format!("{}\r\n", fields.map(|field| csv_field(&field)).join(",")));
    }
    text
}

/// Where in the vault, and what outside of it.
fn location(vault: &str, deed: &Deed) -> String {
    let mut place = vault.to_owned();
    place.extend(deed.database.iter().map(|database| format!("/databases/{database}")));
    place.extend(deed.backup.iter().map(|backup| format!("/backups/{backup}")));
    match &deed.target {
        Some(target) => format!("{place} -> {target}"),
        None => place,
    }
}

/// In quotes where it must be. A spreadsheet must not take it for a formula.
fn csv_field(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures::future::join_all;

    use super::*;
    use crate::ops::Observer;
    use crate::ops::fixture::{self, Backup};
    use crate::plan::audit::AuditFindingKind;
    use crate::store::memory::MemoryStore;
    use crate::store::{ObjectStore, Tries};
    use crate::vault::{DatabaseVault, layout};

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Observer for Notes {
        fn on(&self, event: &Event) {
            if let Event::Untold { text } = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    struct Rig {
        store: Arc<MemoryStore>,
        vault: Arc<Vault>,
        db: DatabaseVault,
        notes: Arc<Notes>,
        run: Run,
    }

    impl Rig {
        async fn new() -> Self {
            let store = Arc::new(MemoryStore::new());
            let vault = fixture::vault_in(Arc::clone(&store)).await;
            let db = fixture::another_database(&vault, "shop").await;
            let notes = Arc::new(Notes::default());
            let run = Run { observer: Arc::clone(&notes) as _, ..fixture::run("ann@host") };
            Self { store, vault, db, notes, run }
        }

        async fn does(&self, operation: Operation) -> Result<()> {
            let intent = Intent::to(operation).database(&self.db.name);
            audited(&self.vault, &self.run, intent, async { Ok(()) }).await
        }

        async fn trail(&self) -> AuditTrail {
            audit(&self.vault, &AuditFilter::default(), true).await.unwrap()
        }

        async fn findings(&self) -> Vec<AuditFindingKind> {
            self.trail().await.findings.unwrap().into_iter().map(|finding| finding.kind).collect()
        }

        /// Puts an object in another's place.
        async fn replace(&self, key: &str, bytes: Option<Bytes>) {
            self.store.delete(key).await.unwrap();
            if let Some(bytes) = bytes {
                self.store.put_new(key, bytes, Tries::Many).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_lets_go_is_announced_and_everything_is_told_when_it_ends() {
        let rig = Rig::new().await;
        for operation in Operation::ALL {
            rig.does(operation).await.unwrap();
        }
        let intent =
            Intent::to(Operation::Backup).database(&rig.db.name).caller(Some("arn:aws:iam::1:user/ann".to_owned()));
        let failed: Result<()> =
            audited(&rig.vault, &rig.run, intent, async { Err(Error::database("no server")) }).await;
        assert_eq!(failed.unwrap_err().message(), "no server");
        let trail = rig.trail().await;
        let told: Vec<(Operation, DeedStatus)> =
            trail.entries.iter().map(|entry| (entry.deed.operation, entry.deed.status)).collect();
        let mut expected: Vec<(Operation, DeedStatus)> = Vec::new();
        for operation in Operation::ALL {
            expected.extend(operation.is_announced().then_some((operation, DeedStatus::Announced)));
            expected.push((operation, DeedStatus::Done));
        }
        expected.push((Operation::Backup, DeedStatus::Failed));
        assert_eq!(told, expected);
        let last = &trail.entries.last().unwrap().deed;
        assert_eq!(last.error.as_deref(), Some("database_unreachable"));
        assert_eq!(last.actor, "ann@host as arn:aws:iam::1:user/ann");
        assert_eq!((trail.unended, trail.findings), (vec![], Some(vec![])));
        assert!(rig.notes.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn nothing_is_let_go_without_a_trace_and_a_restore_goes_on_without_one() {
        let rig = Rig::new().await;
        rig.store.allow_writes(Some(0));
        for operation in Operation::ALL {
            let done = rig.does(operation).await;
            assert_eq!(done.is_err(), operation.lets_go(), "{operation}");
            let notes = std::mem::take(&mut *rig.notes.0.lock().unwrap());
            assert_eq!(notes.is_empty(), operation.lets_go(), "{operation}: {notes:?}");
        }
        assert_eq!(rig.trail().await.entries, []);
    }

    #[tokio::test]
    async fn what_was_killed_on_the_way_is_seen() {
        let rig = Rig::new().await;
        let intent = Intent::to(Operation::Delete).database(&rig.db.name);
        let mut killed = Box::pin(audited(&rig.vault, &rig.run, intent, std::future::pending::<Result<()>>()));
        assert!(futures::poll!(&mut killed).is_pending());
        drop(killed);
        rig.does(Operation::Verify).await.unwrap();
        let trail = rig.trail().await;
        assert_eq!((trail.unended, trail.findings), (vec![1], Some(vec![])));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_who_write_at_once_everybody_gets_a_place() {
        let rig = Arc::new(Rig::new().await);
        let writers = (0..20).map(|_| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.does(Operation::Cleanup).await })
        });
        join_all(writers).await.into_iter().for_each(|written| written.unwrap().unwrap());
        let trail = rig.trail().await;
        let numbers: Vec<u64> = trail.entries.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, Vec::from_iter(1..=40));
        assert_eq!((trail.unended, trail.findings), (vec![], Some(vec![])));
    }

    #[tokio::test]
    async fn a_trail_goes_on_from_block_to_block() {
        let rig = Rig::new().await;
        let deed = Intent::to(Operation::Verify).deed(&rig.run);
        for _ in 0..1003 {
            rig.vault.append_audit(&deed).await.unwrap();
        }
        assert_eq!(rig.store.list_names(layout::AUDIT).await.unwrap(), ["000000000", "000000001"]);
        assert_eq!(rig.trail().await.entries.len(), 1003);
        assert_eq!(rig.findings().await, []);
    }

    #[tokio::test]
    async fn whoever_changes_the_trail_is_found_out() {
        let rig = Rig::new().await;
        for operation in [Operation::Backup, Operation::Verify, Operation::Hold, Operation::Backup] {
            rig.does(operation).await.unwrap();
        }
        let [first, second, third, last] = [1, 2, 3, 4].map(layout::audit_entry);
        let bytes = async |key: &str| rig.store.get(key).await.unwrap();
        let (two, three) = (bytes(&second).await, bytes(&third).await);

        let other = String::from_utf8(two.to_vec()).unwrap().replace("ann@host", "bob@host");
        rig.replace(&second, Some(other.into())).await;
        assert_eq!(rig.findings().await, [AuditFindingKind::Forged, AuditFindingKind::Broken], "changed");
        rig.replace(&second, None).await;
        assert_eq!(rig.findings().await, [AuditFindingKind::Missing], "removed");
        rig.replace(&second, Some(three.clone())).await;
        rig.replace(&third, Some(two.clone())).await;
        let found = rig.findings().await;
        assert!(found.len() >= 2 && found.contains(&AuditFindingKind::Forged), "exchanged: {found:?}");
        rig.replace(&second, Some(two)).await;
        rig.replace(&third, Some(three)).await;
        assert_eq!(rig.findings().await, [], "as it was");
        rig.replace(&first, None).await;
        assert_eq!(rig.findings().await, [AuditFindingKind::Missing], "the beginning");
        // A shorter chain is whole: only the vault shows what is missing.
        rig.replace(&last, None).await;
        assert_eq!(rig.findings().await, [AuditFindingKind::Missing]);
        // The next entry goes on after what is there.
        rig.does(Operation::Verify).await.unwrap();
        assert_eq!(rig.findings().await, [AuditFindingKind::Missing]);
    }

    #[tokio::test]
    async fn a_backup_of_which_nothing_is_told_is_found() {
        let rig = Rig::new().await;
        rig.does(Operation::Init).await.unwrap();
        Backup::new("2026-11-20T02:00:00Z", "daily").publish(&rig.db).await;
        assert_eq!(rig.findings().await, [], "its entry may be on its way");
        let (links, backups) = (rig.vault.audit_trail().await.unwrap(), published(&rig.vault).await.unwrap());
        let links: Vec<Link> = links.iter().map(link).collect();
        let later = Timestamp::now() + jiff::SignedDuration::from_hours(2);
        // Both are of the same moment here.
        let backups: Vec<_> =
            backups.into_iter().map(|(id, at)| (id, at + jiff::SignedDuration::from_secs(1))).collect();
        assert_eq!(examine(&links, &backups, later).len(), 1);
    }

    #[tokio::test]
    async fn the_trail_as_a_spreadsheet_reads_it() {
        let rig = Rig::new().await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&rig.db).await;
        let intent = Intent::to(Operation::Hold).database(&rig.db.name).backup(&id).target("case \"4711\", legal");
        audited(&rig.vault, &rig.run, intent, async { Ok(()) }).await.unwrap();
        let text = csv(&rig.trail().await);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines[0], "Timestamp,Type,Status,Size,Location,Verified,Actor");
        let place = format!("memory/databases/shop/backups/{id} -> case \"\"4711\"\", legal");
        assert!(lines[1].ends_with(&format!("Z,hold,done,,\"{place}\",,ann@host")), "{}", lines[1]);
        assert_eq!(lines.len(), 3);
        for (text, field) in [("=1+1", "'=1+1"), ("-x", "'-x"), ("a\nb", "\"a\nb\""), ("plain", "plain")] {
            assert_eq!(csv_field(text), field);
        }
    }
}
