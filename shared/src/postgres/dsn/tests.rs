use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::fuzz::fuzz_text;

fn nothing() -> Environment {
    Environment::from_iter([("USER", "me")])
}

fn parse(text: &str) -> Result<Dsn> {
    Dsn::parse(text, &nothing())
}

fn parsed(text: &str) -> Dsn {
    parse(text).unwrap()
}

fn password(dsn: &Dsn) -> Option<&str> {
    dsn.password().map(|p| p.expose_secret())
}

fn network_host(name: &str, port: u16) -> Host {
    Host { place: Place::Network { name: name.into(), address: name.parse().ok() }, port }
}

fn socket(directory: &str, port: u16) -> Host {
    Host { place: Place::Socket(directory.into()), port }
}

#[test]
fn the_three_spellings_mean_the_same() {
    let url = parsed("postgresql://ann:p%40ss@db.acme.com:6543/shop?sslmode=verify-full&sslrootcert=/ca.pem");
    let pairs = parsed(
        "host=db.acme.com port=6543 dbname=shop user = ann password='p@ss' sslmode=verify-full sslrootcert=/ca.pem",
    );
    let secret = parsed(
        r#"{"engine":"postgres","username":"ann","password":"p@ss","host":"db.acme.com","port":"6543",
            "dbname":"shop","sslmode":"verify-full","sslrootcert":"/ca.pem","masterarn":"arn:1"}"#,
    );
    for dsn in [&url, &pairs, &secret] {
        assert_eq!(dsn.to_string(), "db.acme.com:6543/shop as ann");
        assert_eq!(password(dsn), Some("p@ss"));
        assert_eq!(dsn.sslmode(&dsn.hosts()[0]), SslMode::VerifyFull);
        assert_eq!(*dsn.roots(), Roots::File("/ca.pem".into()));
    }
}

#[test]
fn a_url_names_hosts_in_every_way_libpq_knows() {
    let hosts = |text: &str| parsed(text).hosts().to_vec();
    assert_eq!(hosts("postgres://[::1]:6000/x"), [network_host("::1", 6000)]);
    assert_eq!(hosts("postgres://[2001:db8::7]"), [network_host("2001:db8::7", 5432)]);
    assert_eq!(hosts("postgres:///x?host=/run/pg&port=6000"), [socket("/run/pg", 6000)]);
    assert_eq!(hosts("postgres://%2Frun%2Fpg/x"), [socket("/run/pg", 5432)]);
    assert_eq!(
        hosts("postgres://a:1,b,[::1]:3/x"),
        [network_host("a", 1), network_host("b", 5432), network_host("::1", 3)]
    );
    assert_eq!(
        hosts("host=db.acme.com hostaddr=10.0.0.7"),
        [Host {
            place: Place::Network { name: "db.acme.com".into(), address: Some("10.0.0.7".parse().unwrap()) },
            port: 5432,
        }]
    );
    assert_eq!(hosts("postgres:///x"), [socket("/var/run/postgresql", 5432), socket("/tmp", 5432)]);
    assert!(parse("postgres://[::1/x").is_err());
    assert!(parse("host=a,b port=1,2,3").is_err());
}

#[test]
fn variables_fill_what_is_left_out() {
    let environment = Environment::from_iter([
        ("PGHOST", "envhost"),
        ("PGPORT", "7000"),
        ("PGUSER", "envuser"),
        ("PGPASSWORD", "envpass"),
        ("PGDATABASE", "envdb"),
        ("PGSSLMODE", "verify-ca"),
        ("PGSSLROOTCERT", "/env.pem"),
        ("PGCONNECT_TIMEOUT", "3"),
        ("HOME", "/home/me"),
    ]);
    let all = Dsn::from_environment(&environment).unwrap();
    assert_eq!(all.to_string(), "envhost:7000/envdb as envuser");
    assert_eq!(password(&all), Some("envpass"));
    assert_eq!(all.sslmode(&all.hosts()[0]), SslMode::VerifyCa);
    assert_eq!(all.connect_timeout(), Duration::from_secs(3));
    assert_eq!(all.passfile(), Some(Path::new("/home/me/.pgpass")));

    let some = Dsn::parse("postgres://ann@db/shop", &environment).unwrap();
    assert_eq!(some.to_string(), "db:7000/shop as ann");

    let managed = r#"{"username":"ann","password":"x"}"#;
    let managed = Dsn::parse(managed, &environment).unwrap();
    assert_eq!(managed.to_string(), "envhost:7000/envdb as ann");
}

#[test]
fn the_database_defaults_to_the_user() {
    assert_eq!(parsed("postgres://ann@db").database(), "ann");
    assert_eq!(parsed("postgres://db").to_string(), "db:5432/me as me");
}

#[test]
fn rows_cross_a_network_unencrypted_only_when_asked_to() {
    let mode = |text: &str| {
        let dsn = parsed(text);
        dsn.sslmode(&dsn.hosts()[0])
    };
    assert_eq!(mode("postgres://db.acme.com"), SslMode::Require);
    assert_eq!(mode("host=10.0.0.1"), SslMode::Require);
    assert_eq!(mode(r#"{"username":"a","host":"db"}"#), SslMode::Require);
    assert_eq!(mode("postgres://localhost"), SslMode::Prefer);
    assert_eq!(mode("postgres://127.0.0.9"), SslMode::Prefer);
    assert_eq!(mode("postgres://[::1]"), SslMode::Prefer);
    assert_eq!(mode("postgres:///x"), SslMode::Disable);
    assert_eq!(mode("postgres://db?sslmode=disable"), SslMode::Disable);
    assert_eq!(mode("postgres://db?sslrootcert=/ca"), SslMode::VerifyFull);
    assert_eq!(mode("postgres://db?sslrootcert=system"), SslMode::VerifyFull);
    assert_eq!(mode("postgres://db?ssl=true"), SslMode::Require);
    assert!(parse("postgres://db?sslrootcert=system&sslmode=require").is_err());
}

#[test]
fn a_misspelt_parameter_is_answered_with_the_right_one() {
    let message = |text: &str| parse(text).unwrap_err().message();
    assert_eq!(
        message("postgres://db?sslmod=require"),
        "`sslmod` is not a connection parameter; did you mean `sslmode`?"
    );
    assert_eq!(
        message("postgres://db?pgbouncer=true"),
        "the connection has an unknown parameter; the nearest known one is `dbname`"
    );
    assert_eq!(
        message("postgres://db?sslmode=on"),
        "`sslmode` must be one of disable, allow, prefer, require, verify-ca, verify-full"
    );
    assert_eq!(message("host=db service=prod"), "the connection parameter `service` is not supported");
}

#[test]
fn parameters_without_effect_here_are_accepted() {
    parsed("postgres://db?application_name=x&keepalives_idle=5&gssencmode=prefer");
}

#[test]
fn a_secret_must_be_for_postgres_and_name_a_host() {
    let message = |text: &str| parse(text).unwrap_err().message();
    assert!(message(r#"{"engine":"mysql","username":"a","host":"h"}"#).contains("`engine`"));
    assert!(message(r#"{"username":"a","password":"b"}"#).contains("no `host`"));
    assert!(message(r#"{"password":"b","host":"h"}"#).contains("no `username`"));
    assert!(message(r#"{"username":"a","host":["h"]}"#).contains("`host`"));
    assert_eq!(parsed(r#"{"username":"a","host":"h","port":6000}"#).hosts()[0].port, 6000);
}

#[test]
fn quoted_pairs_follow_libpq() {
    let dsn = parsed(r"host=db user='a b' password='it\'s \\ here' dbname=x\ y");
    assert_eq!(dsn.to_string(), "db:5432/x y as a b");
    assert_eq!(password(&dsn), Some(r"it's \ here"));
    assert!(parse("host='db").is_err());
    assert!(parse("host=db user").is_err());
}

#[test]
fn the_first_fitting_line_of_a_passfile_wins() {
    let file = "# comment\nother:*:*:*:no\ndb:5432:shop:ann:pa\\:ss\\\\\n*:*:*:ann:general\r\nlocalhost:*:*:*:local\n";
    let find = |host: &Host, database: &str, user: &str| {
        passfile::lookup(file, host, database, user).map(|p| p.expose_secret().to_owned())
    };
    let db = network_host("db", 5432);
    assert_eq!(find(&db, "shop", "ann").as_deref(), Some("pa:ss\\"));
    assert_eq!(find(&db, "else", "ann").as_deref(), Some("general"));
    assert_eq!(find(&db, "shop", "bob"), None);
    assert_eq!(find(&socket("/tmp", 1), "x", "bob").as_deref(), Some("local"));
    assert_eq!(find(&socket("/elsewhere", 1), "x", "bob"), None);
}

#[test]
fn neither_display_nor_debug_shows_the_password() {
    let dsn = parsed("postgres://ann:hunter2@db/shop");
    assert_eq!(format!("{dsn} {dsn:?}"), "db:5432/shop as ann Dsn(db:5432/shop as ann)");
}

fn said(error: &Error) -> String {
    format!("{error} {error:?} {:?} {}", error.hint_text(), error.to_json())
}

#[test]
fn a_connection_with_anything_changed_is_parsed_or_refused_without_panic() {
    let samples = [
        "postgresql://ann:p%40ss@db.acme.com:6543,[::1]:5432/shop?sslmode=verify-full&connect_timeout=10",
        "host=a,b hostaddr=10.0.0.1,::1 port=1,2 dbname='sh''op' password='p\\'ss' target_session_attrs=any",
        r#"{"username": "ann", "password": "p\u0040ss", "engine": "postgres", "host": "db", "port": 5432, "dbname": "shop"}"#,
    ];
    fuzz_text(&samples, |text| drop(parse(text)));
}

#[test]
fn a_password_file_with_anything_changed_is_read_without_panic() {
    let samples = ["# ours\ndb.acme.com:5432:shop:ann:p\\:ss\n*:*:*:*:hunter2\r\nlocalhost:1:\\\\:a:b\n"];
    fuzz_text(&samples, |text| drop(passfile::lookup(text, &network_host("db.acme.com", 5432), "shop", "ann")));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_panic(text in any::<String>(), form in 0..4) {
        let text = match form {
            0 => format!("postgres://{text}"),
            1 => format!("host={text}"),
            2 => format!("{{\"host\":{text}"),
            _ => text,
        };
        let _ = parse(&text);
    }

    #[test]
    fn a_url_made_of_known_pieces_never_panics(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "postgres://", "@", ":", "/", "?", "&", "=", "%", "%2", "%2F", "%00", "%ff", "[", "]", "::1", ",", "host",
            "port", "sslmode", "'", "\\", " ", "7", "é",
        ]), 0..12),
    ) {
        let _ = parse(&format!("postgres://{}", pieces.concat()));
        let _ = parse(&format!("host={}", pieces.concat()));
        let line = pieces.concat();
        let _ = passfile::lookup(&line, &network_host("h", 1), "d", "u");
    }

    /// Also when it was forgotten to encode it.
    #[test]
    fn no_error_shows_a_password(secret in "[ -~é]{8,20}") {
        for text in [
            format!("postgres://ann:{secret}@db/shop"),
            format!("postgres://ann:{secret}@db:port/shop"),
            format!("postgres://ann:{secret}@db/shop?sslmode=off"),
            format!("host=db password={secret} sslmode=off"),
            format!("host=db password='{secret}' sslmode=off"),
            format!("{{\"username\":\"a\",\"password\":\"{secret}\",\"host\":[]}}"),
        ] {
            match parse(&text) {
                Err(error) => prop_assert!(!said(&error).contains(secret.trim())),
                Ok(dsn) => {
                    let shown = format!("{dsn} {dsn:?}");
                    prop_assert!(!shown.contains(secret.trim()));
                }
            }
        }
    }

    #[test]
    fn an_encoded_password_arrives_whole(secret in "[^\\x00]{1,20}") {
        let encoded: String = secret.bytes().map(|b| format!("%{b:02X}")).collect();
        let dsn = parsed(&format!("postgres://ann:{encoded}@db/shop"));
        prop_assert_eq!(password(&dsn), Some(secret.as_str()));
    }
}
