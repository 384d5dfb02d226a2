//! What of a damaged backup can still be restored.

use lifeboat::ErrorKind;
use lifeboat::model::TableName;
use lifeboat::ops::RestoreReport;
use lifeboat::ops::restore::{RestoreOptions, plan, restore};
use lifeboat_tests::TestDb;

use super::objects::{Kind, Object, of_backup};
use super::{Victim, flipped};
use crate::rig::connect;

impl Victim {
    async fn objects(&self) -> Vec<Object> {
        of_backup(&self.rig.database().await, &self.second.backup.id, "second").await
    }

    async fn try_restore(&self, options: &RestoreOptions) -> lifeboat::Result<(TestDb, RestoreReport)> {
        let (database, server) = (self.rig.database().await, connect(&self.db.server().admin_url()).await);
        let plan = plan(&database, &self.second.backup.id, &server, options, &self.rig.run).await?;
        let copy = self.db.server().adopt_database(&plan.target);
        let report = restore(&database, &plan, true, &self.rig.run).await?;
        Ok((copy, report))
    }

    fn restore_to(&self, name: &str) -> RestoreOptions {
        RestoreOptions { into: Some(format!("{}_{name}", self.db.name())), ..RestoreOptions::default() }
    }
}

async fn rows(database: &TestDb, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    database.client().await.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Each table of the victim has one chunk, so what is lost is all its rows; keys that pointed to them do not hold.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_damage_does_not_touch_are_restored_equal_and_the_others_are_listed() {
    let victim = Victim::new().await;
    let objects = victim.objects().await;
    for kind in [Kind::Rows, Kind::Index, Kind::ParentsRows, Kind::ParentsIndex] {
        let object = objects.iter().find(|object| object.kind == kind).unwrap();
        let lost = object.table.clone().unwrap();
        let other = if lost.name == "orders" { "customers" } else { "orders" };
        victim.replace(&object.key, Some(flipped(&object.bytes, object.at.start.midpoint(object.at.end), 1))).await;

        let strict = victim.restore_to(&format!("strict_{kind:?}").to_lowercase());
        let error = victim.try_restore(&strict).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Verification, "{kind:?}: {error}");
        assert!(error.message().contains(&lost.to_string()), "{kind:?}: {error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--skip-damaged")), "{kind:?}: {error:?}");

        let lenient = RestoreOptions { skip_damaged: true, ..victim.restore_to(&format!("{kind:?}").to_lowercase()) };
        let (copy, report) = victim.try_restore(&lenient).await.unwrap();
        assert_eq!(report.proof.tables_different, std::slice::from_ref(&lost), "{kind:?}: {report:?}");
        assert_eq!(report.proof.tables_equal, 1, "{kind:?}: {report:?}");
        let [missing] = report.not_restored.as_slice() else { panic!("{kind:?}: {report:?}") };
        assert_eq!(missing.object, lost.to_string(), "{kind:?}: {report:?}");
        assert!(missing.reason.contains("2000 rows"), "{kind:?}: {report:?}");
        assert_eq!((rows(&copy, other).await, rows(&copy, &lost.name).await), (2000, 0));
        victim.put_back(&object.key, object.bytes.clone()).await;
    }
}

/// A pack that is cut loses what lay behind the cut, not what lies before it.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_pack_that_is_cut_what_is_left_is_restored() {
    let victim = Victim::new().await;
    victim
        .db
        .sql(
            "CREATE TABLE big AS SELECT i, md5(i::text) AS a, md5((i * 7)::text) AS b FROM generate_series(1, 100000) i;
             CREATE TABLE lines (id int PRIMARY KEY, big int); INSERT INTO lines VALUES (1, 1), (2, 100000);
             ALTER TABLE big ADD PRIMARY KEY (i); ALTER TABLE lines ADD FOREIGN KEY (big) REFERENCES big",
        )
        .await;
    let third = victim.rig.backup(&victim.db).await;
    let victim = Victim { second: third, ..victim };
    let database = victim.rig.database().await;
    let manifest = database.manifest(&victim.second.backup.id).await.unwrap();
    let largest = database.pack_list(&manifest).await.unwrap().packs.into_iter().max_by_key(|e| e.size_bytes).unwrap();
    let key = database.layout.pack(&largest.pack);
    let bytes = victim.read(&key).await;
    victim.replace(&key, Some(bytes.slice(..bytes.len() / 2))).await;

    let lenient = RestoreOptions { skip_damaged: true, ..victim.restore_to("cut") };
    let (copy, report) = victim.try_restore(&lenient).await.unwrap();
    assert!(report.proof.tables_different.contains(&TableName::new("public", "big")), "{report:?}");
    assert_eq!(rows(&copy, "customers").await, 2000);
    let left = rows(&copy, "big").await;
    assert!(left > 10_000 && left < 90_000, "{left}");
    let lost: u64 = report
        .not_restored
        .iter()
        .filter(|lost| lost.object == "public.big")
        .map(|lost| lost.reason.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(left.unsigned_abs() + lost, 100_000, "what is missing is counted once: {report:?}");
}

/// Without its schema nothing can be made; rows alone still find a place in tables that are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_schema_or_catalogue_is_damaged_is_refused_before_anything_is_made() {
    let victim = Victim::new().await;
    let objects = victim.objects().await;
    for kind in [Kind::Schema, Kind::Catalogue] {
        let object = objects.iter().find(|object| object.kind == kind).unwrap();
        victim.replace(&object.key, Some(flipped(&object.bytes, object.at.start.midpoint(object.at.end), 1))).await;
        let lenient = RestoreOptions { skip_damaged: true, ..victim.restore_to("nothing") };
        let error = victim.try_restore(&lenient).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
        assert!(error.message().contains(&object.key) && error.hint_text().is_some(), "{kind:?}: {error:?}");

        if kind == Kind::Schema {
            let tables = victim.db.server().create_database().await;
            tables.sql("CREATE TABLE customers (id int, name text); CREATE TABLE orders (id int, what text)").await;
            let rows_only =
                RestoreOptions { data_only: true, into: Some(tables.name().to_owned()), ..RestoreOptions::default() };
            let (_, report) = victim.try_restore(&rows_only).await.unwrap();
            assert_eq!((report.proof.ok, report.proof.tables_equal), (true, 2), "{report:?}");
            drop(tables);
        }
        victim.put_back(&object.key, object.bytes.clone()).await;
    }
}
