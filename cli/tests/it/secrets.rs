//! Nothing that any verb prints, however verbose and whatever goes wrong, holds a password, a key or a row.

use lifeboat_tests::Bed;

use crate::shell::{Shell, small_database};

/// In a row, in a check's failure, and in what a server complains about.
const ROW: &str = "row-value-4711";

#[tokio::test]
async fn no_output_holds_a_password_a_key_or_a_row() {
    let database = small_database().await;
    database
        .sql(&format!(
            "INSERT INTO orders VALUES (0, '{ROW}');
             CREATE TABLE picky (note text CHECK (note <> '{ROW}')); "
        ))
        .await;
    let mut shell = Shell::with_vault(&database).await;
    shell.set("RUST_BACKTRACE", "full");
    shell.set("RUST_LOG", "trace");
    let key = std::fs::read_to_string(shell.path(".config/lifeboat/master.key")).unwrap().trim().to_owned();
    let password = Bed::get().server(17).await.password().to_owned();
    let wrong = database.url().replace(&password, "wrong-pass-word");
    let broken = database.url().replace(&format!(":{password}@"), ":pass/wo rd%zz@");
    shell.write("bad.toml", &format!("master_key = '{key}'\n"));
    shell.write("worse.toml", &format!("[databases.shop]\nconnection = '{}'\n", database.url()));
    shell.write("torn.toml", &format!("connection = {}\n", database.url()));
    let secrets = [key.as_str(), &password, ROW, "wrong-pass-word", "wo rd"];

    let copy = format!("{}_copy", database.name());
    let lines: Vec<Vec<&str>> = vec![
        vec!["backup"],
        vec!["doctor"],
        vec!["list"],
        vec!["show", "latest"],
        vec!["verify", "latest"],
        vec!["restore", "latest", "--into", &copy, "--jobs", "1"],
        vec!["restore", "latest", "--into", &copy],
        vec!["restore", "latest", "--into", &copy, "--clean"],
        vec!["restore", "latest", "--server", &wrong],
        vec!["backup", "--database", &wrong],
        vec!["backup", "--database", &broken],
        vec!["doctor", "--database", &wrong],
        vec!["doctor", "--database", &broken],
        vec!["check", &wrong],
        vec!["check", &broken],
        vec!["check"],
        vec!["list", "--config", "bad.toml"],
        vec!["list", "--config", "worse.toml"],
        vec!["list", "--config", "torn.toml"],
        vec!["init"],
        vec!["init", "--vault", "another"],
    ];
    for line in &lines {
        for more in [&["-vv"][..], &["-vv", "--json", "--log-format", "json"]] {
            let said = shell.run(&[line, more].concat());
            for secret in secrets {
                assert!(!said.stdout.contains(secret) && !said.stderr.contains(secret), "{line:?}: {said:#?}");
            }
            assert_ne!(said.code, 1, "{line:?}: {said:#?}");
        }
    }
    drop(Bed::get().server(17).await.adopt_database(&copy));
}

#[tokio::test]
async fn a_damaged_vault_tells_no_secret_either() {
    let database = small_database().await;
    database.sql(&format!("INSERT INTO orders VALUES (0, '{ROW}')")).await;
    let mut shell = Shell::with_vault(&database).await;
    shell.set("RUST_BACKTRACE", "full");
    shell.backup(&[]);
    shell.damage_a_pack();
    let key = std::fs::read_to_string(shell.path(".config/lifeboat/master.key")).unwrap();
    for line in [&["verify", "latest"][..], &["restore", "latest"], &["list"], &["show", "latest"]] {
        let said = shell.run(&[line, &["-vv"]].concat());
        assert!(!said.all().contains(ROW) && !said.all().contains(key.trim()), "{line:?}: {said:#?}");
    }
}
