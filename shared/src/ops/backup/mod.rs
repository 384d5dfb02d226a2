//! One backup, from claim to publish.
//!
//! Nothing is visible until the manifest is written, and that is one create-only PUT at the very end: killed at any line,
//! the attempt leaves packs that no manifest names, which the sweep collects. Two attempts at one job race for the claim,
//! and at the latest for the manifest.

mod claim;
mod collect;
pub(crate) mod guard;
mod pace;
mod parent;
mod pipeline;
pub(crate) mod publish;
mod readers;
mod schema;
mod upload;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    BackupId, Catalogue, Claim, ClusterIdentity, DatabaseIdentity, DatabaseName, Encoding, Manifest, PackEntry, PackId,
    PackList, PackOrigin, PieceRef, Purpose, ReplicationSlot, Storage, TableName, Tier, ToolVersions, Totals,
};
use crate::ops::{BackupReport, BackupSummary, Event, Run};
use crate::plan::read::{ReadPlan, Selection, Source, excluded, read_plan};
use crate::plan::selection::{Pattern, any_matches};
use crate::plan::unread::{Comparison, Moment, ReadPolicy, comparison};
use crate::postgres::catalog::{self, Definitions, Relation};
use crate::postgres::copy_out::may_read_large_object_pages;
use crate::postgres::preflight::{self, Severity};
use crate::postgres::snapshot::{Snapshot, wait_until_flushed};
use crate::postgres::{Connector, Session};
use crate::vault::pack::pack_id;
use crate::vault::piece::PieceKind;
use crate::vault::{DatabaseVault, Vault};
pub use claim::underway;
use claim::{Claimant, Claimed, claim};
use guard::{guarded, unless_stopped};
use parent::Parent;
use pipeline::{Outcome, Work};
use publish::publish;
use upload::{MetaPacks, Place, Uploader};

/// How long one lock may keep us waiting: whoever holds it is changing the tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may take to flush the WAL that it had written when the snapshot was taken.
const FLUSH_PATIENCE: Duration = Duration::from_secs(60);
/// How often a backup starts over because definitions changed under it.
const ATTEMPTS: u32 = 3;
const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_secs(2);

/// What to do when somebody's DDL waits for the backup's locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockedDdl {
    /// Stop: the backup can be repeated, the application's queries queue behind the DDL.
    #[default]
    Yield,
    /// Finish: the DDL waits.
    Hold,
}

/// One backup, as somebody asked for it.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    pub database: DatabaseName,
    pub tier: Tier,
    pub tags: BTreeMap<String, String>,
    /// Only these tables' rows ([`Pattern`]s): a partial backup. Empty for all.
    pub tables: Vec<String>,
    /// Neither definition nor rows.
    pub exclude_tables: Vec<String>,
    /// The definition, but no rows.
    pub exclude_table_data: Vec<String>,
    /// Sessions that read at the same time.
    pub jobs: usize,
    /// zstd's level.
    pub level: i32,
    pub max_rate_bytes_per_s: Option<u64>,
    /// How rows are read where both ways can be restored anywhere and the other is not cheaper.
    pub copy_format: Encoding,
    pub purpose: Purpose,
    /// An archived backup stores every row again, refers to no other backup, and none refers to it.
    pub storage: Storage,
    /// Names the job, so that asking twice gives one backup; `None` asks for a new one.
    pub job: Option<String>,
    /// The run's actor is never at work twice at the same time, so that a claim of its own on the job is one that it died of.
    pub actor_is_alone: bool,
    /// Accepts another server behind the database's name.
    pub adopt: bool,
    pub blocked_ddl: BlockedDdl,
    pub read: ReadPolicy,
    /// With [`ReadPolicy::Changed`], one of so many backups in a row reads every row, and sees whether the others may have
    /// relied on what they did not read.
    pub read_all_every: u32,
    /// The `pg_dump` to use; `None` looks for one.
    pub pg_dump: Option<PathBuf>,
}

impl BackupOptions {
    pub const DEFAULT_LEVEL: i32 = 1;
    pub const DEFAULT_JOBS: usize = 2;
    /// One a week, where there is one a day.
    pub const DEFAULT_READ_ALL_EVERY: u32 = 7;

    /// A complete backup with the defaults.
    pub fn new(database: DatabaseName, tier: Tier) -> Self {
        Self {
            database,
            tier,
            tags: BTreeMap::new(),
            tables: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_table_data: Vec::new(),
            jobs: Self::DEFAULT_JOBS,
            level: Self::DEFAULT_LEVEL,
            max_rate_bytes_per_s: None,
            copy_format: Encoding::Text,
            purpose: Purpose::Backup,
            storage: Storage::default(),
            job: None,
            actor_is_alone: false,
            adopt: false,
            blocked_ddl: BlockedDdl::default(),
            read: ReadPolicy::default(),
            read_all_every: Self::DEFAULT_READ_ALL_EVERY,
            pg_dump: None,
        }
    }

    fn selection(&self) -> Result<Selection> {
        if self.jobs == 0 || self.jobs > 64 {
            return Err(Error::usage("the number of jobs must be between 1 and 64"));
        }
        if !(1..=19).contains(&self.level) {
            return Err(Error::usage("the compression level must be between 1 and 19"));
        }
        Ok(Selection {
            tables: Pattern::parse_all(&self.tables)?,
            exclude: Pattern::parse_all(&self.exclude_tables)?,
            exclude_data: Pattern::parse_all(&self.exclude_table_data)?,
        })
    }

    fn purpose(&self) -> Purpose {
        if self.tables.is_empty() { self.purpose } else { Purpose::Partial }
    }
}

/// Makes one backup of the database that `source` connects to.
///
/// Errors: `Preflight` with every finding before anything is read; `Conflict` when the job is being worked on, tables keep
/// changing or somebody's DDL waits; `OutOfTime` at the deadline or on request; `Database`, `Vault`. Whatever the error,
/// nothing half-made is visible.
pub async fn backup(
    vault: &Arc<Vault>,
    source: &Connector,
    options: &BackupOptions,
    run: &Run,
) -> Result<BackupReport> {
    let selection = options.selection()?;
    run.check("starting")?;
    run.observer.on(&Event::Step { name: "preflight" });
    require_readable(source, options, &selection, run).await?;
    let identity = identity_of(vault, source, options);
    let database = vault.database_or_new(&identity, options.adopt).await?;
    let listed_at = claim::moment_after_all_others(&database).await?;
    let job = options.job.clone().unwrap_or_else(|| claim::unique_job(&options.tier, listed_at));
    let by = Claimant { name: &run.actor, is_alone: options.actor_is_alone };
    let claim = match claim(&database, &job, &options.tier, &by, listed_at, run.deadline).await? {
        Claimed::Ours(claim) => *claim,
        Claimed::Done(id) => return report_done(&database, &id).await,
    };
    let parent = match options.storage {
        Storage::Pool => Parent::choose(&database).await?,
        Storage::Archive => None,
    };
    let attempt = Attempt { database: &database, source, options, selection, parent, claim: &claim, run };
    for number in 1.. {
        match attempt.make().await {
            Ok(report) => return Ok(report),
            Err(Failure::ChangedUnderUs(error)) if number < ATTEMPTS => {
                run.observer.on(&Event::Warning { text: format!("starting over: {error}") });
                tokio::time::sleep(PAUSE_BETWEEN_ATTEMPTS).await;
                run.check("waiting to start over")?;
            }
            Err(Failure::ChangedUnderUs(error) | Failure::Final(error)) => return Err(error),
        }
    }
    unreachable!("the last attempt returns")
}

/// Refuses what could not be read completely, with every finding at once; passes warnings on.
async fn require_readable(source: &Connector, options: &BackupOptions, selection: &Selection, run: &Run) -> Result<()> {
    let wants = |table: &TableName| selection.wanted(table);
    let checks = preflight::Options {
        jobs: u32::try_from(options.jobs).unwrap_or(u32::MAX),
        pg_dump: options.pg_dump.as_deref(),
        allow_newer_server: false,
        wants: &wants,
        wants_large_objects: selection.tables.is_empty(),
    };
    let report = preflight::preflight(source, &checks).await?;
    for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        run.observer.on(&Event::Warning { text: format!("{} ({})", finding.problem, finding.fix) });
    }
    report.refusal().map_or(Ok(()), Err)
}

/// Why an attempt ended without a backup.
enum Failure {
    /// Definitions changed while we read them: another attempt can succeed.
    ChangedUnderUs(Error),
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What every attempt at one backup works with.
struct Attempt<'a> {
    database: &'a DatabaseVault,
    source: &'a Connector,
    options: &'a BackupOptions,
    selection: Selection,
    parent: Option<Arc<Parent>>,
    claim: &'a Claim,
    run: &'a Run,
}

/// What the server's catalogue says, as the snapshot sees it.
struct Facts {
    plan: Arc<ReadPlan>,
    /// All but the tables and what is in the vault.
    catalogue: Catalogue,
}

/// What was read.
struct Read {
    /// All but the tables and where the schema is.
    catalogue: Catalogue,
    schema: Place,
    /// The version that dumped the schema.
    pg_dump: String,
    rows: Outcome,
}

impl Attempt<'_> {
    async fn make(&self) -> Result<BackupReport, Failure> {
        self.step("snapshot")?;
        let wanted = |table: &TableName| !any_matches(&self.selection.exclude, table);
        let taking = Snapshot::take(self.source, LOCK_TIMEOUT, wanted);
        let snapshot = unless_stopped(taking, self.run, "taking the snapshot").await?;
        let uploads = Uploader::new(self.database.clone());
        let mut meta = MetaPacks::new(Arc::clone(self.database.current_keys()), uploads.clone());
        // The definitions are those of the snapshot, whenever it is asked for them.
        let definitions = catalog::definitions(&snapshot.session);
        let (definitions, read) = tokio::join!(definitions, self.read(&snapshot, &uploads, &mut meta));
        let (Read { mut catalogue, schema, pg_dump, rows }, control) =
            self.require_unchanged(&definitions?, read).await?;

        self.step("publish")?;
        let (facts_of_snapshot, timeline) = (snapshot.facts.clone(), snapshot.timeline);
        snapshot.session.close().await;
        wait_until_flushed(&control, facts_of_snapshot.lsn, FLUSH_PATIENCE).await?;
        meta.flush().await?;
        catalogue.schema = Some(meta.at(schema));
        catalogue.tables = rows.tables.into_iter().map(|table| table.with_parts(&meta)).collect();
        catalogue.tables.sort_by(|a, b| a.name.cmp(&b.name));
        let bytes = serde_json::to_vec(&catalogue).map_err(|e| Error::bug("the catalogue").because(e))?;
        let known = self.parent.as_ref().and_then(|parent| parent.catalogue_piece());
        let place = meta.add(PieceKind::Catalogue, bytes, known).await?;
        meta.flush().await?;
        let at = meta.at(place);
        let packs = self.pack_list(&catalogue, at, &rows.packs, &uploads.stored())?;
        let pack_list = packs.to_bytes();
        let pack_list_id = pack_id(&pack_list);
        self.database.put_pack(pack_list_id, pack_list.clone().into()).await?;
        let manifest = Manifest {
            vault: self.database.vault.id(),
            database: self.database.name.clone(),
            id: self.claim.backup.clone(),
            attempt: self.claim.attempt.clone(),
            tier: self.options.tier.clone(),
            tags: self.options.tags.clone(),
            purpose: self.options.purpose(),
            storage: self.options.storage,
            source: "postgresql".to_owned(),
            cluster: self.cluster(timeline),
            encoding: catalogue.database.encoding.clone(),
            locale: catalogue.database.collation.collate.clone(),
            snapshot: facts_of_snapshot,
            started_at: self.claim.at,
            finished_at: self.database.vault.now().await?,
            totals: Totals {
                tables: catalogue.tables.len() as u64,
                rows: catalogue.tally().rows,
                plaintext_bytes: catalogue.tally().plaintext_bytes,
                stored_bytes: packs.stored_bytes(),
                new_bytes: packs.new_bytes(),
                chunks: rows.chunks,
                new_chunks: rows.new_chunks,
                unread_chunks: rows.unread_chunks,
            },
            parent: self.parent.as_ref().map(|parent| parent.manifest.id.clone()),
            since_all_read: match (&self.parent, rows.unread_chunks) {
                (None, _) | (_, 0) => 0,
                (Some(parent), _) => parent.manifest.since_all_read + 1,
            },
            listed_at: self.claim.at,
            catalogue: at,
            pack_list: pack_list_id,
            pack_list_bytes: pack_list.len() as u64,
            key: self.database.current_keys().id,
            wrapped_key: self.database.current_wrapped_key().clone(),
            tools: ToolVersions { lifeboat: env!("CARGO_PKG_VERSION").to_owned(), pg_dump },
            certificate_until: self.source.certificate_until().await,
            slots: slots(&control).await,
        };
        self.run.check("publishing")?;
        publish(self.database, &manifest, self.claim).await?;
        if let Err(error) = claim::finish(self.database, self.claim, manifest.finished_at).await {
            let text = format!("the backup is published, but its job could not be marked as done: {error}");
            self.run.observer.on(&Event::Warning { text });
        }
        if !rows.misjudged.is_empty() {
            return Err(self.misjudgement(&rows.misjudged).into());
        }
        let backup = BackupSummary::of(&manifest, None, false);
        Ok(BackupReport { backup, skipped: catalogue.skipped, unread_chunks: rows.unread_chunks })
    }

    /// Everything that the backup holds of what the snapshot shows.
    ///
    /// All at once: while `pg_dump` asks for thousands of definitions, the catalogue is asked for what else there is, and then
    /// the other connections read rows. The server lets `pg_dump` wait for its locks behind DDL that waits for ours, and all
    /// three would wait for ever: as long as it runs the watch ends that, the DDL runs, and another attempt sees what it did.
    async fn read(&self, snapshot: &Snapshot, uploads: &Uploader, meta: &mut MetaPacks) -> Result<Read, Failure> {
        let stop = CancellationToken::new();
        let is_dumped = AtomicBool::new(false);
        let dumping = async {
            let (excluded, tool) = (excluded(&snapshot.relations, &self.selection), self.options.pg_dump.as_deref());
            let dumped = schema::dump(self.source, &snapshot.ticket, &excluded, tool, &stop).await;
            match dumped {
                Ok(_) => is_dumped.store(true, Ordering::Relaxed),
                Err(_) => stop.cancel(),
            }
            dumped
        };
        let reading = async {
            let read = self.facts_and_rows(snapshot, uploads, meta, &stop).await;
            if read.is_err() {
                stop.cancel();
            }
            read
        };
        let both = async {
            match tokio::join!(dumping, reading) {
                (Ok(dump), Ok(read)) => Ok((dump, read)),
                // Who was stopped by the other has nothing to say.
                (Err(error), Err(stopped)) if stopped.kind() == ErrorKind::OutOfTime => Err(error),
                (_, Err(error)) | (Err(error), _) => Err(error),
            }
        };
        let blocked_ddl = || match is_dumped.load(Ordering::Relaxed) {
            true => self.options.blocked_ddl,
            false => BlockedDdl::Yield,
        };
        let read = guarded(both, &stop, self.source, &snapshot.session, &blocked_ddl, self.run).await;
        let (dump, (mut catalogue, rows)) = read.map_err(|error| match error.kind() {
            ErrorKind::Conflict if !is_dumped.load(Ordering::Relaxed) => Failure::ChangedUnderUs(error),
            _ => Failure::Final(error),
        })?;
        catalogue.schema_entries = dump.entries;
        catalogue.skipped.extend(dump.skipped);
        let known = self.parent.as_ref().and_then(|parent| parent.schema());
        let schema = meta.add(PieceKind::Schema, dump.archive, known).await?;
        Ok(Read { catalogue, schema, pg_dump: dump.version, rows })
    }

    /// The catalogue, without what `pg_dump` knows, and the rows.
    async fn facts_and_rows(
        &self,
        snapshot: &Snapshot,
        uploads: &Uploader,
        meta: &mut MetaPacks,
        stop: &CancellationToken,
    ) -> Result<(Catalogue, Outcome)> {
        let Facts { plan, catalogue } = self.facts(snapshot).await?;
        self.step("rows")?;
        let (total_bytes, tables) = (plan.heap_bytes(), plan.tables.len() as u64);
        self.run.observer.on(&Event::Expect { total_bytes, tables });
        let work = self.work(snapshot, &plan, stop).await?;
        let of_rows = uploads.onto(self.options.storage.row_shelf(&self.claim.backup));
        let rows = pipeline::run(work, &snapshot.session, &of_rows, meta).await?;
        Ok((catalogue, rows))
    }

    fn step(&self, name: &'static str) -> Result<()> {
        self.run.check(name)?;
        self.run.observer.on(&Event::Step { name });
        Ok(())
    }

    async fn facts(&self, snapshot: &Snapshot) -> Result<Facts> {
        let client = &snapshot.session;
        let large_objects = catalog::large_objects(client).await?;
        let too_long = self.parent.as_ref().map(|parent| parent.too_long()).unwrap_or_default();
        let source = Source {
            relations: &snapshot.relations,
            columns: &catalog::columns(client).await?,
            roots: &catalog::partition_roots(client).await?,
            large_objects: &large_objects,
            too_long: &too_long,
            encoding: self.options.copy_format,
            server_encoding: &self.source.identity().server_encoding,
            is_replica: self.source.identity().in_recovery,
            block_bytes: snapshot.block_bytes,
        };
        let plan = Arc::new(read_plan(&source, &self.selection)?);
        let unwanted: HashSet<&TableName> =
            snapshot.relations.iter().filter(|r| is_unwanted(r)).map(|r| &r.name).collect();
        let excluded = |name: &TableName| unwanted.contains(name) || any_matches(&self.selection.exclude, name);
        let catalogue = Catalogue {
            database: catalog::database(client).await?,
            tables: Vec::new(),
            sequences: catalog::sequences(client, excluded).await?,
            populated_views: catalog::populated_views(client).await?,
            extensions: catalog::extensions(client).await?,
            roles: catalog::roles(client).await?,
            large_objects: if self.selection.tables.is_empty() { large_objects } else { Vec::new() },
            skipped: plan.skipped.clone(),
            schema: None,
            schema_entries: 0,
        };
        Ok(Facts { plan, catalogue })
    }

    /// What the rows' pipeline works with.
    async fn work(&self, snapshot: &Snapshot, plan: &Arc<ReadPlan>, stop: &CancellationToken) -> Result<Work> {
        Ok(Work {
            connector: self.source.clone(),
            ticket: snapshot.ticket.clone(),
            plan: Arc::clone(plan),
            parent: self.parent.clone(),
            comparison: self.comparison(snapshot),
            keys: Arc::clone(self.database.current_keys()),
            by_large_object_pages: may_read_large_object_pages(&snapshot.session).await?,
            level: self.options.level,
            jobs: self.options.jobs,
            max_rate_bytes_per_s: self.options.max_rate_bytes_per_s,
            observer: Arc::clone(&self.run.observer),
            stop: stop.clone(),
        })
    }

    /// How this snapshot's ranges are compared with the parent's, if they are.
    fn comparison(&self, snapshot: &Snapshot) -> Option<Comparison> {
        if self.options.read == ReadPolicy::All {
            return None;
        }
        let now = Moment { cluster: &self.cluster(snapshot.timeline), snapshot: &snapshot.facts };
        let parent = self.parent.as_ref().map(|parent| &parent.manifest);
        match comparison(parent, now, self.options.read_all_every) {
            Ok(comparison) => Some(comparison),
            Err(refusal) => {
                tracing::info!(reason = refusal.reason(), "every row is read");
                None
            }
        }
    }

    /// The backup that found it is good, those that relied on the rule may not be.
    fn misjudgement(&self, tables: &BTreeSet<TableName>) -> Error {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        let since = self.parent.as_ref().map_or(0, |parent| parent.manifest.since_all_read);
        Error::verification(format!(
            "{} was made and holds what it should; but rows of {} changed unseen by the rule that finds unchanged ranges, so the \
             last {since} backups of {} may hold older rows than they say",
            self.claim.backup,
            names.join(", "),
            self.database.name
        ))
        .hint("set read = \"all\", do not rely on those backups for these tables, and report this")
    }

    /// What COPY and `pg_dump` printed came from the definitions of now, not from the snapshot's: they must be the same. Where
    /// they are not, that is also why the server may have refused to show something. Gives the session that was used to ask.
    async fn require_unchanged(
        &self,
        definitions: &Definitions,
        read: Result<Read, Failure>,
    ) -> Result<(Read, Session), Failure> {
        let read = match read {
            Err(Failure::Final(error)) if error.kind() == ErrorKind::Database => Err(error),
            Err(failure) => return Err(failure),
            Ok(read) => Ok(read),
        };
        match (self.changed(definitions).await, read) {
            (Ok((_, Some(what))), _) => Err(Failure::ChangedUnderUs(
                Error::conflict(format!("{what} changed while the backup read it"))
                    .hint("run the backup when no migration is running"),
            )),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error.into()),
            (Ok((session, None)), Ok(read)) => Ok((read, session)),
        }
    }

    async fn changed(&self, definitions: &Definitions) -> Result<(Session, Option<String>)> {
        let session = self.source.connect().await?;
        let changed = catalog::changed_definition(&session, definitions).await?;
        Ok((session, changed))
    }

    fn cluster(&self, timeline: u32) -> ClusterIdentity {
        let identity = self.source.identity();
        ClusterIdentity {
            system_identifier: identity.system_identifier.to_string(),
            timeline,
            postmaster_started_at: identity.postmaster_start,
            version: identity.server_version_num,
            version_text: identity.server_version.clone(),
            is_replica: identity.in_recovery,
        }
    }

    /// Every pack that the backup needs.
    fn pack_list(
        &self,
        catalogue: &Catalogue,
        catalogue_at: PieceRef,
        row_packs: &HashSet<PackId>,
        stored: &BTreeMap<PackId, u64>,
    ) -> Result<PackList> {
        let indexes = catalogue.tables.iter().flat_map(|table| table.parts.iter().map(|at| at.pack));
        let others = catalogue.schema.iter().map(|at| at.pack).chain([catalogue_at.pack]);
        let needed: BTreeSet<PackId> = row_packs.iter().copied().chain(indexes).chain(others).collect();
        let origin = |pack: &PackId| match self.options.storage {
            Storage::Archive if row_packs.contains(pack) => PackOrigin::Archived,
            _ => PackOrigin::New,
        };
        let entry = |pack: PackId| match (stored.get(&pack), self.parent.as_ref().and_then(|p| p.packs.size_of(&pack)))
        {
            (Some(size_bytes), _) => Ok(PackEntry { pack, size_bytes: *size_bytes, origin: origin(&pack) }),
            (None, Some(size_bytes)) => Ok(PackEntry { pack, size_bytes, origin: PackOrigin::Earlier }),
            (None, None) => Err(Error::bug(format!("pack {pack} is referred to but was never stored"))),
        };
        let packs = needed.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(PackList { attempt: Some(self.claim.attempt.clone()), packs })
    }
}

/// A sequence that an extension makes and whose value it does not want kept.
fn is_unwanted(relation: &Relation) -> bool {
    relation.extension.as_ref().is_some_and(|member| member.condition.is_none())
}

/// What is known of them is not worth a backup.
async fn slots(session: &Session) -> Vec<ReplicationSlot> {
    let slots = catalog::replication_slots(session).await;
    slots.unwrap_or_else(|error| {
        tracing::warn!(%error, "could not look at the replication slots");
        Vec::new()
    })
}

async fn report_done(database: &DatabaseVault, id: &BackupId) -> Result<BackupReport> {
    let manifest = database.manifest(id).await?;
    let skipped = database.catalogue(&manifest).await?.skipped;
    let unread_chunks = manifest.totals.unread_chunks;
    Ok(BackupReport { backup: BackupSummary::of(&manifest, None, false), skipped, unread_chunks })
}

fn identity_of(vault: &Vault, source: &Connector, options: &BackupOptions) -> DatabaseIdentity {
    let identity = source.identity();
    DatabaseIdentity {
        vault: vault.id(),
        database: options.database.clone(),
        system_identifier: identity.system_identifier.to_string(),
        database_oid: identity.database_oid,
        database_name: identity.database.clone(),
    }
}
