//! Preflight on real servers: each obstacle is found, by name, and its fix removes it.

use std::path::PathBuf;

use lifeboat::model::TableName;
use lifeboat::postgres::Connector;
use lifeboat::postgres::preflight::{Finding, Options, Report, Severity, Wanted, preflight};
use lifeboat_tests::{Bed, MAJORS, Stop, TestDb};

use crate::connect::{PgBouncer, dsn, skipped};

fn all(_: &TableName) -> Wanted {
    Wanted::Rows
}

async fn report_for(connector: &Connector, jobs: u32, tool: PathBuf) -> Report {
    let options =
        Options { jobs, pg_dump: Some(&tool), allow_newer_server: false, wants: &all, wants_large_objects: true };
    preflight(connector, &options).await.unwrap()
}

async fn report(url: &str) -> Report {
    let connector = Connector::open(&dsn(url)).await.unwrap();
    report_for(&connector, 4, Bed::get().pg_dump().await).await
}

fn of<'a>(report: &'a Report, check: &str) -> Vec<&'a Finding> {
    report.findings.iter().filter(|finding| finding.check == check).collect()
}

fn objects(report: &Report, check: &str) -> Vec<String> {
    of(report, check).iter().filter_map(|finding| finding.object.clone()).collect()
}

/// A role that may log in and nothing else; gone with the value.
struct Role<'a> {
    database: &'a TestDb,
    name: String,
}

impl<'a> Role<'a> {
    async fn create(database: &'a TestDb) -> Self {
        let name = format!("weak_{}", database.name());
        let create = format!("CREATE ROLE {name} LOGIN PASSWORD '{}'", database.server().password());
        database.sql(&create).await;
        Self { database, name }
    }

    fn url(&self) -> String {
        self.database.url_as(&self.name)
    }

    async fn drop(self) {
        let Self { database, name } = self;
        database.sql(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
    }
}

#[tokio::test]
async fn a_superuser_meets_no_obstacle_on_any_supported_server() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database.sql("CREATE TABLE t (id serial); ALTER TABLE t ENABLE ROW LEVEL SECURITY; SELECT lo_create(0)").await;
        let report = report(&database.url()).await;
        assert_eq!(report.findings, [], "{major}");
    }
}

#[tokio::test]
async fn every_missing_privilege_is_named_and_its_fix_grants_it() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database
            .sql(
                "CREATE SCHEMA \"odd \"\"schema\"; CREATE TABLE \"odd \"\"schema\".\"odd'table\" (id serial);
                 CREATE TABLE some_columns (a int, b int); CREATE TABLE hidden (a int);
                 ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
                 SELECT lo_create(4711)",
            )
            .await;
        let role = Role::create(&database).await;
        let grants = format!("GRANT SELECT (a) ON some_columns TO {0}; GRANT SELECT ON hidden TO {0}", role.name);
        database.sql(&grants).await;

        let first = report(&role.url()).await;
        assert!(first.is_refused());
        assert_eq!(objects(&first, "schema_privileges"), ["odd \"schema"]);
        assert_eq!(objects(&first, "table_privileges"), ["odd \"schema.odd'table", "public.some_columns"]);
        assert!(of(&first, "table_privileges")[1].problem.contains("only some columns"));
        assert_eq!(objects(&first, "sequence_privileges"), ["odd \"schema.odd'table_id_seq"]);
        assert_eq!(objects(&first, "large_object_privileges"), ["4711"]);
        assert_eq!(objects(&first, "row_security"), ["public.hidden"]);
        for finding in first.findings.iter().filter(|finding| finding.severity == Severity::Error) {
            database.sql(&finding.fix).await;
        }
        assert_eq!(report(&role.url()).await.findings, [], "{major}");
        role.drop().await;
    }
}

#[tokio::test]
async fn reading_all_data_and_bypassing_policies_is_enough() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        let tables = "CREATE SCHEMA s; CREATE TABLE s.t (id serial); ALTER TABLE s.t ENABLE ROW LEVEL SECURITY";
        database.sql(tables).await;
        let role = Role::create(&database).await;
        let grants = format!("GRANT pg_read_all_data TO {0}; ALTER ROLE {0} BYPASSRLS", role.name);
        database.sql(&grants).await;
        assert_eq!(report(&role.url()).await.findings, [], "{major}");
        role.drop().await;
    }
}

#[tokio::test]
async fn policies_bind_an_owner_only_when_forced() {
    let database = Bed::get().server(17).await.create_database().await;
    let role = Role::create(&database).await;
    let tables = format!(
        "CREATE TABLE mine (); ALTER TABLE mine OWNER TO {0}; ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
         CREATE TABLE forced (); ALTER TABLE forced OWNER TO {0}; ALTER TABLE forced ENABLE ROW LEVEL SECURITY;
         ALTER TABLE forced FORCE ROW LEVEL SECURITY",
        role.name
    );
    database.sql(&tables).await;
    assert_eq!(objects(&report(&role.url()).await, "row_security"), ["public.forced"]);
    role.drop().await;
}

#[tokio::test]
async fn a_role_with_too_few_connections_is_told_how_many_jobs_it_may_have() {
    let database = Bed::get().server(17).await.create_database().await;
    let role = Role::create(&database).await;
    database.sql(&format!("ALTER ROLE {} CONNECTION LIMIT 4", role.name)).await;
    let report = report(&role.url()).await;
    let found = of(&report, "role_connections");
    assert!(found[0].problem.contains("leaves 4 free connections, and 4 jobs need 7"), "{}", found[0].problem);
    assert!(found[0].fix.starts_with("use --jobs 1, or ALTER ROLE"), "{}", found[0].fix);
    role.drop().await;
}

#[tokio::test]
async fn a_server_too_small_for_its_tables_is_refused() {
    let lines = ["max_locks_per_transaction = 10", "max_connections = 12", "max_prepared_transactions = 0"];
    let server = Bed::get().private_server(17, &lines).await;
    let tables = "SELECT format('CREATE TABLE t%s ()', i) FROM generate_series(1, 200) i";
    let create = format!("DO $$ DECLARE s text; BEGIN FOR s IN {tables} LOOP EXECUTE s; COMMIT; END LOOP; END $$");
    server.sql("postgres", &create).await;
    let connector = Connector::open(&dsn(&server.admin_url())).await.unwrap();
    let report = report_for(&connector, 16, Bed::get().pg_dump().await).await;
    assert_eq!(of(&report, "locks")[0].severity, Severity::Error);
    assert_eq!(of(&report, "connections")[0].severity, Severity::Error);
}

#[tokio::test]
async fn a_standby_tells_how_old_its_data_is() {
    for major in MAJORS {
        let mut server = Bed::get().private_server(major, &[]).await;
        server.stop(Stop::Fast).await;
        std::fs::write(server.data_dir().join("standby.signal"), "").unwrap();
        server.start_again(&[]).await;
        let report = report(&server.admin_url()).await;
        let severities: Vec<Severity> = of(&report, "replica").iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Warning], "{major}: {report:?}");
        assert!(of(&report, "replica")[0].problem.contains("standby is behind"), "{report:?}");
        assert!(!report.is_refused());
    }
}

#[tokio::test]
async fn an_old_pg_dump_is_refused_by_name() {
    let server = Bed::get().server(17).await;
    let folder = Bed::get().scratch_dir();
    let old = folder.path().join("pg_dump");
    std::fs::write(&old, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.14'\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    let connector = Connector::open(&dsn(&server.admin_url())).await.unwrap();
    let report = report_for(&connector, 1, old).await;
    assert!(of(&report, "pg_dump")[0].problem.contains("pg_dump 15.14"), "{report:?}");
}

#[tokio::test]
async fn a_transaction_pooler_is_refused_along_with_all_else() {
    let server = Bed::get().server(17).await;
    let Some(pooler) = PgBouncer::start(&server, "transaction", 5).await else {
        skipped("pgbouncer is not installed, so poolers are not tested");
        return;
    };
    let report = report(&pooler.url()).await;
    assert_eq!(of(&report, "pooler")[0].severity, Severity::Error);
    assert!(report.refusal().unwrap().message().contains("pooler"));
}

#[tokio::test]
async fn findings_are_told_as_json() {
    let database = Bed::get().server(17).await.create_database().await;
    database.sql("CREATE TABLE t ()").await;
    let role = Role::create(&database).await;
    let report = report(&role.url()).await;
    let told = serde_json::to_value(&report).unwrap();
    role.drop().await;
    let finding = &told["findings"][0];
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["check"], "table_privileges");
    assert_eq!(finding["object"], "public.t");
}
