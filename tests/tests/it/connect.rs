//! Connecting: names, encryption, certificates, poolers, and what a refusal says.

use std::process::Stdio;
use std::time::Duration;

use lifeboat::postgres::pooler::{Ownership, probe};
use lifeboat::postgres::session::{self, Scope};
use lifeboat::postgres::{Connector, Dsn, Environment};
use lifeboat::{Error, ErrorKind};
use lifeboat_tests::{Bed, MAJORS, Server, Stop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub fn dsn(text: &str) -> Dsn {
    Dsn::parse(text, &Environment::default()).expect("the test writes valid names")
}

async fn open(text: &str) -> Result<Connector, Error> {
    Connector::open(&dsn(text)).await
}

async fn refusal(text: &str) -> Error {
    open(text).await.expect_err("this connection must be refused")
}

async fn uses_tls(connector: &Connector) -> bool {
    let session = connector.connect().await.unwrap();
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    session.query_one(query, &[]).await.unwrap().get(0)
}

fn tcp(server: &Server, host: &str, more: &str) -> String {
    let (port, password) = (server.port(), server.password());
    format!("host={host} port={port} dbname=postgres user=postgres password={password} {more}")
}

fn rootcert(server: &Server) -> String {
    format!("sslrootcert={}", server.ca_path().display())
}

#[tokio::test]
async fn every_supported_server_is_reached_with_its_certificate_verified() {
    for major in MAJORS {
        let server = Bed::get().server(major).await;
        let connector = open(&server.admin_url()).await.unwrap();
        assert_eq!(connector.identity().server_major(), major);
        assert!(connector.endpoint().encrypted);
        assert!(uses_tls(&connector).await);
    }
}

#[tokio::test]
async fn a_socket_needs_neither_password_nor_tls() {
    let server = Bed::get().server(17).await;
    let url = format!(
        "postgres:///postgres?host={}&port={}&user=postgres&sslmode=verify-full",
        server.socket_dir().display(),
        server.port()
    );
    let connector = open(&url).await.unwrap();
    assert!(!uses_tls(&connector).await);
    assert_eq!(connector.identity().server_address, None);
}

#[tokio::test]
async fn an_ipv6_address_is_reached() {
    let server = Bed::get().server(17).await;
    if !server.has_ipv6() {
        skipped("this machine has no IPv6 loopback");
        return;
    }
    let url = format!(
        "postgres://postgres:{}@[::1]:{}/postgres?sslmode=verify-full&{}",
        server.password(),
        server.port(),
        rootcert(&server)
    );
    assert!(open(&url).await.unwrap().endpoint().encrypted);
}

#[tokio::test]
async fn certificates_are_verified_as_far_as_sslmode_says() {
    let server = Bed::get().server(17).await;
    let ca = rootcert(&server);
    let other_ca = format!("sslrootcert={}", server.other_ca_path().display());
    // hostaddr sends the connection to the server under a name that its certificate does not have.
    let other_name = "hostaddr=127.0.0.1";
    for (host, more) in [
        ("localhost", format!("sslmode=verify-full {ca}")),
        ("127.0.0.1", format!("sslmode=verify-full {ca}")),
        ("db.invalid", format!("sslmode=verify-ca {ca} {other_name}")),
        ("db.invalid", format!("sslmode=require {ca} {other_name}")),
        ("db.invalid", format!("sslmode=require {other_name}")),
        ("db.invalid", other_name.to_owned()),
        ("localhost", "sslmode=require".to_owned()),
        ("localhost", "sslmode=prefer".to_owned()),
        ("localhost", "channel_binding=require sslmode=require".to_owned()),
    ] {
        let connector = open(&tcp(&server, host, &more)).await.unwrap();
        assert!(connector.endpoint().encrypted, "{more}");
    }
    for (host, more, hint) in [
        ("localhost", format!("sslmode=verify-full {other_ca}"), "sslrootcert"),
        ("localhost", format!("sslmode=require {other_ca}"), "sslrootcert"),
        ("localhost", "sslmode=verify-full".to_owned(), "sslrootcert"),
        ("db.invalid", format!("sslmode=verify-full {ca} {other_name}"), "verify-ca"),
    ] {
        let error = refusal(&tcp(&server, host, &more)).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{more}: {error}");
        assert!(error.hint_text().unwrap().contains(hint), "{more}: {error}");
    }
}

#[tokio::test]
async fn the_end_of_the_certificate_is_told_where_backups_depend_on_it() {
    let server = Bed::get().server(17).await;
    let checked =
        [format!("sslmode=verify-full {}", rootcert(&server)), format!("sslmode=require {}", rootcert(&server))];
    for more in checked {
        let until = open(&tcp(&server, "localhost", &more)).await.unwrap().certificate_until().await.unwrap();
        assert!(until > jiff::Timestamp::now(), "{until}");
    }
    for more in ["sslmode=require", "sslmode=disable"] {
        let connector = open(&tcp(&server, "localhost", more)).await.unwrap();
        assert_eq!(connector.certificate_until().await, None, "{more}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_used_only_where_that_was_allowed() {
    let server = Bed::get().private_server(17, &["ssl=off"]).await;
    for allowed in ["", "sslmode=prefer", "sslmode=allow", "sslmode=disable"] {
        let connector = open(&tcp(&server, "localhost", allowed)).await.unwrap();
        assert!(!connector.endpoint().encrypted);
    }
    let error = refusal(&tcp(&server, "localhost", "sslmode=require")).await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("does not offer TLS"), "{error}");
}

#[tokio::test]
async fn allow_switches_to_tls_where_the_server_demands_it() {
    let server = Bed::get().server(17).await;
    let create = format!(
        "DO $$ BEGIN CREATE ROLE tls_only LOGIN PASSWORD '{}'; EXCEPTION WHEN duplicate_object THEN END $$",
        server.password()
    );
    server.sql("postgres", &create).await;
    let role =
        |mode: &str| tcp(&server, "localhost", &format!("sslmode={mode}")).replace("user=postgres", "user=tls_only");
    assert!(open(&role("allow")).await.unwrap().endpoint().encrypted);
    assert!(open(&role("prefer")).await.unwrap().endpoint().encrypted);
    let error = refusal(&role("disable")).await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_says_what_to_do() {
    let server = Bed::get().server(17).await;
    let good = tcp(&server, "localhost", "");
    let wrong_password = good.replace(server.password(), "hunter2-hunter2");
    for (text, kind) in [
        (wrong_password.clone(), ErrorKind::Configuration),
        (format!("{good} dbname=nowhere"), ErrorKind::NotFound),
        (format!("{good} port=1"), ErrorKind::Database),
        (format!("{good} host=db.invalid"), ErrorKind::Database),
        (format!("{good} host=/nowhere"), ErrorKind::Database),
        (format!("{good} user=nobody"), ErrorKind::Configuration),
        (format!("{good} sslrootcert=/nowhere"), ErrorKind::Configuration),
        (good.replace("password=", "application_name="), ErrorKind::Configuration),
    ] {
        let error = refusal(&text).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint_text().is_some() || error.message().contains("/nowhere"), "{error}");
        let said = format!("{error} {error:?} {:?}", error.hint_text());
        assert!(!said.contains("hunter2") && !said.contains(server.password()), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_after_the_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refusal(&format!("host=127.0.0.1 port={port} user=u connect_timeout=1")).await;
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(error.message().contains("no answer within 1 s"), "{error}");
}

#[tokio::test]
async fn a_server_that_goes_away_during_the_handshake_is_no_mistake_of_ours() {
    for reads_on in [false, true] {
        let dying = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = dying.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = dying.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            // With its greeting read the connection ends, with it unread it is reset.
            stream.readable().await.unwrap();
            if reads_on {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            }
        });
        let error = refusal(&format!("postgres://somebody@127.0.0.1:{port}/db?sslmode=require")).await;
        assert_eq!(error.kind(), ErrorKind::Database, "{reads_on}: {error}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn of_several_hosts_the_first_that_fits_is_used() {
    let server = Bed::get().server(17).await;
    let (port, ca) = (server.port(), rootcert(&server));
    let text = format!(
        "host=localhost,localhost port=1,{port} dbname=postgres user=postgres password={} {ca}",
        server.password()
    );
    let connector = open(&text).await.unwrap();
    assert_eq!(connector.endpoint().host.port, port);
    assert!(open(&format!("{text} target_session_attrs=primary")).await.is_ok());
    assert!(open(&format!("{text} target_session_attrs=prefer-standby")).await.is_ok());
    let error = refusal(&format!("{text} target_session_attrs=standby")).await;
    assert!(error.message().contains("is not a standby"), "{error}");
}

#[tokio::test]
async fn the_password_is_found_in_a_file_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let server = Bed::get().server(17).await;
    let folder = Bed::get().scratch_dir();
    let path = folder.path().join("pgpass");
    std::fs::write(&path, format!("localhost:*:*:postgres:{}\n", server.password())).unwrap();
    let text =
        format!("host=localhost port={} dbname=postgres user=postgres passfile={}", server.port(), path.display());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(open(&text).await.is_ok());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = refusal(&text).await;
    assert!(error.hint_text().unwrap().contains(".pgpass"), "{error}");
}

#[tokio::test]
async fn a_session_with_a_restarted_server_is_refused() {
    let mut server = Bed::get().private_server(17, &[]).await;
    let connector = open(&server.admin_url()).await.unwrap();
    connector.connect().await.unwrap().close().await;
    server.stop(Stop::Fast).await;
    server.start_again(&[]).await;
    let error = connector.connect().await.err().expect("another postmaster");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("different servers"), "{error}");
}

#[tokio::test]
async fn a_database_made_again_under_its_name_is_refused() {
    let server = Bed::get().server(17).await;
    let database = server.create_database().await;
    let name = database.name();
    let connector = open(&server.admin_url()).await.unwrap();
    let theirs = connector.open_database(name).await.unwrap();
    assert_eq!(theirs.identity().database, name);
    let again = format!("DROP DATABASE {name} WITH (FORCE)");
    server.sql("postgres", &again).await;
    server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    let error = theirs.connect().await.err().expect("another database");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn readers_on_threads_of_their_own_reach_the_same_server() {
    let server = Bed::get().server(17).await;
    let connector = open(&server.admin_url()).await.unwrap();
    let reader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = connector.connect().await.unwrap();
            let row = session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), session.backend_pid());
            session.close().await;
        });
    });
    reader.join().unwrap();
}

#[tokio::test]
async fn every_supported_server_accepts_the_readers_settings() {
    for major in MAJORS {
        let server = Bed::get().server(major).await;
        let connector = open(&server.admin_url()).await.unwrap();
        let settings = session::reader_settings(connector.identity(), Duration::from_secs(5));
        let a = connector.connect().await.unwrap();
        let shown = async || -> Vec<String> {
            let mut values = Vec::new();
            for (name, _) in &settings {
                let query = format!("SELECT current_setting('{name}')");
                values.push(a.query_one(&query, &[]).await.unwrap().get(0));
            }
            values
        };
        let before = shown().await;
        a.batch_execute("BEGIN").await.unwrap();
        session::apply(&a, &settings, Scope::Transaction).await.unwrap();
        assert_ne!(shown().await, before);
        a.batch_execute("COMMIT").await.unwrap();
        assert_eq!(shown().await, before, "a transaction's settings ended with it");

        session::apply(&a, &settings, Scope::Session).await.unwrap();
        for ((name, wanted), found) in settings.iter().zip(shown().await) {
            let zero = wanted == "0" && found == "0";
            let same = found == *wanted || name.ends_with("timeout");
            assert!(zero || same, "{name} is {found}");
        }
    }
}

#[tokio::test]
async fn what_a_trigger_raises_is_told_without_its_words() {
    let server = Bed::get().server(17).await;
    let database = server.create_database().await;
    database
        .sql(
            "CREATE TABLE t (card text UNIQUE, n int CHECK (n < 10));
             INSERT INTO t VALUES ('4111', 1);
             CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'card 4111' USING ERRCODE = '42501'; END $$",
        )
        .await;
    let session = open(&database.url()).await.unwrap().connect().await.unwrap();
    for (statement, told) in [
        (
            "INSERT INTO t VALUES ('4111', 2)",
            "SQLSTATE 23505, a constraint is violated, table public.t, constraint t_card_key",
        ),
        ("INSERT INTO t VALUES ('4111222', 4111)", "table public.t, constraint t_n_check"),
        ("SELECT f()", "SQLSTATE 42501"),
        ("SELECT '4111x'::int", "SQLSTATE 22P02"),
        ("SELECT 4111 4111", "SQLSTATE 42601"),
        ("SELECT * FROM missing", "relation \"missing\" does not exist (SQLSTATE 42P01)"),
    ] {
        let error = session.batch_execute(statement).await.unwrap_err();
        let error = lifeboat::postgres::from_postgres("testing", error);
        let said = format!("{error} {error:?} {:?}", error.hint_text());
        assert!(said.contains(told), "{said}");
        assert!(!said.contains("4111"), "{said}");
    }
}

#[tokio::test]
async fn sessions_of_our_own_are_told_from_borrowed_ones() {
    let server = Bed::get().server(17).await;
    let connector = open(&server.admin_url()).await.unwrap();
    let (a, b) = (connector.connect().await.unwrap(), connector.connect().await.unwrap());
    assert_eq!(probe(&a, &b).await.unwrap(), Ownership::Ours);
    let left = "SELECT coalesce(current_setting('lifeboat.probe', true), '')";
    let left: String = a.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, "", "the probe leaves nothing behind");
}

#[tokio::test]
async fn a_transaction_pooler_is_found_out_and_a_session_pooler_is_not_blamed() {
    let server = Bed::get().server(17).await;
    for (mode, pool_size, expected) in [
        ("session", 5, Ownership::Ours),
        ("transaction", 5, Ownership::Pooled),
        ("transaction", 1, Ownership::Pooled),
        ("statement", 5, Ownership::Pooled),
    ] {
        let Some(pooler) = PgBouncer::start(&server, mode, pool_size).await else {
            skipped("pgbouncer is not installed, so poolers are not tested");
            return;
        };
        let connector = open(&pooler.url()).await.unwrap();
        let (a, b) = (connector.connect().await.unwrap(), connector.connect().await.unwrap());
        assert_eq!(probe(&a, &b).await.unwrap(), expected, "{mode} {pool_size}");
    }
}

/// Says so past the capture of output, which would hide it.
pub fn skipped(reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// A pooler in front of one of the bed's servers, over its socket.
pub struct PgBouncer {
    _process: tokio::process::Child,
    _folder: tempfile::TempDir,
    port: u16,
}

impl PgBouncer {
    pub async fn start(server: &Server, pool_mode: &str, pool_size: u32) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())?;
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
        let settings = format!(
            "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir=\nauth_type=any\npool_mode={pool_mode}\ndefault_pool_size={pool_size}\n\
             query_wait_timeout=30\n",
            server.socket_dir().display(),
            server.port(),
        );
        let path = folder.path().join("pgbouncer.ini");
        std::fs::write(&path, settings).unwrap();
        open_to_everyone(folder.path());
        let mut command = tokio::process::Command::new(program);
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        if std::os::unix::fs::MetadataExt::uid(&folder.path().metadata().unwrap()) == 0 {
            // It refuses to run as root.
            command.uid(65_534).gid(65_534);
        }
        let process = command.spawn().unwrap();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(Self { _process: process, _folder: folder, port })
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

fn open_to_everyone(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
