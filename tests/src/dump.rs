//! A database's schema as text, to compare two databases by.

use std::collections::BTreeMap;
use std::process::Stdio;

use crate::{Bed, Server};

/// The schema as `pg_dump` 18 prints it, without what differs from run to run or from server to server.
pub async fn dump_of(server: &Server, database: &str) -> String {
    pg_dump(server, database, &["--schema-only"]).await
}

/// Everything in a database as `pg_dump` 18 prints it, by `TYPE schema.name`. Rows stand in an order of their own.
pub async fn dumped_objects(server: &Server, database: &str) -> BTreeMap<String, Vec<String>> {
    objects(&pg_dump(server, database, &[]).await)
}

async fn pg_dump(server: &Server, database: &str, options: &[&str]) -> String {
    let output = tokio::process::Command::new(Bed::get().pg_dump().await)
        .args(options)
        .arg("--host")
        .arg(server.socket_dir())
        .args(["--port", &server.port().to_string()])
        .args(["--username", "postgres", "--dbname", database])
        .stdin(Stdio::null())
        .output()
        .await
        .expect("pg_dump runs");
    assert!(output.status.success(), "pg_dump of {database}: {}", String::from_utf8_lossy(&output.stderr));
    normalized(&String::from_utf8_lossy(&output.stdout))
}

fn normalized(dump: &str) -> String {
    let noise = ["\\restrict ", "\\unrestrict ", "-- Dumped from database version ", "-- Dumped by pg_dump version "];
    dump.lines()
        .filter(|line| !noise.iter().any(|start| line.starts_with(start)))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// What follows each header of the form `-- Name: n; Type: TYPE; Schema: s; Owner: o`.
fn objects(dump: &str) -> BTreeMap<String, Vec<String>> {
    let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in dump.lines() {
        let header = line.strip_prefix("-- Name: ").or_else(|| line.strip_prefix("-- Data for Name: "));
        if let Some((object, rest)) = header.and_then(|header| header.split_once("; Type: ")) {
            let (kind, rest) = rest.split_once("; Schema: ").unwrap_or((rest, ""));
            let schema = rest.split_once("; Owner: ").map_or(rest, |(schema, _)| schema);
            name = format!("{kind} {schema}.{object}");
        }
        objects.entry(name.clone()).or_default().push(line.to_owned());
    }
    for (_, rows) in objects.iter_mut().filter(|(name, _)| name.starts_with("TABLE DATA ")) {
        rows.sort_unstable();
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_comes_apart_into_its_objects() {
        let dump = "SET x;\n-- Name: t; Type: TABLE; Schema: s; Owner: o\n--\nCREATE TABLE s.t (a int);\n\
                    -- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o\n2\n1\n";
        let objects = objects(dump);
        assert_eq!(Vec::from_iter(objects.keys()), ["", "TABLE DATA s.t", "TABLE s.t"]);
        assert_eq!(objects["TABLE s.t"][2], "CREATE TABLE s.t (a int);");
        assert_eq!(objects["TABLE DATA s.t"][1..], ["1", "2"]);
    }

    #[test]
    fn two_dumps_of_one_schema_are_equal() {
        let dump = |key, version| {
            format!(
                "\\restrict {key}\n-- Dumped from database version {version}\nCREATE TABLE t ();\n\\unrestrict {key}\n"
            )
        };
        assert_eq!(normalized(&dump("a", 14)), "CREATE TABLE t ();\n");
        assert_eq!(normalized(&dump("a", 14)), normalized(&dump("b", 18)));
    }
}
