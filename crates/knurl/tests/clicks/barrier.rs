//! A client sees its own clicks.

use std::time::Duration;

use knurl::{
    clicks::BarrierTimeout,
    jobs::{self, Jobs, Needs},
    resolve::Resolver,
};
use knurl_store::{Store, faulty::Fault};

use super::world::{HANG, World, click, record, until};

/// A drain that runs only when a barrier asks.
fn on_demand() -> World {
    World::with(|config| config.drain_interval = Duration::from_secs(3600))
}

async fn start_jobs(world: &World, clicks: &knurl::clicks::Clicks) -> Jobs {
    let needs = Needs {
        config: &world.config,
        clicks,
        store: world.store(),
        resolver: Resolver::new(world.store(), &world.config.cache),
        metrics: std::sync::Arc::clone(&world.metrics),
        feeding: None,
        redis: None,
        on_foreign_change: std::sync::Arc::new(|| Box::pin(std::future::ready(Ok(())))),
    };
    jobs::start(needs).await
}

#[tokio::test]
async fn behind_a_barrier_everything_recorded_before_it_is_in_the_store() {
    let world = on_demand();
    let clicks = world.start().await;
    let jobs = start_jobs(&world, &clicks).await;
    for round in 1..=5 {
        record(&clicks, 0..200).await;
        clicks.recorder.barrier(HANG).await.unwrap();
        assert_eq!(world.store.click_ledger().await.unwrap().raw, round * 200);
    }
    jobs.stop(HANG).await;
    clicks.stop().await;
}

#[tokio::test]
async fn barriers_that_wait_together_share_the_drains_rounds() {
    let world = on_demand();
    let clicks = world.start().await;
    let jobs = start_jobs(&world, &clicks).await;
    world.store.fail_method("apply_clicks", Fault::Hang);
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            let recorder = clicks.recorder.clone();
            tokio::spawn(async move {
                recorder.record(&click(n)).await;
                recorder.barrier(HANG).await
            })
        })
        .collect();
    until("all 50 recorded", || world.metrics.render().contains("knurl_clicks_answered_total 50\n")).await;
    world.store.heal();
    for task in waiting {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert!(world.metrics.clicks.drain.count() <= 2, "{} rounds for 50 barriers", world.metrics.clicks.drain.count());
    world.assert_holds(50, 50, 0).await;
    jobs.stop(HANG).await;
    clicks.stop().await;
}

#[tokio::test]
async fn a_barrier_gives_up_in_time_while_the_store_is_away_but_never_where_nothing_waits() {
    let world = on_demand();
    let clicks = world.start().await;
    let jobs = start_jobs(&world, &clicks).await;
    world.store.fail(Fault::Unavailable);
    assert_eq!(clicks.recorder.barrier(Duration::ZERO).await, Ok(()), "there is no backlog");
    record(&clicks, 0..1).await;
    assert_eq!(clicks.recorder.barrier(Duration::from_millis(20)).await, Err(BarrierTimeout));
    world.store.heal();
    assert_eq!(clicks.recorder.barrier(HANG).await, Ok(()));
    world.assert_holds(1, 1, 0).await;
    jobs.stop(HANG).await;
    clicks.stop().await;
}
