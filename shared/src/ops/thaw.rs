//! Archived backups that the store has frozen: what of them cannot be read, and asking for it.
//!
//! What describes a backup is never frozen, only its rows. Whoever needs them asks the store, waits for hours, and starts
//! again: nothing here waits. Who asks takes a hold, so that no cleanup deletes what is being thawed; its name tells the next
//! one who looks how the thaw was asked for, and so when it will be over.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::holds::{self, Use, read_holds};
use super::{BackupSummary, Event, Run};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BackupId, DatabaseName, Manifest, PackId, Storage};
use crate::plan::cost::{ObjectSize, Prices};
use crate::plan::thaw::{Frost, Offer, Sight, after};
use crate::spell;
use crate::store::{self, Thaw, ThawTier};
use crate::vault::DatabaseVault;

const HEADS_AT_ONCE: usize = 32;
const REQUESTS_AT_ONCE: usize = 16;
/// How long thawed objects can be read where nobody says it: long enough for a restore that needs a second try.
pub const DEFAULT_DAYS: u32 = 3;
const MOST_DAYS: u32 = 365;
/// What names of holds begin with that a thaw took; its speed follows.
const HOLD: &str = "thaw-";

/// How somebody wants it thawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThawRequest {
    pub tier: ThawTier,
    /// How long it can be read then.
    pub days: u32,
}

impl ThawRequest {
    /// Errors: `Usage` for no days, or more than a year of them.
    pub fn new(tier: ThawTier, days: u32) -> Result<Self> {
        match (1..=MOST_DAYS).contains(&days) {
            true => Ok(Self { tier, days }),
            false => Err(Error::usage(format!("thawed objects can be kept for 1 to {MOST_DAYS} days, not {days}"))),
        }
    }
}

/// How much of a backup can be read, and what it takes to read the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThawPlan {
    #[serde(flatten)]
    pub frost: Frost,
    /// Ways to thaw what is frozen, the fastest first.
    pub offers: Vec<Offer>,
}

impl ThawPlan {
    pub fn new(frost: Frost, days: u32, prices: &Prices) -> Self {
        Self { offers: frost.offers(days, prices), frost }
    }
}

/// As `thaw --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThawReport {
    pub id: BackupId,
    pub database: DatabaseName,
    #[serde(flatten)]
    pub plan: ThawPlan,
    /// Objects that this call asked for.
    pub asked_for: u64,
}

/// Looks whether the rows of a backup can be read, and asks for them if that is wanted.
///
/// Errors: `NotFound`; `Usage` for a speed that the storage class does not have; `Vault`.
pub async fn thaw(
    db: &DatabaseVault,
    id: &BackupId,
    request: Option<ThawRequest>,
    days: u32,
    prices: &Prices,
    run: &Run,
) -> Result<ThawReport> {
    let manifest = db.manifest(id).await?;
    let mut asked_for = 0;
    if let Some(request) = request {
        asked_for = ask(db, &manifest, None, request, run).await?;
    }
    let plan = ThawPlan::new(frost(db, &manifest, None).await?, days, prices);
    Ok(ThawReport { id: id.clone(), database: db.name.clone(), plan, asked_for })
}

/// Refuses, with `Confirmation`, a backup of which something cannot be read.
pub async fn require_readable(db: &DatabaseVault, manifest: &Manifest) -> Result<()> {
    match refusal(&manifest.id, &frost(db, manifest, None).await?) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

/// Why it cannot be read now, and when it can: `Confirmation`.
pub fn refusal(id: &BackupId, frost: &Frost) -> Option<Error> {
    let Frost { frozen, underway, ready_by, .. } = frost;
    if frozen.objects > 0 {
        let size = spell::bytes(frozen.stored_bytes);
        let what = format!("{} objects with rows of {id} ({size}) are frozen", frozen.objects);
        return Some(Error::confirmation(what).hint(format!(
            "`lifeboat thaw {id}` says how long thawing takes and what it costs, and asks for it with --tier"
        )));
    }
    (underway.objects > 0).then(|| {
        let (objects, size) = (underway.objects, spell::bytes(underway.stored_bytes));
        let what = format!("{objects} objects with rows of {id} ({size}) are being thawed");
        Error::confirmation(what).hint(match ready_by {
            Some(by) => format!("try again at {by}: by then it is over"),
            None => format!("try again later: `lifeboat thaw {id}` says how far it is"),
        })
    })
}

/// What of a backup's rows, or of those in the packs that are wanted, can be read.
pub async fn frost(db: &DatabaseVault, manifest: &Manifest, wanted: Option<&HashSet<PackId>>) -> Result<Frost> {
    let frost = Frost::of(&sights(db, manifest, wanted).await?);
    match frost.underway.objects {
        0 => Ok(frost),
        _ => Ok(frost.asked(last_asked(db, &manifest.id).await?)),
    }
}

/// Whether a backup's rows can be read now. Of one whose manifest is damaged too: whoever reads it says what is wrong.
pub async fn can_be_read(db: &DatabaseVault, backup: &BackupSummary) -> Result<bool> {
    if backup.storage == Storage::Pool {
        return Ok(true);
    }
    match db.manifest(&backup.id).await {
        Ok(manifest) => Ok(frost(db, &manifest, None).await?.is_readable()),
        Err(error) if error.kind() == ErrorKind::Verification => Ok(true),
        Err(error) => Err(error),
    }
}

/// Asks for everything that is frozen; says how many objects that are. Run again, it asks for what is left.
///
/// Errors: `Usage` for a speed that the storage class does not have.
pub async fn ask(
    db: &DatabaseVault,
    manifest: &Manifest,
    wanted: Option<&HashSet<PackId>>,
    request: ThawRequest,
    run: &Run,
) -> Result<u64> {
    let sights = sights(db, manifest, wanted).await?;
    let frost = Frost::of(&sights);
    if frost.frozen.objects == 0 {
        return Ok(0);
    }
    let Some(minutes) = frost.at_most_minutes(request.tier) else {
        return Err(Error::usage(format!("what is frozen of {} cannot be thawed {}", manifest.id, request.tier))
            .hint("use standard or bulk"));
    };
    hold(db, &manifest.id, request, minutes, run).await?;
    run.observer.on(&Event::Step { name: "thaw" });
    let frozen = sights.iter().filter(|sight| sight.thaw == Thaw::Frozen);
    let ask = async |sight: &Sight| {
        run.check("asking for frozen objects")?;
        db.store().thaw(&sight.key, request.tier, request.days).await
    };
    stream::iter(frozen).map(ask).buffer_unordered(REQUESTS_AT_ONCE).try_collect::<()>().await?;
    Ok(frost.frozen.objects)
}

/// So that what is thawed is not deleted before it was read.
async fn hold(db: &DatabaseVault, id: &BackupId, request: ThawRequest, minutes: u32, run: &Run) -> Result<()> {
    let ThawRequest { tier, days } = request;
    let days = SignedDuration::from_hours(24 * i64::from(days));
    let until = after(db.vault.now().await?, minutes).checked_add(days).unwrap_or(Timestamp::MAX);
    let name = format!("{HOLD}{tier}-{}", holds::new_name());
    let how = format!("({tier})");
    holds::hold_while(db, id, (Use::Thawed, &how), Some(name), until, run).await.map(drop)
}

/// When, and how, somebody last asked for this backup.
async fn last_asked(db: &DatabaseVault, id: &BackupId) -> Result<Option<(Timestamp, ThawTier)>> {
    let holds = read_holds(db, &db.layout.holds(id)).await?;
    let asked = holds.into_iter().filter_map(|found| found.state.ok()).filter_map(|state| {
        let (tier, _) = state.hold.hold.strip_prefix(HOLD)?.split_once('-')?;
        Some((state.hold.at, tier.parse().ok()?))
    });
    Ok(asked.max_by_key(|(at, _)| *at))
}

/// Every object with rows of the backup, and whether it can be read. A listing tells which class an object has, but not
/// whether it is thawed.
async fn sights(db: &DatabaseVault, manifest: &Manifest, wanted: Option<&HashSet<PackId>>) -> Result<Vec<Sight>> {
    if manifest.storage != Storage::Archive {
        return Ok(Vec::new());
    }
    let objects = store::list_all(db.store(), &db.layout.shelf(&manifest.row_shelf())).await?;
    let is_wanted =
        |key: &str| db.layout.pack_of_key(key).is_some_and(|pack| wanted.is_none_or(|wanted| wanted.contains(&pack)));
    let look = async |object: store::ObjectInfo| {
        let thaw = match object.storage_class.is_frozen() {
            true => db.store().head(&object.key).await?.thaw,
            false => Thaw::NotNeeded,
        };
        let size = ObjectSize { class: object.storage_class, bytes: object.size_bytes };
        Ok::<_, Error>(Sight { key: object.key, size, thaw })
    };
    let wanted = objects.into_iter().filter(|object| is_wanted(&object.key));
    stream::iter(wanted).map(look).buffered(HEADS_AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::error::ErrorKind;
    use crate::model::{Depth, Shelf};
    use crate::ops::fixture::{self, Backup};
    use crate::ops::verify::verify;
    use crate::store::StorageClass;
    use crate::store::memory::MemoryStore;
    use crate::vault::layout::PackName;
    use crate::vault::pack::pack_id;

    fn run() -> Run {
        fixture::run("ann")
    }

    /// A vault with an archived backup of three packs, which are frozen.
    async fn frozen() -> (Arc<MemoryStore>, DatabaseVault, Manifest) {
        let store = Arc::new(MemoryStore::new());
        let vault = fixture::vault_in(Arc::clone(&store)).await;
        let db = fixture::another_database(&vault, "shop").await;
        let mut backup = Backup::new("2026-11-01T02:00:00Z", "monthly").archived();
        let shelf = Shelf::Archive(backup.id().clone());
        for number in 0..3u8 {
            let bytes = Bytes::from(vec![number; 100]);
            let pack = pack_id(&bytes);
            db.put_pack_as(&PackName::plain(shelf.clone(), pack), bytes).await.unwrap();
            backup = backup.sized_pack(pack, 100);
        }
        let id = backup.publish(&db).await;
        store.move_to(StorageClass::Glacier, &db.layout.archives());
        let manifest = db.manifest(&id).await.unwrap();
        (store, db, manifest)
    }

    #[tokio::test]
    async fn a_frozen_backup_is_asked_for_once_waited_for_and_read() {
        let (store, db, manifest) = frozen().await;
        let (run, id) = (run(), manifest.id.clone());
        let refused = verify(&db, &id, Depth::Full, None, &run).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Confirmation);
        assert!(refused.message().contains("3 objects"), "{refused}");
        assert!(verify(&db, &id, Depth::Quick, None, &run).await.unwrap().ok, "looking needs no thaw");

        let request = ThawRequest::new(ThawTier::Standard, 2).unwrap();
        assert_eq!(ask(&db, &manifest, None, request, &run).await.unwrap(), 3);
        assert_eq!(ask(&db, &manifest, None, request, &run).await.unwrap(), 0, "it is underway");
        let waiting = frost(&db, &manifest, None).await.unwrap();
        assert_eq!((waiting.frozen.objects, waiting.underway.objects), (0, 3));
        let ready_by = waiting.ready_by.expect("the hold says when it was asked for");
        let refused = require_readable(&db, &manifest).await.unwrap_err();
        assert_eq!(refused.hint_text(), Some(format!("try again at {ready_by}: by then it is over").as_str()));

        store.advance(SignedDuration::from_hours(6));
        assert!(db.vault.now().await.unwrap() >= ready_by);
        require_readable(&db, &manifest).await.unwrap();
        let held = read_holds(&db, &db.layout.holds(&id)).await.unwrap();
        assert_eq!(held.len(), 1);
        let state = held[0].state.as_ref().unwrap();
        assert!(state.is_in_force(ready_by) && state.hold.reason == "being thawed (standard)");

        store.advance(SignedDuration::from_hours(49));
        assert_eq!(require_readable(&db, &manifest).await.unwrap_err().kind(), ErrorKind::Confirmation);
        assert!(!state.is_in_force(db.vault.now().await.unwrap()), "and so ends the hold");
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_thawed() {
        let (_, db, manifest) = frozen().await;
        let packs = db.pack_list(&manifest).await.unwrap();
        let one: HashSet<PackId> = packs.packs.iter().take(1).map(|entry| entry.pack).collect();
        let request = ThawRequest::new(ThawTier::Expedited, 1).unwrap();
        assert_eq!(ask(&db, &manifest, Some(&one), request, &run()).await.unwrap(), 1);
        let whole = thaw(&db, &manifest.id, None, 1, &Prices::default(), &run()).await.unwrap().plan;
        assert_eq!((whole.frost.frozen.objects, whole.frost.underway.objects, whole.offers.len()), (2, 1, 3));
    }

    #[tokio::test]
    async fn a_speed_that_the_class_does_not_have_is_refused_before_anything_is_asked() {
        let (store, db, manifest) = frozen().await;
        store.move_to(StorageClass::DeepArchive, &db.layout.archives());
        let request = ThawRequest::new(ThawTier::Expedited, 1).unwrap();
        let refused = ask(&db, &manifest, None, request, &run()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
        assert!(read_holds(&db, &db.layout.holds(&manifest.id)).await.unwrap().is_empty());
        assert!(ThawRequest::new(ThawTier::Bulk, 0).is_err() && ThawRequest::new(ThawTier::Bulk, 366).is_err());
    }

    #[tokio::test]
    async fn what_shares_the_pool_is_not_looked_at() {
        let (_, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        let report = thaw(&db, &id, None, 1, &Prices::default(), &run()).await.unwrap();
        assert!(report.plan.frost == Frost::default() && report.plan.frost.is_readable());
    }
}
