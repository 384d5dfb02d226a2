//! What docs/providers.md says: extensions that are saved, recreated or refused, and servers whose administrator is no superuser.

use lifeboat::ErrorKind;
use lifeboat::model::{Depth, NotRestored};
use lifeboat::ops::backup::{BackupOptions, backup};
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, RestoreReport};
use lifeboat_tests::{Bed, Server, TestDb};

use crate::rig::{Rig, connect};

const SHOP: &str = "
    CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int NOT NULL REFERENCES customer);
    INSERT INTO customer (name) SELECT md5(i::text) FROM generate_series(1, 100) i;
    INSERT INTO orders (customer_id) SELECT 1 + i % 100 FROM generate_series(1, 300) i;";

fn into(source: &TestDb) -> RestoreOptions {
    RestoreOptions { into: Some(format!("{}_copy", source.name())), ..RestoreOptions::default() }
}

async fn number(database: &TestDb, sql: &str) -> i64 {
    database.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn essential(listed: &[NotRestored]) -> Vec<&str> {
    let mut objects: Vec<&str> = listed.iter().filter(|lost| lost.essential).map(|lost| lost.object.as_str()).collect();
    objects.sort_unstable();
    objects
}

/// Restores as `url`'s role; the database is dropped with the value.
async fn restore_as(
    rig: &Rig,
    made: &BackupReport,
    server: &Server,
    url: &str,
    options: &RestoreOptions,
) -> (TestDb, RestoreReport) {
    let copy = server.adopt_database(options.into.as_ref().unwrap());
    let report = rig.try_restore(made, url, options, &rig.run).await.unwrap_or_else(|error| panic!("{error:?}"));
    (copy, report)
}

/// Fails as a backup that preflight refuses; nothing is published.
async fn refusal(rig: &Rig, source: &TestDb) -> (String, String) {
    let error = rig.try_backup(source, &rig.options().await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
    (error.message(), error.hint_text().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn hypertables_are_refused_by_name_until_they_are_left_out() {
    for major in [14, 18] {
        let server = Bed::get().server(major).await;
        let source = server.create_database().await;
        source.sql("CREATE EXTENSION timescaledb; CREATE TABLE plain AS SELECT 1 AS one; CREATE TABLE metrics (at int, v int)").await;
        let rig = Rig::new().await;
        rig.backup(&source).await;

        source.sql("INSERT INTO metrics VALUES (1, 1); SELECT create_hypertable('metrics')").await;
        let rig = Rig::new().await;
        let (problem, fix) = refusal(&rig, &source).await;
        assert!(problem.contains("public.metrics") && problem.contains("hypertable"), "{problem}");
        assert!(
            fix.contains("--exclude-table '_timescaledb_*.*'") && fix.contains("timescaledb_pre_restore()"),
            "{fix}"
        );
        assert!(rig.vault.databases().await.unwrap().is_empty(), "nothing was begun");

        let exclude_tables = strings(&["public.metrics", "_timescaledb_*.*"]);
        let options = BackupOptions { exclude_tables, ..rig.options().await };
        let made = rig.try_backup(&source, &options).await.unwrap();
        assert!(made.skipped.iter().any(|skipped| skipped.object == "_timescaledb_internal._hyper_1_1_chunk"));
        let (copy, report) = rig.restore(&made, &server, &into(&source)).await;
        assert!(report.proof.ok && report.not_restored.is_empty(), "{report:?}");
        assert_eq!(number(&copy, "SELECT count(*) FROM plain").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn distributed_tables_are_refused_by_name_until_their_rows_are_left_out() {
    for major in [14, 18] {
        let server = Bed::get().server(major).await;
        let source = server.create_database().await;
        source.sql("CREATE EXTENSION citus; CREATE TABLE plain AS SELECT 1 AS one; CREATE TABLE event AS SELECT 1 AS tenant").await;
        let rig = Rig::new().await;
        assert_eq!(rig.backup(&source).await.backup.rows, 2);

        source.sql("SELECT create_distributed_table('event', 'tenant')").await;
        let (problem, fix) = refusal(&rig, &source).await;
        assert!(problem.contains("public.event are distributed by Citus"), "{problem}");
        assert!(fix.contains("--exclude-table-data 'public.event'"), "{fix}");
        let options = BackupOptions { exclude_table_data: strings(&["public.event"]), ..rig.options().await };
        let made = rig.try_backup(&source, &options).await.unwrap();
        let (_copy, report) = rig.restore(&made, &server, &into(&source)).await;
        assert!(report.proof.ok && report.rows == 1, "{report:?}");
    }
}

/// A database whose extensions keep rows of its user's.
async fn configured(server: &Server) -> TestDb {
    let source = server.create_database().await;
    source.sql(SHOP).await;
    source
        .sql(
            "CREATE EXTENSION pg_cron; CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman; CREATE EXTENSION postgis;
             CREATE EXTENSION pg_stat_statements; CREATE EXTENSION citext; CREATE EXTENSION hstore;
             INSERT INTO cron.job (schedule, command) SELECT '0 3 * * *', 'VACUUM' FROM generate_series(1, 3);
             INSERT INTO partman.part_config VALUES ('public.orders', 'id', '1000', NULL);
             INSERT INTO spatial_ref_sys VALUES (990001, 'ACME', 'a site grid');
             CREATE TABLE typed (name citext UNIQUE, properties hstore); INSERT INTO typed VALUES ('A', 'a=>1')",
        )
        .await;
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_told_their_extensions_comes_back_and_what_extensions_bring_is_not_doubled() {
    for major in [15, 17] {
        let server = Bed::get().server(major).await;
        let source = configured(&server).await;
        let role = server.backup_role(source.name()).await;
        let rig = Rig::new().await;
        let reader = connect(&source.url_as(role)).await;
        let made = backup(&rig.vault, &reader, &rig.options().await, &rig.run).await.unwrap();
        let (copy, report) = rig.restore(&made, &server, &into(&source)).await;
        assert!(report.proof.ok && report.not_restored.is_empty(), "{report:?}");
        assert_eq!(number(&copy, "SELECT count(*) FROM cron.job").await, 3);
        assert_eq!(number(&copy, "SELECT nextval('cron.jobid_seq')").await, 4);
        assert_eq!(number(&copy, "SELECT count(*) FROM partman.part_config").await, 1);
        assert_eq!(number(&copy, "SELECT count(*) FROM spatial_ref_sys").await, 3);
        assert_eq!(number(&copy, "SELECT count(*) FROM typed WHERE name = 'a' AND properties -> 'a' = '1'").await, 1);
    }
}

/// A server's administrator who is no superuser.
struct Administrator {
    server: Server,
    name: String,
}

impl Administrator {
    /// With these attributes beside CREATEDB and CREATEROLE, and the rights on predefined roles that providers give.
    async fn new(server: &Server, provider: &str, attributes: &str) -> Self {
        let name = format!("{provider}_{}", std::process::id());
        let create = format!(
            "DO $$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object THEN END $$;
             ALTER ROLE {name} LOGIN CREATEDB CREATEROLE {attributes} PASSWORD '{}';
             GRANT pg_read_all_data, pg_read_all_stats, pg_signal_backend TO {name} WITH ADMIN OPTION",
            server.password()
        );
        server.sql_exclusively("postgres", &create).await;
        Self { server: server.clone(), name }
    }

    fn url(&self) -> String {
        self.server.url("postgres", &self.name)
    }

    /// A database of the administrator's, with what `statements` make in his name.
    async fn database(&self, statements: &str) -> TestDb {
        let database = self.server.create_database().await;
        database.sql(&format!("ALTER DATABASE {} OWNER TO {}", database.name(), self.name)).await;
        self.run(&database, statements).await;
        database
    }

    async fn run(&self, database: &TestDb, statements: &str) {
        let done = database.client_as(&self.name).await.batch_execute(statements).await;
        done.unwrap_or_else(|error| panic!("as {}: {error:?}\n{statements}", self.name));
    }

    /// The role of `infra/sql/backup_role.sql`, made by this administrator under a name of its own.
    async fn backup_role(&self, database: &TestDb) -> String {
        let role = format!("reads_{}", self.name);
        // Roles are the whole server's: the same gate as `sql_exclusively`.
        let gate = self.server.client("postgres").await;
        gate.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
        let script = include_str!("../../../infra/sql/backup_role.sql").replace("lifeboat", &role);
        self.run(database, &script).await;
        self.run(database, &format!("ALTER ROLE {role} PASSWORD '{}'", self.server.password())).await;
        role
    }

    /// Backs up by the role that reads, restores and verifies as the administrator. Gives what was not restored.
    async fn round_trip(&self, rig: &Rig, source: &TestDb, tables: u64) -> Vec<NotRestored> {
        let role = self.backup_role(source).await;
        let reader = connect(&source.url_as(&role)).await;
        let made =
            backup(&rig.vault, &reader, &rig.options().await, &rig.run).await.unwrap_or_else(|e| panic!("{e:?}"));
        let (_copy, report) = restore_as(rig, &made, &self.server, &self.url(), &into(source)).await;
        assert!(report.proof.ok && report.proof.tables_equal == tables, "{report:?}");
        assert_eq!(essential(&report.not_restored), [""; 0], "{report:?}");
        let scratch = connect(&self.url()).await;
        let verdict = verify(&rig.database().await, &made.backup.id, Depth::Restore, Some(&scratch), &rig.run).await;
        let verdict = verdict.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(verdict.ok, "{verdict:?}");
        report.not_restored
    }
}

#[track_caller]
fn require_listed(listed: &[NotRestored], objects: &[&str]) {
    for object in objects {
        assert!(listed.iter().any(|lost| lost.object == *object), "{object} is not among {listed:#?}");
    }
}

/// What only a superuser makes, in a database that came from elsewhere.
const SUPERUSERS: &str = "
    CREATE FUNCTION hears() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER ear ON ddl_command_end EXECUTE FUNCTION hears();
    CREATE PUBLICATION everything FOR ALL TABLES;
    CREATE FUNCTION adds(int, int) RETURNS int LANGUAGE internal AS 'int4pl';
    CREATE EXTENSION pageinspect; CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE elsewhere (id int) SERVER far;
    CREATE CAST (point AS text) WITH INOUT;
    ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO PUBLIC;";

/// What of [`SUPERUSERS`] an administrator cannot make again.
const REFUSED: [&str; 9] = [
    "EVENT TRIGGER ear",
    "PUBLICATION everything",
    "FUNCTION public.adds(integer, integer)",
    "EXTENSION pageinspect",
    "EXTENSION postgres_fdw",
    "SERVER far",
    "FOREIGN TABLE public.elsewhere",
    "CAST CAST (point AS text)",
    "DEFAULT ACL DEFAULT PRIVILEGES FOR TABLES",
];

#[tokio::test(flavor = "multi_thread")]
async fn at_rds_every_row_comes_back_and_what_its_superuser_keeps_is_listed() {
    for major in [14, 17] {
        let server = Bed::get().server(major).await;
        let admin = Administrator::new(&server, "rds", "").await;
        let source = admin.database(SHOP).await;
        source.sql(SUPERUSERS).await;
        let listed = admin.round_trip(&Rig::new().await, &source, 2).await;
        require_listed(&listed, &REFUSED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_cloud_sql_every_row_comes_back_and_what_its_superuser_keeps_is_listed() {
    let server = Bed::get().server(18).await;
    let admin = Administrator::new(&server, "cloudsqlsuperuser", "REPLICATION").await;
    let shop =
        format!("{SHOP} CREATE SCHEMA app; CREATE TABLE app.note AS SELECT 'x' AS t; SELECT lo_from_bytea(4711, 'x');");
    let source = admin.database(&shop).await;
    source.sql(SUPERUSERS).await;
    // Large objects count as one table.
    let listed = admin.round_trip(&Rig::new().await, &source, 4).await;
    require_listed(&listed, &REFUSED);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_supabase_hidden_rows_of_other_owners_schemas_come_along() {
    let server = Bed::get().server(16).await;
    let admin = Administrator::new(&server, "supabase", "BYPASSRLS").await;
    let (pid, name) = (std::process::id(), &admin.name);
    let roles = ["auth", "storage", "anon"].map(|role| format!("supabase_{role}_{pid}"));
    let [auth, storage, anon] = &roles;
    let create: String = roles
        .iter()
        .map(|role| {
            format!(
                "DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN END $$; GRANT {role} TO {name};"
            )
        })
        .collect();
    server.sql_exclusively("postgres", &create).await;
    let source = admin.database(SHOP).await;
    source
        .sql(&format!(
            "CREATE SCHEMA auth AUTHORIZATION {auth}; CREATE SCHEMA storage AUTHORIZATION {storage};
             SET ROLE {auth};
             CREATE TABLE auth.users (id int PRIMARY KEY, email text); ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
             ALTER TABLE auth.users FORCE ROW LEVEL SECURITY;
             RESET ROLE; INSERT INTO auth.users SELECT i, 'someone' FROM generate_series(1, 50) i;
             SET ROLE {storage};
             CREATE TABLE storage.objects (id int, owner_id int); ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
             CREATE POLICY mine ON storage.objects TO {anon} USING (owner_id = 1);
             INSERT INTO storage.objects SELECT i, i % 3 FROM generate_series(1, 60) i;
             RESET ROLE;
             CREATE SCHEMA extensions; CREATE EXTENSION hstore SCHEMA extensions;
             CREATE PUBLICATION supabase_realtime; GRANT SELECT ON customer TO {anon};
             CREATE FUNCTION extensions.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
             CREATE EVENT TRIGGER issue_pg_net_access ON ddl_command_end EXECUTE FUNCTION extensions.watch()"
        ))
        .await;

    let weak = format!("weak_{}", source.name());
    source
        .sql(&format!("CREATE ROLE {weak} LOGIN PASSWORD '{}'; GRANT pg_read_all_data TO {weak}", server.password()))
        .await;
    let rig = Rig::new().await;
    let reader = connect(&source.url_as(&weak)).await;
    let refused = backup(&rig.vault, &reader, &rig.options().await, &rig.run).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Preflight);
    for table in ["auth.users", "storage.objects"] {
        assert!(refused.message().contains(&format!("row-level security hides rows of table {table}")), "{refused}");
    }
    assert!(refused.hint_text().unwrap().contains("BYPASSRLS"), "{refused}");
    source.sql(&format!("DROP OWNED BY {weak}; DROP ROLE {weak}")).await;

    let listed = admin.round_trip(&rig, &source, 4).await;
    require_listed(&listed, &["EVENT TRIGGER issue_pg_net_access"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_the_target_keeps_to_itself_costs_its_own_rows_and_no_others() {
    let server = Bed::get().server(17).await;
    let source = configured(&server).await;
    let admin = Administrator::new(&server, "keeps", "").await;
    let rig = Rig::new().await;
    let made = rig.backup(&source).await;
    let lost = [
        "rows of cron.job",
        "rows of partman.part_config",
        "rows of public.spatial_ref_sys",
        "sequence cron.jobid_seq",
    ];
    let options = RestoreOptions { no_owner: true, ..into(&source) };
    let (copy, report) = restore_as(&rig, &made, &server, &admin.url(), &options).await;
    assert!(report.proof.ok && report.proof.tables_equal == 3, "{report:?}");
    assert_eq!(essential(&report.not_restored), lost);
    require_listed(&report.not_restored, &["EXTENSION pg_cron", "EXTENSION pg_partman"]);
    assert_eq!(number(&copy, "SELECT count(*) FROM orders").await, 300);

    let database = rig.database().await;
    let (theirs, ours) = (connect(&admin.url()).await, connect(&server.admin_url()).await);
    let verdict = verify(&database, &made.backup.id, Depth::Restore, Some(&theirs), &rig.run).await.unwrap();
    let findings: Vec<&str> = verdict.findings.iter().map(|finding| finding.object.as_str()).collect();
    assert!(!verdict.ok && lost.iter().all(|lost| findings.contains(lost)) && findings.len() == 4, "{verdict:?}");
    let verdict = verify(&database, &made.backup.id, Depth::Restore, Some(&ours), &rig.run).await.unwrap();
    assert!(verdict.ok, "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_that_cannot_come_back_is_a_finding_and_a_publication_is_none() {
    let server = Bed::get().server(16).await;
    let admin = Administrator::new(&server, "finds", "").await;
    let source = admin.database("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE tree (id int REFERENCES parent) PARTITION BY LIST (id);
         CREATE TABLE leaf PARTITION OF tree DEFAULT").await;
    source.sql("CREATE PUBLICATION everything FOR ALL TABLES; SET session_replication_role = replica; INSERT INTO leaf VALUES (8)").await;
    let rig = Rig::new().await;
    let made = rig.backup(&source).await;
    let scratch = connect(&admin.url()).await;
    let verdict =
        verify(&rig.database().await, &made.backup.id, Depth::Restore, Some(&scratch), &rig.run).await.unwrap();
    let findings: Vec<&str> = verdict.findings.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(findings, ["FK CONSTRAINT public.tree tree_id_fkey"], "{verdict:?}");
}
