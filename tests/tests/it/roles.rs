//! What the roles of `infra/sql` can and cannot do.

use lifeboat_tests::{Bed, MAJORS, TestDb, data};
use tokio_postgres::error::SqlState;

async fn zoo(major: u32) -> TestDb {
    let database = Bed::get().server(major).await.create_database().await;
    data::load_zoo(&database).await;
    database
}

/// What a backup locks and reads: rows without policies in between, sequences, large objects, the server's identity.
const EVERYTHING: &str = "
    DO $$
    DECLARE
      relation regclass;
    BEGIN
      SET LOCAL row_security = off;
      FOR relation IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384 LOOP
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', relation);
      END LOOP;
      FOR relation IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'm', 'S') AND relispopulated AND oid >= 16384 LOOP
        EXECUTE format('SELECT count(*) FROM ONLY %s', relation);
      END LOOP;
      PERFORM count(data) FROM pg_largeobject;
      PERFORM pg_export_snapshot();
      PERFORM system_identifier FROM pg_control_system();
      PERFORM timeline_id FROM pg_control_checkpoint();
    END $$";

#[tokio::test]
async fn the_backup_role_reads_everything_in_the_zoo_on_every_version() {
    for major in MAJORS {
        let database = zoo(major).await;
        let role = database.server().backup_role(database.name()).await;
        let client = database.client_as(role).await;
        client.batch_execute(EVERYTHING).await.unwrap_or_else(|error| panic!("on {major}: {error:?}"));
    }
}

#[tokio::test]
async fn the_backup_role_cannot_write() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database.sql("CREATE TABLE t (id int)").await;
        let role = database.server().backup_role(database.name()).await;
        let client = database.client_as(role).await;
        let refused = client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
        client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        for statement in ["INSERT INTO t VALUES (1)", "DROP TABLE t", "ALTER ROLE postgres NOLOGIN"] {
            let refused = client.batch_execute(statement).await.unwrap_err();
            assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement} on {major}");
        }
    }
}

#[tokio::test]
async fn the_backup_role_may_be_set_up_again_and_again() {
    let database = Bed::get().server(18).await.create_database().await;
    for _ in 0..2 {
        database.server().backup_role(database.name()).await;
        database.server().restore_role(database.name()).await;
    }
}

#[tokio::test]
async fn the_restore_role_gives_what_it_makes_to_the_owners() {
    for major in MAJORS {
        let source = zoo(major).await;
        let server = source.server();
        let role = server.restore_role(source.name()).await;
        let name = format!("{}_restored", source.name());
        server
            .client_as("postgres", role)
            .await
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .unwrap_or_else(|error| panic!("on {major}: {error:?}"));
        let restored = server.adopt_database(&name);
        let made = restored
            .client_as(role)
            .await
            .batch_execute(
                "CREATE SCHEMA s; GRANT CREATE ON SCHEMA s TO zoo_owner; CREATE TABLE s.t (id int); \
                 ALTER TABLE s.t OWNER TO zoo_owner; ALTER SCHEMA s OWNER TO zoo_owner",
            )
            .await;
        made.unwrap_or_else(|error| panic!("on {major}: {error:?}"));
    }
}
