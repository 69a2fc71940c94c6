//! A spool without room: counted drops, no waiting without end, and back to normal by itself.

use std::{sync::atomic::Ordering, time::Duration};

use knurl::clicks::Recorded;

use super::world::{World, click, drain_all, record, until};

#[tokio::test]
async fn a_spool_at_its_bound_drops_and_counts_and_takes_clicks_again_once_some_are_delivered() {
    let world = World::with(|config| {
        config.segments_max = 4;
        config.full_wait = Duration::from_millis(5);
    });
    let clicks = world.start().await;
    let kept = record(&clicks, 0..2_000).await;
    assert!(kept > 500 && kept < 2_000, "{kept} kept");
    world.assert_holds(2_000, 0, 2_000 - kept).await;

    drain_all(&mut clicks.drains().make()).await;
    let mut n = 2_000;
    until("room", || {
        n += 1;
        clicks.recorder.try_record(&click(n)) == Some(Recorded::Kept)
    })
    .await;
    let audit = world.audit().await;
    assert!(audit.holds() && audit.delivered == kept && audit.backlog == 1, "{audit:?}");
    clicks.stop().await;
}

#[tokio::test]
async fn a_full_disk_costs_clicks_but_no_redirect_waits_for_it_and_space_is_found_again() {
    let world = World::with(|config| config.full_wait = Duration::from_secs(3600));
    let clicks = world.start().await;
    world.disk.faults.full.store(true, Ordering::Relaxed);
    // Once the first refusal is known nobody waits: with an hour of `full_wait`, coming to the end is the proof.
    let kept = record(&clicks, 0..3_000).await;
    assert!(kept > 0 && kept < 3_000, "{kept} kept");
    world.assert_holds(3_000, 0, 3_000 - kept).await;
    assert_eq!(world.metrics.clicks.starved.get(), 1);

    world.disk.faults.full.store(false, Ordering::Relaxed);
    let mut n = 3_000;
    until("room", || {
        n += 1;
        clicks.recorder.try_record(&click(n)) == Some(Recorded::Kept)
    })
    .await;
    drain_all(&mut clicks.drains().make()).await;
    assert!(world.audit().await.holds());
    clicks.stop().await;
}

#[tokio::test]
async fn a_burst_that_outruns_the_next_segment_waits_for_it_and_drops_nothing() {
    let world = World::with(|config| {
        config.fsync_interval = Duration::from_secs(3600);
        config.full_wait = Duration::from_secs(3600);
        config.segments_max = 1_000;
    });
    let clicks = world.start().await;
    let kept = record(&clicks, 0..5_000).await;
    assert_eq!(kept, 5_000);
    world.assert_holds(5_000, 0, 0).await;
    clicks.stop().await;
}

#[tokio::test]
async fn after_the_close_clicks_are_dropped_and_counted() {
    let world = World::new();
    let clicks = world.start().await;
    let recorder = clicks.recorder.clone();
    record(&clicks, 0..10).await;
    clicks.stop().await;
    assert_eq!(recorder.record(&click(10)).await, Recorded::Dropped);
    assert_eq!(recorder.try_record(&click(11)), Some(Recorded::Dropped));
    world.assert_holds(12, 0, 2).await;
}
