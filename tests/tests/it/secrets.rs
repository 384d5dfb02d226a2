//! Nothing that is printed or logged holds a password, a key or a row, whatever fails and however loudly it is told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lifeboat_tests::Bed;
use serde_json::Value;

use crate::program::{Program, Ran};

/// In every row, in a form that no part of a statement has.
const MARKER: &str = "pineapple-4711";

/// Rows that some part of a restore refuses: a check, a unique index, a function in an index.
const REFUSED_ROWS: &str = "
    CREATE FUNCTION fits(v text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
    CREATE FUNCTION shape(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN v; END';
    CREATE TABLE checked (v text CHECK (fits(v)));
    CREATE TABLE doubled (v text);
    CREATE TABLE shaped (v text);
    CREATE TABLE narrow (v text);
    CREATE INDEX doubled_v ON doubled (v);
    CREATE INDEX shaped_v ON shaped (shape(v));
    INSERT INTO checked VALUES ('pineapple-4711');
    INSERT INTO doubled VALUES ('pineapple-4711'), ('pineapple-4711');
    INSERT INTO shaped VALUES ('pineapple-4711');
    INSERT INTO narrow VALUES ('pineapple-4711');
    UPDATE pg_index SET indisunique = true WHERE indexrelid = 'doubled_v'::regclass;
    CREATE OR REPLACE FUNCTION fits(v text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN false; END';
    CREATE OR REPLACE FUNCTION shape(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE
        AS 'BEGIN RAISE EXCEPTION ''no shape for %'', v; END'";

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_prints_a_password_a_key_or_a_row_whatever_fails() {
    let server = Bed::get().server(17).await;
    let db = server.create_database().await;
    db.sql(REFUSED_ROWS).await;
    let program = Program::with_vault(&db).await;
    let key = BASE64.decode(&program.master_key).unwrap();
    let other_key = BASE64.encode([7; 32]);
    let wrong = "wrong-password-9f3b";
    let url_with = |password: &str| db.url().replace(server.password(), password);
    let secrets = [
        server.password().to_owned(),
        wrong.to_owned(),
        program.master_key.clone(),
        hex::encode(&key),
        other_key.clone(),
        hex::encode([7; 32]),
        MARKER.to_owned(),
    ];
    let check = |what: &str, ran: Ran| {
        for secret in &secrets {
            let found =
                [&ran.stdout, &ran.stderr].into_iter().flat_map(|text| text.lines()).find(|l| l.contains(secret));
            assert!(found.is_none(), "{what} prints a secret or a row: {}", found.unwrap_or_default());
        }
        assert!(!ran.stderr.contains("internal error"), "{what} panicked: {}", ran.stderr);
        assert_ne!(ran.status.code(), Some(1), "{what}: {}", ran.stderr);
        ran
    };
    let loud = [("RUST_BACKTRACE", "1"), ("RUST_LOG", "trace"), ("RUST_LIB_BACKTRACE", "1")];
    let run = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let variables = [&loud[..], variables].concat();
        let said = check(
            &format!("{arguments:?} {:?}", variables.iter().map(|v| v.0).collect::<Vec<_>>()),
            program.run_with(&[&["-vv"], arguments].concat(), &variables).await,
        );
        for format in [&["--json"][..], &["--log-format", "json"]].into_iter().filter(|_| variables.len() == loud.len())
        {
            check(
                &format!("{arguments:?} {format:?}"),
                program.run_with(&[&["-vv"], format, arguments].concat(), &variables).await,
            );
        }
        said
    };

    assert!(run(&["backup"], &[]).await.status.success());
    let copy = server.adopt_database(&format!("{}_copy", db.name()));
    let every_verb: &[&[&str]] = &[
        &["init"],
        &["doctor"],
        &["list", "--all"],
        &["show", "latest"],
        &["verify", "latest", "--depth", "full"],
        &["verify", "latest", "--depth", "restore"],
        &["restore", "latest", "--dry-run"],
        &["restore", "latest", "--into", copy.name(), "--yes"],
        &["check"],
        &["status"],
        &["completions", "bash"],
        &["show", "no-such-backup"],
        &["backup", "--table", "no_such_table"],
        &["backup", "--no-such-option"],
    ];
    for arguments in every_verb {
        run(arguments, &[]).await;
    }
    let malformed = format!("postgres://u:{wrong}@[::1/db");
    let refused = url_with(wrong);
    let nowhere = format!("postgres://u:{wrong}@127.0.0.1:1/db?connect_timeout=2");
    let failing: &[(&str, &str)] = &[
        ("LIFEBOAT_DATABASE_URL", &refused),
        ("LIFEBOAT_DATABASE_URL", &malformed),
        ("LIFEBOAT_DATABASE_URL", &nowhere),
        ("LIFEBOAT_MASTER_KEY", &other_key),
        ("LIFEBOAT_MASTER_KEY", wrong),
        ("LIFEBOAT_VAULT", "/proc/no/vault"),
    ];
    for variable in failing {
        for verb in [&["backup"][..], &["doctor"], &["list"], &["verify", "latest"], &["restore", "latest", "--yes"]] {
            run(verb, &[*variable]).await;
        }
        let ran = program.run_with(&["backup"], &[*variable]).await;
        assert!(!ran.status.success(), "{variable:?} does not fail");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_not_shown() {
    let db = Bed::get().server(14).await.create_database().await;
    db.sql("CREATE TABLE t (v text, c \"char\"); INSERT INTO t VALUES ('pineapple-4711', ('-1'::int)::\"char\")").await;
    let program = Program::with_vault(&db).await;
    let ran = program.run(&["-vv", "--json", "backup"]).await;
    assert_eq!(ran.status.code(), Some(4), "{ran:?}");
    assert!(!ran.stdout.contains(MARKER) && !ran.stderr.contains(MARKER), "{ran:?}");
    let error: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("public.t"), "{error}");
}
