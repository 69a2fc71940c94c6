//! The writer's promises, with writes no method of the trait would make.

use std::{sync::atomic::Ordering, time::Duration};

use knurl_core::{
    LinkId, ShortCode, Target, UnixMillis,
    link::{NewLink, RedirectStatus},
};
use tokio::sync::oneshot;

use super::{
    SqliteOptions, SqliteStore,
    failure::store_error,
    tx::Tx,
    writer::{Care, Outcome},
};
use crate::{Store, StoreError, store::Result};

fn open(dir: &tempfile::TempDir, options: &SqliteOptions) -> SqliteStore {
    SqliteStore::open(&dir.path().join("knurl.db"), options).unwrap()
}

impl SqliteStore {
    async fn add(&self, amount: i64, then: fn() -> Result<()>) -> Result<()> {
        let write = move |tx: &Tx<'_>| {
            tx.add_to_counter("pings", amount).map_err(store_error)?;
            then().map(Outcome::Keep)
        };
        self.inner.writer.write(Care::Usual, write).await
    }

    async fn pings(&self) -> u64 {
        self.inner.readers.point(|conn| super::counter(conn, "pings")).await.unwrap()
    }

    /// Occupies the writer until the sender is dropped or used, so that what comes next is one group.
    async fn hold(&self) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
        let (release, mut held) = oneshot::channel::<()>();
        let (begun, has_begun) = oneshot::channel::<()>();
        let mut begun = Some(begun);
        let store = self.clone();
        let holding = tokio::spawn(async move {
            let write = move |_: &Tx<'_>| {
                drop(begun.take());
                while let Err(oneshot::error::TryRecvError::Empty) = held.try_recv() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(Outcome::Keep(()))
            };
            store.inner.writer.write(Care::Usual, write).await
        });
        let _ = has_begun.await;
        (release, holding)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_or_panics_late_undoes_itself_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions::default());
    let (release, holding) = store.hold().await;
    let ways: [fn() -> Result<()>; 3] =
        [|| Ok(()), || Err(StoreError::Internal("late".into())), || panic!("a write of the test panics, as it should")];
    let mut group = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = store.clone();
        group.spawn(async move { (n % 3, store.add(1, ways[n % 3]).await) });
    }
    while store.writes_queued() < 30 {
        tokio::task::yield_now().await;
    }
    drop(release);
    holding.await.unwrap().unwrap();
    for (way, answer) in group.join_all().await {
        assert_eq!(answer.is_ok(), way == 0, "{answer:?}");
    }
    assert_eq!(store.pings().await, 10);
    let counters = store.writer_counters();
    assert_eq!(counters.groups_run_again.load(Ordering::Relaxed), 1, "they were one group");
    assert!(counters.panics.load(Ordering::Relaxed) >= 10);
    assert_eq!(counters.failed_groups.load(Ordering::Relaxed), 0);
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_queued_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { group_max: 16, ..Default::default() });
    let (release, holding) = store.hold().await;
    let mut group = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        group.spawn(async move { store.ping().await });
    }
    while store.writes_queued() < 40 {
        tokio::task::yield_now().await;
    }
    let before = store.writer_counters().commits.load(Ordering::Relaxed);
    drop(release);
    holding.await.unwrap().unwrap();
    assert!(group.join_all().await.into_iter().all(|answer| answer.is_ok()));
    // The held write's own commit, and three groups of at most 16.
    assert_eq!(store.writer_counters().commits.load(Ordering::Relaxed) - before, 4);
    assert_eq!(store.pings().await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { queue_max: 4, ..Default::default() });
    let (release, holding) = store.hold().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        waiting.spawn(async move { store.ping().await });
    }
    while store.writes_queued() < 4 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(store.ping().await, Err(StoreError::Overloaded)));
    drop(release);
    holding.await.unwrap().unwrap();
    assert!(waiting.join_all().await.into_iter().all(|answer| answer.is_ok()));
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_that_keeps_the_lock_makes_writes_unavailable_and_no_worse() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { busy_timeout: Duration::from_millis(20), ..Default::default() });
    let other = rusqlite::Connection::open(dir.path().join("knurl.db")).unwrap();
    other.execute_batch("begin immediate").unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.pings().await, 0, "reads go on");
    other.execute_batch("rollback").unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.writer_counters().reopened.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_read_ends_when_its_caller_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { readers: 1, ..Default::default() });
    let endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) from n";
    let (begun, has_begun) = oneshot::channel::<()>();
    let reading = tokio::spawn({
        let store = store.clone();
        async move {
            let read = move |conn: &rusqlite::Connection| {
                drop(begun);
                conn.query_row(endless, [], |row| row.get::<_, i64>(0)).map_err(store_error)
            };
            store.inner.readers.long(read).await
        }
    });
    let _ = has_begun.await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    // There is one connection: this waits for it, and would wait for ever were the read still on.
    assert_eq!(store.list_keys().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_read_leaves_the_readers_well() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { readers: 1, point_readers: 1, ..Default::default() });
    let panics = |_: &rusqlite::Connection| -> Result<()> { panic!("a read of the test panics, as it should") };
    assert!(matches!(store.inner.readers.point(panics).await, Err(StoreError::Internal(_))));
    assert!(matches!(store.inner.readers.long(panics).await, Err(StoreError::Internal(_))));
    assert_eq!(store.pings().await, 0);
    assert_eq!(store.list_keys().await.unwrap(), []);
}

/// On the one thread there is: a read that ran on it would hold up everything.
#[tokio::test]
async fn while_the_disk_is_waited_for_reads_hold_up_nobody_and_go_on_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { readers: 1, point_readers: 1, ..Default::default() });
    let readers = &store.inner.readers;
    readers.pace.judge(true);
    let (release, hung) = std::sync::mpsc::channel::<()>();
    let hangs = readers.point(move |conn| {
        let _ = hung.recv();
        super::counter(conn, "pings")
    });
    let others = async {
        for _ in 0..10 {
            assert_eq!(store.pings().await, 0);
        }
        assert!(readers.pace.waits_for_disk(), "so they ran elsewhere");
        drop(release);
    };
    let (hung, ()) = tokio::join!(hangs, others);
    assert_eq!(hung.unwrap(), 0);

    // A panic gives its place back, and closing waits for what is under way.
    let panics = |_: &rusqlite::Connection| -> Result<()> { panic!("a read of the test panics, as it should") };
    for _ in 0..super::readers::COLD_READS_MAX {
        assert!(matches!(readers.point(panics).await, Err(StoreError::Internal(_))));
    }
    assert_eq!(store.pings().await, 0);
    store.close().await;
    readers.pace.judge(true);
    assert!(matches!(readers.point(|conn| super::counter(conn, "pings")).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn of_a_removed_file_the_connection_that_is_open_reads_on_though_the_disk_was_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions { readers: 1, point_readers: 1, ..Default::default() });
    assert_eq!(store.pings().await, 0);
    std::fs::remove_file(dir.path().join("knurl.db")).unwrap();
    let readers = &store.inner.readers;
    readers.pace.judge(true);
    while readers.pace.waits_for_disk() {
        assert!(readers.point(|conn| super::counter(conn, "pings")).await.is_err(), "nothing is there to open");
    }
    assert_eq!(store.pings().await, 0);
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_file_that_was_removed_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions::default());
    let (path, aside) = (dir.path().join("knurl.db"), dir.path().join("aside.db"));
    store.ping().await.unwrap();

    std::fs::rename(&path, &aside).unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))), "removed");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))), "replaced");
    assert_eq!(std::fs::read(&path).unwrap(), b"", "and the other file is left alone");

    std::fs::rename(&aside, &path).unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.pings().await, 2);
    store.close().await;
}

#[tokio::test]
async fn a_bulk_create_that_was_stopped_at_its_last_row_gives_no_id_a_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, &SqliteOptions::default());
    let link = |code: &str| NewLink {
        domain: String::new(),
        short_code: ShortCode::parse(code).unwrap(),
        target: Target::verbatim("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
    };
    let now = UnixMillis(0);
    let codes = ["a", "b", "c", "d", "e", "f", "g", "a"];
    let answers = store.create_links(codes.map(link).into(), now).await.unwrap();
    let last = answers[6].as_ref().unwrap().id;
    assert!(answers[7].is_err());
    let theirs = rusqlite::Connection::open(dir.path().join("knurl.db")).unwrap();
    assert_eq!(theirs.execute("delete from links", []).unwrap(), 7);
    assert_eq!(store.create_link(link("a"), now).await.unwrap().id, LinkId(last.0 + 1));
    store.close().await;
}
