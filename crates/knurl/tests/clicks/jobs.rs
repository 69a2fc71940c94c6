//! The jobs around the clicks: one that fails or panics leaves the others alone, and itself comes back.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use knurl::{
    clicks::Clicks,
    jobs::{self, Clock, Jobs, Needs},
    resolve::Resolver,
};
use knurl_core::{
    UnixMillis,
    time::DAY_MS,
    user::{Email, Username},
};
use knurl_store::{Store, StoreError, faulty::Fault, sqlite::SqliteStore};

use super::world::{HANG, World, drain_all, record, until};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

struct Running {
    jobs: Jobs,
    now: Arc<AtomicI64>,
    foreign_changes: Arc<AtomicU32>,
}

async fn start(world: &World, clicks: &Clicks) -> Running {
    let (now, foreign_changes) = (Arc::new(AtomicI64::new(20_000 * DAY_MS)), Arc::new(AtomicU32::new(0)));
    let (of, changes) = (Arc::clone(&now), Arc::clone(&foreign_changes));
    let clock: Clock = Arc::new(move || UnixMillis(of.load(Ordering::SeqCst)));
    let needs = Needs {
        config: &world.config,
        clicks,
        store: world.store(),
        resolver: Resolver::new(world.store(), &world.config.cache),
        metrics: Arc::clone(&world.metrics),
        feeding: None,
        redis: None,
        on_foreign_change: Arc::new(move || {
            changes.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::ready(Ok(())))
        }),
    };
    Running { jobs: jobs::start_at(needs, clock).await, now, foreign_changes }
}

#[tokio::test]
async fn clicks_wait_while_the_store_is_away_and_arrive_once_when_it_is_back() {
    let world = World::with(|config| config.drain_interval = Duration::from_millis(10));
    let clicks = world.start().await;
    let running = start(&world, &clicks).await;
    record(&clicks, 0..100).await;
    world.store.fail(Fault::Unavailable);
    record(&clicks, 100..300).await;
    until("three tries", || world.metrics.clicks.drain_errors.get() >= 3).await;
    world.store.heal();
    clicks.recorder.barrier(HANG).await.unwrap();
    world.assert_holds(300, 300, 0).await;
    running.jobs.stop(HANG).await;
    clicks.stop().await;
}

#[tokio::test]
async fn a_stop_delivers_what_is_left_and_a_store_that_is_away_does_not_hold_it_up() {
    let world = World::with(|config| config.drain_interval = Duration::from_secs(3600));
    let clicks = world.start().await;
    let running = start(&world, &clicks).await;
    record(&clicks, 0..5_000).await;
    running.jobs.stop(HANG).await;
    clicks.stop().await;
    world.assert_holds(5_000, 5_000, 0).await;

    let clicks = world.start().await;
    let running = start(&world, &clicks).await;
    record(&clicks, 0..10).await;
    world.store.fail(Fault::Unavailable);
    running.jobs.stop(HANG).await;
    clicks.stop().await;
    world.store.heal();
    world.assert_holds(5_010, 5_000, 0).await;
}

#[tokio::test]
async fn a_job_that_hangs_takes_no_time_from_the_last_delivery() {
    let world = World::with(|config| config.drain_interval = Duration::from_secs(3600));
    let clicks = world.start().await;
    let running = start(&world, &clicks).await;
    record(&clicks, 0..5_000).await;
    // It is started after the drain.
    world.store.fail_method("foreign_changes", Fault::Hang);
    until("a job hangs", || world.store.held() > 0).await;
    running.jobs.stop(Duration::from_secs(3)).await;
    world.store.heal();
    clicks.stop().await;
    world.assert_holds(5_000, 5_000, 0).await;
}

#[tokio::test]
async fn a_panic_in_the_drain_is_counted_and_neither_the_drain_nor_the_others_end() {
    let world = World::with(|config| config.drain_interval = Duration::from_millis(5));
    let clicks = world.start().await;
    let running = start(&world, &clicks).await;
    world.store.fail_method("apply_clicks", Fault::Panic);
    record(&clicks, 0..10).await;
    until("two panics", || world.metrics.jobs.panics.get() >= 2).await;

    let other = SqliteStore::open(&world.dir.path().join("knurl.db"), &Default::default()).unwrap();
    let before = running.foreign_changes.load(Ordering::SeqCst);
    other.create_user(Username::parse("ada").unwrap(), Email::parse("ada@example.org").unwrap(), UnixMillis(0)).await.unwrap();
    until("the coherence job still sees changes", || running.foreign_changes.load(Ordering::SeqCst) > before).await;

    world.store.heal();
    clicks.recorder.barrier(HANG).await.unwrap();
    world.assert_holds(10, 10, 0).await;
    running.jobs.stop(HANG).await;
    other.close().await;
    clicks.stop().await;
}

#[tokio::test]
async fn two_nodes_tell_visitors_apart_alike_today_and_tomorrow_and_even_without_the_store() {
    let world = World::new();
    let clicks = world.start().await;
    let running = start(&world, &clicks).await;
    let today = UnixMillis(running.now.load(Ordering::SeqCst));
    let tomorrow = UnixMillis(today.0 + DAY_MS);

    let mut other = World::new();
    other.store = world.store.clone();
    let other_clicks = other.start().await;
    let lonely = other_clicks.recorder.visitor(today, CLIENT, None);
    assert_eq!(lonely, other_clicks.recorder.visitor(today, CLIENT, None), "before the store was asked a salt is there, and stays");
    let other_running = start(&other, &other_clicks).await;
    for at in [today, tomorrow] {
        assert_eq!(clicks.recorder.visitor(at, CLIENT, None), other_clicks.recorder.visitor(at, CLIENT, None));
    }
    assert_ne!(clicks.recorder.visitor(today, CLIENT, None), clicks.recorder.visitor(tomorrow, CLIENT, None));
    for (running, clicks) in [(running, clicks), (other_running, other_clicks)] {
        running.jobs.stop(HANG).await;
        clicks.stop().await;
    }
}

#[tokio::test]
async fn retention_removes_old_click_events_and_the_law_still_holds() {
    let world = World::with(|config| config.retention = Some(Duration::from_millis(1)));
    let clicks = world.start().await;
    record(&clicks, 0..5_000).await;
    drain_all(&mut clicks.drains().make()).await;
    let running = start(&world, &clicks).await;
    // The clicks are of 2026, the jobs' clock of 2024: nothing is old yet.
    until("the first look", || world.metrics.store.up.get() == 1).await;
    assert_eq!(world.metrics.clicks.purged.get(), 0);
    running.jobs.stop(HANG).await;

    let later: Clock = Arc::new(|| UnixMillis(30_000 * DAY_MS));
    let needs = || Needs {
        config: &world.config,
        clicks: &clicks,
        store: world.store(),
        resolver: Resolver::new(world.store(), &world.config.cache),
        metrics: Arc::clone(&world.metrics),
        feeding: None,
        redis: None,
        on_foreign_change: Arc::new(|| Box::pin(std::future::ready(Ok(())))),
    };
    // A node whose clock is far ahead of the database's removes nothing that only it calls old.
    world.store.time_is(UnixMillis(0));
    world.store.fail_method("purge_clicks", Fault::LostReply);
    let jobs = jobs::start_at(needs(), Arc::clone(&later)).await;
    until("it has tried", || world.metrics.jobs.errors.get() > 0).await;
    jobs.stop(HANG).await;
    world.store.heal();
    assert_eq!(world.audit().await.raw, 5_000);

    world.store.time_is(UnixMillis(40_000 * DAY_MS));
    let jobs = jobs::start_at(needs(), later).await;
    until("all purged", || world.metrics.clicks.purged.get() == 5_000).await;
    world.assert_holds(5_000, 5_000, 0).await;
    let audit = world.audit().await;
    assert_eq!((audit.raw, audit.purged), (0, 5_000));
    jobs.stop(HANG).await;
    clicks.stop().await;
}

#[tokio::test]
async fn what_follows_a_foreign_change_is_tried_until_it_succeeds_and_memory_is_dropped_once() {
    let mut world = World::new();
    world.config.cache.coherence_interval = Duration::from_millis(10);
    let clicks = world.start().await;
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let needs = Needs {
        config: &world.config,
        clicks: &clicks,
        store: world.store(),
        resolver: Resolver::counting(world.store(), &world.config.cache, Arc::clone(&world.metrics)),
        metrics: Arc::clone(&world.metrics),
        feeding: None,
        redis: None,
        on_foreign_change: Arc::new(move || {
            let failed = counted.fetch_add(1, Ordering::SeqCst) < 2;
            Box::pin(std::future::ready(if failed { Err(StoreError::Overloaded) } else { Ok(()) }))
        }),
    };
    // The first look counts as a change.
    let jobs = jobs::start(needs).await;
    until("the third try", || tries.load(Ordering::SeqCst) >= 3).await;
    jobs.stop(HANG).await;
    clicks.stop().await;
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    assert_eq!(world.metrics.cache.forgotten.get(), 1);
}
