//! Everything that may happen to a database's backups at once, in random order, over a store that delays and repeats writes:
//! jobs that make, verify, delete, call back, hold and clean up are stepped one request at a time, sleep for days between two of
//! them, and die. The jobs are the engine's own; only the rows are missing from the backups.
//!
//! After every change the oracle, which sees all of the store at once, checks that no backup lacks an object unless it was
//! condemned, and that what is held is there. At the end, once all is quiet, that nothing needless is left.
//!
//! Mistakes that were nearly made are kept as variants: each must be found, or the walk proves nothing.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::task::noop_waker;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::model::{Claim, Depth, Manifest, PackEntry, PackId, PackOrigin, Storage, Verdict};
use crate::ops::backup::publish::publish;
use crate::ops::copy::walk::{self, Trust};
use crate::ops::fixture::{self, Backup};
use crate::ops::{delete, holds, undelete};
use crate::plan::retention::TierRules;
use crate::store::memory::MemoryStore;
use crate::store::{Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, Tries, list_all};
use crate::vault::keys::MasterKey;
use crate::vault::layout::PackName;
use crate::vault::{Vault, pack};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// A job may run for longer than what it refers to is sure to stay.
    GraceShorterThanAJob,
    /// A host that slept publishes whatever the time is.
    LatePublication,
    /// A backup on its way out is built upon.
    EntombedParent,
    /// Content is looked up in the store, not in the parent's list.
    AsksTheStore,
    /// The sweep looks at holds and deletes, with nothing written in between for a hold to lose against.
    NoOutcome,
    /// The sweep goes on without what it cannot read.
    SkipsUnreadable,
    /// A copy takes whatever it finds for what it needs.
    TrustsUnnamed,
    /// A copy brings back the name of a pack that somebody may still be about to delete.
    BringsNamesBack,
    /// A backup refers to what an archived one has for itself.
    ArchivedParent,
    /// Backups that need the same packs have the same pack list.
    SharesLists,
    /// A cleanup takes a backup for good that once passed, and later failed.
    TrustsFailed,
}

/// How long a request may be on its way.
const FLIGHT: SignedDuration = SignedDuration::from_mins(10);

/// A write. The store refuses one that was decided long ago, however often it arrives.
type Request = (String, Bytes, Tries);

struct World {
    memory: Arc<MemoryStore>,
    dice: Mutex<StdRng>,
    /// Writes whose sender has died, or that will arrive a second time.
    in_flight: Mutex<Vec<Request>>,
    /// Something was deleted, or a manifest came, since the oracle last looked.
    is_changed: Mutex<bool>,
}

impl World {
    fn roll(&self, range: Range<u32>) -> u32 {
        self.dice.lock().unwrap().random_range(range)
    }

    fn happens(&self, percent: u32) -> bool {
        self.roll(0..100) < percent
    }

    fn pick<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.roll(0..of.len() as u32) as usize])
    }

    /// What jobs are about is mostly the newest backup.
    fn pick_newest_first<'a>(&self, newest_first: &'a [BackupId]) -> Option<&'a BackupId> {
        if self.happens(50) { newest_first.first() } else { self.pick(newest_first) }
    }

    fn deliver_one(&self) {
        let arrived = self.in_flight.lock().unwrap().pop();
        if let Some((key, body, tries)) = arrived {
            let put = at_once(self.memory.put_new(&key, body, tries));
            assert!(put.is_ok() || matches!(tries, Tries::Once { .. }), "{put:?}");
            *self.is_changed.lock().unwrap() = true;
        }
    }

    /// Time passes. What is longer on its way than a request can be has arrived by then, or never will.
    fn advance(&self, by: SignedDuration) {
        if by >= FLIGHT {
            while !self.in_flight.lock().unwrap().is_empty() {
                if self.happens(50) {
                    self.deliver_one();
                } else {
                    self.in_flight.lock().unwrap().pop();
                }
            }
        }
        self.memory.advance(by);
    }
}

/// What never waits.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("a store in memory answers at once")
}

/// The store as a job sees it: somebody else may come between any two of its requests.
struct Stage {
    world: Arc<World>,
    hides: Hides,
}

/// What a listing passes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hides {
    Nothing,
    /// As if they could not be read.
    SomeManifests,
    FailedVerdicts,
}

impl Hides {
    fn of(mistake: Mistake) -> Self {
        match mistake {
            Mistake::SkipsUnreadable => Self::SomeManifests,
            Mistake::TrustsFailed => Self::FailedVerdicts,
            _ => Self::Nothing,
        }
    }

    fn is_hidden(self, key: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::SomeManifests => {
                key.ends_with("/manifest.json") && key.bytes().rev().nth(14).is_some_and(|byte| byte < b'h')
            }
            Self::FailedVerdicts => key.ends_with("-failed.json"),
        }
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

/// Lets the others go first.
async fn turn() {
    let mut has_waited = false;
    std::future::poll_fn(|cx| match std::mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// A write on its way: should its sender die now, it may still arrive.
struct Write<'a> {
    world: &'a World,
    object: Option<Request>,
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|_| self.world.happens(50)) {
            self.world.in_flight.lock().unwrap().push(object);
        }
    }
}

#[async_trait]
impl ObjectStore for Stage {
    fn location(&self) -> String {
        "stage".to_owned()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        let mut write = Write { world: &self.world, object: Some((key.to_owned(), body.clone(), tries)) };
        turn().await;
        let object = write.object.take().expect("not dropped yet");
        let put = self.world.memory.put_new_hashed(key, body, sha256, tries).await;
        if self.world.happens(5) {
            self.world.in_flight.lock().unwrap().push(object);
        }
        *self.world.is_changed.lock().unwrap() = true;
        put
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        turn().await;
        self.world.memory.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        turn().await;
        self.world.memory.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        turn().await;
        self.world.memory.head(key).await
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        turn().await;
        let mut page = self.world.memory.list_page(prefix, after, limit).await?;
        page.retain(|object| !self.hides.is_hidden(&object.key));
        Ok(page)
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        turn().await;
        self.world.memory.list_names(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        turn().await;
        *self.world.is_changed.lock().unwrap() = true;
        self.world.memory.delete(key).await
    }

    fn host_time(&self) -> Timestamp {
        at_once(self.world.memory.now()).unwrap() + SignedDuration::from_mins(4)
    }

    async fn now(&self) -> Result<Timestamp> {
        turn().await;
        self.world.memory.now().await
    }
}

/// The vault through one kind of door.
async fn open(world: &Arc<World>, master: MasterKey, mistake: Mistake, hides: Hides) -> DatabaseVault {
    let stage = Stage { world: Arc::clone(world), hides };
    let mut vault = Vault::open(Arc::new(stage), master).await.unwrap();
    if mistake == Mistake::GraceShorterThanAJob {
        (vault.format.grace_hours, vault.format.job_limit_hours) = (24, 100);
    }
    Arc::new(vault).database(&"shop".parse().unwrap()).await.unwrap()
}

fn master() -> MasterKey {
    MasterKey::from_base64(&"A".repeat(43).into()).unwrap()
}

const WHY: Motive<'static> = Motive { reason: "the walk", by: "somebody" };

/// A backup job: refers to some of what its parent has, adds something of its own; or to all of it, where nothing has changed.
/// Some are archived: theirs is theirs alone.
async fn back_up(world: Arc<World>, db: DatabaseVault, mistake: Mistake) -> Result<()> {
    let listed_at = db.vault.now().await?;
    let candidates = match mistake {
        Mistake::EntombedParent => db.published().await?,
        _ => db.live().await?,
    };
    let mut backup = Backup::new(&listed_at.to_string(), "daily");
    let storage = if world.happens(20) { Storage::Archive } else { Storage::Pool };
    if storage == Storage::Archive {
        backup = backup.archived();
    }
    if mistake == Mistake::SharesLists {
        backup = backup.with_anybodys_list();
    }
    let mut reused: Vec<PackEntry> = Vec::new();
    let is_unchanged = world.happens(if mistake == Mistake::SharesLists { 90 } else { 30 });
    let mut new_packs = world.roll(1..3);
    if let Some(parent) = world.pick_newest_first(&candidates).filter(|_| storage == Storage::Pool) {
        match packs_of_parent(&db, parent, mistake).await {
            // It was swept since it was listed, days ago: the engine passes over what it cannot read, too.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Verification) => {}
            parent => {
                let (manifest, packs) = parent?;
                reused = packs;
                if is_unchanged && !reused.is_empty() {
                    backup = backup.catalogue_of(&manifest);
                    new_packs = 0;
                }
            }
        }
    }
    if mistake == Mistake::AsksTheStore {
        let pool = list_all(db.store(), &db.layout.pool()).await?;
        let packs = pool.iter().filter_map(|object| db.layout.pack_of_key(&object.key));
        reused.extend(packs.map(|pack| PackEntry { pack, size_bytes: 1, origin: PackOrigin::Earlier }));
    }
    reused.retain(|_| new_packs == 0 || world.happens(60));
    for entry in reused {
        backup = backup.earlier(entry);
    }
    for _ in 0..new_packs {
        let bytes = Bytes::from(world.dice.lock().unwrap().random::<[u8; 24]>().to_vec());
        let id = pack::pack_id(&bytes);
        db.put_pack_as(&PackName::plain(storage.row_shelf(backup.id()), id), bytes).await?;
        backup = backup.pack(id);
    }
    let manifest = backup.store(&db).await?;
    if mistake == Mistake::LatePublication {
        return db.publish(&manifest, db.vault.now().await?).await;
    }
    let claim = Claim {
        vault: db.vault.id(),
        database: db.name.clone(),
        job: "walk".to_owned(),
        number: 1,
        attempt: manifest.attempt.clone(),
        operation: "backup".to_owned(),
        backup: manifest.id.clone(),
        by: "somebody".to_owned(),
        at: listed_at,
        deadline: db.job_limit(listed_at),
    };
    publish(&db, &manifest, &claim).await
}

/// The parent, and what of it may be referred to.
async fn packs_of_parent(
    db: &DatabaseVault,
    parent: &BackupId,
    mistake: Mistake,
) -> Result<(Manifest, Vec<PackEntry>)> {
    let manifest = db.manifest(parent).await?;
    if manifest.storage == Storage::Archive && mistake != Mistake::ArchivedParent {
        return Ok((manifest, Vec::new()));
    }
    let list = db.pack_list(&manifest).await?;
    Ok((manifest, list.packs))
}

async fn verify(world: Arc<World>, db: DatabaseVault, mistake: Mistake) -> Result<()> {
    let published = db.published().await?;
    // What matters to this mistake is that the newest pass once and then fail.
    let (picked, outcomes) = match mistake {
        Mistake::TrustsFailed => (world.pick_newest_first(&published), [true, world.happens(40)]),
        _ => (world.pick(&published), [world.happens(85); 2]),
    };
    let Some(id) = picked.cloned() else { return Ok(()) };
    for ok in outcomes {
        let at = db.vault.now().await?;
        db.write_verdict(&Verdict { ok, at, ..fixture::verdict(&db, &id, Depth::Full) }).await?;
    }
    Ok(())
}

/// Backups by the names of their holds that stand and that nobody has begun to release.
type Held = Arc<Mutex<BTreeMap<String, BackupId>>>;

async fn meddle(world: Arc<World>, db: DatabaseVault, held: Held) -> Result<()> {
    let Some(id) = world.pick_newest_first(&db.published().await?).cloned() else { return Ok(()) };
    match world.roll(0..5) {
        0 | 1 => delete(&db, &id, world.happens(50), WHY).await.map(drop),
        2 => undelete(&db, &id, WHY).await.map(drop),
        3 => {
            let hold = holds::hold(&db, &id, None, WHY).await?;
            held.lock().unwrap().insert(hold.hold, id);
            Ok(())
        }
        _ => {
            // From the moment that somebody asks, it may be gone.
            let Some((hold, id)) = held.lock().unwrap().pop_first() else { return Ok(()) };
            holds::release(&db, &id, Some(&hold), WHY).await.map(drop)
        }
    }
}

fn options() -> CleanupOptions {
    let mut policy = Policy::default();
    policy
        .tiers
        .insert("daily".parse().unwrap(), TierRules { keep_at_least: std::num::NonZeroU32::MIN, ..TierRules::last(2) });
    CleanupOptions {
        policy,
        zone: TimeZone::UTC,
        limits: Limits::default(),
        dry_run: false,
        confirmed: Confirmed::Whatever,
    }
}

async fn clean_up(db: DatabaseVault) -> Result<()> {
    cleanup(&db, &options(), &fixture::run("cleaner")).await.map(drop)
}

/// The sweep that came first to mind: look, then delete.
async fn delete_without_outcome(db: DatabaseVault) -> Result<()> {
    let now = db.vault.now().await?;
    for tombstone in db.tombstones_of(&db.published().await?).await? {
        let is_due = tombstone.is_open() && tombstone.written_at + db.grace() <= now;
        if is_due && holds::read_holds(&db, &db.layout.holds(&tombstone.backup)).await?.is_empty() {
            db.store().delete(&db.layout.manifest(&tombstone.backup)).await?;
        }
    }
    clean_up(db).await
}

/// A copy of some backup of the other place, or of a new one there.
async fn copy_in(world: Arc<World>, source: DatabaseVault, db: DatabaseVault, mistake: Mistake) -> Result<()> {
    if world.happens(40) {
        let at = db.vault.now().await?;
        walk::back_up(&source, at, |percent| world.happens(percent)).await?;
    }
    let trust = match mistake {
        Mistake::TrustsUnnamed => Trust::Anything,
        Mistake::BringsNamesBack => Trust::NamesReturn,
        _ => Trust::Proven,
    };
    let Some(id) = world.pick(&source.published().await?).cloned() else { return Ok(()) };
    walk::copy_one(&source, &db, &id, trust).await
}

type Job = Pin<Box<dyn Future<Output = Result<()>>>>;

struct Running {
    job: Job,
    /// Its machine sleeps most of the time.
    is_slow: bool,
}

struct Walk {
    world: Arc<World>,
    mistake: Mistake,
    /// Through the stage, and past it.
    db: DatabaseVault,
    sweeper: DatabaseVault,
    oracle: DatabaseVault,
    /// Another place of the same vault, from which backups are copied.
    elsewhere: DatabaseVault,
    held: Held,
    jobs: Vec<Running>,
}

/// Drives what only the stage makes wait.
fn drive<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let waker = noop_waker();
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
    }
}

impl Walk {
    fn new(seed: u64, mistake: Mistake) -> Self {
        let memory = Arc::new(MemoryStore::new());
        let world = Arc::new(World {
            memory: Arc::clone(&memory),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
            in_flight: Mutex::default(),
            is_changed: Mutex::new(false),
        });
        drive(async {
            let vault = Arc::new(Vault::init(memory, master(), 72, 24).await.unwrap());
            let oracle = fixture::another_database(&vault, "shop").await;
            let db = open(&world, master(), mistake, Hides::Nothing).await;
            let sweeper = open(&world, master(), mistake, Hides::of(mistake)).await;
            let replica = vault.open_replica(Arc::new(MemoryStore::new())).await.unwrap();
            let elsewhere = oracle.open_replica(&replica).await.unwrap();
            Self { world, mistake, db, sweeper, oracle, elsewhere, held: Arc::default(), jobs: Vec::new() }
        })
    }

    /// Errors: what went wrong.
    fn step(&mut self) -> Result<(), String> {
        let world = Arc::clone(&self.world);
        match world.roll(0..1000) {
            0..15 if self.jobs.len() < 6 => {
                let (db, mistake) = (self.db.clone(), self.mistake);
                let job: Job = match world.roll(0..10) {
                    0..2 => back_up(Arc::clone(&world), db, mistake).boxed_local(),
                    2..4 => copy_in(Arc::clone(&world), self.elsewhere.clone(), db, mistake).boxed_local(),
                    4..6 => verify(Arc::clone(&world), db, mistake).boxed_local(),
                    6..8 => meddle(Arc::clone(&world), db, Arc::clone(&self.held)).boxed_local(),
                    _ if mistake == Mistake::NoOutcome => delete_without_outcome(db).boxed_local(),
                    _ => clean_up(self.sweeper.clone()).boxed_local(),
                };
                self.jobs.push(Running { job, is_slow: world.happens(25) });
            }
            15..17 if !self.jobs.is_empty() => {
                let dies = world.roll(0..self.jobs.len() as u32) as usize;
                drop(self.jobs.swap_remove(dies));
            }
            17..25 => world.deliver_one(),
            25..33 => {
                let hours = [1, 6, 13, 30, 80][world.roll(0..5) as usize];
                world.advance(SignedDuration::from_hours(hours));
            }
            33..60 => world.advance(SignedDuration::from_mins(i64::from(world.roll(0..9)))),
            _ if !self.jobs.is_empty() => {
                let next = world.roll(0..self.jobs.len() as u32) as usize;
                if self.jobs[next].is_slow && !world.happens(5) {
                    return Ok(());
                }
                let waker = noop_waker();
                if let Poll::Ready(ended) = self.jobs[next].job.as_mut().poll(&mut Context::from_waker(&waker)) {
                    drop(self.jobs.swap_remove(next));
                    // Conflicts, what is gone and what came too late are part of the walk; damage is not.
                    if let Err(error) = ended
                        && matches!(error.kind(), ErrorKind::Verification | ErrorKind::Bug)
                    {
                        return Err(format!("a job found damage: {error}"));
                    }
                }
            }
            _ => {}
        }
        match std::mem::take(&mut *world.is_changed.lock().unwrap()) {
            true => at_once(self.check()),
            false => Ok(()),
        }
    }

    async fn check(&self) -> Result<(), String> {
        let db = &self.oracle;
        let published = db.published().await.map_err(|error| error.to_string())?;
        let condemned = self.condemned(&published).await;
        for id in published.iter().filter(|id| !condemned.contains(*id)) {
            let manifest = db.manifest(id).await.unwrap();
            let list = db.pack_list(&manifest).await.map_err(|error| format!("{id}: {error}"))?;
            for entry in list.packs {
                if db.pack_head(&manifest.shelf_of(&entry), &entry.pack).await.is_err() {
                    return Err(format!("{id} lacks the pack {}", entry.pack));
                }
            }
        }
        let held = self.held.lock().unwrap().clone();
        match held.values().find(|id| !published.contains(id) || condemned.contains(*id)) {
            Some(id) => Err(format!("{id} is held, and gone or condemned")),
            None => Ok(()),
        }
    }

    async fn condemned(&self, published: &[BackupId]) -> HashSet<BackupId> {
        let condemned = crate::vault::TombstoneState::Decided(crate::model::Fate::Condemned);
        let tombstones = self.oracle.tombstones_of(published).await.unwrap();
        tombstones.into_iter().filter(|tombstone| tombstone.state == condemned).map(|t| t.backup).collect()
    }

    /// All jobs end; some time later nothing is left that nobody needs.
    fn come_to_rest(&mut self) -> Result<(), String> {
        self.jobs.clear();
        // What was on its way has arrived, or never will: a verdict, say, or a tombstone.
        self.world.advance(FLIGHT);
        let newest = at_once(newest_verified(&self.oracle)).map_err(|error| error.to_string())?;
        for _ in 0..3 {
            self.world.advance(self.oracle.grace() + SignedDuration::from_hours(1));
            let cleaned = drive(clean_up(self.sweeper.clone()));
            cleaned.map_err(|error| format!("the last cleanup: {error}"))?;
            at_once(self.check())?;
        }
        at_once(async {
            let db = &self.oracle;
            let published = db.published().await.unwrap();
            let left = self.condemned(&published).await;
            // A newer one may have been called back, and then stands for it. Of one second, none is newer than the others.
            let now_newest = newest_verified(db).await.map_err(|error| error.to_string())?;
            if newest.as_ref().map(BackupId::time) > now_newest.as_ref().map(BackupId::time) {
                return Err(format!("{newest:?} was verified, and nothing as new is now"));
            }
            if !left.is_empty() {
                return Err(format!("condemned and still there: {left:?}"));
            }
            let mut needed: HashSet<PackId> = HashSet::new();
            for id in &published {
                let manifest = db.manifest(id).await.unwrap();
                needed.extend(manifest.needed_packs(&db.pack_list(&manifest).await.unwrap()));
            }
            let mut packs = list_all(db.store(), &db.layout.pool()).await.unwrap();
            packs.append(&mut list_all(db.store(), &db.layout.archives()).await.unwrap());
            let garbage = packs.iter().filter(|object| !needed.contains(&db.layout.pack_of_key(&object.key).unwrap()));
            match garbage.count() {
                0 => Ok(()),
                count => Err(format!("{count} packs that nobody needs are still there")),
            }
        })
    }
}

fn walk(seed: u64, mistake: Mistake) -> Result<(), String> {
    let mut walk = Walk::new(seed, mistake);
    for _ in 0..6000 {
        walk.step()?;
    }
    walk.come_to_rest()
}

/// A second each.
fn seeds() -> u64 {
    if std::env::var_os("LIFEBOAT_SOAK").is_some() { 3000 } else { 20 }
}

#[test]
fn whatever_happens_no_backup_lacks_anything_and_nothing_needless_stays() {
    for seed in 0..seeds() {
        walk(seed, Mistake::None).unwrap_or_else(|wrong| panic!("walk {seed}: {wrong}"));
    }
}

/// The walk would find it: most take a dozen walks at most, lists that look alike a hundred or two.
fn require_found(mistake: Mistake) {
    let found = (0..3000).find_map(|seed| walk(seed, mistake).err());
    assert!(found.is_some(), "{mistake:?} was not found");
}

#[test]
fn a_grace_time_shorter_than_a_job_is_found() {
    require_found(Mistake::GraceShorterThanAJob);
}

#[test]
fn a_publication_after_a_long_sleep_is_found() {
    require_found(Mistake::LatePublication);
}

#[test]
fn a_parent_on_its_way_out_is_found() {
    require_found(Mistake::EntombedParent);
}

#[test]
fn content_that_is_looked_up_in_the_store_is_found() {
    require_found(Mistake::AsksTheStore);
}

#[test]
fn a_hold_that_races_a_sweep_without_outcomes_is_found() {
    require_found(Mistake::NoOutcome);
}

#[test]
fn a_sweep_that_passes_over_what_it_cannot_read_is_found() {
    require_found(Mistake::SkipsUnreadable);
}

#[test]
fn a_copy_that_takes_whatever_it_finds_is_found() {
    require_found(Mistake::TrustsUnnamed);
}

#[test]
fn a_copy_that_brings_names_back_is_found() {
    require_found(Mistake::BringsNamesBack);
}

#[test]
fn an_archived_parent_is_found() {
    require_found(Mistake::ArchivedParent);
}

#[test]
fn a_pack_list_whose_name_comes_back_is_found() {
    require_found(Mistake::SharesLists);
}

#[test]
fn a_cleanup_that_trusts_what_later_failed_is_found() {
    require_found(Mistake::TrustsFailed);
}
