//! The backup function.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_tests::{Bed, TestDb};
use serde_json::{Value, json};

use crate::sandbox::{Outcome, Sandbox, fresh_request_id};
use crate::stack::{Listener, Stack};

const TIMEOUT: Duration = Duration::from_secs(120);
/// Long enough to be met at work: 64 MB, read at 4 MB/s.
const ROWS: &str =
    "CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 20) AS padding FROM generate_series(1, 100000) i";
const SLOWLY: (&str, &str) = ("LIFEBOAT_DATABASES__SHOP__MAX_RATE", "4MB/s");

pub async fn shop() -> TestDb {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE orders AS SELECT i AS id, 'row ' || i AS note FROM generate_series(1, 500) i").await;
    db
}

fn daily() -> Value {
    json!({"tier": "daily", "job": "2026-11-25T02:00:00Z"})
}

/// Waits until the function says that it reads rows.
async fn until_it_reads(sandbox: &Sandbox) {
    for _ in 0..400 {
        if sandbox.log_lines().iter().any(|line| line["step"] == "rows") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never read rows: {}", sandbox.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_schedule_makes_the_vault_and_the_backup_and_its_second_delivery_makes_none() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox("backup").await;
    let made = sandbox.invoke(&daily()).await.answer();
    assert_eq!((&made["tier"], &made["rows"], &made["skipped"]), (&json!("daily"), &json!(500), &json!([])));
    let again = stack.sandbox("backup").await.invoke(&daily()).await.answer();
    assert_eq!(again["id"], made["id"]);
    let listed = stack.listed().await;
    assert_eq!((listed.len(), listed[0].id.as_str()), (1, made["id"].as_str().unwrap()));

    let lines = sandbox.log_lines();
    let backed_up = lines.iter().find(|line| line["message"] == "backed up").expect("it says so");
    assert_eq!(backed_up["span"]["backup"], made["id"]);
    assert!(backed_up["span"]["request_id"].is_string() && backed_up["span"]["database"] == "shop");
    assert_eq!(sandbox.metric("BackupSucceeded"), [1.0]);
    assert_eq!(sandbox.metric("Rows"), [500.0]);
    assert!(stack.alerts(0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_invocation_says_what_and_marks_it() {
    let db = shop().await;
    db.sql("CREATE TABLE other AS SELECT 1").await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox("backup").await;
    let event = json!({"database": "shop", "tags": {"release": "1.4"}, "tables": ["orders"]});
    let made = sandbox.invoke(&event).await.answer();
    assert_eq!((&made["tier"], &made["purpose"]), (&json!("manual"), &json!("partial")));
    assert_eq!((&made["tags"]["release"], &made["rows"]), (&json!("1.4"), &json!(500)));
    let another = sandbox.invoke(&event).await.answer();
    assert_ne!(another["id"], made["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_databases_are_an_invocation_each() {
    let db = shop().await;
    let mut stack = Stack::of(&db).await;
    stack.add_database("crm", &db.url()).await;
    let (lambda, invoked) = (Listener::new().await, Arc::new(Mutex::new(Vec::new())));
    let sandbox = stack.sandbox_with("backup", &[("AWS_ENDPOINT_URL_LAMBDA", &lambda.url())]).await;
    lambda.collect(Arc::clone(&invoked));
    let started = sandbox.invoke(&daily()).await.answer();
    assert_eq!(started, json!({"started": ["crm", "shop"], "job": "2026-11-25T02:00:00Z"}));
    let invoked = invoked.lock().unwrap().clone();
    assert!(
        invoked.iter().all(|one| one["path"].as_str().unwrap().contains("/functions/test-stack-backup/invocations"))
    );
    let events: Vec<&Value> = invoked.iter().map(|one| &one["body"]).collect();
    let event = |database: &str| json!({"tier": "daily", "database": database, "job": "2026-11-25T02:00:00Z"});
    assert_eq!(events, [&event("crm"), &event("shop")]);
    // What it sends itself is what it understands.
    assert_eq!(sandbox.invoke(events[1]).await.answer()["database"], "shop");
    assert_eq!(sandbox.invoke(events[0]).await.answer()["database"], "crm");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_cannot_be_started_are_named() {
    let db = shop().await;
    let mut stack = Stack::of(&db).await;
    stack.add_database("crm", &db.url()).await;
    let sandbox = stack.sandbox_with("backup", &[("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")]).await;
    let (kind, message) = sandbox.invoke(&daily()).await.error();
    assert_eq!(kind, "vault_unreachable");
    assert!(message.contains("the backups of crm, shop"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_delivered_twice_at_once_gives_one_backup() {
    let db = shop().await;
    db.sql(ROWS).await;
    let stack = Stack::of(&db).await;
    let (one, other) = (stack.sandbox_with("backup", &[SLOWLY]).await, stack.sandbox_with("backup", &[SLOWLY]).await);
    // The vault is there, as on every day but the first.
    one.invoke(&json!({"tables": ["orders"]})).await.answer();
    let event = daily();
    let (a, b) = tokio::join!(one.invoke(&event), other.invoke(&event));
    let (a, b) = (a.answer(), b.answer());
    let made = if a["id"].is_string() { &a } else { &b };
    let second = if a["id"].is_string() { &b } else { &a };
    assert!(second["underway_by"].as_str().unwrap().starts_with("test-stack-backup request "), "{second}");
    let daily = stack.listed().await.into_iter().filter(|backup| backup.tier.as_str() == "daily");
    let daily: Vec<String> = daily.map(|backup| backup.id.to_string()).collect();
    assert_eq!(daily, [made["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_killed_in_the_middle_succeeds_when_lambda_repeats_it() {
    let db = shop().await;
    db.sql(ROWS).await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox_with("backup", &[SLOWLY]).await;
    let (request, event) = (fresh_request_id(), daily());
    let killing = async {
        until_it_reads(&sandbox).await;
        sandbox.kill();
    };
    let (outcome, ()) = tokio::join!(sandbox.invoke_as(&request, &event, TIMEOUT), killing);
    assert_eq!(outcome, Outcome::Died);
    assert!(stack.listed().await.is_empty());
    // A second delivery cannot know whether the first is dead, and leaves the work to it.
    let other = stack.sandbox("backup").await.invoke(&event).await.answer();
    assert!(other["underway_by"].as_str().unwrap().ends_with(&request), "{other}");
    let made = sandbox.invoke_as(&request, &event, TIMEOUT).await.answer();
    assert_eq!(made["rows"], 100_500);
    assert_eq!(stack.listed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_fetched_anew() {
    let db = shop().await;
    let role = format!("{}_rotating", db.name());
    let create = format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'before-rotation'");
    db.server().sql_exclusively("postgres", &create).await;
    let url = |password: &str| db.url_as(&role).replace(db.server().password(), password);
    let mut stack = Stack::new().await;
    stack.add_database("shop", &url("before-rotation")).await;
    let sandbox = stack.sandbox("backup").await;
    sandbox.invoke(&json!({})).await.answer();
    db.sql(&format!("ALTER ROLE {role} PASSWORD 'after-rotation'")).await;
    stack.set_secret("shop", &url("after-rotation")).await;
    sandbox.invoke(&json!({})).await.answer();
    assert_eq!(stack.listed().await.len(), 2);
    assert!(!sandbox.log().contains("-rotation"));
    db.server().sql_exclusively("postgres", &format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_a_critical_alert_and_the_retry_succeeds() {
    let mut server = Bed::get().private_server(17, &[]).await;
    let db = server.create_database().await;
    db.sql("CREATE TABLE orders AS SELECT 1 AS id").await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox("backup").await;
    let name = db.name().to_owned();
    std::mem::forget(db);
    server.stop(lifeboat_tests::Stop::Fast).await;
    let filter = json!({"severity": ["critical"], "kind": ["backup_failed"], "database": ["shop"]});
    let (filtered, others) = (stack.subscribe(&filter).await, stack.subscribe(&json!({"severity": ["info"]})).await);
    let request = fresh_request_id();
    let (kind, message) = sandbox.invoke_as(&request, &daily(), TIMEOUT).await.error();
    assert_eq!(kind, "database_unreachable");
    assert!(message.contains("refused"), "{message}");
    assert_eq!(sandbox.metric("BackupSucceeded"), [0.0]);
    let lines = sandbox.log_lines();
    let failed = lines.iter().find(|line| line["level"] == "ERROR").expect("it says so");
    assert_eq!((&failed["span"]["request_id"], &failed["kind"]), (&json!(request), &json!("database_unreachable")));

    let alerts = stack.alerts(1).await;
    let alert = &alerts[0]["body"];
    assert_eq!(alert["Subject"], "[CRITICAL] test-stack: backup of shop failed: database unreachable");
    assert_eq!((filtered.lock().unwrap().len(), others.lock().unwrap().len()), (1, 0));
    let told: Value = serde_json::from_str(alert["Message"].as_str().unwrap()).unwrap();
    assert_eq!((&told["database"], &told["text"]), (&json!("shop"), &json!(message)));
    assert_eq!((&told["kind"], &told["severity"]), (&json!("backup_failed"), &json!("critical")));
    assert_eq!(told["facts"]["request_id"], json!(request));

    server.start_again(&[]).await;
    stack.set_secret("shop", &server.url(&name, "postgres")).await;
    // Its port may be another one now, and a new sandbox knows nothing of the old.
    let made = stack.sandbox("backup").await.invoke_as(&request, &daily(), TIMEOUT).await.answer();
    assert_eq!(made["rows"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_that_cannot_be_sent_are_logged_and_counted() {
    let stack = {
        let mut stack = Stack::new().await;
        stack.add_database("shop", "postgres://nobody@127.0.0.1:9/shop?sslmode=disable").await;
        stack
    };
    let sandbox = stack.sandbox_with("backup", &[("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")]).await;
    let (kind, _) = sandbox.invoke(&daily()).await.error();
    assert_eq!(kind, "database_unreachable");
    assert_eq!(sandbox.metric("AlertFailed"), [1.0]);
    let lines = sandbox.log_lines();
    assert!(
        lines.iter().any(|line| line["message"] == "an alert was not sent" && line["level"] == "ERROR"),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_too_short_ends_the_work_cleanly_and_says_so() {
    let db = shop().await;
    db.sql(ROWS).await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox_with("backup", &[SLOWLY]).await;
    // Ten seconds of it are kept for the end.
    let (kind, message) = sandbox.invoke_as(&fresh_request_id(), &daily(), Duration::from_secs(14)).await.error();
    assert_eq!(kind, "out_of_time");
    assert!(message.contains("deadline"), "{message}");
    assert!(stack.listed().await.is_empty());
    assert_eq!(stack.alerts(1).await.len(), 1);
    // The same sandbox goes on.
    assert_eq!(sandbox.invoke(&json!({"tables": ["orders"]})).await.answer()["rows"], 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_moved_goes_on_under_its_name_once_somebody_says_so() {
    let (db, moved) = (shop().await, shop().await);
    let stack = Stack::of(&db).await;
    stack.sandbox("backup").await.invoke(&json!({})).await.answer();
    stack.set_secret("shop", &moved.url()).await;
    let sandbox = stack.sandbox("backup").await;
    let (kind, message) = sandbox.invoke(&daily()).await.error();
    assert_eq!(kind, "conflict");
    assert!(message.contains("adopt"), "{message}");
    sandbox.invoke(&json!({"adopt": true})).await.answer();
    sandbox.invoke(&daily()).await.answer();
    assert_eq!(stack.listed().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kms_key_may_stand_in_the_master_keys_place() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let (key, other) = (stack.kms_key().await, stack.kms_key().await);
    let with = |key: &str| [("LIFEBOAT_MASTER_KEY_SECRET", String::new()), ("LIFEBOAT_KMS_KEY", key.to_owned())];
    let sandbox = async |function: &str, key: &str| {
        let variables = with(key);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        stack.sandbox_with(function, &variables).await
    };
    let made = sandbox("backup", &key).await.invoke(&daily()).await.answer();
    let proven = sandbox("validate", &key).await.invoke(&json!({})).await.answer();
    assert_eq!((&proven["verified"][0]["id"], &proven["verified"][0]["ok"]), (&made["id"], &json!(true)));
    assert!(matches!(sandbox("validate", &other).await.invoke(&json!({})).await, Outcome::Error(..)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_below_its_floor_is_kept_and_is_a_failure() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let settings = "[databases.shop]\nfloor = { rows = 501 }";
    let sandbox = stack.sandbox_with("backup", &[("LIFEBOAT_FUNCTION_SETTINGS", settings)]).await;
    let (kind, message) = sandbox.invoke(&daily()).await.error();
    assert_eq!(kind, "verification_failed");
    assert!(message.contains("500 rows"), "{message}");
    assert_eq!(stack.listed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_stack_is_an_answer_and_not_a_crash() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    for (variable, value, kind, told) in [
        ("LIFEBOAT_FUNCTION_CREATE_VAULT", "false", "not_found", "there is no vault"),
        ("LIFEBOAT_VAULT", "s3://there-is-no-such-bucket-at-all", "not_found", "there-is-no-such-bucket-at-all"),
        ("LIFEBOAT_VAULT", "", "configuration", "no vault"),
        ("LIFEBOAT_FUNCTION_SETTINGS", "[databases.shop]\njbos = 3", "configuration", "jbos"),
        ("LIFEBOAT_FUNCTION_DATABASES", "shop,crm", "configuration", "LIFEBOAT_FUNCTION_DATABASE_SECRETS"),
        ("LIFEBOAT_FUNCTION_DATABASE_SECRETS", "no-such-secret", "configuration", "no-such-secret"),
        ("LIFEBOAT_MASTER_KEY_SECRET", "no-such-key", "configuration", "no-such-key"),
    ] {
        let sandbox = stack.sandbox_with("backup", &[(variable, value)]).await;
        let (found, message) = sandbox.invoke(&daily()).await.error();
        assert_eq!(found, kind, "{variable}: {message}");
        assert!(message.contains(told), "{variable}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_understood_changes_nothing() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let sandbox = stack.sandbox("backup").await;
    let long = "j".repeat(65);
    for (event, told) in [
        (json!({"teir": "daily"}), "teir"),
        (json!({"tier": 5}), "tier"),
        (json!({"tier": "Daily!"}), "Daily!"),
        (json!({"tables": "orders"}), "string"),
        (json!({"job": long}), "64"),
        (json!([]), "event"),
        (json!("daily"), "event"),
    ] {
        let (kind, message) = sandbox.invoke(&event).await.error();
        assert_eq!(kind, "usage", "{event}: {message}");
        assert!(message.contains(told), "{event}: {message}");
    }
    assert_eq!(sandbox.invoke(&json!({"database": "shoop"})).await.error().0, "configuration");
    let objects = stack.s3().list_objects_v2().bucket(&stack.bucket).send().await.unwrap();
    assert_eq!(objects.key_count(), Some(0));
}
