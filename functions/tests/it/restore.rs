//! The restore function.

use lifeboat_tests::TestDb;
use serde_json::{Value, json};

use crate::backup::shop;
use crate::sandbox::{Sandbox, fresh_request_id};
use crate::stack::Stack;

struct Site {
    db: TestDb,
    stack: Stack,
    id: String,
    sandbox: Sandbox,
}

impl Site {
    async fn new() -> Self {
        let db = shop().await;
        let stack = Stack::of(&db).await;
        let made = stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
        let sandbox = stack.sandbox("restore").await;
        Self { db, stack, id: made["id"].as_str().unwrap().to_owned(), sandbox }
    }

    /// The restore that replaces the database, confirmed by a token or not.
    fn replace(&self, token: Option<&Value>) -> Value {
        let mut event = json!({"id": self.id, "into": self.db.name(), "clean": true});
        token.inspect(|token| event["token"] = (*token).clone());
        event
    }

    async fn rows(&self) -> i64 {
        self.db.client().await.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0)
    }

    async fn lose_rows(&self) {
        self.db.sql("DELETE FROM orders WHERE id > 100").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_needs_no_token() {
    let site = Site::new().await;
    let copy = site.db.server().adopt_database(&format!("{}_copy", site.db.name()));
    let event = json!({"id": "latest", "into": copy.name()});
    let restored = site.sandbox.invoke(&event).await.answer();
    assert_eq!((&restored["proof"]["ok"], &restored["target"]), (&json!(true), &json!(copy.name())));
    assert_eq!((&restored["rows"], &restored["id"]), (&json!(500), &json!(site.id)));
    // Now that it is there, the same is another matter.
    let (kind, message) = site.sandbox.invoke(&event).await.error();
    assert_eq!(kind, "conflict");
    assert!(message.contains("not empty"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_a_database_is_planned_first_and_done_with_the_plans_token() {
    let site = Site::new().await;
    site.lose_rows().await;
    let planned = site.sandbox.invoke(&site.replace(None)).await.answer();
    assert_eq!((&planned["plan"]["action"], &planned["plan"]["target"]), (&json!("replace"), &json!(site.db.name())));
    assert!(planned["token"].is_string() && planned["expires_at"].is_string(), "{planned}");
    assert_eq!(site.rows().await, 100, "a plan changes nothing");

    let restored = site.sandbox.invoke(&site.replace(Some(&planned["token"]))).await.answer();
    assert_eq!(restored["proof"]["ok"], true);
    assert_eq!(site.rows().await, 500);
    let listed = site.stack.listed().await;
    assert!(listed.iter().any(|backup| backup.tier.as_str() == "safety" && backup.rows == 100), "{listed:?}");

    // The token was for the database that is gone now, and is used up.
    site.lose_rows().await;
    let (kind, message) = site.sandbox.invoke(&site.replace(Some(&planned["token"]))).await.error();
    assert_eq!(kind, "confirmation_needed");
    assert!(message.contains("used already"), "{message}");
    assert_eq!(site.rows().await, 100);
    assert!(site.stack.alerts(0).await.is_empty(), "whoever made the mistake was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_anything_else_confirms_nothing() {
    let site = Site::new().await;
    site.lose_rows().await;
    let planned = site.sandbox.invoke(&site.replace(None)).await.answer();
    let token = planned["token"].as_str().unwrap();
    let refused = async |event: Value, why: &str| {
        let (kind, message) = site.sandbox.invoke(&event).await.error();
        assert_eq!(kind, "confirmation_needed", "{event}");
        assert!(message.contains(why), "{event}: {message}");
        assert_eq!(site.rows().await, 100, "{event}");
    };
    let with = |token: &str| site.replace(Some(&json!(token)));
    refused(with(""), "not a confirmation token").await;
    refused(with("r1.1.abc"), "not a confirmation token").await;
    let (head, mac) = token.rsplit_once('.').unwrap();
    let flipped = if mac.starts_with('0') { "1" } else { "0" };
    refused(with(&format!("{head}.{flipped}{}", &mac[1..])), "not given for this plan").await;
    // Its time cannot be prolonged either.
    let later = format!("r1.{}.{mac}", head.strip_prefix("r1.").unwrap().parse::<u64>().unwrap() + 60);
    refused(with(&later), "not given for this plan").await;
    let mut other = with(token);
    other["safety_backup"] = json!(false);
    refused(other, "not given for this plan").await;
    let mut other = with(token);
    other["no_owner"] = json!(true);
    refused(other, "not given for this plan").await;

    // Somebody put another database in its place meanwhile.
    let server = site.db.server().clone();
    let name = site.db.name();
    let swap = [format!("DROP DATABASE {name} WITH (FORCE)"), format!("CREATE DATABASE {name} TEMPLATE template0")];
    for statement in swap {
        server.sql("postgres", &statement).await;
    }
    site.db.sql("CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 100) i").await;
    refused(with(token), "not given for this plan").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_into_a_database_that_is_in_use_need_a_token_too() {
    let site = Site::new().await;
    site.db.sql("CREATE TABLE kept AS SELECT 1 AS id; DROP TABLE orders").await;
    let event = |token: Value| json!({"id": "latest", "into": site.db.name(), "tables": ["orders"], "token": token});
    let planned = site.sandbox.invoke(&event(Value::Null)).await.answer();
    assert_eq!(planned["plan"]["action"], "add");
    assert_eq!(site.sandbox.invoke(&event(planned["token"].clone())).await.answer()["proof"]["ok"], true);
    assert_eq!(site.rows().await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_only_plans() {
    let site = Site::new().await;
    let event = json!({"id": "latest", "dry_run": true});
    let planned = site.sandbox.invoke(&event).await.answer();
    assert_eq!((&planned["plan"]["action"], &planned["token"]), (&json!("create"), &Value::Null));
    let target = planned["plan"]["target"].as_str().unwrap();
    let exists = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let row = site.db.client().await.query_one(exists, &[&target]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_restore_that_was_killed_goes_on_when_lambda_repeats_it() {
    let site = Site::new().await;
    // A second restore meets the index build of the first only if that takes a while.
    site.db.sql("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS text FROM generate_series(1, 200000) i").await;
    let made = site.stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
    site.lose_rows().await;
    let event = |token: Option<&Value>| {
        let mut event = json!({"id": made["id"], "into": site.db.name(), "clean": true, "safety_backup": false});
        token.inspect(|token| event["token"] = (*token).clone());
        event
    };
    let planned = site.sandbox.invoke(&event(None)).await.answer();
    let confirmed = event(Some(&planned["token"]));
    let request = fresh_request_id();
    let timeout = std::time::Duration::from_secs(120);
    let killing = async {
        while !site.sandbox.log_lines().iter().any(|line| line["step"] == "rows") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        site.sandbox.kill();
    };
    let (outcome, ()) = tokio::join!(site.sandbox.invoke_as(&request, &confirmed, timeout), killing);
    if outcome == crate::sandbox::Outcome::Died {
        assert_eq!(site.rows().await, 100, "what is to be replaced is untouched until the new one is proven");
        // The token is this request's alone.
        assert_eq!(site.sandbox.invoke(&confirmed).await.error().0, "confirmation_needed");
        let restored = site.sandbox.invoke_as(&request, &confirmed, timeout).await.answer();
        assert_eq!(restored["proof"]["ok"], true);
    }
    assert_eq!(site.rows().await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_understood_changes_nothing() {
    let site = Site::new().await;
    for (event, kind) in [
        (json!({}), "usage"),
        (json!({"id": "latest", "itno": "x"}), "usage"),
        (json!({"id": "latest", "schema_only": true, "data_only": true}), "usage"),
        (json!({"id": "latest", "jobs": 0}), "usage"),
        (json!({"id": "20200101"}), "not_found"),
        (json!({"id": "latest", "database": "crm"}), "not_found"),
    ] {
        assert_eq!(site.sandbox.invoke(&event).await.error().0, kind, "{event}");
    }
}
