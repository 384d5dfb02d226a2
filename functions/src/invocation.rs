//! One invocation: its event, its deadline, its log, and its outcome as Lambda wants to hear it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use lifeboat::model::{BackupId, DatabaseName};
use lifeboat::notify::{Alert, Severity};
use lifeboat::ops::{Event, Observer, Run};
use lifeboat::telemetry::{self, LogFormat, or_fault};
use lifeboat::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use crate::alarm;
use crate::deployment::Deployment;

/// What stays of Lambda's time when the work has to be over: for tidying up, the alert and the answer.
const MARGIN: Duration = Duration::from_secs(10);

/// One invocation of a function.
pub struct Invocation {
    pub request_id: String,
    /// The function's name, in AWS.
    pub function: String,
    pub run: Run,
    span: Span,
    untold: Untold,
    about: Mutex<About>,
}

/// What the audit trail could not be told.
type Untold = Arc<Mutex<Vec<String>>>;

/// What an invocation works on, for its log and its alerts.
#[derive(Default, Clone)]
struct About {
    database: Option<DatabaseName>,
    backup: Option<BackupId>,
}

impl Invocation {
    fn new(context: &Context) -> Self {
        let function = context.env_config.function_name.clone();
        let span = tracing::info_span!("invocation", request_id = context.request_id, database = Empty, backup = Empty);
        let untold = Untold::default();
        let run = Run {
            cancel: CancellationToken::new(),
            deadline: Some(deadline(context.deadline())),
            actor: format!("{function} request {}", context.request_id),
            observer: Arc::new(Log { span: span.clone(), untold: Arc::clone(&untold) }),
        };
        Self { request_id: context.request_id.clone(), function, run, span, untold, about: Mutex::default() }
    }

    /// Notes what the work is about.
    pub fn is_about(&self, database: &DatabaseName, backup: Option<&BackupId>) {
        self.span.record("database", database.as_str());
        if let Some(backup) = backup {
            self.span.record("backup", backup.as_str());
        }
        *self.lock() = About { database: Some(database.clone()), backup: backup.cloned() };
    }

    fn lock(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An alert about what the work is about.
    pub fn alert(&self, deployment: &Deployment, kind: &str, severity: Severity, title: String, text: String) -> Alert {
        let About { database, backup } = self.lock().clone();
        Alert {
            kind: kind.to_owned(),
            severity,
            occasion: None,
            source: deployment.settings.stack.clone(),
            database,
            backup,
            title,
            text,
            facts: json!({"function": self.function, "request_id": self.request_id}),
        }
    }
}

fn deadline(lambdas: SystemTime) -> Timestamp {
    let end = lambdas.checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH);
    Timestamp::try_from(end).unwrap_or(Timestamp::MAX)
}

/// Runs the function `program` for as long as Lambda has work for it. `task` says in alerts what it does: `verification`.
pub async fn serve<I, T, O>(program: &str, task: &str, operation: O) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    T: Serialize,
    O: AsyncFn(&Deployment, I, &Invocation) -> Result<T>,
{
    telemetry::init(program, Level::INFO, LogFormat::Json, io::stdout);
    let deployment = OnceCell::new();
    let (deployment, operation) = (&deployment, &operation);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let invocation = Invocation::new(&event.context);
        let work = async {
            // Not a failure of the start: that would say nothing, and Lambda would try it again and again.
            let answered = match deployment.get_or_try_init(async || Deployment::from_variables()).await {
                Ok(deployment) => answer(task, deployment, operation, event.payload, &invocation).await,
                Err(error) => Err(error),
            };
            answered.map_err(|error| {
                tracing::error!(kind = error.kind().name(), hint = error.hint_text(), "{error}");
                refusal(&error)
            })
        };
        work.instrument(invocation.span.clone()).await
    }))
    .await
}

async fn answer<I, T, O>(
    task: &str,
    deployment: &Deployment,
    operation: &O,
    event: Value,
    invocation: &Invocation,
) -> Result<Value>
where
    I: DeserializeOwned,
    T: Serialize,
    O: AsyncFn(&Deployment, I, &Invocation) -> Result<T>,
{
    let input = understood(event)?;
    // In a box, because its type is deeper than the compiler follows.
    let answer = or_fault(Box::pin(operation(deployment, input, invocation))).await;
    let untold = std::mem::take(&mut *invocation.untold.lock().unwrap_or_else(PoisonError::into_inner));
    if !untold.is_empty() {
        let title = "the audit trail has a gap".to_owned();
        let alert = invocation.alert(deployment, "audit_failed", Severity::Warning, title, untold.join("; "));
        alarm::raise(deployment, &alert).await;
    }
    match answer {
        Ok(answer) => Ok(serde_json::to_value(answer).expect("answers are plain values")),
        Err(error) => {
            if is_news(error.kind()) {
                alarm::raise(deployment, &failed(task, &error, deployment, invocation)).await;
            }
            Err(error)
        }
    }
}

/// Whether a failure is worth an alert: a mistake in an event is told to whoever made it, who waits for the answer; if it was
/// a schedule, the dead-letter queue tells.
fn is_news(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Usage | ErrorKind::Confirmation)
}

fn failed(task: &str, error: &Error, deployment: &Deployment, invocation: &Invocation) -> Alert {
    let of = invocation.lock().database.as_ref().map(|database| format!(" of {database}")).unwrap_or_default();
    let title = format!("{task}{of} failed: {}", error.kind().name().replace('_', " "));
    let mut alert = invocation.alert(deployment, &format!("{task}_failed"), Severity::Critical, title, told(error));
    alert.facts["error"] = error.kind().name().into();
    alert.facts["can_be_retried"] = error.kind().is_transient().into();
    alert
}

/// The event as the function takes it. Errors: `Usage`, naming the field.
pub fn understood<I: DeserializeOwned>(event: Value) -> Result<I> {
    serde_path_to_error::deserialize(event).map_err(|error| {
        let place = Some(error.path().to_string()).filter(|path| path != ".").map(|path| format!("{path}: "));
        let problem = format!("{}{}", place.unwrap_or_default(), error.inner());
        Error::usage(format!("the event was not understood: {problem}")).hint("docs/functions.md says what it may be")
    })
}

/// The error's kind as its type, for retries and state machines to match.
fn refusal(error: &Error) -> Diagnostic {
    Diagnostic { error_type: error.kind().name().to_owned(), error_message: told(error) }
}

fn told(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{}: {hint}", error.message()),
        None => error.message(),
    }
}

/// Writes what an operation tells into the log.
struct Log {
    span: Span,
    untold: Untold,
}

impl Observer for Log {
    fn on(&self, event: &Event) {
        self.span.in_scope(|| match event {
            Event::Step { name } => tracing::info!(step = name, "begins"),
            Event::Warning { text } => tracing::warn!("{text}"),
            Event::Untold { text } => {
                tracing::error!("{text}");
                self.untold.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
            }
            Event::Expect { .. } | Event::Advance(_) => {}
        });
    }
}
