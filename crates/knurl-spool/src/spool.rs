//! The log itself: what callers hold.

use std::io;
use std::sync::Arc;

use crate::{AppendError, Batch, Disk, Ledger, OpenError, Position, ReadError, Recovery, SpoolConfig, SyncError};

/// Send + Sync; share it in an `Arc`.
#[derive(Debug)]
pub struct Spool {}

/// What [`Spool::prepare`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Empty segments ready now.
    pub ready: u32,
    /// Of those, made by this call.
    pub created: u32,
    /// `segments_max` files exist: nothing more can be prepared until something is released.
    pub at_bound: bool,
}

impl Spool {
    /// Takes the lock, recovers what is on disk and always begins a new segment, when there is room for one; without room the spool opens
    /// all the same and [`Spool::append`] answers `NoSegment` until [`Spool::prepare`] succeeds.
    /// `delivered` is the store's cursor: no new record gets a position or sequence at or below it.
    pub fn open(_disk: Arc<dyn Disk>, _config: SpoolConfig, _delivered: Option<Position>) -> Result<(Spool, Recovery), OpenError> {
        todo!("spool")
    }

    /// The identity, so that the caller can ask the store for its cursor before `open`; creates the ledger when absent.
    pub fn identity(_disk: &dyn Disk) -> Result<u128, OpenError> {
        todo!("spool")
    }

    pub fn id(&self) -> u128 {
        todo!("spool")
    }

    /// `fill` writes exactly `len` bytes into its (zeroed) slice. Returns the position after the record. No allocation and no syscall when
    /// mapped; one `pwrite` when written. When `fill` panics nothing was appended.
    pub fn append_with(&self, _len: usize, _fill: impl FnOnce(&mut [u8])) -> Result<Position, AppendError> {
        todo!("spool")
    }

    pub fn append(&self, record: &[u8]) -> Result<Position, AppendError> {
        self.append_with(record.len(), |slice| slice.copy_from_slice(record))
    }

    /// The end of the log.
    pub fn written(&self) -> Position {
        todo!("spool")
    }

    /// Records before this place survive power loss.
    pub fn durable(&self) -> Position {
        todo!("spool")
    }

    pub fn count_answered(&self, _n: u64) {
        todo!("spool")
    }

    pub fn count_dropped(&self, _n: u64) {
        todo!("spool")
    }

    pub fn ledger(&self) -> Ledger {
        todo!("spool")
    }

    /// Makes durable what was written when called. Appends go on meanwhile.
    pub fn sync(&self) -> Result<Position, SyncError> {
        todo!("spool")
    }

    /// Creates, zeroes and syncs empty segments until `spares` are ready or `segments_max` is reached.
    pub fn prepare(&self) -> io::Result<Prepared> {
        todo!("spool")
    }

    /// Records from `from` on, about `bytes_max` bytes of them but at least one when there is one.
    pub fn read(&self, _from: Position, _bytes_max: usize) -> Result<Batch, ReadError> {
        todo!("spool")
    }

    /// Deletes whole segments below `delivered`; returns how many.
    pub fn release(&self, _delivered: Position) -> io::Result<u32> {
        todo!("spool")
    }

    /// Records above `delivered`.
    pub fn backlog_records(&self, delivered: Position) -> u64 {
        self.written().seq.saturating_sub(delivered.seq)
    }

    /// Bytes of segment files above `delivered`, about.
    pub fn backlog_bytes(&self, _delivered: Position) -> u64 {
        todo!("spool")
    }

    /// Final sync; every later append answers `Closed`. Reading and releasing go on.
    pub fn close(&self) -> Result<Position, SyncError> {
        todo!("spool")
    }
}
