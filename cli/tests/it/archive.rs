//! Archived backups, as people use them.

use std::time::Duration;

use lifeboat_tests::Bed;

use crate::shell::{Shell, redacted, small_database};

#[tokio::test]
async fn a_folder_keeps_an_archived_backup_apart_and_freezes_nothing() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.write("lifeboat.toml", "[tiers.monthly]\nstorage = 'archive'\n");
    let id = shell.backup(&["--tier", "monthly", "--verify", "full"]);
    let by_flag = shell.backup(&["--storage", "archive"]);
    let name = small_name(&shell);
    for id in [&id, &by_flag] {
        assert!(shell.path(&format!("vault/databases/{name}/archive/{id}")).is_dir());
        let shown = shell.run(&["show", id, "--json"]).succeeded().json();
        assert!(shown["backup"]["storage"] == "archive" && shown["parent"].is_null());
    }
    assert!(shell.run(&["list"]).succeeded().stdout.contains("archived"));
    let said = shell.run(&["thaw", &id]).succeeded();
    redacted(&database, || insta::assert_snapshot!("thaw_readable", said.all()));
}

/// What the database is called in the vault.
fn small_name(shell: &Shell) -> String {
    let listed = shell.run(&["list", "--json"]).succeeded().json();
    listed[0]["database"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_frozen_backup_says_what_thawing_costs_and_is_restored_when_it_is_thawed() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    let moto = Bed::get().moto().await;
    let bucket = moto.fresh_bucket().await;
    shell.set("LIFEBOAT_VAULT", format!("s3://{bucket}"));
    moto.environment().into_iter().for_each(|(name, value)| shell.set(name, value));
    shell.run(&["init"]).succeeded();
    let id = shell.backup(&["--storage", "archive"]);
    assert!(moto.freeze_what_is_tagged(&bucket).await > 0);

    let said = shell.run(&["thaw", &id]).failed(10);
    for words in ["Cannot be read yet", "expedited", "bulk", "12 h", "USD"] {
        assert!(said.stdout.contains(words), "{words}: {said:?}");
    }
    let copy = format!("{}_thawed", database.name());
    let planned = shell.run(&["restore", &id, "--into", &copy, "--dry-run", "--json"]).succeeded().json();
    assert_eq!(planned["thaw"]["offers"].as_array().map(Vec::len), Some(3));
    let refused = shell.run(&["verify", &id, "--json"]).failed(10).json();
    assert_eq!(refused["error"]["kind"], "confirmation_needed");
    shell.run(&["pull", &id, "--to", "local"]).failed(10);
    shell.run(&["thaw", &id, "--tier", "fast"]).failed(2);
    shell.run(&["restore", &id, "--into", &copy, "--thaw-days", "3"]).failed(2);

    let asked = shell.run(&["restore", &id, "--into", &copy, "--thaw", "bulk", "--thaw-days", "2"]).failed(10);
    assert!(asked.stderr.contains("try again at 2"), "{asked:?}");
    let held = shell.run(&["show", &id, "--json"]).succeeded().json();
    assert_eq!(held["holds"][0]["reason"], "being thawed (bulk)");
    while shell.run(&["thaw", &id, "--quiet"]).code != 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let restored = shell.run(&["restore", &id, "--into", &copy, "--json"]).succeeded().json();
    assert_eq!(restored["proof"]["ok"], true);
    drop(Bed::get().server(17).await.adopt_database(&copy));
}
