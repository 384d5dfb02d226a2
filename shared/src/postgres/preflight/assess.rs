//! The decisions: from what is known to what must, should or may be changed. Pure.

use std::collections::BTreeSet;

use super::facts::{Facts, Keeper, Kept, RelationAccess, Replica, Tool};
use super::{Finding, Options, Report, Severity, Wanted};
use crate::error::name_some;
use crate::postgres::pooler::Ownership;
use crate::postgres::provider::{self, Door};
use crate::postgres::quote::qualified;
use crate::postgres::sql_text::quoted;

/// Versions that every release is tested with.
const OLDEST: u32 = 14;
const NEWEST: u32 = 18;

/// The coordinator that holds the snapshot, pg_dump, and the one that looks for who waits for them.
const SESSIONS_BESIDE_READERS: i64 = 3;
/// Those of them that lock every table.
const LOCKING_BESIDE_READERS: i64 = 2;
/// A reader lets go of its locks after about this many tables.
const TABLES_PER_READER: i64 = 300;
/// Of one check, as many objects are named; the rest are counted.
const NAMED: usize = 50;
/// And in one finding.
const NAMED_IN_ONE: usize = 8;
/// A standby further behind is worth a word.
const LAG_S: f64 = 300.0;

/// Everything that the facts say about the backup that `options` describe, errors first.
pub fn assess(facts: &Facts, options: &Options<'_>) -> Report {
    let wanted: Vec<(&RelationAccess, Wanted)> = facts
        .relations
        .iter()
        .map(|relation| (relation, (options.wants)(&relation.name)))
        .filter(|(_, wanted)| *wanted != Wanted::Nothing)
        .collect();
    let mut findings = Vec::new();
    findings.extend(version(facts, options.allow_newer_server));
    findings.extend(tool(facts));
    findings.extend(encryption(facts));
    findings.extend(pooler(facts));
    findings.extend(connections(facts, options.jobs));
    findings.extend(locks(facts, options.jobs, wanted.iter().filter(|(r, _)| !r.is_sequence).count()));
    findings.extend(facts.replica.as_ref().map(replica).unwrap_or_default());
    findings.extend(functions(facts));
    findings.extend(schemas(facts, &wanted));
    findings.extend(tables(facts, &wanted));
    findings.extend(sequences(facts, &wanted));
    if options.wants_large_objects {
        findings.extend(large_objects(facts));
    }
    findings.extend(row_security(facts, &wanted));
    findings.extend(Keeper::ALL.into_iter().filter_map(|keeper| kept(facts, keeper, options)));
    // Stable: within a severity the order of the checks stays.
    findings.sort_by_key(|finding| finding.severity);
    Report { findings }
}

fn finding(severity: Severity, check: &'static str, problem: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { severity, check, object: None, problem: problem.into(), fix: fix.into() }
}

fn about(object: impl Into<String>, finding: Finding) -> Finding {
    Finding { object: Some(object.into()), ..finding }
}

fn version(facts: &Facts, allow_newer: bool) -> Option<Finding> {
    let (major, version) = (facts.identity.server_major(), &facts.identity.server_version);
    let found = |severity, problem, fix| Some(finding(severity, "version", problem, fix));
    match major {
        OLDEST..=NEWEST => None,
        0..OLDEST => found(
            Severity::Error,
            format!("the server is PostgreSQL {version}; supported are {OLDEST} to {NEWEST}"),
            "upgrade the server".to_owned(),
        ),
        _ if allow_newer => found(
            Severity::Warning,
            format!("the server is PostgreSQL {version}, newer than this Lifeboat was tested with"),
            "prove every backup with a restore, and look for a newer Lifeboat".to_owned(),
        ),
        _ => found(
            Severity::Error,
            format!("the server is PostgreSQL {version}; this Lifeboat knows versions up to {NEWEST}"),
            "use a newer Lifeboat".to_owned(),
        ),
    }
}

fn tool(facts: &Facts) -> Option<Finding> {
    match &facts.tool {
        Tool::Found(_) => None,
        Tool::Missing { problem, fix } => Some(finding(Severity::Error, "pg_dump", problem, fix)),
    }
}

fn encryption(facts: &Facts) -> Option<Finding> {
    if facts.is_local || facts.is_verified {
        return None;
    }
    Some(if facts.is_encrypted {
        finding(
            Severity::Info,
            "tls",
            "the connection is encrypted, but nobody checks that it is the right server at the other end",
            "use `sslmode=verify-full` with the issuer's certificate as `sslrootcert`",
        )
    } else {
        finding(
            Severity::Warning,
            "tls",
            "rows and password cross the network unencrypted",
            "switch TLS on at the server and use `sslmode=verify-full`",
        )
    })
}

fn pooler(facts: &Facts) -> Option<Finding> {
    let door = provider::door(&facts.host, facts.port);
    let shared = facts.ownership == Some(Ownership::Pooled);
    match door {
        Some(Door { name, instead, is_transaction_pooler }) if shared || is_transaction_pooler => Some(finding(
            Severity::Error,
            "pooler",
            format!("{name} shares sessions between clients; a snapshot needs sessions of its own"),
            instead,
        )),
        Some(Door { name, instead, .. }) => Some(finding(
            Severity::Warning,
            "pooler",
            format!("the connection goes through {name}, which may end or move long sessions"),
            instead,
        )),
        None if shared => Some(finding(
            Severity::Error,
            "pooler",
            "a transaction pooler shares sessions between clients; a snapshot needs sessions of its own",
            "connect to the server itself, or through a pool with pool_mode = session",
        )),
        None => None,
    }
}

fn connections(facts: &Facts, jobs: u32) -> Vec<Finding> {
    let limits = &facts.limits;
    let needed = i64::from(jobs) + SESSIONS_BESIDE_READERS;
    let limited = |limit: i64, used: i64| (limit >= 0 && !limits.is_superuser).then_some(limit - used);
    let free_in = [
        (
            "connections",
            Some(limits.max_connections - limits.reserved_connections - limits.connections),
            "the server has",
            "raise max_connections, or end idle sessions".to_owned(),
        ),
        (
            "role_connections",
            limited(limits.role_connection_limit, limits.role_connections),
            "the role's CONNECTION LIMIT leaves",
            format!("ALTER ROLE {} CONNECTION LIMIT {}", quoted(&limits.role), limits.role_connections + needed),
        ),
        (
            "database_connections",
            limited(limits.database_connection_limit, limits.database_connections),
            "the database's CONNECTION LIMIT leaves",
            format!(
                "ALTER DATABASE {} CONNECTION LIMIT {}",
                quoted(&facts.identity.database),
                limits.database_connections + needed
            ),
        ),
    ];
    let short = free_in.into_iter().filter_map(|(check, free, who, fix)| {
        let free = free.filter(|free| *free < needed)?.max(0);
        let fewer = free - SESSIONS_BESIDE_READERS;
        let fix = if fewer > 0 { format!("use --jobs {fewer}, or {fix}") } else { fix };
        Some(finding(
            Severity::Error,
            check,
            format!("{who} {free} free connections, and {jobs} jobs need {needed}"),
            fix,
        ))
    });
    short.collect()
}

/// Every session that locks a table takes a place in the server's lock table; the coordinator and pg_dump lock all of
/// them, readers some. The server keeps places for `max_locks_per_transaction` × (connections + prepared transactions)
/// tables, and for twice as many pairs of a table and a session.
fn locks(facts: &Facts, jobs: u32, tables: usize) -> Option<Finding> {
    let limits = &facts.limits;
    let slots = limits.max_connections + limits.max_prepared_transactions;
    let places = limits.max_locks_per_transaction * slots;
    let tables = i64::try_from(tables).unwrap_or(i64::MAX);
    let pairs =
        tables.saturating_mul(LOCKING_BESIDE_READERS).saturating_add(i64::from(jobs) * tables.min(TABLES_PER_READER));
    let needed = tables.max(pairs / 2);
    let (severity, what) = match needed {
        _ if needed > places => (Severity::Error, "too small"),
        _ if needed > places / 2 => (Severity::Warning, "tight"),
        _ => return None,
    };
    let enough = 2 * needed / slots.max(1) + 1;
    Some(finding(
        severity,
        "locks",
        format!("the server's lock table is {what}: {tables} tables need about {needed} places of {places}"),
        format!("set max_locks_per_transaction = {enough} and restart the server, or leave tables out"),
    ))
}

fn replica(replica: &Replica) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |severity, problem: String, fix: &str| findings.push(finding(severity, "replica", problem, fix));
    let behind = replica.unreplayed_bytes.is_none_or(|bytes| bytes > 0);
    if replica.is_paused {
        found(
            Severity::Warning,
            "replay on this standby is paused: backups will all hold the same old data".to_owned(),
            "SELECT pg_wal_replay_resume()",
        );
    }
    let age = replica.replay_age_s.map(|age_s| format!("{age_s:.0} s old")).unwrap_or("of unknown age".to_owned());
    if behind && replica.replay_age_s.is_none_or(|age_s| age_s > LAG_S) {
        found(
            Severity::Warning,
            format!("this standby is behind; its last replayed transaction is {age}"),
            "find out why replay lags, or back up the primary",
        );
    } else {
        found(
            Severity::Info,
            format!(
                "the server is a standby: a backup is as old as its last replayed transaction ({age}), without unlogged tables"
            ),
            "back up the primary if that matters",
        );
    }
    if !replica.has_feedback {
        found(
            Severity::Warning,
            "replay may cancel a long backup on this standby".to_owned(),
            "set hot_standby_feedback = on, or a longer max_standby_streaming_delay, on the standby",
        );
    }
    findings
}

fn functions(facts: &Facts) -> Vec<Finding> {
    let role = quoted(&facts.limits.role);
    let found = |name: &String| {
        let fix = format!("GRANT EXECUTE ON FUNCTION {name} TO {role}");
        about(name, finding(Severity::Error, "function_privileges", format!("the role may not execute {name}"), fix))
    };
    facts.forbidden_functions.iter().map(found).collect()
}

fn schemas(facts: &Facts, wanted: &[(&RelationAccess, Wanted)]) -> Vec<Finding> {
    let closed: BTreeSet<&str> =
        wanted.iter().filter(|(r, _)| !r.schema_usable).map(|(r, _)| r.name.schema.as_str()).collect();
    let found = |schema: &&str| {
        let fix = format!("GRANT USAGE ON SCHEMA {} TO {}", quoted(schema), quoted(&facts.limits.role));
        about(
            *schema,
            finding(Severity::Error, "schema_privileges", format!("the role may not look into schema {schema}"), fix),
        )
    };
    named(closed.iter().map(found).collect(), &all_at_once(facts))
}

fn tables(facts: &Facts, wanted: &[(&RelationAccess, Wanted)]) -> Vec<Finding> {
    let found = |relation: &RelationAccess| {
        let name = &relation.name;
        // Locking needs the privilege on the whole table, so columns do not help.
        let problem = match relation.partly_readable {
            true => format!("the role may read only some columns of table {name}"),
            false => format!("the role may not read table {name}"),
        };
        let fix = format!("GRANT SELECT ON TABLE {} TO {}", qualified(name), quoted(&facts.limits.role));
        about(name.to_string(), finding(Severity::Error, "table_privileges", problem, fix))
    };
    let closed = wanted.iter().filter(|(r, _)| !r.is_sequence && !r.readable).map(|(r, _)| found(r));
    named(closed.collect(), &all_at_once(facts))
}

fn sequences(facts: &Facts, wanted: &[(&RelationAccess, Wanted)]) -> Vec<Finding> {
    let found = |relation: &RelationAccess| {
        let name = &relation.name;
        let fix = format!("GRANT SELECT ON SEQUENCE {} TO {}", qualified(name), quoted(&facts.limits.role));
        let problem = format!("the role may not read sequence {name}");
        about(name.to_string(), finding(Severity::Error, "sequence_privileges", problem, fix))
    };
    let closed = wanted.iter().filter(|(r, _)| r.is_sequence && !r.readable).map(|(r, _)| found(r));
    named(closed.collect(), &all_at_once(facts))
}

fn all_at_once(facts: &Facts) -> String {
    format!("GRANT pg_read_all_data TO {}", quoted(&facts.limits.role))
}

fn large_objects(facts: &Facts) -> Vec<Finding> {
    let role = quoted(&facts.limits.role);
    let closed = &facts.unreadable_large_objects;
    let found = |oid: &u32| {
        let fix = format!("GRANT SELECT ON LARGE OBJECT {oid} TO {role}");
        let problem = format!("the role may not read large object {oid}");
        about(oid.to_string(), finding(Severity::Error, "large_object_privileges", problem, fix))
    };
    let mut findings: Vec<Finding> = closed.first.iter().map(found).collect();
    let more = closed.total - i64::try_from(closed.first.len()).unwrap_or(i64::MAX);
    if more > 0 {
        findings.push(finding(
            Severity::Error,
            "large_object_privileges",
            format!("the role may not read {more} more large objects"),
            format!("grant SELECT on each large object to {role}, or grant the role that owns them"),
        ));
    }
    findings
}

fn row_security(facts: &Facts, wanted: &[(&RelationAccess, Wanted)]) -> Vec<Finding> {
    let bypass = format!("ALTER ROLE {} BYPASSRLS", quoted(&facts.limits.role));
    let found = |relation: &RelationAccess| {
        let name = &relation.name;
        let problem = format!("row-level security hides rows of table {name} from the role");
        about(name.to_string(), finding(Severity::Error, "row_security", problem, bypass.clone()))
    };
    let hiding = wanted.iter().filter(|(r, wanted)| r.hides_rows && *wanted == Wanted::Rows).map(|(r, _)| found(r));
    named(hiding.collect(), &bypass)
}

/// Tables that are more than a schema dump and rows: restored, they would be empty, or not what they were.
fn kept(facts: &Facts, keeper: Keeper, options: &Options<'_>) -> Option<Finding> {
    let is_in_the_way = |kept: &&Kept| match (keeper, (options.wants)(&kept.table)) {
        (_, Wanted::Nothing) | (Keeper::Citus, Wanted::Definition) => false,
        (_, Wanted::Definition | Wanted::Rows) => kept.by == keeper,
    };
    let tables: Vec<String> = facts.kept.iter().filter(is_in_the_way).map(|kept| kept.table.to_string()).collect();
    let first = tables.first()?;
    let (problem, fix) = match keeper {
        Keeper::Citus => (
            "are distributed by Citus: their rows lie in shards, which no snapshot of this server holds still",
            format!(
                "leave their rows out (--exclude-table-data '{first}', …), and back up each node, or let Citus' provider do it"
            ),
        ),
        Keeper::Timescale => (
            "are hypertables or belong to them: no schema dump alone can make those again",
            format!(
                "leave them out (--exclude-table '{first}', …, --exclude-table '_timescaledb_*.*'), and save them by pg_dump, \
                 to be restored between timescaledb_pre_restore() and timescaledb_post_restore()"
            ),
        ),
    };
    let names = name_some(&tables, NAMED_IN_ONE);
    Some(about(keeper.extension(), finding(Severity::Error, "extensions", format!("{names} {problem}"), fix)))
}

/// The first findings of a check by name, the rest as a number with the fix that helps them all.
fn named(mut findings: Vec<Finding>, fix_for_all: &str) -> Vec<Finding> {
    let more = findings.len().saturating_sub(NAMED);
    if more > 0 {
        findings.truncate(NAMED);
        let last = findings.last().expect("some were kept").clone();
        let problem = format!("and {more} more, like {}", last.object.unwrap_or_default());
        findings.push(Finding { object: None, problem, fix: fix_for_all.to_owned(), ..last });
    }
    findings
}

#[cfg(test)]
mod tests;
