//! What alarms and the dashboard look at is what the functions send.

use std::collections::BTreeSet;

use lifeboat_tests::Bed;
use serde_json::json;

use crate::backup::shop;
use crate::sandbox::Sandbox;
use crate::stack::Stack;

/// Of our own namespace.
fn named_in_the_template() -> BTreeSet<String> {
    let template = include_str!("../../../template.yaml");
    let words = |text: &str| text.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
    let after = |mark: &str| template.split(mark).skip(1).map(words).collect::<Vec<_>>();
    let alarms = template.split("Namespace: Lifeboat\n").skip(1);
    let of_alarms = alarms.map(|rest| words(rest.trim_start().trim_start_matches("MetricName: ")));
    let of_searches = after("MetricName=\\\"");
    let of_rows = after("[\"Lifeboat\", \"");
    of_alarms.chain(of_searches).chain(of_rows).collect()
}

fn sent(sandbox: &Sandbox) -> BTreeSet<String> {
    let lines = sandbox.log_lines();
    let sets = lines.iter().filter_map(|line| line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array());
    sets.flatten().map(|metric| metric["Name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_the_template_names_is_sent() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let elsewhere = Bed::get().private_server(17, &[]).await;
    let server = elsewhere.admin_url();
    let drills = [("SCRATCH", server.as_str()), ("LIFEBOAT_DRILL__SERVER", "env:SCRATCH")];
    let mut all = BTreeSet::new();
    for (function, event) in [
        ("backup", json!({"tier": "daily"})),
        ("validate", json!({"id": "latest"})),
        ("validate", json!({"drill": true, "id": "latest"})),
        ("cleanup", json!({})),
        ("watch", json!({})),
    ] {
        let sandbox = stack.sandbox_with(function, &drills).await;
        sandbox.invoke(&event).await.answer();
        all.extend(sent(&sandbox));
    }
    let named = named_in_the_template();
    assert!(named.len() > 12 && named.contains("LastBackupAge") && named.contains("RTO"), "{named:?}");
    assert_eq!(named.difference(&all).collect::<Vec<_>>(), [""; 0], "sent: {all:?}");
}
