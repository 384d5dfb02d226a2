//! Which pg_dump to run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Error, Result};

/// Names the pg_dump to use, where the usual places hold the wrong one.
pub const VARIABLE: &str = "LIFEBOAT_PG_DUMP";

/// Where a Lambda layer puts its programs.
const LAYER: &str = "/opt/bin";
/// Folders of one folder per major version: Debian's, Red Hat's.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// A pg_dump that runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgDump {
    pub path: PathBuf,
    pub major: u32,
    /// As it says itself: `18.6 (Debian 18.6-1)`.
    pub version: String,
}

/// The program that the environment names.
pub fn named_by_environment() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// The pg_dump to use for servers of version `server_major`: the one that is `named`, else the first in the layer, the
/// path or the system's folders that is not older than the server.
///
/// Fails with kind `Preflight` when there is none, or none new enough.
pub async fn find(named: Option<&Path>, server_major: u32) -> Result<PgDump> {
    if let Some(path) = named {
        let named = ask(path).await.ok_or_else(|| {
            Error::preflight(format!("{} is not a pg_dump that runs here", path.display()))
                .hint(format!("set {VARIABLE} to one, or unset it to look in the usual places"))
        })?;
        return choose(vec![named], server_major);
    }
    let mut found = Vec::new();
    for path in candidates(std::env::var_os("PATH").as_deref()) {
        if let Some(tool) = ask(&path).await {
            if tool.major >= server_major {
                return Ok(tool);
            }
            found.push(tool);
        }
    }
    choose(found, server_major)
}

/// The first that is not older than the server.
fn choose(found: Vec<PgDump>, server_major: u32) -> Result<PgDump> {
    let newest = found.iter().max_by_key(|tool| tool.major).cloned();
    if let Some(tool) = found.into_iter().find(|tool| tool.major >= server_major) {
        return Ok(tool);
    }
    let hint = format!("install PostgreSQL's client programs, version {server_major} or newer, or set {VARIABLE}");
    Err(match newest {
        None => Error::preflight("pg_dump was not found").hint(hint),
        Some(tool) => Error::preflight(format!(
            "pg_dump {} at {} is older than the server, version {server_major}",
            tool.version,
            tool.path.display()
        ))
        .hint(hint),
    })
}

fn candidates(path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(LAYER)];
    folders.extend(path.into_iter().flat_map(std::env::split_paths));
    for (parent, prefix) in VERSIONED {
        folders.extend(versioned(Path::new(parent), prefix));
    }
    folders
        .into_iter()
        .map(|folder| folder.join("pg_dump"))
        .filter(|path| path.is_absolute() && path.is_file())
        .collect()
}

/// `parent/{prefix}{major}/bin`, newest first.
fn versioned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut majors: Vec<u32> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(prefix)?.parse().ok())
        .collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors.iter().map(|major| parent.join(format!("{prefix}{major}")).join("bin")).collect()
}

async fn ask(path: &Path) -> Option<PgDump> {
    let output = command(path).arg("--version").output().await.ok()?;
    let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(PgDump { path: path.to_owned(), major, version })
}

/// From `pg_dump (PostgreSQL) 18.6 (Debian 18.6-1)`.
fn parse_version(said: &str) -> Option<String> {
    let (_, version) = said.lines().next()?.split_once("(PostgreSQL) ")?;
    Some(version.trim().to_owned())
}

/// A command with an environment of its own: nothing of ours reaches it but where to find programs and libraries, and
/// where to write temporary files. No `PG*`, no credentials.
pub(super) fn command(path: &Path) -> Command {
    const KEPT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "TMPDIR"];
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(major: u32) -> PgDump {
        PgDump { path: format!("/{major}/pg_dump").into(), major, version: format!("{major}.1") }
    }

    #[test]
    fn the_first_that_is_not_older_than_the_server_is_taken() {
        let all = || vec![tool(15), tool(17), tool(18)];
        assert_eq!(choose(all(), 16).unwrap().major, 17);
        assert_eq!(choose(all(), 14).unwrap().major, 15);
        let error = choose(all(), 19).unwrap_err();
        assert_eq!(error.message(), "pg_dump 18.1 at /18/pg_dump is older than the server, version 19");
        assert!(choose(vec![], 14).unwrap_err().message().contains("not found"));
    }

    #[test]
    fn every_spelling_of_a_version_is_understood() {
        let version = |said| parse_version(said);
        assert_eq!(version("pg_dump (PostgreSQL) 18.6\n").as_deref(), Some("18.6"));
        assert_eq!(
            version("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n").as_deref(),
            Some("15.14 (Debian 15.14-0+deb12u1)")
        );
        assert_eq!(version("pg_dump: command not found"), None);
    }

    #[test]
    fn versioned_folders_come_newest_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["pgsql-9", "pgsql-18", "pgsql-17", "pgsql-x", "other"] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let found = versioned(parent.path(), "pgsql-");
        let expected: Vec<PathBuf> =
            [18, 17, 9].iter().map(|major| parent.path().join(format!("pgsql-{major}/bin"))).collect();
        assert_eq!(found, expected);
    }
}
