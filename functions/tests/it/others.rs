//! The functions for cleanup and for the watch.

use serde_json::json;

use crate::backup::shop;
use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_lets_go_of_what_no_rule_wants_and_waits_for_a_word_when_that_is_most() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let (backup, validate) = (stack.sandbox("backup").await, stack.sandbox("validate").await);
    for _ in 0..6 {
        let made = backup.invoke(&json!({"tier": "daily"})).await.answer();
        validate.invoke(&json!({"id": made["id"]})).await.answer();
    }
    // The store counts whole seconds, and what is newer than its time takes no other's place.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let keep = |number| [("LIFEBOAT_TIERS__DAILY__KEEP_LAST", number), ("LIFEBOAT_TIERS__DAILY__KEEP_AT_LEAST", "1")];
    let outcomes = |answer: &serde_json::Value, wanted: &str| {
        let decisions = answer["databases"][0]["decisions"].as_array().unwrap().clone();
        decisions.iter().filter(|decision| decision["outcome"] == wanted).count()
    };
    let sandbox = stack.sandbox_with("cleanup", &keep("5")).await;
    let dry = sandbox.invoke(&json!({"dry_run": true})).await.answer();
    assert_eq!((outcomes(&dry, "keep"), outcomes(&dry, "expire"), stack.listed().await.len()), (5, 1, 6));
    let answer = sandbox.invoke(&json!({})).await.answer();
    assert_eq!(answer["databases"][0]["sweep"]["waiting"].as_array().unwrap().len(), 1);
    assert_eq!(stack.listed().await.len(), 5);
    assert_eq!(sandbox.metric("FreedBytes"), [0.0]);
    let again = sandbox.invoke(&json!({"database": "shop"})).await.answer();
    assert_eq!((outcomes(&again, "expire"), outcomes(&again, "leaving")), (0, 1));

    let sandbox = stack.sandbox_with("cleanup", &keep("1")).await;
    assert_eq!(sandbox.invoke(&json!({})).await.error().0, "confirmation_needed");
    let alerts = stack.alerts(1).await;
    let told =
        alerts.iter().any(|alert| alert["body"]["Message"].as_str().unwrap().contains(r#""kind":"cleanup_refused""#));
    assert!(told, "{alerts:?}");
    assert_eq!(sandbox.invoke(&json!({"confirm_expiring": 4})).await.error().0, "usage");
    let miscounted = json!({"database": "shop", "confirm_expiring": 3});
    assert_eq!(sandbox.invoke(&miscounted).await.error().0, "confirmation_needed");
    assert_eq!(stack.listed().await.len(), 5);
    sandbox.invoke(&json!({"database": "shop", "confirm_expiring": 4})).await.answer();
    assert_eq!(stack.listed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_of_one_backup_keeps_it_and_says_why() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let made = stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
    // The store tells its time in whole seconds: what was made within this one seems to be of the future.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let sandbox = stack.sandbox("cleanup").await;
    for event in [json!({}), json!({"dry_run": true}), json!({"database": "shop"})] {
        let answer = sandbox.invoke(&event).await.answer();
        let kept = &answer["databases"][0]["decisions"][0];
        assert_eq!((&kept["backup"], &kept["tier"], &kept["outcome"]), (&made["id"], &json!("daily"), &json!("keep")));
        assert_eq!(kept["reasons"][0]["because"], "unverified");
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
