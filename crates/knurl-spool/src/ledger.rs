//! The ledger page: who this spool is, and the counters that outlive the process.
//!
//! # Promised
//! - Counting is one atomic addition on a mapped page: it survives `kill -9` at once, power loss as of the last checkpoint.
//! - A torn or damaged page is recognised and never believed: identity and checkpoints are CRC-protected in sectors of their own, the two
//!   checkpoint slots are written alternately, and live counters below the newest checkpoint are replaced by it.
//!
//! # Layout (4096 bytes)
//! sector 0: `magic | version u32 | id u128 | crc u32`; sector 1: live `answered u64 | dropped u64`; sectors 2 and 3: checkpoints
//! `generation u64 | answered u64 | dropped u64 | crc u32`.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::frames::{read_full, write_full};
use crate::segment::{u32_at, u64_at};
use crate::{Disk, DiskFile, Mapping, OpenError};

const NAME: &str = "ledger";
const NAME_NEW: &str = "ledger.new";
const MAGIC: [u8; 8] = *b"knurlldg";
const VERSION: u32 = 1;
const PAGE_BYTES: usize = 4096;
const ANSWERED_AT: usize = 512;
const DROPPED_AT: usize = 520;
const CHECKPOINTS_AT: [usize; 2] = [1024, 1536];

/// A look at the ledger page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// Clicks (or whatever the records are) that were answered, ever.
    pub answered: u64,
    /// Of those, the ones that could not be appended.
    pub dropped: u64,
    /// Syncs of the ledger page that failed since open.
    pub sync_failures: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) answered: u64,
    pub(crate) dropped: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Checkpoint {
    generation: u64,
    counters: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    checkpoint: Checkpoint,
    durable: bool,
}

/// What a page says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) id: u128,
    /// Live counters, or the newest checkpoint where those cannot be believed.
    pub(crate) counters: Counters,
    generation: u64,
}

/// The page in use by the spool's owner.
#[derive(Debug)]
pub(crate) struct LedgerPage {
    file: Arc<dyn DiskFile>,
    live: Live,
    last: Mutex<Last>,
    sync_failures: AtomicU64,
}

#[derive(Debug)]
enum Live {
    Mapped(Box<dyn Mapping>),
    /// Where mapping is refused: the sector is rewritten at every count.
    Written {
        answered: AtomicU64,
        dropped: AtomicU64,
        turn: Mutex<()>,
    },
}

/// Reads the page; `None` when there is none or its identity is damaged.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Page>, OpenError> {
    let file = match disk.open(NAME, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = [0; PAGE_BYTES];
    if read_full(&*file, &mut bytes, 0)? < PAGE_BYTES {
        return Ok(None);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8; PAGE_BYTES]) -> Result<Option<Page>, OpenError> {
    if bytes[..8] != MAGIC || u32_at(bytes, 28) != crc32fast::hash(&bytes[..28]) {
        return Ok(None);
    }
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(OpenError::Foreign(format!("its ledger has version {version}, this program knows {VERSION}")));
    }
    let id = u128::from(u64_at(bytes, 12)) | (u128::from(u64_at(bytes, 20)) << 64);
    let checkpoint = CHECKPOINTS_AT
        .iter()
        .filter_map(|&at| Checkpoint::decode(&bytes[at..at + 28]))
        .max_by_key(|checkpoint| checkpoint.generation)
        .unwrap_or_default();
    let live = Counters { answered: u64_at(bytes, ANSWERED_AT), dropped: u64_at(bytes, DROPPED_AT) };
    let believable = live.answered >= checkpoint.counters.answered
        && live.dropped >= checkpoint.counters.dropped
        && live.dropped <= live.answered;
    let counters = if believable { live } else { checkpoint.counters };
    Ok(Some(Page { id, counters, generation: checkpoint.generation }))
}

/// Puts a new page in place of whatever is there, durably. Only under the directory lock.
pub(crate) fn create(disk: &dyn Disk, id: u128) -> Result<(), OpenError> {
    match disk.remove(NAME_NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut bytes = [0; PAGE_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..28].copy_from_slice(&id.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    let file = disk.create(NAME_NEW)?;
    write_full(&*file, &bytes, 0)?;
    file.sync()?;
    disk.rename(NAME_NEW, NAME)?;
    disk.sync_dir()?;
    Ok(())
}

impl Checkpoint {
    fn encode(&self) -> [u8; 28] {
        let mut out = [0; 28];
        out[..8].copy_from_slice(&self.generation.to_le_bytes());
        out[8..16].copy_from_slice(&self.counters.answered.to_le_bytes());
        out[16..24].copy_from_slice(&self.counters.dropped.to_le_bytes());
        let crc = crc32fast::hash(&out[..24]);
        out[24..28].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let generation = u64_at(bytes, 0);
        if generation == 0 || u32_at(bytes, 24) != crc32fast::hash(&bytes[..24]) {
            return None;
        }
        Some(Checkpoint { generation, counters: Counters { answered: u64_at(bytes, 8), dropped: u64_at(bytes, 16) } })
    }
}

impl LedgerPage {
    /// Takes the page into use and sets its live counters to `counters`.
    pub(crate) fn open(disk: &dyn Disk, page: &Page, counters: Counters) -> io::Result<LedgerPage> {
        let file = disk.open(NAME, true)?;
        let live = if disk.mappable()? {
            let map = file.map(PAGE_BYTES)?;
            map.add(ANSWERED_AT, counters.answered.wrapping_sub(map.load(ANSWERED_AT)));
            map.add(DROPPED_AT, counters.dropped.wrapping_sub(map.load(DROPPED_AT)));
            Live::Mapped(map)
        } else {
            let (answered, dropped) = (AtomicU64::new(counters.answered), AtomicU64::new(counters.dropped));
            Live::Written { answered, dropped, turn: Mutex::new(()) }
        };
        let checkpoint = Checkpoint { generation: page.generation, counters };
        let last = Mutex::new(Last { checkpoint, durable: false });
        let ledger = LedgerPage { file, live, last, sync_failures: AtomicU64::new(0) };
        ledger.write_live();
        ledger.checkpoint();
        Ok(ledger)
    }

    pub(crate) fn count_answered(&self, n: u64) {
        match &self.live {
            Live::Mapped(map) => {
                map.add(ANSWERED_AT, n);
            }
            Live::Written { answered, .. } => {
                answered.fetch_add(n, Ordering::Relaxed);
                self.write_live();
            }
        }
    }

    pub(crate) fn count_dropped(&self, n: u64) {
        match &self.live {
            Live::Mapped(map) => {
                map.add(DROPPED_AT, n);
            }
            Live::Written { dropped, .. } => {
                dropped.fetch_add(n, Ordering::Relaxed);
                self.write_live();
            }
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        match &self.live {
            Live::Mapped(map) => Counters { answered: map.load(ANSWERED_AT), dropped: map.load(DROPPED_AT) },
            Live::Written { answered, dropped, .. } => {
                Counters { answered: answered.load(Ordering::Relaxed), dropped: dropped.load(Ordering::Relaxed) }
            }
        }
    }

    pub(crate) fn look(&self) -> Ledger {
        let Counters { answered, dropped } = self.counters();
        Ledger { answered, dropped, sync_failures: self.sync_failures.load(Ordering::Relaxed) }
    }

    /// Whether drops would be forgotten by a power loss. (`answered` follows from the records themselves.)
    pub(crate) fn checkpoint_due(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        !last.durable || last.checkpoint.counters.dropped != self.counters().dropped
    }

    /// Makes the counters durable. A failure is counted; the next checkpoint is a new write to the other slot, which makes the page dirty
    /// again, so that its sync is no retry of the failed one.
    pub(crate) fn checkpoint(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Checkpoint { generation: last.checkpoint.generation + 1, counters: self.counters() };
        let at = CHECKPOINTS_AT[(next.generation % 2) as usize] as u64;
        let durable = write_full(&*self.file, &next.encode(), at).and_then(|()| self.file.sync()).is_ok();
        if !durable {
            self.sync_failures.fetch_add(1, Ordering::Relaxed);
        }
        *last = Last { checkpoint: next, durable };
    }

    fn write_live(&self) {
        let Live::Written { turn, .. } = &self.live else { return };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Counters { answered, dropped } = self.counters();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&answered.to_le_bytes());
        bytes[8..].copy_from_slice(&dropped.to_le_bytes());
        if write_full(&*self.file, &bytes, ANSWERED_AT as u64).is_err() {
            self.sync_failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}
