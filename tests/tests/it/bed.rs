//! What tests may expect of their bed.

use lifeboat_tests::{Bed, MAJORS, Stop, dump_of};

#[tokio::test]
async fn every_major_version_has_a_server() {
    for major in MAJORS {
        let server = Bed::get().server(major).await;
        let database = server.create_database().await;
        let version: i32 = database
            .client()
            .await
            .query_one("SELECT current_setting('server_version_num')::int", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(version / 10_000, major as i32);
    }
}

#[tokio::test]
async fn a_dropped_test_database_is_gone() {
    let server = Bed::get().server(18).await;
    let database = server.create_database().await;
    let name = database.name().to_owned();
    database
        .sql(
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p \
             WITH (connect = false)",
        )
        .await;
    let session = database.client().await;
    drop(database);
    assert!(session.simple_query("SELECT 1").await.is_err());
    let left: i64 = server
        .client("postgres")
        .await
        .query_one("SELECT count(*) FROM pg_database WHERE datname = $1", &[&name])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_private_server_survives_its_crash() {
    let mut server = Bed::get().private_server(17, &["work_mem = '1MB'"]).await;
    server.sql("postgres", "CREATE TABLE t AS SELECT generate_series(1, 10) AS n").await;
    server.stop(Stop::Immediate).await;
    server.start_again(&["work_mem = '2MB'"]).await;
    let row = server
        .client("postgres")
        .await
        .query_one("SELECT count(*), current_setting('work_mem') FROM t", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (10, "2MB"));
}

#[tokio::test]
async fn dumps_of_equal_schemas_are_equal_and_of_others_not() {
    let server = Bed::get().server(16).await;
    let (one, two) = (server.create_database().await, server.create_database().await);
    for database in [&one, &two] {
        database.sql("CREATE TABLE t (id int PRIMARY KEY)").await;
    }
    let dump = dump_of(&server, one.name()).await;
    assert!(dump.contains("CREATE TABLE public.t"));
    assert_eq!(dump, dump_of(&server, two.name()).await);
    two.sql("ALTER TABLE t ADD note text").await;
    assert_ne!(dump, dump_of(&server, two.name()).await);
}

#[tokio::test]
async fn every_bucket_is_new() {
    let moto = Bed::get().moto().await;
    let (one, two) = (moto.fresh_bucket().await, moto.fresh_bucket().await);
    assert_ne!(one, two);
    let listed = moto.s3().list_objects_v2().bucket(one).send().await.unwrap();
    assert_eq!(listed.key_count(), Some(0));
}
