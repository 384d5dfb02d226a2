//! The database that is restored into: what is there, and making it.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::LOCK_TIMEOUT;
use super::record::SCHEMA;
use crate::error::{Error, Result};
use crate::model::{Collation, DatabaseProperties};
use crate::postgres::session::{set_local, timeout_settings};
use crate::postgres::sql_text::{literal, quoted};
use crate::postgres::{Connector, Session, from_postgres};

/// What the server has, as far as a restore cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    pub major: u32,
    pub roles: BTreeSet<String>,
    pub extensions_available: BTreeSet<String>,
    /// Of the database of the target's name, if there is one.
    pub database_oid: Option<u32>,
}

/// What an existing target database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Nothing of anybody's.
    Empty,
    /// An unfinished restore.
    Unfinished,
    Occupied,
}

/// Takes the advisory lock of who makes a database of this name. The session of a program that was killed goes on with that,
/// so who looks whether there is one waits for it.
async fn lock_maker(server: &Connector, session: &Session, name: &str, function: &str) -> Result<()> {
    let settings = set_local(&timeout_settings(server.identity(), LOCK_TIMEOUT));
    let key = format!("pg_catalog.hashtextextended({}, 0)", literal(&format!("lifeboat makes database {name}")));
    let sql = format!("{settings}; SELECT pg_catalog.{function}({key})");
    session.batch_execute(&sql).await.map_err(|error| match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => Error::conflict(format!("another restore is making database {name}"))
            .hint("wait for it, or choose another name with --into"),
        _ => from_postgres("looking at the target server", error),
    })
}

pub async fn facts(server: &Connector, database: &str) -> Result<ServerFacts> {
    let session = server.connect().await?;
    lock_maker(server, &session, database, "pg_advisory_xact_lock").await?;
    let failed = |e| from_postgres("looking at the target server", e);
    let names = async |sql: &str| -> Result<BTreeSet<String>> {
        Ok(session.query(sql, &[]).await.map_err(failed)?.iter().map(|row| row.get(0)).collect())
    };
    let oid = "SELECT oid FROM pg_catalog.pg_database WHERE datname = $1";
    Ok(ServerFacts {
        major: server.identity().server_major(),
        roles: names("SELECT rolname::text FROM pg_catalog.pg_roles").await?,
        extensions_available: names("SELECT name::text FROM pg_catalog.pg_available_extensions").await?,
        database_oid: session.query_opt(oid, &[&database]).await.map_err(failed)?.map(|row| row.get(0)),
    })
}

pub async fn contents(client: &Client) -> Result<Contents> {
    let sql = include_str!("contents.sql");
    let row = client.query_one(sql, &[&SCHEMA]).await.map_err(|e| from_postgres("looking into the target", e))?;
    Ok(match (row.get("is_unfinished"), row.get("is_occupied")) {
        (true, _) => Contents::Unfinished,
        (false, true) => Contents::Occupied,
        (false, false) => Contents::Empty,
    })
}

/// `CREATE DATABASE` with the recorded encoding, locale and provider.
pub fn create_statement(name: &str, properties: &DatabaseProperties, major: u32) -> String {
    let Collation { provider, collate, ctype, locale, icu_rules, .. } = &properties.collation;
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quoted(name),
        literal(&properties.encoding),
        literal(collate),
        literal(ctype)
    );
    if major >= 15 && provider != "libc" {
        sql.push_str(&format!(" LOCALE_PROVIDER {provider}"));
        let keyword = if provider == "icu" { "ICU_LOCALE" } else { "BUILTIN_LOCALE" };
        sql.extend(locale.iter().map(|locale| format!(" {keyword} {}", literal(locale))));
        sql.extend(icu_rules.iter().map(|rules| format!(" ICU_RULES {}", literal(rules))));
    }
    sql
}

/// Makes the database.
///
/// Errors: `Preflight` when the server does not have the locale or lets this role make no databases, `Conflict` when it
/// exists.
pub async fn create(server: &Connector, name: &str, properties: &DatabaseProperties) -> Result<()> {
    let session = server.connect().await?;
    lock_maker(server, &session, name, "pg_advisory_lock").await?;
    let statement = create_statement(name, properties, server.identity().server_major());
    session.batch_execute(&statement).await.map_err(|error| {
        let code = error.code().map(|state| state.code().to_owned()).unwrap_or_default();
        let error = from_postgres(&format!("creating database {name}"), error);
        match code.as_str() {
            // The second, where both were at it at the same time.
            "42P04" | "23505" => Error::conflict(error.message()).hint("choose another name with --into"),
            "42501" => Error::preflight(error.message())
                .hint("give the role CREATEDB, or make the database yourself and name it with --into"),
            code if code.starts_with("22") || code.starts_with("42") => Error::preflight(error.message()).hint(
                "the server lacks the source's locale: install it, or make the database yourself with the locale you want and name it with --into",
            ),
            _ => error,
        }
    })?;
    session.close().await;
    Ok(())
}

pub async fn drop_database(server: &Session, name: &str) -> Result<()> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    server.batch_execute(&sql).await.map_err(|e| from_postgres(&format!("dropping database {name}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(provider: &str, locale: Option<&str>) -> DatabaseProperties {
        DatabaseProperties {
            name: "shop".into(),
            owner: "o".into(),
            encoding: "UTF8".into(),
            collation: Collation {
                provider: provider.into(),
                collate: "C".into(),
                ctype: "C.UTF-8".into(),
                locale: locale.map(Into::into),
                icu_rules: None,
                version: None,
            },
            connection_limit: -1,
            comment: None,
            privileges: None,
            settings: vec![],
        }
    }

    #[test]
    fn a_database_is_made_with_the_recorded_locale_and_provider() {
        let sql = |provider, locale, major| create_statement("a\"b", &properties(provider, locale), major);
        let libc = r#"CREATE DATABASE "a""b" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"#;
        assert_eq!(sql("libc", None, 14), libc);
        assert_eq!(sql("icu", Some("de-AT"), 16), format!("{libc} LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'"));
        assert_eq!(
            sql("builtin", Some("C.UTF-8"), 17),
            format!("{libc} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
        );
    }
}
