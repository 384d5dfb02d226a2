//! `pull` and `push`, as people use them.

use lifeboat_tests::Bed;

use crate::shell::{Shell, redacted, small_database};

#[tokio::test]
async fn a_pulled_folder_is_a_vault_and_can_be_pushed_to_a_new_one() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let first = shell.backup(&["--tier", "daily"]);
    let second = shell.backup(&["--tier", "daily"]);
    let said = |name: &str, arguments: &[&str]| {
        let said = shell.run(arguments).succeeded();
        redacted(&database, || insta::assert_snapshot!(name, said.all()));
    };
    said("pull", &["pull", "latest", "--to", "local"]);
    said("pull_again", &["pull", &first, &second, "--to", "local", "--verify", "full", "--quiet"]);
    let listed = shell.run(&["list", "--vault", "local", "--json"]).succeeded().json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let copy = format!("{}_copy", database.name());
    let restored = shell.run(&["restore", &first, "--vault", "local", "--into", &copy, "--json"]).succeeded().json();
    assert_eq!(restored["proof"]["ok"], true);
    drop(Bed::get().server(17).await.adopt_database(&copy));
    said("push", &["push", "latest", "--from", "local", "--vault", "new", "--quiet"]);
    said("json_push", &["push", &first, "--from", "local", "--vault", "new", "--quiet", "--json", "--verify", "none"]);
    shell.run(&["verify", &first, "--vault", "new"]).succeeded();
}

#[tokio::test]
async fn what_cannot_be_copied_says_why() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let id = shell.backup(&[]);
    let refused = shell.run(&["pull", "latest", "--to", "vault"]).failed(2);
    assert!(refused.stderr.contains("to itself"), "{refused:?}");
    shell.run(&["pull", "2020", "--to", "local"]).failed(9);
    shell.run(&["push", "latest", "--from", "local"]).failed(9);
    assert!(!shell.path("local").join("format").exists(), "nothing is made for nothing");
    shell.run(&["init", "--vault", "other"]).succeeded();
    let refused = shell.run(&["pull", "latest", "--to", "other"]).failed(7);
    assert!(refused.stderr.contains("another vault"), "{refused:?}");
    shell.run(&["delete", &id, "--yes"]).succeeded();
    let refused = shell.run(&["pull", &id, "--to", "local"]).failed(7);
    assert!(refused.stderr.contains("undelete"), "{refused:?}");
}

#[tokio::test]
async fn damage_is_not_copied() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.backup(&[]);
    shell.damage_a_pack();
    let refused = shell.run(&["pull", "latest", "--to", "local", "--json"]).failed(8);
    assert_eq!(refused.json()["error"]["kind"], "verification_failed");
    assert_eq!(shell.run(&["list", "--vault", "local", "--json"]).succeeded().json(), serde_json::json!([]));
}

/// Another policy on the copy than on the original.
#[tokio::test]
async fn a_copy_is_cleaned_up_by_rules_of_its_own() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    for _ in 0..6 {
        shell.backup(&["--tier", "daily", "--verify", "quick"]);
    }
    let ids: Vec<String> = shell
        .run(&["list", "--json"])
        .succeeded()
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|backup| backup["id"].as_str().unwrap().to_owned())
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    shell.run(&[&["pull", "--to", "local", "--verify", "full"], &ids[..]].concat()).succeeded();
    shell.write("local.toml", "[tiers.daily]\nkeep_last = 3\nkeep_at_least = 1\n");
    shell.run(&["cleanup", "--vault", "local", "--config", "local.toml", "--yes"]).succeeded();
    let count = |vault: &str| {
        let listed = shell.run(&["list", "--vault", vault, "--json"]).succeeded().json();
        listed.as_array().unwrap().len()
    };
    assert_eq!((count("local"), count("vault")), (3, 6));
}
