use std::sync::Mutex;

use tempfile::TempDir;

use crate::registrar::Change;
use crate::store::StoreOptions;
use crate::testing::key;

use super::*;

/// A unit that writes a record, and then goes wrong if it is told to.
struct Writes {
    name: &'static str,
    value: Vec<u8>,
    then: Option<fn() -> Declined>,
    log: Arc<Mutex<Vec<(&'static str, bool)>>>,
}

#[async_trait]
impl Unit for Writes {
    async fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Declined> {
        let change = Change::Put {
            value: self.value.clone(),
            expires: None,
        };
        tx.change_records(&[(key(self.name), change)].into())
            .await?;
        self.then.map_or(Ok(()), |fails| Err(fails()))
    }

    fn settle(self: Box<Self>, result: Result<(), Declined>) {
        self.log.lock().unwrap().push((self.name, result.is_ok()));
    }
}

struct Bench {
    _folder: TempDir,
    store: Arc<Store>,
    committer: Committer,
    handle: CommitterHandle,
    log: Arc<Mutex<Vec<(&'static str, bool)>>>,
}

impl Bench {
    async fn new(max_bytes: Option<u64>) -> Self {
        let folder = TempDir::new().unwrap();
        let options = StoreOptions {
            max_bytes,
            ..StoreOptions::new(folder.path().join("hq.db"))
        };
        let store = Arc::new(Store::open(options).await.unwrap());
        let (committer, handle) = Committer::new(Arc::clone(&store));
        Self {
            _folder: folder,
            store,
            committer,
            handle,
            log: Arc::default(),
        }
    }

    async fn submit(&self, name: &'static str, size: usize, then: Option<fn() -> Declined>) {
        let unit = Writes {
            name,
            value: vec![1; size],
            then,
            log: Arc::clone(&self.log),
        };
        assert!(self.handle.units.send(Box::new(unit)).await.is_ok());
    }

    async fn has(&self, name: &str) -> bool {
        self.store.record(&key(name)).await.unwrap().is_some()
    }

    fn settled(&self) -> Vec<(&'static str, bool)> {
        self.log.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn units_that_wait_share_a_commit_and_no_more_than_the_bound() {
    let mut bench = Bench::new(None).await;
    for _ in 0..MAX_BATCH + 1 {
        bench.submit("same", 1, None).await;
    }
    let before = bench.store.commits();
    bench.committer.run_once().await;
    assert_eq!(bench.store.commits() - before, 1);
    assert_eq!(bench.settled().len(), MAX_BATCH);
    bench.committer.run_once().await;
    assert_eq!(bench.store.commits() - before, 2);
    assert_eq!(bench.settled().len(), MAX_BATCH + 1);
}

#[tokio::test]
async fn a_declined_unit_is_undone_alone() {
    let mut bench = Bench::new(None).await;
    bench.submit("first", 1, None).await;
    bench
        .submit("declined", 1, Some(|| Declined::Conflict))
        .await;
    bench.submit("lost", 1, Some(|| Declined::LeaseLost)).await;
    bench.submit("last", 1, None).await;
    bench.committer.run_once().await;
    assert_eq!(
        bench.settled(),
        [
            ("first", true),
            ("declined", false),
            ("lost", false),
            ("last", true)
        ]
    );
    assert!(bench.has("first").await && bench.has("last").await);
    assert!(!bench.has("declined").await && !bench.has("lost").await);
}

#[tokio::test]
async fn a_unit_that_the_database_cannot_hold_does_not_take_others_with_it() {
    let mut bench = Bench::new(Some(400 * 1024)).await;
    bench.submit("first", 10, None).await;
    bench.submit("huge", 900 * 1024, None).await;
    bench.submit("last", 10, None).await;
    bench.committer.run_once().await;
    assert_eq!(
        bench.settled(),
        [("first", true), ("huge", false), ("last", true)]
    );
    assert!(bench.has("first").await && bench.has("last").await && !bench.has("huge").await);
}

#[tokio::test]
async fn nothing_of_a_closure_that_fails_is_committed() {
    let bench = Bench::new(None).await;
    let Bench {
        committer,
        handle,
        store,
        ..
    } = bench;
    tokio::spawn(committer.run(CancellationToken::new()));
    let result: Result<(), StoreError> = handle
        .run(|mut tx| {
            Box::pin(async move {
                tx.count("things", 1).await?;
                Err(StoreError::Damaged {
                    what: "a thing",
                    detail: "on purpose".to_owned(),
                })
            })
        })
        .await;
    assert!(
        matches!(result, Err(StoreError::Damaged { .. })),
        "{result:?}"
    );
    assert_eq!(store.counters().await.unwrap(), []);

    let counted = handle
        .run(|mut tx| {
            Box::pin(async move {
                tx.count("things", 1).await?;
                Ok("done")
            })
        })
        .await;
    assert_eq!(counted.unwrap(), "done");
    assert_eq!(store.counters().await.unwrap(), [("things".to_owned(), 1)]);
}

#[tokio::test]
async fn a_stopped_committer_finishes_what_waits_and_refuses_the_rest() {
    let bench = Bench::new(None).await;
    bench.submit("before", 1, None).await;
    let Bench {
        committer,
        handle,
        store,
        log,
        ..
    } = bench;
    let stop = CancellationToken::new();
    stop.cancel();
    committer.run(stop).await;
    assert_eq!(*log.lock().unwrap(), [("before", true)]);
    assert!(store.record(&key("before")).await.unwrap().is_some());
    let late = handle.run(|_| Box::pin(async { Ok(()) })).await;
    assert!(matches!(late, Err(StoreError::Stopped)), "{late:?}");
}
