//! What fsync promises, and what happens when it fails.

use std::{sync::atomic::Ordering, time::Duration};

use knurl::{clicks::Recorded, config::Durability};

use super::world::{HANG, World, click, drain_all, record, until};

#[tokio::test]
async fn with_durability_power_an_answer_waits_for_its_fsync_and_all_who_wait_share_one() {
    let world = World::with(|config| {
        config.durability = Durability::Power;
        config.fsync_interval = Duration::from_secs(3600);
    });
    let clicks = world.start().await;
    assert_eq!(clicks.recorder.try_record(&click(0)), None, "there is no way around the wait");
    record(&clicks, 0..1).await;

    let faults = &world.disk.faults;
    faults.close_gate();
    let waiting: Vec<_> = (1..=64)
        .map(|n| {
            let recorder = clicks.recorder.clone();
            tokio::spawn(async move { recorder.record(&click(n)).await })
        })
        .collect();
    let gate = std::sync::Arc::clone(faults);
    tokio::task::spawn_blocking(move || gate.wait_for_a_sync()).await.unwrap();
    until("64 clicks in the spool", || world.metrics.render().contains("knurl_clicks_answered_total 65\n")).await;
    assert!(waiting.iter().all(|task| !task.is_finished()), "answered before the fsync");

    let before = faults.syncs.load(Ordering::Relaxed);
    faults.open_gate();
    for task in waiting {
        assert_eq!(tokio::time::timeout(HANG, task).await.unwrap().unwrap(), Recorded::Kept);
    }
    let shared = faults.syncs.load(Ordering::Relaxed) - before;
    assert!(shared <= 2, "{shared} fsyncs more for 64 answers");
    assert_eq!(world.metrics.clicks.unsynced.get(), 0);
    clicks.stop().await;
}

#[tokio::test]
async fn with_durability_process_no_answer_waits_for_the_disk() {
    let world = World::new();
    let clicks = world.start().await;
    world.disk.faults.close_gate();
    assert_eq!(record(&clicks, 0..50).await, 50);
    world.disk.faults.open_gate();
    clicks.stop().await;
}

#[tokio::test]
async fn a_failed_fsync_is_counted_and_loses_nothing() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..100).await;
    world.disk.faults.syncs_to_fail.store(1, Ordering::Relaxed);
    record(&clicks, 100..200).await;
    until("the failure", || world.metrics.clicks.fsync_errors.get() == 1).await;
    record(&clicks, 200..300).await;
    drain_all(&mut clicks.drains().make()).await;
    world.assert_holds(300, 300, 0).await;
    assert!(!world.lost.load(Ordering::SeqCst));
    clicks.stop().await;
}

#[tokio::test]
async fn a_disk_that_takes_no_fsync_ends_the_process_and_later_clicks_are_counted_as_dropped() {
    let world = World::new();
    let clicks = world.start().await;
    world.disk.faults.syncs_to_fail.store(u32::MAX, Ordering::Relaxed);
    record(&clicks, 0..10).await;
    until("the process was ended", || world.lost.load(Ordering::SeqCst)).await;
    assert_eq!(clicks.recorder.record(&click(10)).await, Recorded::Dropped);
    drop(clicks);

    // What the page cache still had when the process ended is what the next one finds.
    world.disk.faults.syncs_to_fail.store(0, Ordering::Relaxed);
    let clicks = world.start().await;
    drain_all(&mut clicks.drains().make()).await;
    world.assert_holds(11, 10, 1).await;
    clicks.stop().await;
}
