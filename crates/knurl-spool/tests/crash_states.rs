//! Power loss and kill at every instant, enumerated on the simulated disk.
//!
//! Random scenarios (append, sync, failed sync, prepare, deliver, release, kill, restart) are journalled; after every single operation the
//! power goes, or the process is killed, and the disk is recovered in several of the states that may leave: nothing un-synced kept,
//! everything kept, sectors of different moments, torn sectors. Then one of the crashes becomes the beginning of the next scenario.
//! `KNURL_SEED` repeats a run, `KNURL_STATES` lengthens it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use knurl_spool::sim::{Dice, Fault, Image, Kept, Op, Platter, SimDisk, Strikes};
use knurl_spool::{AppendError, Medium, Position, Spool, SpoolConfig, SyncError};

const STATES_MIN: u64 = 100_000;
const GENERATIONS: u64 = 3;

/// What callers had been told when the journal was this long.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    journal_len: usize,
    /// `seq` behind the last acknowledged record.
    acknowledged: u64,
    durable: u64,
    /// What the store committed.
    cursor: Position,
    dropped: u64,
    dropped_durable: u64,
    /// The disk is as a power loss left it and was not opened since.
    raw: bool,
    /// Damage that earlier losses left.
    torn: usize,
}

/// What the scenarios came through: a run that never met one of these has proved little.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    moved: u64,
    lost: u64,
    /// The store knew of more records than survived.
    cursor_ahead: u64,
    /// Records behind a stretch that did not survive.
    resumed_behind_damage: u64,
    rolled_over: u64,
}

#[derive(Clone, Debug, Default)]
struct World {
    met: Met,
    /// Which record has which sequence.
    records: BTreeMap<u64, u64>,
    next_id: u64,
    known: Known,
    delivered: BTreeSet<u64>,
}

struct Scenario {
    config: SpoolConfig,
    disk: SimDisk,
    spool: Option<Spool>,
    world: World,
    timeline: Vec<(Known, usize)>,
    deliveries: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Of the process: the page cache is intact.
    Kill,
    Power,
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn in_every_crash_state_what_was_durable_is_there_in_order_once_and_nothing_else() {
    let seed = env("KNURL_SEED").unwrap_or(20_261_123);
    let states_min = env("KNURL_STATES").unwrap_or(STATES_MIN);
    println!("KNURL_SEED={seed} KNURL_STATES={states_min}");
    let (mut states, mut scenario, mut met) = (0, 0, Met::default());
    while states < states_min {
        let mut dice = Dice::new(Dice::new(seed).roll() ^ scenario);
        states += lineage(&mut dice, scenario, &mut met);
        scenario += 1;
    }
    println!("{states} crash states of {scenario} lineages: {met:?}");
    let Met { moved, lost, cursor_ahead, resumed_behind_damage, rolled_over } = met;
    assert!([moved, lost, cursor_ahead, resumed_behind_damage, rolled_over].iter().all(|&times| times > 0), "{met:?}");
}

fn lineage(dice: &mut Dice, name: u64, met: &mut Met) -> u64 {
    let config = SpoolConfig {
        segment_bytes: [4096, 4608, 6144][dice.below(3) as usize],
        segments_max: 4 + dice.below(4) as u32,
        spares: 1 + dice.below(2) as u32,
        medium: if dice.chance(70) { Medium::Mapped } else { Medium::Written },
    };
    let (mut image, mut world, mut states) = (Image::new(), World::default(), 0);
    for generation in 0..GENERATIONS {
        let context = format!("lineage {name} generation {generation}");
        let scenario = Scenario::play(config, &image, world, dice);
        let (more, crashed) = crashes(&scenario, &image, dice, &context, met);
        states += more;
        met.moved += scenario.world.met.moved;
        met.lost += scenario.world.met.lost;
        met.rolled_over += scenario.world.met.rolled_over;
        (image, world) = crashed;
    }
    states
}

impl Scenario {
    fn play(config: SpoolConfig, image: &Image, world: World, dice: &mut Dice) -> Scenario {
        let disk = SimDisk::from_image(image, dice.roll());
        let mut scenario = Scenario { config, disk, spool: None, world, timeline: Vec::new(), deliveries: Vec::new() };
        scenario.note();
        scenario.open();
        for _ in 0..20 + dice.below(50) {
            if !scenario.step(dice) {
                break;
            }
            scenario.note();
        }
        scenario
    }

    fn note(&mut self) {
        self.world.known.journal_len = self.disk.journal_len();
        self.timeline.push((self.world.known, self.deliveries.len()));
    }

    fn open(&mut self) {
        let cursor = self.world.known.cursor;
        let (spool, recovery) =
            Spool::open(Arc::new(self.disk.clone()), self.config, (cursor != Position::default()).then_some(cursor)).unwrap();
        // What was lost is lost: its sequences above `begins` are free again.
        let present = read_all(&spool, cursor, &mut Dice::new(0), "open");
        for (seq, id) in &present {
            assert_eq!(self.world.records.get(seq), Some(id));
        }
        self.world.records.retain(|seq, _| *seq < cursor.seq || present.contains_key(seq));
        self.world.known.acknowledged = recovery.begins.seq;
        self.world.known.durable = spool.durable().seq;
        self.world.known.raw = false;
        self.world.known.torn = recovery.torn.len();
        self.world.known.dropped = spool.ledger().dropped;
        self.world.known.dropped_durable = spool.ledger().dropped;
        self.spool = Some(spool);
        self.note();
    }

    /// `false`: the process must exit.
    fn step(&mut self, dice: &mut Dice) -> bool {
        let spool = self.spool.take().unwrap();
        let known = &mut self.world.known;
        let mut lives = true;
        match dice.below(100) {
            0..=54 => {
                let id = self.world.next_id;
                self.world.next_id += 1;
                let record = record(id, dice);
                spool.count_answered(1);
                match spool.append(&record) {
                    Ok(after) => {
                        assert_eq!(after.seq, known.acknowledged + 1);
                        assert!(after > known.cursor);
                        self.world.met.rolled_over += u64::from(after.offset == 512 + 12 + record.len() as u64);
                        self.world.records.insert(known.acknowledged, id);
                        known.acknowledged += 1;
                    }
                    Err(AppendError::NoSegment) => {
                        spool.count_dropped(1);
                        known.dropped += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            55..=67 => {
                let durable = spool.sync().unwrap();
                assert_eq!((durable.seq, durable), (known.acknowledged, spool.durable()));
                known.durable = durable.seq;
                known.dropped_durable = known.dropped;
            }
            68..=71 => {
                // Strikes::Once may hit the ledger's checkpoint, which is not retried either.
                self.disk.fail(Fault::FailedSync, if dice.chance(80) { Strikes::Once } else { Strikes::Always }, 1);
                match spool.sync() {
                    Ok(durable) => known.durable = durable.seq,
                    Err(SyncError::Moved { durable, .. }) => {
                        assert_eq!(durable.seq, known.acknowledged);
                        known.durable = durable.seq;
                        self.world.met.moved += 1;
                    }
                    Err(SyncError::Lost { .. }) => {
                        self.world.met.lost += 1;
                        lives = false;
                    }
                    Err(SyncError::Closed) => panic!("the spool is open"),
                }
                self.disk.heal();
            }
            72..=80 => {
                spool.prepare().unwrap();
            }
            81..=90 => {
                let from = known.cursor;
                let batch = spool.read(from, dice.below(2000) as usize).unwrap();
                assert_eq!(batch.next.seq, from.seq + batch.len() as u64 + batch.skipped);
                assert!(batch.next >= from);
                for record in batch.records() {
                    let id = id_of(record);
                    assert!(self.world.delivered.insert(id), "record {id} was delivered twice");
                    self.deliveries.push(id);
                }
                known.cursor = batch.next;
            }
            91..=95 => {
                spool.release(known.cursor).unwrap();
            }
            kind => {
                if kind == 96 {
                    assert_eq!(spool.close().unwrap().seq, known.acknowledged);
                    known.durable = known.acknowledged;
                }
                drop(spool);
                let acknowledged = known.acknowledged;
                self.open();
                assert_eq!(self.world.known.acknowledged, acknowledged, "a kill lost what was acknowledged");
                return true;
            }
        }
        self.spool = Some(spool);
        lives
    }
}

fn record(id: u64, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    let filler = if dice.chance(50) { 0 } else { dice.roll() as u8 };
    let bytes_max = [40, 300, 1500][dice.below(3) as usize];
    bytes.resize(8 + dice.below(bytes_max) as usize, filler);
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn id_of(record: &[u8]) -> u64 {
    let (content, sum) = record.split_last_chunk::<4>().unwrap();
    assert_eq!(crc32fast::hash(content), u32::from_le_bytes(*sum), "not a record that was ever appended");
    u64::from_le_bytes(*content.first_chunk::<8>().unwrap())
}

/// Crashes the scenario after every operation of its journal; one of the crashes is where the next generation begins.
fn crashes(scenario: &Scenario, image: &Image, dice: &mut Dice, context: &str, met: &mut Met) -> (u64, (Image, World)) {
    let journal = scenario.disk.journal();
    let (mut platter, mut cache) = (Platter::new(image), Platter::new(image));
    let next_at = dice.below(journal.len() as u64 + 1) as usize;
    let mut next = None;
    let (mut states, mut at_timeline) = (0, 0);
    for journal_len in 0..=journal.len() {
        if let Some(op) = journal_len.checked_sub(1).and_then(|last| journal.get(last)) {
            platter.apply(op);
            if !matches!(op, Op::FailedSync { .. }) {
                cache.apply(op);
            }
        }
        while scenario.timeline.get(at_timeline + 1).is_some_and(|(known, _)| known.journal_len <= journal_len) {
            at_timeline += 1;
        }
        let (known, deliveries) = scenario.timeline[at_timeline];
        let losses = [
            (Loss::Kill, cache.crash(Kept::Everything, dice)),
            (Loss::Power, platter.crash(Kept::Nothing, dice)),
            (Loss::Power, platter.crash(Kept::Everything, dice)),
            (Loss::Power, platter.crash(Kept::Chance, dice)),
            (Loss::Power, platter.crash(Kept::Chance, dice)),
        ];
        let chosen = dice.below(losses.len() as u64) as usize;
        for (at, (loss, image)) in losses.into_iter().enumerate() {
            states += 1;
            recover(scenario, &image, known, loss, dice, &format!("{context} operation {journal_len} {loss:?} {at}"), met);
            if journal_len == next_at && at == chosen {
                let mut world = scenario.world.clone();
                world.met = Met::default();
                world.known = Known { journal_len: 0, raw: true, ..known };
                for id in &scenario.deliveries[deliveries..] {
                    world.delivered.remove(id);
                }
                next = Some((image, world));
            }
        }
    }
    (states, next.unwrap())
}

/// Opens what the crash left and holds it against what had been promised.
fn recover(scenario: &Scenario, image: &Image, known: Known, loss: Loss, dice: &mut Dice, context: &str, met: &mut Met) {
    let cursor = known.cursor;
    let loss = if known.raw { Loss::Power } else { loss };
    let disk = SimDisk::from_image(image, dice.roll());
    let (spool, recovery) =
        Spool::open(Arc::new(disk.clone()), scenario.config, Some(cursor)).unwrap_or_else(|error| panic!("{context}: {error}"));
    let records = read_all(&spool, cursor, dice, context);

    // Only what was appended, each under its own sequence, in order, at most once.
    for (seq, id) in &records {
        assert_eq!(scenario.world.records.get(seq), Some(id), "{context}: record {seq}");
    }
    let safe = if loss == Loss::Kill { known.acknowledged } else { known.durable };
    let missing = (cursor.seq..safe).find(|seq| scenario.world.records.contains_key(seq) && !records.contains_key(seq));
    assert_eq!(missing, None, "{context}: lost although safe below {safe}; {recovery:?}");

    let begins = recovery.begins;
    met.cursor_ahead += u64::from(begins.seq > recovery.survived.seq);
    met.resumed_behind_damage += u64::from(recovery.torn.iter().any(|torn| torn.records > 0));
    assert!(
        begins > cursor || begins.seq == 0 || spool.prepare().is_ok_and(|prepared| prepared.at_bound),
        "{context}: {begins:?} {cursor:?}"
    );
    assert!(begins.seq >= cursor.seq && records.last_key_value().is_none_or(|(&seq, _)| seq < begins.seq), "{context}");
    let ledger = spool.ledger();
    assert_eq!(ledger.answered, begins.seq + ledger.dropped, "{context}");
    assert!(ledger.dropped >= known.dropped_durable && ledger.dropped <= known.dropped + 1, "{context}: {ledger:?} {known:?}");
    if loss == Loss::Kill {
        assert!(recovery.discrepancy.unsigned_abs() <= 1, "{context}: {recovery:?}");
        assert!(recovery.torn.len() <= known.torn + 1, "{context}: {recovery:?}");
        assert!(begins.seq <= known.acknowledged + 1, "{context}");
    }
    if dice.chance(20) {
        go_on(scenario, spool, &disk, image, cursor, records, dice, context);
    }
}

/// The recovered spool takes records, and what it recovered was made durable by opening it.
#[allow(clippy::too_many_arguments, reason = "the whole state of one crash")]
fn go_on(
    scenario: &Scenario,
    spool: Spool,
    disk: &SimDisk,
    image: &Image,
    cursor: Position,
    mut records: BTreeMap<u64, u64>,
    dice: &mut Dice,
    context: &str,
) {
    let recovered = records.clone();
    for id in 0..3 {
        let id = u64::MAX - id;
        match spool.append(&record(id, dice)) {
            Ok(after) => {
                assert!(after > cursor);
                assert_eq!(records.insert(after.seq - 1, id), None, "{context}: a sequence was given twice");
            }
            Err(AppendError::NoSegment) => {
                spool.prepare().unwrap();
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
    assert_eq!(read_all(&spool, cursor, dice, context), records, "{context}");
    let synced = dice.chance(50);
    if synced {
        spool.sync().unwrap();
    }
    let mut platter = Platter::new(image);
    disk.journal().iter().for_each(|op| platter.apply(op));
    drop(spool);
    let again = platter.crash(if dice.chance(50) { Kept::Nothing } else { Kept::Chance }, dice);
    let disk = SimDisk::from_image(&again, 1);
    let (spool, _) = Spool::open(Arc::new(disk), scenario.config, Some(cursor)).unwrap();
    let after = read_all(&spool, cursor, dice, context);
    for (seq, id) in if synced { &records } else { &recovered } {
        assert_eq!(after.get(seq), Some(id), "{context}: record {seq} was lost by the second crash");
    }
    assert!(after.iter().all(|(seq, id)| records.get(seq) == Some(id)), "{context}: {after:?}");
}

/// Everything from `from` on, by sequence.
fn read_all(spool: &Spool, mut from: Position, dice: &mut Dice, context: &str) -> BTreeMap<u64, u64> {
    let mut records = BTreeMap::new();
    let bytes_max = if dice.chance(80) { 1 << 20 } else { 1 };
    while from.seq < spool.written().seq {
        let batch = spool.read(from, bytes_max).unwrap();
        assert_eq!(batch.next.seq, from.seq + batch.len() as u64 + batch.skipped, "{context}");
        assert!(batch.next.seq > from.seq, "{context}: a read that goes nowhere");
        if batch.skipped == 0 {
            records.extend((from.seq..).zip(batch.records().map(id_of)));
        } else if bytes_max == 1 && !batch.is_empty() {
            records.insert(batch.next.seq - 1, id_of(batch.records().next().unwrap()));
        } else if !batch.is_empty() {
            // Something is missing in between: one by one shows where.
            for _ in 0..batch.len() + batch.skipped as usize {
                let one = spool.read(from, 1).unwrap();
                if let Some(record) = one.records().next() {
                    records.insert(one.next.seq - 1, id_of(record));
                }
                from = one.next;
            }
            continue;
        }
        from = batch.next;
    }
    records
}
