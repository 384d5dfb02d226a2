//! Damage as somebody at a shell meets it: exit codes, words and JSON, on a vault in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat::ErrorKind;
use lifeboat::vault::keys::MasterKey;
use lifeboat_tests::{Bed, TestDb};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::forger::{altered, another, body_of};
use crate::program::Program;

const VERIFICATION: i32 = ErrorKind::Verification.exit_code() as i32;

/// A database of one table, and its backup in a folder.
async fn backed_up() -> (TestDb, Program, Value) {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS what FROM generate_series(1, 2000) i").await;
    let program = Program::with_vault(&db).await;
    let backup = serde_json::from_str(&program.succeed(&["backup", "--json"]).await).unwrap();
    (db, program, backup)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found
}

/// The files of the vault whose path has this in it, the largest first.
fn objects(program: &Program, part: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        files(&program.vault()).into_iter().filter(|path| path.to_str().unwrap().contains(part)).collect();
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    found
}

fn write(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_ends_with_exit_code_8_and_its_findings() {
    let (_db, program, _) = backed_up().await;
    let rows = objects(&program, "/pool/").remove(0);
    let manifest = objects(&program, "/manifest.json").remove(0);
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(bytes)
    };
    let edit = |bytes: &[u8]| {
        let mut body = body_of(bytes);
        body["content"]["totals"]["rows"] = another(&body["content"]["totals"]["rows"]);
        Some(altered(bytes, &body).to_vec())
    };
    let gone = |_: &[u8]| None;
    type How<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;
    let cut = |bytes: &[u8]| Some(bytes[..bytes.len() - 1].to_vec());
    // A folder keeps no checksums: that bytes changed, only `full` can see.
    let cells: [(&str, &PathBuf, How<'_>, &str, i32); 8] = [
        ("rows flipped", &rows, &flip, "quick", 0),
        ("rows flipped", &rows, &flip, "full", VERIFICATION),
        ("rows cut", &rows, &cut, "quick", VERIFICATION),
        ("rows gone", &rows, &gone, "quick", VERIFICATION),
        ("rows gone", &rows, &gone, "full", VERIFICATION),
        ("manifest edited", &manifest, &edit, "quick", VERIFICATION),
        ("manifest flipped", &manifest, &flip, "full", VERIFICATION),
        ("manifest cut", &manifest, &cut, "quick", VERIFICATION),
    ];
    let id = body_of(&fs::read(&manifest).unwrap())["content"]["id"].as_str().unwrap().to_owned();
    for (what, path, how, depth, code) in cells {
        let before = fs::read(path).unwrap();
        match how(&before) {
            Some(bytes) => write(path, &bytes),
            None => fs::remove_file(path).unwrap(),
        }
        let there = files(&program.vault()).len();
        let ran = program.run(&["verify", &id, "--depth", depth, "--json"]).await;
        assert_eq!(ran.status.code(), Some(code), "{what}, {depth}: {ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{what}, {depth}: {ran:?}"));
        assert_eq!(report["ok"], code == 0, "{what}, {depth}: {report}");
        if code != 0 {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(report["findings"].to_string().contains(name), "{what}, {depth}: {report}");
        }
        let now = files(&program.vault()).len();
        assert_eq!(now, there + 2, "{what}, {depth}: the verdict, its entry in the audit trail, and nothing else");
        let _ = fs::remove_file(path);
        fs::write(path, before).unwrap();
    }
    assert!(program.run(&["verify", &id]).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_damaged_or_gone_has_its_own_exit_code() {
    let (_db, program, _) = backed_up().await;
    program.succeed(&["verify", "latest", "--depth", "quick"]).await;
    let manifest = objects(&program, "/manifest.json").remove(0);
    let verdict = objects(&program, "/verdicts/").remove(0);
    let format = objects(&program, "/format/").remove(0);
    let flipped = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let id = body_of(&fs::read(&manifest).unwrap())["content"]["id"].as_str().unwrap().to_owned();
    type Cell<'a> = (&'a Path, Option<Vec<u8>>, &'a [&'a str], i32);
    let cells: [Cell<'_>; 5] = [
        (&verdict, Some(flipped(&verdict)), &["list"], VERIFICATION),
        (&verdict, None, &["list"], 0),
        (&manifest, None, &["verify", &id], ErrorKind::NotFound.exit_code().into()),
        (&format, Some(flipped(&format)), &["list"], VERIFICATION),
        (&format, None, &["list"], ErrorKind::NotFound.exit_code().into()),
    ];
    for (path, instead, command, code) in cells {
        let before = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        if let Some(instead) = &instead {
            fs::write(path, instead).unwrap();
        }
        let ran = program.run(command).await;
        assert_eq!(ran.status.code(), Some(code), "{path:?} {command:?}: {ran:?}");
        let _ = fs::remove_file(path);
        fs::write(path, before).unwrap();
    }
    let key = MasterKey::random().to_base64().unwrap();
    let ran = program.run_with(&["list"], &[("LIFEBOAT_MASTER_KEY", key.expose_secret())]).await;
    assert_eq!(ran.status.code(), Some(ErrorKind::Configuration.exit_code().into()), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_around_damage_ends_with_exit_code_8_and_says_what_is_missing() {
    let (db, program, _) = backed_up().await;
    db.sql("CREATE TABLE customers AS SELECT i AS id FROM generate_series(1, 10) i").await;
    // The rows of `orders` stay in the first backup's pack.
    let rows = objects(&program, "/pool/").remove(0);
    program.succeed(&["backup"]).await;
    let mut bytes = fs::read(&rows).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    write(&rows, &bytes);
    let target = format!("{}_rest", db.name());
    let copy = db.server().adopt_database(&target);
    let admin = db.server().admin_url();
    let restore = ["restore", "latest", "--into", &target, "--server", &admin];
    let refused = program.run(&restore).await;
    assert_eq!(refused.status.code(), Some(VERIFICATION), "{refused:?}");
    assert!(refused.stderr.contains("--skip-damaged"), "{refused:?}");
    // The sessions of a program that ended may outlive it by a moment.
    db.server().sql("postgres", &format!("DROP DATABASE IF EXISTS {target} WITH (FORCE)")).await;
    let ran = program.run(&[&restore[..], &["--skip-damaged", "--json"]].concat()).await;
    assert_eq!(ran.status.code(), Some(VERIFICATION), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["proof"]["tables_different"].to_string(), r#"[{"name":"orders","schema":"public"}]"#, "{report}");
    assert_eq!(report["not_restored"][0]["object"], "public.orders", "{report}");
    let whole: i64 = copy.client().await.query_one("SELECT count(*) FROM customers", &[]).await.unwrap().get(0);
    assert_eq!(whole, 10);
}
