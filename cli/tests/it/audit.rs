//! The audit trail, as people and auditors read it.

use lifeboat_tests::Bed;

use crate::shell::{Shell, redacted, small_database};

#[tokio::test]
async fn every_verb_that_does_something_is_in_the_trail() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    assert!(shell.run(&["audit"]).succeeded().stdout.contains("init"));
    let first = shell.backup(&["--tier", "daily", "--verify", "quick"]);
    let second = shell.backup(&[]);
    let copy = format!("{}_copy", database.name());
    let deeds: [&[&str]; 14] = [
        &["verify", &first],
        &["restore", &first, "--into", &copy],
        &["hold", &first, "--reason", "case 4711"],
        &["release", &first],
        &["delete", &first, "--reason", "not needed", "--yes"],
        &["undelete", &first],
        &["cleanup"],
        &["pull", &second, "--to", "away"],
        &["drill", &second, "--allow-source"],
        &["keys", "rotate"],
        &["keys", "rewrap", "--new-master-key", "file:new.key"],
        // What only looks leaves no trace.
        &["cleanup", "--dry-run"],
        &["restore", &second, "--dry-run"],
        &["list"],
    ];
    for deed in deeds {
        shell.run(deed).succeeded();
    }
    drop(Bed::get().server(17).await.adopt_database(&copy));
    shell.run(&["hold", &first, "--reason", "late", "--until", "2020-01-01"]).failed(2);
    shell.run(&["push", &second, "--from", "away"]).succeeded();

    let trail = shell.run(&["audit", "--json", "--verify"]).succeeded().json();
    let told: Vec<String> = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["operation"], entry["status"]).replace('"', ""))
        .collect();
    insta::assert_snapshot!("audit_deeds", told.join("\n"));
    assert_eq!((&trail["findings"], &trail["unended"]), (&serde_json::json!([]), &serde_json::json!([])));
    let said = shell.run(&["audit", "--since", "1h", "--type", "hold", "--type", "delete"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("audit", without_people(&said.all())));
    let said = shell.run(&["audit", "--csv", "--type", "verify"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("audit_csv", without_people(&said.stdout)));
    let away = shell.run(&["--vault", "away", "audit", "--verify", "--json"]).succeeded().json();
    assert_eq!(away["entries"][0]["operation"], "pull", "the copy tells where it came from");
}

/// Who and where is of the machine that tests.
fn without_people(text: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let words = text.split_inclusive([' ', '\n', ',']);
    words
        .map(|word| {
            if word.contains(&format!("@{host}")) { word.replace(word.trim_end(), "[actor]") } else { word.to_owned() }
        })
        .collect()
}

#[tokio::test]
async fn whoever_tampers_with_the_trail_is_found_out() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    shell.backup(&[]);
    shell.backup(&[]);
    assert!(shell.run(&["audit", "--verify"]).succeeded().stdout.contains("the trail is whole"));
    let entry = |number: u32| shell.path(&format!("vault/audit/000000000/{number:012}.json"));
    let bytes = std::fs::read_to_string(entry(2)).unwrap();
    std::fs::write(entry(2), bytes.replace("\"done\"", "\"failed\"")).unwrap();
    let said = shell.run(&["audit", "--verify"]).failed(8);
    assert!(said.stdout.contains("forged") && said.stdout.contains("broken"), "{said:?}");
    std::fs::remove_file(entry(2)).unwrap();
    let said = shell.run(&["audit", "--verify"]).failed(8);
    assert!(said.stdout.contains("missing: entry 2 of the trail"), "{said:?}");
    // Nothing that lets go is done where it cannot be told; here the place of the next entry is taken by a folder.
    std::fs::create_dir(entry(4)).unwrap();
    std::fs::write(entry(4).join("x"), "x").unwrap();
    shell.run(&["cleanup"]).failed(6);
}

#[tokio::test]
async fn keys_are_listed_and_renewed() {
    let database = small_database().await;
    let shell = Shell::with_vault(&database).await;
    let said = shell.run(&["keys", "list"]).succeeded();
    assert!(said.stdout.contains("No keys"), "{said:?}");
    shell.run(&["keys", "rotate"]).failed(9);
    let old = shell.backup(&[]);
    let rotated = shell.run(&["keys", "rotate", "--json"]).succeeded().json();
    let new = shell.backup(&["--verify", "full"]);
    let keys = shell.run(&["keys", "list", "--json"]).succeeded().json();
    assert_eq!((&keys[0]["key"], &keys[0]["is_current"]), (&rotated["key"], &true.into()));
    assert_eq!((&keys[0]["newest_backup"], &keys[1]["newest_backup"]), (&new.into(), &old.as_str().into()));
    shell.run(&["verify", &old, "--depth", "full"]).succeeded();
    let table = shell.run(&["keys", "list"]).succeeded();
    redacted(&database, || insta::assert_snapshot!("keys", without_keys(&table.stdout)));
    shell.write("lifeboat.toml", "[watch]\nkey_age = '1s'\n");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let status = shell.run(&["status", "--json"]).succeeded().json();
    let rules: Vec<&str> = status["databases"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|finding| finding["rule"].as_str())
        .collect();
    assert!(rules.contains(&"key_age"), "{rules:?}");
}

#[tokio::test]
async fn the_master_key_is_changed_and_every_backup_opens_with_both() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    let before = shell.backup(&[]);
    let pasted = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let refused = shell.run(&["keys", "rewrap", "--new-master-key", pasted]).failed(2);
    assert!(!refused.all().contains(pasted), "{refused:?}");
    assert!(!shell.path("keys").exists());

    let rewrap = ["keys", "rewrap", "--new-master-key", "file:~/keys/new.key"];
    let said = shell.run(&rewrap).succeeded();
    let told = said.stdout.replace(shell.path("").to_str().unwrap(), "~/");
    insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!("rewrapped", told) });
    let again = shell.run(&[&rewrap[..], &["--json"]].concat()).succeeded().json();
    assert_eq!((&again["wrapped"], &again["wrapped_before"]), (&0.into(), &1.into()));
    assert_eq!(again["master_key_is_new"], false);

    // The old one opens what there is and makes nothing new, and doctor says so.
    shell.run(&["verify", &before, "--depth", "full"]).succeeded();
    let meanwhile = shell.backup(&[]);
    shell.run(&["keys", "rotate"]).failed(3);
    let found = shell.run(&["doctor", "--json"]).succeeded().json();
    let checks: Vec<&str> = found["findings"].as_array().unwrap().iter().filter_map(|f| f["check"].as_str()).collect();
    assert!(checks.contains(&"master_key"), "{found}");

    let old = shell.variables()["HOME"].clone() + "/.config/lifeboat/master.key";
    std::fs::rename(&old, shell.path("old.key")).unwrap();
    shell.set("LIFEBOAT_MASTER_KEY_FILE", "keys/new.key");
    for backup in [&before, &meanwhile] {
        shell.run(&["verify", backup, "--depth", "full"]).succeeded();
    }
    assert!(!shell.run(&["doctor"]).succeeded().stdout.contains("newer master key"));
    shell.run(&["keys", "rotate"]).succeeded();
    let after = shell.backup(&["--verify", "full"]);
    // Nobody who still has the old one reads what came after.
    shell.set("LIFEBOAT_MASTER_KEY_FILE", "old.key");
    shell.run(&["verify", &before, "--depth", "full"]).succeeded();
    shell.run(&["verify", &after, "--depth", "full"]).failed(8);
    shell.run(&["keys", "rewrap", "--new-master-key", "file:third.key"]).failed(3);
}

/// Keys are random.
fn without_keys(text: &str) -> String {
    let is_key = |word: &str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_inclusive([' ', '\n'])
        .map(|word| if is_key(word.trim()) { word.replace(word.trim(), "[key]") } else { word.to_owned() })
        .collect()
}
