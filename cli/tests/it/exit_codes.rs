//! Every documented exit code, reached as a user would. Code 1 is for faults of our own: there is no honest way to it from
//! outside, so it is reached in a unit test of `main.rs`.

use crate::shell::{Shell, small_database};

#[tokio::test]
async fn code_0_is_success() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    assert_eq!(shell.run(&["list", "--json"]).failed(0).stdout.trim(), "[]");
}

#[test]
fn code_2_is_a_command_line_that_makes_no_sense() {
    let shell = Shell::new();
    for arguments in [&["bakcup"][..], &["backup", "--jbos", "2"], &["verify"], &["backup", "--deadline", "soon"], &[]]
    {
        shell.run(arguments).failed(2);
    }
    let said = shell.run(&["list", "--json", "--tag", "x"]).failed(2);
    assert_eq!(said.json()["error"]["kind"], "usage");
    shell.write("lifeboat.toml", "vault = 'v'\n[databases.a]\n[databases.b]\n");
    let said = shell.run(&["backup"]).failed(2);
    assert!(said.stderr.contains("choose one with --database: a, b"), "{said:?}");
}

#[test]
fn code_3_is_a_configuration_that_is_missing_or_wrong() {
    let mut shell = Shell::new();
    let said = shell.run(&["list"]).failed(3);
    assert!(said.stderr.contains("no vault is configured"), "{said:?}");
    shell.write("lifeboat.toml", "valt = 'x'\n");
    let said = shell.run(&["list", "--json"]).failed(3);
    assert_eq!(said.json()["error"]["kind"], "configuration");
    assert_eq!(said.json()["error"]["hint"], "did you mean `vault`?");
    shell.run(&["list", "--config", "nowhere.toml"]).failed(3);
    shell.write("lifeboat.toml", "vault = 'vault'\n");
    shell.run(&["init"]).succeeded();
    shell.set("LIFEBOAT_MASTER_KEY", "c".repeat(43) + "=");
    let said = shell.run(&["list"]).failed(3);
    assert!(said.stderr.contains("this master key does not open this vault"), "{said:?}");
}

#[tokio::test]
async fn code_4_is_a_preflight_that_refuses() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    shell.set("LIFEBOAT_PG_DUMP", "/bin/false");
    let said = shell.run(&["doctor"]).failed(4);
    assert!(said.stdout.contains("/bin/false is not a pg_dump that runs here"), "{said:?}");
    let said = shell.run(&["backup", "--json"]).failed(4);
    assert_eq!(said.json()["error"]["kind"], "preflight_refused");
}

#[tokio::test]
async fn code_5_is_a_database_that_does_not_answer() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    shell.set("LIFEBOAT_DATABASE_URL", "postgres://nobody@127.0.0.1:1/shop");
    let said = shell.run(&["backup", "--json"]).failed(5);
    assert_eq!(said.json()["error"]["kind"], "database_unreachable");
}

#[test]
fn code_6_is_a_vault_that_does_not_answer() {
    let mut shell = Shell::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "y"),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("LIFEBOAT_MASTER_KEY", "q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kBI0Vng="),
    ] {
        shell.set(name, value);
    }
    let said = shell.run(&["list", "--json", "--vault", "s3://acme-backups/lifeboat"]).failed(6);
    assert_eq!(said.json()["error"]["kind"], "vault_unreachable");
}

#[tokio::test]
async fn code_7_is_a_conflict() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    let said = shell.run(&["init", "--json"]).failed(7);
    assert_eq!(said.json()["error"]["kind"], "conflict");
    // The same name for another database.
    shell.backup(&["--database", &database.url()]);
    let other = small_database().await;
    shell.write("lifeboat.toml", &format!("[databases.{}]\nconnection = 'env:OTHER_DATABASE_URL'\n", database.name()));
    shell.set("OTHER_DATABASE_URL", other.url());
    let said = shell.run(&["backup", "--database", database.name()]).failed(7);
    assert!(said.stderr.contains("--adopt"), "{said:?}");
    shell.run(&["backup", "--adopt", "--database", database.name()]).succeeded();
}

#[tokio::test]
async fn code_8_is_a_backup_that_is_not_what_it_says_it_is() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let id = shell.backup(&[]);
    shell.damage_a_pack();
    let said = shell.run(&["verify", "latest", "--json"]).failed(8);
    assert_eq!(said.json()["ok"], false);
    assert_eq!(said.json()["id"], id.as_str());
    assert!(!said.json()["findings"].as_array().unwrap().is_empty());
    shell.run(&["restore", "latest", "--json"]).failed(8);
    let listed = shell.run(&["list", "--json"]).succeeded().json();
    assert_eq!(listed[0]["verified"]["ok"], false);
}

#[tokio::test]
async fn code_8_is_a_backup_below_its_floor_too() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    shell.set("LIFEBOAT_DATABASE_URL", "");
    shell.set("SHOP_URL", database.url());
    shell.write("lifeboat.toml", "[databases.shop]\nconnection = 'env:SHOP_URL'\nfloor = { rows = 2001 }\n");
    let said = shell.run(&["backup", "--json"]).failed(8);
    assert_eq!(said.json()["rows"], 2000);
    assert!(said.stderr.contains("2,000 rows of at least 2,001"), "{said:?}");
}

#[tokio::test]
async fn code_8_is_a_record_that_was_tampered_with_and_the_others_are_listed() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let (bad, good) = (shell.backup(&[]), shell.backup(&[]));
    let manifest = format!("vault/databases/{}/backups/{bad}/manifest.json", database.name());
    let text = std::fs::read_to_string(shell.path(&manifest)).unwrap();
    std::fs::remove_file(shell.path(&manifest)).unwrap();
    shell.write(&manifest, &text.replacen("\"rows\": 2000", "\"rows\": 1000", 1));
    let said = shell.run(&["list", "--json"]).failed(8);
    let ids: Vec<_> = said.json().as_array().unwrap().iter().map(|backup| backup["id"].clone()).collect();
    assert_eq!(ids, [good.as_str()]);
    assert!(said.stderr.contains(&bad), "{said:?}");
}

#[tokio::test]
async fn code_9_is_something_that_is_not_there() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.run(&["show", "latest"]).failed(9);
    shell.backup(&[]);
    for arguments in [
        &["show", "20200101T000000Z-daily-aaaa"][..],
        &["verify", "latest", "--database", "nowhere"],
        &["restore", "2020"],
        &["backup", "--table", "no_such_table"],
    ] {
        let said = shell.run(&[arguments, &["--json"]].concat()).failed(9);
        assert_eq!(said.json()["error"]["kind"], "not_found");
    }
    shell.run(&["list", "--vault", "empty"]).failed(9);
}

#[tokio::test]
async fn code_10_is_a_confirmation_that_nobody_gave() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.backup(&[]);
    let replace = ["restore", "latest", "--into", database.name(), "--clean", "--json"];
    let said = shell.run(&replace).failed(10);
    assert_eq!(said.json()["error"]["kind"], "confirmation_needed");
    assert!(said.stderr.contains("and is replaced"), "the plan is shown: {said:?}");
    database.sql("DELETE FROM orders").await;
    let said = shell.run(&[&replace[..], &["--yes"]].concat()).succeeded();
    assert_eq!(said.json()["proof"]["ok"], true);
    let client = database.client().await;
    let count: i64 = client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0);
    assert_eq!(count, 2000);
    let listed = shell.run(&["list", "--json"]).succeeded().json();
    assert_eq!(listed[0]["purpose"], "safety");
}

#[tokio::test]
async fn code_11_is_a_deadline_that_came_and_leaves_nothing_half_made() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let said = shell.run(&["backup", "--deadline", "0s", "--json"]).failed(11);
    assert_eq!(said.json()["error"]["kind"], "out_of_time");
    assert_eq!(shell.run(&["list", "--json"]).succeeded().json().as_array().unwrap().len(), 0);
}
