//! The spool on real files, both media.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;

use knurl_spool::{AppendError, DirDisk, Medium, OpenError, Position, Spool, SpoolConfig, inspect};
use rstest::rstest;

fn config(medium: Medium) -> SpoolConfig {
    SpoolConfig { segment_bytes: 4096, segments_max: 64, spares: 2, medium }
}

fn record(n: u64) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(8 + (n % 90) as usize, n as u8);
    bytes
}

fn read_all(spool: &Spool, mut from: Position) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    loop {
        let batch = spool.read(from, 300).unwrap();
        assert_eq!(batch.next.seq, from.seq + batch.len() as u64 + batch.skipped);
        assert_eq!(batch.skipped, 0);
        records.extend(batch.records().map(<[u8]>::to_vec));
        if batch.next == from {
            return records;
        }
        from = batch.next;
    }
}

#[rstest]
fn records_are_read_back_whole_in_order_and_once_after_a_restart(#[values(Medium::Mapped, Medium::Written)] medium: Medium) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(DirDisk::new(dir.path()).unwrap());
    let mut expected = Vec::new();
    for run in 0..4_u64 {
        let (spool, recovery) = Spool::open(disk.clone(), config(medium), None).unwrap();
        assert_eq!(recovery.survived.seq, run * 300);
        assert_eq!(recovery.torn, []);
        for n in run * 300..(run + 1) * 300 {
            spool.prepare().unwrap();
            let after = spool.append(&record(n)).unwrap();
            assert_eq!(after.seq, n + 1);
            expected.push(record(n));
            if n % 50 == 0 {
                assert_eq!(spool.sync().unwrap(), spool.durable());
            }
        }
        assert_eq!(read_all(&spool, Position::default()), expected);
        let looked = inspect(&*disk, None).unwrap();
        assert_eq!((looked.written, looked.backlog_records), (spool.written(), (run + 1) * 300));
        assert_eq!(spool.close().unwrap(), spool.written());
        assert!(matches!(spool.append(b"late"), Err(AppendError::Closed)));
    }
}

#[test]
fn a_second_opener_is_locked_out_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(DirDisk::new(dir.path()).unwrap());
    let (spool, _) = Spool::open(disk.clone(), config(Medium::Mapped), None).unwrap();
    assert!(matches!(Spool::open(disk.clone(), config(Medium::Mapped), None), Err(OpenError::Locked)));
    drop(spool);
    Spool::open(disk, config(Medium::Mapped), None).unwrap();
}
