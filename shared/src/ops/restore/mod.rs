//! One restore, from plan to proof.
//!
//! The plan says what will happen and is what the restore consumes. A new database is made beside whatever is there; a
//! restore that replaces one does the same, and swaps the two by name when the new one is proven. The target is marked until
//! the last step, every step is noted in it, and the same restore, started again, goes on where it stopped.

pub mod confirmation;
mod existing;
mod finish;
mod plan;
mod proof;
mod record;
mod rows;
mod swap;
mod target;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DatabaseName, Depth, NotRestored, Purpose, Skipped, TableName, Tally};
use crate::ops::backup::{BackupOptions, backup};
use crate::ops::thaw::{self, ThawPlan};
use crate::ops::verify::verify;
use crate::ops::{Event, Proof, RestoreReport, Run, Step};
use crate::postgres::quote::qualified;
use crate::postgres::restore_schema::SchemaRestore;
use crate::postgres::session::{set_session, text_settings, timeout_settings};
use crate::postgres::sql_text::quoted;
use crate::postgres::{Connector, Session, from_postgres};
use crate::vault::DatabaseVault;
pub use plan::{Action, RestoreOptions, RestorePlan, plan};
use record::Record;
use rows::{Load, Loading, Refusal};
use swap::{Finished, Mark, Swap};

const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Carries out the plan.
///
/// Errors: `Confirmation` for a plan that replaces something unless `confirmed`, and while rows are frozen, which are asked for if
/// the options say how; `Verification` when a table does not hold
/// what the backup says: the target is then left marked, and what it was to replace is untouched.
pub async fn restore(
    database: &DatabaseVault,
    plan: &RestorePlan,
    confirmed: bool,
    run: &Run,
) -> Result<RestoreReport> {
    if plan.needs_confirmation && !confirmed {
        return Err(Error::confirmation(format!("this replaces database {}", plan.target))
            .hint("look at the plan (--dry-run), then confirm with --yes or by typing the name"));
    }
    require_thawed(database, plan, run).await?;
    let begun = Instant::now();
    let mut steps = Vec::from_iter(safety_backup(database, plan, run).await?);
    if plan.action == Action::Replace {
        drop_leftover(plan).await?;
    }
    let Finished { proof, not_restored, remarks, .. } = match &plan.internals.finished {
        Some(finished) => finished.clone(),
        None => make(database, plan, run, &mut steps).await?,
    };
    steps.extend(take_place(plan, run).await?);
    Ok(RestoreReport {
        id: plan.id.clone(),
        database: plan.database.clone(),
        target: plan.target.clone(),
        tables: plan.tables,
        rows: plan.rows,
        duration_ms: elapsed_ms(begun),
        steps,
        proof,
        not_restored,
        remarks,
    })
}

/// Nothing is begun that would wait for hours.
async fn require_thawed(database: &DatabaseVault, plan: &RestorePlan, run: &Run) -> Result<()> {
    let Some(ThawPlan { frost, .. }) = &plan.thaw else { return Ok(()) };
    let internals = &plan.internals;
    let refusal = match plan.options.thaw {
        Some(request) if frost.frozen.objects > 0 => {
            let (manifest, packs) = (&internals.manifest, internals.packs.as_ref());
            thaw::ask(database, manifest, packs, request, run).await?;
            thaw::refusal(&plan.id, &thaw::frost(database, manifest, packs).await?)
        }
        _ => thaw::refusal(&plan.id, frost),
    };
    refusal.map_or(Ok(()), Err)
}

/// Makes the database, from nothing or from where an earlier attempt stopped, and proves it.
async fn make(database: &DatabaseVault, plan: &RestorePlan, run: &Run, steps: &mut Vec<Step>) -> Result<Finished> {
    let mut restore = Restore::begin(database, plan, run).await?;
    restore.schema_before_rows().await?;
    let mut proof = if plan.with_rows() {
        restore.load_rows().await?;
        restore.prove().await?
    } else {
        Proof { ok: true, tables_equal: 0, tables_different: Vec::new() }
    };
    require_equal(plan, &proof)?;
    restore.schema_after_rows().await?;
    restore.load_deferred(&mut proof).await?;
    require_equal(plan, &proof)?;
    let (finished, made) = restore.finish(proof).await?;
    steps.extend(made);
    Ok(finished)
}

async fn drop_leftover(plan: &RestorePlan) -> Result<()> {
    let session = plan.internals.server.connect().await?;
    swap::drop_leftover(&session, &plan.internals.aside).await?;
    session.close().await;
    Ok(())
}

/// Puts the proven database where the old one is.
async fn take_place(plan: &RestorePlan, run: &Run) -> Result<Option<Step>> {
    if plan.work_database == plan.target {
        return Ok(None);
    }
    let begun = start_step(run, "swap")?;
    let swap = Swap {
        backup: &plan.id,
        name: &plan.target,
        new: &plan.work_database,
        aside: &plan.internals.aside,
        comment: plan.internals.catalogue.database.comment.as_deref(),
    };
    swap::swap(&plan.internals.server, &swap).await?;
    Ok(Some(Step { name: "swap".to_owned(), duration_ms: elapsed_ms(begun) }))
}

fn start_step(run: &Run, name: &'static str) -> Result<Instant> {
    run.observer.on(&Event::Step { name });
    run.check(name)?;
    Ok(Instant::now())
}

/// Drops a database that a restore made.
pub async fn drop_database(server: &Connector, name: &str) -> Result<()> {
    let session = server.connect().await?;
    target::drop_database(&session, name).await
}

/// Backs up what is about to be replaced, and looks whether it arrived. Under the database's own name in the vault where
/// it is the same one, else under a name of its own.
async fn safety_backup(database: &DatabaseVault, plan: &RestorePlan, run: &Run) -> Result<Option<Step>> {
    if plan.action != Action::Replace || !plan.options.safety_backup {
        return Ok(None);
    }
    let begun = Instant::now();
    let doomed = plan.internals.server.open_database(&plan.target).await?;
    let mut options = BackupOptions::new(database.name.clone(), "safety".parse()?);
    options.purpose = Purpose::Safety;
    options.jobs = plan.options.jobs;
    options.pg_dump.clone_from(&plan.options.pg_dump);
    options.tags.insert("before_restore_of".to_owned(), plan.id.to_string());
    let made = match backup(&database.vault, &doomed, &options, run).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            options.database = DatabaseName::slug_of(&format!("{}-replaced", plan.target))?;
            options.adopt = true;
            backup(&database.vault, &doomed, &options, run).await
        }
        made => made,
    };
    let failed = "the safety backup failed, and nothing was changed";
    let made = made.map_err(|e| e.context(failed))?.backup;
    let kept = database.vault.database(&made.database).await?;
    // A verification may restore, which may back up and verify: somewhere the circle needs a box.
    let verdict = Box::pin(verify(&kept, &made.id, Depth::Quick, None, run)).await?;
    if !verdict.ok {
        return Err(Error::verification(format!("{failed}: {} did not arrive whole", made.id)));
    }
    let name = format!("safety backup {} of {}", made.id, made.database);
    Ok(Some(Step { name, duration_ms: elapsed_ms(begun) }))
}

/// Who chose some tables goes without this; who looks for what is missing must see it.
fn left_out(Skipped { object, reason }: &Skipped) -> NotRestored {
    NotRestored { object: object.clone(), reason: reason.clone(), essential: true }
}

/// With damaged pieces skipped, a difference is what was asked for, and is reported.
fn require_equal(plan: &RestorePlan, proof: &Proof) -> Result<()> {
    if proof.ok || plan.options.skip_damaged {
        return Ok(());
    }
    let names: Vec<String> = proof.tables_different.iter().take(8).map(ToString::to_string).collect();
    let count = proof.tables_different.len();
    Err(Error::verification(format!(
        "{count} tables of {} do not hold what the backup says: {}",
        plan.work_database,
        names.join(", ")
    ))
    .hint(match plan.adds() {
        true => "what was added is left as it is, for you to look at; then drop it, and the schema lifeboat_restore",
        false => "the target is left as it is, marked as unfinished, for you to look at; drop it when you have",
    }))
}

fn generated_otherwise(table: &TableName) -> Skipped {
    let reason = "its rows are equal, but its generated columns are not: what computes them gives other values here";
    Skipped { object: format!("generated columns of {table}"), reason: reason.to_owned() }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A restore on its way.
struct Restore<'a> {
    database: &'a DatabaseVault,
    plan: &'a RestorePlan,
    run: &'a Run,
    target: Connector,
    control: Session,
    record: Record,
    loads: Vec<Load>,
    /// Whether this role may put foreign keys and triggers to sleep.
    sleeps: bool,
    /// Tables whose rows need something that comes after the rows, such as the name of an index.
    deferred: BTreeSet<TableName>,
    steps: Vec<Step>,
    not_restored: Vec<NotRestored>,
    /// Rows that could not be read.
    lost: rows::Lost,
    remarks: Vec<Skipped>,
    /// Cancelled with the run, at the deadline, or when a part of the restore fails.
    stop: CancellationToken,
}

impl<'a> Restore<'a> {
    async fn begin(database: &'a DatabaseVault, plan: &'a RestorePlan, run: &'a Run) -> Result<Self> {
        run.check("starting the restore")?;
        let begun = Instant::now();
        run.observer.on(&Event::Step { name: "target" });
        let server = &plan.internals.server;
        if plan.creates_database() && !plan.internals.resumes {
            target::create(server, &plan.work_database, &plan.internals.catalogue.database).await?;
        }
        let target = server.open_database(&plan.work_database).await?;
        let control = target.connect().await?;
        // The database's own setting may have been restored already.
        let writable = "SET default_transaction_read_only = off";
        let settings = format!("{writable}; {}", set_session(&timeout_settings(target.identity(), LOCK_TIMEOUT)));
        control.batch_execute(&settings).await.map_err(|e| from_postgres("preparing a session", e))?;
        let record = match Record::read(&control, &plan.id, &plan.internals.intent).await? {
            Some(record) => record,
            None => Record::begin(&control, &plan.id, &plan.internals.intent, &plan.internals.begun_as).await?,
        };
        // Foreign keys and triggers must not meddle: those of tables that were there, and those that an earlier attempt
        // made already.
        let sleeps = existing::sleep(&control).await?;
        if sleeps && !plan.is_data_only() {
            let awake = control.batch_execute("RESET session_replication_role").await;
            awake.map_err(|e| from_postgres("preparing a session", e))?;
        }
        let loads = rows::through(&plan.internals.loads, &record.through);
        let mut restore = Self {
            database,
            plan,
            run,
            target,
            control,
            loads,
            sleeps,
            deferred: BTreeSet::new(),
            steps: Vec::new(),
            not_restored: plan.left_out.iter().map(left_out).collect(),
            lost: rows::Lost::new(),
            remarks: Vec::new(),
            record,
            stop: run.cancel.child_token(),
        };
        restore.not_restored.extend(std::mem::take(&mut restore.record.outcome.not_restored));
        restore.remarks.extend(std::mem::take(&mut restore.record.outcome.remarks));
        restore.note_step("target", begun);
        Ok(restore)
    }

    fn note_step(&mut self, name: &str, begun: Instant) {
        self.steps.push(Step { name: name.to_owned(), duration_ms: elapsed_ms(begun) });
    }

    fn start_step(&self, name: &'static str) -> Result<Instant> {
        start_step(self.run, name)
    }

    fn schema(&self) -> SchemaRestore<'_> {
        let plan = &self.plan.internals.schema;
        SchemaRestore { plan, done: &self.record.steps, progress: &self.record, stop: &self.stop }
    }

    fn listeners(&self) -> SchemaRestore<'_> {
        SchemaRestore { plan: &self.plan.internals.listeners, ..self.schema() }
    }

    async fn schema_before_rows(&mut self) -> Result<()> {
        let begun = self.start_step("schema")?;
        let beside = &self.plan.internals.beside.statements;
        if !beside.is_empty() {
            // Somebody may have dropped what an earlier attempt had made.
            let sql = format!(
                "SET search_path = ''; BEGIN; {}; {}; COMMIT; RESET search_path",
                Record::forget_all(),
                beside.join("; ")
            );
            let made = self.control.batch_execute(&sql).await;
            made.map_err(|e| from_postgres("making tables beside the live ones", e))?;
        }
        let outcome = self.schema().pre_data(&self.target).await?;
        self.not_restored.extend(outcome.not_restored);
        self.remarks.extend(outcome.remarks);
        self.note_step("schema", begun);
        Ok(())
    }

    async fn load_rows(&mut self) -> Result<()> {
        let begun = self.start_step("rows")?;
        let total_bytes = self.loads.iter().map(|load| &load.entry.tally).sum::<Tally>().plaintext_bytes;
        self.run.observer.on(&Event::Expect { total_bytes, tables: self.loads.len() as u64 });
        finish::create_large_objects(&self.control, &self.plan.internals.large_objects).await?;
        let mut refused = self.load(self.loads.clone(), "").await?;
        let roots = rows::misplaced(&refused, self.loads.iter());
        if !roots.is_empty() {
            refused.retain(|(table, _)| !self.has_root_in(table, &roots));
            refused.extend(self.load_through_roots(&roots).await?);
        }
        // Now that all other tables are there, checks that call functions on them can hold.
        let refused = self.load_again(&refused).await?;
        if let Some((table, refusal)) = refused.first().filter(|_| self.plan.is_data_only()) {
            return Err(Error::verification(format!("{table}: {}", refusal.reason))
                .hint("the table differs from the one that was backed up; mend it and run the same restore again, which goes on"));
        }
        let by_check = |(table, refusal): &(TableName, Refusal)| {
            refusal.constraint.is_some() && !self.plan.internals.of_extensions.contains(table)
        };
        let (by_checks, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(by_check);
        self.load_without_checks(by_checks).await?;
        self.deferred = others.into_iter().map(|(table, _)| table).collect();
        self.note_step("rows", begun);
        Ok(())
    }

    /// Loads what is not loaded yet; gives the tables that refused their rows. `more` is SQL that sets up a loader.
    async fn load(&mut self, loads: Vec<Load>, more: &str) -> Result<Vec<(TableName, Refusal)>> {
        let mut settings = text_settings(self.target.identity());
        settings.extend(timeout_settings(self.target.identity(), LOCK_TIMEOUT));
        let asleep = if self.sleeps { existing::SLEEP } else { "" };
        self.record.segments = Record::segments(&self.control).await?;
        let loading = Loading {
            database: self.database.clone(),
            key: self.plan.internals.manifest.key,
            shelf: self.plan.internals.manifest.row_shelf(),
            target: self.target.clone(),
            settings: format!("{}; SET synchronous_commit = off; {asleep}; {more}", set_session(&settings)),
            encoding: self.plan.internals.manifest.encoding.clone(),
            of_extensions: self.plan.internals.of_extensions.clone(),
            jobs: self.plan.options.jobs,
            skip_damaged: self.plan.options.skip_damaged,
            observer: Arc::clone(&self.run.observer),
            stop: self.stop.clone(),
        };
        let loaded = rows::load(loading, loads, &self.record.segments).await;
        let loaded = loaded.map_err(|error| self.run.check("loading rows").err().unwrap_or(error))?;
        self.lost.extend(loaded.lost);
        Ok(loaded.refused)
    }

    fn has_root_in(&self, table: &TableName, roots: &BTreeSet<TableName>) -> bool {
        let load = self.loads.iter().find(|load| load.entry.name == *table);
        load.and_then(|load| load.entry.root.as_ref()).is_some_and(|root| roots.contains(root))
    }

    /// Hashes and sort orders may differ from the source's: the rows then go to whatever leaf is theirs here.
    async fn load_through_roots(&mut self, roots: &BTreeSet<TableName>) -> Result<Vec<(TableName, Refusal)>> {
        if self.plan.is_data_only() {
            let names: Vec<String> = roots.iter().map(ToString::to_string).collect();
            return Err(Error::verification(format!("rows belong to other partitions here: {}", names.join(", ")))
                .hint("partition the tables as they were, or restore them into another database"));
        }
        self.loads = rows::through(&self.loads, roots);
        let is_through = |load: &&Load| roots.contains(&load.into);
        let through: Vec<Load> = self.loads.iter().filter(is_through).cloned().collect();
        let names: Vec<String> = through.iter().map(|load| load.entry.name.to_string()).collect();
        let truncate: Vec<String> = roots.iter().map(qualified).collect();
        let note: Vec<String> = roots.iter().map(Record::through_root).collect();
        let (truncate, note, forget) = (truncate.join(", "), note.join("; "), Record::forget(&names));
        let sql = format!("BEGIN; TRUNCATE {truncate}; {note}; {forget}; COMMIT");
        self.control.batch_execute(&sql).await.map_err(|e| from_postgres("emptying half-loaded tables", e))?;
        self.load(through, "").await
    }

    /// Loads what these tables refused, and nothing that they took.
    async fn load_again(&mut self, refused: &[(TableName, Refusal)]) -> Result<Vec<(TableName, Refusal)>> {
        let again = self.loads_of(refused);
        if again.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.with_search_path(again.iter().map(|load| &load.entry.name));
        self.load(again, &path).await
    }

    fn loads_of(&self, refused: &[(TableName, Refusal)]) -> Vec<Load> {
        let names: BTreeSet<&TableName> = refused.iter().map(|(name, _)| name).collect();
        self.loads.iter().filter(|load| names.contains(&load.entry.name)).cloned().collect()
    }

    /// For loading these tables again: the database's own path, then their schemas, where functions of their checks may
    /// have found what they call.
    fn with_search_path<'t>(&self, tables: impl Iterator<Item = &'t TableName>) -> String {
        let schemas: BTreeSet<String> = tables.map(|table| quoted(&table.schema)).collect();
        let schemas: Vec<String> = schemas.into_iter().collect();
        format!("SET search_path TO {}, {}", self.search_path(), schemas.join(", "))
    }

    /// The database's own, as far as it is known, for functions that rely on it.
    fn search_path(&self) -> String {
        let settings = &self.plan.internals.catalogue.database.settings;
        let own = settings.iter().find(|setting| setting.role.is_none() && setting.name == "search_path");
        own.map_or_else(|| "\"$user\", public".to_owned(), |setting| setting.value.clone())
    }

    /// A check that still refuses rows which the source has is taken off, and put back NOT VALID: rows come first.
    async fn load_without_checks(&mut self, mut refused: Vec<(TableName, Refusal)>) -> Result<()> {
        // Each round takes one check off every table that still refuses; a table has only so many.
        while !refused.is_empty() {
            for (table, refusal) in &refused {
                let taken = match &refusal.constraint {
                    Some(name) => self.take_off(table, name).await?,
                    None => false,
                };
                if !taken {
                    return Err(Error::verification(format!("{table}: {}", refusal.reason)).hint(
                        "the rows need something that the target lacks: an extension's version, a locale, a setting",
                    ));
                }
            }
            refused = self.load_again(&refused).await?;
        }
        self.put_checks_back().await
    }

    /// Drops a check and notes its definition, in one transaction; false when the table has none of that name.
    async fn take_off(&self, table: &TableName, name: &str) -> Result<bool> {
        let failed = |e| from_postgres(&format!("taking the check {name} off {table}"), e);
        let sql = "SELECT pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
                   WHERE conrelid = $1::text::pg_catalog.regclass AND conname = $2 AND contype = 'c'";
        let row = self.control.query_opt(sql, &[&qualified(table), &name]).await.map_err(failed)?;
        let Some(row) = row else { return Ok(false) };
        let definition = row.get::<_, &str>(0).trim_end_matches(" NOT VALID");
        let note = Record::check_off(&qualified(table), &quoted(name), definition);
        let drop = format!("ALTER TABLE {} DROP CONSTRAINT {}", qualified(table), quoted(name));
        self.control.batch_execute(&format!("BEGIN; {note}; {drop}; COMMIT")).await.map_err(failed)?;
        Ok(true)
    }

    /// Also those that an attempt which died had taken off.
    async fn put_checks_back(&mut self) -> Result<()> {
        for (table, name, definition) in Record::checks_off(&self.control).await? {
            let add = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID");
            let note = Record::check_on(&table, &name);
            let added = self.control.batch_execute(&format!("BEGIN; {add}; {note}; COMMIT")).await;
            added.map_err(|e| from_postgres(&format!("putting the check {name} of {table} back"), e))?;
            let reason = "the source's own rows do not pass it here: it is NOT VALID".to_owned();
            self.remarks.push(Skipped { object: format!("constraint {name} of {table}"), reason });
        }
        Ok(())
    }

    async fn prove(&mut self) -> Result<Proof> {
        let begun = self.start_step("proof")?;
        let loads = self.loads.iter().filter(|load| !self.deferred.contains(&load.entry.name)).cloned().collect();
        let proof = self.prove_these(loads).await?;
        self.note_step("proof", begun);
        Ok(proof)
    }

    async fn prove_these(&mut self, loads: Vec<Load>) -> Result<Proof> {
        let total_bytes = loads.iter().map(|load| &load.entry.tally).sum::<Tally>().plaintext_bytes;
        self.run.observer.on(&Event::Expect { total_bytes, tables: loads.len() as u64 });
        let (observer, jobs) = (&self.run.observer, self.plan.options.jobs);
        let encoding = &self.plan.internals.manifest.encoding;
        let different = proof::differences(&self.target, &loads, encoding, jobs, observer, &self.stop).await;
        let different = different.map_err(|error| self.run.check("proving the rows").err().unwrap_or(error))?;
        self.remarks.extend(different.of_generated.iter().map(generated_otherwise));
        let tables_different = different.of_rows;
        let tables_equal = (loads.len() - tables_different.len()) as u64;
        Ok(Proof { ok: tables_different.is_empty(), tables_equal, tables_different })
    }

    /// Loads and proves what had to wait for indexes and the like, with triggers and foreign keys asleep: the rows are the
    /// source's own.
    async fn load_deferred(&mut self, proof: &mut Proof) -> Result<()> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let begun = self.start_step("late rows")?;
        let loads: Vec<Load> = self.loads.iter().filter(|l| self.deferred.contains(&l.entry.name)).cloned().collect();
        let path = self.with_search_path(self.deferred.iter());
        let refused = self.load(loads.clone(), &path).await?;
        // The target may lack the extension, or keep its tables to itself.
        let of_extensions = &self.plan.internals.of_extensions;
        let (lost, refused): (Vec<_>, Vec<_>) = refused.into_iter().partition(|(name, _)| of_extensions.contains(name));
        let is_lost = |load: &Load| lost.iter().any(|(name, _)| *name == load.entry.name);
        let loads = loads.into_iter().filter(|load| !is_lost(load)).collect();
        self.not_restored.extend(lost.into_iter().map(|(table, Refusal { reason, .. })| NotRestored {
            object: format!("rows of {table}"),
            reason,
            essential: true,
        }));
        if let Some((table, refusal)) = refused.first() {
            return Err(Error::verification(format!("{table}: {}", refusal.reason))
                .hint("the rows need something that the target lacks: an extension's version, a locale, a setting"));
        }
        let late = self.prove_these(loads).await?;
        proof.ok &= late.ok;
        proof.tables_equal += late.tables_equal;
        proof.tables_different.extend(late.tables_different);
        self.note_step("late rows", begun);
        Ok(())
    }

    async fn schema_after_rows(&mut self) -> Result<()> {
        let begun = self.start_step("indexes and constraints")?;
        let jobs = NonZeroUsize::new(self.plan.options.jobs).unwrap_or(NonZeroUsize::MIN);
        let outcome = self.schema().post_data(&self.target, jobs).await?;
        self.not_restored.extend(outcome.not_restored);
        self.remarks.extend(outcome.remarks);
        self.note_step("indexes and constraints", begun);
        Ok(())
    }

    /// The last of it, and taking the marks of an unfinished restore away.
    async fn finish(mut self, proof: Proof) -> Result<(Finished, Vec<Step>)> {
        let begun = self.start_step("finish")?;
        let plan = self.plan;
        let (catalogue, options) = (&plan.internals.catalogue, &plan.internals.schema_options);
        if plan.with_rows() {
            let of_extensions = &plan.internals.of_extensions;
            let set = finish::set_sequences(&self.control, &plan.sequences(), of_extensions).await?;
            self.not_restored.extend(set);
            let objects = &plan.internals.large_objects;
            self.not_restored.extend(finish::describe_large_objects(&self.control, objects, options).await);
            let path = self.search_path();
            let views = plan.views();
            self.not_restored.extend(finish::refresh_views(&self.control, &views, Some(&path)).await);
            if plan.is_data_only() {
                self.remarks.extend(existing::orphans(&self.control, &self.loads).await?);
            }
            let sized = |load: &Load| (load.into.clone(), load.entry.tally.plaintext_bytes);
            let added = plan.adds().then(|| self.loads.iter().map(sized).collect());
            self.remarks.extend(finish::analyze(&self.target, &self.control, added, plan.options.jobs).await?);
        }
        let outcome = self.listeners().post_data(&self.target, NonZeroUsize::MIN).await?;
        self.not_restored.extend(outcome.not_restored);
        self.remarks.extend(outcome.remarks);
        if plan.creates_database() && plan.options.tables.is_empty() {
            let properties = &catalogue.database;
            self.not_restored
                .extend(finish::describe_database(&self.control, &plan.work_database, properties, options).await);
        }
        self.not_restored.extend(std::mem::take(&mut self.lost).into_values().flatten());
        self.note_step("finish", begun);
        let finished = Finished {
            backup: plan.id.clone(),
            intent: plan.internals.intent.clone(),
            proof,
            not_restored: self.not_restored.clone(),
            remarks: self.remarks.clone(),
        };
        let mark = match plan.work_database == plan.target {
            true => String::new(),
            false => Mark::Finished(finished.clone()).statement(&plan.work_database)?,
        };
        if let Err(error) = Record::end(&self.control, &mark).await {
            self.require_ended().await.map_err(|_| {
                error.hint("the target is whole if it has no schema lifeboat_restore any more; if it has, run the same restore again")
            })?;
        }
        self.control.close().await;
        Ok((finished, self.steps))
    }

    /// The end of a restore may have come about although we did not hear of it.
    async fn require_ended(&self) -> Result<()> {
        let session = self.target.connect().await?;
        match Record::read(&session, &self.plan.id, &self.plan.internals.intent).await? {
            None => Ok(()),
            Some(_) => Err(Error::database("the target is not whole yet")),
        }
    }
}
