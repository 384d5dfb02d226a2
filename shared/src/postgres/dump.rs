//! The schema of a database, as pg_dump writes it, in the backup's own snapshot.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::connect::Connector;
use super::error::lost;
use super::pg_dump::{self, PgDump};
use super::proxy::{PORT, Proxy};
use super::route::APPLICATION_NAME;
use crate::error::{Error, Result};

/// What to dump.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// From [`pg_dump::find`].
    pub tool: PgDump,
    /// An exported snapshot, held open by its owner until the dump is over.
    pub snapshot: Option<String>,
    /// How long to wait for the lock of one table.
    pub lock_timeout: Duration,
    /// Further arguments of pg_dump, such as `--exclude-table=…`; see [`exactly`].
    pub arguments: Vec<String>,
}

/// What pg_dump made. `Debug` leaves the archive out: definitions may hold passwords of foreign servers.
pub struct DumpOutput {
    /// In the custom format, uncompressed.
    pub archive: Vec<u8>,
    /// What pg_dump said about objects that it left out or cannot restore by itself.
    pub warnings: Vec<String>,
    pub version: String,
}

impl fmt::Debug for DumpOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpOutput")
            .field("archive_bytes", &self.archive.len())
            .field("warnings", &self.warnings)
            .field("version", &self.version)
            .finish()
    }
}

/// Dumps the schema of the connector's database through [`Proxy`].
///
/// Fails with kind `Conflict` when a lock is not free in time, `OutOfTime`
/// when `stop` is cancelled, and as connections fail when the server is lost.
pub async fn dump_schema(connector: &Connector, request: &DumpRequest, stop: &CancellationToken) -> Result<DumpOutput> {
    let proxy = Proxy::start(connector)?;
    let child = start(connector, request, &proxy)?;
    let finished = stop.run_until_cancelled(finish(child)).await;
    let connecting = proxy.close().await;
    let Some(finished) = finished else {
        return Err(Error::out_of_time("stopped while dumping the schema"));
    };
    let (status, archive, said) = finished.map_err(|e| Error::bug("lost track of pg_dump").because(e))?;
    if !status.success() {
        return Err(failure(status, &said, connecting));
    }
    Ok(DumpOutput { archive, warnings: said.warnings, version: request.tool.version.clone() })
}

/// A pattern for `--table` or `--exclude-table` that means this table and no other.
pub fn exactly(schema: &str, table: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quoted(schema), quoted(table))
}

fn start(connector: &Connector, request: &DumpRequest, proxy: &Proxy) -> Result<Child> {
    let tool = &request.tool;
    let mut command = pg_dump::command(&tool.path);
    command
        .args(["--schema-only", "--format=custom", "--compress=0", "--no-password"])
        .arg(format!("--lock-wait-timeout={}", request.lock_timeout.as_millis()))
        .arg(format!("--dbname={}", conninfo(connector, proxy)))
        .args(request.snapshot.iter().map(|snapshot| format!("--snapshot={snapshot}")))
        .args(&request.arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command.spawn().map_err(|e| Error::configuration(format!("cannot run {}", tool.path.display())).because(e))
}

/// Every name quoted, so that none can become a parameter.
fn conninfo(connector: &Connector, proxy: &Proxy) -> String {
    let dsn = connector.dsn();
    let mut pairs = vec![
        ("host", proxy.directory().to_string_lossy().into_owned()),
        ("port", PORT.to_string()),
        ("user", dsn.user().to_owned()),
        ("dbname", dsn.database().to_owned()),
        ("application_name", APPLICATION_NAME.to_owned()),
        ("sslmode", "disable".to_owned()),
        ("gssencmode", "disable".to_owned()),
    ];
    pairs.extend(dsn.options().map(|options| ("options", options.to_owned())));
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}='{}'", quoted(value))).collect();
    pairs.join(" ")
}

async fn finish(mut child: Child) -> std::io::Result<(ExitStatus, Vec<u8>, Said)> {
    let mut stdout = child.stdout.take().expect("it was piped");
    let stderr = child.stderr.take().expect("it was piped");
    let mut archive = Vec::new();
    let (read, said) = tokio::join!(stdout.read_to_end(&mut archive), listen(stderr));
    read?;
    Ok((child.wait().await?, archive, said?))
}

fn failure(status: ExitStatus, said: &Said, connecting: Option<Error>) -> Error {
    if let Some(error) = connecting {
        return error.context("dumping the schema");
    }
    let error = match said.errors.join("; ") {
        text if text.is_empty() => Error::database(format!("pg_dump ended with {status}")),
        // pg_dump's waiting for locks is limited by a statement timeout, which is off for all else it does.
        text if text.contains("timeout") => {
            Error::conflict(text).hint("another session changes that table's definition; retry when it has finished")
        }
        text if text.contains("permission denied") => Error::configuration(text)
            .hint("infra/sql/backup_role.sql grants all a backup needs; `lifeboat doctor` lists what is missing"),
        text if text.contains("server closed the connection") => lost().because(text),
        text => Error::database(text),
    };
    error.context("pg_dump")
}

/// What pg_dump told, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    warnings: Vec<String>,
    errors: Vec<String>,
    last: Last,
}

/// Where a line without a head of its own belongs.
#[derive(Debug, Default, PartialEq, Eq)]
enum Last {
    Warning,
    Error,
    #[default]
    Dropped,
}

/// Of a flood of warnings the first ones are kept.
const MAX_ITEMS: usize = 1_000;
const MAX_ITEM_BYTES: usize = 2_000;

impl Said {
    /// Takes a line in. Only warnings, errors and their details are kept, and never the text of a query.
    fn take(&mut self, line: &str) {
        let headed = line.split_once(": ").filter(|(program, _)| !program.contains(char::is_whitespace));
        let Some((_, rest)) = headed else {
            return self.continue_last(line);
        };
        match rest.split_once(": ") {
            Some(("warning", text)) => self.begin(Last::Warning, text),
            Some(("error", text)) => self.begin(Last::Error, text),
            Some(("detail" | "hint", text)) if !text.starts_with("Query was") => self.continue_last(text),
            _ => self.last = Last::Dropped,
        }
    }

    fn begin(&mut self, last: Last, text: &str) {
        let list = if last == Last::Warning { &mut self.warnings } else { &mut self.errors };
        self.last = if list.len() < MAX_ITEMS { last } else { Last::Dropped };
        if self.last != Last::Dropped {
            list.push(String::new());
            self.continue_last(text);
        }
    }

    fn continue_last(&mut self, text: &str) {
        let list = match self.last {
            Last::Warning => &mut self.warnings,
            Last::Error => &mut self.errors,
            Last::Dropped => return,
        };
        let item = list.last_mut().expect("something was begun");
        if item.len() + text.len() < MAX_ITEM_BYTES {
            if !item.is_empty() {
                item.push(' ');
            }
            item.push_str(text.trim());
        }
    }
}

async fn listen(stderr: impl AsyncRead + Unpin) -> std::io::Result<Said> {
    let mut said = Said::default();
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while stderr.read_until(b'\n', &mut line).await? > 0 {
        said.take(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &str) -> Said {
        let mut said = Said::default();
        lines.lines().for_each(|line| said.take(line));
        said
    }

    #[test]
    fn warnings_keep_their_details() {
        let said = said(
            "pg_dump: warning: there are circular foreign-key constraints on this table:\n\
             pg_dump: detail: orders\n\
             pg_dump: hint: You might not be able to restore.\n\
             pg_dump: warning: typtype of data type \"x\" appears to be invalid\n\
             pg_dump: reading schemas\n",
        );
        assert_eq!(
            said.warnings,
            [
                "there are circular foreign-key constraints on this table: orders You might not be able to restore.",
                "typtype of data type \"x\" appears to be invalid",
            ]
        );
        assert_eq!(said.errors, [""; 0]);
    }

    #[test]
    fn the_text_of_a_failed_query_is_not_repeated() {
        let said = said(
            "pg_dump: error: query failed: ERROR:  permission denied for table t\n\
             pg_dump: detail: Query was: LOCK TABLE public.t\n\
             WHERE secret = 'x'\n",
        );
        assert_eq!(said.errors, ["query failed: ERROR:  permission denied for table t"]);
    }

    #[test]
    fn a_flood_of_warnings_is_cut() {
        let flood: String = (0..5_000).map(|i| format!("pg_dump: warning: w{i}\npg_dump: detail: d\n")).collect();
        assert_eq!(said(&flood).warnings.len(), MAX_ITEMS);
    }

    #[test]
    fn a_pattern_means_one_table_whatever_its_name() {
        assert_eq!(exactly("public", "a.b*\"c"), "\"public\".\"a.b*\"\"c\"");
    }
}
