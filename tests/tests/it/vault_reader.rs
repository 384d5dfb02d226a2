//! `tests/reader/read_vault.py`, which was written from `docs/format.md` alone, reads what the engine writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use lifeboat::model::{BackupId, Storage};
use lifeboat::ops::backup::BackupOptions;
use lifeboat::store::folder::FolderStore;
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat_tests::{Bed, TestDb, data};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio_postgres::Client;

use crate::rig::{Rig, run};

/// A vault in a folder with one backup, and the key to it.
struct Kept {
    folder: tempfile::TempDir,
    master_key: String,
    id: BackupId,
}

impl Kept {
    async fn backup_of(source: &TestDb) -> Self {
        Self::stored(source, Storage::Pool).await
    }

    async fn stored(source: &TestDb, storage: Storage) -> Self {
        let folder = Bed::get().scratch_dir();
        let master = MasterKey::random();
        let master_key = master.to_base64().unwrap().expose_secret().to_owned();
        let store = FolderStore::new(folder.path().join("vault")).unwrap();
        let vault = Vault::init(Arc::new(store), master, 72, 24).await.unwrap();
        let rig = Rig { vault: Arc::new(vault), run: run() };
        let options = BackupOptions { storage, ..rig.options().await };
        let id = rig.try_backup(source, &options).await.unwrap().backup.id;
        Self { folder, master_key, id }
    }

    fn vault(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    async fn read(&self, vault: &Path, arguments: &[&str]) -> Output {
        let mut reader = Bed::get().vault_reader().await;
        reader.env("LIFEBOAT_MASTER_KEY", &self.master_key).arg(vault).arg("shop").args(arguments);
        reader.output().await.unwrap()
    }

    /// The folder that the reader filled.
    async fn decoded(&self) -> PathBuf {
        let out = self.folder.path().join("out");
        let read = self.read(&self.vault(), &["latest", out.to_str().unwrap()]).await;
        assert!(read.status.success(), "{}", text(&read.stderr));
        out
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// A session that prints rows as the document says.
async fn printing_session(source: &TestDb) -> Client {
    let client = source.client().await;
    let settings = "SET datestyle = 'ISO, YMD'; SET intervalstyle = postgres; SET timezone = UTC; \
        SET extra_float_digits = 3; SET bytea_output = hex; SET lc_monetary = 'C'; SET xmloption = content; \
        SET search_path = ''; SET row_security = off";
    client.batch_execute(settings).await.unwrap();
    client
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The file's name: everything but letters, digits, `_`, `-` and `~` as percent and two digits.
fn file_name(table: &Value) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'~' => (byte as char).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let part = |name| word(table, name).bytes().map(encoded).collect::<String>();
    format!("{}.{}.copy", part("schema"), part("name"))
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

async fn source_lines(client: &Client, catalogue: &Value, table: &Value) -> Vec<u8> {
    let columns: Vec<String> = table["columns"].as_array().unwrap().iter().map(|c| quoted(word(c, "name"))).collect();
    let (schema, name) = (quoted(word(table, "schema")), quoted(word(table, "name")));
    let condition = table["condition"].as_str().unwrap_or_default();
    let encoding = word(&catalogue["database"], "encoding");
    let query = format!("SELECT {} FROM ONLY {schema}.{name} {condition}", columns.join(", "));
    let copy = client.copy_out(&format!("COPY ({query}) TO STDOUT (ENCODING '{encoding}')")).await.unwrap();
    let messages: Vec<Bytes> = copy.try_collect().await.unwrap();
    messages.concat()
}

/// The content of each large object, put together from its pages.
fn large_objects(copy: &str) -> BTreeMap<u32, Vec<u8>> {
    let mut pages: Vec<(u32, i64, Vec<u8>)> = Vec::new();
    for line in copy.lines() {
        let [oid, page, data] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let data = hex::decode(data.strip_prefix("\\\\x").unwrap()).unwrap();
        pages.push((oid.parse().unwrap(), page.parse().unwrap(), data));
    }
    pages.sort();
    let mut objects: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (oid, page, data) in pages {
        let object = objects.entry(oid).or_default();
        assert_eq!(object.len() as i64, page << 20, "page {page} of {oid}");
        object.extend(data);
    }
    objects
}

async fn compare(source: &TestDb, decoded: &Path) {
    let client = printing_session(source).await;
    let catalogue = json(&decoded.join("catalogue.json"));
    let tables = catalogue["tables"].as_array().unwrap();
    assert!(!tables.is_empty());
    for table in tables {
        let copy = std::fs::read(decoded.join(file_name(table))).unwrap();
        if table["kind"] == "large_objects" {
            let found = large_objects(&text(&copy));
            assert_eq!(found.len(), catalogue["large_objects"].as_array().unwrap().len());
            for (oid, content) in found {
                let stored: Vec<u8> = client.query_one("SELECT lo_get($1)", &[&oid]).await.unwrap().get(0);
                assert!(content == stored, "large object {oid}");
            }
        } else {
            let expected = source_lines(&client, &catalogue, table).await;
            assert!(lines(&copy) == lines(&expected), "{} differs from {table}", file_name(table));
        }
    }
    let sequences = json(&decoded.join("catalogue.json"))["sequences"].clone();
    for sequence in sequences.as_array().unwrap() {
        let name = format!("{}.{}", quoted(word(sequence, "schema")), quoted(word(sequence, "name")));
        let row = client.query_one(&format!("SELECT last_value, is_called FROM {name}"), &[]).await.unwrap();
        assert_eq!(
            (sequence["last_value"].as_i64(), sequence["is_called"].as_bool()),
            (row.get(0), row.get(1)),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_written_from_the_document_gives_the_rows_of_the_source() {
    for major in [14, 18] {
        let source = Bed::get().server(major).await.create_database().await;
        data::load_zoo(&source).await;
        let kept = Kept::backup_of(&source).await;
        let list = kept.read(&kept.vault(), &["--list"]).await;
        assert!(text(&list.stdout).starts_with(&format!("{} backup ", kept.id)), "{}", text(&list.stderr));
        let decoded = kept.decoded().await;
        compare(&source, &decoded).await;
        assert!(std::fs::read(decoded.join("schema.dump")).unwrap().starts_with(b"PGDMP"));
        every_field_is_documented(&kept, &decoded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_many_ranges_and_chunks_is_read_whole() {
    let source = Bed::get().server(17).await.create_database().await;
    let rows = "CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 8) AS note FROM generate_series(1, 60000) i";
    source.sql(&format!("{rows}; DELETE FROM big WHERE id BETWEEN 20000 AND 40000")).await;
    compare(&source, &Kept::backup_of(&source).await.decoded().await).await;
}

/// Every name of a field that Lifeboat wrote stands in the document as code.
fn every_field_is_documented(kept: &Kept, decoded: &Path) {
    let document = include_str!("../../../docs/format.md");
    let records =
        files(&kept.vault()).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "json"));
    let mut values: Vec<Value> = records
        .map(|file| {
            let stored = std::fs::read_to_string(&file).unwrap();
            let (body, _) = stored.trim_end().rsplit_once('\n').unwrap();
            serde_json::from_str(body).unwrap()
        })
        .collect();
    values.push(json(&decoded.join("catalogue.json")));
    while let Some(value) = values.pop() {
        match value {
            Value::Array(members) => values.extend(members),
            Value::Object(fields) => {
                for (name, value) in fields {
                    let documented =
                        [format!("`{name}`"), format!("\"{name}\"")].iter().any(|code| document.contains(code));
                    assert!(documented, "docs/format.md does not name {name:?}");
                    values.push(value);
                }
            }
            _ => {}
        }
    }
}

/// As copies into a vault name what may have been there before.
#[tokio::test(flavor = "multi_thread")]
async fn an_archived_backup_is_read_too() {
    let source = Bed::get().server(17).await.create_database().await;
    data::load_shop(&source.client().await, 0.02).await;
    compare(&source, &Kept::stored(&source, Storage::Archive).await.decoded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_a_copy_named_are_read_too() {
    let source = Bed::get().server(17).await.create_database().await;
    source.sql("CREATE TABLE t AS SELECT i, i::text AS note FROM generate_series(1, 100) i").await;
    let kept = Kept::backup_of(&source).await;
    for folder in std::fs::read_dir(kept.vault().join("databases/shop/pool")).unwrap() {
        for pack in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let pack = pack.unwrap().path();
            std::fs::rename(&pack, format!("{}-00112233445566ff", pack.display())).unwrap();
        }
    }
    compare(&source, &kept.decoded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_read_with_each_of_its_master_keys() {
    let source = Bed::get().server(17).await.create_database().await;
    source.sql("CREATE TABLE t AS SELECT i, i::text AS note FROM generate_series(1, 100) i").await;
    let kept = Kept::backup_of(&source).await;
    let store = Arc::new(FolderStore::new(kept.vault()).unwrap());
    let (old, new) = (MasterKey::from_base64(&kept.master_key.as_str().into()).unwrap(), MasterKey::random());
    Vault::open(store, old).await.unwrap().rewrap(&new).await.unwrap();
    compare(&source, &kept.decoded().await).await;
    std::fs::remove_dir_all(kept.folder.path().join("out")).unwrap();
    let changed = Kept { master_key: new.to_base64().unwrap().expose_secret().to_owned(), ..kept };
    compare(&source, &changed.decoded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_independent_reader_refuses_any_damaged_object_and_another_key() {
    let source = Bed::get().server(17).await.create_database().await;
    source.sql("CREATE TABLE t AS SELECT i, i::text AS note FROM generate_series(1, 100) i").await;
    let kept = Kept::backup_of(&source).await;
    let (damaged, out) = (kept.folder.path().join("damaged"), kept.folder.path().join("out"));
    for file in files(&kept.vault()) {
        let inside = file.strip_prefix(kept.vault()).unwrap();
        // Jobs, and which server the name stands for, matter to writers only.
        if ["identity", "jobs"].iter().any(|part| inside.iter().any(|component| component == *part)) {
            continue;
        }
        copy(&kept.vault(), &damaged);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(damaged.join(inside), bytes).unwrap();
        let read = kept.read(&damaged, &["latest", out.to_str().unwrap()]).await;
        assert!(!read.status.success(), "{}", inside.display());
        assert!(text(&read.stderr).starts_with("read_vault: "), "{}: {}", inside.display(), text(&read.stderr));
        std::fs::remove_dir_all(&damaged).unwrap();
        std::fs::remove_dir_all(&out).ok();
    }
    let stranger = Kept { master_key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(), ..kept };
    assert!(!stranger.read(&stranger.vault(), &["--list"]).await.status.success());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    std::fs::read_dir(folder).unwrap().flat_map(|entry| below(entry.unwrap().path())).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, &target).unwrap();
    }
}
