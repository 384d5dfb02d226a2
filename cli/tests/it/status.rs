//! `status`, as people and monitors use it.

use std::time::Duration;

use crate::shell::{Shell, redacted, small_database};

#[tokio::test]
async fn status_says_what_is_wrong_and_the_exit_code_tells() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    assert!(shell.run(&["status"]).succeeded().stdout.contains("No databases"));
    shell.backup(&["--verify", "full"]);
    let said = shell.run(&["status"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("status_healthy", said.all()));
    database.sql("DELETE FROM orders WHERE id > 600; DROP TABLE \"Odd one\"").await;
    shell.backup(&["--verify", "full"]);
    let said = shell.run(&["status"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("status_warning", said.all()));
    shell.run(&["status", "--fail-on", "warning"]).failed(8);

    shell.write("lifeboat.toml", "[watch]\nbackup_age = '1s'\n[tiers.daily]\nmax_age = '25h'\n");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let status = shell.run(&["status", "--json"]).failed(8).json();
    assert_eq!(status["state"], "critical");
    assert_eq!(status["databases"][0]["findings"][0]["rule"], "backup_age");
    let metrics = shell.run(&["status", "--prometheus"]).failed(8).stdout;
    assert!(metrics.contains("rule=\"backup_age\",severity=\"critical\"") && metrics.ends_with("# EOF\n"), "{metrics}");
    shell.run(&["status", "--prometheus", "--json"]).failed(2);
    shell.run(&["status", "--database", "other"]).failed(9);
}
