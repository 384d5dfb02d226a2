//! The validation function.

use lifeboat::model::Depth;
use lifeboat::ops::audit::audit;
use lifeboat::plan::audit::AuditFilter;
use lifeboat_tests::{Bed, TestDb};
use serde_json::{Value, json};

use crate::backup::shop;
use crate::sandbox::Sandbox;
use crate::stack::{PREFIX, Stack};

/// A stack with a backup, and the backup's id.
async fn backed_up() -> (TestDb, Stack, String) {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let id = back_up(&stack).await;
    (db, stack, id)
}

async fn back_up(stack: &Stack) -> String {
    let made = stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
    made["id"].as_str().unwrap().to_owned()
}

/// Flips a bit in the middle of the largest pack.
async fn damage(stack: &Stack) {
    let prefix = format!("{PREFIX}/databases/shop/pool/");
    let listed = stack.s3().list_objects_v2().bucket(&stack.bucket).prefix(prefix).send().await.unwrap();
    let pack = listed.contents().iter().max_by_key(|object| object.size()).unwrap().key().unwrap().to_owned();
    let object = stack.s3().get_object().bucket(&stack.bucket).key(&pack).send().await.unwrap();
    let mut bytes = object.body.collect().await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    stack.s3().put_object().bucket(&stack.bucket).key(&pack).body(bytes.into()).send().await.unwrap();
}

async fn verdict(stack: &Stack, id: &str) -> Option<(Depth, bool)> {
    let listed = stack.listed().await;
    let backup = listed.iter().find(|backup| backup.id.as_str() == id).unwrap();
    backup.verified.as_ref().map(|verdict| (verdict.depth, verdict.ok))
}

fn depths(answer: &Value) -> Vec<&str> {
    answer["verified"].as_array().unwrap().iter().map(|report| report["depth"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_news_of_a_manifest_becomes_a_verdict_in_either_form_and_once() {
    let (_db, stack, id) = backed_up().await;
    let sandbox = stack.sandbox("validate").await;
    let key = Stack::manifest_key("shop", &id);
    let answer = sandbox.invoke(&stack.notification(&[&key])).await.answer();
    assert_eq!((depths(&answer), &answer["verified"][0]["id"]), (vec!["full"], &json!(id)));
    assert_eq!(verdict(&stack, &id).await, Some((Depth::Full, true)));
    assert_eq!(sandbox.metric("VerificationFailed"), [0.0]);

    // Delivered again, in the other form, and as the stand-ins spell keys.
    for event in [stack.forwarded(&key), stack.notification(&[&key.replace('/', "%2F")])] {
        let again = sandbox.invoke(&event).await.answer();
        assert_eq!(again["verified"][0]["at"], answer["verified"][0]["at"], "it was not verified twice");
    }
    assert_eq!(sandbox.metric("VerificationFailed").len(), 1);
    assert!(stack.alerts(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_to_hear_of_success_does() {
    let (_db, stack, id) = backed_up().await;
    let sandbox = stack.sandbox_with("validate", &[("LIFEBOAT_FUNCTION_NOTIFY_SUCCESS", "true")]).await;
    sandbox.invoke(&stack.notification(&[&Stack::manifest_key("shop", &id)])).await.answer();
    let alerts = stack.alerts(1).await;
    assert_eq!(alerts[0]["body"]["Subject"], format!("[INFO] test-stack: backup {id} of shop is proven"));
    assert_eq!(sandbox.metric("AlertFailed"), [0.0]);
    // A topic that is gone costs the message, not the verdict.
    let deaf = [("LIFEBOAT_FUNCTION_NOTIFY_SUCCESS", "true"), ("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")];
    let sandbox = stack.sandbox_with("validate", &deaf).await;
    sandbox.invoke(&json!({"id": id, "depth": "quick"})).await.answer();
    assert_eq!(sandbox.metric("AlertFailed"), [1.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_manifest_of_ours_is_ignored() {
    let (_db, stack, id) = backed_up().await;
    let sandbox = stack.sandbox("validate").await;
    let gone = Stack::manifest_key("shop", "20200101T000000Z-daily-aaaa");
    let unknown = Stack::manifest_key("crm", &id);
    let keys = [
        format!("{PREFIX}/databases/shop/pool/ab/cd"),
        format!("databases/shop/backups/{id}/manifest.json"),
        "a+b%ff".to_owned(),
        gone,
        unknown,
    ];
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let answer = sandbox.invoke(&stack.notification(&keys)).await.answer();
    assert_eq!(answer["verified"], json!([]));
    assert_eq!(answer["ignored"].as_array().unwrap().len(), keys.len());
    let ignored = sandbox
        .log_lines()
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|m| m.starts_with("ignored")))
        .count();
    assert_eq!(ignored, keys.len());

    let mut elsewhere = stack.notification(&[&Stack::manifest_key("shop", &id)]);
    elsewhere["Records"][0]["s3"]["bucket"]["name"] = json!("another-bucket");
    let mut removed = stack.notification(&[&Stack::manifest_key("shop", &id)]);
    removed["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": stack.bucket, "RequestId": "EXAMPLE"});
    for event in [elsewhere, removed, test] {
        assert_eq!(sandbox.invoke(&event).await.answer()["verified"], json!([]));
    }
    assert_eq!(verdict(&stack, &id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_of_a_batch_is_the_one_that_is_told() {
    let (db, stack, good) = backed_up().await;
    db.sql("CREATE TABLE more AS SELECT repeat(md5(i::text), 30) AS text FROM generate_series(1, 4000) i").await;
    let bad = back_up(&stack).await;
    damage(&stack).await;
    let sandbox = stack.sandbox("validate").await;
    let keys = [Stack::manifest_key("shop", &bad), Stack::manifest_key("shop", &good)];
    let event = stack.notification(&[&keys[0], &keys[1]]);
    let (kind, message) = sandbox.invoke(&event).await.error();
    assert_eq!(kind, "verification_failed");
    assert!(message.contains(&bad) && !message.contains(&good), "{message}");
    assert_eq!(verdict(&stack, &bad).await, Some((Depth::Full, false)));
    assert_eq!(verdict(&stack, &good).await, Some((Depth::Full, true)));
    assert_eq!(sandbox.metric("VerificationFailed"), [1.0, 0.0]);
    let alerts = stack.alerts(1).await;
    let told = alerts[0]["body"]["Message"].as_str().unwrap();
    assert!(told.contains(r#""kind":"verification_failed""#) && told.contains(&bad), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_may_ask_for_a_backup_and_a_depth() {
    let (_db, stack, id) = backed_up().await;
    let sandbox = stack.sandbox("validate").await;
    let answer = async |event: Value| sandbox.invoke(&event).await.answer();
    assert_eq!(depths(&answer(json!({})).await), ["full"]);
    assert_eq!(depths(&answer(json!({"id": &id[..11], "depth": "quick"})).await), ["quick"]);
    let random = answer(json!({"pick": "random", "tier": "daily", "depth": "quick"})).await;
    assert_eq!(random["verified"][0]["id"], id.as_str());
    let none = answer(json!({"pick": "random", "tier": "monthly", "depth": "restore"})).await;
    assert_eq!(none, json!({"verified": [], "ignored": []}));
    for (event, kind) in [
        (json!({"id": "20200101"}), "not_found"),
        (json!({"depth": "deep"}), "usage"),
        (json!({"pick": "best"}), "usage"),
        (json!({"Records": 5}), "usage"),
        (json!({"source": "aws.s3", "detail": {}}), "usage"),
        (json!({"id": id, "depth": "restore"}), "configuration"),
    ] {
        assert_eq!(sandbox.invoke(&event).await.error().0, kind, "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_proves_it_on_the_server_for_restores() {
    let (_db, mut stack, _) = backed_up().await;
    let elsewhere = Bed::get().server(18).await;
    stack.add_database("scratch", &elsewhere.admin_url()).await;
    let secret = format!("{}/scratch", stack.bucket);
    let sandbox: Sandbox = stack.sandbox_with("validate", &[("LIFEBOAT_FUNCTION_RESTORE_SECRET", &secret)]).await;
    let event = json!({"pick": "random", "tier": "daily", "depth": "restore"});
    assert_eq!(depths(&sandbox.invoke(&event).await.answer()), ["restore"]);
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'lifeboat%'";
    let left: i64 = elsewhere.client("postgres").await.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_is_reported_measured_and_told() {
    let (_db, stack, id) = backed_up().await;
    let elsewhere = Bed::get().private_server(17, &[]).await;
    let server = elsewhere.admin_url();
    let settings = "[drill]\ntargets = { rto = \"1h\", rpo = \"1h\" }\n\
                    [drill.assertions.orders]\nsql = \"SELECT count(*) > 0 FROM orders\"\n";
    let variables = [
        ("SCRATCH", server.as_str()),
        ("LIFEBOAT_DRILL__SERVER", "env:SCRATCH"),
        ("LIFEBOAT_FUNCTION_SETTINGS", settings),
        ("LIFEBOAT_FUNCTION_NOTIFY_SUCCESS", "true"),
    ];
    let sandbox = stack.sandbox_with("validate", &variables).await;
    for event in [json!({"drill": true, "pick": "random", "tier": "daily"}), json!({"each_tier": true})] {
        let answer = sandbox.invoke(&event).await.answer();
        let drilled = answer["drilled"].as_array().unwrap();
        assert_eq!(drilled.len(), 1, "{answer}");
        assert_eq!((&drilled[0]["backup"], &drilled[0]["ok"]), (&json!(id), &json!(true)), "{answer}");
    }
    assert_eq!((sandbox.metric("RTO").len(), sandbox.metric("RPO").len()), (2, 2));
    assert_eq!(sandbox.metric("DrillFailed"), [0.0, 0.0]);
    assert_eq!(verdict(&stack, &id).await, Some((Depth::Restore, true)));
    let alerts = stack.alerts(2).await;
    assert_eq!(alerts[0]["body"]["Subject"], "[INFO] test-stack: shop: the restore drill passed");
    let db = stack.vault().await.database(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(db.drills().await.unwrap().0.len(), 2);

    // On a server that was backed up, and with an assertion that does not hold.
    let own =
        stack.sandbox_with("validate", &[("SCRATCH", &_db.url()), ("LIFEBOAT_DRILL__SERVER", "env:SCRATCH")]).await;
    let (kind, _) = own.invoke(&json!({"drill": true, "id": id})).await.error();
    assert_eq!(kind, "preflight_refused");
    let wrong = settings.replace("count(*) > 0", "count(*) < 0");
    let variables = [variables[0], variables[1], ("LIFEBOAT_FUNCTION_SETTINGS", wrong.as_str())];
    let sandbox = stack.sandbox_with("validate", &variables).await;
    let (kind, message) = sandbox.invoke(&json!({"drill": true, "id": id})).await.error();
    assert_eq!(kind, "verification_failed");
    assert!(message.contains("assertion orders: it is not true"), "{message}");
    assert_eq!(sandbox.metric("DrillFailed"), [1.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_tells_the_audit_trail() {
    let (db, stack, id) = backed_up().await;
    stack.sandbox("validate").await.invoke(&json!({"id": id})).await.answer();
    stack.sandbox("cleanup").await.invoke(&json!({"dry_run": true})).await.answer();
    stack.sandbox("cleanup").await.invoke(&json!({})).await.answer();
    let into = format!("{}_copy", db.name());
    stack.sandbox("restore").await.invoke(&json!({"id": id, "into": into})).await.answer();
    drop(db.server().adopt_database(&into));
    let trail = audit(&stack.vault().await, &AuditFilter::default(), true).await.unwrap();
    let told: Vec<String> =
        trail.entries.iter().map(|entry| format!("{} {}", entry.deed.operation, entry.deed.status.as_str())).collect();
    assert_eq!(
        told,
        [
            "init done",
            "backup done",
            "verify done",
            "cleanup announced",
            "cleanup done",
            "restore announced",
            "restore done"
        ]
    );
    assert_eq!(trail.findings, Some(vec![]));
    let backup = &trail.entries[1].deed;
    assert!(backup.actor.starts_with("test-stack-backup request "), "{}", backup.actor);
    assert_eq!(backup.backup.as_ref().unwrap().as_str(), id);
}
