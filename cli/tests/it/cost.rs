//! `cost`, as people and scripts read it.

use crate::shell::{Shell, small_database};

/// A gigabyte on the disk costs a thousand a month.
const PRICES: [(&str, &str); 2] = [("LIFEBOAT_PRICES__LOCAL__STORAGE", "1000"), ("LIFEBOAT_PRICES__CURRENCY", "EUR")];

#[tokio::test]
async fn every_byte_has_its_line_and_another_policy_is_tried() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    assert_eq!(shell.run(&["cost", "--json"]).succeeded().json(), serde_json::json!([]));
    for tier in ["hourly", "hourly", "weekly"] {
        shell.backup(&["--tier", tier, "--verify", "quick"]);
    }
    let free = shell.run(&["cost", "--json"]).succeeded().json()[0].clone();
    assert_eq!(free["total"]["monthly"], 0.0, "a folder costs nothing unless somebody says so");
    assert_eq!(free["unneeded"]["objects"], 0, "{free:#}");
    assert_eq!((free["currency"].as_str(), free["what_if"].is_null()), (Some("USD"), true));

    PRICES.iter().for_each(|(name, value)| shell.set(name, *value));
    let said = shell.run(&["cost", "--json", "--what-if", "simple"]).succeeded().json()[0].clone();
    let bytes = |value: &serde_json::Value| value["stored_bytes"].as_u64().unwrap();
    let monthly = |value: &serde_json::Value| value["monthly"].as_f64().unwrap();
    assert_eq!((said["classes"][0]["class"].as_str(), said["currency"].as_str()), (Some("local"), Some("EUR")));
    let expected = bytes(&said["total"]) as f64 * 1000.0 / f64::from(1 << 30);
    assert!((monthly(&said["total"]) - expected).abs() < 1e-6, "{said:#}");
    let parts = said["tiers"].as_array().unwrap().iter().chain([&said["records"], &said["unneeded"]]);
    let sum: f64 = parts.map(monthly).sum();
    assert!((sum - monthly(&said["total"])).abs() < 1e-5, "{said:#}");
    assert_eq!(said["tiers"][0]["backups"], 2);
    assert_eq!((said["what_if"]["policy"].as_str(), said["what_if"]["backups"].as_u64()), (Some("simple"), Some(3)));
    assert_eq!(said["restore"]["frozen_bytes"], 0);

    let page = shell.run(&["cost", "--what-if", "configured"]).succeeded().stdout;
    for part in ["a month", "EUR", "weekly", "(needed by none)", "local", "3 stay, 0 go"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn a_price_that_is_none_and_a_policy_that_is_none_are_refused() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    let said = shell.run(&["cost", "--what-if", "forever"]).failed(2);
    assert!(said.stderr.contains("gfs"), "{said:?}");
    shell.set("LIFEBOAT_PRICES__GLACIER__STORAGE", "-1");
    let said = shell.run(&["cost"]).failed(3);
    assert!(said.stderr.contains("LIFEBOAT_PRICES__GLACIER__STORAGE"), "{said:?}");
}
