//! Watches over a running backup: speaks on quiet connections, notices who waits for our locks, and tells when to stop.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::BlockedDdl;
use crate::error::{Error, Result};
use crate::ops::Run;
use crate::postgres::snapshot::{Waiting, blocked_by};
use crate::postgres::{Connector, Session, from_postgres};

/// How often somebody who waits for our locks is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// NAT gateways and load balancers forget silent connections after some minutes.
const SPEAK_EVERY_LOOKS: u32 = 12;

/// Runs `work`, which ends soon after `stop` is cancelled; cancels it when there is a reason to, and then gives that reason.
/// `blocked_ddl` is asked whenever somebody's DDL waits.
pub async fn guarded<T>(
    work: impl Future<Output = Result<T>>,
    stop: &CancellationToken,
    connector: &Connector,
    coordinator: &Session,
    blocked_ddl: &impl Fn() -> BlockedDdl,
    run: &Run,
) -> Result<T> {
    let reason = OnceLock::new();
    let watching = async {
        let found = watch(connector, coordinator, blocked_ddl, run).await;
        reason.set(found).ok();
        stop.cancel();
        std::future::pending::<Infallible>().await
    };
    let done = tokio::select! {
        done = work => done,
        never = watching => match never {},
    };
    match reason.into_inner() {
        // It may have been told to stop just as it ended well.
        Some(reason) if done.is_err() => Err(reason),
        _ => done,
    }
}

/// Runs `work`, which may be dropped at any point, until it ends or must stop.
pub async fn unless_stopped<T>(work: impl Future<Output = Result<T>>, run: &Run, doing: &str) -> Result<T> {
    tokio::select! {
        done = work => done,
        error = must_stop(run, doing) => Err(error),
    }
}

async fn must_stop(run: &Run, doing: &str) -> Error {
    tokio::select! {
        () = run.cancel.cancelled() => {}
        () = sleep_until(run.deadline) => {}
    }
    run.check(doing).expect_err("it was cancelled, or the deadline has come")
}

/// Returns when the work must stop, with the reason.
async fn watch(
    connector: &Connector,
    coordinator: &Session,
    blocked_ddl: &impl Fn() -> BlockedDdl,
    run: &Run,
) -> Error {
    tokio::select! {
        error = must_stop(run, "reading") => error,
        result = look(connector, coordinator, blocked_ddl, run) => match result {
            Ok(never) => match never {},
            Err(error) => error,
        },
    }
}

async fn look(
    connector: &Connector,
    coordinator: &Session,
    blocked_ddl: &impl Fn() -> BlockedDdl,
    run: &Run,
) -> Result<Infallible> {
    // Most backups are over before the first look.
    tokio::time::sleep(LOOK_EVERY).await;
    let control = connector.connect().await?;
    loop {
        for _ in 0..SPEAK_EVERY_LOOKS {
            run.check("reading")?;
            require_nobody_waits(&control, coordinator, blocked_ddl()).await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let spoken = coordinator.batch_execute("SELECT 1").await;
        spoken.map_err(|e| from_postgres("keeping the snapshot alive", e))?;
    }
}

async fn sleep_until(deadline: Option<jiff::Timestamp>) {
    match deadline {
        None => std::future::pending().await,
        Some(deadline) => loop {
            let left = deadline.duration_since(jiff::Timestamp::now());
            match Duration::try_from(left) {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        },
    }
}

async fn require_nobody_waits(control: &Session, coordinator: &Session, blocked_ddl: BlockedDdl) -> Result<()> {
    let waiting = blocked_by(control, &[coordinator.backend_pid()]).await?;
    let Some(Waiting { pid, relation }) = waiting.first() else { return Ok(()) };
    match blocked_ddl {
        BlockedDdl::Hold => {
            tracing::warn!(pid, relation, "a statement waits until the backup lets go of its locks");
            Ok(())
        }
        BlockedDdl::Yield => Err(Error::conflict(format!(
            "server process {pid} waits for a lock on {} that the backup holds",
            relation.as_deref().unwrap_or("something")
        ))
        .hint("a migration is running: the backup made way for it and can be run again when it is done; blocked_ddl = \"hold\" would make it wait")),
    }
}
