//! Everything at once, on real files: appenders, a syncer, a preparer, a drain that reads and releases.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use knurl_spool::{AppendError, DirDisk, Medium, Position, Spool, SpoolConfig, inspect};
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
