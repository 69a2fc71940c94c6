//! A spool whose files were damaged opens or says why; what it reads back was written, in order, once each; what is lost is counted.
#![no_main]

use std::sync::Arc;

use knurl_fuzz::{Input, MemDisk};
use knurl_spool::{AppendError, Medium, Position, Spool, SpoolConfig, inspect};
use libfuzzer_sys::fuzz_target;

const CONFIG: SpoolConfig = SpoolConfig { segment_bytes: 4_096, segments_max: 12, spares: 1, medium: Medium::Written };

/// A record tells its own sequence, and is told from every other by its bytes.
fn record(seq: u64, len: usize) -> Vec<u8> {
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.resize(8 + len, seq as u8 | 1);
    bytes
}

fn open(disk: &MemDisk) -> Option<Spool> {
    Spool::open(Arc::new(disk.clone()), CONFIG, None).ok().map(|(spool, _)| spool)
}

fn append(spool: &Spool, input: &mut Input<'_>, written: &mut Vec<Vec<u8>>) {
    for _ in 0..input.u8() % 24 {
        let seq = spool.written().seq;
        let bytes = record(seq, usize::from(input.u16() % 3_000));
        let appended = match spool.append(&bytes) {
            Err(AppendError::NoSegment) => spool.prepare().ok().map(|_| spool.append(&bytes)),
            appended => Some(appended),
        };
        if let Some(Ok(after)) = appended {
            assert_eq!(after.seq, seq + 1);
            written.resize(seq as usize, Vec::new());
            written.push(bytes);
        }
    }
    let _ = spool.sync();
}

fn damage(disk: &MemDisk, input: &mut Input<'_>) {
    let names = disk.names();
    let name = &names[usize::from(input.u8()) % names.len()];
    let (how, at, len, byte) = (input.u8() % 5, usize::from(input.u16()), usize::from(input.u16() % 1_024), input.u8());
    disk.damage(name, |bytes| {
        let size = bytes.len().max(1);
        let from = at % size;
        let to = (from + len).min(bytes.len());
        match how {
            0 => bytes.iter_mut().skip(from).take(1).for_each(|at| *at ^= byte),
            1 => bytes[from..to].fill(0),
            2 => bytes.truncate(from),
            3 => bytes[from..to].iter_mut().for_each(|at| *at ^= byte),
            // Stale or smuggled: a stretch of the file over another place of it.
            _ => {
                let room = to - from;
                let target = usize::from(byte) * 16 % (size - room).max(1);
                bytes.copy_within(from..to, target);
            }
        }
    });
}

/// Reads everything; `next.seq = from.seq + len + skipped` for every batch, and the reading ends.
fn read_all(spool: &Spool, bytes_max: usize) -> Vec<Vec<u8>> {
    let (mut from, mut all) = (Position::default(), Vec::new());
    let written = spool.written();
    while from.seq < written.seq {
        let batch = spool.read(from, bytes_max).expect("memory does not fail");
        assert_eq!(batch.next.seq, from.seq + batch.len() as u64 + batch.skipped);
        assert!(batch.next.seq > from.seq, "no progress at {from:?}");
        all.extend(batch.records().map(<[u8]>::to_vec));
        from = batch.next;
    }
    all
}

fn seq_of(record: &[u8]) -> u64 {
    record.first_chunk().map_or(u64::MAX, |seq| u64::from_le_bytes(*seq))
}

/// Written, damaged, opened again and written on.
fn damaged_log(mut input: Input<'_>) {
    let (disk, mut written) = (MemDisk::default(), Vec::new());
    let bytes_max = usize::from(input.u16());
    append(&open(&disk).expect("an empty disk"), &mut input, &mut written);
    for _ in 0..input.u8() % 6 {
        damage(&disk, &mut input);
    }
    let _ = inspect(&disk, None);
    let Some(spool) = open(&disk) else { return };
    let survived = read_all(&spool, bytes_max);
    let seqs: Vec<u64> = survived.iter().map(|record| seq_of(record)).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    for (seq, record) in seqs.iter().zip(&survived) {
        assert_eq!(written.get(*seq as usize), Some(record), "never written: {seq}");
    }
    let mut more = written.clone();
    append(&spool, &mut input, &mut more);
    drop(spool);
    // A second opening after no damage loses nothing of what the first one found.
    let spool = open(&disk).expect("it opened before");
    let again = read_all(&spool, usize::MAX);
    assert!(again.len() >= survived.len() && again[..survived.len()] == survived[..], "{} of {}", again.len(), survived.len());
}

/// Files of a stranger's making.
fn foreign_files(mut input: Input<'_>) {
    let disk = MemDisk::default();
    drop(open(&disk).expect("an empty disk"));
    let names = disk.names();
    while !input.is_empty() {
        let (which, at, len) = (usize::from(input.u8()), usize::from(input.u16()), usize::from(input.u8()));
        let piece = input.piece(len);
        let name = names.get(which).cloned().unwrap_or_else(|| format!("{:020}.seg", which));
        if !disk.names().contains(&name) {
            disk.put(&name, vec![0; 4_096]);
        }
        disk.damage(&name, |bytes| {
            let at = at % bytes.len().max(1);
            let len = piece.len().min(bytes.len() - at.min(bytes.len()));
            bytes[at..at + len].copy_from_slice(&piece[..len]);
        });
    }
    let _ = inspect(&disk, None);
    if let Some(spool) = open(&disk) {
        read_all(&spool, 1_000);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    match input.u8() & 1 {
        0 => damaged_log(input),
        _ => foreign_files(input),
    }
});
