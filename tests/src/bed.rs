//! What one checkout's tests share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use crate::{Moto, PrivateServer, Server};

/// The major versions that Lifeboat supports and the bed has servers of.
pub const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// The servers, tools and scratch space of this checkout.
#[derive(Default)]
pub struct Bed {
    home: OnceLock<PathBuf>,
    servers: Mutex<HashMap<u32, Server>>,
    tools: OnceCell<Tools>,
    moto: OnceCell<Moto>,
    reader: OnceCell<Value>,
}

/// PostgreSQL's client programs, version 18. Their libpq speaks no TLS: use them over a socket or on loopback.
#[derive(Debug, Clone)]
pub struct Tools {
    pub pg_dump: PathBuf,
    pub pg_restore: PathBuf,
    pub psql: PathBuf,
}

impl Bed {
    pub fn get() -> &'static Self {
        static BED: LazyLock<Bed> = LazyLock::new(Bed::default);
        &BED
    }

    /// The shared server of this major version. Tests change only databases and roles of their own on it.
    pub async fn server(&self, major: u32) -> Server {
        let mut servers = self.servers.lock().await;
        if let Some(server) = servers.get(&major) {
            return server.clone();
        }
        let name = major.to_string();
        let started = call(&["up", &name]).await;
        let server = Server::described(&started[&name]);
        servers.insert(major, server.clone());
        server
    }

    /// A server of the test's own, which it may crash and configure: each of `lines` is added to its configuration.
    pub async fn private_server(&self, major: u32, lines: &[&str]) -> PrivateServer {
        PrivateServer::start(major, lines).await
    }

    /// A server with PostgreSQL's own regression-test database; why there is none, where this machine cannot make one.
    pub async fn corpus(&self, major: u32) -> Result<Server, String> {
        let output = ask(&["corpus", &major.to_string()]).await;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Ok(Server::described(&serde_json::from_slice(&output.stdout).expect("the bed answers in JSON"))),
            Some(UNAVAILABLE) => Err(complaint),
            _ => panic!("bed corpus: {complaint}"),
        }
    }

    pub async fn tools(&self) -> &Tools {
        self.tools
            .get_or_init(|| async {
                let started = call(&["up", "tools"]).await;
                let path = |name: &str| PathBuf::from(text(&started["tools"][name]));
                Tools { pg_dump: path("pg_dump"), pg_restore: path("pg_restore"), psql: path("psql") }
            })
            .await
    }

    pub async fn pg_dump(&self) -> PathBuf {
        self.tools().await.pg_dump.clone()
    }

    /// The AWS stand-in.
    pub async fn moto(&self) -> &Moto {
        self.moto
            .get_or_init(|| async {
                let started = call(&["up", "moto"]).await;
                Moto::at(text(&started["moto"]["endpoint"]))
            })
            .await
    }

    /// The independent reader of vaults, ready for its arguments. It gets nothing of our environment.
    pub async fn vault_reader(&self) -> tokio::process::Command {
        let reader = self.reader.get_or_init(|| async { call(&["up", "reader"]).await["reader"].clone() }).await;
        let mut command = tokio::process::Command::new(text(&reader["python"]));
        command
            .arg("-B")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("reader/read_vault.py"))
            .env_clear()
            .env("PYTHONPATH", text(&reader["packages"]))
            .stdin(Stdio::null());
        command
    }

    /// A new empty folder, removed when the value is dropped.
    pub fn scratch_dir(&self) -> tempfile::TempDir {
        let scratch = self.home().join("scratch");
        std::fs::create_dir_all(&scratch).expect("the bed's home is writable");
        tempfile::tempdir_in(scratch).expect("the bed's home is writable")
    }

    fn home(&self) -> &Path {
        self.home.get_or_init(|| {
            let answer = std::process::Command::new(program())
                .args(["path-of", "home"])
                .stderr(Stdio::inherit())
                .output()
                .expect("python3 runs tests/bed/bed");
            assert!(answer.status.success(), "the bed has no home");
            PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim())
        })
    }
}

/// Exit code of the bed for what cannot be had on this machine.
const UNAVAILABLE: i32 = 3;

async fn ask(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(program());
    command.args(arguments).stdin(Stdio::null()).output().await.expect("python3 runs tests/bed/bed")
}

/// Runs a command of the bed and gives what it answered; panics with its complaint.
pub(crate) async fn call(arguments: &[&str]) -> Value {
    let output = ask(arguments).await;
    assert!(output.status.success(), "bed {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

pub(crate) fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bed/bed")
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("the bed describes itself with text here").to_owned()
}
