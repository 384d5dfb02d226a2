//! Would a backup work? Everything that stands in its way, at once, each with its way out.
//!
//! Nothing is changed, but for one object of a few bytes at `probe/` in the vault: whether a store refuses to replace
//! objects can only be seen by trying.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::join;
use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DatabaseName, TableName};
use crate::plan::selection::{Pattern, any_matches};
use crate::postgres::Connector;
use crate::postgres::preflight::{self, Facts, Finding, Options, Severity, Tool, Wanted};
use crate::store::{ObjectStore, probe_create_only};
use crate::vault::keys::MasterKey;
use crate::vault::{MAX_SKEW_MINUTES, Vault};

/// A clock further off than this is worth a word long before it is refused.
const NOTABLE_SKEW_S: i64 = 30;

/// What to look at. Whatever could not even be opened comes as the error that says why.
pub struct Subject<'a> {
    pub store: Result<Arc<dyn ObjectStore>>,
    pub master: Result<MasterKey>,
    /// Where the master key is kept, if that is a file.
    pub key_file: Option<&'a Path>,
    /// What the vault calls the database.
    pub database: Option<&'a DatabaseName>,
    pub source: Result<Connector>,
    /// What backups are configured to do.
    pub jobs: usize,
    pub exclude_tables: &'a [String],
    pub exclude_table_data: &'a [String],
    pub pg_dump: Option<PathBuf>,
}

/// As `doctor --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Diagnosis {
    /// Whether a backup would work, as far as can be seen without making one.
    pub ok: bool,
    /// What was found to be as it should.
    pub facts: Vec<Fact>,
    /// Worst first.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// Looks at the vault and the database at the same time. Never fails: what cannot be asked is a finding.
pub async fn doctor(subject: Subject<'_>) -> Diagnosis {
    let Subject { store, master, key_file, database, source, jobs, exclude_tables, exclude_table_data, pg_dump } =
        subject;
    let (of_vault, of_database) = join!(
        look_at_vault(store, master, key_file, database),
        look_at_database(source, jobs, exclude_tables, exclude_table_data, pg_dump.as_deref()),
    );
    let mut diagnosis = of_vault;
    diagnosis.facts.extend(of_database.facts);
    diagnosis.findings.extend(of_database.findings);
    // Stable: within a severity the order of the checks stays.
    diagnosis.findings.sort_by_key(|finding| finding.severity);
    diagnosis.ok = !diagnosis.findings.iter().any(|finding| finding.severity == Severity::Error);
    diagnosis
}

impl Diagnosis {
    fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push(Fact { name, value: value.into() });
    }

    fn find(&mut self, severity: Severity, check: &'static str, problem: impl Into<String>, fix: impl Into<String>) {
        let (problem, fix) = (problem.into(), fix.into());
        self.findings.push(Finding { severity, check, object: None, problem, fix });
    }

    /// The value, or a finding of `check`.
    fn keep<T>(&mut self, check: &'static str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.findings.push(Finding::from_error(check, &error))).ok()
    }
}

async fn look_at_vault(
    store: Result<Arc<dyn ObjectStore>>,
    master: Result<MasterKey>,
    key_file: Option<&Path>,
    database: Option<&DatabaseName>,
) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    if let Some(path) = key_file {
        look_at_key_file(path, &mut diagnosis);
    }
    let (store, master) = (diagnosis.keep("vault", store), diagnosis.keep("master_key", master));
    let Some(store) = store else { return diagnosis };
    if !look_at_store(&*store, &mut diagnosis).await {
        return diagnosis;
    }
    let Some(master) = master else { return diagnosis };
    let opened = Vault::open(store, master).await;
    let check = match &opened {
        Err(error) if error.kind() == ErrorKind::Configuration => "master_key",
        _ => "vault",
    };
    if let Some(vault) = diagnosis.keep(check, opened) {
        diagnosis.fact("vault", format!("{} opens with this master key", vault.store.location()));
        if !vault.has_newest_master() {
            diagnosis.find(
                Severity::Warning,
                "master_key",
                "the vault has a newer master key, and this one makes no new keys any more",
                "configure the master key that `lifeboat keys rewrap` was given last",
            );
        }
        look_at_folder(&Arc::new(vault), database, &mut diagnosis).await;
    }
    diagnosis
}

/// Whether it can be reached at all, keeps its promise, and agrees about the time.
async fn look_at_store(store: &dyn ObjectStore, diagnosis: &mut Diagnosis) -> bool {
    let Some(theirs) = diagnosis.keep("vault", store.now().await) else { return false };
    let skew_s = Timestamp::now().duration_since(theirs).as_secs();
    if skew_s.abs() > NOTABLE_SKEW_S {
        let problem = format!("this host's clock is {skew_s} s ahead of the vault's");
        let fix = format!("set the clock (NTP): backups are refused when it is {MAX_SKEW_MINUTES} minutes off");
        let severity = if skew_s.abs() > MAX_SKEW_MINUTES * 60 { Severity::Error } else { Severity::Warning };
        diagnosis.find(severity, "clock", problem, fix);
    }
    match diagnosis.keep("vault_writable", probe_create_only(store, "").await) {
        None => {}
        Some(true) => diagnosis.fact("store", "can be written, and refuses to replace an object"),
        Some(false) => diagnosis.find(
            Severity::Error,
            "create_only",
            "the store replaces objects although it is told not to",
            "use a store that honours `If-None-Match: *`, or update this one: a vault is safe only where nothing is replaced",
        ),
    }
    true
}

/// The database's folder in the vault.
async fn look_at_folder(vault: &Arc<Vault>, database: Option<&DatabaseName>, diagnosis: &mut Diagnosis) {
    let Some(name) = database else { return };
    let backups = async {
        let folder = vault.database(name).await?;
        folder.live().await
    };
    match backups.await {
        Ok(backups) => {
            let newest = backups.first().map(|id| format!(", the newest {id}")).unwrap_or_default();
            diagnosis.fact("backups", format!("{} of {name}{newest}", backups.len()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            diagnosis.find(
                Severity::Info,
                "backups",
                format!("{name} was never backed up to this vault"),
                "run `lifeboat backup`",
            );
        }
        Err(error) => diagnosis.findings.push(Finding::from_error("backups", &error)),
    }
}

fn look_at_key_file(path: &Path, diagnosis: &mut Diagnosis) {
    // Who cannot read it at all is told when the key is read.
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("the master key in {} can be read by others (mode {mode:03o})", path.display());
        diagnosis.find(Severity::Warning, "master_key_file", problem, format!("chmod 600 {}", path.display()));
    }
}

async fn look_at_database(
    source: Result<Connector>,
    jobs: usize,
    exclude_tables: &[String],
    exclude_table_data: &[String],
    pg_dump: Option<&Path>,
) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let exclude = diagnosis.keep("configuration", Pattern::parse_all(exclude_tables)).unwrap_or_default();
    let exclude_data = diagnosis.keep("configuration", Pattern::parse_all(exclude_table_data)).unwrap_or_default();
    let Some(source) = diagnosis.keep("connection", source) else { return diagnosis };
    let gathered = preflight::gather(&source, pg_dump).await;
    let Some(facts) = diagnosis.keep("connection", gathered) else { return diagnosis };
    tell(&facts, &mut diagnosis);
    let wants = |table: &TableName| match () {
        () if any_matches(&exclude, table) => Wanted::Nothing,
        () if any_matches(&exclude_data, table) => Wanted::Definition,
        () => Wanted::Rows,
    };
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    let options = Options { jobs, pg_dump, allow_newer_server: false, wants: &wants, wants_large_objects: true };
    diagnosis.findings.extend(preflight::assess(&facts, &options).findings);
    diagnosis
}

/// What people like to see confirmed.
fn tell(facts: &Facts, diagnosis: &mut Diagnosis) {
    let Facts { identity, host, port, is_local, is_encrypted, limits, .. } = facts;
    let role = if identity.in_recovery { "replica" } else { "primary" };
    let line = match (is_encrypted, is_local) {
        (true, _) => "encrypted",
        (false, true) => "on this machine",
        (false, false) => "not encrypted",
    };
    diagnosis.fact("server", format!("PostgreSQL {} at {host}:{port}, {role}, {line}", identity.server_version));
    diagnosis.fact("database", format!("{} as {}", identity.database, limits.role));
    let tables = facts.relations.iter().filter(|relation| !relation.is_sequence).count();
    diagnosis.fact("tables", tables.to_string());
    if let Tool::Found(tool) = &facts.tool {
        diagnosis.fact("pg_dump", format!("{} at {}", tool.version, tool.path.display()));
    }
}

/// The error that ends `doctor` when a backup would not work: how many things stand in its way.
pub fn refusal(diagnosis: &Diagnosis) -> Option<Error> {
    let errors = diagnosis.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (!diagnosis.ok).then(|| {
        let things = if errors == 1 { "one thing stands".to_owned() } else { format!("{errors} things stand") };
        Error::preflight(format!("{things} in the way of a backup"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::fixture::{self, Backup};
    use crate::store::memory::MemoryStore;

    fn no_source() -> Result<Connector> {
        Err(Error::database("connecting to db: refused"))
    }

    async fn diagnose(store: Result<Arc<dyn ObjectStore>>, master: Result<MasterKey>) -> Diagnosis {
        doctor(Subject {
            store,
            master,
            key_file: None,
            database: Some(&"shop".parse().unwrap()),
            source: no_source(),
            jobs: 2,
            exclude_tables: &[],
            exclude_table_data: &[],
            pg_dump: None,
        })
        .await
    }

    fn checks(diagnosis: &Diagnosis) -> Vec<&str> {
        diagnosis.findings.iter().map(|finding| finding.check).collect()
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_told_at_once() {
        let nowhere = Err(Error::configuration("no vault is configured").hint("say --vault"));
        let diagnosis = diagnose(nowhere, Err(Error::configuration("no master key is configured"))).await;
        assert_eq!(checks(&diagnosis), ["vault", "master_key", "connection"]);
        assert!(!diagnosis.ok);
        assert_eq!(refusal(&diagnosis).unwrap().kind(), ErrorKind::Preflight);
    }

    #[tokio::test]
    async fn a_place_without_a_vault_and_a_wrong_key_are_told_apart() {
        let empty = diagnose(Ok(Arc::new(MemoryStore::new())), Ok(MasterKey::random())).await;
        assert_eq!(checks(&empty), ["vault", "connection"]);
        let (vault, _) = fixture::database("shop").await;
        let wrong = diagnose(Ok(Arc::clone(&vault.store)), Ok(MasterKey::random())).await;
        assert_eq!(checks(&wrong), ["master_key", "connection"]);
    }

    #[tokio::test]
    async fn a_good_vault_is_confirmed_and_the_newest_backup_named() {
        let (vault, db) = fixture::database("shop").await;
        let id = Backup::new("2026-11-20T02:00:00Z", "daily").publish(&db).await;
        let mut diagnosis = Diagnosis::default();
        look_at_folder(&vault, Some(&"shop".parse().unwrap()), &mut diagnosis).await;
        assert_eq!(diagnosis.facts[0].value, format!("1 of shop, the newest {id}"));
        look_at_folder(&vault, Some(&"crm".parse().unwrap()), &mut diagnosis).await;
        assert_eq!(diagnosis.findings[0].severity, Severity::Info);
    }

    #[test]
    fn a_key_file_that_others_can_read_is_told_with_its_fix() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut diagnosis = Diagnosis::default();
        look_at_key_file(file.path(), &mut diagnosis);
        assert_eq!(diagnosis.findings, []);
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        look_at_key_file(file.path(), &mut diagnosis);
        assert_eq!(diagnosis.findings[0].fix, format!("chmod 600 {}", file.path().display()));
    }
}
