//! `check`: what is wrong with a live database, found and counted.

use lifeboat::ErrorKind;
use lifeboat::model::TableName;
use lifeboat::postgres::Connector;
use lifeboat::postgres::check::{CheckReport, ConstraintState, IndexState, RowCounts, check};
use lifeboat_tests::{Bed, MAJORS, TestDb};
use tokio_util::sync::CancellationToken;

use crate::connect::dsn;

async fn report_of(url: &str, counts: RowCounts) -> CheckReport {
    let connector = Connector::open(&dsn(url)).await.unwrap();
    check(&connector, counts, &CancellationToken::new()).await.unwrap()
}

async fn report(database: &TestDb) -> CheckReport {
    report_of(&database.url(), RowCounts::Exact).await
}

fn public(name: &str) -> TableName {
    TableName::new("public", name)
}

/// Loads rows as a restore may: nobody looks at foreign keys.
async fn load_unchecked(database: &TestDb, statements: &str) {
    database.sql(&format!("SET session_replication_role = replica; {statements}")).await;
}

#[tokio::test]
async fn a_healthy_database_is_told_so_with_its_rows() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database
            .sql(
                "CREATE TABLE customers (id serial PRIMARY KEY); INSERT INTO customers SELECT FROM generate_series(1, 3);
                 CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, customer int REFERENCES customers) PARTITION BY HASH (id);
                 CREATE TABLE orders_0 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 0);
                 CREATE TABLE orders_1 PARTITION OF orders FOR VALUES WITH (MODULUS 2, REMAINDER 1);
                 INSERT INTO orders (customer) VALUES (1), (2), (NULL); CREATE TABLE \"odd 'one\" ()",
            )
            .await;
        let report = report(&database).await;
        assert_eq!(report.findings(), [], "{major}");
        assert!(report.is_healthy());
        let rows = |name: &str| report.tables.iter().find(|t| t.table == public(name)).and_then(|t| t.rows);
        assert_eq!((rows("customers"), rows("odd 'one")), (Some(3), Some(0)));
        assert_eq!(rows("orders_0").unwrap() + rows("orders_1").unwrap(), 3);
        assert_eq!(rows("orders"), None, "its rows are its partitions'");
    }
}

#[tokio::test]
async fn rows_without_the_row_they_refer_to_are_counted_for_every_kind_of_key() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database
            .sql(
                "CREATE TABLE p (a int, b text, PRIMARY KEY (a, b));
                 CREATE TABLE simple (a int, b text, CONSTRAINT simple_key FOREIGN KEY (a, b) REFERENCES p);
                 CREATE TABLE \"fu'll\" (a int, b text, CONSTRAINT full_key FOREIGN KEY (a, b) REFERENCES p MATCH FULL);
                 CREATE TABLE parts (a int, b text, CONSTRAINT parts_key FOREIGN KEY (a, b) REFERENCES p) PARTITION BY LIST (a);
                 CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1); CREATE TABLE part_x PARTITION OF parts DEFAULT;
                 CREATE TABLE late (a bigint, b varchar);
                 CREATE TABLE self (id int PRIMARY KEY, parent int CONSTRAINT self_key REFERENCES self)",
            )
            .await;
        let rows = "(1, 'x'), (1, NULL), (NULL, NULL), (2, 'x'), (3, 'y')";
        let load = format!(
            "INSERT INTO p VALUES (1, 'x'); INSERT INTO simple VALUES {rows}; INSERT INTO \"fu'll\" VALUES {rows};
             INSERT INTO parts VALUES {rows}; INSERT INTO late VALUES {rows}; INSERT INTO self VALUES (1, 1), (2, 9);
             ALTER TABLE late ADD CONSTRAINT late_key FOREIGN KEY (a, b) REFERENCES p NOT VALID"
        );
        load_unchecked(&database, &load).await;
        let report = report(&database).await;
        let found: Vec<(String, &str, u64)> =
            report.orphans.iter().map(|o| (o.table.name.clone(), o.constraint.as_str(), o.rows)).collect();
        let expected = [
            ("fu'll", "full_key", 3),
            ("late", "late_key", 2),
            ("parts", "parts_key", 2),
            ("self", "self_key", 1),
            ("simple", "simple_key", 2),
        ];
        assert_eq!(found, expected.map(|(table, key, rows)| (table.to_owned(), key, rows)), "{major}");
        assert!(!report.is_healthy());
        assert_eq!(report.constraints.len(), 1);
        assert_eq!(
            (report.constraints[0].constraint.as_str(), report.constraints[0].state),
            ("late_key", ConstraintState::NotValid)
        );
        let told = serde_json::to_value(&report).unwrap();
        assert_eq!(told["orphans"][0]["rows"], 3);
    }
}

#[tokio::test]
async fn keys_over_periods_and_keys_nobody_enforces_are_understood() {
    let database = Bed::get().server(18).await.create_database().await;
    database
        .sql(
            "CREATE EXTENSION btree_gist;
             CREATE TABLE p (id int, valid daterange, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
             CREATE TABLE c (id int, valid daterange, CONSTRAINT period_key FOREIGN KEY (id, PERIOD valid) REFERENCES p);
             CREATE TABLE loose (id int, CHECK (id > 0) NOT ENFORCED);
             CREATE TABLE q (id int PRIMARY KEY); CREATE TABLE loose_key (id int REFERENCES q NOT ENFORCED);
             INSERT INTO loose VALUES (-1); INSERT INTO loose_key VALUES (5);
             INSERT INTO p VALUES (1, '[2020-01-01,2021-01-01)'), (1, '[2021-01-01,2022-01-01)')",
        )
        .await;
    let rows = "(1, '[2020-06-01,2021-06-01)'), (1, '[2021-06-01,2022-06-01)'), (2, '[2020-01-01,2020-02-01)'), (NULL, '[2020-01-01,2020-02-01)')";
    load_unchecked(&database, &format!("INSERT INTO c VALUES {rows}")).await;
    let report = report(&database).await;
    assert_eq!(report.orphans.len(), 1);
    assert_eq!(report.orphans[0].rows, 2);
    assert!(report.constraints.iter().all(|c| c.state == ConstraintState::NotEnforced));
    assert_eq!(report.constraints.len(), 2);
}

#[tokio::test]
async fn an_index_that_failed_to_build_is_found() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)").await;
        let failed = database.client().await.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)").await;
        assert!(failed.is_err());
        let report = report(&database).await;
        assert_eq!(report.indexes.len(), 1, "{major}");
        assert_eq!((report.indexes[0].index.as_str(), report.indexes[0].state), ("broken", IndexState::Invalid));
        assert!(report.findings()[0].fix.contains("\"public\".\"broken\""));
    }
}

#[tokio::test]
async fn a_sequence_behind_its_column_is_found_whatever_ties_them() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        database
            .sql(
                "CREATE TABLE s (id serial); INSERT INTO s VALUES (5);
                 CREATE TABLE i (id bigint GENERATED BY DEFAULT AS IDENTITY); INSERT INTO i VALUES (1);
                 CREATE TABLE down (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1)); INSERT INTO down VALUES (-7);
                 CREATE SEQUENCE free; CREATE TABLE d (id int DEFAULT nextval('free')); INSERT INTO d VALUES (DEFAULT), (2);
                 CREATE TABLE exact (id serial); INSERT INTO exact VALUES (DEFAULT), (DEFAULT);
                 CREATE TABLE empty (id serial);
                 CREATE DOMAIN number AS int; CREATE SEQUENCE dom; CREATE TABLE domains (id number DEFAULT nextval('dom')); INSERT INTO domains VALUES (3)",
            )
            .await;
        let report = report(&database).await;
        let found: Vec<(String, u64)> =
            report.sequences.iter().map(|s| (s.sequence.name.clone(), s.behind_by)).collect();
        let expected = [("dom", 3), ("down_id_seq", 7), ("free", 1), ("i_id_seq", 1), ("s_id_seq", 5)];
        assert_eq!(found, expected.map(|(name, by)| (name.to_owned(), by)), "{major}");
        assert!(!report.is_healthy());
        for finding in report.findings() {
            database.sql(&finding.fix).await;
        }
        assert_eq!(self::report(&database).await.findings(), [], "each fix repairs");
    }
}

#[tokio::test]
async fn what_the_role_may_not_read_is_listed_and_the_rest_is_checked() {
    let database = Bed::get().server(17).await.create_database().await;
    let role = format!("weak_{}", database.name());
    database
        .sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{}'; CREATE TABLE secret (a int); CREATE TABLE hidden (a int);
             ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; CREATE TABLE open (a int); INSERT INTO open VALUES (1);
             GRANT SELECT ON open, hidden TO {role}",
            database.server().password()
        ))
        .await;
    let report = report_of(&database.url_as(&role), RowCounts::Exact).await;
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!(report.unreadable, ["public.hidden", "public.secret"]);
    let rows: Vec<Option<u64>> = report.tables.iter().map(|t| t.rows).collect();
    assert_eq!(rows, [None, Some(1), None]);
}

#[tokio::test]
async fn estimates_read_no_table() {
    let database = Bed::get().server(17).await.create_database().await;
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 500) AS n; ANALYZE t; CREATE TABLE never (a int)").await;
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let report = report_of(&database.url(), RowCounts::Estimated).await;
    let rows: Vec<(Option<u64>, bool)> = report.tables.iter().map(|t| (t.rows, t.exact)).collect();
    assert_eq!(rows, [(None, false), (Some(500), false)]);
}

#[tokio::test]
async fn a_stopped_check_leaves_nothing_running() {
    let database = Bed::get().server(17).await.create_database().await;
    database.sql("CREATE TABLE t (a int)").await;
    let other = database.client().await;
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let waiting = async || -> i64 {
        let query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        other.query_one(query, &[]).await.unwrap().get(0)
    };
    let connector = Connector::open(&dsn(&database.url())).await.unwrap();
    let stop = CancellationToken::new();
    let stopping = async {
        while waiting().await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        stop.cancel();
    };
    let (checked, ()) = tokio::join!(check(&connector, RowCounts::Exact, &stop), stopping);
    assert_eq!(checked.unwrap_err().kind(), ErrorKind::OutOfTime);
    while waiting().await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
