//! What the tests back up: the shop, which people recognize, and the zoo, which has one of everything.

use std::path::{Path, PathBuf};

use tokio_postgres::Client;

use crate::{Server, TestDb};

/// Fills an empty database with the shop of `tests/data/shop.sql`. Scale 1 is 51,000 rows and 70 MB; the same scale gives
/// the same rows on every server.
pub async fn load_shop(client: &Client, scale: f64) {
    let shop = read(&folder().join("shop.sql"));
    run(client, &format!("SET shop.scale = '{scale}'"), "shop.scale").await;
    run(client, &shop, "shop.sql").await;
    run(client, "RESET ALL; RESET ROLE", "shop.sql").await;
}

/// Makes the table `huge` with rows whose text form is about 100 MB: one of text, one of bytes (of which each takes two
/// letters), and small ones around them.
pub async fn load_huge_rows(client: &Client) {
    let statements = "CREATE TABLE huge (id int PRIMARY KEY, t text, b bytea); \
         INSERT INTO huge VALUES (1, 'small', ''), (2, repeat(md5('huge') || E'\\t', 100000000 / 34), NULL), \
             (3, NULL, decode(repeat('00ff5c0a', 50000000 / 4), 'hex')), (4, 'small', NULL)";
    run(client, statements, "huge").await;
}

/// Fills an empty database with everything that PostgreSQL can store, as far as this server's version can.
pub async fn load_zoo(database: &TestDb) {
    load_zoo_where(database, |_| true).await;
    set_zoo_properties(database).await;
}

/// Gives a database the zoo's settings, comment, owner and privileges.
pub async fn set_zoo_properties(database: &TestDb) {
    let settings = read(&zoo().join("database.sql"))
        .replace(":\"database\"", &format!("\"{}\"", database.name().replace('"', "\"\"")));
    database.server().sql("postgres", &settings).await;
}

/// Loads only the themes that `wanted` picks (`types`, `traps`, … by the names of the files in `tests/data/zoo`), without
/// the database's own properties. Most themes build upon earlier ones; `types` and `values` stand alone, and upon `traps`,
/// `subscriptions` and `event_triggers` nothing is built.
pub async fn load_zoo_where(database: &TestDb, wanted: impl Fn(&str) -> bool) {
    create_roles(database.server()).await;
    for file in zoo_files(database.server().major()) {
        if wanted(&file.theme) {
            // A session of its own, so that no setting reaches the next file.
            let client = database.client().await;
            run(&client, &read(&file.path), &file.path.to_string_lossy()).await;
        }
    }
}

struct ZooFile {
    path: PathBuf,
    theme: String,
}

/// The files for this version in the order of their numbers. `41_tables_15+.sql` is theme `tables`, from 15 on.
fn zoo_files(major: u32) -> Vec<ZooFile> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(zoo())
        .expect("the zoo is part of the checkout")
        .map(|entry| entry.expect("the zoo can be read").path())
        .collect();
    paths.sort();
    paths.into_iter().filter_map(|path| zoo_file(path, major)).collect()
}

fn zoo_file(path: PathBuf, major: u32) -> Option<ZooFile> {
    let stem = path.file_stem()?.to_str()?;
    let (number, name) = stem.split_once('_')?;
    number.parse::<u32>().ok()?;
    let (theme, least) = match name.rsplit_once('_') {
        Some((theme, version)) if version.ends_with('+') => (theme, version.trim_end_matches('+').parse().ok()?),
        _ => (name, 0),
    };
    let theme = theme.to_owned();
    (major >= least).then_some(ZooFile { path, theme })
}

/// Roles belong to the server: tests that run at the same time wait for each other here.
async fn create_roles(server: &Server) {
    let roles = read(&zoo().join("roles.sql"));
    server.sql_exclusively("postgres", &roles).await;
}

async fn run(client: &Client, statements: &str, what: &str) {
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
}

fn zoo() -> PathBuf {
    folder().join("zoo")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
