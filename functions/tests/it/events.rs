//! The example events: each is understood by its function.

use std::path::Path;

use serde_json::{Value, json};

use crate::backup::shop;
use crate::stack::{PREFIX, Stack};

fn examples(function: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(function).join("events");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    let mut examples: Vec<(String, Value)> = std::fs::read_dir(folder).unwrap().map(read).collect();
    examples.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!examples.is_empty(), "{function} has no example");
    examples
}

/// The example as it would be in this stack: with its bucket, its prefix and a backup that exists.
fn here(example: &Value, stack: &Stack, id: &str) -> Value {
    let text = example.to_string();
    let text =
        text.replace("acme-backups", &stack.bucket).replace("lifeboat/databases", &format!("{PREFIX}/databases"));
    serde_json::from_str(&text.replace("20261125T020000Z-daily-k7q2", id)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_understood() {
    let db = shop().await;
    let stack = Stack::of(&db).await;
    let made = stack.sandbox("backup").await.invoke(&json!({"tier": "daily"})).await.answer();
    let id = made["id"].as_str().unwrap();
    for function in ["backup", "validate", "cleanup", "restore", "watch"] {
        let sandbox = stack.sandbox(function).await;
        for (name, example) in examples(function) {
            let mut event = here(&example, &stack, id);
            if function == "restore" {
                // The examples name databases that are not ours.
                event["dry_run"] = json!(true);
            }
            match sandbox.invoke(&event).await {
                crate::sandbox::Outcome::Answer(answer) => {
                    let ignored = answer["ignored"].as_array().map_or(0, Vec::len);
                    assert_eq!(ignored, 0, "{function}/{name}: {answer}");
                }
                crate::sandbox::Outcome::Error(kind, message) => {
                    // A token of another time, or a server for restores that this stack does not have.
                    let fine = ["confirmation_needed", "configuration"].contains(&kind.as_str());
                    assert!(fine, "{function}/{name}: {kind}: {message}");
                }
                crate::sandbox::Outcome::Died => panic!("{function}/{name}: {}", sandbox.log()),
            }
        }
    }
}

/// The fields that a schema knows.
fn documented(function: &str) -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events");
    let schema = std::fs::read(docs.join(format!("{function}.schema.json"))).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let object = if function == "validate" { &schema["$defs"]["request"] } else { &schema };
    assert_eq!(object["additionalProperties"], false);
    let mut names: Vec<String> = object["properties"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_know_the_fields_that_the_functions_know() {
    let stack = Stack::new().await;
    for function in ["backup", "validate", "cleanup", "restore", "watch"] {
        let (kind, message) = stack.sandbox(function).await.invoke(&json!({"no such field": 1})).await.error();
        assert_eq!(kind, "usage");
        // "unknown field `no such field`, expected one of `tier`, `database`, …"
        let mut known: Vec<String> = message.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        known.sort();
        assert_eq!(known, documented(function), "{function}: {message}");
    }
}
