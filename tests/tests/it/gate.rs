//! The gate: PostgreSQL's own regression-test database, there and back, compared by what `pg_dump` makes of both sides.
//! `docs/fidelity.md` says what cannot be equal, and why; here it is spelled out, so that nothing joins it unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;

use lifeboat::model::Depth;
use lifeboat::ops::restore::RestoreOptions;
use lifeboat::ops::verify::verify;
use lifeboat_tests::{Bed, MAJORS, Server, TestDb, dumped_objects, soak};

use crate::connect::skipped;
use crate::restore::objects;
use crate::rig::Rig;

/// The server of a version with the regression database, which stays there; `None`, said aloud, where it cannot be made.
async fn corpus(major: u32) -> Option<(Server, ManuallyDrop<TestDb>)> {
    match Bed::get().corpus(major).await {
        Ok(server) => {
            let database = server.adopt_database("regression");
            Some((server, ManuallyDrop::new(database)))
        }
        Err(reason) => {
            skipped(&reason);
            None
        }
    }
}

/// Children of an inheritance whose columns stand in another order than their parent's: no dump can tell that.
const REORDERED: [&str; 13] = [
    "TABLE DATA public.b_star",
    "TABLE DATA public.c_star",
    "TABLE DATA public.d_star",
    "TABLE DATA public.e_star",
    "TABLE DATA public.f_star",
    "TABLE DATA public.renamecolumnanother",
    "TABLE DATA public.renamecolumnchild",
    "TABLE DATA public.test_type_diff2_c1",
    "TABLE DATA public.test_type_diff2_c2",
    "TABLE DATA public.test_type_diff_c",
    "TABLE public.gtestxx_4",
    "TABLE public.test_type_diff2_c1",
    "TABLE public.test_type_diff2_c2",
];
const REORDERED_ON_18: [&str; 15] = [
    "TABLE DATA public.b_star",
    "TABLE DATA public.c_star",
    "TABLE DATA public.cc2",
    "TABLE DATA public.d_star",
    "TABLE DATA public.e_star",
    "TABLE DATA public.f_star",
    "TABLE DATA public.renamecolumnanother",
    "TABLE DATA public.renamecolumnchild",
    "TABLE DATA public.test_type_diff2_c1",
    "TABLE DATA public.test_type_diff2_c2",
    "TABLE DATA public.test_type_diff_c",
    "TABLE generated_stored_tests.gtestxx_4",
    "TABLE generated_virtual_tests.gtestxx_4",
    "TABLE public.test_type_diff2_c1",
    "TABLE public.test_type_diff2_c2",
];
/// A rule of a table that was renamed to what only a view's may be called: 18.4 lets it be renamed, and no server makes it.
const REFUSED_ON_18: [&str; 1] = ["RULE public.rtest_t4 _RETURN"];

/// The library that 18's tests bring has lost them.
const NOT_IN_THE_LIBRARY_OF_18: [&str; 3] =
    ["FUNCTION public.get_columns_length(oid[])", "FUNCTION public.set_ttdummy(integer)", "FUNCTION public.ttdummy()"];

/// Servers that have the libraries of the regression tests.
const WITH_LIBRARIES: [u32; 2] = [15, 18];

const DROP_FUNCTIONS_OF_LIBRARIES: &str = r"
    DO $$ DECLARE f regprocedure; BEGIN
        FOR f IN SELECT oid FROM pg_proc WHERE oid >= 16384 AND probin LIKE '$libdir/%' LOOP
            CONTINUE WHEN NOT EXISTS (SELECT FROM pg_proc WHERE oid = f);
            EXECUTE format('DROP ROUTINE %s CASCADE', f);
        END LOOP;
    END $$";

/// A column that is generated in a child and plain in its parent: servers 16 and later take none.
const REFUSED_BY_LATER_VERSIONS: &str = "DROP TABLE IF EXISTS gtest_normal_child, gtest_normal_child2";

fn unique(name: &str) -> String {
    format!("{name}_{}", std::process::id())
}

fn into(name: &str) -> RestoreOptions {
    RestoreOptions { into: Some(unique(name)), ..RestoreOptions::default() }
}

/// Names of what differs.
fn different(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// One test, for a database that somebody reads cannot be the template of another.
#[tokio::test(flavor = "multi_thread")]
async fn the_regression_database_comes_back_as_it_was_and_moves_to_newer_versions() {
    for major in soak(&[18][..], &MAJORS[..]).iter().copied() {
        let Some((server, source)) = corpus(major).await else { return };
        comes_back(&server, &source).await;
    }
    for (old, new) in soak(&[(15, 18)][..], &[(14, 18), (15, 17), (15, 18), (16, 18)][..]).iter().copied() {
        let (Some((old, _)), Some((new, _))) = (corpus(old).await, corpus(new).await) else { return };
        moves(&old, &new).await;
    }
}

async fn comes_back(server: &Server, source: &TestDb) {
    let major = server.major();
    let rig = Rig::new().await;
    let backup = rig.backup(source).await;
    let verdict = verify(&rig.database().await, &backup.backup.id, Depth::Full, None, &rig.run).await.unwrap();
    assert!(verdict.ok, "{major}: {verdict:?}");
    let (copy, report) = rig.restore(&backup, server, &into("copy")).await;
    assert!(report.proof.ok && report.proof.tables_equal > 400, "{major}: {report:?}");
    let refused = if major == 18 { &REFUSED_ON_18[..] } else { &[] };
    assert_eq!((objects(&report.not_restored).as_slice(), report.remarks), (refused, vec![]), "{major}");
    let (before, after) = (dumped_objects(server, source.name()).await, dumped_objects(server, copy.name()).await);
    let different = different(&before, &after);
    let reordered: Vec<&str> = different.iter().map(String::as_str).filter(|name| !refused.contains(name)).collect();
    let expected = if major == 18 { &REORDERED_ON_18[..] } else { &REORDERED[..] };
    assert_eq!(reordered, expected, "{major}");
    for name in reordered {
        assert_eq!(in_any_order(&before[name]), in_any_order(&after[name]), "{major}: {name}");
    }
}

/// Words of lines, without regard to the order of either.
fn in_any_order(lines: &[String]) -> Vec<Vec<&str>> {
    let words = |line| {
        let mut words = Vec::from_iter(str::split(line, ['\t', ' ', ',', '(', ')']).filter(|word| !word.is_empty()));
        words.sort_unstable();
        words
    };
    let mut lines: Vec<Vec<&str>> = lines.iter().map(|line| words(line)).collect();
    lines.sort_unstable();
    lines
}

async fn moves(old: &Server, new: &Server) {
    let source = old.adopt_database(&unique("old"));
    old.sql("postgres", &format!("CREATE DATABASE {} TEMPLATE regression", source.name())).await;
    source.sql(REFUSED_BY_LATER_VERSIONS).await;
    if !WITH_LIBRARIES.contains(&new.major()) {
        source.sql(DROP_FUNCTIONS_OF_LIBRARIES).await;
    }
    make_roles(old, new).await;
    let rig = Rig::new().await;
    let backup = rig.backup(&source).await;
    let (copy, report) = rig.restore(&backup, new, &into("new")).await;
    let versions = format!("{} to {}", old.major(), new.major());
    assert!(report.proof.ok && report.proof.tables_equal > 400, "{versions}: {report:?}");
    let refused = if (old.major(), new.major()) == (15, 18) { &NOT_IN_THE_LIBRARY_OF_18[..] } else { &[] };
    assert_eq!((objects(&report.not_restored).as_slice(), report.remarks), (refused, vec![]), "{versions}");
    // The old server's version prints much otherwise: what is compared is a copy of the copy.
    let rig = Rig::new().await;
    let again = rig.backup(&copy).await;
    let (copy_of_copy, _) = rig.restore(&again, new, &into("newer")).await;
    let [before, after] = [copy.name(), copy_of_copy.name()].map(|name| dumped_objects(new, name));
    assert_eq!(different(&before.await, &after.await), [""; 0], "{versions}");
}

/// Roles are their server's, and no part of a backup.
async fn make_roles(old: &Server, new: &Server) {
    let names = "SELECT rolname::text FROM pg_roles";
    let of = async |server: &Server| -> BTreeSet<String> {
        server.client("postgres").await.query(names, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    for role in of(old).await.difference(&of(new).await) {
        new.sql("postgres", &format!("CREATE ROLE \"{role}\"")).await;
    }
}
