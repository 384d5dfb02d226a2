//! Restores, proven against their sources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lifeboat::ErrorKind;
use lifeboat::model::{Catalogue, Depth, NotRestored, Skipped, TableName, Tally};
use lifeboat::ops::restore::{Action, RestoreOptions, plan, restore};
use lifeboat::ops::verify::verify;
use lifeboat::ops::{BackupReport, Event, Observer, RestoreReport, Run};
use lifeboat::store::ObjectStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat_tests::{Bed, MAJORS, Server, TestDb, data, dump_of};

use crate::rig::{Rig, connect, run};
use crate::sweep::Failing;

impl Rig {
    /// Restores with a superuser's rights; gives the database that was restored into.
    pub async fn restore(
        &self,
        backup: &BackupReport,
        server: &Server,
        options: &RestoreOptions,
    ) -> (TestDb, RestoreReport) {
        let report = self.try_restore(backup, &server.admin_url(), options, &self.run).await.unwrap();
        (server.adopt_database(&report.target), report)
    }

    pub async fn try_restore(
        &self,
        backup: &BackupReport,
        url: &str,
        options: &RestoreOptions,
        run: &Run,
    ) -> lifeboat::Result<RestoreReport> {
        let database = self.database().await;
        let plan = plan(&database, &backup.backup.id, &connect(url).await, options, run).await?;
        restore(&database, &plan, true, run).await
    }

    /// The catalogue of a new backup of `database`, as far as it must be equal in its source.
    async fn comparable(database: &TestDb) -> Catalogue {
        let rig = Self::new().await;
        let id = rig.backup(database).await.backup.id;
        let vault = rig.database().await;
        let mut catalogue = vault.catalogue(&vault.manifest(&id).await.unwrap()).await.unwrap();
        catalogue.database.name.clear();
        catalogue.database.settings.sort_by_key(|setting| (setting.role.clone(), setting.name.clone()));
        if let Some(privileges) = &mut catalogue.database.privileges {
            privileges.sort();
        }
        catalogue.large_objects.iter_mut().for_each(|object| object.privileges.sort());
        catalogue.roles.sort_by_key(|role| role.name.clone());
        // Its columns stand in another order, which no dump can tell; the restore itself has compared its rows.
        catalogue.tables.retain(|table| table.name != TableName::new("zoo_traps", "joined_later"));
        for table in &mut catalogue.tables {
            (table.oid, table.filenode, table.type_signature) = (0, 0, String::new());
            table.parts.clear();
            // What is generated comes from the function of now; the restore itself has told of it.
            if table.name == TableName::new("zoo_traps", "outdated_generated") {
                table.tally.generated = None;
            }
        }
        // Rows that are parted by an enum's hash lie elsewhere in a copy: partitions are compared together.
        let mut sums: BTreeMap<TableName, Tally> = BTreeMap::new();
        for table in &catalogue.tables {
            sums.entry(table.root.clone().unwrap_or_else(|| table.name.clone())).or_default().add(&table.tally);
        }
        for table in &mut catalogue.tables {
            table.tally = sums[table.root.as_ref().unwrap_or(&table.name)];
        }
        catalogue.schema = None;
        catalogue.schema_entries = 0;
        catalogue
    }
}

fn into(source: &TestDb) -> RestoreOptions {
    RestoreOptions { into: Some(format!("{}_copy", source.name())), ..RestoreOptions::default() }
}

fn named(database: &TestDb) -> RestoreOptions {
    RestoreOptions { into: Some(database.name().to_owned()), ..RestoreOptions::default() }
}

pub trait Listed {
    fn object(&self) -> &str;
}

impl Listed for Skipped {
    fn object(&self) -> &str {
        &self.object
    }
}

impl Listed for NotRestored {
    fn object(&self) -> &str {
        &self.object
    }
}

pub fn objects(listed: &[impl Listed]) -> Vec<&str> {
    let mut objects: Vec<&str> = listed.iter().map(Listed::object).collect();
    objects.sort_unstable();
    objects
}

async fn number(database: &TestDb, sql: &str) -> i64 {
    database.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

/// Follows a run with a function.
struct Follow<F>(F);

impl<F: Fn(&Event) + Send + Sync> Observer for Follow<F> {
    fn on(&self, event: &Event) {
        self.0(event);
    }
}

/// Customers and orders, and something that belongs to neither.
const SHOP: &str = "
    CREATE TYPE mood AS ENUM ('ok', 'bad');
    CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
    CREATE TABLE customers (id serial PRIMARY KEY, mood mood NOT NULL DEFAULT 'ok');
    CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int NOT NULL REFERENCES customers,
        amount int CHECK (public.twice(amount) > 0), doubled int GENERATED ALWAYS AS (amount * 2) STORED);
    CREATE INDEX orders_customer ON orders (customer_id);
    CREATE TABLE log (entry text);
    INSERT INTO customers (mood) SELECT CASE WHEN i % 3 = 0 THEN 'bad' ELSE 'ok' END::mood FROM generate_series(1, 100) i;
    INSERT INTO orders (customer_id, amount) SELECT 1 + i % 100, i FROM generate_series(1, 500) i;
    INSERT INTO log SELECT md5(i::text) FROM generate_series(1, 50) i;";

async fn shop(major: u32) -> TestDb {
    let source = Bed::get().server(major).await.create_database().await;
    source.sql(SHOP).await;
    source
}

fn tables(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_comes_back_equal_on_every_version() {
    for major in MAJORS {
        let server = Bed::get().server(major).await;
        let source = server.create_database().await;
        data::load_shop(&source.client().await, 0.2).await;
        let rig = Rig::new().await;
        let backup = rig.backup(&source).await;
        let (copy, report) = rig.restore(&backup, &server, &into(&source)).await;
        assert!(report.proof.ok, "{report:?}");
        assert!(report.not_restored.is_empty() && report.remarks.is_empty(), "{report:?}");
        assert_same(&dump_of(&server, source.name()).await, &dump_of(&server, copy.name()).await);
    }
}

/// What the zoo's own rows do not pass any more.
const ZOO_REMARKS: [&str; 3] = [
    "FK CONSTRAINT zoo_traps.orphaned orphaned_other_fkey",
    "constraint \"allowed\" of \"zoo_traps\".\"outdated_check\"",
    "generated columns of zoo_traps.outdated_generated",
];

/// What `pg_dump` cannot tell of the zoo, or must tell otherwise of a copy: a child with its columns in another order, and
/// the constraints of [`ZOO_REMARKS`], which came back NOT VALID.
const ZOO_DIFFERENCES: &str = "
    DROP TABLE zoo_traps.joined_later;
    ALTER TABLE zoo_traps.orphaned DROP CONSTRAINT orphaned_other_fkey;
    ALTER TABLE zoo_traps.outdated_check DROP CONSTRAINT allowed;";

#[tokio::test(flavor = "multi_thread")]
async fn the_zoo_comes_back_equal_on_every_version() {
    for major in MAJORS {
        let server = Bed::get().server(major).await;
        let source = server.create_database().await;
        data::load_zoo(&source).await;
        let rig = Rig::new().await;
        let backup = rig.backup(&source).await;
        let (copy, report) = rig.restore(&backup, &server, &into(&source)).await;
        assert!(report.proof.ok, "{major}: {report:?}");
        assert_eq!(objects(&report.not_restored), [""; 0], "{major}: {report:?}");
        assert_eq!(objects(&report.remarks), ZOO_REMARKS, "{major}: {report:?}");
        let (theirs, ours) = (Rig::comparable(&source).await, Rig::comparable(&copy).await);
        for (theirs, ours) in theirs.tables.iter().zip(&ours.tables) {
            assert_eq!(theirs, ours, "on {major}");
        }
        assert_eq!(theirs, ours, "on {major}");
        source.sql(ZOO_DIFFERENCES).await;
        copy.sql(ZOO_DIFFERENCES).await;
        assert_same(&dump_of(&server, source.name()).await, &dump_of(&server, copy.name()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zoo_moves_to_newer_versions() {
    for (old, new) in [(14, 18), (15, 17), (16, 18)] {
        let (old, new) = (Bed::get().server(old).await, Bed::get().server(new).await);
        let source = old.create_database().await;
        data::load_zoo(&source).await;
        // The roles are the server's.
        data::load_zoo_where(&new.create_database().await, |_| false).await;
        let rig = Rig::new().await;
        let backup = rig.backup(&source).await;
        let (_copy, report) = rig.restore(&backup, &new, &into(&source)).await;
        assert!(report.proof.ok, "{report:?}");
        // From 17 on such a view cannot be filled.
        assert_eq!(objects(&report.not_restored), ["materialized view zoo_traps.path_view"], "{report:?}");
        assert_eq!(objects(&report.remarks), ZOO_REMARKS, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_by_restore_leaves_nothing_behind() {
    let server = Bed::get().server(17).await;
    let source = server.create_database().await;
    data::load_shop(&source.client().await, 0.1).await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await.backup;
    let scratch = connect(&server.admin_url()).await;
    let verdict = verify(&rig.database().await, &backup.id, Depth::Restore, Some(&scratch), &rig.run).await.unwrap();
    assert!(verdict.ok, "{verdict:?}");
    let client = server.client("postgres").await;
    let left =
        client.query("SELECT datname FROM pg_database WHERE datname LIKE 'lifeboat_verify_%'", &[]).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_and_rows_can_be_restored_one_after_the_other() {
    let source = shop(17).await;
    let server = source.server();
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let (copy, report) = rig.restore(&backup, server, &RestoreOptions { schema_only: true, ..into(&source) }).await;
    assert_eq!((report.tables, report.rows), (0, 0));
    assert_same(&dump_of(server, source.name()).await, &dump_of(server, copy.name()).await);
    assert_eq!(number(&copy, "SELECT count(*) FROM orders").await, 0);

    let rows = RestoreOptions { data_only: true, ..named(&copy) };
    let report = rig.try_restore(&backup, &server.admin_url(), &rows, &rig.run).await.unwrap();
    assert!(report.proof.ok && report.proof.tables_equal == 3, "{report:?}");
    assert!(report.not_restored.is_empty() && report.remarks.is_empty(), "{report:?}");
    assert_eq!(number(&copy, "SELECT nextval('customers_id_seq')").await, 101);
    assert_same(&dump_of(server, source.name()).await, &dump_of(server, copy.name()).await);

    let again = rig.try_restore(&backup, &server.admin_url(), &rows, &rig.run).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert!(again.message().contains("public.orders"), "{again}");

    // Some rows alone: the key that then does not hold is named.
    copy.sql("TRUNCATE orders, customers; DROP TABLE log").await;
    let orders = RestoreOptions { tables: tables(&["orders"]), ..rows.clone() };
    let report = rig.try_restore(&backup, &server.admin_url(), &orders, &rig.run).await.unwrap();
    assert_eq!(objects(&report.remarks), ["foreign key orders_customer_id_fkey of public.orders"]);
    copy.sql("TRUNCATE orders").await;
    let missing = rig.try_restore(&backup, &server.admin_url(), &rows, &rig.run).await.unwrap_err();
    assert!(missing.message().contains("public.log"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_tables_come_with_what_they_need_also_into_a_database_in_use() {
    let source = shop(16).await;
    let server = source.server();
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let options = RestoreOptions { tables: tables(&["customers"]), ..into(&source) };
    let (copy, report) = rig.restore(&backup, server, &options).await;
    assert_eq!((report.tables, report.rows), (1, 100));
    assert_eq!(number(&copy, "SELECT count(*) FROM customers WHERE mood = 'bad'").await, 33);
    assert_eq!(number(&copy, "SELECT nextval('customers_id_seq')").await, 101);
    assert_eq!(number(&copy, "SELECT count(*) FROM pg_class WHERE relname IN ('orders', 'log')").await, 0);

    // The copy is in use now: more comes beside what it has.
    let more = RestoreOptions { tables: tables(&["orders", "log"]), ..options.clone() };
    let report = rig.try_restore(&backup, &server.admin_url(), &more, &rig.run).await.unwrap();
    assert!(report.proof.ok && report.rows == 550, "{report:?}");
    assert_eq!(objects(&report.not_restored), ["FK CONSTRAINT public.orders orders_customer_id_fkey"]);
    assert_eq!(number(&copy, "SELECT count(*) FROM orders WHERE doubled = 2 * amount").await, 500);
    assert_eq!(number(&copy, "SELECT count(*) FROM pg_namespace WHERE nspname = 'lifeboat_restore'").await, 0);

    let again = rig.try_restore(&backup, &server.admin_url(), &more, &rig.run).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert!(again.message().contains("TABLE public.orders"), "{again}");
    copy.sql("DROP TABLE customers").await;
    let rest = rig.try_restore(&backup, &server.admin_url(), &options, &rig.run).await.unwrap();
    assert!(rest.proof.ok, "the type that it needs is there already: {rest:?}");
    let replaced = RestoreOptions { clean: true, ..options };
    let refused = rig.try_restore(&backup, &server.admin_url(), &replaced, &rig.run).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_can_be_put_beside_the_live_ones() {
    let source = shop(18).await;
    let server = source.server();
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    source.sql("DELETE FROM orders; ALTER TABLE log ADD COLUMN at timestamptz; DELETE FROM log").await;
    let options = RestoreOptions { into_schema: Some("Before It".to_owned()), ..named(&source) };
    let report = rig.try_restore(&backup, &server.admin_url(), &options, &rig.run).await.unwrap();
    assert!(report.proof.ok && report.proof.tables_equal == 3, "{report:?}");
    let left_out = ["table Before It.customers", "table Before It.log", "table Before It.orders"];
    assert_eq!(objects(&report.not_restored), left_out);
    assert_eq!(number(&source, "SELECT count(*) FROM \"Before It\".orders WHERE doubled = 2 * amount").await, 500);
    assert_eq!(number(&source, "SELECT count(*) FROM orders").await, 0);
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'Before It'";
    assert_eq!(number(&source, indexes).await, 3, "like the live tables, where those have the same columns");
    let again = rig.try_restore(&backup, &server.admin_url(), &options, &rig.run).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_the_session_of_a_killed_restore_is_still_making_is_waited_for() {
    let source = shop(17).await;
    let server = source.server();
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let target = server.adopt_database(&format!("{}_copy", source.name()));
    let key = format!("hashtextextended('lifeboat makes database {}', 0)", target.name());
    let killed = server.client("postgres").await;
    killed.batch_execute(&format!("SELECT pg_advisory_lock({key})")).await.unwrap();
    let (database, admin) = (rig.database().await, connect(&server.admin_url()).await);
    let options = named(&target);
    let made_while_somebody_looks = async {
        let waits = format!(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objsubid = 1
                AND (classid::int8 << 32 | objid::int8) = {key})"
        );
        while !killed.query_one(&waits, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        killed.batch_execute(&format!("CREATE DATABASE {} TEMPLATE template0", target.name())).await.unwrap();
        killed.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    };
    let looking = plan(&database, &backup.backup.id, &admin, &options, &rig.run);
    let (plan, ()) = tokio::join!(looking, made_while_somebody_looks);
    let plan = plan.unwrap();
    assert_eq!(plan.action, Action::Fill);
    let report = restore(&database, &plan, true, &rig.run).await.unwrap();
    assert!(report.proof.ok, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_database_goes_only_after_the_proof_and_after_a_safety_backup() {
    let source = shop(17).await;
    let server = source.server();
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    source.sql("DELETE FROM orders; INSERT INTO log VALUES ('only here')").await;
    let database = rig.database().await;
    let admin = connect(&server.admin_url()).await;

    let occupied = plan(&database, &backup.backup.id, &admin, &named(&source), &rig.run).await.unwrap_err();
    assert_eq!(occupied.kind(), ErrorKind::Conflict);
    let pg_dump = Some(Bed::get().pg_dump().await);
    let options = RestoreOptions { clean: true, pg_dump, ..named(&source) };
    let in_the_way = format!("{}_replaced", source.name());
    server.sql("postgres", &format!("CREATE DATABASE {in_the_way}")).await;
    let taken = plan(&database, &backup.backup.id, &admin, &options, &rig.run).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    server.sql("postgres", &format!("DROP DATABASE {in_the_way}")).await;
    let unconfirmed = plan(&database, &backup.backup.id, &admin, &options, &rig.run).await.unwrap();
    assert_eq!(unconfirmed.action, Action::Replace);
    let error = restore(&database, &unconfirmed, false, &rig.run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Confirmation);

    // Somebody meddles with the new database between load and proof: the old one stays.
    let (meddled, restoring) = (server.clone(), format!("{}_restoring", source.name()));
    let _left_behind = server.adopt_database(&restoring);
    let meddle = move |event: &Event| {
        if *event == (Event::Step { name: "proof" }) {
            let (server, database) = (meddled.clone(), restoring.clone());
            let meddling = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(server.sql(&database, "UPDATE public.log SET entry = 'x' WHERE ctid = '(0,1)'"));
            });
            meddling.join().unwrap();
        }
    };
    let followed = Run { observer: Arc::new(Follow(meddle)), ..run() };
    let error = rig.try_restore(&backup, &server.admin_url(), &options, &followed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification);
    assert!(error.message().contains("public.log"), "{error}");
    assert_eq!(number(&source, "SELECT count(*) FROM log").await, 51);
    assert_eq!(database.published().await.unwrap().len(), 2, "the safety backup stays");
    drop(_left_behind);

    let connected = source.client().await;
    let report = rig.try_restore(&backup, &server.admin_url(), &options, &rig.run).await.unwrap();
    assert!(report.proof.ok && report.steps[0].name.starts_with("safety backup"), "{report:?}");
    assert_eq!(report.target, source.name());
    assert!(connected.batch_execute("SELECT 1").await.is_err(), "sessions with the old one have ended");
    assert_eq!(number(&source, "SELECT count(*) FROM orders").await, 500);
    assert_eq!(number(&source, "SELECT count(*) FROM log").await, 50);
    let left =
        format!("SELECT count(*) FROM pg_database WHERE datname IN ('{0}_replaced', '{0}_restoring')", source.name());
    assert_eq!(number(&source, &left).await, 0);
    assert_eq!(database.published().await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_off_goes_on_and_loads_nothing_twice() {
    let source = Bed::get().server(15).await.create_database().await;
    for table in 0..8 {
        // Too large to go into the target together.
        let fill = format!("CREATE TABLE t{table} AS SELECT i, md5(i::text) FROM generate_series(1, 40000) i");
        source.sql(&fill).await;
    }
    let server = source.server();
    let rig = Rig::new().await;
    let (backup, other) = (rig.backup(&source).await, rig.backup(&source).await);
    let options = RestoreOptions { jobs: 1, ..into(&source) };
    let copy = server.adopt_database(options.into.as_ref().unwrap());

    let stopped = run();
    let (cancel, loaded) = (stopped.cancel.clone(), AtomicUsize::new(0));
    let count = move |event: &Event| {
        if matches!(event, Event::Advance(_)) && loaded.fetch_add(1, Ordering::SeqCst) == 2 {
            cancel.cancel();
        }
    };
    let stopped = Run { observer: Arc::new(Follow(count)), ..stopped };
    let error = rig.try_restore(&backup, &server.admin_url(), &options, &stopped).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfTime);
    let before = number(&copy, "SELECT count(*) FROM lifeboat_restore.segment").await;
    assert!((3..8).contains(&before), "{before} segments");

    let error = rig.try_restore(&other, &server.admin_url(), &options, &rig.run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "that is another backup's");

    let (loads, in_rows) = (Arc::new(AtomicUsize::new(0)), std::sync::atomic::AtomicBool::new(false));
    let counted = Arc::clone(&loads);
    let count = move |event: &Event| match event {
        Event::Step { name } => in_rows.store(*name == "rows", Ordering::SeqCst),
        Event::Advance(_) if in_rows.load(Ordering::SeqCst) => _ = counted.fetch_add(1, Ordering::SeqCst),
        _ => {}
    };
    let followed = Run { observer: Arc::new(Follow(count)), ..run() };
    let report = rig.try_restore(&backup, &server.admin_url(), &options, &followed).await.unwrap();
    assert!(report.proof.ok && report.proof.tables_equal == 8, "{report:?}");
    assert_eq!(loads.load(Ordering::SeqCst) as i64, 8 - before);
    assert_same(&dump_of(server, source.name()).await, &dump_of(server, copy.name()).await);
}

/// On S3 a request takes as long as loading such a table.
#[tokio::test(flavor = "multi_thread")]
async fn many_small_tables_take_few_requests() {
    const TABLES: usize = 300;
    let source = Bed::get().server(17).await.create_database().await;
    let make = |table: usize| format!("CREATE TABLE t{table} AS SELECT i, {table} FROM generate_series(1, 9) i");
    source.sql(&(0..TABLES).map(make).collect::<Vec<_>>().join(";")).await;
    let counting = Failing::never(Arc::new(MemoryStore::new()));
    let rig = Rig::on(Arc::clone(&counting) as Arc<dyn ObjectStore>).await;
    let backup = rig.backup(&source).await;

    let before = counting.calls();
    let (_copy, report) = rig.restore(&backup, source.server(), &into(&source)).await;
    assert_eq!(report.proof.tables_equal, TABLES as u64);
    let restored = counting.calls() - before;
    assert!(restored < 60, "{restored} requests for a restore");

    let before = counting.calls();
    let verdict = verify(&rig.database().await, &backup.backup.id, Depth::Full, None, &rig.run).await.unwrap();
    let verified = counting.calls() - before;
    assert!(verdict.ok && verified < 60, "{verified} requests for a verification");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_role_costs_what_was_its_own_and_can_be_replaced() {
    let (old, new) = (Bed::get().server(16).await, Bed::get().server(17).await);
    for server in [&old, &new] {
        data::load_zoo_where(&server.create_database().await, |_| false).await;
    }
    let role = format!("only_on_16_{}", std::process::id());
    old.sql_exclusively("postgres", &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role}")).await;
    let source = old.create_database().await;
    source
        .sql(&format!("{SHOP} ALTER TABLE log OWNER TO {role}; GRANT SELECT ON customers TO {role}, zoo_reader"))
        .await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let planned =
        plan(&rig.database().await, &backup.backup.id, &connect(&new.admin_url()).await, &into(&source), &rig.run)
            .await
            .unwrap();
    assert_eq!(planned.missing_roles, std::slice::from_ref(&role));
    let owner = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname = 'log'";
    let reads = "SELECT count(*) FROM pg_class c, aclexplode(relacl) a WHERE relname = 'customers' AND a.grantee = 'zoo_reader'::regrole";
    for (options, refused, owned_by, can_read) in [
        (into(&source), vec!["ACL public.TABLE customers", "owner of TABLE public.log"], "postgres", 1),
        (RestoreOptions { no_owner: true, no_acl: true, ..into(&source) }, vec![], "postgres", 0),
        (
            RestoreOptions { role_map: [(role.clone(), "zoo_owner".into())].into(), ..into(&source) },
            vec![],
            "zoo_owner",
            1,
        ),
    ] {
        let (copy, report) = rig.restore(&backup, &new, &options).await;
        assert!(report.proof.ok, "{report:?}");
        assert_eq!(objects(&report.not_restored).len(), refused.len(), "{report:?}");
        let found: String = copy.client().await.query_one(owner, &[]).await.unwrap().get(0);
        assert_eq!((found.as_str(), number(&copy, reads).await), (owned_by, can_read));
    }
    drop(source);
    old.sql_exclusively("postgres", &format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_no_superuser_restores_the_rows_and_lists_what_it_may_not() {
    let source = shop(17).await;
    source
        .sql(
            "CREATE PUBLICATION everything FOR ALL TABLES; CREATE FUNCTION deaf() RETURNS event_trigger LANGUAGE plpgsql
             AS 'BEGIN END'; CREATE EVENT TRIGGER ear ON ddl_command_end EXECUTE FUNCTION deaf()",
        )
        .await;
    let server = source.server();
    let role = server.restore_role("postgres").await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let options = RestoreOptions { no_owner: true, ..into(&source) };
    let _copy = server.adopt_database(options.into.as_ref().unwrap());
    let report = rig.try_restore(&backup, &server.url("postgres", role), &options, &rig.run).await.unwrap();
    assert!(report.proof.ok && report.proof.tables_equal == 3, "{report:?}");
    assert_eq!(objects(&report.not_restored), ["EVENT TRIGGER ear", "PUBLICATION everything"], "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_damaged_backup_the_rest_can_be_restored() {
    use lifeboat::store::memory::MemoryStore;
    use lifeboat::store::{ObjectStore, Tries};
    let source = shop(17).await;
    source.sql("CREATE TABLE big AS SELECT i, md5(i::text) AS a, md5((i * 7)::text) AS b FROM generate_series(1, 200000) i").await;
    let server = source.server();
    let store = Arc::new(MemoryStore::new());
    let rig = Rig::on(store.clone()).await;
    let backup = rig.backup(&source).await;
    let objects = store.list_page("", None, 1000).await.unwrap();
    let pack = objects.iter().max_by_key(|object| object.size_bytes).unwrap().key.clone();
    let mut bytes = store.get(&pack).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.delete(&pack).await.unwrap();
    store.put_new(&pack, bytes.into(), Tries::Many).await.unwrap();

    let options = into(&source);
    let error = rig.try_restore(&backup, &server.admin_url(), &options, &rig.run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification);
    let (copy, report) = rig.restore(&backup, server, &RestoreOptions { skip_damaged: true, ..options }).await;
    assert_eq!(report.proof.tables_equal, 3, "{report:?}");
    assert_eq!(report.proof.tables_different, [TableName::new("public", "big")]);
    assert!(report.not_restored.iter().all(|lost| lost.object == "public.big"), "{report:?}");
    assert!(number(&copy, "SELECT count(*) FROM big").await > 10_000);
    assert_eq!(number(&copy, "SELECT count(*) FROM orders").await, 500);
}

/// Shows only the lines that differ. A view over VALUES prints with one more blank once it was restored.
#[track_caller]
fn assert_same(left: &str, right: &str) {
    let [left, right] = [left, right].map(|dump| dump.replace("( VALUES", "(VALUES"));
    if left == right {
        return;
    }
    let differing: Vec<String> = left
        .lines()
        .zip(right.lines())
        .filter(|(a, b)| a != b)
        .take(20)
        .map(|(a, b)| format!("- {a}\n+ {b}"))
        .collect();
    panic!(
        "the dumps differ ({} and {} lines):\n{}",
        left.lines().count(),
        right.lines().count(),
        differing.join("\n")
    );
}
