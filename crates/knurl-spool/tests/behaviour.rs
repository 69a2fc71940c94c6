//! What callers can rely on, case by case, on the simulated disk.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use knurl_spool::sim::{Fault, Op, SimDisk, Strikes};
use knurl_spool::{AppendError, Medium, OpenError, Position, ReadError, Spool, SpoolConfig, SyncError, inspect};
use rstest::rstest;

fn config(medium: Medium) -> SpoolConfig {
    SpoolConfig { segment_bytes: 4096, segments_max: 5, spares: 2, medium }
}

fn open(disk: &SimDisk, delivered: Option<Position>) -> Spool {
    Spool::open(Arc::new(disk.clone()), config(Medium::Mapped), delivered).unwrap().0
}

fn read_from(spool: &Spool, mut from: Position) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while from.seq < spool.written().seq {
        let batch = spool.read(from, 1 << 20).unwrap();
        assert_eq!(batch.skipped, 0);
        records.extend(batch.records().map(<[u8]>::to_vec));
        from = batch.next;
    }
    records
}

#[rstest]
fn a_fill_that_panics_appends_nothing_and_breaks_nothing(#[values(Medium::Mapped, Medium::Written)] medium: Medium) {
    let disk = SimDisk::new(1);
    let (spool, _) = Spool::open(Arc::new(disk.clone()), config(medium), None).unwrap();
    spool.append(b"before").unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        spool.append_with(300, |slice| {
            slice.fill(0xaa);
            panic!("in the middle of a record");
        })
    }));
    assert!(panicked.is_err());
    let after = spool
        .append_with(5, |slice| {
            assert_eq!(slice, [0; 5]);
            slice.copy_from_slice(b"after");
        })
        .unwrap();
    assert_eq!(after.seq, 2);
    drop(spool);
    let (spool, recovery) = Spool::open(Arc::new(disk), config(medium), None).unwrap();
    assert_eq!(recovery.torn, []);
    assert_eq!(read_from(&spool, Position::default()), [b"before".to_vec(), b"after".to_vec()]);
}

#[test]
fn every_position_in_a_moved_tail_goes_on_at_the_right_record_before_and_after_a_restart() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    let mut positions = vec![spool.written()];
    let mut records = Vec::new();
    for n in 0..60_u8 {
        spool.prepare().unwrap();
        records.push(vec![n; 100]);
        positions.push(spool.append(&records[usize::from(n)]).unwrap());
        if n == 20 {
            spool.sync().unwrap();
        }
    }
    let segment_before = spool.written().segment;
    disk.fail(Fault::FailedSync, Strikes::Once, 1);
    let Err(SyncError::Moved { durable, .. }) = spool.sync() else { panic!("the tail was to be moved") };
    assert_eq!((durable, durable.seq), (spool.durable(), 60));
    assert!(durable.segment > segment_before);
    let again = open(&SimDisk::from_image(&disk.image(), 2), None);
    for (seq, &position) in positions.iter().enumerate() {
        assert_eq!(read_from(&spool, position), records[seq..], "from {position:?}");
        assert_eq!(read_from(&again, position), records[seq..], "from {position:?} after a restart");
    }
    assert!(spool.append(b"and on").unwrap() > durable);
}

#[test]
fn when_the_copy_of_the_tail_cannot_be_synced_either_the_spool_stops_and_a_restart_finds_everything_the_page_cache_has() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    for n in 0..30_u8 {
        spool.prepare().unwrap();
        spool.append(&[n; 100]).unwrap();
    }
    disk.fail(Fault::FailedSync, Strikes::Always, 1);
    assert!(matches!(spool.sync(), Err(SyncError::Lost { .. })));
    assert!(matches!(spool.sync(), Err(SyncError::Closed)));
    assert!(matches!(spool.append(b"more"), Err(AppendError::Closed)));
    disk.heal();
    drop(spool);
    assert_eq!(read_from(&open(&disk, None), Position::default()).len(), 30);
}

#[test]
fn survivors_whose_fsync_fails_at_open_are_rewritten_before_they_are_called_durable() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    for n in 0..50_u8 {
        spool.prepare().unwrap();
        spool.append(&[n; 100]).unwrap();
    }
    drop(spool);
    // The first sync of `open` is the ledger's, the second a survivor's.
    disk.fail(Fault::FailedSync, Strikes::Once, 2);
    let (spool, recovery) = Spool::open(Arc::new(disk.clone()), config(Medium::Mapped), None).unwrap();
    assert!(recovery.moved);
    assert_eq!((spool.durable().seq, read_from(&spool, Position::default()).len()), (50, 50));
}

#[test]
fn new_records_lie_above_a_cursor_that_is_ahead_of_the_disk() {
    let disk = SimDisk::new(1);
    open(&disk, None).append(b"one").unwrap();
    let cursor = Position { segment: 40, offset: 3000, seq: 17 };
    let (spool, recovery) = Spool::open(Arc::new(disk.clone()), config(Medium::Mapped), Some(cursor)).unwrap();
    assert_eq!((recovery.survived.seq, recovery.begins.seq), (1, 17));
    assert_eq!(spool.ledger().answered, 17);
    let after = spool.append(b"two").unwrap();
    assert!(after > cursor && after.seq == 18);
    assert_eq!(read_from(&spool, cursor), [b"two"]);
    // From below, the gap is counted as what it is.
    let batch = spool.read(Position::default(), 1000).unwrap();
    assert_eq!((batch.len(), batch.skipped, batch.next.seq), (2, 16, 18));
    assert!(matches!(spool.read(Position { seq: 19, ..after }, 1), Err(ReadError::Ahead { .. })));
}

#[test]
fn a_segment_is_full_of_zeros_and_durable_with_its_name_before_anything_is_put_into_it() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    spool.append(b"one").unwrap();
    let journal = disk.journal();
    let created = journal.iter().position(|op| matches!(op, Op::Create { name, .. } if name.ends_with(".seg"))).unwrap();
    assert!(matches!(&journal[created + 1], Op::Write { offset: 0, bytes, .. } if *bytes == [0; 4096]));
    assert!(matches!(journal[created + 2..created + 4], [Op::Sync { .. }, Op::SyncDir]));
    assert!(journal[created + 4..].iter().any(|op| matches!(op, Op::Write { .. })));
}

#[rstest]
fn the_oldest_segment_is_read_without_its_header_however_old_the_spool_is(
    #[values(1, 1 << 31, 5 << 32)] age: u64,
    #[values(false, true)] alone: bool,
) {
    let disk = SimDisk::new(1);
    let cursor = Position { segment: 7, offset: 600, seq: age };
    let spool = open(&disk, Some(cursor));
    let name = format!("{:020}.seg", spool.append(b"one").unwrap().segment);
    spool.append(b"two").unwrap();
    drop(spool);
    if !alone {
        open(&disk, Some(cursor)).append(b"three").unwrap();
    }
    let mut image = disk.image();
    image.get_mut(&name).unwrap()[..512].fill(0);
    let disk = SimDisk::from_image(&image, 2);
    let expected: &[&[u8]] = if alone { &[b"one", b"two"] } else { &[b"one", b"two", b"three"] };
    assert_eq!(inspect(&disk, Some(cursor)).unwrap().backlog_records, expected.len() as u64);
    let (spool, recovery) = Spool::open(Arc::new(disk), config(Medium::Mapped), Some(cursor)).unwrap();
    assert_eq!(recovery.torn, []);
    assert_eq!(read_from(&spool, cursor), expected);
}

#[test]
fn a_full_spool_says_so_and_takes_records_again_once_segments_are_released() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    let mut appended = 0;
    loop {
        let prepared = spool.prepare().unwrap();
        match spool.append(&[7; 400]) {
            Ok(_) => appended += 1,
            Err(AppendError::NoSegment) => {
                assert!(prepared.at_bound);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(disk.image().keys().filter(|name| name.ends_with(".seg")).count(), 5);
    assert_eq!(spool.backlog_records(Position::default()), appended);
    assert!(spool.backlog_bytes(Position::default()) > appended * 400);
    let batch = spool.read(Position::default(), 8000).unwrap();
    assert!(spool.release(batch.next).unwrap() >= 1);
    assert!(spool.prepare().unwrap().ready >= 1);
    spool.append(&[7; 400]).unwrap();
}

#[test]
fn without_room_for_a_segment_the_spool_opens_and_appends_are_refused_until_there_is_room() {
    let disk = SimDisk::new(1);
    Spool::identity(&disk).unwrap();
    // The ledger's checkpoint takes the first write.
    disk.fail(Fault::NoSpace, Strikes::Always, 2);
    let spool = open(&disk, None);
    assert!(matches!(spool.append(b"early"), Err(AppendError::NoSegment)));
    assert!(spool.prepare().is_err());
    disk.heal();
    spool.prepare().unwrap();
    spool.append(b"now").unwrap();
}

#[test]
fn where_mapping_is_refused_the_spool_writes_and_counters_still_survive_a_kill() {
    let disk = SimDisk::new(1).unmappable();
    let (spool, recovery) = Spool::open(Arc::new(disk.clone()), config(Medium::Mapped), None).unwrap();
    assert_eq!(recovery.medium, Medium::Written);
    spool.count_answered(2);
    spool.append(b"one").unwrap();
    spool.count_dropped(1);
    let looked = inspect(&SimDisk::from_image(&disk.image(), 1), None).unwrap();
    assert_eq!((looked.answered, looked.dropped, looked.backlog_records), (2, 1, 1));
}

#[test]
fn a_difference_between_the_ledger_and_the_records_is_reported_and_set_right() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    spool.append(b"one").unwrap();
    spool.count_answered(4);
    spool.count_dropped(1);
    drop(spool);
    let (spool, recovery) = Spool::open(Arc::new(disk), config(Medium::Mapped), None).unwrap();
    assert_eq!(recovery.discrepancy, 2);
    assert_eq!((spool.ledger().answered, spool.ledger().dropped), (2, 1));
}

#[test]
fn the_longest_record_fits_and_a_longer_one_is_refused() {
    let disk = SimDisk::new(1);
    let wide = SpoolConfig { segment_bytes: 1 << 20, ..config(Medium::Mapped) };
    let (spool, _) = Spool::open(Arc::new(disk), wide, None).unwrap();
    let longest = vec![9; knurl_spool::RECORD_BYTES_MAX];
    spool.append(&longest).unwrap();
    spool.append(b"").unwrap();
    assert_eq!(read_from(&spool, Position::default()), [longest.clone(), Vec::new()]);
    let longer = vec![9; knurl_spool::RECORD_BYTES_MAX + 1];
    assert!(matches!(spool.append(&longer), Err(AppendError::TooLarge { .. })));
}

#[rstest]
#[case(SpoolConfig { segment_bytes: 100, ..SpoolConfig::default() })]
#[case(SpoolConfig { segment_bytes: 1 << 40, ..SpoolConfig::default() })]
#[case(SpoolConfig { spares: 0, ..SpoolConfig::default() })]
#[case(SpoolConfig { segments_max: 2, ..SpoolConfig::default() })]
fn a_configuration_that_cannot_work_is_refused(#[case] config: SpoolConfig) {
    assert!(matches!(Spool::open(Arc::new(SimDisk::new(1)), config, None), Err(OpenError::Config(_))));
}

#[test]
fn what_is_not_durable_yet_is_not_read_as_durable() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    spool.append(b"one").unwrap();
    assert_eq!(spool.read_durable(Position::default(), 1000).unwrap().len(), 0);
    spool.sync().unwrap();
    spool.append(b"two").unwrap();
    let batch = spool.read_durable(Position::default(), 1000).unwrap();
    assert_eq!((batch.records().collect::<Vec<_>>(), batch.next.seq, batch.skipped), (vec![&b"one"[..]], 1, 0));
    assert_eq!(spool.read_durable(batch.next, 1000).unwrap().next, batch.next);
    spool.sync().unwrap();
    assert_eq!(spool.read_durable(batch.next, 1000).unwrap().records().collect::<Vec<_>>(), [b"two"]);
}

#[test]
fn records_can_begin_above_a_cursor_that_becomes_known_late() {
    let disk = SimDisk::new(1);
    let spool = open(&disk, None);
    spool.append(b"one").unwrap();
    spool.begin_above(17).unwrap();
    assert_eq!(spool.append(b"two").unwrap().seq, 18);
    spool.begin_above(5).unwrap();
    assert_eq!(spool.written().seq, 18, "a log that is there already stays as it is");
    let cursor = Position { segment: 0, offset: 0, seq: 17 };
    assert_eq!(read_from(&spool, cursor), [b"two"]);
    spool.sync().unwrap();
    assert_eq!(spool.durable().seq, 18);
    drop(spool);
    let (spool, recovery) = Spool::open(Arc::new(disk), config(Medium::Mapped), None).unwrap();
    assert_eq!((recovery.begins.seq, recovery.torn.as_slice()), (18, &[][..]));
    assert_eq!(read_from(&spool, cursor), [b"two"]);
}

#[test]
fn without_a_cursor_the_ledger_tells_where_to_look_behind_a_lost_header() {
    let disk = SimDisk::new(1);
    let cursor = Position { segment: 7, offset: 600, seq: 5 << 32 };
    let spool = open(&disk, Some(cursor));
    let name = format!("{:020}.seg", spool.append(b"one").unwrap().segment);
    drop(spool);
    let mut image = disk.image();
    image.get_mut(&name).unwrap()[..512].fill(0);
    let (spool, recovery) = Spool::open(Arc::new(SimDisk::from_image(&image, 2)), config(Medium::Mapped), None).unwrap();
    assert_eq!((recovery.survived.seq, spool.oldest().seq), (cursor.seq + 1, cursor.seq));
    assert_eq!(read_from(&spool, cursor), [b"one"]);
}
