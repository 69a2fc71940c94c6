//! Everything at once, on real files: appenders, a syncer, a preparer, a drain that reads and releases.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use knurl_spool::sim::{Dice, Fault, Image, Kept, Platter, SimDisk, Strikes};
use knurl_spool::{AppendError, DirDisk, Medium, Position, Spool, SpoolConfig, SyncError, inspect};
use rstest::rstest;

const APPENDERS: u64 = 3;
const RECORDS_EACH: u64 = 20_000;

#[rstest]
fn what_several_threads_append_is_read_once_each_in_order_while_segments_come_and_go(
    #[values(Medium::Mapped, Medium::Written)] medium: Medium,
) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let disk = Arc::new(DirDisk::new(path).unwrap());
    let config = SpoolConfig { segment_bytes: 64 << 10, segments_max: 8, spares: 2, medium };
    let (spool, _) = Spool::open(disk.clone(), config, None).unwrap();
    let (spool, done, refused) = (&spool, &AtomicBool::new(false), &AtomicU64::new(0));
    let start = &Barrier::new(APPENDERS as usize);
    thread::scope(|scope| {
        let appenders: Vec<_> = (0..APPENDERS)
            .map(|appender| {
                scope.spawn(move || {
                    start.wait();
                    let mut last = Position::default();
                    for n in 0..RECORDS_EACH {
                        let len = 16 + (n as usize * 31) % 200;
                        spool.count_answered(1);
                        loop {
                            let appended = spool.append_with(len, |slice| {
                                slice[..8].copy_from_slice(&appender.to_le_bytes());
                                slice[8..16].copy_from_slice(&n.to_le_bytes());
                                slice[16..].fill(n as u8);
                            });
                            match appended {
                                Ok(after) => {
                                    assert!(after > last && after.seq > last.seq);
                                    last = after;
                                    break;
                                }
                                Err(AppendError::NoSegment) => {
                                    refused.fetch_add(1, Ordering::Relaxed);
                                    thread::yield_now();
                                }
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                })
            })
            .collect();
        let syncer = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let before = spool.written();
                let durable = spool.sync().unwrap();
                assert!(durable >= before && spool.durable() >= durable);
            }
        });
        let preparer = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                spool.prepare().unwrap();
                thread::yield_now();
            }
        });
        let looker = scope.spawn(move || {
            let disk = DirDisk::existing(path);
            while !done.load(Ordering::Relaxed) {
                let looked = inspect(&disk, None).unwrap();
                assert_eq!(looked.id, spool.id());
                assert!(looked.written.seq <= spool.written().seq);
            }
        });
        let drain = scope.spawn(move || {
            let mut from = Position::default();
            let mut next = [0; APPENDERS as usize];
            while next != [RECORDS_EACH; APPENDERS as usize] {
                let batch = spool.read(from, 20_000).unwrap();
                assert_eq!((batch.skipped, batch.next.seq), (0, from.seq + batch.len() as u64));
                for record in batch.records() {
                    let appender = u64::from_le_bytes(*record.first_chunk().unwrap()) as usize;
                    let n = u64::from_le_bytes(*record[8..].first_chunk().unwrap());
                    assert_eq!(n, next[appender], "appender {appender}");
                    assert!(record[16..].iter().all(|&byte| byte == n as u8));
                    next[appender] += 1;
                }
                from = batch.next;
                spool.release(from).unwrap();
                thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
        });
        for thread in appenders {
            thread.join().unwrap();
        }
        drain.join().unwrap();
        for thread in [syncer, preparer, looker] {
            thread.join().unwrap();
        }
    });
    assert_eq!((spool.written().seq, spool.ledger().answered), (APPENDERS * RECORDS_EACH, APPENDERS * RECORDS_EACH));
    assert_eq!(spool.close().unwrap(), spool.written());
    println!("{} appends were refused for want of a segment", refused.load(Ordering::Relaxed));
}

#[rstest]
fn tails_move_under_the_appenders_when_fsyncs_fail_and_every_record_is_still_read_once_and_durable(
    #[values(Medium::Mapped, Medium::Written)] medium: Medium,
) {
    // How often the syncer has its turn is the scheduler's to say: one run in fifty moves no tail.
    const RUNS_MAX: u64 = 40;
    assert!((0..RUNS_MAX).any(|run| tails_moved(medium, 8 + run) > 0), "no tail was moved");
}

/// How many.
fn tails_moved(medium: Medium, seed: u64) -> u64 {
    const RECORDS: u64 = 4_000;
    let disk = SimDisk::new(seed);
    let config = SpoolConfig { segment_bytes: 8 << 10, segments_max: 10, spares: 2, medium };
    let (spool, _) = Spool::open(Arc::new(disk.clone()), config, None).unwrap();
    let (spool, disk, done, moved) = (&spool, &disk, &AtomicBool::new(false), &AtomicU64::new(0));
    thread::scope(|scope| {
        for appender in 0..2_u64 {
            scope.spawn(move || {
                for n in 0..RECORDS {
                    let record = [appender.to_le_bytes(), n.to_le_bytes()].concat();
                    while let Err(error) = spool.append(&record) {
                        assert!(matches!(error, AppendError::NoSegment), "{error}");
                        thread::yield_now();
                    }
                }
            });
        }
        scope.spawn(move || {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                turn += 1;
                if turn % 3 == 0 {
                    disk.fail(Fault::FailedSync, Strikes::Once, 1);
                }
                let before = spool.written();
                match spool.sync() {
                    Ok(durable) => assert!(durable >= before),
                    Err(SyncError::Moved { durable, .. }) => {
                        assert!(durable >= before && spool.durable() >= durable);
                        moved.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // The fault may strike a spare: then it is made again.
                let _ = spool.prepare();
                thread::yield_now();
            }
        });
        let mut from = Position::default();
        let mut next = [0; 2];
        while next != [RECORDS; 2] {
            let batch = spool.read(from, 5_000).unwrap();
            assert_eq!((batch.skipped, batch.next.seq), (0, from.seq + batch.len() as u64));
            assert!(batch.next >= from);
            for record in batch.records() {
                let appender = u64::from_le_bytes(*record.first_chunk().unwrap()) as usize;
                assert_eq!(u64::from_le_bytes(*record[8..].first_chunk().unwrap()), next[appender]);
                next[appender] += 1;
            }
            from = batch.next;
            // Some backlog stays, so that tails span segments.
            spool.release(Position { seq: from.seq.saturating_sub(300), ..from }).unwrap();
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    disk.heal();
    assert_eq!(spool.sync().unwrap().seq, 2 * RECORDS);

    let mut platter = Platter::new(&Image::new());
    disk.journal().iter().for_each(|op| platter.apply(op));
    let after_power_loss = SimDisk::from_image(&platter.crash(Kept::Nothing, &mut Dice::new(1)), 1);
    let (spool, recovery) = Spool::open(Arc::new(after_power_loss), config, None).unwrap();
    assert_eq!((recovery.survived.seq, spool.written().seq), (2 * RECORDS, 2 * RECORDS));
    moved.load(Ordering::Relaxed)
}
