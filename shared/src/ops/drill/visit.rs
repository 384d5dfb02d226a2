//! What a drill looks at while the restored database is there.

use async_trait::async_trait;

use super::{Assertion, DrillOptions};
use crate::error::{Error, Result};
use crate::model::{Look, Step};
use crate::ops::verify::{Inspect, Restored};
use crate::ops::{Event, Run};
use crate::plan::drill::Seen;
use crate::postgres::check::{RowCounts, check};
use crate::postgres::preflight::Severity;
use crate::postgres::{Session, from_postgres};

/// Assertions are asked in this: they cannot change what the next one sees, and do not hang for ever.
const AS_READER: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '10min'";

pub struct Visit<'a> {
    options: &'a DrillOptions,
    run: &'a Run,
    pub seen: Seen,
    pub steps: Vec<Step>,
}

impl<'a> Visit<'a> {
    pub fn new(options: &'a DrillOptions, run: &'a Run) -> Self {
        // Those that are never asked are not reached.
        let assertions = options.assertions.iter().map(|assertion| (assertion.name.clone(), None)).collect();
        Self { options, run, seen: Seen { assertions, ..Seen::default() }, steps: Vec::new() }
    }
}

#[async_trait]
impl Inspect for Visit<'_> {
    async fn inspect(&mut self, restored: Restored<'_>) -> Result<()> {
        let Restored { report, took_ms, server } = restored;
        self.steps.clone_from(&report.steps);
        self.seen.restore_ms = Some(took_ms);
        (self.seen.tables_equal, self.seen.rows) = (report.proof.tables_equal, report.rows);
        self.run.observer.on(&Event::Step { name: "checks" });
        for finding in check(server, RowCounts::Estimated, &self.run.cancel).await?.findings() {
            // What this role may not see might be an orphan.
            let look = finding.check.parse().unwrap_or(Look::Orphans);
            self.seen.problems.push((look, finding.severity == Severity::Error, finding.problem));
        }
        let session = server.connect().await?;
        let mut asked = Vec::new();
        for Assertion { name, sql } in &self.options.assertions {
            self.run.check("asking the assertions")?;
            asked.push((name.clone(), broken(&session, sql).await?));
        }
        self.seen.assertions = asked;
        session.close().await;
        Ok(())
    }
}

/// Why it does not hold. Neither what it looked at nor the server's words, which may quote it, are told: they are rows.
///
/// Errors: `Database` when the server is lost.
async fn broken(session: &Session, sql: &str) -> Result<Option<String>> {
    const DOING: &str = "asking an assertion";
    session.batch_execute(AS_READER).await.map_err(|error| from_postgres(DOING, error))?;
    let answer = session.query(sql, &[]).await;
    let broken = match answer {
        Ok(rows) => match rows.as_slice() {
            [row] if row.len() == 1 => match row.try_get::<_, Option<bool>>(0) {
                Ok(Some(true)) => None,
                Ok(Some(false)) => Some("it is not true".to_owned()),
                Ok(None) => Some("it is null".to_owned()),
                Err(_) => Some("it gives no boolean".to_owned()),
            },
            rows => Some(format!("it gives {} rows instead of one boolean", rows.len())),
        },
        Err(error) => match error.code() {
            Some(state) => Some(format!("it cannot be asked (SQLSTATE {}): try it on the source", state.code())),
            None => return Err(from_postgres(DOING, error)),
        },
    };
    session
        .batch_execute("ROLLBACK")
        .await
        .map_err(|error: tokio_postgres::Error| -> Error { from_postgres(DOING, error) })?;
    Ok(broken)
}
