use std::collections::BTreeMap;

use tempfile::TempDir;

use crate::registrar::Change;
use crate::testing::{START, key, subject};
use crate::types::{MAX_RECORD_BYTES, Note, Subject, Summary, Timestamp};

use super::*;

async fn open(folder: &TempDir) -> Store {
    Store::open(StoreOptions::new(folder.path().join("hq.db")))
        .await
        .unwrap()
}

fn summary(of: &str, state: &str, name: Option<&str>, wake_at: Option<Timestamp>) -> Summary {
    Summary {
        subject: subject(of),
        kind: if of == "own" { "own" } else { "device" }.to_owned(),
        state: state.to_owned(),
        reason: format!("because it is {state}"),
        name: name.map(str::to_owned),
        model: "nas-1".to_owned(),
        not_after: Some(START.plus_millis(1_000)),
        wake_at,
        last_contact: None,
    }
}

async fn summarise(store: &Store, summaries: Vec<Summary>) {
    store
        .run_tx("test", |mut tx| {
            Box::pin(async move { tx.summarise(&summaries, START).await })
        })
        .await
        .unwrap();
}

async fn put(store: &Store, name: &str, value: &[u8], expires: Option<Timestamp>) {
    let changes = BTreeMap::from([(
        key(name),
        Change::Put {
            value: value.to_vec(),
            expires,
        },
    )]);
    store
        .run_tx("test", |mut tx| {
            Box::pin(async move { tx.change_records(&changes).await })
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn two_processes_never_write_to_one_file() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder).await;
    let second = Store::open(StoreOptions::new(folder.path().join("hq.db"))).await;
    let error = second.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(first);
    open(&folder).await;
}

#[tokio::test]
async fn a_schema_of_a_later_release_refuses_to_start() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut later = store.begin("test").await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', 1, x'00', 0)",
    )
    .execute(&mut *later.tx().connection)
    .await
    .unwrap();
    later.commit().await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let path = folder.path().join("hq.db");
    for result in [
        Store::open(StoreOptions::new(&path)).await,
        Store::open_read_only(StoreOptions::new(&path)).await,
    ] {
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("version 99") && error.contains("knows 1"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_schema_goes_down_and_up_again() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    put(&store, "a", b"value", None).await;
    store.close().await.unwrap();
    drop(store);

    let options = StoreOptions::new(folder.path().join("hq.db"));
    Store::downgrade(&options, 0).await.unwrap();
    let error = Store::open_read_only(options.clone()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::OldSchema { got: 0, .. }),
        "{error}"
    );

    let store = open(&folder).await;
    assert_eq!(
        store.record(&key("a")).await.unwrap(),
        None,
        "the tables were made anew"
    );
    put(&store, "a", b"value", None).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_its_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("hq.db");
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    let error = Store::open(StoreOptions::new(&path))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");

    let missing = folder.path().join("missing.db");
    let error = Store::open_read_only(StoreOptions::new(missing))
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    put(&store, "a", b"value", None).await;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn the_disk_is_synced_at_every_commit() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut open = store.begin("test").await.unwrap();
    let connection = &mut *open.tx().connection;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
}

#[tokio::test]
async fn a_reader_beside_a_writer_sees_what_was_committed_and_cannot_write() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let beside = StoreOptions::new(folder.path().join("hq.db"));
    let beside = Store::open_read_only(beside).await.unwrap();
    put(&store, "a", b"value", None).await;
    assert_eq!(
        beside.record(&key("a")).await.unwrap().unwrap().value,
        b"value"
    );
    let error = beside.begin("test").await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::ReadOnly {
                transaction: "test"
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_unfinished_transaction_is_undone_and_the_next_one_works() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut unfinished = store.begin("test").await.unwrap();
    unfinished.tx().count("things", 1).await.unwrap();
    drop(unfinished);
    assert_eq!(store.commits(), 0);
    put(&store, "a", b"value", None).await;
    assert_eq!(store.counters().await.unwrap(), []);
    assert_eq!(store.commits(), 1);
}

#[tokio::test]
async fn a_recreated_record_has_a_version_of_its_own() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut reader = store.reader().await.unwrap();
    let name = key("a");
    put(&store, "a", b"one", None).await;
    let (value, first) = reader.record(&name, START).await.unwrap().unwrap();
    assert_eq!(value, b"one");
    let removed = BTreeMap::from([(name.clone(), Change::Remove)]);
    store
        .run_tx("test", |mut tx| {
            Box::pin(async move { tx.change_records(&removed).await })
        })
        .await
        .unwrap();
    assert_eq!(reader.record(&name, START).await.unwrap(), None);
    put(&store, "a", b"one", None).await;
    let (_, second) = reader.record(&name, START).await.unwrap().unwrap();
    assert_ne!(
        first, second,
        "a call that read the first must not pass for current"
    );

    let current = |reads: BTreeMap<RecordKey, Version>| {
        store.run_tx("test", |mut tx| {
            Box::pin(async move { tx.are_current(&reads, START).await })
        })
    };
    assert!(
        current(BTreeMap::from([(name.clone(), second)]))
            .await
            .unwrap()
    );
    assert!(
        !current(BTreeMap::from([(name.clone(), first)]))
            .await
            .unwrap()
    );
    assert!(
        !current(BTreeMap::from([(name, Version::ABSENT)]))
            .await
            .unwrap()
    );
    assert!(
        current(BTreeMap::from([(key("b"), Version::ABSENT)]))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn versions_go_on_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    put(&store, "a", b"one", None).await;
    let before = store
        .reader()
        .await
        .unwrap()
        .record(&key("a"), START)
        .await
        .unwrap()
        .unwrap()
        .1;
    store.close().await.unwrap();
    drop(store);
    let store = open(&folder).await;
    put(&store, "a", b"two", None).await;
    let after = store
        .reader()
        .await
        .unwrap()
        .record(&key("a"), START)
        .await
        .unwrap()
        .unwrap()
        .1;
    assert_ne!(before, after);
}

#[tokio::test]
async fn an_expired_record_reads_as_absent_and_is_swept() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut reader = store.reader().await.unwrap();
    put(&store, "short", b"x", Some(START.plus_millis(10))).await;
    put(&store, "long", b"x", Some(START.plus_millis(20))).await;
    put(&store, "ever", b"x", None).await;
    assert!(
        reader
            .record(&key("short"), START.plus_millis(9))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        reader
            .record(&key("short"), START.plus_millis(10))
            .await
            .unwrap()
            .is_none()
    );

    let swept = store
        .run_tx("test", |mut tx| {
            Box::pin(async move { tx.sweep_records(START.plus_millis(10), 100).await })
        })
        .await
        .unwrap();
    assert_eq!(swept, 1);
    assert!(store.record(&key("short")).await.unwrap().is_none());
    assert!(store.record(&key("long")).await.unwrap().is_some());
    assert!(store.record(&key("ever")).await.unwrap().is_some());
}

#[tokio::test]
async fn devices_are_listed_by_page_and_filter() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let mut summaries: Vec<_> = (0..5)
        .map(|number| summary(&format!("device/{number}"), "serving", None, None))
        .collect();
    summaries[3].state = "ordering".to_owned();
    summaries[4].name = Some("nifty.fleet.test".to_owned());
    summaries.push(summary("own", "serving", None, None));
    summarise(&store, summaries).await;

    let list = async |filter: DeviceFilter| -> Vec<Subject> {
        let rows = store.devices(&filter).await.unwrap();
        rows.into_iter().map(|row| row.summary.subject).collect()
    };
    let subjects = |names: &[&str]| names.iter().map(|name| subject(name)).collect::<Vec<_>>();
    let page = DeviceFilter {
        limit: Some(2),
        ..DeviceFilter::default()
    };
    assert_eq!(
        list(page.clone()).await,
        subjects(&["device/0", "device/1"])
    );
    let next = DeviceFilter {
        after: Some(subject("device/1")),
        ..page
    };
    assert_eq!(list(next).await, subjects(&["device/2", "device/3"]));
    let ordering = DeviceFilter {
        state: Some("ordering".to_owned()),
        ..DeviceFilter::default()
    };
    assert_eq!(list(ordering).await, subjects(&["device/3"]));
    let named = DeviceFilter {
        text: Some("nifty".to_owned()),
        ..DeviceFilter::default()
    };
    assert_eq!(list(named).await, subjects(&["device/4"]));
    let none = DeviceFilter {
        model: Some("printer".to_owned()),
        ..DeviceFilter::default()
    };
    assert_eq!(list(none).await, []);

    let counts = store.state_counts().await.unwrap();
    let counts: Vec<_> = counts
        .iter()
        .map(|c| (c.kind.as_str(), c.state.as_str(), c.subjects))
        .collect();
    assert_eq!(
        counts,
        [
            ("device", "ordering", 1),
            ("device", "serving", 4),
            ("own", "serving", 1)
        ]
    );
}

#[tokio::test]
async fn a_device_is_found_by_subject_and_by_name_with_its_whole_story() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let story = summary("device/a", "serving", Some("x1.fleet.test"), None);
    summarise(&store, vec![story.clone()]).await;
    put(&store, "device/a", b"state", None).await;
    put(&store, "device/a/replies", b"replies", None).await;
    put(&store, "device/ab", b"somebody else", None).await;
    put(&store, "answer/a", b"answer", None).await;
    put(&store, "chain/ab", b"somebody else's", None).await;
    let notes = ["enrolled", "ordered"].map(|kind| Note {
        subject: subject("device/a"),
        kind: kind.to_owned(),
        text: format!("it {kind}"),
    });
    store
        .run_tx("test", |mut tx| {
            Box::pin(async move { tx.note(&notes, START).await })
        })
        .await
        .unwrap();

    for what in [
        "device/a",
        "x1.fleet.test",
        "*.x1.fleet.test",
        "x1.fleet.test.",
    ] {
        let device = store.device(what).await.unwrap().unwrap();
        assert_eq!(
            device.summary,
            SubjectSummary {
                summary: story.clone(),
                updated: START
            }
        );
        let kinds: Vec<_> = device.history.iter().map(|row| row.kind.as_str()).collect();
        assert_eq!(kinds, ["ordered", "enrolled"], "the newest first");
        let keys: Vec<_> = device.records.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["answer/a", "device/a", "device/a/replies"]);
    }
    assert_eq!(store.device("nobody").await.unwrap(), None);
}

#[tokio::test]
async fn the_component_that_runs_is_remembered_with_the_moment_it_came() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let runs = async |sha256: &'static str, at: Timestamp| {
        store
            .run_tx("test", |mut tx| {
                Box::pin(async move { tx.component_runs(sha256, at).await })
            })
            .await
            .unwrap()
    };
    assert_eq!(runs("aa", START).await, None);
    assert_eq!(runs("aa", START.plus_millis(5)).await, None);
    assert_eq!(
        store.component().await.unwrap(),
        Some(("aa".to_owned(), START))
    );
    assert_eq!(
        runs("bb", START.plus_millis(9)).await.as_deref(),
        Some("aa")
    );
    let since = START.plus_millis(9);
    assert_eq!(
        store.component().await.unwrap(),
        Some(("bb".to_owned(), since))
    );
}

#[tokio::test]
async fn all_devices_of_one_restored_backup_are_one_notice() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    assert_eq!(store.restore_notice(START).await.unwrap(), None);
    let at = |step: u64| START.plus_millis(step * (QUIET_MS - 1));
    let opened = restored(&store, "device/0", at(0)).await;
    assert_eq!(opened.map(|notice| notice.devices), Some(1));
    for number in 1..20 {
        // Each after the longest pause that still belongs to the event.
        let who = format!("device/{number}");
        assert_eq!(restored(&store, &who, at(number)).await, None);
    }
    // One that is restored again is no other device, and a clock that goes back no other event.
    assert_eq!(restored(&store, "device/7", at(19)).await, None);
    assert_eq!(restored(&store, "device/19", at(18)).await, None);
    let expected = RestoreNotice {
        devices: 20,
        first: at(0),
        last: at(19),
    };
    assert_eq!(store.restore_notice(at(19)).await.unwrap(), Some(expected));
    assert_eq!(
        store.counters().await.unwrap(),
        [
            ("restore_notices".to_owned(), 1),
            ("restored".to_owned(), 22)
        ]
    );
    let device = store.history(&subject("device/7")).await.unwrap();
    assert_eq!(
        device.len(),
        2,
        "each device's own history stays: {device:?}"
    );
}

#[tokio::test]
async fn a_device_restored_after_a_quiet_time_is_another_notice() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    for number in 0..3 {
        let who = format!("device/{number}");
        restored(&store, &who, START.plus_millis(number)).await;
    }
    let closed = START.plus_millis(2 + QUIET_MS);
    let first = store.restore_notice(closed).await.unwrap().unwrap();
    assert_eq!((first.devices, first.is_open(closed)), (3, false));
    // The same device as before, since it is the same fleet.
    let opened = restored(&store, "device/0", closed).await;
    assert_eq!(opened.map(|notice| notice.devices), Some(1));
    let second = store.restore_notice(closed).await.unwrap();
    assert_eq!(second, opened);
    let at = closed.plus_millis(SHOWN_MS);
    assert_eq!(store.restore_notice(at).await.unwrap(), None);
}

async fn restored(store: &Store, who: &str, now: Timestamp) -> Option<RestoreNotice> {
    let note = Note {
        subject: subject(who),
        kind: "restored".to_owned(),
        text: "ahead of HQ's records".to_owned(),
    };
    store
        .run_tx("test", move |mut tx| {
            Box::pin(async move { tx.note(&[note], now).await })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_full_database_is_known_as_such_until_the_largest_record_fits_again() {
    let folder = TempDir::new().unwrap();
    let options = StoreOptions {
        max_bytes: Some(1024 * 1024),
        ..StoreOptions::new(folder.path().join("hq.db"))
    };
    let store = Store::open(options).await.unwrap();
    store.look_for_room().await.unwrap();
    assert_eq!(
        (store.trouble(), store.commits()),
        (None, 0),
        "no trouble, no cost"
    );

    let large = vec![1; MAX_RECORD_BYTES];
    let mut written = 0;
    let error = loop {
        let name = format!("large-{written}");
        match try_to_put(&store, &name, &large).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(written > 1 && error.is_full(), "{written} {error}");
    let trouble = store.trouble().unwrap();
    assert!(
        trouble.contains("no room") && trouble.contains("free space"),
        "{trouble}"
    );
    // A little fits still: that is not enough to say that all is well.
    try_to_put(&store, "little", &[1]).await.unwrap();
    let still = store.look_for_room().await.unwrap_err();
    assert!(still.is_full() && store.trouble().is_some(), "{still}");

    store
        .run_tx("test", |mut tx| {
            Box::pin(async move {
                tx.change_records(&[(key("large-0"), Change::Remove)].into())
                    .await
            })
        })
        .await
        .unwrap();
    store.look_for_room().await.unwrap();
    assert_eq!(store.trouble(), None);
    try_to_put(&store, "large-0", &large).await.unwrap();
}

async fn try_to_put(store: &Store, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let change = Change::Put {
        value: value.to_vec(),
        expires: None,
    };
    let changes = BTreeMap::from([(key(name), change)]);
    store
        .run_tx("test", |mut tx| {
            Box::pin(async move { tx.change_records(&changes).await })
        })
        .await
}

#[tokio::test]
async fn a_closed_database_takes_nothing_more_and_another_process_may_have_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    put(&store, "a", b"value", None).await;
    store.close().await.unwrap();
    let error = store.begin("test").await.unwrap_err();
    assert!(matches!(error, StoreError::Stopped), "{error}");
    let next = open(&folder).await;
    assert!(next.record(&key("a")).await.unwrap().is_some());
}
