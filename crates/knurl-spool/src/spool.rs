//! The spool as callers hold it: opening, appending, counting. The worker's steps are in `sync`, `files` and `read`.
//!
//! # Locks
//! `log` is held for one record, never across a system call, except the `pwrite` of [`crate::Medium::Written`] and the rewriting of a tail
//! after a failed fsync. Steps of one kind take turns among themselves and do not keep each other waiting.

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use crate::ledger::{self, Counters, LedgerPage, Page};
use crate::log::{Log, Place, Unsynced};
use crate::segment::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES};
use crate::sync::Gaps;
use crate::{AppendError, Disk, DiskFile, Ledger, Medium, OpenError, Position, Recovery, SpoolConfig, SyncError, recovery};

/// Spares lost to appends before [`Spool::begin_above`] gives up for now.
const BEGIN_TRIES_MAX: u32 = 16;

/// Send + Sync; share it in an `Arc`.
#[derive(Debug)]
pub struct Spool {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) config: SpoolConfig,
    pub(crate) mapped: bool,
    id: u128,
    record_bytes_max: usize,
    log: Mutex<Log>,
    pub(crate) ledger: LedgerPage,
    pub(crate) sync_turn: Mutex<()>,
    /// Number of the next segment file.
    pub(crate) prepare_turn: Mutex<u64>,
    pub(crate) release_turn: Mutex<()>,
    /// The segment read last, kept open.
    pub(crate) reading: Mutex<Option<(u64, Arc<dyn DiskFile>)>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl Spool {
    /// Takes the lock, recovers what is on disk, makes it durable, and always begins a new segment when there is room for one; without
    /// room the spool opens all the same and [`Spool::append`] answers `NoSegment` until [`Spool::prepare`] succeeds.
    /// `delivered` is the store's cursor: no new record gets a position or sequence at or below it. `None`: there is none, or it cannot be
    /// asked for now. Whoever delivers only what [`Spool::read_durable`] read may open without it: then no cursor is ahead of what survived.
    /// One that is all the same (the directory is a copy of an earlier state) is to be told to [`Spool::begin_above`] before anything more is
    /// delivered.
    pub fn open(disk: Arc<dyn Disk>, config: SpoolConfig, delivered: Option<Position>) -> Result<(Spool, Recovery), OpenError> {
        check(&config)?;
        let lock = disk.lock()?.ok_or(OpenError::Locked)?;
        let mapped = config.medium == Medium::Mapped && disk.mappable()?;
        let (page, ledger_rebuilt) = page_or_new(&*disk)?;
        // Without the cursor, what was ever answered says about as well where the newest records are.
        let near = delivered.map_or(page.counters.answered.saturating_sub(page.counters.dropped), |delivered| delivered.seq);
        let survey = recovery::survey(&*disk, page.id, near)?;
        let delivered = delivered.unwrap_or_default();
        let seq = survey.end.seq.max(delivered.seq);
        let written = Position { seq, ..survey.end.max(delivered) };

        let dropped = page.counters.dropped;
        let counters = Counters { answered: seq.saturating_add(dropped), dropped };
        let discrepancy = if ledger_rebuilt { 0 } else { page.counters.answered.wrapping_sub(counters.answered) as i64 };
        let ledger = LedgerPage::open(&*disk, &page, counters)?;

        let mut log = Log::new(page.id, config.segment_bytes, survey.segments.clone(), written);
        log.unsynced = survivors(&log, survey.end);
        let frame_room = (config.segment_bytes - SEGMENT_HEADER_BYTES).min(FRAME_BYTES_MAX as u64) as usize;
        let spool = Spool {
            id: page.id,
            record_bytes_max: frame_room - FRAME_HEADER_BYTES,
            log: Mutex::new(log),
            ledger,
            sync_turn: Mutex::new(()),
            prepare_turn: Mutex::new(survey.number_max.max(written.segment) + 1),
            release_turn: Mutex::new(()),
            reading: Mutex::new(None),
            disk,
            config,
            mapped,
            _lock: lock,
        };
        let moved = match spool.sync_steps(Gaps::Known) {
            Ok(_) => false,
            Err(SyncError::Moved { .. }) => true,
            Err(SyncError::Lost { source }) => return Err(source.into()),
            Err(SyncError::Closed) => return Err(io::Error::other("the spool was closed while it was being opened").into()),
        };
        // What cannot be removed is in nobody's way and is tried again at the next open.
        let leftovers = survey.obsolete.iter().filter(|name| spool.disk.remove(name).is_err()).count();
        // No room is not an error here: the caller's next `prepare` says so, and until then appends do.
        if !moved && spool.make_spares(1).is_ok_and(|prepared| prepared.ready > 0) {
            spool.log().begin()?;
        }
        let recovery = Recovery {
            medium: if mapped { Medium::Mapped } else { Medium::Written },
            segments: u32::try_from(survey.segments.len()).unwrap_or(u32::MAX),
            survived: survey.end,
            begins: spool.written(),
            torn: survey.torn,
            discrepancy,
            ledger_rebuilt,
            moved,
            leftovers: u32::try_from(leftovers).unwrap_or(u32::MAX),
        };
        Ok((spool, recovery))
    }

    /// The identity, so that the caller can ask the store for its cursor before `open`; creates the ledger when absent.
    pub fn identity(disk: &dyn Disk) -> Result<u128, OpenError> {
        if let Some(page) = ledger::read(disk)? {
            return Ok(page.id);
        }
        let _lock = disk.lock()?.ok_or(OpenError::Locked)?;
        Ok(page_or_new(disk)?.0.id)
    }

    pub fn id(&self) -> u128 {
        self.id
    }

    /// `fill` writes exactly `len` bytes into its (zeroed) slice. Returns the position after the record. No allocation and no syscall when
    /// mapped; one `pwrite` when written. When `fill` panics nothing was appended.
    pub fn append_with(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Position, AppendError> {
        if len > self.record_bytes_max {
            return Err(AppendError::TooLarge { len, max: self.record_bytes_max });
        }
        let after = self.log().append(len, fill)?;
        fail::fail_point!("spool::after_append");
        Ok(after)
    }

    pub fn append(&self, record: &[u8]) -> Result<Position, AppendError> {
        self.append_with(record.len(), |slice| slice.copy_from_slice(record))
    }

    /// The first record that was not released: everything below had been delivered.
    pub fn oldest(&self) -> Position {
        match self.log().place(0) {
            Place::Below { resume } => resume,
            Place::In { meta, .. } => Position { segment: meta.number, offset: SEGMENT_HEADER_BYTES, seq: meta.first_seq },
        }
    }

    /// Gives records from now on sequences from `seq` on, in a segment of their own; a log that is there already stays as it is. What was
    /// appended below `seq` can be read no more by whoever goes on from there: the caller counts it.
    pub fn begin_above(&self, seq: u64) -> io::Result<()> {
        // Appends go on and may take the spare that was made.
        for _ in 0..BEGIN_TRIES_MAX {
            if self.written().seq >= seq {
                return Ok(());
            }
            self.make_spares(1)?;
            if self.log().begin_above(seq)? {
                return Ok(());
            }
        }
        Err(io::Error::other("there is no room for another segment"))
    }

    /// The end of the log.
    pub fn written(&self) -> Position {
        self.log().written
    }

    /// Records before this place survive power loss.
    pub fn durable(&self) -> Position {
        self.log().durable
    }

    pub fn count_answered(&self, n: u64) {
        self.ledger.count_answered(n);
    }

    pub fn count_dropped(&self, n: u64) {
        self.ledger.count_dropped(n);
    }

    pub fn ledger(&self) -> Ledger {
        self.ledger.look()
    }

    /// Records above `delivered`.
    pub fn backlog_records(&self, delivered: Position) -> u64 {
        self.written().seq.saturating_sub(delivered.seq)
    }

    /// Bytes above `delivered`; a full segment counts whole.
    pub fn backlog_bytes(&self, delivered: Position) -> u64 {
        let log = self.log();
        let Some(last) = log.segments.back() else { return 0 };
        let first = match log.place(delivered.seq) {
            Place::In { meta, .. } => meta.number,
            Place::Below { resume } => resume.segment,
        };
        let whole = log.segments.iter().filter(|meta| meta.number >= first && meta.number != last.number).count() as u64;
        let passed = if delivered.segment == first { delivered.offset } else { SEGMENT_HEADER_BYTES };
        (whole * self.config.segment_bytes + log.written.offset).saturating_sub(passed)
    }

    /// Final sync; every later append answers `Closed`. Reading and releasing go on.
    pub fn close(&self) -> Result<Position, SyncError> {
        self.log().closed = true;
        let durable = self.sync();
        self.ledger.checkpoint();
        durable
    }

    /// A panic elsewhere (in `fill`) leaves the log as it was before that append: poison says nothing here.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        hold(&self.log)
    }
}

pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(config: &SpoolConfig) -> Result<(), OpenError> {
    let SpoolConfig { segment_bytes, segments_max, spares, .. } = *config;
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes) {
        let problem = format!("a segment of {segment_bytes} bytes is not between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}");
        return Err(OpenError::Config(problem));
    }
    if spares == 0 || segments_max <= spares {
        return Err(OpenError::Config(format!(
            "{segments_max} segments at most do not leave room beside {spares} spares (at least 1)"
        )));
    }
    Ok(())
}

/// The ledger page, made anew when it is missing or damaged (`true`: although segments exist). Only under the directory lock.
fn page_or_new(disk: &dyn Disk) -> Result<(Page, bool), OpenError> {
    if let Some(page) = ledger::read(disk)? {
        return Ok((page, false));
    }
    let known = recovery::identity_of_segments(disk)?;
    let id = match known {
        Some(id) => id,
        None => disk.entropy()?,
    };
    ledger::create(disk, id)?;
    let page = ledger::read(disk)?.ok_or_else(|| OpenError::Foreign("its ledger cannot be read back".into()))?;
    Ok((page, known.is_some()))
}

/// Every surviving segment, to be made durable: what an earlier run left in the page cache is not known to be on the disk.
fn survivors(log: &Log, end: Position) -> std::collections::VecDeque<Unsynced> {
    let ends = log.segments.iter().skip(1).map(|next| next.first_seq).chain([end.seq]);
    let unsynced = |(meta, seq): (&crate::segment::SegmentMeta, u64)| Unsynced {
        number: meta.number,
        file: None,
        end: Position {
            segment: meta.number,
            offset: if meta.number == end.segment { end.offset } else { log.segment_bytes },
            seq,
        },
    };
    log.segments.iter().zip(ends).map(unsynced).collect()
}
