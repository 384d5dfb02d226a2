//! The promises of `lifeboat::store::ObjectStore`, run on every implementation.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use lifeboat::ErrorKind;
use lifeboat::aws::Aws;
use lifeboat::store::folder::FolderStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat::store::s3::{S3Settings, S3Store};
use lifeboat::store::{Deletes, LATEST, ObjectStore, Put, StorageClass, Tries, list_all, open_with, probe_create_only};
use lifeboat_tests::Bed;
use proptest::prelude::*;
use rand::RngCore;

type Store = Arc<dyn ObjectStore>;

/// Runs each promise on each store.
macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        mod folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() { super::on_folder(super::$promise).await })*
        }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() { super::$promise(super::memory()).await })*
        }
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() { super::$promise(super::s3().await).await })*
        }
    };
}

contract![
    a_new_object_is_read_listed_and_described_at_once,
    of_many_writers_one_wins,
    writers_of_equal_bytes_all_succeed,
    a_put_never_replaces,
    a_repeated_put_of_the_same_bytes_reads_as_created,
    an_empty_object_is_an_object,
    a_large_object_comes_back_whole,
    a_range_is_exact_or_an_error,
    a_missing_object_is_not_found,
    a_deleted_object_is_gone_and_may_be_deleted_again,
    listings_go_in_byte_order_of_keys,
    listings_are_complete_past_a_thousand_keys,
    names_below_a_prefix_are_complete_and_ordered,
    a_reader_never_sees_half_an_object,
    keys_that_could_leave_the_root_are_refused,
    the_stores_clock_agrees_with_the_times_of_its_objects,
    the_probe_finds_that_the_store_refuses_to_replace,
];

fn memory() -> Store {
    Arc::new(MemoryStore::new())
}

async fn on_folder<F: Future<Output = ()>>(promise: impl FnOnce(Store) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::new(dir.path().join("vault")).unwrap();
    promise(Arc::new(store)).await;
}

async fn s3() -> Store {
    let moto = Bed::get().moto().await;
    let bucket = moto.fresh_bucket().await;
    let settings = S3Settings { bucket, prefix: "some/prefix".to_owned(), ..S3Settings::default() };
    Arc::new(S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap())
}

async fn put(store: &Store, key: &str, body: impl Into<Bytes>) -> Put {
    store.put_new(key, body.into(), Tries::Many).await.unwrap()
}

fn random_bytes(size_bytes: usize) -> Bytes {
    let mut bytes = vec![0; size_bytes];
    rand::rng().fill_bytes(&mut bytes);
    bytes.into()
}

async fn keys(store: &Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let page = store.list_page(prefix, after, limit).await.unwrap();
    page.into_iter().map(|o| o.key).collect()
}

async fn a_new_object_is_read_listed_and_described_at_once(store: Store) {
    assert_eq!(put(&store, "a/b.json", "hello").await, Put::Created);
    assert_eq!(store.get("a/b.json").await.unwrap(), "hello");
    let head = store.head("a/b.json").await.unwrap();
    assert_eq!(head.info.key, "a/b.json");
    assert_eq!(head.info.size_bytes, 5);
    let listed = store.list_page("a/", None, 10).await.unwrap();
    assert_eq!(listed, [head.info]);
}

#[tokio::test]
async fn s3_tells_what_it_keeps_an_object_as() {
    let moto = Bed::get().moto().await;
    let bucket = moto.fresh_bucket().await;
    for (key, class) in [("p/a", "STANDARD"), ("p/b", "GLACIER"), ("p/c", "STANDARD_IA")] {
        let put = moto.s3().put_object().bucket(&bucket).key(key).body(Bytes::from("x").into());
        put.storage_class(class.into()).send().await.unwrap();
    }
    let settings = S3Settings { bucket, prefix: "p".to_owned(), ..S3Settings::default() };
    let store = S3Store::connect(settings, &Aws::from(moto.sdk_config())).await.unwrap();
    let listed = store.list_page("", None, 10).await.unwrap();
    let classes: Vec<StorageClass> = listed.iter().map(|object| object.storage_class).collect();
    assert_eq!(classes, [StorageClass::Standard, StorageClass::Glacier, StorageClass::StandardIa]);
    for object in listed {
        assert_eq!(store.head(&object.key).await.unwrap().info, object);
    }
}

async fn of_many_writers_one_wins(store: Store) {
    const WRITERS: usize = 50;
    let puts = join_all((0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        let task = async move { put(&store, "race/claim-1.json", format!("writer {writer}")).await };
        tokio::spawn(task)
    }))
    .await;
    let winners: Vec<usize> = (0..WRITERS).filter(|&writer| *puts[writer].as_ref().unwrap() == Put::Created).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let body = store.get("race/claim-1.json").await.unwrap();
    assert_eq!(body, format!("writer {}", winners[0]));
}

async fn writers_of_equal_bytes_all_succeed(store: Store) {
    let body = random_bytes(100_000);
    let puts = join_all((0..10).map(|_| put(&store, "race/pack", body.clone()))).await;
    assert_eq!(puts, [Put::Created; 10]);
    assert_eq!(store.get("race/pack").await.unwrap(), body);
}

async fn a_put_never_replaces(store: Store) {
    put(&store, "a", "first").await;
    for other in ["other", "", "first and more", "fir"] {
        assert_eq!(put(&store, "a", other).await, Put::Exists);
    }
    let once = store.put_new("a", "other".into(), Tries::Once { at: store.now().await.unwrap() }).await;
    assert_eq!(once.unwrap(), Put::Exists);
    assert_eq!(store.get("a").await.unwrap(), "first");
}

/// S3 does so by itself (`s3_faults`); its stand-in does not.
#[tokio::test]
async fn stores_of_our_own_refuse_what_was_decided_long_ago() {
    let refuses = async |store: Store| {
        let now = store.now().await.unwrap();
        let in_time = Tries::Once { at: now - LATEST + SignedDuration::from_mins(1) };
        assert_eq!(store.put_new("a", "in time".into(), in_time).await.unwrap(), Put::Created);
        let late = Tries::Once { at: now - LATEST - SignedDuration::from_mins(1) };
        assert_eq!(store.put_new("b", "late".into(), late).await.unwrap_err().kind(), ErrorKind::OutOfTime);
        assert_eq!(store.get("b").await.unwrap_err().kind(), ErrorKind::NotFound);
    };
    refuses(memory()).await;
    on_folder(refuses).await;
}

async fn a_repeated_put_of_the_same_bytes_reads_as_created(store: Store) {
    for size_bytes in [0, 10, 300_000] {
        let key = format!("same/{size_bytes}");
        let body = random_bytes(size_bytes);
        assert_eq!(put(&store, &key, body.clone()).await, Put::Created);
        assert_eq!(put(&store, &key, body).await, Put::Created);
    }
}

/// The AWS stand-in keeps checksums and never verifies them: `s3_faults` tests that S3 is told.
#[tokio::test]
async fn bytes_that_were_changed_on_the_way_are_refused() {
    on_folder(refuses_changed_bytes).await;
    refuses_changed_bytes(memory()).await;
}

async fn refuses_changed_bytes(store: Store) {
    let wrong = [7; 32];
    let error = store.put_new_hashed("a", "hello".into(), wrong, Tries::Many).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Vault);
    assert_eq!(list_all(&*store, "").await.unwrap(), []);
}

async fn an_empty_object_is_an_object(store: Store) {
    assert_eq!(put(&store, "empty", "").await, Put::Created);
    assert_eq!(store.get("empty").await.unwrap(), "");
    assert_eq!(store.get_range("empty", 0..0).await.unwrap(), "");
    assert_eq!(store.head("empty").await.unwrap().info.size_bytes, 0);
    assert_eq!(keys(&store, "", None, 10).await, ["empty"]);
}

async fn a_large_object_comes_back_whole(store: Store) {
    const SIZE_BYTES: usize = 20 * 1024 * 1024;
    let body = random_bytes(SIZE_BYTES);
    assert_eq!(put(&store, "large", body.clone()).await, Put::Created);
    assert!(store.get("large").await.unwrap() == body);
    let middle = 5_000_000..15_000_001;
    let range = middle.start as u64..middle.end as u64;
    assert!(store.get_range("large", range).await.unwrap() == body[middle]);
}

async fn a_range_is_exact_or_an_error(store: Store) {
    put(&store, "a", "0123456789").await;
    for (range, expected) in
        [(0..10, "0123456789"), (0..1, "0"), (9..10, "9"), (3..7, "3456"), (4..4, ""), (10..10, "")]
    {
        assert_eq!(store.get_range("a", range).await.unwrap(), expected);
    }
    #[expect(clippy::reversed_empty_ranges, reason = "what a careless caller may ask for")]
    for range in [0..11, 9..11, 10..11, 11..11, 20..30, 5..4] {
        let error = store.get_range("a", range.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Vault, "{range:?}: {error}");
    }
}

async fn a_missing_object_is_not_found(store: Store) {
    put(&store, "a/b", "hello").await;
    for key in ["missing", "a", "a/b/c", "a/c"] {
        let errors = [
            store.get(key).await.unwrap_err(),
            store.get_range(key, 0..1).await.unwrap_err(),
            store.get_range(key, 0..0).await.unwrap_err(),
            store.head(key).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{key}: {error}");
            assert!(error.message().contains(key), "{error}");
        }
    }
}

async fn a_deleted_object_is_gone_and_may_be_deleted_again(store: Store) {
    put(&store, "a/b", "hello").await;
    put(&store, "a/c", "hello").await;
    for _ in 0..2 {
        store.delete("a/b").await.unwrap();
        store.delete("a").await.unwrap();
        store.delete("a/c/d").await.unwrap();
    }
    assert_eq!(keys(&store, "", None, 10).await, ["a/c"]);
    let error = store.get("a/b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Keys around the slash, where the order of folders and the order of keys differ.
const TRICKY: [&str; 9] = ["a-b", "a-b2/c", "a.b", "a/b", "a/b-c", "a/b.c/d", "a0", "a=b", "aZ/b"];

async fn listings_go_in_byte_order_of_keys(store: Store) {
    for key in TRICKY.iter().rev() {
        put(&store, key, *key).await;
    }
    let sorted = TRICKY.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(keys(&store, "", None, 100).await, Vec::from_iter(sorted));

    assert_eq!(keys(&store, "a-", None, 100).await, ["a-b", "a-b2/c"]);
    assert_eq!(keys(&store, "a/b", None, 100).await, ["a/b", "a/b-c", "a/b.c/d"]);
    assert_eq!(keys(&store, "a/b/", None, 100).await, [""; 0]);
    for limit in 0..=TRICKY.len() {
        assert_eq!(keys(&store, "", None, limit).await, TRICKY[..limit]);
    }
    for (index, after) in TRICKY.iter().enumerate() {
        assert_eq!(
            keys(&store, "", Some(after), 2).await,
            TRICKY[index + 1..].iter().copied().take(2).collect::<Vec<_>>()
        );
    }
    for (after, next) in [("", "a-b"), ("a", "a-b"), ("a/", "a/b"), ("a/b.c", "a/b.c/d"), ("a/z", "a0")] {
        assert_eq!(keys(&store, "", Some(after), 1).await, [next], "after {after}");
    }
    assert_eq!(keys(&store, "a/", Some("a-b"), 1).await, ["a/b"]);
    assert_eq!(keys(&store, "a/", Some("a0"), 1).await, [""; 0]);
}

async fn listings_are_complete_past_a_thousand_keys(store: Store) {
    let expected: Vec<String> = (0..2345).map(|n| format!("pool/{:02x}/{n:04}", n % 7)).collect();
    let expected: BTreeSet<String> = expected.into_iter().collect();
    for batch in Vec::from_iter(&expected).chunks(64) {
        join_all(batch.iter().map(|key| put(&store, key, "x"))).await;
    }
    put(&store, "pool0", "outside").await;

    let all = list_all(&*store, "pool/").await.unwrap();
    let all: Vec<String> = all.into_iter().map(|o| o.key).collect();
    assert_eq!(all, Vec::from_iter(expected.clone()));

    let page = keys(&store, "pool/", None, 2000).await;
    assert_eq!(page, all[..2000]);
    let page = keys(&store, "pool/", Some(&all[1999]), 2000).await;
    assert_eq!(page, all[2000..]);
}

async fn names_below_a_prefix_are_complete_and_ordered(store: Store) {
    let many: Vec<String> = (0..1234).map(|n| format!("backups/{n:04}/manifest.json")).collect();
    for batch in many.chunks(64) {
        join_all(batch.iter().map(|key| put(&store, key, "x"))).await;
    }
    let names: Vec<String> = (0..1234).map(|n| format!("{n:04}")).collect();
    assert_eq!(store.list_names("backups/").await.unwrap(), names);

    for key in TRICKY {
        put(&store, &format!("t/{key}"), "x").await;
    }
    assert_eq!(store.list_names("t/").await.unwrap(), ["a", "a-b2", "aZ"]);
    assert_eq!(store.list_names("").await.unwrap(), ["backups", "t"]);
    assert_eq!(store.list_names("nothing/").await.unwrap(), [""; 0]);
    store.delete("t/a-b2/c").await.unwrap();
    assert_eq!(store.list_names("t/").await.unwrap(), ["a", "aZ"]);
}

async fn a_reader_never_sees_half_an_object(store: Store) {
    const OBJECTS: usize = 8;
    const SIZE_BYTES: usize = 4 * 1024 * 1024;
    let body = random_bytes(SIZE_BYTES);
    let writer = tokio::spawn({
        let (store, body) = (Arc::clone(&store), body.clone());
        async move {
            for n in 0..OBJECTS {
                put(&store, &format!("big/{n}"), body.clone()).await;
            }
        }
    });
    let mut seen = 0;
    while seen < OBJECTS {
        for object in store.list_page("big/", None, 100).await.unwrap() {
            assert_eq!(object.size_bytes, SIZE_BYTES as u64);
        }
        match store.get(&format!("big/{seen}")).await {
            Ok(read) => {
                assert!(read == body, "object {seen} differs");
                seen += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    writer.await.unwrap();
}

async fn keys_that_could_leave_the_root_are_refused(store: Store) {
    for key in ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", ".tmp/a", "a\0b"] {
        let put = store.put_new(key, "x".into(), Tries::Many).await;
        assert_eq!(put.unwrap_err().kind(), ErrorKind::Bug, "{key:?}");
        assert_eq!(store.get(key).await.unwrap_err().kind(), ErrorKind::Bug);
        assert_eq!(store.delete(key).await.unwrap_err().kind(), ErrorKind::Bug);
    }
    assert_eq!(store.list_names("../").await.unwrap_err().kind(), ErrorKind::Bug);
    assert_eq!(store.list_page("/", None, 1).await.unwrap_err().kind(), ErrorKind::Bug);
}

async fn the_stores_clock_agrees_with_the_times_of_its_objects(store: Store) {
    // Stores tell whole seconds, and every store of these tests runs on this host.
    let second = SignedDuration::from_secs(1);
    let before = store.now().await.unwrap();
    put(&store, "a", "x").await;
    let modified = store.head("a").await.unwrap().info.modified;
    let after = store.now().await.unwrap();
    assert!(before - second <= modified, "{before} {modified}");
    assert!(modified <= after + second, "{modified} {after}");
    let here = Timestamp::now();
    assert!(after.duration_until(here).abs() < SignedDuration::from_mins(5));
}

async fn the_probe_finds_that_the_store_refuses_to_replace(store: Store) {
    for _ in 0..3 {
        assert!(probe_create_only(&*store, "").await.unwrap());
    }
    assert_eq!(keys(&store, "", None, 10).await, ["probe/create-only"]);
}

#[tokio::test]
async fn a_store_is_opened_by_the_place_that_people_write() {
    let moto = Bed::get().moto().await;
    let aws = Aws::from(moto.sdk_config());
    let dir = tempfile::tempdir().unwrap();
    let (bucket, path) = (moto.fresh_bucket().await, dir.path().display());
    for (url, location) in [
        (format!("s3://{bucket}/lifeboat/"), format!("s3://{bucket}/lifeboat")),
        (format!("s3://{bucket}"), format!("s3://{bucket}")),
        (format!("file://{path}/a"), format!("{path}/a")),
        (format!("{path}/b"), format!("{path}/b")),
    ] {
        let store = open_with(&url, &aws, Deletes::Current).await.unwrap();
        assert_eq!(store.location(), location);
        assert_eq!(put(&store, "a", "x").await, Put::Created);
    }
}

/// One step of a history that every store must answer alike.
#[derive(Debug, Clone)]
enum Step {
    Put(String, Vec<u8>),
    Get(String),
    Range(String, u64, u64),
    Head(String),
    Page(String, Option<String>, usize),
    Names(String),
    Delete(String),
}

/// Few letters and lengths, so that keys meet and sort oddly.
const FOLDER: &str = "[ab][-.0]?";

fn regex(pattern: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(pattern).unwrap()
}

/// Keys that lie in each other's way, too.
fn clashing_key() -> impl Strategy<Value = String> {
    regex(&format!("{FOLDER}(/{FOLDER}){{0,2}}"))
}

/// Keys of which none is a folder of another: only S3 could keep both.
fn orderly_key() -> impl Strategy<Value = String> {
    regex(&format!("({FOLDER}/){{0,2}}[xy][-.0]?"))
}

fn history<K: Strategy<Value = String> + 'static>(key: fn() -> K, length: usize) -> impl Strategy<Value = Vec<Step>> {
    let folder = || regex(&format!("({FOLDER}/){{0,2}}"));
    let body = proptest::collection::vec(0..3u8, 0..3);
    let step = prop_oneof![
        4 => (key(), body).prop_map(|(key, body)| Step::Put(key, body)),
        1 => key().prop_map(Step::Get),
        1 => (key(), 0..4u64, 0..4u64).prop_map(|(key, from, to)| Step::Range(key, from, to)),
        1 => key().prop_map(Step::Head),
        2 => (prop_oneof![folder(), key()], proptest::option::of(key()), 0..4usize)
            .prop_map(|(prefix, after, limit)| Step::Page(prefix, after, limit)),
        1 => folder().prop_map(Step::Names),
        2 => key().prop_map(Step::Delete),
    ];
    proptest::collection::vec(step, 1..length)
}

/// What a step answers, without what stores may differ in: times, checksums and messages.
async fn answer(store: &dyn ObjectStore, step: &Step) -> Result<String, ErrorKind> {
    match step {
        Step::Put(key, body) => {
            let put = store.put_new(key, body.clone().into(), Tries::Many).await;
            put.map(|put| format!("{put:?}"))
        }
        Step::Get(key) => store.get(key).await.map(|body| format!("{body:?}")),
        Step::Range(key, from, to) => {
            let range = store.get_range(key, *from..*to).await;
            range.map(|body| format!("{body:?}"))
        }
        Step::Head(key) => {
            let head = store.head(key).await;
            head.map(|head| format!("{} {}", head.info.key, head.info.size_bytes))
        }
        Step::Page(prefix, after, limit) => {
            let page = store.list_page(prefix, after.as_deref(), *limit).await;
            page.map(|page| {
                let objects = page.into_iter().map(|o| (o.key, o.size_bytes));
                format!("{:?}", Vec::from_iter(objects))
            })
        }
        Step::Names(prefix) => {
            let names = store.list_names(prefix).await;
            names.map(|names| format!("{names:?}"))
        }
        Step::Delete(key) => store.delete(key).await.map(|deletion| format!("{deletion:?}")),
    }
    .map_err(|e| e.kind())
}

fn assert_alike(steps: &[Step], one: impl Future<Output = Store>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (one, other) = (one.await, memory());
        for step in steps {
            let (ours, theirs) = (answer(&*one, step).await, answer(&*other, step).await);
            prop_assert_eq!(ours, theirs, "{:?}", step);
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn folder_and_memory_answer_every_history_alike(steps in history(clashing_key, 60)) {
        let dir = tempfile::tempdir().unwrap();
        let folder: Store = Arc::new(FolderStore::new(dir.path()).unwrap());
        assert_alike(&steps, async { folder })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn s3_and_memory_answer_every_history_alike(steps in history(orderly_key, 40)) {
        assert_alike(&steps, s3())?;
    }
}
