//! Runs the plan of a schema's restore on its target.
//!
//! A transaction is sent in one go: begin, the statements of a step and the caller's record that it is done, commit. So a
//! restore that dies has recorded exactly the steps that took effect, and the next attempt begins with the others. Small
//! steps share a transaction until the target refuses something of it; then each has one of its own.
//!
//! When the target refuses a statement of a step, it is tried again without it (optional), in pieces (privileges), or
//! without a look at the rows (constraints); what that costs is reported. The rows come first: what comes after them and is
//! refused (an index that they do not fit, a rule that no server takes) is reported too, with what depends on it. Deadlocks
//! and the like are tried again as they are. Everything else ends the restore.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::maybe_done;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::archive::DumpId;
use super::connect::{Connector, Session};
use super::error::from_postgres;
use super::schema_sql::{Fallback, Importance, Part, Statement, Step};
use crate::error::{Error, Result};
use crate::model::{NotRestored, Skipped};
use crate::plan::batch::MOST_TASKS;
use crate::plan::restore::{PostStep, SchemaPlan};
use crate::plan::schedule::Schedule;

/// Tries of a transaction that others got in the way of; they wait up to some seconds together.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const INTERRUPT_INTERVAL: Duration = Duration::from_secs(1);

/// Where the caller keeps what is done, for an attempt that comes after this one.
pub trait Progress: Send + Sync {
    /// SQL that notes the step as done, with what it could not do. It runs in the step's own transaction.
    fn record(&self, dump_id: DumpId, outcome: &SchemaOutcome) -> Option<String>;

    /// The step took effect.
    fn done(&self, dump_id: DumpId);
}

/// What is not as it was in the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaOutcome {
    /// Objects and properties that the target refused.
    pub not_restored: Vec<NotRestored>,
    /// Constraints that are there, but not for the rows that were there before them.
    pub remarks: Vec<Skipped>,
}

impl SchemaOutcome {
    fn add(&mut self, other: Self) {
        self.not_restored.extend(other.not_restored);
        self.remarks.extend(other.remarks);
    }
}

/// A plan on its way into a target.
pub struct SchemaRestore<'a> {
    pub plan: &'a SchemaPlan,
    /// Steps that an earlier attempt recorded.
    pub done: &'a BTreeSet<DumpId>,
    pub progress: &'a dyn Progress,
    /// Ends the restore: nothing new is begun, what runs is cancelled on the server.
    pub stop: &'a CancellationToken,
}

impl SchemaRestore<'_> {
    /// Runs what comes before the rows, in order, on one session.
    ///
    /// Fails with an error that names the object when the target refuses something essential, or is lost; with
    /// [`ErrorKind::OutOfTime`](crate::ErrorKind) when stopped.
    pub async fn pre_data(&self, target: &Connector) -> Result<SchemaOutcome> {
        let session = self.session(target).await?;
        self.open(&session).await?;
        let mut outcome = SchemaOutcome::default();
        let mut steps: Vec<&Step> =
            self.plan.pre_data.iter().filter(|step| !self.done.contains(&step.dump_id)).rev().collect();
        let mut together = Together::default();
        while !steps.is_empty() {
            let batch = steps.split_off(steps.len().saturating_sub(together.most()));
            let took_effect = batch.len() > 1 && self.run_together(&session, batch.iter().rev().copied()).await;
            together.learn(batch.len(), took_effect);
            for step in batch.into_iter().rev().filter(|_| !took_effect) {
                self.require_time()?;
                let made = self.run(&session, step, Leniency::None).await.map_err(|failure| failure.error)?;
                outcome.add(made.outcome);
            }
            self.require_time()?;
        }
        flush(&session).await?;
        Ok(outcome)
    }

    /// Runs what comes after the rows, on up to `jobs` sessions; on fewer when the target grants no more.
    ///
    /// Fails as [`pre_data`](Self::pre_data) does, after the end of what was running beside.
    pub async fn post_data(&self, target: &Connector, jobs: NonZeroUsize) -> Result<SchemaOutcome> {
        let mut schedule = Schedule::new(&self.plan.post_data, self.done);
        let mut pool = Pool { restore: self, target, idle: Vec::new(), busy: BTreeSet::new(), limit: jobs.get() };
        let mut running = FuturesUnordered::new();
        let mut outcome = SchemaOutcome::default();
        let mut failed = None;
        let mut missing = BTreeSet::new();
        let mut together = Together::default();
        loop {
            while failed.is_none()
                && !self.stop.is_cancelled()
                && let Some(session) = pool.take().await?
            {
                let batch = schedule.start_batch(together.most());
                if batch.is_empty() {
                    pool.put_back(session);
                    break;
                }
                let leniency_of = |post: &PostStep| match post.waits_for.is_disjoint(&missing) {
                    true => Leniency::ButPrivileges,
                    false => Leniency::All,
                };
                let batch = batch.into_iter().map(|post| (&post.step, leniency_of(post))).collect();
                running.push(self.run_beside(session, batch));
            }
            let ended = tokio::select! {
                ended = running.next() => ended,
                () = self.interrupt(target, &pool.busy) => continue,
            };
            let Some((session, Ended { steps, took_effect_together, results })) = ended else { break };
            pool.put_back(session);
            together.learn(steps, took_effect_together);
            for (id, result) in results {
                match result {
                    Ok(made) => {
                        outcome.add(made.outcome);
                        missing.extend(made.is_missing.then_some(id));
                        schedule.finish(id);
                    }
                    Err(failure) if failure.lacks_privilege && schedule.postpone(id) => {}
                    Err(failure) => _ = failed.get_or_insert(failure.error),
                }
            }
        }
        self.require_time()?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(session) = pool.idle.first() {
            flush(session).await?;
        }
        Ok(outcome)
    }

    fn require_time(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Error::out_of_time("stopped while restoring the schema")
                .hint("start the same restore again: it goes on where it stopped"));
        }
        Ok(())
    }

    /// Once stopped, cancels what these backends run. It may have to be done again: a cancel that comes between two
    /// statements has no effect.
    async fn interrupt(&self, target: &Connector, backends: &BTreeSet<i32>) {
        self.stop.cancelled().await;
        if let Err(error) = cancel(target, backends).await {
            tracing::debug!(%error, "could not cancel what the restore still runs");
        }
        tokio::time::sleep(INTERRUPT_INTERVAL).await;
    }

    async fn open(&self, client: &Client) -> Result<()> {
        let Some(opening) = self.plan.opening else { return Ok(()) };
        match client.batch_execute(opening).await {
            Err(error) if !is_refusal(&error) => Err(from_postgres("preparing the target for the schema", error)),
            _ => Ok(()),
        }
    }

    async fn session(&self, target: &Connector) -> Result<Session> {
        let session = target.connect().await?;
        // A crash may lose the newest steps, never one without its record; `flush` makes the last ones safe.
        let settings = format!("{}\nSET synchronous_commit = off;", self.plan.session_settings);
        session.batch_execute(&settings).await.map_err(|e| from_postgres("preparing a session for the schema", e))?;
        // Lets the server notice in the middle of a long statement that we are gone; not every platform can.
        if session.batch_execute("SET client_connection_check_interval = '5s'").await.is_err() {
            tracing::debug!("the server cannot watch for lost clients");
        }
        Ok(session)
    }

    async fn run_beside(&self, session: Session, batch: Vec<(&Step, Leniency)>) -> (Session, Ended) {
        let steps = batch.len();
        let together = batch.iter().map(|(step, _)| *step);
        let took_effect_together = steps > 1 && self.run_together(&session, together).await;
        let mut results = Vec::with_capacity(steps);
        for (step, leniency) in batch {
            let result = match took_effect_together {
                true => Ok(Made::default()),
                false if self.stop.is_cancelled() => break,
                false => self.run(&session, step, leniency).await,
            };
            results.push((step.dump_id, result));
        }
        (session, Ended { steps, took_effect_together, results })
    }

    /// Runs steps in one transaction. `false`: none took effect, or nobody knows.
    async fn run_together<'p>(&self, client: &Client, steps: impl Iterator<Item = &'p Step>) -> bool {
        let steps: Vec<&Step> = steps.collect();
        let nothing_missing = SchemaOutcome::default();
        let records: Vec<Option<String>> =
            steps.iter().map(|step| self.progress.record(step.dump_id, &nothing_missing)).collect();
        let statements = steps.iter().zip(&records).flat_map(|(step, record)| {
            let own = step.statements.iter().map(|statement| statement.sql.as_str());
            own.chain(record.as_deref()).chain(step.storage_reset())
        });
        let queries: Vec<&str> = std::iter::once("BEGIN").chain(statements).chain(std::iter::once("COMMIT")).collect();
        let result = pipeline(client, &queries).await;
        match &result {
            Ok(()) => steps.iter().for_each(|step| self.progress.done(step.dump_id)),
            Err((_, error)) => tracing::debug!(steps = steps.len(), %error, "not together: one after the other"),
        }
        result.is_ok()
    }

    /// Runs one step, and tries again what can be tried again.
    async fn run(&self, client: &Client, step: &Step, leniency: Leniency) -> Result<Made, Failure> {
        let mut attempt = Attempt::of(step, leniency);
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.run_to_the_end(client, &mut attempt).await {
                Err(failure) if failure.is_passing => {
                    tracing::debug!(object = step.object, error = %failure.error, "trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                ended => return ended,
            }
        }
        self.run_to_the_end(client, &mut attempt).await
    }

    /// Tries until nothing is refused that there is another way for.
    async fn run_to_the_end(&self, client: &Client, attempt: &mut Attempt<'_>) -> Result<Made, Failure> {
        let id = attempt.step.dump_id;
        loop {
            let record = self.progress.record(id, &attempt.made.outcome);
            match attempt.transaction(client, record.as_deref()).await {
                Ok(()) => {
                    self.progress.done(id);
                    tracing::debug!(object = attempt.step.object, "restored");
                    return Ok(std::mem::take(&mut attempt.made));
                }
                Err((at, error)) => attempt.go_round(at, error)?,
            }
        }
    }
}

async fn cancel(target: &Connector, backends: &BTreeSet<i32>) -> Result<()> {
    let session = target.connect().await?;
    let backends: Vec<i32> = backends.iter().copied().collect();
    let cancel = "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.unnest($1::int4[]) AS pid";
    session.query(cancel, &[&backends]).await.map_err(|e| from_postgres("cancelling statements", e))?;
    Ok(())
}

/// Makes sure that a crash of the server cannot undo what was done.
async fn flush(client: &Client) -> Result<()> {
    let commit = "SET synchronous_commit = on; SELECT pg_catalog.txid_current()";
    client.batch_execute(commit).await.map_err(|e| from_postgres("writing the schema to the server's disk", e))
}

/// Sessions for steps that run beside each other.
struct Pool<'a> {
    restore: &'a SchemaRestore<'a>,
    target: &'a Connector,
    idle: Vec<Session>,
    /// The backends of the sessions at work.
    busy: BTreeSet<i32>,
    limit: usize,
}

impl Pool<'_> {
    /// A free session; `None` when all are at work.
    async fn take(&mut self) -> Result<Option<Session>> {
        if self.idle.is_empty() && self.busy.len() < self.limit {
            match self.restore.session(self.target).await {
                Ok(session) => self.idle.push(session),
                Err(error) if !self.busy.is_empty() => {
                    self.limit = self.busy.len();
                    tracing::warn!(sessions = self.limit, %error, "the target grants no more sessions");
                }
                Err(error) => return Err(error),
            }
        }
        let session = self.idle.pop();
        self.busy.extend(session.as_ref().map(Session::backend_pid));
        Ok(session)
    }

    fn put_back(&mut self, session: Session) {
        self.busy.remove(&session.backend_pid());
        self.idle.push(session);
    }
}

/// What became of steps that were begun together.
struct Ended {
    steps: usize,
    took_effect_together: bool,
    /// Of each that was begun, in turn.
    results: Vec<(DumpId, Result<Made, Failure>)>,
}

/// How many steps to put into one transaction: fewer where something is refused, as each refusal costs the whole.
struct Together(usize);

impl Default for Together {
    fn default() -> Self {
        Self(MOST_TASKS)
    }
}

impl Together {
    fn most(&self) -> usize {
        self.0
    }

    fn learn(&mut self, steps: usize, took_effect: bool) {
        match took_effect || steps == 1 {
            true => self.0 = (self.0 * 2).min(MOST_TASKS),
            false => self.0 = (steps / 4).max(1),
        }
    }
}

struct Failure {
    error: Error,
    lacks_privilege: bool,
    /// The same may work a moment later.
    is_passing: bool,
}

/// Which refusals of something essential a restore survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leniency {
    None,
    /// All that no other role could spare us: the rows are there, and must not be lost for an index or a rule.
    ButPrivileges,
    /// All: what the step depends on is missing.
    All,
}

/// What became of a step.
#[derive(Debug, Default)]
struct Made {
    outcome: SchemaOutcome,
    is_missing: bool,
}

/// A step, or what is left of it after refusals.
struct Attempt<'a> {
    step: &'a Step,
    leniency: Leniency,
    statements: Vec<Statement>,
    made: Made,
}

impl<'a> Attempt<'a> {
    fn of(step: &'a Step, leniency: Leniency) -> Self {
        Self { step, leniency, statements: step.statements.clone(), made: Made::default() }
    }

    /// Everything in one transaction. Fails with the number of the statement that did, if it was one of the step's.
    async fn transaction(
        &self,
        client: &Client,
        record: Option<&str>,
    ) -> Result<(), (Option<usize>, tokio_postgres::Error)> {
        let statements = self.statements.iter().map(|statement| statement.sql.as_str());
        let queries: Vec<&str> =
            std::iter::once("BEGIN").chain(statements).chain(record).chain(std::iter::once("COMMIT")).collect();
        pipeline(client, &queries)
            .await
            .map_err(|(at, error)| (at.checked_sub(1).filter(|at| *at < self.statements.len()), error))
    }

    /// Finds a way round what was refused, if there is one.
    fn go_round(&mut self, at: Option<usize>, error: tokio_postgres::Error) -> Result<(), Failure> {
        let Some(at) = at.filter(|_| is_refusal(&error)) else { return Err(self.failure(error)) };
        let can_go_on = match self.leniency {
            Leniency::None => false,
            Leniency::ButPrivileges => !lacks_privilege(&error),
            Leniency::All => true,
        };
        let statement = &mut self.statements[at];
        match std::mem::replace(&mut statement.fallback, Fallback::None) {
            Fallback::NotValid(sql) if is_about_rows(&error) => {
                statement.sql = sql;
                // Where even that cannot be added, the restore goes on without.
                statement.importance = Importance::Optional;
                let reason = from_postgres("added NOT VALID, for the rows do not pass", error).message();
                self.made.outcome.remarks.push(Skipped { object: self.step.object.clone(), reason });
            }
            Fallback::Pieces(pieces) if pieces.len() > 1 => {
                let piece =
                    |sql| Statement { sql, part: Part::Privilege, fallback: Fallback::None, ..statement.clone() };
                let pieces: Vec<Statement> = pieces.into_iter().map(piece).collect();
                self.statements.splice(at..=at, pieces);
            }
            _ if statement.importance == Importance::Optional || can_go_on => self.leave_out(at, error),
            _ => return Err(self.failure(error)),
        }
        Ok(())
    }

    /// Goes on without the statement; without the object itself nothing of it is left to do.
    fn leave_out(&mut self, at: usize, error: tokio_postgres::Error) {
        let statement = self.statements.remove(at);
        let mut reason = from_postgres("refused by the target", error).message();
        let essential = statement.part == Part::Definition && self.step.importance == Importance::Essential;
        let object = match statement.part {
            Part::Definition => {
                self.statements.clear();
                self.made.is_missing = true;
                for remark in std::mem::take(&mut self.made.outcome.remarks) {
                    reason = format!("not {}; {reason}", remark.reason);
                }
                self.step.object.clone()
            }
            Part::Privilege => self.step.object.clone(),
            part => format!("{part} of {}", self.step.object),
        };
        tracing::debug!(object, reason, "not restored");
        self.made.outcome.not_restored.push(NotRestored { object, reason, essential });
    }

    fn failure(&self, error: tokio_postgres::Error) -> Failure {
        let lacks_privilege = lacks_privilege(&error);
        let is_passing = is_passing(&error);
        let was_refused = is_refusal(&error);
        let error = from_postgres(&format!("restoring {}", self.step.object), error);
        let error = match was_refused {
            true if lacks_privilege => {
                error.hint("restore as a role that may do this, or leave owners and privileges out")
            }
            true => {
                Error::verification(error.message()).hint("the target has or lacks something that the source did not")
            }
            false => error,
        };
        Failure { error, lacks_privilege, is_passing }
    }
}

/// Whether the server refused the statement itself, rather than being lost, out of something, or told to stop.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let class = error.code().map(|state| &state.code()[..2]);
    !is_passing(error) && class.is_some_and(|class| !["08", "25", "40", "53", "57", "58", "XX"].contains(&class))
}

fn lacks_privilege(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// Whether rows that are there may be why: they violate the constraint, or a function that it calls fails on them.
fn is_about_rows(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        let of_rows = ["22", "23", "38", "39", "P0"].contains(&&db.code().code()[..2]);
        !lacks_privilege(error) && (of_rows || db.where_().is_some())
    })
}

/// Whether another session got in the way.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        let passing =
            [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE];
        passing.contains(db.code()) || db.message().starts_with("tuple concurrently")
    })
}

/// Sends all queries at once and waits for all answers. Fails with the first that failed, and its number.
async fn pipeline(client: &Client, queries: &[&str]) -> Result<(), (usize, tokio_postgres::Error)> {
    // The first poll sends: in order, so that the server runs them in order.
    let mut answers: Vec<Pin<Box<_>>> =
        queries.iter().map(|query| Box::pin(maybe_done(client.batch_execute(query)))).collect();
    poll_fn(|cx| {
        let mut done = true;
        for answer in &mut answers {
            done &= answer.as_mut().poll(cx).is_ready();
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    for (at, answer) in answers.iter_mut().enumerate() {
        answer.as_mut().take_output().expect("all were waited for").map_err(|error| (at, error))?;
    }
    Ok(())
}
