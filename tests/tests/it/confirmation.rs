//! Tokens that confirm a restore from afar.

use jiff::{SignedDuration, Timestamp};
use lifeboat::ErrorKind;
use lifeboat::ops::restore::confirmation::{VALID_FOR, issue, redeem};
use lifeboat::ops::restore::{RestoreOptions, RestorePlan, plan};
use lifeboat::vault::DatabaseVault;
use lifeboat_tests::{Bed, TestDb};

use crate::rig::{Rig, connect, run};

struct Site {
    db: TestDb,
    database: DatabaseVault,
    plan: RestorePlan,
}

/// A plan that replaces the database that was backed up.
async fn site() -> Site {
    let db = Bed::get().server(17).await.create_database().await;
    db.sql("CREATE TABLE t AS SELECT 1 AS id").await;
    let rig = Rig::new().await;
    let id = rig.backup(&db).await.backup.id;
    let database = rig.database().await;
    let server = connect(&db.server().admin_url()).await;
    let options = RestoreOptions { into: Some(db.name().to_owned()), clean: true, ..RestoreOptions::default() };
    let plan = plan(&database, &id, &server, &options, &run()).await.unwrap();
    Site { db, database, plan }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_until_it_expires() {
    let Site { db: _db, database, plan } = site().await;
    let now = Timestamp::now();
    let until = |left_s: i64| now - SignedDuration::try_from(VALID_FOR).unwrap() + SignedDuration::from_secs(left_s);
    let late = issue(&database, &plan, until(0));
    let error = redeem(&database, &plan, &late.token, "somebody", now).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Confirmation);
    assert!(error.message().contains("expired"), "{error}");
    let in_time = issue(&database, &plan, until(1));
    assert_eq!(in_time.expires_at, now + SignedDuration::from_secs(1));
    redeem(&database, &plan, &in_time.token, "somebody", now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_use_a_token_one_may_and_may_again() {
    let Site { db: _db, database, plan } = site().await;
    let now = Timestamp::now();
    let token = issue(&database, &plan, now).token;
    let actors: Vec<String> = (0..8).map(|number| format!("actor {number}")).collect();
    let tries = actors.iter().map(async |actor| redeem(&database, &plan, &token, actor, now).await.is_ok());
    let won = futures::future::join_all(tries).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    for (actor, won) in actors.iter().zip(won) {
        // Long after: a restore that goes on is not asked again.
        let later = now + SignedDuration::from_hours(1);
        assert_eq!(redeem(&database, &plan, &token, actor, later).await.is_ok(), won, "{actor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_database_confirms_nothing() {
    let (one, other) = (site().await, site().await);
    let now = Timestamp::now();
    let token = issue(&one.database, &one.plan, now).token;
    let error = redeem(&other.database, &other.plan, &token, "somebody", now).await.unwrap_err();
    assert!(error.message().contains("not given for this plan"), "{error}");
    drop((one.db, other.db));
}
