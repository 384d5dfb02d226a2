//! `stats`, as people and scripts read it.

use crate::shell::{Shell, small_database};

#[tokio::test]
async fn what_backups_share_is_counted_once_and_what_is_freed_is_told_before() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    assert_eq!(shell.run(&["stats", "--json"]).succeeded().json(), serde_json::json!([]));
    let first = shell.backup(&["--tier", "daily"]);
    database.sql("CREATE TABLE later AS SELECT 1 AS one").await;
    let second = shell.backup(&["--tier", "weekly"]);
    let stats = || shell.run(&["stats", "--json"]).succeeded().json()[0].clone();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let before = stats();
    assert_eq!(before["backups"][0]["id"], second.as_str());
    assert_eq!(before["backups"][1]["id"], first.as_str());
    // They share the rows of before; what describes them differs.
    for backup in before["backups"].as_array().unwrap() {
        assert!(number(&backup["shared_bytes"]) > 0 && number(&backup["unique_bytes"]) > 0, "{before:#}");
    }
    assert!(before["total"]["dedup_ratio"].as_f64().unwrap() > 1.0, "{before:#}");
    assert_eq!(before["tiers"].as_array().unwrap().len(), 2);

    let said = shell.run(&["stats"]).succeeded().stdout;
    assert!(said.contains(&first) && said.contains("weekly") && said.contains("sharing"), "{said}");

    let freed = number(&before["backups"][1]["unique_bytes"]);
    shell.run(&["delete", &first, "--yes"]).succeeded();
    let after = stats();
    assert_eq!(number(&before["total"]["stored_bytes"]) - freed, number(&after["total"]["stored_bytes"]));
    assert_eq!(number(&after["backups"][0]["shared_bytes"]), 0);
}

#[tokio::test]
async fn a_backup_that_cannot_be_read_is_told_and_hides_no_other() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let first = shell.backup(&[]);
    let second = shell.backup(&[]);
    let databases = std::fs::read_dir(shell.path("vault/databases")).unwrap();
    let folder = databases.map(|entry| entry.unwrap().path()).next().unwrap();
    let manifest = folder.join(format!("backups/{second}/manifest.json"));
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, "{}").unwrap();
    let said = shell.run(&["stats", "--json"]).failed(8);
    let stats = &said.json()[0];
    assert_eq!(stats["total"]["backups"], 1);
    assert_eq!(stats["backups"][0]["id"], first.as_str());
    assert_eq!(stats["problems"][0]["object"], second.as_str());
    assert!(said.stderr.contains(&second), "{said:?}");
}
