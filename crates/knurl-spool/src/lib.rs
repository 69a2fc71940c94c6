//! A crash-safe append log of opaque records.
//!
//! # Promised
//! - A record whose [`Spool::append`] returned `Ok` survives `kill -9` of the process at any later instant.
//! - A record below [`Spool::durable`] survives power loss.
//! - Records are read back whole, in order, once each from any [`Position`]; a torn or damaged stretch is recognised (CRC-32 keyed by
//!   spool, segment and sequence), counted, stepped over, and never read as a record.
//! - Appending never creates, grows or syncs a file: segments are pre-zeroed by [`Spool::prepare`], so a full disk shows there, as an
//!   error, and never as SIGBUS.
//! - After a failed fsync nothing is retried: the segment is abandoned and its un-synced tail rewritten to a new one, or the error is
//!   [`SyncError::Lost`] and the process must exit.
//!
//! # Refused
//! Knowing what a record means; threads of its own: deciding when to sync, prepare or release is the caller's (its worker calls the steps);
//! reading around a sector that the disk answers with an error ([`ReadError::Io`]: nothing is skipped that might come back).
//!
//! # Layout
//! `dir/ledger` (one page: identity, answered and dropped counters), `dir/lock`, `dir/<segment number, 20 digits>.seg`.
//! From the bottom: `disk` and `dir_disk` (files), `mapping` (all of the unsafe code), `frame` and `frames` (one record; a walk over them),
//! `segment` (header, names), `ledger`, `recovery` (what is on a disk), `log` (the state under the append lock), and on it `spool`, `sync`,
//! `files`, `read`, `aside`, `inspect`. `sim` (feature `testing`) is a disk for tests of crashes and faults.
//!
//! # Sequences
//! Everything rests on one rule: a sequence belongs to the highest-numbered segment that begins at or below it. A new run begins a new
//! segment above all that survived and above the store's cursor; an abandoned tail is copied under its own sequences. So nothing is ever
//! marked, truncated or rewritten in place, and a reader needs no state but a position.

mod aside;
mod batch;
mod config;
mod dir_disk;
mod disk;
mod error;
mod files;
mod frame;
mod frames;
mod inspect;
mod ledger;
mod log;
mod mapping;
mod position;
mod read;
mod recovery;
mod segment;
#[cfg(feature = "testing")]
pub mod sim;
mod spool;
mod sync;

pub use aside::count_aside;
pub use batch::Batch;
pub use config::{Medium, SpoolConfig};
pub use dir_disk::DirDisk;
pub use disk::{Disk, DiskFile, Mapping};
pub use error::{AppendError, OpenError, ReadError, SyncError};
pub use files::Prepared;
pub use inspect::{Inspection, inspect};
pub use ledger::Ledger;
pub use position::Position;
pub use recovery::{Recovery, Torn};
pub use spool::Spool;

/// The longest record: 64 KiB with its frame header.
pub const RECORD_BYTES_MAX: usize = frame::FRAME_BYTES_MAX - frame::FRAME_HEADER_BYTES;
