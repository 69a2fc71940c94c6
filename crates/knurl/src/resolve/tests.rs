//! The database is a gate the test opens: every interleaving below is forced, none is hoped for.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use knurl_core::{Link, Target};
use tokio::sync::Semaphore;

use super::*;

const TTL: Duration = Duration::from_secs(5);
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// Answers with what `row` held when the read began, once `gate` lets it.
struct Database {
    row: Mutex<Row>,
    gate: Semaphore,
    reads: AtomicUsize,
}

#[derive(Clone)]
enum Row {
    Link(&'static str),
    None,
    Down,
}

impl Database {
    fn open(row: Row) -> Arc<Self> {
        Self::with_permits(row, Semaphore::MAX_PERMITS)
    }

    fn gated(row: Row) -> Arc<Self> {
        Self::with_permits(row, 0)
    }

    fn with_permits(row: Row, permits: usize) -> Arc<Self> {
        Arc::new(Self { row: Mutex::new(row), gate: Semaphore::new(permits), reads: AtomicUsize::new(0) })
    }

    fn set(&self, row: Row) {
        *self.row.lock().unwrap() = row;
    }

    fn reads(&self) -> usize {
        self.reads.load(SeqCst)
    }

    fn resolver(self: &Arc<Self>) -> Resolver {
        self.resolver_of(1 << 20)
    }

    fn resolver_of(self: &Arc<Self>, bytes_max: u64) -> Resolver {
        let database = Arc::clone(self);
        let load = move |code: ShortCode| -> BoxFuture<'static, _> {
            let database = Arc::clone(&database);
            Box::pin(async move {
                database.reads.fetch_add(1, SeqCst);
                let row = database.row.lock().unwrap().clone();
                database.gate.acquire().await.unwrap().forget();
                match row {
                    Row::Link(target) => Ok(Some(link(code, target))),
                    Row::None => Ok(None),
                    Row::Down => Err(StoreError::Unavailable("pulled the plug".into())),
                }
            })
        };
        let metrics = Arc::default();
        Resolver::from(Below::of(None, None, Box::new(load), &metrics), Memory::new(bytes_max, TTL), metrics)
    }
}

fn link(code: ShortCode, target: &str) -> Link {
    Link {
        id: LinkId(1),
        domain: String::new(),
        short_code: code,
        target: Target::verbatim(target).unwrap(),
        title: None,
        is_active: true,
        status: RedirectStatus::Found302,
        owner: None,
        expires_at: None,
        created_at: NOW,
        updated_at: NOW,
        deleted_at: None,
        version: 1,
    }
}

fn code(text: &str) -> ShortCode {
    ShortCode::parse(text).unwrap()
}

async fn target(resolver: &Resolver, text: &str) -> Option<String> {
    resolver.resolve(&code(text), NOW).await.unwrap().map(|link| link.target().to_owned())
}

/// Polls until the database has been asked `n` times: the loads are then at the gate.
async fn asked(database: &Database, n: usize) {
    while database.reads() < n {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_second_resolve_is_answered_from_memory() {
    let database = Database::open(Row::Link("https://a.example/"));
    let resolver = database.resolver();
    assert!(resolver.cached("abc", NOW).is_none());
    for _ in 0..3 {
        assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://a.example/"));
    }
    assert_eq!(database.reads(), 1);
    assert_eq!(resolver.cached("abc", NOW).unwrap().unwrap().location.as_str(), "https://a.example/");
}

#[tokio::test]
async fn concurrent_misses_of_one_code_ask_the_database_once() {
    let database = Database::gated(Row::Link("https://a.example/"));
    let resolver = database.resolver();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { target(&resolver, "abc").await })
        })
        .collect();
    asked(&database, 1).await;
    tokio::task::yield_now().await;
    database.gate.add_permits(1);
    for one in waiting {
        assert_eq!(one.await.unwrap().as_deref(), Some("https://a.example/"));
    }
    assert_eq!(database.reads(), 1);
    assert_eq!(resolver.inner.memory.aloft(), 0);
}

#[test]
fn passengers_who_leave_a_flight_together_leave_nothing_behind() {
    const ROUNDS: usize = 20_000;
    let resolver = Database::gated(Row::None).resolver();
    let memory = &resolver.inner.memory;
    let together = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let flight = memory.join(&format!("c{round}"));
                    together.wait();
                    drop(flight);
                }
            });
        }
    });
    assert_eq!(memory.aloft(), 0);
}

#[tokio::test]
async fn a_load_that_began_before_a_forget_is_not_remembered() {
    let database = Database::gated(Row::Link("https://old.example/"));
    let resolver = database.resolver();
    let early = tokio::spawn({
        let resolver = resolver.clone();
        async move { target(&resolver, "abc").await }
    });
    asked(&database, 1).await;
    database.set(Row::Link("https://new.example/"));
    resolver.changed("abc", None);
    // Who asks after the change must not wait for, nor get, the answer of the load that began before it.
    let late = tokio::spawn({
        let resolver = resolver.clone();
        async move { target(&resolver, "abc").await }
    });
    asked(&database, 2).await;
    database.gate.add_permits(2);
    early.await.unwrap();
    assert_eq!(late.await.unwrap().as_deref(), Some("https://new.example/"));
    assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://new.example/"));
    assert_eq!(database.reads(), 2);
}

#[tokio::test]
async fn the_early_load_landing_last_does_not_bring_the_old_link_back() {
    let database = Database::open(Row::Link("https://new.example/"));
    let resolver = database.resolver();
    let memory = &resolver.inner.memory;
    let flight = memory.join("abc");
    let old = Resolved::of(&Copied::from(link(code("abc"), "https://old.example/"))).unwrap();
    resolver.changed("abc", None);
    assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://new.example/"));
    memory.land("abc", &flight, Some((Some(old), NOW)));
    assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://new.example/"));
}

#[tokio::test]
async fn a_load_that_began_before_forget_all_is_not_believed() {
    let database = Database::gated(Row::Link("https://old.example/"));
    let resolver = database.resolver();
    let early = tokio::spawn({
        let resolver = resolver.clone();
        async move { target(&resolver, "abc").await }
    });
    asked(&database, 1).await;
    resolver.forget_all();
    database.set(Row::Link("https://new.example/"));
    database.gate.add_permits(2);
    early.await.unwrap();
    assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://new.example/"));
}

#[tokio::test]
async fn a_new_link_is_found_although_its_code_was_remembered_as_absent() {
    let database = Database::open(Row::None);
    let resolver = database.resolver();
    assert_eq!(target(&resolver, "abc").await, None);
    database.set(Row::Link("https://a.example/"));
    assert_eq!(target(&resolver, "abc").await, None, "remembered");
    resolver.created("abc");
    assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://a.example/"));
}

#[tokio::test]
async fn absence_is_remembered_for_its_time_only_and_not_by_a_clock_set_back() {
    let database = Database::open(Row::None);
    let resolver = database.resolver();
    assert_eq!(target(&resolver, "abc").await, None);
    let at = |ms: i64| UnixMillis(NOW.0 + ms);
    assert!(matches!(resolver.cached("abc", at(4_999)), Some(None)));
    assert!(resolver.cached("abc", at(5_000)).is_none());
    assert!(resolver.cached("abc", at(-1)).is_none());
}

#[tokio::test]
async fn an_unavailable_database_is_an_error_and_never_no_such_code() {
    let database = Database::open(Row::Down);
    let resolver = database.resolver();
    for _ in 0..2 {
        let error = resolver.resolve(&code("abc"), NOW).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("pulled the plug"));
    }
    assert_eq!(database.reads(), 4, "each once more, and a failure is not remembered");
    assert_eq!(resolver.inner.memory.aloft(), 0);
}

#[tokio::test]
async fn while_the_database_is_down_what_memory_held_still_answers() {
    let database = Database::open(Row::Link("https://a.example/"));
    let resolver = database.resolver();
    target(&resolver, "abc").await;
    resolver.forget_all();
    database.set(Row::Down);
    for _ in 0..100 {
        assert_eq!(target(&resolver, "abc").await.as_deref(), Some("https://a.example/"));
    }
    assert!(database.reads() >= 2, "the database was asked before memory was trusted again");
    let metrics = &resolver.inner.metrics;
    assert_eq!(metrics.redirects.tier_total(Tier::Stale), 100);
}

#[tokio::test]
async fn a_link_changed_here_is_not_answered_stale_even_in_an_outage() {
    let database = Database::open(Row::Link("https://a.example/"));
    let resolver = database.resolver();
    target(&resolver, "abc").await;
    resolver.changed("abc", None);
    database.set(Row::Down);
    assert!(resolver.resolve(&code("abc"), NOW).await.is_err());
}

#[tokio::test]
async fn a_scan_of_random_codes_pushes_out_no_link() {
    let database = Database::open(Row::Link("https://a.example/"));
    let resolver = database.resolver_of(1 << 20);
    target(&resolver, "hot").await;
    database.set(Row::None);
    for n in 0..20_000 {
        assert_eq!(target(&resolver, &format!("scan{n}")).await, None);
    }
    assert_eq!(database.reads(), 20_001);
    assert!(resolver.cached("hot", NOW).is_some());
    resolver.measure();
    assert!(resolver.inner.metrics.cache.negative.get() <= 1 << 16);
}

#[tokio::test]
async fn memory_stays_within_its_bytes() {
    let database = Database::open(Row::Link("https://a.example/some/longer/path/so/that/the/entry/weighs/something"));
    let resolver = database.resolver_of(1 << 20);
    for n in 0..50_000 {
        target(&resolver, &format!("c{n}")).await;
    }
    resolver.measure();
    let cache = &resolver.inner.metrics.cache;
    assert!(cache.bytes.get() <= 1 << 20, "{}", cache.bytes.get());
    assert!(cache.links.get() > 5_000, "{}", cache.links.get());
}

#[tokio::test]
async fn a_flight_whose_passengers_all_left_leaves_nothing_behind() {
    let database = Database::gated(Row::Link("https://a.example/"));
    let resolver = database.resolver();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { target(&resolver, "abc").await })
        })
        .collect();
    asked(&database, 1).await;
    tokio::task::yield_now().await;
    for one in waiting {
        one.abort();
        let _ = one.await;
    }
    assert_eq!(resolver.inner.memory.aloft(), 0);
}

#[tokio::test]
async fn a_waiter_takes_over_when_the_one_who_was_loading_leaves() {
    let database = Database::gated(Row::Link("https://a.example/"));
    let resolver = database.resolver();
    let ask = || {
        let resolver = resolver.clone();
        tokio::spawn(async move { target(&resolver, "abc").await })
    };
    let first = ask();
    asked(&database, 1).await;
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    asked(&database, 2).await;
    database.gate.add_permits(1);
    assert_eq!(second.await.unwrap().as_deref(), Some("https://a.example/"));
}
