//! What backups there are, with what is known about each.
//!
//! Per database: one listing each of manifests, verdicts, holds and tombstones, then the manifests, many at a time. Nothing
//! that is damaged hides the rest: it is told as a problem beside the list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::cleanup::facts::unless_swept;
use super::holds::{FoundHold, read_holds};
use super::report::{BackupSummary, LastVerdict};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, DatabaseName, Finding, Manifest, PackId, Tier, VerdictSummary};
use crate::vault::{DatabaseVault, Vault};

const READS_AT_ONCE: usize = 16;

/// Oldest first.
type Verdicts = BTreeMap<BackupId, Vec<VerdictSummary>>;

/// Which backups to list. The default is all that are not deleted.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    pub tier: Option<Tier>,
    /// Each must be there with this value.
    pub tags: BTreeMap<String, String>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// Deleted ones that the sweep has not removed yet, too.
    pub all: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Newest first.
    pub backups: Vec<BackupSummary>,
    /// Records that are damaged, by their keys in the vault.
    pub problems: Vec<Finding>,
}

/// The backups of one database, or of all.
///
/// Errors: `NotFound` for a database that the vault does not have; `Vault`. Damage is not an error but a problem in the answer.
pub async fn list(vault: &Arc<Vault>, database: Option<&DatabaseName>, filter: &ListFilter) -> Result<Listing> {
    let mut listing = Listing::default();
    for name in vault.databases_or(database).await? {
        match vault.database(&name).await {
            Ok(db) => list_database(&db, filter, &mut listing).await?,
            Err(error) if database.is_none() && is_damage(&error) => {
                listing.problem(format!("databases/{name}"), &error)
            }
            Err(error) => return Err(error),
        }
    }
    listing.backups.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(listing)
}

impl Listing {
    fn problem(&mut self, object: String, error: &Error) {
        self.problems.push(Finding { object, problem: error.message(), pack: None });
    }

    /// Takes damage as a problem and goes on with `instead`; anything else ends the listing.
    fn accept<T>(&mut self, object: impl FnOnce() -> String, result: Result<T>, instead: T) -> Result<T> {
        match result {
            Err(error) if is_damage(&error) => {
                self.problem(object(), &error);
                Ok(instead)
            }
            other => other,
        }
    }
}

/// A vault that cannot be reached says nothing about the next object; a damaged object only speaks for itself.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound | ErrorKind::Usage)
}

async fn list_database(db: &DatabaseVault, filter: &ListFilter, listing: &mut Listing) -> Result<()> {
    let tombstoned = listing.accept(|| db.layout.all_tombstones(), db.tombstoned().await, HashSet::new())?;
    let held = held(db, listing).await?;
    let mut ids = db.published().await?;
    let verdicts = verdicts(db, &ids, listing).await?;
    ids.retain(|id| filter.may_admit(id, db.job_limit(id.time())) && (filter.all || !tombstoned.contains(id)));

    let manifests: Vec<(BackupId, Result<Option<Manifest>>)> = stream::iter(ids)
        .map(async |id| {
            let manifest = unless_swept(db, &id, db.manifest(&id).await).await;
            (id, manifest)
        })
        .buffered(READS_AT_ONCE)
        .collect()
        .await;
    let damage = damage(db, &verdicts).await?;
    for (id, manifest) in manifests {
        let Some(manifest) = listing.accept(|| db.layout.manifest(&id), manifest, None)? else { continue };
        if !filter.admits(&manifest) {
            continue;
        }
        let own = verdicts.get(&id).and_then(|verdicts| last_word(verdicts));
        let verified = match own {
            Some(verdict) if !verdict.ok => Some(verdict),
            own => damage.of(db, &manifest).await?.or(own),
        };
        let mut summary = BackupSummary::of(&manifest, verified, held.contains(&id));
        summary.deleted = tombstoned.contains(&id);
        listing.backups.push(summary);
    }
    Ok(())
}

impl ListFilter {
    /// Whether the manifest is worth reading: an id tells the tier, and when the job began; the snapshot came after that,
    /// and before `limit`.
    fn may_admit(&self, id: &BackupId, limit: Timestamp) -> bool {
        self.tier.as_ref().is_none_or(|tier| id.tier() == *tier) && self.since.is_none_or(|since| limit >= since)
    }

    fn admits(&self, manifest: &Manifest) -> bool {
        let tagged = |(key, value)| manifest.tags.get(key) == Some(value);
        self.tags.iter().all(tagged) && self.since.is_none_or(|since| manifest.snapshot.taken_at >= since)
    }
}

/// Verdicts by backup. A damaged one costs those of its backup, no more.
async fn verdicts(db: &DatabaseVault, ids: &[BackupId], listing: &mut Listing) -> Result<Verdicts> {
    match db.verdict_summaries().await {
        Err(error) if is_damage(&error) => {}
        all => return all,
    }
    let mut verdicts = Verdicts::new();
    for id in ids {
        let summaries = db.verdicts(id).await.map(|all| all.iter().map(VerdictSummary::of).collect());
        verdicts.insert(id.clone(), listing.accept(|| db.layout.verdicts(id), summaries, Vec::new())?);
    }
    Ok(verdicts)
}

/// What the verdicts on one backup, oldest first, say together: the newest failure that no later success at its depth or
/// deeper has answered; else the newest of the deepest successes.
pub fn last_word(verdicts: &[VerdictSummary]) -> Option<LastVerdict> {
    let answered = |failed: &VerdictSummary, after: &[VerdictSummary]| {
        after.iter().any(|later| later.ok && later.depth >= failed.depth)
    };
    let standing = |&at: &usize| !verdicts[at].ok && !answered(&verdicts[at], &verdicts[at + 1..]);
    let failed = (0..verdicts.len()).rev().find(standing);
    let word = match failed {
        Some(at) => &verdicts[at],
        None => verdicts.iter().filter(|v| v.ok).max_by_key(|v| (v.depth, v.at))?,
    };
    Some(LastVerdict { depth: word.depth, at: word.at, ok: word.ok })
}

/// Packs that a standing failure of some backup names: every backup that needs one of them is damaged, too.
#[derive(Default)]
struct Damage(HashMap<PackId, LastVerdict>);

async fn damage(db: &DatabaseVault, verdicts: &Verdicts) -> Result<Damage> {
    let mut packs = HashMap::new();
    for (id, summaries) in verdicts {
        let Some(failed) = last_word(summaries).filter(|word| !word.ok) else { continue };
        let found = db.verdicts(id).await.unwrap_or_default();
        let named = found.iter().filter(|v| !v.ok).flat_map(|v| &v.findings).filter_map(|finding| finding.pack);
        packs.extend(named.map(|pack| (pack, failed)));
    }
    Ok(Damage(packs))
}

impl Damage {
    async fn of(&self, db: &DatabaseVault, manifest: &Manifest) -> Result<Option<LastVerdict>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let packs = match db.pack_list(manifest).await {
            Ok(packs) => packs,
            // Its own verification will say so; a list answers from what was verified.
            Err(error) if is_damage(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(packs.packs.iter().find_map(|entry| self.0.get(&entry.pack)).copied())
    }
}

/// Backups with a hold that is neither released nor over.
async fn held(db: &DatabaseVault, listing: &mut Listing) -> Result<HashSet<BackupId>> {
    let now = Timestamp::now();
    let mut held = HashSet::new();
    for FoundHold { key, backup, state } in read_holds(db, &db.layout.all_holds()).await? {
        let in_force = state.map(|state| state.is_in_force(now));
        // A hold that cannot be read holds: the safe answer.
        let in_force = listing.accept(|| key, in_force, true)?;
        held.extend(backup.filter(|_| in_force));
    }
    Ok(held)
}

/// Finds the one backup that `name` means ([`DatabaseVault::resolve`]) in the databases to look in.
///
/// Errors: `NotFound`; `Usage` when several databases have such a backup.
pub async fn find(vault: &Arc<Vault>, databases: &[DatabaseName], name: &str) -> Result<(DatabaseVault, BackupId)> {
    if let [only] = databases {
        let db = vault.database(only).await?;
        let id = db.resolve(name).await?;
        return Ok((db, id));
    }
    let found: Vec<Option<(DatabaseVault, BackupId)>> = stream::iter(databases.to_vec())
        .map(async |database| {
            let db = vault.database(&database).await?;
            match db.resolve(name).await {
                Ok(id) => Ok(Some((db, id))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await?;
    let mut found = found.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::not_found(format!("no database of the vault has a backup {name}"))
            .hint("`lifeboat list` shows what is there")),
        (Some((one, _)), Some((other, _))) => {
            Err(Error::usage(format!("{name:?} could be a backup of {} or of {}", one.name, other.name))
                .hint("choose one with --database"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Depth, Hold, Verdict};
    use crate::ops::fixture::{self, Backup};
    use crate::store::Tries;

    fn verdict(second: i64, depth: Depth, ok: bool) -> VerdictSummary {
        VerdictSummary { at: Timestamp::from_second(second).unwrap(), depth, ok }
    }

    #[test]
    fn the_deepest_success_is_the_last_word_unless_a_failure_stands() {
        use Depth::*;
        let word = |said: &[(Depth, bool)]| {
            let said: Vec<_> = said.iter().zip(0..).map(|(&(depth, ok), second)| verdict(second, depth, ok)).collect();
            last_word(&said).map(|word| (word.depth, word.ok, word.at.as_second()))
        };
        assert_eq!(word(&[]), None);
        assert_eq!(word(&[(Full, true), (Quick, true)]), Some((Full, true, 0)));
        assert_eq!(word(&[(Full, true), (Full, true)]), Some((Full, true, 1)));
        assert_eq!(word(&[(Full, true), (Quick, false)]), Some((Quick, false, 1)));
        assert_eq!(word(&[(Full, false), (Quick, true)]), Some((Full, false, 0)));
        assert_eq!(word(&[(Full, false), (Restore, true)]), Some((Restore, true, 1)));
    }

    proptest! {
        #[test]
        fn a_failure_as_newest_verdict_is_never_hidden(before in prop::collection::vec((0usize..3, any::<bool>()), 0..6), depth in 0usize..3) {
            let mut said: Vec<_> =
                before.iter().zip(0..).map(|(&(depth, ok), second)| verdict(second, Depth::ALL[depth], ok)).collect();
            said.push(verdict(99, Depth::ALL[depth], false));
            prop_assert!(!last_word(&said).unwrap().ok);
        }
    }

    #[tokio::test]
    async fn backups_are_listed_newest_first_and_filtered() {
        let (vault, db) = fixture::database("shop").await;
        let old = Backup::new("2026-11-20T02:00:00Z", "daily").tag("release", "1").publish(&db).await;
        let new = Backup::new("2026-11-21T02:00:00Z", "daily").publish(&db).await;
        let other = Backup::new("2026-11-21T03:00:00Z", "manual").publish(&db).await;
        let ids = async |filter: ListFilter| -> Vec<BackupId> {
            list(&vault, None, &filter).await.unwrap().backups.into_iter().map(|b| b.id).collect()
        };
        assert_eq!(ids(ListFilter::default()).await, [other, new.clone(), old.clone()]);
        let daily = ListFilter { tier: Some("daily".parse().unwrap()), ..Default::default() };
        assert_eq!(ids(daily.clone()).await, [new.clone(), old.clone()]);
        let since = Some("2026-11-21T00:00:00Z".parse().unwrap());
        assert_eq!(ids(ListFilter { since, ..daily }).await, [new]);
        let tags = [("release".to_owned(), "1".to_owned())].into();
        assert_eq!(ids(ListFilter { tags, ..Default::default() }).await, [old]);
    }

    #[tokio::test]
    async fn a_damaged_manifest_does_not_hide_the_others() {
        let (vault, db) = fixture::database("shop").await;
        let good = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        let bad: BackupId = "20261121T020000Z-daily-aaaa".parse().unwrap();
        let key = db.layout.manifest(&bad);
        db.store().put_new(&key, "{}".into(), Tries::Many).await.unwrap();
        let listing = list(&vault, None, &ListFilter::default()).await.unwrap();
        assert_eq!(listing.backups.into_iter().map(|b| b.id).collect::<Vec<_>>(), [good]);
        assert_eq!(listing.problems.into_iter().map(|p| p.object).collect::<Vec<_>>(), [key]);
    }

    #[tokio::test]
    async fn a_damaged_pack_unverifies_every_backup_that_needs_it() {
        let (vault, db) = fixture::database("shop").await;
        let pack = PackId([7; 32]);
        let first = Backup::new("2026-11-20T02:00:00Z", "daily").pack(pack).publish(&db).await;
        let second = Backup::new("2026-11-21T02:00:00Z", "daily").pack(pack).publish(&db).await;
        let apart = Backup::new("2026-11-22T02:00:00Z", "daily").publish(&db).await;
        let ok = |id: &BackupId| fixture::verdict(&db, id, Depth::Full);
        db.write_verdict(&ok(&second)).await.unwrap();
        db.write_verdict(&ok(&apart)).await.unwrap();
        let finding = Finding { object: "pool/07".to_owned(), problem: "missing".to_owned(), pack: Some(pack) };
        db.write_verdict(&Verdict { ok: false, findings: vec![finding], ..ok(&first) }).await.unwrap();
        let listing = list(&vault, None, &ListFilter::default()).await.unwrap();
        let verified: Vec<_> = listing.backups.iter().map(|b| (b.id.clone(), b.verified.unwrap().ok)).collect();
        assert_eq!(verified, [(apart, true), (second, false), (first, false)]);
    }

    #[tokio::test]
    async fn a_damaged_verdict_costs_only_those_of_its_backup() {
        let (vault, db) = fixture::database("shop").await;
        let good = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        let bad = Backup::new("2026-11-21T02:00:00Z", "daily").publish(&db).await;
        db.write_verdict(&fixture::verdict(&db, &good, Depth::Full)).await.unwrap();
        let forged = db.layout.verdict(&bad, Timestamp::now(), Depth::Full, true);
        db.store().put_new(&forged, "{}".into(), Tries::Many).await.unwrap();
        let listing = list(&vault, None, &ListFilter::default()).await.unwrap();
        let verified: Vec<_> = listing.backups.iter().map(|b| (b.id.clone(), b.verified.is_some())).collect();
        assert_eq!(verified, [(bad, false), (good, true)]);
        assert_eq!(listing.problems.len(), 1);
    }

    #[tokio::test]
    async fn a_hold_whose_release_is_forged_still_holds() {
        let (vault, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        let hold = fixture::hold(&db, &id, "audit");
        db.write_record("hold", &db.layout.hold(&id, "audit"), &hold).await.unwrap();
        db.store().put_new(&db.layout.hold_release(&id, "audit"), "{}".into(), Tries::Many).await.unwrap();
        let listing = list(&vault, None, &ListFilter::default()).await.unwrap();
        assert!(listing.backups[0].held && listing.problems.len() == 1);
    }

    #[tokio::test]
    async fn a_hold_holds_until_it_is_released_or_over() {
        let (vault, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        let held = async || list(&vault, None, &ListFilter::default()).await.unwrap().backups[0].held;
        let over = Hold { until: Some("2026-11-20T03:00:00Z".parse().unwrap()), ..fixture::hold(&db, &id, "over") };
        db.write_record("hold", &db.layout.hold(&id, "over"), &over).await.unwrap();
        assert!(!held().await);
        let hold = fixture::hold(&db, &id, "audit");
        db.write_record("hold", &db.layout.hold(&id, "audit"), &hold).await.unwrap();
        assert!(held().await);
        let release = fixture::release(&hold);
        db.write_record("release", &db.layout.hold_release(&id, "audit"), &release).await.unwrap();
        assert!(!held().await);
    }

    #[tokio::test]
    async fn a_deleted_backup_is_listed_only_when_asked_for() {
        let (vault, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        db.write_record("tombstone", &db.layout.tombstone(&id, 1), &fixture::tombstone(&db, &id)).await.unwrap();
        assert_eq!(list(&vault, None, &ListFilter::default()).await.unwrap(), Listing::default());
        let all = list(&vault, None, &ListFilter { all: true, ..Default::default() }).await.unwrap();
        assert!(all.backups[0].deleted);
    }

    #[tokio::test]
    async fn a_backup_is_found_in_whichever_database_has_it() {
        let (vault, shop) = fixture::database("shop").await;
        let crm = fixture::another_database(&vault, "crm").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&crm).await;
        Backup::new("2026-11-21T02:00:00Z", "daily").publish(&shop).await;
        let names = vault.databases().await.unwrap();
        let (db, found) = find(&vault, &names, "20261120").await.unwrap();
        assert_eq!((db.name, found), (crm.name, id));
        assert_eq!(find(&vault, &names, "2026").await.unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(find(&vault, &names, "2025").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
