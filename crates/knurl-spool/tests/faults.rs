//! The n-th operation fails, for n = 1, 2, 3 … until the scenario passes untouched; after each the promises are held against the disk.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;

use knurl_spool::sim::{Dice, Fault, Image, Kept, Platter, SimDisk, Strikes};
use knurl_spool::{AppendError, Medium, Position, ReadError, Spool, SpoolConfig, SyncError};
use rstest::rstest;

/// A scenario has some hundred operations; a loop that has not ended by then would never end.
const NTH_MAX: u64 = 5_000;
const RECORDS: u64 = 60;

#[derive(Debug, Default)]
struct Outcome {
    acknowledged: Vec<u64>,
    delivered: Vec<u64>,
    skipped: u64,
    durable: u64,
    cursor: Position,
    dropped: u64,
    moved: u64,
    lost: bool,
}

fn record(id: u64) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.resize(8 + (id as usize * 37) % 400, id as u8);
    bytes
}

fn open(disk: &SimDisk, config: SpoolConfig, cursor: Position) -> Option<Spool> {
    // A supervisor starts the process again, some times.
    (0..3).find_map(|_| Spool::open(Arc::new(disk.clone()), config, Some(cursor)).ok()).map(|(spool, _)| spool)
}

fn play(disk: &SimDisk, config: SpoolConfig) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(mut spool) = open(disk, config, outcome.cursor) else { return outcome };
    for id in 0..RECORDS {
        let _ = spool.prepare();
        spool.count_answered(1);
        match spool.append(&record(id)) {
            Ok(after) => {
                outcome.acknowledged.push(id);
                assert_eq!(after.seq, outcome.acknowledged.len() as u64);
            }
            Err(AppendError::NoSegment | AppendError::Io(_)) => {
                spool.count_dropped(1);
                outcome.dropped += 1;
            }
            Err(error) => panic!("{error}"),
        }
        if id % 5 == 4 {
            match spool.sync() {
                Ok(durable) => outcome.durable = durable.seq,
                Err(SyncError::Moved { durable, .. }) => {
                    outcome.durable = durable.seq;
                    outcome.moved += 1;
                }
                Err(SyncError::Lost { .. }) => {
                    assert!(matches!(spool.append(b"more"), Err(AppendError::Closed)));
                    outcome.lost = true;
                    return outcome;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if id % 7 == 6 {
            match spool.read(outcome.cursor, 600) {
                Ok(batch) => {
                    outcome.delivered.extend(batch.records().map(|record| u64::from_le_bytes(*record.first_chunk().unwrap())));
                    outcome.skipped += batch.skipped;
                    outcome.cursor = batch.next;
                }
                Err(ReadError::Io(_)) => {}
                Err(error) => panic!("{error}"),
            }
            let _ = spool.release(outcome.cursor);
        }
        if id == RECORDS / 2 {
            drop(spool);
            match open(disk, config, outcome.cursor) {
                Some(again) => spool = again,
                None => return outcome,
            }
        }
    }
    let _ = spool.close();
    outcome
}

/// What is left above the cursor.
fn rest(image: &Image, config: SpoolConfig, cursor: Position) -> (Vec<u64>, u64, Spool) {
    let (spool, _) = Spool::open(Arc::new(SimDisk::from_image(image, 2)), config, Some(cursor)).unwrap();
    let mut from = cursor;
    let (mut ids, mut skipped) = (Vec::new(), 0);
    while from.seq < spool.written().seq {
        let batch = spool.read(from, 1000).unwrap();
        ids.extend(batch.records().map(|record| u64::from_le_bytes(*record.first_chunk().unwrap())));
        skipped += batch.skipped;
        from = batch.next;
    }
    (ids, skipped, spool)
}

#[rstest]
fn whatever_operation_fails_nothing_acknowledged_is_lost_and_nothing_is_delivered_twice(
    #[values(Fault::Io, Fault::NoSpace, Fault::ShortWrite, Fault::TornWrite, Fault::FailedSync)] fault: Fault,
    #[values(Strikes::Once, Strikes::Always)] strikes: Strikes,
    #[values(Medium::Mapped, Medium::Written)] medium: Medium,
    #[values(true, false)] mappable: bool,
) {
    let config = SpoolConfig { segment_bytes: 4096, segments_max: 5, spares: 2, medium };
    let (mut moved, mut lost, mut dropped) = (0, 0, 0);
    for nth in 1..NTH_MAX {
        let disk = if mappable { SimDisk::new(7) } else { SimDisk::new(7).unmappable() };
        disk.fail(fault, strikes, nth);
        let outcome = play(&disk, config);
        let struck = disk.struck() > 0;
        disk.heal();
        let context = format!("{fault:?} {strikes:?} {medium:?} mappable {mappable} at operation {nth}: {outcome:?}");

        // The process is killed: everything acknowledged is delivered or to be read, once, in order.
        let (left, skipped, spool) = rest(&disk.image(), config, outcome.cursor);
        let mut all = outcome.delivered.clone();
        all.extend(&left);
        // A record whose write failed behind its last byte would be a surplus; the simulated faults leave at most half of it.
        assert_eq!((&all, skipped + outcome.skipped), (&outcome.acknowledged, 0), "{context}");
        let ledger = spool.ledger();
        assert_eq!(ledger.answered, all.len() as u64 + ledger.dropped, "{context}");
        if struck {
            moved += outcome.moved;
            lost += u64::from(outcome.lost);
            dropped += outcome.dropped;
        }

        // The power is lost instead, and everything that was not synced.
        let mut platter = Platter::new(&Image::new());
        disk.journal().iter().for_each(|op| platter.apply(op));
        let (left, _, _) = rest(&platter.crash(Kept::Nothing, &mut Dice::new(nth)), config, outcome.cursor);
        let durable = &outcome.acknowledged[outcome.cursor.seq as usize..(outcome.durable.max(outcome.cursor.seq)) as usize];
        assert!(left.starts_with(durable), "{context}: {left:?}");

        if !struck {
            assert_eq!((outcome.acknowledged.len() as u64, outcome.lost), (RECORDS, false), "{context}");
            // The loop has been where it should.
            let expected = match (fault, strikes) {
                (Fault::FailedSync, Strikes::Once) => moved > 0 && lost == 0,
                (Fault::FailedSync, Strikes::Always) => lost > 0,
                (Fault::NoSpace, Strikes::Always) => dropped > 0,
                _ => true,
            };
            assert!(expected, "{moved} moved, {lost} lost, {dropped} dropped");
            return;
        }
    }
    panic!("the fault still struck at operation {NTH_MAX}");
}
