//! Backups of real databases.

use lifeboat::ErrorKind;
use lifeboat::model::Depth;
use lifeboat::ops::backup::backup;
use lifeboat::ops::keys;
use lifeboat::ops::restore::{RestoreOptions, plan, restore};
use lifeboat::ops::status;
use lifeboat::ops::verify::verify;
use lifeboat::plan::health::{HealthPolicy, Limits, Rule};
use lifeboat_tests::{Bed, MAJORS, data};

use crate::rig::{Rig, connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_shop_passes_full_verification_on_every_version() {
    for major in MAJORS {
        let db = Bed::get().server(major).await.create_database().await;
        data::load_shop(&db.client().await, 0.2).await;
        let rig = Rig::new().await;
        let report = rig.backup(&db).await;
        assert!(report.backup.rows > 1000, "{report:?}");
        let verdict = verify(&rig.database().await, &report.backup.id, Depth::Full, None, &rig.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_zoo_passes_full_verification_on_every_version() {
    for major in MAJORS {
        let db = Bed::get().server(major).await.create_database().await;
        data::load_zoo(&db).await;
        let rig = Rig::new().await;
        let report = rig.backup(&db).await;
        let verdict = verify(&rig.database().await, &report.backup.id, Depth::Full, None, &rig.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_second_backup_adds_no_pack_and_a_small_change_a_few_chunks() {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE big AS SELECT i AS id, md5(i::text) AS a, md5((i * 7)::text) AS b FROM generate_series(1, 400000) i").await;
    let rig = Rig::new().await;
    let first = rig.backup(&db).await.backup;
    let second = rig.backup(&db).await.backup;
    assert_eq!(second.rows, first.rows);
    assert_eq!(second.new_bytes, 0, "neither rows nor what describes them");
    db.sql("UPDATE big SET a = 'changed' WHERE id IN (10, 20, 30)").await;
    let third = rig.backup(&db).await.backup;
    assert!(third.new_bytes * 20 < first.new_bytes, "{} of {}", third.new_bytes, first.new_bytes);
    let verdict = verify(&rig.database().await, &third.id, Depth::Full, None, &rig.run).await.unwrap();
    assert!(verdict.ok, "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_new_key_a_backup_shares_nothing_with_those_before_and_all_of_them_restore() {
    let source = Bed::get().server(17).await.create_database().await;
    data::load_shop(&source.client().await, 0.1).await;
    let rig = Rig::new().await;
    let first = rig.backup(&source).await.backup;
    let rotated = keys::rotate(&rig.database().await).await.unwrap();
    let second = rig.backup(&source).await.backup;
    assert_eq!(second.new_bytes, second.stored_bytes);
    let third = rig.backup(&source).await.backup;
    assert!(third.new_bytes < second.new_bytes / 20, "{third:?}");
    let db = rig.database().await;
    assert_ne!(db.manifest(&first.id).await.unwrap().key, rotated.key);
    assert_eq!(db.manifest(&second.id).await.unwrap().parent, None);
    assert_eq!(db.manifest(&third.id).await.unwrap().parent.as_ref(), Some(&second.id), "the next one shares again");
    for backup in [first, second, third] {
        let manifest = db.manifest(&backup.id).await.unwrap();
        assert!(manifest.certificate_until.is_some(), "the connection checks the certificate");
        let target = connect(&source.url()).await;
        assert!(verify(&db, &backup.id, Depth::Restore, Some(&target), &rig.run).await.unwrap().ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_capture_the_databases_changes_are_noted_and_told_once_they_are_behind() {
    for major in [14, 18] {
        let server = Bed::get().private_server(major, &["wal_level = logical"]).await;
        let (captured, other) = (server.create_database().await, server.create_database().await);
        captured
            .sql(
                "SELECT pg_create_logical_replication_slot('capture', 'pgoutput');
                 CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 50000) i",
            )
            .await;
        let rig = Rig::new().await;
        let backup = rig.backup(&captured).await.backup;
        let slots = rig.database().await.manifest(&backup.id).await.unwrap().slots;
        assert_eq!(
            slots.iter().map(|slot| (slot.name.as_str(), slot.is_active, slot.is_lost)).collect::<Vec<_>>(),
            [("capture", false, false)]
        );
        assert!((1_000_000..100_000_000).contains(&slots[0].lag_bytes), "{slots:?}");
        let policy = |_: &_| {
            let slot_lag_bytes = Limits { warning: 100_000, critical: 1 << 40 };
            HealthPolicy { slot_lag_bytes, ..HealthPolicy::default() }
        };
        let status = status(&rig.vault, None, &[], policy).await.unwrap();
        let findings: Vec<(Rule, &str)> =
            status.databases[0].findings.iter().map(|finding| (finding.rule, finding.about.as_str())).collect();
        assert!(findings.contains(&(Rule::SlotLag, "capture")), "{findings:?}");

        let elsewhere = Rig::new().await;
        let backup = elsewhere.backup(&other).await.backup;
        assert_eq!(elsewhere.database().await.manifest(&backup.id).await.unwrap().slots, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_no_restore_would_take_back_are_refused_at_the_backup() {
    let db = Bed::get().server(14).await.create_database().await;
    db.sql("CREATE TABLE high_chars (c \"char\"); INSERT INTO high_chars VALUES (('-1'::int)::\"char\")").await;
    let rig = Rig::new().await;
    let error = rig.try_backup(&db, &rig.options().await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight);
    assert!(error.message().contains("public.high_chars"), "{error}");
    assert!(rig.database().await.published().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_grants_script_is_enough_on_every_version() {
    for major in MAJORS {
        let server = Bed::get().server(major).await;
        let db = server.create_database().await;
        data::load_shop(&db.client().await, 0.05).await;
        // Empty, exactly one page, sparse, and with a short end: none of them the role's own.
        db.sql(
            "SELECT lo_from_bytea(0, ''), lo_from_bytea(0, decode(repeat('ab', 1048576), 'hex')),
                       lo_from_bytea(0, decode(repeat('cd', 2500000), 'hex'));
                SELECT lo_put(lo_create(0), 3000000, 'end')",
        )
        .await;
        let role = server.backup_role(db.name()).await;
        let rig = Rig::new().await;
        let source = connect(&db.url_as(role)).await;
        let report = backup(&rig.vault, &source, &rig.options().await, &rig.run).await.unwrap();
        let all = rig.backup(&db).await.backup;
        assert_eq!((report.backup.rows, report.backup.tables), (all.rows, all.tables));
        let verdict = verify(&rig.database().await, &report.backup.id, Depth::Full, None, &rig.run).await.unwrap();
        assert!(verdict.ok, "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_not_read_is_refused_at_once_and_by_name() {
    let server = Bed::get().server(16).await;
    let db = server.create_database().await;
    db.sql("CREATE TABLE open (a int); CREATE TABLE secret_one (a int); CREATE TABLE secret_two (a int)").await;
    db.sql(
        "DO $$ BEGIN CREATE ROLE lacks_rights LOGIN PASSWORD 'pw'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    .await;
    db.sql("GRANT SELECT ON open TO lacks_rights").await;
    db.sql(&format!("ALTER ROLE lacks_rights PASSWORD '{}'", server.password())).await;
    let rig = Rig::new().await;
    let source = connect(&db.url_as("lacks_rights")).await;
    let error = backup(&rig.vault, &source, &rig.options().await, &rig.run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error}");
    let text = error.message();
    assert!(text.contains("secret_one") && text.contains("secret_two") && !text.contains("public.open"), "{text}");
    assert!(rig.vault.databases().await.unwrap().is_empty(), "a refusal changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_in_other_encodings_come_back_as_they_were() {
    let server = Bed::get().server(17).await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("enc_{}_{}", encoding.to_lowercase(), std::process::id());
        let create =
            format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
        server.sql("postgres", &create).await;
        let db = server.adopt_database(&name);
        db.sql("CREATE TABLE \"größe\" (a text)").await;
        db.sql("INSERT INTO \"größe\" VALUES ('Käse'), (convert_from('\\x4be47365', 'LATIN1'))").await;
        let rig = Rig::new().await;
        let report = rig.backup(&db).await;
        let into = RestoreOptions { into: Some(format!("{name}_copy")), ..RestoreOptions::default() };
        let (database, target) = (rig.database().await, connect(&server.admin_url()).await);
        let planned = plan(&database, &report.backup.id, &target, &into, &rig.run).await.unwrap();
        let restored = restore(&database, &planned, true, &rig.run).await.unwrap();
        let _copy = server.adopt_database(&restored.target);
        assert!(restored.proof.ok && restored.not_restored.is_empty(), "{restored:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_read_the_same_by_right_on_each_and_by_right_on_all() {
    let server = Bed::get().server(18).await;
    let db = server.create_database().await;
    server
        .sql_exclusively(
            "postgres",
            &format!(
                "DO $$ BEGIN CREATE ROLE owns_objects LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                 ALTER ROLE owns_objects PASSWORD '{}'",
                server.password()
            ),
        )
        .await;
    // Empty, exactly one page, sparse, and with a short end.
    db.sql(
        "SELECT lo_from_bytea(0, ''), lo_from_bytea(0, decode(repeat('ab', 1048576), 'hex')),
                lo_from_bytea(0, decode(repeat('cd', 2500000), 'hex'));
         SELECT lo_put(lo_create(77), 3000000, 'end');
         DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP
             EXECUTE format('ALTER LARGE OBJECT %s OWNER TO owns_objects', o); END LOOP; END $$",
    )
    .await;
    let mut tallies = Vec::new();
    for url in [db.url(), db.url_as("owns_objects")] {
        let rig = Rig::new().await;
        let report = backup(&rig.vault, &connect(&url).await, &rig.options().await, &rig.run).await.unwrap();
        let database = rig.database().await;
        let manifest = database.manifest(&report.backup.id).await.unwrap();
        tallies.push(database.catalogue(&manifest).await.unwrap().tally());
    }
    assert_eq!(tallies[0], tallies[1]);
    assert_eq!(tallies[0].rows, 1 + 1 + 3 + 3);
}
