//! The command line as its users start it: a program with a home, an environment and a vault of its own.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use lifeboat::vault::keys::MasterKey;
use lifeboat_tests::{Bed, TestDb};
use secrecy::ExposeSecret;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// A user of the command line.
pub struct Program {
    path: PathBuf,
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
    /// Base64, as the environment has it.
    pub master_key: String,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    /// With a new vault in a folder, for backups of `database`.
    pub async fn with_vault(database: &TestDb) -> Self {
        let home = Bed::get().scratch_dir();
        let master_key = MasterKey::random().to_base64().unwrap().expose_secret().to_owned();
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let environment = [
            ("HOME", text(home.path().to_owned())),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("LIFEBOAT_VAULT", text(home.path().join("vault"))),
            ("LIFEBOAT_MASTER_KEY", master_key.clone()),
            ("LIFEBOAT_DATABASE_URL", database.url()),
            ("LIFEBOAT_PG_DUMP", text(Bed::get().pg_dump().await)),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let program = Self { path: built().await.clone(), home, environment, master_key };
        program.succeed(&["init"]).await;
        program
    }

    /// The folder that the vault is in.
    pub fn vault(&self) -> PathBuf {
        self.home.path().join("vault")
    }

    /// The same user with a variable set otherwise.
    pub fn command_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[]).await
    }

    pub async fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let output = self.command_with(arguments, variables).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs what must succeed; gives what it printed.
    pub async fn succeed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        ran.stdout
    }
}

/// Sends the signal of this name.
pub async fn signal(child: &Child, name: &str) {
    let Some(pid) = child.id() else { return };
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().await.unwrap();
    assert!(sent.success(), "the process ended before it got SIG{name}");
}

/// What cargo's variables about a test's own package begin with.
const ABOUT_THE_TEST: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// The development build of the program, made once by whichever test needs it first.
async fn built() -> &'static PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut command = Command::new(cargo);
            command.current_dir(env!("CARGO_MANIFEST_DIR"));
            command.args(["build", "--quiet", "--locked", "--workspace", "--bin", "lifeboat"]);
            // What cargo tells a test about its package makes build scripts run again, and half of everything after them.
            for (name, _) in std::env::vars_os() {
                if name.to_str().is_some_and(|name| ABOUT_THE_TEST.iter().any(|start| name.starts_with(start))) {
                    command.env_remove(name);
                }
            }
            if cfg!(feature = "vendored-tls") {
                command.args(["--features", "vendored-tls"]);
            }
            let status = command.stdin(Stdio::null()).status().await.unwrap();
            assert!(status.success(), "the command line does not build");
            // This test is `target/debug/deps/it-…`.
            let test = std::env::current_exe().unwrap();
            test.parent().and_then(|deps| deps.parent()).unwrap().join("lifeboat")
        })
        .await
}
