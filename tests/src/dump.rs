//! A database's schema as text, to compare two databases by.

use std::process::Stdio;

use crate::{Bed, Server};

/// The schema as `pg_dump` 18 prints it, without what differs from run to run or from server to server.
pub async fn dump_of(server: &Server, database: &str) -> String {
    let output = tokio::process::Command::new(Bed::get().pg_dump().await)
        .arg("--schema-only")
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

#[cfg(test)]
mod tests {
    use super::*;

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
