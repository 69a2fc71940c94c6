//! Every way a spool can fail, by the step that failed.

use std::io;

use crate::Position;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the spool is in use by another process")]
    Locked,
    #[error("not a spool this version can open: {0}")]
    Foreign(String),
    #[error("the spool's configuration is invalid: {0}")]
    Config(String),
    #[error("the spool could not be opened")]
    Io(#[from] io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No prepared segment is left: wait for [`crate::Spool::prepare`], or drop and count.
    #[error("no prepared segment is left in the spool")]
    NoSegment,
    #[error("a record of {len} bytes is above the spool's {max}")]
    TooLarge { len: usize, max: usize },
    /// Closed, or broken by [`SyncError::Lost`].
    #[error("the spool is closed")]
    Closed,
    /// [`crate::Medium::Written`] only; the record is not in the spool.
    #[error("the spool could not be written")]
    Io(#[from] io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// An fsync failed; the un-synced tail was rewritten to a new segment and is durable there. Everything goes on; be loud.
    #[error("an fsync failed; the tail of the spool was rewritten and is durable up to record {}", durable.seq)]
    Moved { durable: Position, source: io::Error },
    /// An fsync failed and the tail could not be saved: records above [`crate::Spool::durable`] may be lost. The process must exit.
    #[error("an fsync failed and the tail of the spool could not be rewritten")]
    Lost { source: io::Error },
    #[error("the spool is closed")]
    Closed,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The position lies above everything this spool ever held.
    #[error("position {from:?} is ahead of the spool's end {written:?}")]
    Ahead { from: Position, written: Position },
    #[error("the spool could not be read")]
    Io(#[from] io::Error),
}
