//! What comes after the rows and the schema: sequences' values, large objects' owners, the database's properties,
//! materialized views, statistics.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use futures::future::join_all;
use tokio_postgres::{Client, Row};

use crate::error::Result;
use crate::model::{Catalogue, DatabaseProperties, LargeObject, NotRestored, Sequence, Skipped, TableName};
use crate::plan::batch::take_batch;
use crate::postgres::quote::qualified;
use crate::postgres::role_names::RoleMap;
use crate::postgres::sql_text::{literal, quoted};
use crate::postgres::{Connector, Session, from_postgres, schema_sql::SchemaOptions};

/// Sets every sequence to its value. Of extensions' sequences, what the target refuses is listed.
///
/// Errors: another sequence that is missing in the target.
pub async fn set_sequences(
    client: &Client,
    sequences: &[&Sequence],
    of_extensions: &BTreeSet<TableName>,
) -> Result<Vec<NotRestored>> {
    let (extensions, own): (Vec<&Sequence>, Vec<&Sequence>) =
        sequences.iter().partition(|sequence| of_extensions.contains(&sequence.name));
    for batch in own.chunks(500) {
        let sql: Vec<String> = batch.iter().map(|sequence| set_sequence(sequence)).collect();
        client.batch_execute(&sql.join(";")).await.map_err(|e| from_postgres("setting the sequences", e))?;
    }
    let mut refused = Vec::new();
    for sequence in extensions {
        if let Err(error) = client.batch_execute(&set_sequence(sequence)).await {
            let reason = from_postgres("its value was refused", error).message();
            refused.push(NotRestored { object: format!("sequence {}", sequence.name), reason, essential: true });
        }
    }
    Ok(refused)
}

fn set_sequence(sequence: &Sequence) -> String {
    let name = literal(&qualified(&sequence.name));
    format!("SELECT pg_catalog.setval({name}, {}, {})", sequence.last_value, sequence.is_called)
}

/// Makes the large objects, still empty.
pub async fn create_large_objects(client: &Client, objects: &[LargeObject]) -> Result<()> {
    for batch in objects.chunks(1000) {
        let oids: Vec<u32> = batch.iter().map(|object| object.oid).collect();
        let sql = "SELECT pg_catalog.lo_create(wanted.oid) FROM pg_catalog.unnest($1::oid[]) AS wanted(oid)
                   WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = wanted.oid)";
        client.query(sql, &[&oids]).await.map_err(|e| from_postgres("making the large objects", e))?;
    }
    Ok(())
}

/// Owners, privileges and comments of large objects. What the target refuses is listed.
pub async fn describe_large_objects(
    client: &Client,
    objects: &[LargeObject],
    options: &SchemaOptions,
) -> Vec<NotRestored> {
    let mut refused = Vec::new();
    for object in objects {
        let name = format!("LARGE OBJECT {}", object.oid);
        let mut statements = Vec::new();
        statements.extend(object.comment.iter().map(|text| format!("COMMENT ON {name} IS {}", literal(text))));
        if !options.no_acl {
            statements.extend(grants(&name, &object.privileges, &options.role_map));
        }
        if !options.no_owner {
            let owner = quoted(options.role_map.target(&object.owner));
            statements.push(format!("ALTER {name} OWNER TO {owner}"));
        }
        refused.extend(run_each(client, &name.to_lowercase(), &statements).await);
    }
    refused
}

fn grants(on: &str, privileges: &[(String, String, bool)], map: &RoleMap) -> Vec<String> {
    let grant = |(grantee, privilege, grantable): &(String, String, bool)| {
        let to = if grantee.is_empty() { "PUBLIC".to_owned() } else { quoted(map.target(grantee)) };
        let option = if *grantable { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {privilege} ON {on} TO {to}{option}")
    };
    privileges.iter().map(grant).collect()
}

/// Settings, comment, limit, privileges and owner of the database. What the target refuses is listed.
pub async fn describe_database(
    client: &Client,
    name: &str,
    properties: &DatabaseProperties,
    options: &SchemaOptions,
) -> Vec<NotRestored> {
    let database = format!("DATABASE {}", quoted(name));
    let mut statements = Vec::new();
    statements.extend(properties.comment.iter().map(|text| format!("COMMENT ON {database} IS {}", literal(text))));
    if properties.connection_limit >= 0 {
        statements.push(format!("ALTER {database} CONNECTION LIMIT {}", properties.connection_limit));
    }
    for setting in &properties.settings {
        let value = setting_value(&setting.name, &setting.value);
        let set = format!("SET {} TO {value}", quoted(&setting.name));
        statements.push(match &setting.role {
            None => format!("ALTER {database} {set}"),
            Some(role) => format!("ALTER ROLE {} IN {database} {set}", quoted(options.role_map.target(role))),
        });
    }
    if let Some(privileges) = properties.privileges.as_ref().filter(|_| !options.no_acl) {
        // Those of the owner come with the ownership.
        let others: Vec<_> = privileges.iter().filter(|(grantee, ..)| *grantee != properties.owner).cloned().collect();
        statements.push(format!("REVOKE ALL ON {database} FROM PUBLIC"));
        statements.extend(grants(&database, &others, &options.role_map));
    }
    if !options.no_owner {
        let owner = quoted(options.role_map.target(&properties.owner));
        statements.push(format!("ALTER {database} OWNER TO {owner}"));
    }
    run_each(client, "database", &statements).await
}

/// Settings that are lists of names are stored with each name quoted where it must be, and are written back that way; all
/// others are one string.
fn setting_value(name: &str, value: &str) -> String {
    const LISTS: [&str; 6] = [
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    ];
    match LISTS.contains(&name.to_lowercase().as_str()) && !value.is_empty() {
        true => value.to_owned(),
        false => literal(value),
    }
}

async fn run_each(client: &Client, object: &str, statements: &[String]) -> Vec<NotRestored> {
    let mut refused = Vec::new();
    for statement in statements {
        if let Err(error) = client.batch_execute(statement).await {
            let kind: String = statement.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let reason = from_postgres(&format!("{kind} was refused"), error).message();
            refused.push(NotRestored { object: object.to_owned(), reason, essential: false });
        }
    }
    refused
}

/// Fills the materialized views that held rows, each after those it reads. One that fails is tried again with the
/// database's own search path and its own schema, and listed when that fails too.
pub async fn refresh_views(client: &Client, views: &[&TableName], search_path: Option<&str>) -> Vec<NotRestored> {
    let mut refused = Vec::new();
    for view in views {
        let refresh = format!("REFRESH MATERIALIZED VIEW {}", qualified(view));
        let Err(error) = client.batch_execute(&refresh).await else { continue };
        let path = search_path.unwrap_or("\"$user\", public");
        let own = quoted(&view.schema);
        let again = format!("BEGIN; SET LOCAL search_path TO {path}, {own}; {refresh}; COMMIT");
        if client.batch_execute(&again).await.is_err() {
            // The first error is what people must see; the second only repeats it.
            let _ = client.batch_execute("ROLLBACK").await;
            let reason = from_postgres("it could not be refreshed and is empty", error).message();
            refused.push(NotRestored { object: format!("materialized view {view}"), reason, essential: true });
        }
    }
    refused
}

/// Planner statistics, which no backup holds, of these tables (with their bytes) or of all, in up to `jobs` sessions.
/// Foreign tables are left alone, and what is made of them: asking them would go to other servers. A table that cannot be
/// analyzed is worth a remark, not the restore.
pub async fn analyze(
    target: &Connector,
    control: &Client,
    tables: Option<Vec<(TableName, u64)>>,
    jobs: usize,
) -> Result<Vec<Skipped>> {
    let tables = match tables {
        Some(mut tables) => {
            tables.sort_by_key(|(_, bytes)| Reverse(*bytes));
            tables
        }
        None => {
            let rows = control.query(include_str!("analyzable.sql"), &[]).await;
            let rows = rows.map_err(|e| from_postgres("listing tables to analyze", e))?;
            let table = |row: &Row| {
                (TableName::new(row.get::<_, String>(0), row.get::<_, String>(1)), row.get::<_, i64>(2).unsigned_abs())
            };
            rows.iter().map(table).collect()
        }
    };
    // Whom the target refuses a session, the others stand in for.
    let others = join_all((1..jobs.min(tables.len())).map(|_| target.connect())).await;
    let others: Vec<Session> = others.into_iter().filter_map(Result::ok).collect();
    let queue = Mutex::new(VecDeque::from(tables));
    let clients = others.iter().map(|session| &**session).chain(std::iter::once(control));
    Ok(join_all(clients.map(|client| analyze_from(&queue, client))).await.concat())
}

async fn analyze_from(queue: &Mutex<VecDeque<(TableName, u64)>>, client: &Client) -> Vec<Skipped> {
    let analyze =
        |tables: &[TableName]| format!("ANALYZE {}", tables.iter().map(qualified).collect::<Vec<_>>().join(", "));
    let mut remarks = Vec::new();
    loop {
        let batch = take_batch(&mut queue.lock().expect("no panic while held"), |(_, bytes)| *bytes);
        if batch.is_empty() {
            return remarks;
        }
        let batch: Vec<TableName> = batch.into_iter().map(|(table, _)| table).collect();
        if client.batch_execute(&analyze(&batch)).await.is_ok() {
            continue;
        }
        for table in &batch {
            if let Err(error) = client.batch_execute(&analyze(std::slice::from_ref(table))).await {
                let reason = from_postgres("the planner has no statistics of it", error).message();
                remarks.push(Skipped { object: format!("table {table}"), reason });
            }
        }
    }
}

/// The sequences that belong to a restore of these tables, or all of them.
pub fn wanted_sequences<'a>(catalogue: &'a Catalogue, tables: Option<&BTreeSet<TableName>>) -> Vec<&'a Sequence> {
    let wanted = |sequence: &&Sequence| match (tables, &sequence.owned_by) {
        (None, _) => true,
        (Some(tables), Some((table, _))) => tables.contains(table),
        (Some(_), None) => false,
    };
    catalogue.sequences.iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_stays_a_list_of_names_and_other_settings_are_strings() {
        assert_eq!(setting_value("search_path", "\"$user\", public"), "\"$user\", public");
        assert_eq!(setting_value("search_path", ""), "''");
        assert_eq!(setting_value("DateStyle", "ISO, DMY"), "'ISO, DMY'");
        assert_eq!(setting_value("app.motto", "it's"), "'it''s'");
    }
}
