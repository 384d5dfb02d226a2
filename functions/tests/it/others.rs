//! The functions for cleanup and for the watch.

use serde_json::json;

use crate::backup::shop;
use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_says_of_every_backup_whether_it_stays_and_changes_nothing() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let made = stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
    let sandbox = stack.sandbox("cleanup").await;
    for event in [json!({}), json!({"dry_run": true}), json!({"database": "shop"})] {
        let answer = sandbox.invoke(&event).await.answer();
        assert_eq!((&answer["expire"], &answer["deleted_bytes"]), (&json!([]), &json!(0)));
        let keep = &answer["keep"][0];
        assert_eq!((&keep["id"], &keep["tier"]), (&made["id"], &json!("daily")));
        assert_eq!(keep["reasons"].as_array().unwrap().len(), 1);
    }
    assert_eq!(stack.listed().await.len(), 1);
    assert_eq!(sandbox.invoke(&json!({"dry_rnu": true})).await.error().0, "usage");
    assert_eq!(sandbox.invoke(&json!({"database": "crm"})).await.error().0, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_measures_the_age_of_backups_and_of_proofs() {
    let db = shop().await;
    let mut stack = Stack::of(&db).await;
    let made = stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
    stack.sandbox("backup").await.invoke(&json!({"tables": ["orders"]})).await.answer();
    // A database that nobody ever backed up is as late as the vault is old.
    stack.add_database("crm", &db.url()).await;
    let sandbox = stack.sandbox("watch").await;
    let answer = sandbox.invoke(&json!({})).await.answer();
    let (crm, shop) = (&answer["databases"][0], &answer["databases"][1]);
    assert_eq!((&crm["database"], &crm["last_backup_at"]), (&json!("crm"), &json!(null)));
    assert_eq!((&shop["last_backup_at"], &shop["last_verified_at"]), (&made["created_at"], &json!(null)));
    assert_eq!((&crm["late"], &shop["late"]), (&json!(false), &json!(false)));
    assert!(sandbox.metric("LastBackupAge").iter().all(|age| (0.0..600.0).contains(age)));
    assert_eq!(sandbox.metric("LastVerifiedAge").len(), 2);

    stack.sandbox("validate").await.invoke(&json!({"id": made["id"]})).await.answer();
    let answer = sandbox.invoke(&json!({})).await.answer();
    assert_eq!(answer["databases"][1]["last_verified_at"], made["created_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_cannot_look_says_so() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox("watch").await;
    assert_eq!(sandbox.invoke(&json!({})).await.error().0, "not_found");
    let alerts = stack.alerts(1).await;
    assert!(alerts[0]["body"]["Message"].as_str().unwrap().contains(r#""kind":"watch_failed""#), "{alerts:?}");
    assert_eq!(sandbox.invoke(&json!({"now": true})).await.error().0, "usage");
    let empty = Stack::new().await;
    assert_eq!(empty.sandbox("watch").await.invoke(&json!({})).await.error().0, "configuration");
}
