//! The machine dies, not only the process: on the simulated disk, which keeps what was synced and any part of the rest.

use std::sync::Arc;

use knurl::{
    clicks::{self, Clicks, audit::audit_on},
    config::Durability,
};
use knurl_spool::sim::{Dice, Image, Kept, Platter, SimDisk};

use super::world::{World, drain_all, record};

pub(crate) async fn start(world: &World, disk: &SimDisk) -> Clicks {
    let on_lost: clicks::OnLost = Arc::new(|| panic!("no fsync fails here"));
    clicks::start_on(Arc::new(disk.clone()), &world.config.clicks, world.store(), Arc::clone(&world.metrics), on_lost)
        .await
        .unwrap()
}

/// What the disk holds when the power comes back.
pub(crate) fn left(disk: &SimDisk, kept: Kept, seed: u64) -> SimDisk {
    let mut platter = Platter::new(&Image::new());
    disk.journal().iter().for_each(|op| platter.apply(op));
    SimDisk::from_image(&platter.crash(kept, &mut Dice::new(seed)), seed)
}

#[tokio::test]
async fn with_durability_power_no_answered_click_is_lost_with_the_power_and_none_counts_twice() {
    for (seed, kept) in [(1, Kept::Nothing), (2, Kept::Everything), (3, Kept::Chance), (4, Kept::Chance), (5, Kept::Chance)] {
        let world = World::with(|config| {
            config.durability = Durability::Power;
            config.drain_batch_rows = 50;
        });
        let disk = SimDisk::new(seed);
        let clicks = start(&world, &disk).await;
        let mut drain = clicks.drains().make();
        record(&clicks, 0..150).await;
        drain.step().await;
        record(&clicks, 150..300).await;
        let disk = left(&disk, kept, seed);
        drop((clicks, drain));

        let clicks = start(&world, &disk).await;
        drain_all(&mut clicks.drains().make()).await;
        let audit = audit_on(&world.store, Arc::new(disk)).await.unwrap();
        assert!(audit.holds(), "{audit:?}");
        assert_eq!((audit.delivered, audit.raw, audit.lost), (300, 300, 0), "{audit:?}");
        clicks.stop().await;
    }
}

#[tokio::test]
async fn with_durability_process_power_takes_at_most_what_was_not_synced_and_the_store_keeps_what_it_has() {
    for (seed, kept) in [(1, Kept::Nothing), (2, Kept::Chance), (3, Kept::Chance), (4, Kept::Chance)] {
        // Nothing is synced while this test runs.
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

        let clicks = start(&world, &disk).await;
        record(&clicks, 100..140).await;
        drain_all(&mut clicks.drains().make()).await;
        let audit = audit_on(&world.store, Arc::new(disk)).await.unwrap();
        assert!(audit.delivered >= delivered + 40 && audit.delivered <= 140, "{audit:?}");
        assert_eq!((audit.raw, audit.rolled_up), (audit.delivered, audit.delivered), "none counts twice: {audit:?}");
        assert_eq!(audit.holds(), audit.lost == 0, "a loss that can be seen is never called fine: {audit:?}");
        clicks.stop().await;
    }
}
