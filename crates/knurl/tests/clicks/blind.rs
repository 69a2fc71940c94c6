//! The spool is opened while the store is away: nobody can say yet how far it was delivered.

use std::sync::Arc;

use knurl::clicks::{audit::audit_on, drain::Stepped};
use knurl_spool::sim::{Kept, SimDisk};
use knurl_store::faulty::Fault;

use super::{
    power_loss::{left, start},
    world::{World, drain_all, record},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_before_the_cursor_is_known_is_delivered_once_and_nothing_before_it_again() {
    let world = World::with(|config| config.drain_batch_rows = 70);
    let clicks = world.start().await;
    record(&clicks, 0..300).await;
    // Some batches are delivered, the rest is backlog.
    let mut drain = clicks.drains().make();
    drain.step().await;
    drain.step().await;
    drop((clicks, drain));

    // Two runs that never reach the store, then one that does at last.
    world.store.fail(Fault::Unavailable);
    for range in [300..450, 450..500] {
        let clicks = world.start().await;
        record(&clicks, range).await;
        let mut drain = clicks.drains().make();
        assert!(matches!(drain.step().await, Stepped::Failed { .. }));
        drop((clicks, drain));
    }
    let clicks = world.start().await;
    record(&clicks, 500..600).await;
    let mut drain = clicks.drains().make();
    assert!(matches!(drain.step().await, Stepped::Failed { .. }));
    world.store.heal();
    drain_all(&mut drain).await;
    record(&clicks, 600..700).await;
    drain_all(&mut drain).await;
    world.assert_holds(700, 700, 0).await;
    clicks.stop().await;
    world.assert_holds(700, 700, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_cursor_is_not_known_the_figures_tell_what_is_certain() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..2_000).await;
    drain_all(&mut clicks.drains().make()).await;
    clicks.stop().await;
    world.store.fail(Fault::Unavailable);
    let clicks = world.start().await;
    record(&clicks, 2_000..2_010).await;
    world.metrics.render();
    let shown = &world.metrics.clicks;
    // Small segments: most were delivered and released, the last one may hold delivered ones.
    assert!(shown.delivered.get() > 0, "what was released was delivered");
    assert_eq!(shown.answered.get(), 2_010);
    assert_eq!(shown.delivered.get() + shown.backlog.get() + shown.dropped.get(), 2_010);
    clicks.stop().await;
}

/// Nothing is delivered that a power failure can still take: so the cursor is never ahead of the disk, and no loss is invented.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_failure_a_start_without_the_store_neither_loses_nor_invents_a_click() {
    for (seed, kept) in [(1, Kept::Nothing), (2, Kept::Chance), (3, Kept::Chance), (4, Kept::Chance), (5, Kept::Everything)] {
        // Synced only when a delivery asks for it.
        let world = World::with(|config| {
            config.fsync_interval = std::time::Duration::from_secs(3600);
            config.drain_batch_rows = 60;
        });
        let disk = SimDisk::new(seed);
        let clicks = start(&world, &disk).await;
        record(&clicks, 0..100).await;
        clicks.drains().make().step().await;
        let delivered = audit_on(&world.store, Arc::new(disk.clone())).await.unwrap().delivered;
        assert!(delivered > 0 && delivered <= 60);
        let disk = left(&disk, kept, seed);
        drop(clicks);

        world.store.fail(Fault::Unavailable);
        let clicks = start(&world, &disk).await;
        record(&clicks, 100..140).await;
        world.store.heal();
        drain_all(&mut clicks.drains().make()).await;
        let audit = audit_on(&world.store, Arc::new(disk)).await.unwrap();
        assert!(audit.delivered >= delivered + 40 && audit.delivered <= 140, "none of this run's is missing: {audit:?}");
        assert_eq!((audit.raw, audit.rolled_up), (audit.delivered, audit.delivered), "none counts twice: {audit:?}");
        assert_eq!(audit.answered, audit.delivered + audit.lost, "{audit:?}");
        assert_eq!(audit.holds(), audit.lost == 0, "{audit:?}");
        clicks.stop().await;
    }
}

/// Somebody put an older copy of the directory back, and the node started before the store could tell.
#[tokio::test(flavor = "multi_thread")]
async fn clicks_recorded_on_an_older_copy_of_the_spool_are_shown_as_lost_and_the_next_ones_are_delivered() {
    for more in [5, 80] {
        let world = World::new();
        let disk = SimDisk::new(1);
        let clicks = start(&world, &disk).await;
        record(&clicks, 0..20).await;
        let copy = disk.image();
        record(&clicks, 20..50).await;
        drain_all(&mut clicks.drains().make()).await;
        clicks.stop().await;

        let disk = SimDisk::from_image(&copy, 2);
        world.store.fail(Fault::Unavailable);
        let clicks = start(&world, &disk).await;
        record(&clicks, 50..50 + more).await;
        world.store.heal();
        let mut drain = clicks.drains().make();
        drain_all(&mut drain).await;
        record(&clicks, 200..210).await;
        drain_all(&mut drain).await;
        let audit = audit_on(&world.store, Arc::new(disk.clone())).await.unwrap();
        // The store had 30 that this copy never saw: as many sequences were given twice.
        let lost = more.min(30);
        assert_eq!((audit.lost, audit.holds()), (lost, false), "{audit:?}");
        assert_eq!(audit.delivered, 50 + more - lost + 10, "{audit:?}");
        assert_eq!((audit.raw, audit.answered), (audit.delivered, audit.delivered + lost), "{audit:?}");
        clicks.stop().await;
    }
}
