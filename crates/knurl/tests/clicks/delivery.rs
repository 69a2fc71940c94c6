//! Every recorded click reaches the store once.

use std::sync::Arc;

use knurl::clicks::drain::Stepped;
use knurl_spool::{DirDisk, Disk, Spool, SpoolConfig};
use knurl_store::{Store, faulty::Fault};

use super::world::{World, click, drain_all, record};

#[tokio::test]
async fn a_recorded_click_becomes_an_event_and_is_rolled_up() {
    let world = World::new();
    let clicks = world.start().await;
    assert_eq!(record(&clicks, 0..3).await, 3);
    world.assert_holds(3, 0, 0).await;
    drain_all(&mut clicks.drains().make()).await;
    world.assert_holds(3, 3, 0).await;
    let listed = world.store.list_events(knurl_store::EventFilter::default(), knurl_core::Page::first(100)).await.unwrap();
    assert_eq!(listed.rows.len(), 3);
    let details = listed.rows[0].details.clone().unwrap();
    assert!(
        details.contains("\"short_code\":\"knurl42\"") && details.contains("firefox") | details.contains("Firefox"),
        "{details}"
    );
    clicks.stop().await;
}

#[tokio::test]
async fn clicks_count_once_though_every_reply_to_a_commit_is_lost() {
    let world = World::with(|config| config.drain_batch_rows = 40);
    let clicks = world.start().await;
    record(&clicks, 0..100).await;
    let mut drain = clicks.drains().make();
    world.store.fail_method("apply_clicks", Fault::LostReply);
    for _ in 0..4 {
        assert!(matches!(drain.step().await, Stepped::Failed { .. }));
    }
    world.store.heal();
    drain_all(&mut drain).await;
    world.assert_holds(100, 100, 0).await;
    assert_eq!(world.metrics.clicks.drain_errors.get(), 4);
    clicks.stop().await;
}

#[tokio::test]
async fn a_store_that_is_too_slow_for_a_batch_is_given_smaller_ones_until_it_takes_them() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..500).await;
    let mut drain = clicks.drains().make();
    world.store.is_slow_beyond(3);
    let mut failed = 0;
    loop {
        match drain.step().await {
            Stepped::More => {}
            Stepped::CaughtUp => break,
            Stepped::Failed { .. } => failed += 1,
        }
        assert!(failed < 500, "the same batch again and again");
    }
    world.assert_holds(500, 500, 0).await;
    clicks.stop().await;
}

/// As by a copy of the data directory that is served elsewhere: its clicks have the numbers of ours.
#[tokio::test]
async fn clicks_under_numbers_that_somebody_else_has_delivered_are_shown_as_lost() {
    let world = World::new();
    let clicks = world.start().await;
    let (mut ours, mut theirs) = (clicks.drains().make(), clicks.drains().make());
    assert_eq!(ours.step().await, Stepped::CaughtUp);
    record(&clicks, 0..100).await;
    drain_all(&mut theirs).await;
    world.assert_holds(100, 100, 0).await;
    drain_all(&mut ours).await;
    let audit = world.audit().await;
    assert!(!audit.holds() && audit.lost == 100, "{audit:?}");
    // It goes on with what comes.
    record(&clicks, 100..110).await;
    drain_all(&mut ours).await;
    assert_eq!((world.audit().await.delivered, world.audit().await.lost), (110, 100));
    clicks.stop().await;
}

#[tokio::test]
async fn no_transaction_delivers_more_than_its_bound_whatever_the_records_sizes() {
    let world = World::with(|config| config.drain_batch_rows = 16);
    let clicks = world.start().await;
    let long = "x".repeat(500);
    for n in 0..200 {
        let mut click = click(n);
        // Long ones first: the drain learns their size, then the short ones come.
        if n < 100 {
            click.user_agent = Some(long.as_bytes());
        } else {
            (click.user_agent, click.referrer) = (None, None);
        }
        clicks.recorder.record(&click).await;
    }
    let mut drain = clicks.drains().make();
    let (mut before, mut stepped) = (0, Stepped::More);
    while stepped == Stepped::More {
        stepped = drain.step().await;
        let delivered = world.store.click_ledger().await.unwrap().delivered;
        assert!(delivered - before <= 16, "{} clicks in one transaction", delivered - before);
        before = delivered;
    }
    assert_eq!((stepped, before), (Stepped::CaughtUp, 200));
    clicks.stop().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_shown_as_lost_and_stops_nothing() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..5).await;
    clicks.stop().await;
    {
        let config = SpoolConfig { segment_bytes: 64 << 10, segments_max: 64, ..SpoolConfig::default() };
        let disk: Arc<dyn Disk> = Arc::new(DirDisk::new(world.spool_dir()).unwrap());
        let (spool, _) = Spool::open(disk, config, None).unwrap();
        spool.append(b"not a click").unwrap();
        spool.close().unwrap();
    }
    let clicks = world.start().await;
    record(&clicks, 5..10).await;
    drain_all(&mut clicks.drains().make()).await;
    let audit = world.audit().await;
    assert!(!audit.holds());
    assert_eq!((audit.answered, audit.delivered, audit.lost, audit.raw), (11, 10, 1, 10), "{audit:?}");
    assert_eq!(world.metrics.clicks.undecodable.get(), 1);
    clicks.stop().await;
}

#[tokio::test]
async fn delivered_segments_are_deleted() {
    let world = World::with(|config| config.drain_batch_rows = 100);
    let clicks = world.start().await;
    record(&clicks, 0..2_000).await;
    let segments = || {
        std::fs::read_dir(world.spool_dir())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "seg"))
            .count()
    };
    let full = segments();
    drain_all(&mut clicks.drains().make()).await;
    assert!(full > 6 && segments() <= 4, "{full} segments, then {}", segments());
    world.assert_holds(2_000, 2_000, 0).await;
    clicks.stop().await;
}

#[tokio::test]
async fn a_restart_at_any_moment_loses_nothing_and_repeats_nothing() {
    let world = World::with(|config| config.drain_batch_rows = 30);
    for round in 0..6_u64 {
        let clicks = world.start().await;
        let mut drain = clicks.drains().make();
        record(&clicks, round * 100..round * 100 + 100).await;
        for _ in 0..round {
            drain.step().await;
        }
        if round % 2 == 1 {
            world.store.fail_method("apply_clicks", Fault::LostReply);
            drain.step().await;
            world.store.heal();
        }
        // Dropped, not stopped: as a kill would.
        drop((drain, clicks));
    }
    let clicks = world.start().await;
    drain_all(&mut clicks.drains().make()).await;
    world.assert_holds(600, 600, 0).await;
    clicks.stop().await;
}

/// Steps through failures too, `steps` at most.
async fn drain_through(drain: &mut knurl::clicks::Drain, steps: u32) -> bool {
    for _ in 0..steps {
        if drain.step().await == Stepped::CaughtUp {
            return true;
        }
    }
    false
}

fn aside(world: &World) -> u64 {
    knurl_spool::count_aside(&DirDisk::new(world.spool_dir()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_click_that_the_store_refuses_for_good_is_set_aside_and_the_others_are_delivered() {
    let world = World::with(|config| config.drain_batch_rows = 64);
    let clicks = world.start().await;
    record(&clicks, 0..50).await;
    let mut poison = click(50);
    poison.link_id = knurl_core::LinkId(666);
    clicks.recorder.record(&poison).await;
    record(&clicks, 51..100).await;
    world.store.refuse_clicks_of(poison.link_id);
    assert!(drain_through(&mut clicks.drains().make(), 100).await, "it holds up the others");
    let audit = world.audit().await;
    assert_eq!((audit.answered, audit.delivered, audit.lost, audit.backlog), (100, 99, 1, 0), "{audit:?}");
    assert_eq!((aside(&world), world.metrics.clicks.aside.get()), (1, 1));
    clicks.stop().await;
    // Kept over restarts, and in nobody's way.
    let clicks = world.start().await;
    record(&clicks, 100..110).await;
    drain_all(&mut clicks.drains().make()).await;
    assert_eq!((world.audit().await.delivered, aside(&world)), (109, 1));
    clicks.stop().await;
}

#[tokio::test]
async fn a_store_that_refuses_everything_makes_no_click_lost() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..40).await;
    world.store.fail_method("apply_clicks", Fault::Internal);
    let mut drain = clicks.drains().make();
    assert!(!drain_through(&mut drain, 60).await);
    world.store.heal();
    drain_all(&mut drain).await;
    world.assert_holds(40, 40, 0).await;
    clicks.stop().await;
}

#[tokio::test]
async fn only_a_few_clicks_are_ever_set_aside() {
    let world = World::with(|config| config.drain_batch_rows = 1);
    let clicks = world.start().await;
    let mut poison = click(0);
    poison.link_id = knurl_core::LinkId(666);
    for _ in 0..30 {
        clicks.recorder.record(&poison).await;
    }
    world.store.refuse_clicks_of(poison.link_id);
    let mut drain = clicks.drains().make();
    assert!(!drain_through(&mut drain, 400).await);
    assert_eq!(aside(&world), knurl::clicks::drain::ASIDE_MAX);
    world.store.heal();
    drain_all(&mut drain).await;
    let audit = world.audit().await;
    assert_eq!((audit.delivered, audit.lost), (14, 16), "{audit:?}");
    clicks.stop().await;
}
