//! What a restore will do, before it does any of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use futures::StreamExt;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::existing::{Beside, Existing, beside, require_fillable};
use super::finish::wanted_sequences;
use super::record::Record;
use super::rows::Load;
use super::swap::{Finished, Mark, Marked};
use super::target::{Contents, ServerFacts, contents, facts};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    BackupId, Catalogue, DatabaseName, IndexPart, LargeObject, Manifest, PackId, Sequence, Skipped, Storage, TableKind,
    TableName, Tally,
};
use crate::ops::Run;
use crate::ops::thaw::{self, ThawPlan, ThawRequest};
use crate::plan::cost::Prices;
use crate::plan::restore::{PostStep, SchemaPlan, Selection, plan_schema};
use crate::plan::selection::{Pattern, any_matches, require_matches};
use crate::plan::table_closure::TableClosure;
use crate::plan::thaw::Frost;
use crate::postgres::archive::{Archive, DumpId, Entry, FormatVersion, Header};
use crate::postgres::role_names::RoleMap;
use crate::postgres::schema_sql::{Pass, SchemaOptions};
use crate::postgres::{Connector, Session};
use crate::vault::DatabaseVault;
use crate::vault::piece::PieceKind;

/// PostgreSQL's limit on names.
const NAME_BYTES: usize = 63;

/// One restore, as somebody asked for it.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The database to restore into; `None` for a new one named after the source and the backup's time.
    pub into: Option<String>,
    /// Only these tables ([`Pattern`]s), with what they need. Empty for all.
    pub tables: Vec<String>,
    pub schema_only: bool,
    /// Only rows, into tables that exist and are empty.
    pub data_only: bool,
    /// Put the rows into tables of a new schema of this name, beside the live ones.
    pub into_schema: Option<String>,
    /// Replace the database if it exists.
    pub clean: bool,
    pub no_owner: bool,
    pub no_acl: bool,
    pub role_map: BTreeMap<String, String>,
    /// Back up a database before it is replaced.
    pub safety_backup: bool,
    /// The `pg_dump` for that; `None` looks for one.
    pub pg_dump: Option<PathBuf>,
    /// Restore what can be read and list the rest.
    pub skip_damaged: bool,
    /// Sessions that load at the same time.
    pub jobs: usize,
    /// How to thaw rows that are frozen; `None` for not at all.
    pub thaw: Option<ThawRequest>,
    /// What that would cost.
    pub prices: Prices,
}

impl RestoreOptions {
    /// Whether only rows are restored, into a database that must exist.
    fn needs_database(&self) -> bool {
        self.data_only || self.into_schema.is_some()
    }

    /// Errors: `Usage` for options that contradict each other.
    fn check(&self) -> Result<()> {
        let together = |one: &str, other: &str| Err(Error::usage(format!("{one} and {other} exclude each other")));
        if self.jobs == 0 || self.jobs > 64 {
            return Err(Error::usage("the number of jobs must be between 1 and 64"));
        }
        match (&self.into_schema, self.data_only) {
            (Some(_), true) => together("--into-schema", "--data-only"),
            (Some(_), _) if self.schema_only => together("--into-schema", "--schema-only"),
            (Some(_), _) if self.clean => together("--into-schema", "--clean"),
            (_, true) if self.schema_only => together("--data-only", "--schema-only"),
            (_, true) if self.clean => together("--data-only", "--clean"),
            _ if self.needs_database() && self.into.is_none() => {
                Err(Error::usage("rows alone need a database that has their tables").hint("name it with --into"))
            }
            _ => Ok(()),
        }
    }
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            into: None,
            tables: Vec::new(),
            schema_only: false,
            data_only: false,
            into_schema: None,
            clean: false,
            no_owner: false,
            no_acl: false,
            role_map: BTreeMap::new(),
            safety_backup: true,
            pg_dump: None,
            skip_damaged: false,
            jobs: 2,
            thaw: None,
            prices: Prices::default(),
        }
    }
}

/// What happens to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A new database is made.
    Create,
    /// An existing, empty database is filled.
    Fill,
    /// An unfinished restore of the same backup goes on.
    Resume,
    /// A new database is made, proven, and takes the place of the one there is.
    Replace,
    /// Tables, or rows alone, are added to a database that is in use; what it has stays.
    Add,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Fill => "fill",
            Self::Resume => "resume",
            Self::Replace => "replace",
            Self::Add => "add",
        }
    }
}

/// What a restore will do, for people to read and for [`restore`](super::restore) to carry out.
#[derive(Debug, Clone, Serialize)]
pub struct RestorePlan {
    pub id: BackupId,
    pub database: DatabaseName,
    /// The state that comes back: when the backup's snapshot was taken.
    pub snapshot_at: Timestamp,
    pub action: Action,
    pub target: String,
    /// Where the work is done: `target`, or a database that takes its place at the end.
    pub work_database: String,
    pub source_version: String,
    pub server_version: String,
    pub encoding: String,
    pub locale: String,
    pub tables: u64,
    pub rows: u64,
    pub plaintext_bytes: u64,
    /// Roles that the schema names and the server lacks: what would be theirs belongs to the restoring role.
    pub missing_roles: Vec<String>,
    /// Extensions that the server cannot install: what needs them fails, everything else comes.
    pub missing_extensions: Vec<String>,
    /// What of the backup is not restored, and why.
    pub left_out: Vec<Skipped>,
    pub needs_confirmation: bool,
    /// What has to be thawed first; `null` when nothing is, or was, frozen.
    pub thaw: Option<ThawPlan>,
    pub steps: Vec<String>,
    #[serde(skip)]
    pub(super) options: RestoreOptions,
    #[serde(skip)]
    pub(super) internals: Internals,
}

/// What carrying the plan out needs beside what people read.
#[derive(Debug, Clone)]
pub(super) struct Internals {
    pub server: Connector,
    /// Of the database that has the target's name now.
    pub target_oid: Option<u32>,
    pub manifest: Manifest,
    pub catalogue: Catalogue,
    pub schema: SchemaPlan,
    /// What listens to changes of the schema, made when there are none left to hear.
    pub listeners: SchemaPlan,
    /// Tables of `--into-schema`, made at once.
    pub beside: Beside,
    pub schema_options: SchemaOptions,
    pub loads: Vec<Load>,
    /// Where the rows are of an archived backup; `None` where nothing can be frozen.
    pub packs: Option<HashSet<PackId>>,
    pub large_objects: Vec<LargeObject>,
    /// Tables and sequences that extensions make.
    pub of_extensions: BTreeSet<TableName>,
    /// The tables asked for; `None` for all.
    pub chosen: Option<BTreeSet<TableName>>,
    /// What must be equal for a restore to go on where another stopped.
    pub intent: String,
    pub resumes: bool,
    /// What this restore, or the attempt that it continues, set out to do: never [`Action::Resume`].
    pub begun_as: String,
    /// The name of a replaced database until it is dropped.
    pub aside: String,
    /// What an earlier attempt made and proved, if only the swap is left to do.
    pub finished: Option<Finished>,
}

impl RestorePlan {
    pub fn with_rows(&self) -> bool {
        !self.options.schema_only
    }

    pub(super) fn creates_database(&self) -> bool {
        [Action::Create, Action::Replace].iter().any(|action| action.as_str() == self.internals.begun_as)
    }

    /// Whether the target has other things beside what is restored.
    pub(super) fn adds(&self) -> bool {
        self.internals.begun_as == Action::Add.as_str()
    }

    pub(super) fn is_data_only(&self) -> bool {
        self.options.data_only
    }

    pub(super) fn sequences(&self) -> Vec<&Sequence> {
        if self.options.into_schema.is_some() {
            return Vec::new();
        }
        wanted_sequences(&self.internals.catalogue, self.internals.chosen.as_ref())
    }

    pub(super) fn views(&self) -> Vec<&TableName> {
        match self.internals.chosen {
            None if !self.options.needs_database() => self.internals.catalogue.populated_views.iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// Plans a restore onto the server that `server` connects to.
///
/// Errors: `Usage` for options that contradict each other, `Conflict` when the target holds what is in the way, `Preflight` for a server that cannot take the backup,
/// `NotFound` for a table that the backup does not have, `Verification` for a damaged catalogue or schema dump.
pub async fn plan(
    database: &DatabaseVault,
    id: &BackupId,
    server: &Connector,
    options: &RestoreOptions,
    run: &Run,
) -> Result<RestorePlan> {
    run.check("planning the restore")?;
    let patterns = Pattern::parse_all(&options.tables)?;
    options.check()?;
    let manifest = database.manifest(id).await?;
    let catalogue = database.catalogue(&manifest).await.map_err(|error| match error.kind() {
        ErrorKind::Verification => {
            error.context("the catalogue").hint("nothing of this backup can be restored: use another")
        }
        _ => error,
    })?;
    let archive = match options.needs_database() {
        true => no_schema(&manifest),
        false => read_schema(database, &manifest, &catalogue).await?,
    };
    let target = options.into.clone().unwrap_or_else(|| default_target(&catalogue.database.name, &manifest));
    require_name(&target)?;
    let facts = facts(server, &target).await?;
    let intent = intent(options);
    let chosen = choose_tables(&catalogue, &patterns)?;
    let schema_options = SchemaOptions {
        no_owner: options.no_owner,
        no_acl: options.no_acl,
        no_tablespaces: false,
        role_map: options.role_map.clone().into_iter().collect::<RoleMap>(),
    };
    let attempt = Attempt { id, intent: &intent, owner: schema_options.role_map.target(&catalogue.database.owner) };
    let place = Place::choose(server, &target, &facts, options, &attempt).await?;
    let sizes = catalogue.tables.iter().map(|table| (table.oid, table.tally.plaintext_bytes)).collect();
    let mut loads = if options.schema_only { Vec::new() } else { loads(&catalogue, chosen.as_ref()) };
    let with_large_objects = chosen.is_none() && !options.schema_only && !options.needs_database();
    if !with_large_objects {
        loads.retain(|load| load.entry.kind != TableKind::LargeObjects);
    }
    let large_objects = if with_large_objects { catalogue.large_objects.clone() } else { Vec::new() };
    let mut made_beside = Beside::default();
    let (selection, closure) = if options.needs_database() {
        made_beside = place.require_room(server, options, &mut loads).await?;
        (Selection::Only(BTreeSet::new()), None)
    } else {
        match &chosen {
            None => (Selection::Everything, None),
            Some(tables) => {
                let closure = TableClosure::of(&archive, &entries_of(&archive, &catalogue, tables, &patterns));
                let entries = place.missing(server, &archive, &closure).await?;
                (Selection::Only(entries), Some(closure))
            }
        }
    };
    let mut schema = plan_schema(&archive, &selection, &schema_options, facts.major, &sizes)?;
    let listeners = take_listeners(&mut schema);
    let missing_extensions = catalogue.extensions.iter().map(|extension| extension.name.clone());
    let of_extensions = of_extensions(&archive, &catalogue);
    let mut left_out = closure.map(|closure| left_out(&archive, &closure)).unwrap_or_default();
    left_out.append(&mut made_beside.left_out);
    let packs = packs_of(database, &manifest, &loads).await?;
    let thaw = thaw_plan(database, &manifest, packs.as_ref(), options).await?;
    let all_rows: Tally = loads.iter().map(|load| &load.entry.tally).sum();
    Ok(RestorePlan {
        id: id.clone(),
        database: database.name.clone(),
        snapshot_at: manifest.snapshot.taken_at,
        action: place.action,
        source_version: manifest.cluster.version_text.clone(),
        server_version: server.identity().server_version.clone(),
        encoding: manifest.encoding.clone(),
        locale: manifest.locale.clone(),
        tables: loads.len() as u64,
        rows: all_rows.rows,
        plaintext_bytes: all_rows.plaintext_bytes,
        missing_roles: schema.roles.difference(&facts.roles).cloned().collect(),
        missing_extensions: missing_extensions.filter(|name| !facts.extensions_available.contains(name)).collect(),
        left_out,
        needs_confirmation: place.action == Action::Replace,
        thaw,
        steps: steps(&place, options, &target),
        work_database: place.work_database.clone(),
        options: options.clone(),
        internals: Internals {
            server: server.clone(),
            target_oid: facts.database_oid,
            manifest,
            catalogue,
            schema,
            listeners,
            beside: made_beside,
            schema_options,
            loads,
            packs,
            large_objects,
            of_extensions,
            chosen,
            intent,
            resumes: place.resumes,
            begun_as: place.begun_as(),
            aside: shortened(&target, "_replaced"),
            finished: place.finished,
        },
        target,
    })
}

/// The packs of an archived backup that have rows of these tables. A part of an index that cannot be read names none: whoever
/// restores around damage goes without its rows.
async fn packs_of(database: &DatabaseVault, manifest: &Manifest, loads: &[Load]) -> Result<Option<HashSet<PackId>>> {
    if manifest.storage == Storage::Pool {
        return Ok(None);
    }
    let wanted = loads.iter().flat_map(|load| &load.entry.parts).copied().collect();
    let (mut parts, mut packs) = (database.index_parts(manifest.key, wanted), HashSet::new());
    while let Some(part) = parts.next().await {
        packs.extend(part?.iter().flat_map(IndexPart::packs));
    }
    Ok(Some(packs))
}

async fn thaw_plan(
    database: &DatabaseVault,
    manifest: &Manifest,
    packs: Option<&HashSet<PackId>>,
    options: &RestoreOptions,
) -> Result<Option<ThawPlan>> {
    let frost = thaw::frost(database, manifest, packs).await?;
    if frost == Frost::default() {
        return Ok(None);
    }
    let days = options.thaw.map_or(thaw::DEFAULT_DAYS, |request| request.days);
    Ok(Some(ThawPlan::new(frost, days, &options.prices)))
}

async fn read_schema(database: &DatabaseVault, manifest: &Manifest, catalogue: &Catalogue) -> Result<Archive> {
    let at =
        catalogue.schema.ok_or_else(|| Error::verification(format!("backup {} has no schema dump", manifest.id)))?;
    let read = database.piece(manifest.key, PieceKind::Schema, &at).await.and_then(|bytes| Archive::parse(&bytes));
    read.map_err(|error| match error.kind() {
        ErrorKind::Verification => error.context("the schema dump").hint(
            "use another backup; rows alone can still be restored, with --data-only or --into-schema, into a database that \
             has the tables",
        ),
        _ => error,
    })
}

/// For rows alone: nothing of the schema is made, so that it may be damaged.
fn no_schema(manifest: &Manifest) -> Archive {
    Archive {
        header: Header {
            format: FormatVersion { major: 1, minor: 16, revision: 0 },
            database: manifest.database.to_string(),
            server_version: manifest.cluster.version_text.clone(),
            pg_dump_version: manifest.tools.pg_dump.clone(),
        },
        entries: Vec::new(),
    }
}

/// What has rows or a value and no definition of its own: that is its extension's.
fn of_extensions(archive: &Archive, catalogue: &Catalogue) -> BTreeSet<TableName> {
    let defined = archive.entries.iter().filter(|entry| ["TABLE", "SEQUENCE"].contains(&entry.desc.as_str()));
    let name = |entry: &Entry| TableName::new(entry.schema.clone().unwrap_or_default(), entry.tag.clone());
    let defined: BTreeSet<TableName> = defined.map(name).collect();
    let tables = catalogue.tables.iter().filter(|table| table.kind != TableKind::LargeObjects).map(|table| &table.name);
    let all = tables.chain(catalogue.sequences.iter().map(|sequence| &sequence.name));
    all.filter(|name| !defined.contains(name)).cloned().collect()
}

/// `{source}_{time of the backup}`.
fn default_target(source: &str, manifest: &Manifest) -> String {
    let at: Zoned = manifest.snapshot.taken_at.to_zoned(TimeZone::UTC);
    shortened(source, &at.strftime("_%Y%m%d_%H%M%S").to_string())
}

/// `name` and `suffix` within the limit on names, cut at a character of `name`.
fn shortened(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(NAME_BYTES - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

fn require_name(name: &str) -> Result<()> {
    match name {
        "" => Err(Error::usage("the target database needs a name")),
        "template0" | "template1" => Err(Error::usage(format!("{name} is a template, not a target"))),
        long if long.len() > NAME_BYTES => {
            Err(Error::usage(format!("a database name has at most {NAME_BYTES} bytes, {long:?} has {}", long.len())))
        }
        _ => Ok(()),
    }
}

/// Options that must not change between attempts at one restore.
fn intent(options: &RestoreOptions) -> String {
    let RestoreOptions { tables, schema_only, data_only, into_schema, no_owner, no_acl, role_map, .. } = options;
    format!(
        "tables {tables:?}, schema only {schema_only}, data only {data_only}, into schema {into_schema:?}, no owner {no_owner}, no acl {no_acl}, roles {role_map:?}"
    )
}

/// What an earlier attempt must have in common with this one.
struct Attempt<'a> {
    id: &'a BackupId,
    intent: &'a str,
    /// Who is to own the database.
    owner: &'a str,
}

/// Where the work is done.
struct Place {
    action: Action,
    work_database: String,
    resumes: bool,
    /// What an earlier attempt noted.
    record: Option<Record>,
    finished: Option<Finished>,
}

impl Place {
    async fn choose(
        server: &Connector,
        target: &str,
        facts: &ServerFacts,
        options: &RestoreOptions,
        attempt: &Attempt<'_>,
    ) -> Result<Self> {
        let at = |action, work_database| Self { action, work_database, resumes: false, record: None, finished: None };
        let here = |action| at(action, target.to_owned());
        if facts.database_oid.is_none() && options.needs_database() {
            return Err(Error::not_found(format!("there is no database {target} for the rows"))
                .hint("name the database that has the tables with --into"));
        }
        if facts.database_oid.is_none() {
            return Ok(here(Action::Create));
        }
        match database_contents(server, target).await? {
            Contents::Unfinished => {
                let record = read_record(server, target, attempt).await?;
                return Ok(Self { resumes: true, record, ..here(Action::Resume) });
            }
            _ if options.needs_database() => return Ok(here(Action::Add)),
            Contents::Empty => return Ok(here(Action::Fill)),
            Contents::Occupied if options.clean => {}
            Contents::Occupied if !options.tables.is_empty() => return Ok(here(Action::Add)),
            Contents::Occupied => {
                return Err(Error::conflict(format!("database {target} exists and is not empty"))
                    .hint("choose another name with --into, or replace it with --clean"));
            }
        }
        if !options.tables.is_empty() {
            return Err(Error::usage("--clean replaces a whole database and cannot be limited to some tables")
                .hint("restore the tables into a new database with --into, and move what you need from there"));
        }
        require_free(server, &shortened(target, "_replaced")).await?;
        let beside = at(Action::Replace, shortened(target, "_restoring"));
        match self::facts(server, &beside.work_database).await?.database_oid {
            Some(_) => beside.after(server, attempt).await,
            None => Ok(beside),
        }
    }

    /// The same, with what an earlier attempt left there.
    async fn after(self, server: &Connector, attempt: &Attempt<'_>) -> Result<Self> {
        let name = &self.work_database;
        let finished = finished(server, name, attempt).await?;
        if finished.is_some() {
            return Ok(Self { finished, resumes: true, ..self });
        }
        match database_contents(server, name).await? {
            Contents::Unfinished => {
                Ok(Self { record: read_record(server, name, attempt).await?, resumes: true, ..self })
            }
            // It died before it had noted anything.
            Contents::Empty => Ok(Self { resumes: true, ..self }),
            Contents::Occupied => Err(in_the_way(name)),
        }
    }

    fn begun_as(&self) -> String {
        self.record.as_ref().map_or_else(|| self.action.as_str().to_owned(), |record| record.action.clone())
    }

    async fn session(&self, server: &Connector) -> Result<Session> {
        server.open_database(&self.work_database).await?.connect().await
    }

    /// Of what chosen tables need, that which is to be made.
    async fn missing(&self, server: &Connector, archive: &Archive, closure: &TableClosure) -> Result<BTreeSet<DumpId>> {
        if self.begun_as() != Action::Add.as_str() {
            return Ok(closure.entries.clone());
        }
        let session = self.session(server).await?;
        let existing = Existing::read(&session).await?;
        session.close().await;
        let done = self.record.as_ref().map(|record| record.steps.clone()).unwrap_or_default();
        existing.missing(archive, closure, &done)
    }

    /// Looks whether rows alone have a place, and sends them there.
    async fn require_room(&self, server: &Connector, options: &RestoreOptions, loads: &mut [Load]) -> Result<Beside> {
        let session = self.session(server).await?;
        let Some(schema) = &options.into_schema else {
            if !self.resumes {
                require_fillable(&session, loads).await?;
            }
            return Ok(Beside::default());
        };
        require_schema_name(schema)?;
        let mut made = beside(&session, schema, loads).await?;
        match (Existing::read(&session).await?.has_schema(schema), self.resumes) {
            (false, _) => {}
            // Schema and tables are made in one transaction.
            (true, true) => made.statements.clear(),
            (true, false) => {
                return Err(Error::conflict(format!("schema {schema} exists in {}", self.work_database))
                    .hint("choose a new name with --into-schema, or drop it"));
            }
        }
        Ok(made)
    }
}

fn in_the_way(database: &str) -> Error {
    Error::conflict(format!("database {database} is in the way")).hint("drop or rename it")
}

/// Errors: `Conflict` when the name is taken by what no restore left.
async fn require_free(server: &Connector, name: &str) -> Result<()> {
    if facts(server, name).await?.database_oid.is_none() {
        return Ok(());
    }
    let session = server.connect().await?;
    let mark = Mark::read(&session, name).await?;
    session.close().await;
    match mark {
        Some(Marked { mark: Mark::ReplacedBy(_), .. }) => Ok(()),
        _ => Err(in_the_way(name)),
    }
}

/// What an earlier attempt finished in `name`. Only a database of the right owner can be that: whoever may make databases
/// can also mark one of his own.
///
/// Errors: `Conflict` when it was a restore of something else.
async fn finished(server: &Connector, name: &str, attempt: &Attempt<'_>) -> Result<Option<Finished>> {
    let session = server.connect().await?;
    let mark = Mark::read(&session, name).await?;
    session.close().await;
    match mark {
        Some(Marked { mark: Mark::Finished(finished), owner, is_ours }) if is_ours || owner == attempt.owner => {
            if finished.backup == *attempt.id && finished.intent == attempt.intent {
                return Ok(Some(finished));
            }
            Err(Error::conflict(format!(
                "database {name} holds a finished restore of {}, or one with other options",
                finished.backup
            ))
            .hint("finish that one by the same command, or drop the database"))
        }
        _ => Ok(None),
    }
}

async fn read_record(server: &Connector, name: &str, attempt: &Attempt<'_>) -> Result<Option<Record>> {
    let session = server.open_database(name).await?.connect().await?;
    let record = Record::read(&session, attempt.id, attempt.intent).await?;
    session.close().await;
    Ok(record)
}

fn require_schema_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES || name.starts_with("pg_") {
        return Err(Error::usage(format!("{name:?} cannot be a schema's name"))
            .hint(format!("1 to {NAME_BYTES} bytes, not beginning with pg_")));
    }
    Ok(())
}

/// What the restore of some tables lacks.
fn left_out(archive: &Archive, closure: &TableClosure) -> Vec<Skipped> {
    let rowless = archive.entries.iter().filter(|entry| closure.without_rows.contains(&entry.dump_id));
    let reason = "comes without its rows: a chosen table needs it, but it was not chosen";
    let rowless = rowless.map(|entry| Skipped { object: entry.name(), reason: reason.to_owned() });
    let absent = closure.left_out.iter().map(|l| Skipped { object: l.object.clone(), reason: l.reason.clone() });
    absent.chain(rowless).collect()
}

/// Event triggers and what belongs to them: they must not hear of the rest of the restore.
fn take_listeners(schema: &mut SchemaPlan) -> SchemaPlan {
    let steps = std::mem::take(&mut schema.post_data);
    let listens = |post: &PostStep| post.step.pass == Pass::AfterPrivileges;
    let (listeners, others) = steps.into_iter().partition(listens);
    schema.post_data = others;
    SchemaPlan { pre_data: Vec::new(), post_data: listeners, ..schema.clone() }
}

async fn database_contents(server: &Connector, name: &str) -> Result<Contents> {
    let session = server.open_database(name).await?.connect().await?;
    let found = contents(&session).await?;
    session.close().await;
    Ok(found)
}

/// The tables that the patterns mean, with their partitions; `None` for all.
fn choose_tables(catalogue: &Catalogue, patterns: &[Pattern]) -> Result<Option<BTreeSet<TableName>>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let rooted = catalogue.tables.iter().filter_map(|table| table.root.as_ref());
    let names = catalogue.tables.iter().map(|table| &table.name).chain(rooted);
    require_matches(patterns, names)?;
    let chosen = catalogue.tables.iter().filter(|table| {
        table.kind != TableKind::LargeObjects
            && (any_matches(patterns, &table.name)
                || table.root.as_ref().is_some_and(|root| any_matches(patterns, root)))
    });
    Ok(Some(chosen.map(|table| table.name.clone()).collect()))
}

/// The schema's entries for the chosen tables, and for partitioned tables that the patterns mean.
fn entries_of(
    archive: &Archive,
    catalogue: &Catalogue,
    tables: &BTreeSet<TableName>,
    patterns: &[Pattern],
) -> BTreeSet<DumpId> {
    let roots: BTreeSet<&TableName> =
        catalogue.tables.iter().filter_map(|t| t.root.as_ref()).filter(|root| any_matches(patterns, root)).collect();
    let of_tables = archive.entries.iter().filter(|entry| entry.desc == "TABLE").filter(|entry| {
        let name = TableName::new(entry.schema.clone().unwrap_or_default(), entry.tag.clone());
        tables.contains(&name) || roots.contains(&name)
    });
    of_tables.map(|entry| entry.dump_id).collect()
}

fn loads(catalogue: &Catalogue, chosen: Option<&BTreeSet<TableName>>) -> Vec<Load> {
    let wanted = catalogue.tables.iter().filter(|table| chosen.is_none_or(|chosen| chosen.contains(&table.name)));
    wanted.map(|entry| Load { entry: entry.clone(), into: entry.name.clone() }).collect()
}

fn steps(place: &Place, options: &RestoreOptions, target: &str) -> Vec<String> {
    let Place { action, work_database, finished, .. } = place;
    let action = *action;
    let mut steps = Vec::new();
    if action == Action::Replace && options.safety_backup {
        steps.push(format!("back up {target} as it is now"));
    }
    let swap = format!("end all sessions of {target}, put {work_database} in its place, drop the old one");
    if finished.is_some() {
        steps.push(format!("keep {work_database}, which an earlier attempt made and proved"));
        steps.push(swap);
        return steps;
    }
    steps.push(match action {
        Action::Create => format!("create database {target}"),
        Action::Fill => format!("fill the empty database {target}"),
        Action::Resume => format!("go on with the unfinished restore in {target}"),
        Action::Replace => format!("create database {work_database}"),
        Action::Add => format!("keep everything that {target} has"),
    });
    match (&options.into_schema, options.data_only) {
        (Some(schema), _) => steps.push(format!("make schema {schema} with a table for each")),
        (None, true) => {}
        (None, false) => steps.push("make types, tables, functions and views".to_owned()),
    }
    if !options.schema_only {
        steps.push("load the rows".to_owned());
        steps.push("read every table back and compare its fingerprint".to_owned());
    }
    match (&options.into_schema, options.data_only) {
        (Some(_), _) => {}
        (None, true) => steps.push("set sequences, look whether foreign keys hold, analyze".to_owned()),
        (None, false) => {
            steps.push("make indexes, constraints, triggers and privileges".to_owned());
            if !options.schema_only {
                steps.push("set sequences, refresh materialized views, analyze".to_owned());
            }
        }
    }
    if action == Action::Replace {
        steps.push(swap);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_postgresqls_limit_and_are_cut_between_characters() {
        assert_eq!(shortened("shop", "_restoring"), "shop_restoring");
        let long = shortened(&"ü".repeat(40), "_restoring");
        assert!(long.len() <= NAME_BYTES && long.ends_with("ü_restoring"), "{long}");
        assert!(require_name(&"x".repeat(64)).is_err());
        assert!(require_name("template1").is_err());
    }
}
