//! `knurl audit`, beside a running server or on what it left behind.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use knurl::clicks::audit::{Audit, Verdict, audit};
use knurl_store::{Store, sqlite::SqliteStore};

use super::world::{World, click, drain_all, record};

#[tokio::test]
async fn a_data_directory_without_a_spool_has_answered_nothing_and_keeps_the_law() {
    let world = World::new();
    let audit = audit(&world.store, &world.dir.path().join("nowhere")).await.unwrap();
    assert!(audit.holds());
    assert_eq!(audit.answered, 0);
}

#[tokio::test]
async fn the_verdict_is_never_wrong_while_clicks_are_recorded_and_delivered() {
    let world = World::with(|config| config.segments_max = 1_000);
    let clicks = world.start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (recorder, stopped) = (clicks.recorder.clone(), Arc::clone(&stop));
    let recording = std::thread::spawn(move || {
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) && n < 200_000 {
            recorder.try_record(&click(n));
            n += 1;
            std::thread::yield_now();
        }
    });
    let mut drain = clicks.drains().make();
    let (store, dir) = (world.store.clone(), world.spool_dir());
    let auditing = tokio::spawn(async move {
        let mut audits: Vec<Audit> = Vec::new();
        for _ in 0..3 {
            audits.push(audit(&store, &dir).await.unwrap());
        }
        audits
    });
    while !auditing.is_finished() {
        drain.step().await;
        // A step with nothing to deliver waits for nothing, and the audit is on this thread too.
        tokio::task::yield_now().await;
    }
    let audits = auditing.await.unwrap();
    assert!(audits.iter().all(|audit| audit.verdict != Verdict::Broken), "{audits:?}");
    stop.store(true, Ordering::Relaxed);
    recording.join().unwrap();
    drain_all(&mut drain).await;
    let audit = world.audit().await;
    assert!(audit.holds() && audit.backlog == 0, "{audit:?}");
    clicks.stop().await;
}

#[tokio::test]
async fn another_process_audits_the_same_directory() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..20).await;
    drain_all(&mut clicks.drains().make()).await;
    record(&clicks, 20..25).await;
    let other = SqliteStore::open(&world.dir.path().join("knurl.db"), &Default::default()).unwrap();
    let audit = audit(&other, &world.spool_dir()).await.unwrap();
    assert!(audit.holds());
    assert_eq!((audit.answered, audit.delivered, audit.backlog), (25, 20, 5));
    let json = serde_json::to_value(audit).unwrap();
    assert_eq!(json["verdict"], "holds");
    for figure in ["answered", "delivered", "backlog", "dropped", "rolled_up"] {
        assert!(json[figure].is_u64(), "{json}");
    }
    other.close().await;
    clicks.stop().await;
}

#[tokio::test]
async fn clicks_a_damaged_disk_took_are_shown_as_lost_for_ever() {
    let world = World::new();
    let clicks = world.start().await;
    record(&clicks, 0..1_000).await;
    clicks.stop().await;
    let mut segments: Vec<_> = std::fs::read_dir(world.spool_dir())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    segments.sort();
    // The last that holds records, and whatever is behind it.
    for segment in &segments[2..] {
        std::fs::remove_file(segment).unwrap();
    }
    let lost = world.audit().await.lost;
    assert!(lost > 0 && !world.audit().await.holds());
    for restart in 0..3_u64 {
        let clicks = world.start().await;
        record(&clicks, 0..10).await;
        drain_all(&mut clicks.drains().make()).await;
        let audit = world.audit().await;
        assert_eq!((audit.verdict, audit.lost, audit.answered), (Verdict::Broken, lost, 1_010 + restart * 10), "{audit:?}");
        clicks.stop().await;
    }
}
