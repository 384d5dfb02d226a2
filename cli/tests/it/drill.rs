//! Drills, as people and cron start them.

use std::time::Duration;

use lifeboat_tests::Bed;

use crate::notify::receiver;
use crate::shell::{Shell, redacted, small_database, text};

#[tokio::test]
async fn a_drill_passes_is_reported_and_is_remembered() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.run(&["drill"]).failed(9);
    shell.backup(&["--tier", "daily", "--verify", "full"]);
    let said = shell.run(&["drill"]).failed(3);
    assert!(said.all().contains("--server"), "{said:?}");
    let source = Bed::get().server(17).await.admin_url();
    shell.run(&["drill", "--server", &source]).failed(4);
    assert_eq!(
        shell.run(&["drill", "--list"]).succeeded().stdout,
        "No drills yet. `lifeboat drill` makes the first.\n"
    );

    shell.write("lifeboat.toml", "[drill]\nallow_source = true\ntargets = { rto = '1h' }\ncontacts = ['Ada']\n");
    let said = shell.run(&["drill", "--report", "drill.html"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("drill", said.all()));
    let page = std::fs::read_to_string(shell.path("drill.html")).unwrap();
    assert!(page.contains("Restore drill of") && page.contains("Ada") && page.contains("✓ passed"), "{page}");
    let drilled = shell.run(&["drill", "latest", "--json", "--quiet"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("json_drill", drilled.stdout));
    let drilled = drilled.json();

    let said = shell.run(&["drill", "--list"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("drill_list", said.all()));
    let past = shell.run(&["drill", "--list", "--json", "--report", "past.md"]).succeeded().json();
    assert_eq!(past.as_array().unwrap().len(), 2);
    assert_eq!(past[0], drilled, "newest first, and as it was");
    let page = std::fs::read_to_string(shell.path("past.md")).unwrap();
    assert_eq!(page.matches("# Restore drill of").count(), 2);
    let kept = shell.path("vault").join(text(&drilled["record"]["object"]));
    let sum = std::process::Command::new("sha256sum").arg(&kept).output().unwrap().stdout;
    assert!(String::from_utf8(sum).unwrap().starts_with(&text(&drilled["record"]["sha256"])));

    std::fs::write(&kept, std::fs::read_to_string(&kept).unwrap().replace("\"ok\": true", "\"ok\": false")).unwrap();
    let said = shell.run(&["drill", "--list"]).failed(8);
    assert!(said.all().contains("reports of drills are damaged"), "{said:?}");
}

#[tokio::test]
async fn a_drill_that_fails_is_told_and_shows_no_row() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    let (url, posted) = receiver();
    shell.set("HOOK", url);
    let id = shell.backup(&["--tier", "daily"]);
    shell.backup(&["--tier", "weekly"]);
    shell.write(
        "lifeboat.toml",
        "[notify.webhook]\nurl = 'env:HOOK'\nmin_severity = 'info'\n\
         [drill]\nallow_source = true\ntargets = { rpo = '1s' }\n\
         [drill.assertions.recent]\nsql = 'SELECT note = 1::text FROM orders WHERE id = 1'\n\
         [drill.assertions.of-another]\nsql = 'SELECT false'\ndatabase = 'another'\n",
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = shell.run(&["drill", "--tier", "daily", "--notify", "--report", "drill.json"]).failed(8);
    assert!(said.all().contains("assertion recent, rpo"), "{said:?}");
    assert!(!said.all().contains("c4ca4238a0b923820dcc509a6f75849b"), "{said:?}");
    let told = posted.recv().unwrap();
    assert_eq!((&told["kind"], &told["severity"]), (&"drill_failed".into(), &"critical".into()));
    assert_eq!(told["backup"], id.as_str());
    let report = std::fs::read_to_string(shell.path("drill.json")).unwrap();
    assert!(report.contains("\"outcome\": \"failed\"") && !report.contains("of-another"), "{report}");

    shell.write(
        "lifeboat.toml",
        "[notify.webhook]\nurl = 'env:HOOK'\nmin_severity = 'info'\n[drill]\nallow_source = true\n",
    );
    let both = shell.run(&["drill", "--each-tier", "--notify", "--json"]).succeeded().json();
    let tiers: Vec<String> = both.as_array().unwrap().iter().map(|drill| text(&drill["tier"])).collect();
    assert_eq!(tiers, ["daily", "weekly"]);
    assert_eq!([0, 1].map(|_| posted.recv().unwrap()["kind"].clone()), ["drill_passed", "drill_passed"]);
    shell.run(&["drill", "--report", "drill.pdf"]).failed(2);
}
