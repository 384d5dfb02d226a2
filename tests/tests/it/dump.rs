//! The schema through pg_dump, over the relay.

use std::time::Duration;

use lifeboat::ErrorKind;
use lifeboat::postgres::archive::Archive;
use lifeboat::postgres::dump::{DumpRequest, dump_schema, exactly};
use lifeboat::postgres::{Connector, pg_dump};
use lifeboat_tests::{Bed, MAJORS, Stop};
use tokio_util::sync::CancellationToken;

use crate::connect::dsn;

async fn request() -> DumpRequest {
    let path = Bed::get().pg_dump().await;
    DumpRequest {
        tool: pg_dump::find(Some(&path), 18).await.unwrap(),
        snapshot: None,
        lock_timeout: Duration::from_secs(30),
        arguments: Vec::new(),
    }
}

async fn open(url: &str) -> Connector {
    Connector::open(&dsn(url)).await.unwrap()
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

#[tokio::test]
async fn a_client_without_tls_dumps_every_server_over_verified_tls() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database.sql("CREATE TABLE \"odd 'name\" (id int PRIMARY KEY); CREATE TABLE left_out ()").await;
        let connector = open(&database.url()).await;
        assert!(connector.endpoint().encrypted);
        let mut request = request().await;
        request.arguments.push(format!("--exclude-table={}", exactly("public", "left_out")));
        let output = dump_schema(&connector, &request, &never()).await.unwrap();
        let text = String::from_utf8_lossy(&output.archive);
        assert!(text.contains("CREATE TABLE public.\"odd 'name\""), "{major}");
        assert!(!text.contains("left_out"), "{major}");
        assert_eq!(Archive::parse(&output.archive).unwrap().header.server_major(), Some(major));
        assert_eq!(output.warnings, [""; 0]);
        assert!(output.version.starts_with("18"));
    }
}

#[tokio::test]
async fn the_dump_sees_the_exported_snapshot() {
    let database = Bed::get().server(17).await.create_database().await;
    let connector = open(&database.url()).await;
    let holder = connector.connect().await.unwrap();
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
    let snapshot = holder.query_one("SELECT pg_export_snapshot()", &[]).await.unwrap().get(0);
    database.sql("CREATE TABLE came_later ()").await;
    let request = DumpRequest { snapshot: Some(snapshot), ..request().await };
    let output = dump_schema(&connector, &request, &never()).await.unwrap();
    assert!(!String::from_utf8_lossy(&output.archive).contains("came_later"));
}

#[tokio::test]
async fn warnings_come_with_the_dump() {
    let database = Bed::get().server(17).await.create_database().await;
    let circle = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a);
                  ALTER TABLE a ADD FOREIGN KEY (id) REFERENCES b;
                  CREATE SUBSCRIPTION s CONNECTION 'host=x password=hunter2' PUBLICATION p WITH (connect = false)";
    database.sql(circle).await;
    let role = format!("dumper_{}", database.name());
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", database.server().password());
    database.sql(&create).await;
    let grant = format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    database.sql(&grant).await;
    let output = dump_schema(&open(&database.url_as(&role)).await, &request().await, &never()).await.unwrap();
    let dropped = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    database.sql(&dropped).await;
    assert!(
        output.warnings.iter().any(|warning| warning.contains("subscriptions not dumped")),
        "{:?}",
        output.warnings
    );
}

#[tokio::test]
async fn every_method_of_authentication_reaches_the_dump() {
    for method in ["trust", "password", "md5", "scram-sha-256"] {
        let encryption = if method == "md5" { "md5" } else { "scram-sha-256" };
        let server = Bed::get().private_server(17, &[&format!("password_encryption = '{encryption}'")]).await;
        let password = server.password();
        server.sql("postgres", &format!("ALTER ROLE postgres PASSWORD '{password}'")).await;
        let hba = format!("local all all trust\nhost all all all {method}\n");
        std::fs::write(server.data_dir().join("pg_hba.conf"), hba).unwrap();
        server.sql("postgres", "SELECT pg_reload_conf()").await;
        for more in ["", "&sslmode=disable"] {
            let url = server.admin_url().replace("&sslrootcert", &format!("{more}&sslrootcert"));
            let output = dump_schema(&open(&url).await, &request().await, &never()).await;
            assert!(output.is_ok(), "{method} {more}: {output:?}");
        }
    }
}

#[tokio::test]
async fn channel_binding_is_used_where_it_is_required() {
    let server = Bed::get().server(17).await;
    let url = format!("{}&channel_binding=require", server.admin_url());
    assert!(dump_schema(&open(&url).await, &request().await, &never()).await.is_ok());
}

#[tokio::test]
async fn a_socket_server_is_dumped_too() {
    let server = Bed::get().server(14).await;
    let text = format!("host={} port={} user=postgres dbname=postgres", server.socket_dir().display(), server.port());
    assert!(dump_schema(&open(&text).await, &request().await, &never()).await.is_ok());
}

#[tokio::test]
async fn a_locked_table_is_a_conflict() {
    let database = Bed::get().server(17).await.create_database().await;
    database.sql("CREATE TABLE t ()").await;
    let connector = open(&database.url()).await;
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let request = DumpRequest { lock_timeout: Duration::from_millis(100), ..request().await };
    let error = dump_schema(&connector, &request, &never()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(!error.message().contains("LOCK TABLE"), "{error}");
}

#[tokio::test]
async fn a_stopped_dump_waits_for_no_lock_on_the_server() {
    let database = Bed::get().server(17).await.create_database().await;
    database.sql("CREATE TABLE t ()").await;
    let connector = open(&database.url()).await;
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let waiting = async || -> i64 {
        let query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        other.query_one(query, &[]).await.unwrap().get(0)
    };
    let stop = CancellationToken::new();
    let request = request().await;
    let dumping = dump_schema(&connector, &request, &stop);
    let stopping = async {
        while waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
    };
    let (dumped, ()) = tokio::join!(dumping, stopping);
    assert_eq!(dumped.unwrap_err().kind(), ErrorKind::OutOfTime);
    while waiting().await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_lost_server_is_told_as_such() {
    let mut server = Bed::get().private_server(17, &[]).await;
    let connector = open(&server.admin_url()).await;
    server.stop(Stop::Immediate).await;
    let error = dump_schema(&connector, &request().await, &never()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{error}");
    assert!(error.message().contains("connecting to localhost"), "{error}");
    server.start_again(&[]).await;
}

#[tokio::test]
async fn neither_arguments_nor_environment_of_the_dump_hold_the_password() {
    let database = Bed::get().server(17).await.create_database().await;
    let folder = Bed::get().scratch_dir();
    let spy = folder.path().join("pg_dump");
    let real = Bed::get().pg_dump().await;
    let seen = folder.path().join("seen");
    let script = format!("#!/bin/sh\n(echo \"$@\"; env) >> {}\nexec {} \"$@\"\n", seen.display(), real.display());
    std::fs::write(&spy, script).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&spy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let request = DumpRequest { tool: pg_dump::find(Some(&spy), 18).await.unwrap(), ..request().await };
    dump_schema(&open(&database.url()).await, &request, &never()).await.unwrap();
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("--schema-only") && seen.contains("LC_ALL=C"));
    assert!(!seen.contains(database.server().password()), "{seen}");
    assert!(!seen.contains("PG"), "{seen}");
}
