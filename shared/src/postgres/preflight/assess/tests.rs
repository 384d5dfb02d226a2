use super::super::facts::{LargeObjects, Limits};
use super::*;
use crate::model::TableName;
use crate::postgres::identity::Identity;
use crate::postgres::pg_dump::PgDump;

/// A server where nothing is wrong.
fn good() -> Facts {
    Facts {
        identity: Identity {
            system_identifier: 7,
            postmaster_start: jiff::Timestamp::UNIX_EPOCH,
            server_address: None,
            database_oid: 16384,
            database: "shop".into(),
            server_version_num: 170_004,
            server_version: "17.4".into(),
            server_encoding: "UTF8".into(),
            in_recovery: false,
            read_only: false,
        },
        host: "db.acme.com".into(),
        port: 5432,
        is_local: false,
        is_encrypted: true,
        is_verified: true,
        tool: Tool::Found(PgDump { path: "/usr/bin/pg_dump".into(), major: 18, version: "18.6".into() }),
        ownership: Some(Ownership::Ours),
        limits: Limits {
            role: "lifeboat".into(),
            is_superuser: false,
            max_connections: 100,
            reserved_connections: 3,
            connections: 10,
            role_connection_limit: -1,
            role_connections: 0,
            database_connection_limit: -1,
            database_connections: 9,
            max_locks_per_transaction: 64,
            max_prepared_transactions: 0,
        },
        replica: None,
        forbidden_functions: Vec::new(),
        relations: vec![table("orders"), RelationAccess { is_sequence: true, ..table("orders_id_seq") }],
        unreadable_large_objects: LargeObjects::default(),
        kept: Vec::new(),
    }
}

fn table(name: &str) -> RelationAccess {
    RelationAccess {
        name: TableName::new("public", name),
        is_sequence: false,
        schema_usable: true,
        readable: true,
        partly_readable: true,
        hides_rows: false,
    }
}

fn options(wants: &(dyn Fn(&TableName) -> Wanted + Sync)) -> Options<'_> {
    Options { jobs: 4, pg_dump: None, allow_newer_server: false, wants, wants_large_objects: true }
}

fn all(_: &TableName) -> Wanted {
    Wanted::Rows
}

fn findings(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = good();
    change(&mut facts);
    assess(&facts, &options(&all)).findings
}

/// The only finding's severity, check and fix.
fn only(change: impl FnOnce(&mut Facts)) -> (Severity, &'static str, String) {
    let found = findings(change);
    assert_eq!(found.len(), 1, "{found:#?}");
    (found[0].severity, found[0].check, found[0].fix.clone())
}

#[test]
fn a_good_server_has_no_findings() {
    let report = assess(&good(), &options(&all));
    assert_eq!(report, Report::default());
    assert!(!report.is_refused());
    assert!(report.refusal().is_none());
}

#[test]
fn only_tested_versions_are_accepted_unless_a_newer_one_was_allowed() {
    let version = |num: u32| only(|f| f.identity.server_version_num = num);
    assert_eq!(version(130_000).0, Severity::Error);
    assert_eq!(version(190_000).0, Severity::Error);
    let mut facts = good();
    facts.identity.server_version_num = 190_000;
    let report = assess(&facts, &Options { allow_newer_server: true, ..options(&all) });
    assert!(!report.is_refused());
    assert_eq!(report.findings[0].severity, Severity::Warning);
}

#[test]
fn an_unencrypted_network_is_worth_a_warning_and_this_machine_is_not() {
    let plain = |f: &mut Facts| (f.is_encrypted, f.is_verified) = (false, false);
    assert_eq!(only(plain).0, Severity::Warning);
    assert_eq!(only(|f| f.is_verified = false).0, Severity::Info);
    let local = findings(|f| {
        plain(f);
        f.is_local = true;
    });
    assert_eq!(local, []);
}

#[test]
fn a_pooler_is_refused_with_the_way_round_it() {
    let pooled = |host: &str, port| {
        only(|f| {
            (f.host, f.port) = (host.into(), port);
            f.ownership = Some(Ownership::Pooled);
        })
    };
    assert!(pooled("db.acme.com", 6432).2.contains("pool_mode = session"));
    assert!(pooled("x.pooler.supabase.com", 6543).2.contains("port 5432"));
    let (severity, check, fix) = pooled("ep-a-pooler.eu.aws.neon.tech", 5432);
    assert_eq!((severity, check), (Severity::Error, "pooler"));
    assert!(fix.contains("without `-pooler`"));
    let proxy = only(|f| f.host = "p.proxy-x.eu-west-1.rds.amazonaws.com".into());
    assert_eq!(proxy.0, Severity::Warning);
}

#[test]
fn every_limit_of_connections_is_counted() {
    let (severity, check, fix) = only(|f| f.limits.connections = 91);
    assert_eq!((severity, check), (Severity::Error, "connections"));
    assert!(fix.starts_with("use --jobs 3, or raise max_connections"), "{fix}");
    assert_eq!(only(|f| f.limits.connections = 97).2, "raise max_connections, or end idle sessions");
    assert_eq!(findings(|f| f.limits.connections = 90), []);

    let role = only(|f| (f.limits.role_connection_limit, f.limits.role_connections) = (5, 1));
    assert_eq!(role.1, "role_connections");
    assert!(role.2.contains("ALTER ROLE \"lifeboat\" CONNECTION LIMIT 8"), "{}", role.2);
    let database = only(|f| f.limits.database_connection_limit = 10);
    assert_eq!(database.1, "database_connections");
    let superuser = findings(|f| {
        f.limits.is_superuser = true;
        f.limits.role_connection_limit = 0;
    });
    assert_eq!(superuser, []);
}

#[test]
fn the_lock_table_must_hold_every_table() {
    let many = |count: usize| move |f: &mut Facts| f.relations = (0..count).map(|i| table(&format!("t{i}"))).collect();
    assert_eq!(findings(many(2_000)), []);
    assert_eq!(only(many(4_000)).0, Severity::Warning);
    let (severity, check, fix) = only(many(7_000));
    assert_eq!((severity, check), (Severity::Error, "locks"));
    assert!(fix.contains("max_locks_per_transaction = 153"), "{fix}");
    assert_eq!(
        findings(|f| {
            many(7_000)(f);
            f.limits.max_locks_per_transaction = 153;
        }),
        []
    );
}

#[test]
fn what_the_role_may_not_read_is_named_with_the_statement_that_lets_it() {
    let schema = findings(|f| f.relations[0].schema_usable = false);
    assert_eq!(schema[0].fix, "GRANT USAGE ON SCHEMA \"public\" TO \"lifeboat\"");
    let table = |partly| findings(move |f| (f.relations[0].readable, f.relations[0].partly_readable) = (false, partly));
    assert_eq!(table(false)[0].object.as_deref(), Some("public.orders"));
    assert_eq!(table(false)[0].fix, "GRANT SELECT ON TABLE \"public\".\"orders\" TO \"lifeboat\"");
    assert!(table(true)[0].problem.contains("only some columns"));
    let sequence = findings(|f| f.relations[1].readable = false);
    assert_eq!(sequence[0].fix, "GRANT SELECT ON SEQUENCE \"public\".\"orders_id_seq\" TO \"lifeboat\"");
    let function = findings(|f| f.forbidden_functions = vec!["pg_catalog.pg_export_snapshot()".into()]);
    assert_eq!(function[0].check, "function_privileges");
}

#[test]
fn unreadable_large_objects_are_named_and_counted() {
    let found = findings(|f| f.unreadable_large_objects = LargeObjects { first: vec![16_500, 16_501], total: 9 });
    assert_eq!(found[0].fix, "GRANT SELECT ON LARGE OBJECT 16500 TO \"lifeboat\"");
    assert!(found[2].problem.contains("7 more"));
}

#[test]
fn a_flood_of_tables_is_named_in_part_and_counted_in_full() {
    let found = findings(|f| {
        f.relations = (0..120).map(|i| RelationAccess { readable: false, ..table(&format!("t{i:03}")) }).collect();
    });
    assert_eq!(found.len(), NAMED + 1);
    assert_eq!(found[NAMED].problem, "and 70 more, like public.t049");
    assert_eq!(found[NAMED].fix, "GRANT pg_read_all_data TO \"lifeboat\"");
}

#[test]
fn row_level_security_matters_only_where_rows_are_wanted() {
    let mut facts = good();
    facts.relations[0].hides_rows = true;
    let report = assess(&facts, &options(&all));
    assert_eq!(report.findings[0].fix, "ALTER ROLE \"lifeboat\" BYPASSRLS");
    let definition = |_: &TableName| Wanted::Definition;
    assert!(!assess(&facts, &options(&definition)).is_refused());
}

#[test]
fn what_is_not_wanted_is_not_judged() {
    let nothing = |_: &TableName| Wanted::Nothing;
    let mut facts = good();
    facts.relations[0].readable = false;
    facts.relations[1].readable = false;
    facts.unreadable_large_objects = LargeObjects { first: vec![1], total: 1 };
    let report = assess(&facts, &Options { wants_large_objects: false, ..options(&nothing) });
    assert_eq!(report.findings, []);
}

#[test]
fn a_standby_tells_its_age_and_its_dangers() {
    let standby = |age_s, bytes, is_paused, has_feedback| {
        findings(move |f| {
            f.replica =
                Some(Replica { replay_age_s: Some(age_s), unreplayed_bytes: Some(bytes), is_paused, has_feedback });
        })
    };
    let severities = |found: Vec<Finding>| found.iter().map(|f| f.severity).collect::<Vec<_>>();
    assert_eq!(severities(standby(2.0, 0, false, true)), [Severity::Info]);
    assert_eq!(severities(standby(9_000.0, 0, false, true)), [Severity::Info], "its primary is idle");
    assert_eq!(severities(standby(9_000.0, 1_000, true, false)), [Severity::Warning; 3]);
}

#[test]
fn errors_come_first_and_the_refusal_tells_them_all() {
    let mut facts = good();
    facts.is_verified = false;
    (facts.relations[0].readable, facts.relations[0].partly_readable) = (false, false);
    facts.tool = Tool::Missing { problem: "pg_dump was not found".into(), fix: "install it".into() };
    let report = assess(&facts, &options(&all));
    let checks: Vec<&str> = report.findings.iter().map(|f| f.check).collect();
    assert_eq!(checks, ["pg_dump", "table_privileges", "tls"]);
    let error = report.refusal().unwrap();
    assert_eq!(error.kind(), crate::ErrorKind::Preflight);
    assert_eq!(error.message(), "pg_dump was not found; the role may not read table public.orders");
    assert_eq!(error.hint_text(), Some("install it; GRANT SELECT ON TABLE \"public\".\"orders\" TO \"lifeboat\""));
}

#[test]
fn tables_that_only_their_extension_can_make_again_are_refused_unless_they_are_left_out() {
    let kept = |by, schema: &str, name: &str| Kept { by, table: TableName::new(schema, name) };
    let mut facts = good();
    facts.kept = vec![
        kept(Keeper::Timescale, "public", "metrics"),
        kept(Keeper::Timescale, "_timescaledb_internal", "_hyper_1_1_chunk"),
        kept(Keeper::Citus, "public", "events"),
    ];
    let refused = |wants: &(dyn Fn(&TableName) -> Wanted + Sync)| -> Vec<String> {
        let found = assess(&facts, &options(wants)).findings;
        found.into_iter().map(|finding| finding.object.unwrap_or_default()).collect()
    };
    assert_eq!(refused(&all), ["citus", "timescaledb"]);
    assert_eq!(refused(&|_| Wanted::Definition), ["timescaledb"], "a hypertable is none without its extension's notes");
    let not_the_hypertable = |table: &TableName| match table.name.as_str() {
        "metrics" => Wanted::Nothing,
        _ => Wanted::Definition,
    };
    assert_eq!(refused(&not_the_hypertable), ["timescaledb"], "its chunks are still there");
    assert_eq!(refused(&|_| Wanted::Nothing), [""; 0]);
}
