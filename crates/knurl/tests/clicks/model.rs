//! Any order of recording, draining, failing, crashing and restarting keeps the law: generated sequences against a counter.

use knurl::clicks::{Recorded, drain::Stepped};
use knurl_core::UnixMillis;
use knurl_store::{Store, faulty::Fault};
use proptest::prelude::*;

use super::world::{World, click, drain_all};

#[derive(Clone, Copy, Debug)]
enum Act {
    Record(u8),
    Drain,
    DrainWithLostReply,
    DrainWithoutStore,
    /// The step is dropped at its first await: a task that was cut off.
    DrainCutOff,
    FailOneFsync,
    DiskFull(bool),
    Crash,
    /// And the store is away when the next one starts.
    CrashWithoutStore,
    Stop,
    Purge,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => any::<u8>().prop_map(Act::Record),
        4 => Just(Act::Drain),
        2 => Just(Act::DrainWithLostReply),
        1 => Just(Act::DrainWithoutStore),
        1 => Just(Act::DrainCutOff),
        1 => Just(Act::FailOneFsync),
        1 => any::<bool>().prop_map(Act::DiskFull),
        2 => Just(Act::Crash),
        2 => Just(Act::CrashWithoutStore),
        1 => Just(Act::Stop),
        1 => Just(Act::Purge),
    ];
    proptest::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_every_answered_click_is_delivered_once_or_counted_as_dropped(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(live(acts));
    }
}

async fn live(acts: Vec<Act>) {
    let world = World::with(|config| {
        config.segments_max = 5;
        config.drain_batch_rows = 50;
        config.full_wait = std::time::Duration::from_millis(1);
    });
    let (mut answered, mut dropped) = (0, 0);
    let mut clicks = world.start().await;
    let mut drain = clicks.drains().make();
    for act in acts {
        match act {
            Act::Record(count) => {
                for _ in 0..count {
                    let recorded = clicks.recorder.record(&click(answered)).await;
                    answered += 1;
                    dropped += u64::from(recorded == Recorded::Dropped);
                }
            }
            Act::Drain => drop(drain.step().await),
            Act::DrainWithLostReply | Act::DrainWithoutStore => {
                let fault = if matches!(act, Act::DrainWithoutStore) { Fault::Unavailable } else { Fault::LostReply };
                world.store.fail_method("apply_clicks", fault);
                drain.step().await;
                world.store.heal();
            }
            Act::DrainCutOff => drop(tokio::time::timeout(std::time::Duration::ZERO, drain.step()).await),
            Act::FailOneFsync => world.disk.faults.syncs_to_fail.store(1, std::sync::atomic::Ordering::Relaxed),
            Act::DiskFull(full) => world.disk.faults.full.store(full, std::sync::atomic::Ordering::Relaxed),
            Act::Crash | Act::CrashWithoutStore | Act::Stop => {
                // An fsync that fails while a segment is prepared, or on opening, is another story (and the spool's own test).
                world.disk.faults.syncs_to_fail.store(0, std::sync::atomic::Ordering::Relaxed);
                if matches!(act, Act::Stop) {
                    clicks.stop().await;
                } else {
                    drop(clicks);
                }
                drop(drain);
                if matches!(act, Act::CrashWithoutStore) {
                    world.store.fail(Fault::Unavailable);
                }
                clicks = world.start().await;
                world.store.heal();
                drain = clicks.drains().make();
            }
            Act::Purge => drop(world.store.purge_clicks(UnixMillis(i64::MAX), 70).await.unwrap()),
        }
        let audit = world.audit().await;
        assert!(audit.holds(), "after {act:?}: {audit:?}");
        assert_eq!((audit.answered, audit.dropped), (answered, dropped), "after {act:?}: {audit:?}");
    }
    // Delivering asks for an fsync, and one that was made to fail may be left.
    while drain.step().await == Stepped::More {}
    if world.lost.load(std::sync::atomic::Ordering::SeqCst) {
        // A full disk has no place to rewrite a tail to: the process ends there, and the next one begins with what the disk has.
        world.disk.faults.full.store(false, std::sync::atomic::Ordering::Relaxed);
        drop((clicks, drain));
        clicks = world.start().await;
        drain = clicks.drains().make();
    }
    drain_all(&mut drain).await;
    world.assert_holds(answered, answered - dropped, dropped).await;
    clicks.stop().await;
}
