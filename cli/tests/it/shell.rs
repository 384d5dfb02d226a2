//! A shell of one's own: a home, a vault and the variables that a user would set; and what the command said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lifeboat_tests::{Bed, TestDb};
use serde_json::Value;
use tempfile::TempDir;

pub struct Shell {
    home: TempDir,
    variables: BTreeMap<String, String>,
}

/// What one run of the command left.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    /// Nothing is configured here, and nothing of the test's own surroundings gets in.
    pub fn new() -> Self {
        let home = Bed::get().scratch_dir();
        let variables = BTreeMap::from([("HOME".to_owned(), home.path().display().to_string())]);
        Self { home, variables }
    }

    /// With a vault, and `database` as the one to work on.
    pub async fn with_vault(database: &TestDb) -> Self {
        let mut shell = Self::new();
        shell.set("LIFEBOAT_VAULT", "vault");
        shell.set("LIFEBOAT_DATABASE_URL", database.url());
        shell.set("LIFEBOAT_PG_DUMP", Bed::get().pg_dump().await.display().to_string());
        shell.run(&["init"]).succeeded();
        shell
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// A path in its home, which is the working directory, too.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(arguments).env_clear().envs(&self.variables).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        Said::of(output)
    }

    /// Makes a backup and gives its id.
    pub fn backup(&self, arguments: &[&str]) -> String {
        let arguments = [&["backup", "--json"], arguments].concat();
        text(&self.run(&arguments).succeeded().json()["id"])
    }

    /// Flips one bit of the largest pack in the vault.
    pub fn damage_a_pack(&self) {
        let mut packs = Vec::new();
        files(&self.path("vault"), &mut packs);
        packs.retain(|path| path.components().any(|part| part.as_os_str() == "pool"));
        let largest = packs.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        let mut bytes = std::fs::read(largest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // Packs are read-only, and replaced by nobody but a disk that fails.
        std::fs::remove_file(largest).unwrap();
        std::fs::write(largest, bytes).unwrap();
    }
}

impl Said {
    pub fn of(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("it ended by itself");
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard output, which must be one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Everything that people see, with what differs from run to run made equal.
    pub fn all(&self) -> String {
        format!("{}\n----- stderr\n{}", self.stdout, self.stderr)
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A database with two tables, one of them empty and oddly named.
pub async fn small_database() -> TestDb {
    let database = Bed::get().server(17).await.create_database().await;
    database
        .sql(
            "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 2000) i;
             CREATE TABLE \"Odd one\" (x int);",
        )
        .await;
    database
}

/// Runs `check` with ids, times, sizes and names of the moment made equal in snapshots.
pub fn redacted(database: &TestDb, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    let filters = [
        (r"\d{8}T\d{6}Z-([a-z]+)-[a-z2-7]{4}", "[id-$1]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"\d{8}T\d{6}\.\d{6}Z", "[moment]"),
        (r"\b(\d+s )?\d+ms\b", "[duration]"),
        (r#"("(restore|loss)_ms": )\d+"#, "$1[ms]"),
        (r#"("by": )"[^"]*""#, "$1[actor]"),
        (r"\d+ min \d+ s|\d+(\.\d+)? (ms|s)\b", "[duration]"),
        (r"\d+(\.\d+)? (B|kB|MB)\b", "[size]"),
        (r#"("[a-z_]+_bytes": )\d+"#, "$1[bytes]"),
        (r#"("duration_ms": )\d+"#, "$1[ms]"),
        (r"just now|\d+ minutes? ago", "[just now]"),
        (r"\d+ % of it", "[share] of it"),
        (r"PostgreSQL \d+\.\d+", "PostgreSQL [version]"),
        (r"from \d+\.\d+\)", "from [version])"),
        (r"system \d+, at [0-9A-F]+/[0-9A-F]+", "system [number], at [lsn]"),
        (r"pg_dump [ ]*\d+[.0-9]* at \S+", "pg_dump  [version] at [path]"),
        (r"pg_dump \d+[.0-9]*", "pg_dump [version]"),
        (r#""\d+\.\d+(\.\d+)?""#, r#""[version]""#),
        (r#""\d{16,}""#, r#""[number]""#),
        (r#""[0-9A-F]+/[0-9A-F]+""#, r#""[lsn]""#),
        (r"lifeboat \d+\.\d+\.\d+", "lifeboat [version]"),
        (r"localhost:\d+", "localhost:[port]"),
        (r"[0-9a-f]{64}", "[sha256]"),
        (r"pool/[0-9a-f]{2}/", "pool/[..]/"),
        (r"[0-9a-f]{32}", "[hex]"),
        (r"_\d{8}_\d{6}", "_[moment]"),
        (r"/\S+/scratch/[^/ ]+/", "[home]/"),
        // Columns move with what stands in them.
        (r"(\S)  +", "$1  "),
    ];
    for (pattern, replacement) in filters {
        settings.add_filter(pattern, replacement);
    }
    settings.add_filter(&format!(r"\b{}", database.name()), "shop");
    settings.bind(check);
}
