//! What people see of each verb, and the JSON that scripts read.

use std::os::unix::fs::PermissionsExt;

use lifeboat_tests::Bed;

use crate::shell::{Shell, redacted, small_database, text};

#[tokio::test]
async fn init_says_where_the_key_is_and_what_losing_it_means() {
    let database = small_database().await;
    let shell = Shell::new();
    let said = shell.run(&["init", "--vault", "vault"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("init", said.all()));
    let key = shell.path(".config/lifeboat/master.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!said.all().contains(std::fs::read_to_string(key).unwrap().trim()));
}

#[test]
fn init_keeps_the_key_where_it_is_told_and_uses_the_one_that_is_there() {
    let mut shell = Shell::new();
    let first = shell.run(&["init", "--vault", "one", "--master-key-file", "keys/my.key", "--json"]).succeeded().json();
    assert_eq!(first["master_key_is_new"], true);
    assert!(!shell.path(".config").exists());
    let key = std::fs::read(shell.path("keys/my.key")).unwrap();
    shell.set("LIFEBOAT_MASTER_KEY_FILE", "keys/my.key");
    let second = shell.run(&["init", "--vault", "two", "--json"]).succeeded().json();
    assert_eq!(second["master_key_is_new"], false);
    assert_eq!(std::fs::read(shell.path("keys/my.key")).unwrap(), key);
    shell.run(&["list", "--vault", "one"]).succeeded();
}

#[test]
fn an_init_that_fails_leaves_no_key_behind() {
    let shell = Shell::new();
    shell.run(&["init", "--vault", "vault"]).succeeded();
    shell.run(&["init", "--vault", "vault", "--master-key-file", "other.key"]).failed(7);
    shell.run(&["init", "--vault", "new", "--master-key-file", "other.key", "--grace", "1h"]).failed(2);
    assert!(!shell.path("other.key").exists());
}

#[tokio::test]
async fn an_empty_vault_says_what_to_do() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let said = shell.run(&["list"]).succeeded();
    assert_eq!(said.stdout, "No backups. `lifeboat backup` makes one.\n");
}

#[tokio::test]
async fn backups_are_made_listed_shown_verified_and_restored() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let said = |name: &str, arguments: &[&str]| {
        let said = shell.run(arguments).succeeded();
        redacted(&database, || insta::assert_snapshot!(name, said.all()));
    };
    said("doctor_before", &["doctor"]);
    said("backup", &["backup", "--tier", "daily", "--tag", "release=1.4"]);
    said("backup_again_quietly", &["backup", "--quiet", "--verify", "full", "--exclude-table-data", "orders"]);
    said("list", &["list"]);
    said("show", &["show", "latest"]);
    said("verify", &["verify", "latest"]);
    said("restore_dry_run", &["restore", "latest", "--dry-run"]);
    let copy = format!("{}_copy", database.name());
    said("restore", &["restore", "latest", "--into", &copy]);
    drop(Bed::get().server(17).await.adopt_database(&copy));
    said("doctor_after", &["doctor"]);
    said("check", &["check"]);
}

#[tokio::test]
async fn json_is_as_documented() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let said = |name: &str, arguments: &[&str]| {
        let said = shell.run(&[arguments, &["--json", "--quiet"]].concat()).succeeded();
        assert_eq!(said.stderr, "");
        said.json();
        redacted(&database, || insta::assert_snapshot!(name, said.stdout));
    };
    said("json_backup", &["backup", "--tag", "release=1.4", "--exclude-table-data", "orders"]);
    said("json_verify", &["verify", "latest", "--depth", "quick"]);
    said("json_list", &["list"]);
    said("json_show", &["show", "latest"]);
    let copy = format!("{}_copy", database.name());
    said("json_restore_plan", &["restore", "latest", "--into", &copy, "--dry-run"]);
    said("json_restore", &["restore", "latest", "--into", &copy]);
    said("json_check", &["check"]);
    drop(Bed::get().server(17).await.adopt_database(&copy));
}

#[tokio::test]
async fn several_backups_are_verified_in_one_go() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let (one, two) = (shell.backup(&[]), shell.backup(&[]));
    let reports = shell.run(&["verify", &one, &two, "--depth", "quick", "--json"]).succeeded().json();
    let ids: Vec<String> = reports.as_array().unwrap().iter().map(|report| text(&report["id"])).collect();
    assert_eq!(ids, [one, two]);
}

#[tokio::test]
async fn a_backup_is_verified_by_restoring_it_right_away() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let report = shell.run(&["backup", "--verify", "restore", "--json"]).succeeded().json();
    assert_eq!(report["verified"]["depth"], "restore");
    assert_eq!(report["verified"]["ok"], true);
}

#[tokio::test]
async fn lists_are_filtered() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let daily = shell.backup(&["--tier", "daily", "--tag", "release=1"]);
    let manual = shell.backup(&[]);
    let ids = |arguments: &[&str]| -> Vec<String> {
        let listed = shell.run(&[&["list", "--json"], arguments].concat()).succeeded().json();
        listed.as_array().unwrap().iter().map(|backup| text(&backup["id"])).collect()
    };
    assert_eq!(ids(&[]), [manual.clone(), daily.clone()]);
    assert_eq!(ids(&["--tier", "daily"]), std::slice::from_ref(&daily));
    assert_eq!(ids(&["--tag", "release=1"]), [daily]);
    assert!(ids(&["--tag", "release=2"]).is_empty());
    assert_eq!(ids(&["--since", "1h"]).len(), 2);
    assert!(ids(&["--since", "2100-01-01"]).is_empty());
}

#[tokio::test]
async fn everything_can_come_from_a_file() {
    let database = small_database().await;
    let mut shell = Shell::new();
    shell.set("SHOP_URL", database.url());
    let pg_dump = Bed::get().pg_dump().await.display().to_string();
    shell.write(
        "lifeboat.toml",
        &format!(
            "vault = 'vault'
             master_key = 'file:keys/shop.key'
             pg_dump = '{pg_dump}'
             [databases.shop]
             connection = 'env:SHOP_URL'
             exclude_table_data = ['orders']
             [verify]
             after_backup = 'quick'"
        ),
    );
    shell.run(&["init"]).succeeded();
    assert!(shell.path("keys/shop.key").exists());
    let report = shell.run(&["backup", "--json"]).succeeded().json();
    assert_eq!((&report["database"], &report["rows"]), (&"shop".into(), &0.into()));
    assert_eq!(report["verified"]["depth"], "quick");
    let everything = shell.run(&["backup", "--json", "--exclude-table-data", "Odd*"]).succeeded().json();
    assert_eq!(everything["rows"], 2000, "a flag takes the place of what is configured");
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.backup(&[]);
    let mut child = shell.command(&["show", "latest"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn colours_are_only_where_they_are_wanted() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    assert!(!shell.run(&["list"]).all().contains('\u{1b}'));
    shell.backup(&[]);
    assert!(shell.run(&["list", "--color", "always"]).stdout.contains('\u{1b}'));
    shell.set("NO_COLOR", "1");
    assert!(!shell.run(&["show", "latest"]).all().contains('\u{1b}'));
}

#[tokio::test]
async fn check_finds_what_is_broken_and_says_how_to_mend_it() {
    let database = small_database().await;
    database
        .sql(
            "CREATE TABLE items (id serial PRIMARY KEY); INSERT INTO items VALUES (9);
             SELECT setval('items_id_seq', 3);",
        )
        .await;
    let shell = Shell::with_vault(&database).await;
    let said = shell.run(&["check"]).failed(8);
    redacted(&database, || insta::assert_snapshot!("check_broken", said.all()));
    let json = shell.run(&["check", "--json"]).failed(8).json();
    assert_eq!((&json["ok"], &json["findings"][0]["check"]), (&false.into(), &"sequences".into()));
}

#[tokio::test]
async fn a_vault_in_s3_does_all_that_a_folder_does() {
    let database = small_database().await;
    let moto = Bed::get().moto().await;
    let mut shell = Shell::new();
    for (name, value) in moto.environment() {
        shell.set(name, value);
    }
    shell.set("LIFEBOAT_VAULT", format!("s3://{}/lifeboat", moto.fresh_bucket().await));
    shell.set("LIFEBOAT_DATABASE_URL", database.url());
    shell.set("LIFEBOAT_PG_DUMP", Bed::get().pg_dump().await.display().to_string());
    shell.run(&["init"]).succeeded();
    shell.run(&["doctor"]).succeeded();
    let id = shell.backup(&["--verify", "quick"]);
    shell.run(&["verify", &id]).succeeded();
    let listed = shell.run(&["list", "--json"]).succeeded().json();
    assert_eq!(listed[0]["verified"]["depth"], "full");
    let copy = format!("{}_copy", database.name());
    let restored = shell.run(&["restore", "latest", "--into", &copy, "--json"]).succeeded().json();
    drop(Bed::get().server(17).await.adopt_database(&copy));
    assert_eq!(restored["proof"]["tables_equal"], 2);
}

#[tokio::test]
async fn what_is_let_go_or_deleted_comes_back_when_somebody_says_so() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    shell.set("LIFEBOAT_TIERS__DAILY__KEEP_LAST", "1");
    shell.set("LIFEBOAT_TIERS__DAILY__KEEP_AT_LEAST", "1");
    let (old, new) = (shell.backup(&["--tier", "daily"]), shell.backup(&["--tier", "daily"]));
    shell.run(&["verify", &old, &new, "--depth", "quick"]).succeeded();
    let listed = |arguments: &[&str]| -> Vec<String> {
        let listed = shell.run(&[&["list", "--json"], arguments].concat()).succeeded().json();
        listed.as_array().unwrap().iter().map(|backup| text(&backup["id"])).collect()
    };
    let dry = shell.run(&["cleanup", "--dry-run"]).succeeded();
    assert!(dry.stdout.contains("1 backup stays, 1 would be let go"), "{}", dry.stdout);
    assert!(dry.stdout.contains("not among the last 1"), "{}", dry.stdout);
    assert_eq!(listed(&[]), [new.clone(), old.clone()]);

    let report = shell.run(&["cleanup", "--json"]).succeeded().json();
    assert_eq!((&report[0]["sweep"]["waiting"][0]["backup"], &report[0]["refused"]), (&old.clone().into(), &().into()));
    assert_eq!((listed(&[]), listed(&["--all"]).len()), (vec![new.clone()], 2));
    shell.run(&["hold", &old, "--reason", "audit", "--until", "1d"]).succeeded();
    assert_eq!(listed(&[]).len(), 2);
    shell.run(&["cleanup"]).succeeded();
    assert_eq!(listed(&[]).len(), 2);
    shell.run(&["delete", &old]).failed(7);
    shell.run(&["release", &old]).succeeded();
    shell.run(&["release", &old]).failed(9);

    shell.run(&["delete", &new]).failed(10);
    shell.run(&["delete", &new, "--yes"]).succeeded();
    assert_eq!(listed(&[]), std::slice::from_ref(&old));
    let back = shell.run(&["undelete", &new, "--json"]).succeeded().json();
    assert_eq!(back[0], serde_json::json!({"id": new, "database": database.name(), "deleted": false, "until": null}));
    assert_eq!(listed(&[]).len(), 2);
    shell.run(&["hold", &new, "--reason", "  "]).failed(2);
    shell.run(&["hold", &new, "--reason", "late", "--until", "2020-01-01"]).failed(2);
}
