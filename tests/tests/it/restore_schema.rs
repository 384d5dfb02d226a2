//! Restoring a schema by our own reader and restorer, with `pg_dump` and `pg_restore` as judges.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Mutex;

use lifeboat::plan::restore::{SchemaPlan, Selection, plan_schema};
use lifeboat::postgres::Connector;
use lifeboat::postgres::archive::{Archive, DumpId};
use lifeboat::postgres::dsn::{Dsn, Environment};
use lifeboat::postgres::restore_schema::{Progress, SchemaOutcome, SchemaRestore};
use lifeboat::postgres::schema_sql::{Pass, SchemaOptions, Step};
use lifeboat::postgres::sql_text::{Token, statements, tokens};
use lifeboat::{ErrorKind, Result};
use lifeboat_tests::{Bed, MAJORS, TestDb, data, dump_of};
use tokio_util::sync::CancellationToken;

/// `pg_dump --schema-only -Fc`, as a backup keeps it.
async fn schema_dump(database: &TestDb) -> Vec<u8> {
    let server = database.server();
    let output = tokio::process::Command::new(Bed::get().pg_dump().await)
        .args(["--schema-only", "--format=custom", "--encoding=UTF8", "--username=postgres"])
        .arg(format!("--host={}", server.socket_dir().display()))
        .args([format!("--port={}", server.port()), format!("--dbname={}", database.name())])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

async fn archive_of(database: &TestDb) -> Archive {
    Archive::parse(&schema_dump(database).await).unwrap()
}

async fn target(database: &TestDb, user: &str) -> Connector {
    let dsn = Dsn::parse(&database.url_as(user), &Environment::default()).unwrap();
    Connector::open(&dsn).await.unwrap()
}

fn plan(archive: &Archive, selection: &Selection, options: &SchemaOptions) -> SchemaPlan {
    let same_major = archive.header.server_major().unwrap();
    plan_schema(archive, selection, options, same_major, &BTreeMap::new()).unwrap()
}

fn whole(archive: &Archive, target_major: u32) -> SchemaPlan {
    plan_schema(archive, &Selection::Everything, &SchemaOptions::default(), target_major, &BTreeMap::new()).unwrap()
}

/// Notes what is done in the target itself, as a restore does, and in memory.
#[derive(Default)]
struct Noted(Mutex<Vec<DumpId>>);

const NOTES: &str = "CREATE SCHEMA noted; CREATE TABLE noted.done (id bigint PRIMARY KEY);";

impl Progress for Noted {
    fn record(&self, dump_id: DumpId, _: &SchemaOutcome) -> Option<String> {
        Some(format!("INSERT INTO noted.done VALUES ({dump_id})"))
    }

    fn done(&self, dump_id: DumpId) {
        self.0.lock().unwrap().push(dump_id);
    }
}

/// Stops the restore as soon as a step is done.
struct StopAfter(DumpId, CancellationToken);

impl Progress for StopAfter {
    fn record(&self, _: DumpId, _: &SchemaOutcome) -> Option<String> {
        None
    }

    fn done(&self, dump_id: DumpId) {
        if dump_id == self.0 {
            self.1.cancel();
        }
    }
}

/// Keeps nothing.
struct Unnoted;

impl Progress for Unnoted {
    fn record(&self, _: DumpId, _: &SchemaOutcome) -> Option<String> {
        None
    }

    fn done(&self, _: DumpId) {}
}

async fn restore(plan: &SchemaPlan, into: &Connector) -> Result<SchemaOutcome> {
    restore_with_rows(plan, into, "").await
}

/// Runs `rows` where a restore would copy them in.
async fn restore_with_rows(plan: &SchemaPlan, into: &Connector, rows: &str) -> Result<SchemaOutcome> {
    let stop = CancellationToken::new();
    let restore = SchemaRestore { plan, done: &BTreeSet::new(), progress: &Unnoted, stop: &stop };
    let mut outcome = restore.pre_data(into).await?;
    into.connect().await?.batch_execute(rows).await.unwrap();
    let post = restore.post_data(into, NonZeroUsize::new(3).unwrap()).await?;
    outcome.not_restored.extend(post.not_restored);
    outcome.remarks.extend(post.remarks);
    Ok(outcome)
}

/// The zoo as far as `pg_dump` can tell it: of a table that joined its parent with its columns in another order it cannot.
async fn tellable_zoo(major: u32) -> TestDb {
    let source = zoo(major).await;
    source.sql("DROP TABLE zoo_traps.joined_later").await;
    source
}

/// A database with what `sql` makes, and an empty one on the same server.
async fn source_and_target(major: u32, sql: &str) -> (TestDb, TestDb) {
    let server = Bed::get().server(major).await;
    let source = server.create_database().await;
    source.sql(sql).await;
    (source, server.create_database().await)
}

async fn zoo(major: u32) -> TestDb {
    let source = Bed::get().server(major).await.create_database().await;
    data::load_zoo(&source).await;
    source
}

#[tokio::test]
async fn a_restored_zoo_dumps_like_the_zoo() {
    for major in MAJORS {
        let source = tellable_zoo(major).await;
        let copy = source.server().create_database().await;
        let archive = archive_of(&source).await;
        let outcome = restore(&whole(&archive, major), &target(&copy, "postgres").await).await.unwrap();
        assert_eq!(outcome, SchemaOutcome::default(), "on {major}");
        // What belongs to the database is not the schema's, and shows in how a dump begins.
        data::set_zoo_properties(&copy).await;
        assert_same(&dump_of(source.server(), source.name()).await, &dump_of(copy.server(), copy.name()).await);
    }
}

fn assert_same(expected: &str, found: &str) {
    // A view over VALUES prints with one more blank once it was restored.
    let [expected, found] = [expected, found].map(|dump| dump.replace("( VALUES", "(VALUES"));
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    for (n, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(expected, found, "line {}", n + 1);
    }
    assert_eq!(expected.len(), found.len());
}

#[tokio::test]
async fn older_zoos_are_restored_into_newer_servers() {
    for (from, to) in [(14, 18), (15, 17), (16, 18), (17, 18)] {
        let source = zoo(from).await;
        let copy = Bed::get().server(to).await.create_database().await;
        let archive = archive_of(&source).await;
        let outcome = restore(&whole(&archive, to), &target(&copy, "postgres").await).await.unwrap();
        assert_eq!(outcome, SchemaOutcome::default(), "from {from} to {to}");
    }
}

#[tokio::test]
async fn we_run_what_pg_restore_prints() {
    for major in MAJORS {
        let source = zoo(major).await;
        let dump = schema_dump(&source).await;
        let plan = whole(&Archive::parse(&dump).unwrap(), major);
        let (ours, mut theirs) = (our_script(&plan), pg_restores_script(&dump).await);
        if major < 16 {
            theirs = theirs.replace(", run_as_owner = true", "");
        }
        if major < 15 {
            // It writes what these servers do not understand.
            theirs = theirs.replace("\n    LOGGED\n", "\n");
        }
        let (ours, theirs) = (normalized(&ours), normalized(&theirs));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "on {major}");
        }
        assert_eq!(ours.len(), theirs.len());
    }
}

/// All steps in the order of a restore on one connection.
fn our_script(plan: &SchemaPlan) -> String {
    let pass = |pass: Pass| plan.post_data.iter().map(|post| &post.step).filter(move |step| step.pass == pass);
    let after_rows =
        [Pass::Main, Pass::SchemaPrivileges, Pass::Privileges, Pass::AfterPrivileges].into_iter().flat_map(pass);
    let sql = |step: &Step| step.statements.iter().map(|statement| format!("{};\n", statement.sql)).collect::<String>();
    plan.pre_data.iter().chain(after_rows).map(sql).collect()
}

async fn pg_restores_script(dump: &[u8]) -> String {
    let folder = Bed::get().scratch_dir();
    let path = folder.path().join("zoo.dump");
    std::fs::write(&path, dump).unwrap();
    let output = tokio::process::Command::new(&Bed::get().tools().await.pg_restore)
        .arg("--file=-")
        .arg(path)
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    let script = String::from_utf8(output.stdout).unwrap();
    let (_settings, script) = script.split_once("\n--\n-- Name: ").unwrap();
    let (script, _end) = script.split_once("-- PostgreSQL database dump complete").unwrap();
    format!("-- {script}")
}

/// Statements as words, without what may differ: quotes that a name can do without, the way to another grantor, and
/// the settings of where rows go.
fn normalized(script: &str) -> Vec<Vec<String>> {
    let word = |token: &Token<'_>| token.identifier().unwrap_or_else(|| token.text().to_owned());
    let tokens = tokens(script);
    let words = statements(&tokens).map(|statement| statement.iter().map(word).collect::<Vec<_>>());
    let words = words.map(|words| match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["set", "session", "authorization", role] => ["set", "role", *role].map(str::to_owned).to_vec(),
        ["reset", "session", "authorization"] => ["reset", "role"].map(str::to_owned).to_vec(),
        _ => words,
    });
    let storage = |words: &Vec<String>| words.iter().take(3).any(|word| word.starts_with("default_table"));
    // Servers refuse what pg_dump says of exclusion constraints on partitioned tables.
    let trap = |words: &Vec<String>| words.iter().any(|word| word.contains("excluded_parts") && word.contains("_excl"));
    words.filter(|words| !storage(words) && !trap(words)).collect()
}

#[tokio::test]
async fn a_restore_that_died_goes_on_where_it_stopped() {
    let source = tellable_zoo(18).await;
    let copy = source.server().create_database().await;
    let archive = archive_of(&source).await;
    copy.sql(NOTES).await;
    let into = target(&copy, "postgres").await;
    let whole = whole(&archive, 18);
    let mut done = BTreeSet::new();
    // Each attempt gets further into the plan before it stops.
    for share in 1..=4 {
        let mut plan = whole.clone();
        plan.pre_data.truncate(whole.pre_data.len() * share / 2);
        plan.post_data.truncate(whole.post_data.len() * share / 4);
        let noted = Noted::default();
        let stop = CancellationToken::new();
        let restore = SchemaRestore { plan: &plan, done: &done, progress: &noted, stop: &stop };
        restore.pre_data(&into).await.unwrap();
        if share >= 2 {
            restore.post_data(&into, NonZeroUsize::new(2).unwrap()).await.unwrap();
        }
        let noted = noted.0.into_inner().unwrap();
        assert!(done.is_disjoint(&noted.iter().copied().collect()));
        done.extend(noted);
        let rows = copy.client().await.query("SELECT id FROM noted.done", &[]).await.unwrap();
        let in_target: BTreeSet<DumpId> = rows.iter().map(|row| DumpId(row.get::<_, i64>(0) as u32)).collect();
        assert_eq!(in_target, done);
    }
    copy.sql("DROP SCHEMA noted CASCADE").await;
    data::set_zoo_properties(&copy).await;
    assert_same(&dump_of(source.server(), source.name()).await, &dump_of(copy.server(), copy.name()).await);
}

#[tokio::test]
async fn a_stopped_restore_cancels_what_runs_and_begins_nothing_new() {
    let schema = "CREATE TABLE t (a int); CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
                      'BEGIN PERFORM pg_sleep(3600); RETURN $1; END'; \
                  CREATE INDEX quick ON t (a); CREATE INDEX slow ON t (slow(a)); GRANT SELECT ON t TO PUBLIC";
    let (source, copy) = source_and_target(17, schema).await;
    let archive = archive_of(&source).await;
    let (mut plan, into) = (whole(&archive, 17), target(&copy, "postgres").await);
    // As of a large table: not together.
    plan.post_data.iter_mut().for_each(|post| post.table_bytes = u64::MAX);
    let quick = archive.entries.iter().find(|entry| entry.tag == "quick").unwrap().dump_id;
    let stop = CancellationToken::new();
    let progress = StopAfter(quick, stop.clone());
    let restore = SchemaRestore { plan: &plan, done: &BTreeSet::new(), progress: &progress, stop: &stop };
    restore.pre_data(&into).await.unwrap();
    copy.sql("INSERT INTO t VALUES (1)").await;
    let error = restore.post_data(&into, NonZeroUsize::new(2).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfTime);
    let made = "SELECT count(*) FILTER (WHERE relname = 'quick'), count(*) FILTER (WHERE relname = 'slow'), \
                    count(relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    let row = copy.client().await.query_one(made, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (1, 0, 0));
    let again = restore.pre_data(&into).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::OutOfTime);
}

#[tokio::test]
async fn an_essential_refusal_names_the_object_and_ends_the_restore() {
    let (source, copy) = source_and_target(16, "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t").await;
    copy.sql("CREATE TABLE t (b int)").await;
    let error = restore(&whole(&archive_of(&source).await, 16), &target(&copy, "postgres").await).await.unwrap_err();
    assert!(error.message().starts_with("restoring TABLE public.t: "), "{error}");
    assert!(error.message().contains("42P07"), "{error}");
}

#[tokio::test]
async fn what_no_server_would_take_costs_itself_once_the_rows_are_there() {
    let schema = "CREATE TABLE t (a int); CREATE RULE r AS ON UPDATE TO t DO NOTHING; COMMENT ON RULE r ON t IS 'still'; \
                  CREATE INDEX by_a ON t (a)";
    let (source, copy) = source_and_target(16, schema).await;
    let mut archive = archive_of(&source).await;
    let rule = archive.entries.iter_mut().find(|entry| entry.desc == "RULE").unwrap();
    // Some minor versions let rules of tables be given the name of a view's rule.
    rule.definition = rule.definition.replace("RULE r ", "RULE \"_RETURN\" ");
    let plan = whole(&archive, 16);
    let outcome = restore_with_rows(&plan, &target(&copy, "postgres").await, "INSERT INTO t VALUES (1)").await.unwrap();
    let lost: Vec<(&str, bool)> =
        outcome.not_restored.iter().map(|lost| (lost.object.as_str(), lost.essential)).collect();
    assert_eq!(lost, [("RULE public.t r", true), ("COMMENT public.RULE r ON t", false)]);
    assert!(outcome.not_restored[0].reason.contains("42P17"), "{outcome:?}");
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'";
    assert_eq!(copy.client().await.query_one(indexes, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn rows_that_break_a_constraint_get_it_not_valid() {
    let schema = "CREATE TABLE parent (id int PRIMARY KEY); \
                  CREATE TABLE child (id int REFERENCES parent); \
                  CREATE TABLE tree (id int REFERENCES parent) PARTITION BY LIST (id); \
                  CREATE TABLE leaf PARTITION OF tree DEFAULT; \
                  ALTER TABLE child ADD CONSTRAINT late CHECK (id < 5) NOT VALID;";
    for major in [14, 18] {
        let (source, copy) = source_and_target(major, schema).await;
        let plan = whole(&archive_of(&source).await, major);
        let into = target(&copy, "postgres").await;
        let rows = "INSERT INTO child VALUES (7); INSERT INTO leaf VALUES (8)";
        let outcome = restore_with_rows(&plan, &into, rows).await.unwrap();
        let mut remarks: Vec<&str> = outcome.remarks.iter().map(|remark| remark.object.as_str()).collect();
        remarks.sort_unstable();
        let refused: Vec<&str> = outcome.not_restored.iter().map(|skipped| skipped.object.as_str()).collect();
        let (child, tree) = ("FK CONSTRAINT public.child child_id_fkey", "FK CONSTRAINT public.tree tree_id_fkey");
        // Before 18 there is no foreign key of a partitioned table that is not valid.
        if major == 18 {
            assert_eq!((remarks.as_slice(), refused.len()), ([child, tree].as_slice(), 0));
        } else {
            assert_eq!((remarks.as_slice(), refused.as_slice()), ([child].as_slice(), [tree].as_slice()));
        }
        let remarked = outcome.remarks.iter().map(|remark| &remark.reason);
        for reason in remarked.chain(outcome.not_restored.iter().map(|lost| &lost.reason)) {
            assert!(reason.contains("23503"), "{reason}");
        }
        assert!(outcome.not_restored.iter().all(|lost| lost.essential), "{outcome:?}");
        let unvalidated = "SELECT count(*) FROM pg_constraint WHERE NOT convalidated AND conname = 'child_id_fkey'";
        assert_eq!(copy.client().await.query_one(unvalidated, &[]).await.unwrap().get::<_, i64>(0), 1);
    }
}

#[tokio::test]
async fn rows_that_break_a_key_cost_the_key_and_what_depends_on_it() {
    let schema = "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent); \
                  CREATE VIEW v AS SELECT * FROM parent GROUP BY id; COMMENT ON CONSTRAINT parent_pkey ON parent IS 'key'; \
                  CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1 / $1; END'; \
                  CREATE INDEX by_f ON child (f(id)); CREATE INDEX plain ON child (id)";
    let (source, copy) = source_and_target(16, schema).await;
    let rows = "INSERT INTO public.parent VALUES (1), (1); INSERT INTO public.child VALUES (0)";
    let plan = whole(&archive_of(&source).await, 16);
    let outcome = restore_with_rows(&plan, &target(&copy, "postgres").await, rows).await.unwrap();
    let refused: BTreeSet<&str> = outcome.not_restored.iter().map(|skipped| skipped.object.as_str()).collect();
    let expected = [
        "COMMENT public.CONSTRAINT parent_pkey ON parent",
        "CONSTRAINT public.parent parent_pkey",
        "FK CONSTRAINT public.child child_id_fkey",
        "INDEX public.by_f",
    ];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), expected);
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'";
    assert_eq!(copy.client().await.query_one(indexes, &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// Makes roles that may be there from another test.
async fn make_roles(database: &TestDb, roles: &[&str]) {
    for role in roles {
        let make = format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN PASSWORD '{}'; \
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
            database.server().password()
        );
        database.sql(&make).await;
    }
}

#[tokio::test]
async fn one_missing_role_costs_its_own_privileges_only() {
    let server = Bed::get().server(17).await;
    let (source, copy) = (server.create_database().await, server.create_database().await);
    make_roles(&source, &["schema_reader", "schema_owner"]).await;
    source
        .sql(
            "CREATE TABLE t (a int); ALTER TABLE t OWNER TO schema_owner; \
             GRANT SELECT ON t TO schema_reader, schema_owner; GRANT UPDATE ON t TO PUBLIC",
        )
        .await;
    let archive = archive_of(&source).await;
    let role_map = [("schema_reader", "nobody; here"), ("schema_owner", "nor \"here\"")];
    let role_map = role_map.into_iter().map(|(from, to)| (from.to_owned(), to.to_owned())).collect();
    let options = SchemaOptions { role_map, ..Default::default() };
    let plan = plan(&archive, &Selection::Everything, &options);
    assert!(plan.roles.contains("nobody; here") && plan.roles.contains("nor \"here\""));
    let outcome = restore(&plan, &target(&copy, "postgres").await).await.unwrap();
    let objects: Vec<&str> = outcome.not_restored.iter().map(|skipped| skipped.object.as_str()).collect();
    assert_eq!(objects, ["owner nor \"here\" of TABLE public.t", "ACL public.TABLE t"]);
    assert!(outcome.not_restored[1].reason.contains("nobody; here"), "{outcome:?}");
    let granted = "SELECT has_table_privilege('pg_monitor', 't', 'UPDATE')";
    assert!(copy.client().await.query_one(granted, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn roles_get_their_new_names_everywhere() {
    let server = Bed::get().server(18).await;
    let (source, copy) = (server.create_database().await, server.create_database().await);
    make_roles(&source, &["schema_reader", "schema_owner", "\"Schema Owner 2\""]).await;
    source
        .sql(
            "CREATE SCHEMA s AUTHORIZATION schema_owner; CREATE TABLE s.t (a int); ALTER TABLE s.t OWNER TO schema_owner; \
             CREATE POLICY p ON s.t TO schema_owner, schema_reader USING (true); \
             GRANT ALL ON s.t TO schema_reader WITH GRANT OPTION; \
             GRANT USAGE ON SCHEMA s TO schema_reader; SET ROLE schema_reader; GRANT SELECT ON s.t TO PUBLIC; RESET ROLE; \
             ALTER DEFAULT PRIVILEGES FOR ROLE schema_owner IN SCHEMA s GRANT SELECT ON TABLES TO schema_reader",
        )
        .await;
    let role_map = [("schema_owner".to_owned(), "Schema Owner 2".to_owned())].into_iter().collect();
    let options = SchemaOptions { role_map, ..Default::default() };
    let plan = plan(&archive_of(&source).await, &Selection::Everything, &options);
    let outcome = restore(&plan, &target(&copy, "postgres").await).await.unwrap();
    assert_eq!(outcome, SchemaOutcome::default());
    let expected = dump_of(&server, source.name()).await;
    let expected = expected.replace("Owner: schema_owner", "Owner: Schema Owner 2");
    assert_same(&expected.replace("schema_owner", "\"Schema Owner 2\""), &dump_of(&server, copy.name()).await);
}

#[tokio::test]
async fn without_superuser_what_only_superusers_may_is_listed_and_the_rest_restored() {
    let server = Bed::get().server(16).await;
    let (source, copy) = (server.create_database().await, server.create_database().await);
    make_roles(&source, &["schema_restorer", "schema_owner"]).await;
    source
        .sql(
            "CREATE EXTENSION hstore; CREATE EXTENSION adminpack; CREATE TABLE t (id serial PRIMARY KEY, h hstore); \
             ALTER TABLE t OWNER TO schema_owner; CREATE INDEX ON t USING gin (h); \
             CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
             CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e(); CREATE PUBLICATION p FOR ALL TABLES; \
             ALTER DEFAULT PRIVILEGES FOR ROLE schema_owner GRANT SELECT ON TABLES TO PUBLIC; \
             CREATE FOREIGN DATA WRAPPER w; CREATE CAST (point AS text) WITH INOUT",
        )
        .await;
    copy.sql(&format!("ALTER DATABASE {} OWNER TO schema_restorer", copy.name())).await;
    let plan = plan(&archive_of(&source).await, &Selection::Everything, &SchemaOptions::default());
    let outcome = restore(&plan, &target(&copy, "schema_restorer").await).await.unwrap();
    let refused: BTreeSet<&str> = outcome.not_restored.iter().map(|skipped| skipped.object.as_str()).collect();
    for object in [
        "EXTENSION adminpack",
        "COMMENT EXTENSION adminpack",
        "owner schema_owner of TABLE public.t",
        "EVENT TRIGGER e",
        "PUBLICATION p",
        "DEFAULT ACL DEFAULT PRIVILEGES FOR TABLES",
        "FOREIGN DATA WRAPPER w",
        "CAST CAST (point AS text)",
    ] {
        assert!(refused.contains(object), "{object} is not in {refused:#?}");
    }
    let made = "SELECT count(*) FROM pg_indexes WHERE tablename = 't'";
    assert_eq!(copy.client().await.query_one(made, &[]).await.unwrap().get::<_, i64>(0), 2);
}

#[tokio::test]
async fn an_index_whose_function_needs_a_privilege_is_built_after_it_was_granted() {
    let server = Bed::get().server(15).await;
    let (source, copy) = (server.create_database().await, server.create_database().await);
    make_roles(&source, &["schema_owner"]).await;
    source
        .sql(
            "CREATE SCHEMA util; CREATE FUNCTION util.one(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'; \
             CREATE FUNCTION two(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN util.one($1); END'; \
             CREATE TABLE t (a int); ALTER TABLE t OWNER TO schema_owner; GRANT USAGE ON SCHEMA util TO schema_owner; \
             CREATE INDEX i ON t (two(a)); COMMENT ON INDEX i IS 'needs util'",
        )
        .await;
    let plan = whole(&archive_of(&source).await, 15);
    let into = target(&copy, "postgres").await;
    let outcome = restore_with_rows(&plan, &into, "INSERT INTO public.t VALUES (1)").await.unwrap();
    assert_eq!(outcome, SchemaOutcome::default());
    assert_same(&dump_of(&server, source.name()).await, &dump_of(&server, copy.name()).await);
}

#[tokio::test]
async fn exclusion_constraints_of_partitions_keep_their_names() {
    let schema = "CREATE EXTENSION btree_gist; \
                  CREATE TABLE t (a int, b int, CONSTRAINT x EXCLUDE USING gist (a WITH =, b WITH =) DEFERRABLE) \
                      PARTITION BY LIST (a); \
                  CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1) PARTITION BY LIST (b); \
                  CREATE TABLE \"t1 'x% \\\" PARTITION OF t1 DEFAULT; CREATE TABLE t2 PARTITION OF t DEFAULT; \
                  ALTER TABLE t1 RENAME CONSTRAINT t1_a_b_excl TO \"it's 100% \\\"; \
                  ALTER TABLE \"t1 'x% \\\" RENAME CONSTRAINT \"t1 'x% \\_a_b_excl\" TO y;";
    let periods = "CREATE TABLE p (a int, during daterange, PRIMARY KEY (a, during WITHOUT OVERLAPS)) \
                       PARTITION BY LIST (a); \
                   CREATE TABLE p1 PARTITION OF p DEFAULT; ALTER TABLE p1 RENAME CONSTRAINT p1_pkey TO key; \
                   CREATE TABLE q (a int, during daterange, FOREIGN KEY (a, PERIOD during) REFERENCES p)";
    for (major, schema) in [(17, schema.to_owned()), (18, format!("{schema} {periods}"))] {
        let (source, copy) = source_and_target(major, &schema).await;
        let outcome =
            restore(&whole(&archive_of(&source).await, major), &target(&copy, "postgres").await).await.unwrap();
        assert_eq!(outcome, SchemaOutcome::default());
        assert_same(&dump_of(source.server(), source.name()).await, &dump_of(copy.server(), copy.name()).await);
    }
}

#[tokio::test]
async fn a_missing_tablespace_costs_the_place_and_not_the_table() {
    let (source, copy) = source_and_target(18, "CREATE TABLE t (a int PRIMARY KEY)").await;
    let mut archive = archive_of(&source).await;
    let table = archive.entries.iter_mut().find(|entry| entry.desc == "TABLE").unwrap();
    table.tablespace = Some("no such \"place\"".to_owned());
    let outcome = restore(&whole(&archive, 18), &target(&copy, "postgres").await).await.unwrap();
    assert_eq!(outcome.not_restored.len(), 1);
    assert_eq!(outcome.not_restored[0].object, "tablespace no such \"place\" of TABLE public.t");
    assert_same(&dump_of(source.server(), source.name()).await, &dump_of(copy.server(), copy.name()).await);
}

#[tokio::test]
async fn chosen_tables_come_with_all_that_belongs_to_them() {
    let schema = "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('ok'); \
                  CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
                  CREATE TABLE s.customers (id serial PRIMARY KEY); \
                  CREATE TABLE s.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood s.mood, n serial, \
                      customer int REFERENCES s.customers); \
                  CREATE INDEX ON s.orders (mood); COMMENT ON COLUMN s.orders.mood IS 'm'; \
                  CREATE TRIGGER t BEFORE INSERT ON s.orders FOR EACH ROW EXECUTE FUNCTION s.f(); \
                  ALTER TABLE s.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON s.orders USING (id > 0); \
                  GRANT SELECT ON s.orders TO PUBLIC; CREATE STATISTICS s.st ON id, n FROM s.orders;";
    let (source, copy) = source_and_target(17, schema).await;
    let archive = archive_of(&source).await;
    let chosen = archive.tables().filter(|(name, _)| name.name == "orders").map(|(_, entry)| entry.dump_id).collect();
    let plan = plan(&archive, &Selection::Tables(chosen), &SchemaOptions::default());
    assert_eq!(plan.left_out.len(), 1, "{:?}", plan.left_out);
    assert_eq!(plan.left_out[0].object, "FK CONSTRAINT s.orders orders_customer_fkey");
    let outcome = restore(&plan, &target(&copy, "postgres").await).await.unwrap();
    assert_eq!(outcome, SchemaOutcome::default());
    source.sql("ALTER TABLE s.orders DROP CONSTRAINT orders_customer_fkey; DROP TABLE s.customers").await;
    assert_same(&dump_of(source.server(), source.name()).await, &dump_of(copy.server(), copy.name()).await);
}

#[tokio::test]
async fn a_table_of_the_zoo_can_be_restored_alone() {
    let source = zoo(18).await;
    let archive = archive_of(&source).await;
    // One of several, in the interest of time.
    for (name, entry) in archive.tables().step_by(5) {
        let copy = source.server().create_database().await;
        let plan = plan(&archive, &Selection::Tables([entry.dump_id].into()), &SchemaOptions::default());
        let outcome = restore(&plan, &target(&copy, "postgres").await).await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        // The function that its index calls reads another table, which nobody can know beforehand.
        if name.name != "indexed_by_others" {
            assert_eq!(outcome, SchemaOutcome::default(), "{name}");
        }
    }
}

#[tokio::test]
async fn an_older_target_is_refused_before_anything_is_changed() {
    let (source, _) = source_and_target(18, "CREATE TABLE t (a int)").await;
    let archive = archive_of(&source).await;
    let error = plan_schema(&archive, &Selection::Everything, &SchemaOptions::default(), 17, &BTreeMap::new());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Preflight);
}
