//! Bits rot, sectors vanish, files are cut: what is readable is read, what is lost is counted, nothing else is delivered.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;

use knurl_spool::sim::{Dice, Image, SimDisk};
use knurl_spool::{Medium, Position, Spool, SpoolConfig, inspect};

const CONFIG: SpoolConfig = SpoolConfig { segment_bytes: 4096, segments_max: 32, spares: 1, medium: Medium::Mapped };

/// Three segments: two sealed, one as a kill left it; and every record.
fn sample() -> (Image, Vec<Vec<u8>>) {
    let disk = SimDisk::new(11);
    let (spool, _) = Spool::open(Arc::new(disk.clone()), CONFIG, None).unwrap();
    let mut records: Vec<Vec<u8>> = Vec::new();
    while spool.written().segment < 3 || spool.written().offset < 2000 {
        spool.prepare().unwrap();
        let n = records.len();
        let record: Vec<u8> = (0..(n * 53) % 311).map(|i| (n * 7 + i * i) as u8).collect();
        spool.append(&record).unwrap();
        spool.count_answered(1);
        records.push(record);
    }
    spool.sync().unwrap();
    (disk.image(), records)
}

/// Opens and reads everything; every record read must be the right one. Returns how many were lost.
fn lost(image: &Image, records: &[Vec<u8>], context: &str) -> u64 {
    let disk = SimDisk::from_image(image, 3);
    let looked = inspect(&disk, None).ok();
    let (spool, recovery) = Spool::open(Arc::new(disk), CONFIG, None).unwrap_or_else(|error| panic!("{context}: {error}"));
    if let Some(looked) = looked {
        assert_eq!(looked.written, recovery.survived, "{context}");
    }
    let (mut from, mut found, mut skipped) = (Position::default(), 0, 0);
    while from.seq < spool.written().seq {
        let batch = spool.read(from, 1).unwrap();
        assert_eq!(batch.next.seq, from.seq + batch.len() as u64 + batch.skipped, "{context}");
        assert!(batch.next.seq > from.seq, "{context}");
        for record in batch.records() {
            assert_eq!(record, records[batch.next.seq as usize - 1], "{context}: record {}", batch.next.seq - 1);
            found += 1;
        }
        skipped += batch.skipped;
        from = batch.next;
    }
    let missing = records.len() as u64 - found;
    // What was lost at the very end cannot be known; everything else is counted.
    assert_eq!(missing, skipped + (records.len() as u64 - from.seq), "{context}");
    spool.append(b"the next record").unwrap();
    assert_eq!(spool.read(from, 1).unwrap().records().collect::<Vec<_>>(), [b"the next record"], "{context}");
    missing
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_the_record_it_is_in() {
    let (image, records) = sample();
    for (name, content) in image.iter().filter(|(name, _)| name.ends_with(".seg")) {
        for at in 0..content.len() {
            let bit = (at * 5) % 8;
            let mut image = image.clone();
            image.get_mut(name).unwrap()[at] ^= 1 << bit;
            let context = format!("{name} byte {at} bit {bit}");
            assert!(lost(&image, &records, &context) <= 1, "{context}");
        }
    }
}

#[test]
fn a_flipped_bit_in_the_ledger_page_costs_no_record_and_leaves_the_law_intact() {
    let (image, records) = sample();
    for at in 0..4096 {
        for bit in 0..8 {
            let mut image = image.clone();
            image.get_mut("ledger").unwrap()[at] ^= 1 << bit;
            let context = format!("ledger byte {at} bit {bit}");
            if bit == at % 8 {
                assert_eq!(lost(&image, &records, &context), 0, "{context}");
            }
            let (spool, _) = Spool::open(Arc::new(SimDisk::from_image(&image, 3)), CONFIG, None).unwrap();
            assert_eq!(spool.ledger().answered, spool.written().seq + spool.ledger().dropped, "{context}");
        }
    }
}

#[test]
fn a_lost_ledger_page_is_rebuilt_with_the_identity_of_the_segments() {
    let (mut image, records) = sample();
    let id = Spool::identity(&SimDisk::from_image(&image, 3)).unwrap();
    image.remove("ledger");
    assert_eq!(Spool::identity(&SimDisk::from_image(&image, 4)).unwrap(), id);
    assert_eq!(lost(&image, &records, "no ledger"), 0);
    let (spool, recovery) = Spool::open(Arc::new(SimDisk::from_image(&image, 4)), CONFIG, None).unwrap();
    assert_eq!((spool.id(), recovery.ledger_rebuilt), (id, true));
}

#[test]
fn a_lost_or_rotten_sector_costs_only_the_records_in_it() {
    let (image, records) = sample();
    let mut dice = Dice::new(5);
    for (name, content) in image.iter().filter(|(name, _)| name.ends_with(".seg")) {
        for sector in 0..content.len() / 512 {
            for rot in [false, true] {
                let mut image = image.clone();
                let bytes = &mut image.get_mut(name).unwrap()[sector * 512..(sector + 1) * 512];
                bytes.iter_mut().for_each(|byte| *byte = if rot { dice.roll() as u8 } else { 0 });
                let context = format!("{name} sector {sector} rot {rot}");
                // Records average 160 bytes; those that reach into the sector from outside count too.
                let limit = if sector == 0 { 0 } else { 8 };
                assert!(lost(&image, &records, &context) <= limit, "{context}");
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_the_cut() {
    let (image, records) = sample();
    for (name, content) in image.iter().filter(|(name, _)| name.ends_with(".seg")) {
        let mut before = u64::MAX;
        for len in 0..content.len() {
            let mut image = image.clone();
            image.get_mut(name).unwrap().truncate(len);
            let missing = lost(&image, &records, &format!("{name} cut to {len}"));
            assert!(missing <= before);
            before = missing;
        }
        assert!(before <= 1);
    }
}

#[test]
fn bytes_of_another_segment_or_another_spool_are_never_records_of_this_one() {
    let (image, records) = sample();
    let (first, second) = (image["00000000000000000001.seg"].clone(), image["00000000000000000002.seg"].clone());
    // A recycled or misplaced file: the second segment's frames under the first one's name, behind its own header.
    let mut swapped = image.clone();
    let mut mixed = second.clone();
    mixed[..512].copy_from_slice(&first[..512]);
    swapped.insert("00000000000000000001.seg".into(), mixed);
    let in_first = lost(&swapped, &records, "frames of segment 2 in segment 1");
    assert!(in_first > 5);

    // Another spool's segment is refused by name, not read.
    let other = SimDisk::new(99);
    let (spool, _) = Spool::open(Arc::new(other.clone()), CONFIG, None).unwrap();
    spool.append(b"foreign").unwrap();
    let mut foreign = image;
    foreign.insert("00000000000000000001.seg".into(), other.image()["00000000000000000001.seg"].clone());
    assert!(Spool::open(Arc::new(SimDisk::from_image(&foreign, 3)), CONFIG, None).is_err());
}
