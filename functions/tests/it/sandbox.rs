//! One sandbox of a Lambda function: the real program on a stand-in for the Lambda Runtime API, one event at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lifeboat_tests::Bed;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::http::Connection;

/// How long an invocation may take, unless the test says otherwise.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answer(Value),
    /// `errorType` and `errorMessage`
    Error(String, String),
    /// The program ended without an answer.
    Died,
}

impl Outcome {
    /// The answer; panics with the error where there is none.
    pub fn answer(self) -> Value {
        match self {
            Self::Answer(answer) => answer,
            other => panic!("no answer but {other:?}"),
        }
    }

    /// `(errorType, errorMessage)`; panics with the answer where there is none.
    pub fn error(self) -> (String, String) {
        match self {
            Self::Error(kind, message) => (kind, message),
            other => panic!("no error but {other:?}"),
        }
    }
}

struct Delivery {
    request_id: String,
    event: Vec<u8>,
    deadline: SystemTime,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Outcome>>>>;

pub struct Sandbox {
    name: String,
    program: PathBuf,
    environment: Vec<(String, String)>,
    /// What must never be in its log.
    secrets: Vec<String>,
    api: String,
    events: mpsc::UnboundedSender<Delivery>,
    waiting: Waiting,
    child: tokio::sync::Mutex<Option<Child>>,
    pid: Mutex<Option<u32>>,
    log: tempfile::TempDir,
}

impl Sandbox {
    /// Of the function that AWS calls `name`.
    pub async fn new(
        name: &str,
        program: impl AsRef<Path>,
        environment: Vec<(String, String)>,
        secrets: Vec<String>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let (events, deliveries) = mpsc::unbounded_channel();
        let (waiting, deliveries) = (Waiting::default(), Arc::new(tokio::sync::Mutex::new(deliveries)));
        let arn = format!("arn:aws:lambda:us-east-1:123456789012:function:{name}");
        tokio::spawn({
            let waiting = Arc::clone(&waiting);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&deliveries), Arc::clone(&waiting), arn.clone()));
                }
            }
        });
        Self {
            name: name.to_owned(),
            program: program.as_ref().to_owned(),
            environment,
            secrets,
            api,
            events,
            waiting,
            child: tokio::sync::Mutex::default(),
            pid: Mutex::default(),
            log: Bed::get().scratch_dir(),
        }
    }

    pub async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_as(&fresh_request_id(), event, TIMEOUT).await
    }

    /// One delivery: of a new request, or once more of one that failed.
    pub async fn invoke_as(&self, request_id: &str, event: &Value, timeout: Duration) -> Outcome {
        let mut child = self.child.lock().await;
        if child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
            *child = Some(self.start());
            *self.pid.lock().unwrap() = child.as_ref().and_then(Child::id);
        }
        let (told, outcome) = oneshot::channel();
        self.waiting.lock().unwrap().insert(request_id.to_owned(), told);
        let event = serde_json::to_vec(event).unwrap();
        let deadline = SystemTime::now() + timeout;
        self.events.send(Delivery { request_id: request_id.to_owned(), event, deadline }).unwrap();
        let running = child.as_mut().expect("it was started");
        tokio::select! {
            outcome = outcome => outcome.unwrap(),
            _ = running.wait() => Outcome::Died,
            () = tokio::time::sleep(timeout) => {
                running.kill().await.unwrap();
                Outcome::Error("Sandbox.Timedout".to_owned(), String::new())
            }
        }
    }

    /// Kills the program, whatever it is doing.
    pub fn kill(&self) {
        let pid = self.pid.lock().unwrap().and_then(|pid| Pid::from_raw(pid as i32));
        // It may be dead already.
        let _ = kill_process(pid.expect("it was started"), Signal::KILL);
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The lines of the log that are JSON, and all should be.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!({"not JSON": line})))
            .collect()
    }

    /// What it measured under this name, in order, with the narrowest scope.
    pub fn metric(&self, name: &str) -> Vec<f64> {
        self.log_lines().iter().filter(|line| line["_aws"].is_object()).filter_map(|line| line[name].as_f64()).collect()
    }

    fn log_path(&self) -> PathBuf {
        self.log.path().join("log")
    }

    fn start(&self) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        Command::new(&self.program)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("AWS_LAMBDA_RUNTIME_API", &self.api),
                ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "test"),
            ])
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let log = self.log();
        if !std::thread::panicking() {
            assert!(self.secrets.iter().all(|secret| !log.contains(secret)), "a secret is in the log:\n{log}");
        }
    }
}

pub fn fresh_request_id() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("8476a536-e9f4-11e8-9739-{number:012x}")
}

async fn serve(
    stream: TcpStream,
    deliveries: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Delivery>>>,
    waiting: Waiting,
    arn: String,
) {
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.request().await {
        let parts: Vec<&str> = request.path.split('/').collect();
        let answered = match (request.method.as_str(), parts.as_slice()) {
            ("GET", [.., "invocation", "next"]) => {
                let mut deliveries = deliveries.lock().await;
                // A program that died must not swallow the event meant for its successor.
                let delivery = tokio::select! {
                    delivery = deliveries.recv() => delivery,
                    () = connection.closed() => None,
                };
                let Some(delivery) = delivery else { return };
                let deadline_ms = delivery.deadline.duration_since(UNIX_EPOCH).unwrap().as_millis();
                let headers = [
                    ("content-type", "application/json".to_owned()),
                    ("lambda-runtime-aws-request-id", delivery.request_id),
                    ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
                    ("lambda-runtime-invoked-function-arn", arn.clone()),
                    ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".to_owned()),
                ];
                connection.answer(200, &headers, &delivery.event).await
            }
            ("POST", [.., "invocation", id, how]) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                let outcome = match *how {
                    "response" => Outcome::Answer(body),
                    _ => Outcome::Error(text("errorType"), text("errorMessage")),
                };
                if let Some(told) = waiting.lock().unwrap().remove(*id) {
                    let _ = told.send(outcome);
                }
                connection.answer(202, &[], b"{}").await
            }
            _ => connection.answer(404, &[], b"{}").await,
        };
        if answered.is_err() {
            return;
        }
    }
}
