//! Where events go, and what a panic may say.
//!
//! Secrets and rows stay out of logs by construction: secrets are types whose `Debug` shows nothing, errors never carry
//! row values, and only our own events are logged: drivers log statements with their parameters, HTTP clients log headers
//! and bodies. What matters of theirs comes back as an error of ours.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo};

use futures::FutureExt;
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{Error, Result};

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line per event, for people.
    Text { color: bool },
    /// A JSON object per line, for machines.
    Json,
}

/// Sends events of Lifeboat, and of the `program` that is built upon it, from `level` up to `writer`, and makes panics safe
/// to read. Only the first call of a process has an effect on events.
pub fn init<W>(program: &str, level: Level, format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = match format {
        LogFormat::Text { color } => fmt::layer().with_ansi(color).with_target(false).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    // The second call loses: a test process starts more than one operation.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets(program, level))).try_init();
    std::panic::set_hook(Box::new(report_panic));
}

/// Crates of ours have names that begin with `lifeboat`; `program` is the name of the one that runs.
fn targets(program: &str, level: Level) -> Targets {
    Targets::new().with_default(LevelFilter::OFF).with_target("lifeboat", level).with_target(program, level)
}

/// Says where it happened but not the message of a formatted panic, which may hold a row or a secret.
fn report_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // A literal in our source; anything formatted is a `String`.
    let literal = info.payload().downcast_ref::<&'static str>().map(|text| format!(" ({text})")).unwrap_or_default();
    let mut stderr = std::io::stderr().lock();
    // Nothing can be done about a closed stderr.
    let _ = writeln!(stderr, "lifeboat: internal error at {place}{literal}: this is a bug, please report it");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = writeln!(stderr, "{backtrace}");
    }
}

/// A panic becomes the error of kind `Bug` that it is; its message, which may hold a row, goes nowhere. Nothing that it may
/// have left half-done is looked at again.
pub async fn or_fault<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let fault = |_| Err(Error::bug("an internal error ended the work").hint("please report it, with what was logged"));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(fault)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_bug_and_says_nothing_of_what_it_met() {
        let row = "hunter2";
        let Err(error) = or_fault::<()>(async { panic!("half-way at {row}") }).await else { panic!("it was caught") };
        assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Bug, 1));
        assert!(!format!("{error:?}").contains(row));
    }

    #[test]
    fn libraries_do_not_log_however_verbose_we_are() {
        let targets = targets("backup", Level::TRACE);
        for library in ["tokio_postgres::query", "aws_smithy_runtime::client", "hyper"] {
            assert!(!targets.would_enable(library, &Level::ERROR), "{library}");
        }
        assert!(targets.would_enable("lifeboat::ops::backup", &Level::DEBUG));
        assert!(targets.would_enable("lifeboat_cli", &Level::DEBUG));
        assert!(targets.would_enable("backup", &Level::DEBUG));
    }

    #[test]
    fn json_events_are_one_object_a_line() {
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let layer = fmt::layer().json().flatten_event(true).with_writer(writer);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || tracing::warn!(table = "a\nb", "two\nlines"));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["table"], "a\nb");
    }
}
