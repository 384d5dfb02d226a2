//! The SQL that restores one entry of a schema archive, as `pg_restore` would run it.
//!
//! An entry becomes a [`Step`]: its definition, run whole as one query and never split at semicolons, then its owner and
//! what else hangs on it. Differences from `pg_restore`, none of which shows in the result: identifiers are always quoted,
//! grantors are taken on by `SET ROLE` (see [`role_names`](super::role_names)), and tablespace and access method are set for
//! the step alone, so that steps can run in any order and on any session.
//!
//! Not made here: rows, sequence values, large objects and statistics, and the database itself with its properties.

use std::fmt;

use super::archive::{Archive, DumpId, Entry, major};
use super::role_names::{RoleMap, privilege_pieces, with_target_roles};
use super::sql_text::{Token, qualified, quoted, tokens};
use crate::error::{Error, Result};

/// What a restore leaves out or changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaOptions {
    /// Everything belongs to the role that restores.
    pub no_owner: bool,
    /// No privileges, default ones neither.
    pub no_acl: bool,
    /// Everything goes to the database's default tablespace.
    pub no_tablespaces: bool,
    pub role_map: RoleMap,
}

/// When a step runs, as `pg_restore` has it: privileges must not hinder the making of objects, event triggers must not
/// meddle with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    Main,
    /// First those on schemas: without them other grantors do not find what to grant.
    SchemaPrivileges,
    Privileges,
    AfterPrivileges,
}

/// Whether a restore can be called one without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// What a target refuses is listed as not restored.
    Optional,
    Essential,
}

/// What makes one entry, in order and in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub dump_id: DumpId,
    /// Kind, schema and name, for people.
    pub object: String,
    pub pass: Pass,
    /// Of the object; single statements may matter less.
    pub importance: Importance,
    pub statements: Vec<Statement>,
}

impl Step {
    /// What sets back, for another step in the same transaction, where this one put its rows.
    pub fn storage_reset(&self) -> Option<&'static str> {
        let is_storage = |s: &Statement| matches!(s.part, Part::Tablespace(_) | Part::AccessMethod(_));
        let reset = "SET LOCAL default_tablespace = ''; SET LOCAL default_table_access_method = heap";
        self.statements.iter().any(is_storage).then_some(reset)
    }
}

/// One query of a step. `Debug` leaves the SQL out: it may hold passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Statement {
    pub sql: String,
    pub part: Part,
    pub importance: Importance,
    pub fallback: Fallback,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("part", &self.part)
            .field("importance", &self.importance)
            .finish_non_exhaustive()
    }
}

/// What a statement is for, named where only this failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Definition,
    /// One grant or revocation of several.
    Privilege,
    Owner(String),
    Tablespace(String),
    AccessMethod(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definition => f.write_str("definition"),
            Self::Privilege => f.write_str("privilege"),
            Self::Owner(role) => write!(f, "owner {role}"),
            Self::Tablespace(name) => write!(f, "tablespace {name}"),
            Self::AccessMethod(name) => write!(f, "access method {name}"),
        }
    }
}

/// What to try when the target refuses a statement.
#[derive(Clone, PartialEq, Eq)]
pub enum Fallback {
    None,
    /// The constraint without a look at the rows that are there.
    NotValid(String),
    /// The same piece by piece, so that one missing role costs one privilege.
    Pieces(Vec<String>),
}

/// Refuses a target older than the server that was dumped: its `pg_dump` writes what only newer servers know.
pub fn refuse_older_target(archive: &Archive, target_major: u32) -> Result<()> {
    match archive.header.server_major() {
        Some(source) if source > target_major => Err(Error::preflight(format!(
            "a backup of PostgreSQL {source} cannot be restored into PostgreSQL {target_major}"
        ))
        .hint(format!("restore into PostgreSQL {source} or newer"))),
        _ => Ok(()),
    }
}

/// Settings that every session needs before it runs steps of this archive, as one query.
pub fn session_settings(archive: &Archive, target_major: u32) -> String {
    let standard_strings = special(archive, "STDSTRINGS").is_none_or(|sql| !sql.contains("'off'"));
    let search_path =
        special(archive, "SEARCHPATH").unwrap_or("SELECT pg_catalog.set_config('search_path', '', false);");
    let mut settings = vec![
        "SET statement_timeout = 0",
        "SET lock_timeout = 0",
        "SET idle_in_transaction_session_timeout = 0",
        "SET idle_session_timeout = 0",
        "SET client_encoding = 'UTF8'",
        if standard_strings { "SET standard_conforming_strings = on" } else { "SET standard_conforming_strings = off" },
        "SET escape_string_warning = off",
        "SET check_function_bodies = false",
        "SET xmloption = content",
        "SET client_min_messages = warning",
        "SET row_security = off",
        "SET default_tablespace = ''",
        "SET default_table_access_method = heap",
    ];
    if target_major >= 17 {
        settings.push("SET transaction_timeout = 0");
    }
    format!("{};\n{search_path}", settings.join(";\n"))
}

/// What brings an empty database to where the archive's `pg_dump` takes it to be, if it is not there. A target may refuse.
///
/// `pg_dump` 15 and newer says nothing of a public schema where only its owner may create: the default since 15. Servers
/// 14 let everybody.
pub fn opening(archive: &Archive, target_major: u32, options: &SchemaOptions) -> Option<&'static str> {
    let expects_new_default = major(&archive.header.pg_dump_version).is_some_and(|major| major >= 15);
    let opens = target_major < 15 && expects_new_default && !options.no_acl;
    opens.then_some("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
}

fn special<'a>(archive: &'a Archive, desc: &str) -> Option<&'a str> {
    archive.entries.iter().find(|entry| entry.desc == desc).map(|entry| entry.definition.as_str())
}

/// Whether the entry is schema, rather than rows, statistics or something about the database as a whole.
pub fn is_schema(entry: &Entry) -> bool {
    let of_rows = matches!(
        entry.desc.as_str(),
        "TABLE DATA"
            | "SEQUENCE SET"
            | "MATERIALIZED VIEW DATA"
            | "STATISTICS DATA"
            | "BLOB"
            | "BLOBS"
            | "BLOB METADATA"
            | "BLOB COMMENTS"
    );
    let of_the_database = matches!(
        entry.desc.as_str(),
        "ENCODING" | "STDSTRINGS" | "SEARCHPATH" | "DATABASE" | "DATABASE PROPERTIES" | "WARNING" | "<Init>"
    );
    let property_of_either =
        is_property(entry) && ["DATABASE ", "LARGE OBJECT"].iter().any(|of| entry.tag.starts_with(of));
    !(of_rows || of_the_database || property_of_either)
}

/// Whether the entry says something about an object rather than making one.
pub fn is_property(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "ACL" | "ACL LANGUAGE" | "COMMENT" | "SECURITY LABEL")
}

/// Whether `--no-acl` leaves the entry out.
pub fn is_privilege(entry: &Entry) -> bool {
    matches!(entry.desc.as_str(), "ACL" | "ACL LANGUAGE" | "DEFAULT ACL")
}

pub fn pass_of(entry: &Entry) -> Pass {
    let of_event_trigger = is_property(entry) && entry.tag.starts_with("EVENT TRIGGER ");
    if entry.desc == "ACL" && entry.tag.starts_with("SCHEMA ") {
        Pass::SchemaPrivileges
    } else if is_privilege(entry) {
        Pass::Privileges
    } else if entry.desc == "EVENT TRIGGER" || of_event_trigger {
        Pass::AfterPrivileges
    } else {
        Pass::Main
    }
}

/// How much an entry matters for itself, whatever depends on it: optional is what managed servers are known to keep for
/// their own superuser, and what no row and no query can miss.
pub fn own_importance(entry: &Entry) -> Importance {
    match entry.desc.as_str() {
        "ACL"
        | "ACL LANGUAGE"
        | "DEFAULT ACL"
        | "COMMENT"
        | "SECURITY LABEL"
        | "EVENT TRIGGER"
        | "PUBLICATION"
        | "PUBLICATION TABLE"
        | "PUBLICATION TABLES IN SCHEMA"
        | "SUBSCRIPTION"
        | "SUBSCRIPTION TABLE"
        | "STATISTICS"
        | "EXTENSION"
        | "PROCEDURAL LANGUAGE"
        | "ACCESS METHOD"
        | "CAST"
        | "TRANSFORM"
        | "CONVERSION"
        | "OPERATOR CLASS"
        | "OPERATOR FAMILY"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH TEMPLATE"
        | "FOREIGN DATA WRAPPER"
        | "SERVER"
        | "USER MAPPING"
        | "FOREIGN TABLE" => Importance::Optional,
        "FUNCTION" | "PROCEDURE" if is_untrusted(entry) => Importance::Optional,
        _ => Importance::Essential,
    }
}

/// Whether a function is written in a language that only superusers may use.
fn is_untrusted(entry: &Entry) -> bool {
    let tokens = tokens(&entry.definition);
    let language = tokens.windows(2).find(|pair| pair[0].is("LANGUAGE")).and_then(|pair| pair[1].identifier());
    language
        .is_some_and(|name| ["c", "internal"].contains(&name.as_str()) || name.starts_with("pl") && name.ends_with('u'))
}

/// What to run for the entry; `None` when there is nothing to run.
///
/// Fails with [`ErrorKind::Preflight`](crate::ErrorKind) for a kind of object that this Lifeboat cannot give an owner.
pub fn step(entry: &Entry, options: &SchemaOptions, importance: Importance, target_major: u32) -> Result<Option<Step>> {
    let mut statements = Vec::new();
    statements.extend(storage(entry, options));
    statements.extend(definition(entry, options, importance, target_major));
    statements.extend(owner(entry, options)?);
    statements.extend(partitioned_access_method(entry));
    let only_settings = statements.iter().all(|s| matches!(s.part, Part::Tablespace(_) | Part::AccessMethod(_)));
    Ok((!only_settings).then(|| Step {
        dump_id: entry.dump_id,
        object: entry.name(),
        pass: pass_of(entry),
        importance,
        statements,
    }))
}

fn optional(part: Part, sql: String) -> Statement {
    Statement { sql, part, importance: Importance::Optional, fallback: Fallback::None }
}

/// Where the definition puts the rows; a target without that place has a default.
fn storage(entry: &Entry, options: &SchemaOptions) -> Vec<Statement> {
    let tablespace = entry.tablespace.as_ref().filter(|name| !name.is_empty() && !options.no_tablespaces);
    let access_method = entry.access_method.as_ref().filter(|name| *name != "heap" && !is_partitioned(entry));
    let set = |setting: &str, name: &str| format!("SET LOCAL {setting} = {}", quoted(name));
    let tablespace = tablespace.map(|name| optional(Part::Tablespace(name.clone()), set("default_tablespace", name)));
    let access_method =
        access_method.map(|name| optional(Part::AccessMethod(name.clone()), set("default_table_access_method", name)));
    tablespace.into_iter().chain(access_method).collect()
}

fn is_partitioned(entry: &Entry) -> bool {
    entry.relkind == Some('p')
}

fn definition(entry: &Entry, options: &SchemaOptions, importance: Importance, target_major: u32) -> Option<Statement> {
    if tokens(&entry.definition).is_empty() {
        return None;
    }
    let sql = if options.no_owner && entry.desc == "SCHEMA" {
        // Old pg_dumps named the owner in here.
        format!("CREATE SCHEMA {};\n", quoted(&entry.tag))
    } else if entry.desc == "SUBSCRIPTION" && target_major < 16 {
        // Servers before 16 know only what this says, and not how to say it; pg_dump 18 says it for them all the same.
        without(&entry.definition, &[",", "run_as_owner", "=", "true"])
    } else if entry.desc == "SEQUENCE" && target_major < 15 {
        // Nor do servers before 15 know sequences that are not logged; pg_dump 18 says of an unlogged table's that it is.
        without(&entry.definition, &["LOGGED"])
    } else {
        with_target_roles(entry, &options.role_map)
    };
    let fallback = match entry.desc.as_str() {
        "CHECK CONSTRAINT" | "FK CONSTRAINT" => not_valid(&sql).map_or(Fallback::None, Fallback::NotValid),
        "ACL" | "ACL LANGUAGE" | "DEFAULT ACL" => Fallback::Pieces(privilege_pieces(&sql)),
        _ => Fallback::None,
    };
    Some(Statement { sql, part: Part::Definition, importance, fallback })
}

/// `sql` without the place, if any, where these tokens stand in a row.
fn without(sql: &str, gone: &[&str]) -> String {
    let tokens = tokens(sql);
    let is_there = |place: &&[Token<'_>]| place.iter().map(Token::text).eq(gone.iter().copied());
    let place = tokens.windows(gone.len()).find(is_there);
    match place.and_then(|place| Some((place.first()?, place.last()?))) {
        Some((first, last)) => format!("{}{}", &sql[..first.at.start], &sql[last.at.end..]),
        None => sql.to_owned(),
    }
}

/// The constraint's definition with `NOT VALID`; `None` when the rows were never looked at.
fn not_valid(sql: &str) -> Option<String> {
    let constraint = sql.trim_end().strip_suffix(';')?;
    let unchecked = ["NOT VALID", "NOT ENFORCED"].iter().any(|end| constraint.ends_with(end));
    (!unchecked).then(|| format!("{constraint} NOT VALID;\n"))
}

/// What has no statement to drop it has no owner of its own.
fn owner(entry: &Entry, options: &SchemaOptions) -> Result<Option<Statement>> {
    if options.no_owner || entry.owner.is_empty() || entry.drop_statement.is_empty() {
        return Ok(None);
    }
    let role = options.role_map.target(&entry.owner);
    let owned = owned_object(entry)?;
    Ok(owned
        .map(|object| optional(Part::Owner(role.to_owned()), format!("ALTER {object} OWNER TO {};\n", quoted(role)))))
}

/// The object as `ALTER … OWNER TO` calls it; `None` for what belongs to another object's owner.
fn owned_object(entry: &Entry) -> Result<Option<String>> {
    let object = match entry.desc.as_str() {
        "COLLATION"
        | "CONVERSION"
        | "DOMAIN"
        | "FOREIGN TABLE"
        | "MATERIALIZED VIEW"
        | "SEQUENCE"
        | "STATISTICS"
        | "TABLE"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION"
        | "TYPE"
        | "VIEW"
        | "PROCEDURAL LANGUAGE"
        | "SCHEMA"
        | "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "SERVER"
        | "PUBLICATION"
        | "SUBSCRIPTION" => Some(format!("{} {}", entry.desc, qualified(entry.schema.as_deref(), &entry.tag))),
        // Their names need argument types or an access method, which the statement to drop them has.
        "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" | "PROCEDURE" => {
            let object = entry.drop_statement.strip_prefix("DROP ").unwrap_or(&entry.drop_statement);
            Some(object.trim_end_matches(['\n', ';']).to_owned())
        }
        "CAST" | "CHECK CONSTRAINT" | "CONSTRAINT" | "DEFAULT" | "FK CONSTRAINT" | "INDEX" | "RULE" | "TRIGGER"
        | "ROW SECURITY" | "POLICY" | "USER MAPPING" => None,
        unknown => {
            return Err(Error::preflight(format!("the schema archive has an object of unknown kind: {unknown}"))
                .hint("use the version of Lifeboat that made the backup, or a newer one"));
        }
    };
    Ok(object)
}

/// A partitioned table holds no rows: its access method is for partitions to come.
fn partitioned_access_method(entry: &Entry) -> Option<Statement> {
    let name = entry.access_method.as_ref().filter(|_| is_partitioned(entry))?;
    let table = qualified(entry.schema.as_deref(), &entry.tag);
    let sql = format!("ALTER TABLE {table} SET ACCESS METHOD {};\n", quoted(name));
    Some(optional(Part::AccessMethod(name.clone()), sql))
}

#[cfg(test)]
mod tests {
    use super::super::archive::tests::{archive, entry};
    use super::*;

    fn sql(entry: &Entry, options: &SchemaOptions) -> Vec<String> {
        let step = step(entry, options, own_importance(entry), 18).unwrap();
        step.into_iter().flat_map(|step| step.statements).map(|statement| statement.sql).collect()
    }

    fn table() -> Entry {
        Entry {
            schema: Some("s".to_owned()),
            owner: "app".to_owned(),
            definition: "CREATE TABLE s.t (a text DEFAULT ';');\n".to_owned(),
            tablespace: Some(String::new()),
            access_method: Some("heap".to_owned()),
            relkind: Some('r'),
            ..entry(1, "TABLE", "t", &[])
        }
    }

    #[test]
    fn an_object_is_made_in_one_query_and_given_its_owner() {
        assert_eq!(
            sql(&table(), &SchemaOptions::default()),
            ["CREATE TABLE s.t (a text DEFAULT ';');\n", "ALTER TABLE \"s\".\"t\" OWNER TO \"app\";\n"]
        );
    }

    #[test]
    fn owners_can_be_left_out_or_renamed() {
        let no_owner = SchemaOptions { no_owner: true, ..Default::default() };
        assert_eq!(sql(&table(), &no_owner).len(), 1);
        let role_map = [("app".to_owned(), "new".to_owned())].into_iter().collect();
        let renamed = SchemaOptions { role_map, ..Default::default() };
        assert_eq!(sql(&table(), &renamed)[1], "ALTER TABLE \"s\".\"t\" OWNER TO \"new\";\n");
    }

    #[test]
    fn tablespace_and_access_method_are_set_for_the_step_alone() {
        let special = Entry {
            tablespace: Some("Fast".to_owned()),
            access_method: Some("columnar".to_owned()),
            owner: String::new(),
            ..table()
        };
        let statements = sql(&special, &SchemaOptions::default());
        assert_eq!(statements[0], "SET LOCAL default_tablespace = \"Fast\"");
        assert_eq!(statements[1], "SET LOCAL default_table_access_method = \"columnar\"");
        let no_tablespaces = SchemaOptions { no_tablespaces: true, ..Default::default() };
        assert_eq!(sql(&special, &no_tablespaces).len(), 2);
        let reset = |entry: &Entry| {
            let step = step(entry, &SchemaOptions::default(), Importance::Optional, 18).unwrap().unwrap();
            step.storage_reset().is_some()
        };
        assert_eq!(
            (reset(&special), reset(&Entry { tablespace: None, access_method: None, ..special })),
            (true, false)
        );
    }

    #[test]
    fn a_partitioned_tables_access_method_is_for_its_partitions() {
        let partitioned =
            Entry { relkind: Some('p'), access_method: Some("columnar".to_owned()), owner: String::new(), ..table() };
        assert_eq!(
            sql(&partitioned, &SchemaOptions::default())[1],
            "ALTER TABLE \"s\".\"t\" SET ACCESS METHOD \"columnar\";\n"
        );
    }

    #[test]
    fn the_public_schema_is_not_made_but_gets_its_owner() {
        let public = Entry {
            definition: "-- *not* creating schema, since initdb creates it\n".to_owned(),
            owner: "app".to_owned(),
            ..entry(1, "SCHEMA", "public", &[])
        };
        assert_eq!(sql(&public, &SchemaOptions::default()), ["ALTER SCHEMA \"public\" OWNER TO \"app\";\n"]);
        assert!(sql(&public, &SchemaOptions { no_owner: true, ..Default::default() }).is_empty());
    }

    #[test]
    fn a_function_is_named_with_its_arguments() {
        let function = Entry {
            drop_statement: "DROP FUNCTION s.f(a integer, OUT \";\" text);\n".to_owned(),
            owner: "app".to_owned(),
            ..entry(1, "FUNCTION", "f(integer)", &[])
        };
        assert_eq!(
            sql(&function, &SchemaOptions::default())[1],
            "ALTER FUNCTION s.f(a integer, OUT \";\" text) OWNER TO \"app\";\n"
        );
    }

    #[test]
    fn a_constraint_can_be_added_without_looking_at_the_rows() {
        let check = |sql: &str| not_valid(sql);
        assert_eq!(
            check("ALTER TABLE t\n    ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES b(c) DEFERRABLE;\n").as_deref(),
            Some("ALTER TABLE t\n    ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES b(c) DEFERRABLE NOT VALID;\n")
        );
        assert_eq!(check("ALTER TABLE t ADD CONSTRAINT c CHECK ((a > 0)) NOT VALID;\n"), None);
        assert_eq!(check("ALTER TABLE t ADD CONSTRAINT c CHECK ((a > 0)) NOT ENFORCED;\n"), None);
    }

    #[test]
    fn an_old_target_is_spared_what_it_does_not_know_of_subscriptions() {
        let definition = "CREATE SUBSCRIPTION s CONNECTION 'a=, run_as_owner = true' PUBLICATION p \
                          WITH (connect = false, run_as_owner = true, binary = true);\n";
        let subscription = Entry { definition: definition.to_owned(), ..entry(1, "SUBSCRIPTION", "s", &[]) };
        let sql = |major| definition_of(&subscription, major);
        assert_eq!(sql(15), definition.replace("false, run_as_owner = true", "false"));
        assert_eq!(sql(16), definition);
    }

    #[test]
    fn a_sequence_is_not_called_logged_where_no_other_is_known() {
        let definition = "ALTER TABLE s.t ALTER COLUMN \"LOGGED\" ADD GENERATED ALWAYS AS IDENTITY (\n    SEQUENCE NAME s.q\n    \
                          LOGGED\n    START WITH 1\n);\n";
        let sequence = Entry { definition: definition.to_owned(), ..entry(1, "SEQUENCE", "q", &[]) };
        assert_eq!(definition_of(&sequence, 14), definition.replace("    LOGGED\n", "    \n"));
        assert_eq!(definition_of(&sequence, 15), definition);
    }

    fn definition_of(entry: &Entry, target_major: u32) -> String {
        let step = step(entry, &SchemaOptions::default(), Importance::Optional, target_major).unwrap().unwrap();
        step.statements[0].sql.clone()
    }

    #[test]
    fn a_function_in_a_language_of_superusers_is_optional() {
        let importance = |definition: &str| {
            own_importance(&Entry { definition: definition.to_owned(), ..entry(1, "FUNCTION", "f()", &[]) })
        };
        assert_eq!(
            importance("CREATE FUNCTION s.f() RETURNS int\n    LANGUAGE plpython3u\n    AS $$1$$;"),
            Importance::Optional
        );
        assert_eq!(
            importance("CREATE FUNCTION s.f() RETURNS int\n    LANGUAGE c\n    AS 'lib', 'f';"),
            Importance::Optional
        );
        assert_eq!(
            importance("CREATE FUNCTION s.f() RETURNS int\n    LANGUAGE plpgsql\n    AS $$ c $$;"),
            Importance::Essential
        );
    }

    #[test]
    fn an_unknown_kind_with_an_owner_is_refused() {
        let unknown = Entry { owner: "app".to_owned(), ..entry(1, "PROPERTY GRAPH", "g", &[]) };
        assert!(step(&unknown, &SchemaOptions::default(), Importance::Essential, 18).is_err());
    }

    #[test]
    fn rows_and_the_database_itself_are_no_schema() {
        for (desc, tag) in [
            ("TABLE DATA", "t"),
            ("SEQUENCE SET", "s"),
            ("ENCODING", "ENCODING"),
            ("DATABASE PROPERTIES", "d"),
            ("ACL", "DATABASE d"),
            ("COMMENT", "LARGE OBJECT 7"),
            ("ACL", "LARGE OBJECTS 7..9"),
        ] {
            assert!(!is_schema(&entry(1, desc, tag, &[])), "{desc} {tag}");
        }
        assert!(is_schema(&entry(1, "ACL", "TABLE t", &[])));
    }

    #[test]
    fn an_older_target_is_refused_and_told_settings_it_knows() {
        let archive = archive(Vec::new());
        assert!(refuse_older_target(&archive, 17).is_err());
        assert!(refuse_older_target(&archive, 18).is_ok());
        assert!(!session_settings(&archive, 16).contains("transaction_timeout"));
        assert!(session_settings(&archive, 17).contains("transaction_timeout"));
    }

    #[test]
    fn the_public_schema_is_closed_where_pg_dump_takes_it_to_be() {
        let archive = archive(Vec::new());
        let opens = |major, no_acl| opening(&archive, major, &SchemaOptions { no_acl, ..Default::default() }).is_some();
        assert!(opens(14, false) && !opens(14, true) && !opens(15, false));
    }

    #[test]
    fn debug_shows_no_sql() {
        let mapping = Entry {
            definition: "CREATE USER MAPPING FOR a SERVER s OPTIONS (password 'hunter2');".to_owned(),
            ..entry(1, "USER MAPPING", "m", &[])
        };
        let step = step(&mapping, &SchemaOptions::default(), Importance::Optional, 18).unwrap();
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}
