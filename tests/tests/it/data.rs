//! What tests may expect of their data.

use lifeboat_tests::{Bed, MAJORS, TestDb, data};

#[tokio::test]
async fn the_shop_is_the_same_on_every_version() {
    let mut sums = Vec::new();
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        let client = database.client().await;
        data::load_shop(&client, 0.02).await;
        let sum = "SELECT md5(string_agg(t, E'\\n' ORDER BY t)) FROM \
             (SELECT orders::text FROM orders UNION ALL SELECT customers::text FROM customers UNION ALL \
              SELECT products::text FROM products UNION ALL SELECT bestsellers::text FROM bestsellers) AS everything (t)";
        let sum: String = client.query_one(sum, &[]).await.unwrap().get(0);
        sums.push(sum);
    }
    sums.dedup();
    assert_eq!(sums.len(), 1, "{sums:?}");
}

#[tokio::test]
async fn the_zoo_has_a_column_of_every_built_in_type() {
    for major in MAJORS {
        let database = Bed::get().server(major).await.create_database().await;
        data::load_zoo(&database).await;
        let missing = "SELECT typname FROM pg_type AS t WHERE t.typnamespace = 'pg_catalog'::regnamespace \
             AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' AND oid < 16384 \
             AND typname NOT IN ('pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'gtsvector', \
                                 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary') \
             AND NOT EXISTS (SELECT FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid \
                             WHERE a.atttypid = t.oid AND c.relkind = 'r' AND c.relnamespace = 'zoo_types'::regnamespace \
                             AND a.attnum > 0)";
        let missing: Vec<String> =
            database.client().await.query(missing, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(missing, Vec::<String>::new(), "on {major}");
    }
}

/// What `pg_dump` calls the entries of its table of contents. Missing are security labels, for which no server has a
/// provider, and statistics, which belong to the optimizer.
const KINDS: [&str; 55] = [
    "ACCESS METHOD",
    "ACL",
    "AGGREGATE",
    "BLOB METADATA",
    "BLOBS",
    "CAST",
    "CHECK CONSTRAINT",
    "COLLATION",
    "COMMENT",
    "CONSTRAINT",
    "CONVERSION",
    "DEFAULT",
    "DEFAULT ACL",
    "DOMAIN",
    "EVENT TRIGGER",
    "EXTENSION",
    "FK CONSTRAINT",
    "FOREIGN DATA WRAPPER",
    "FOREIGN TABLE",
    "FUNCTION",
    "INDEX",
    "INDEX ATTACH",
    "MATERIALIZED VIEW",
    "MATERIALIZED VIEW DATA",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "POLICY",
    "PROCEDURAL LANGUAGE",
    "PROCEDURE",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "ROW SECURITY",
    "RULE",
    "SCHEMA",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "SERVER",
    "SHELL TYPE",
    "STATISTICS",
    "SUBSCRIPTION",
    "TABLE",
    "TABLE ATTACH",
    "TABLE DATA",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH PARSER",
    "TEXT SEARCH TEMPLATE",
    "TRANSFORM",
    "TRIGGER",
    "TYPE",
    "USER MAPPING",
    "VIEW",
];

#[tokio::test]
async fn the_zoo_has_every_kind_of_object_that_pg_dump_knows() {
    let database = Bed::get().server(18).await.create_database().await;
    data::load_zoo(&database).await;
    let listed = table_of_contents(&database).await;
    for kind in KINDS {
        assert!(listed.lines().any(|line| is_of_kind(line, kind)), "no {kind} in the zoo");
    }
}

/// A line reads `4321; 1259 16385 KIND schema name owner`; in place of an absent schema stands `-`.
fn is_of_kind(line: &str, kind: &str) -> bool {
    let mut words = line.splitn(4, ' ');
    words.nth(3).is_some_and(|entry| entry.starts_with(&format!("{kind} ")))
}

async fn table_of_contents(database: &TestDb) -> String {
    let bed = Bed::get();
    let folder = bed.scratch_dir();
    let archive = folder.path().join("zoo.dump");
    let server = database.server();
    let status = tokio::process::Command::new(bed.pg_dump().await)
        .args(["-Fc", "-Z0", "-U", "postgres", "-d", database.name(), "-h"])
        .arg(server.socket_dir())
        .args(["-p", &server.port().to_string(), "-f"])
        .arg(&archive)
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let output =
        tokio::process::Command::new(&bed.tools().await.pg_restore).arg("--list").arg(&archive).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}
