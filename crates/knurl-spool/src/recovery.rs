//! What `open` found.

use crate::{Medium, Position};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What is used, after a possible fallback.
    pub medium: Medium,
    /// Segment files that hold records.
    pub segments: u32,
    /// The end of what survived on disk.
    pub survived: Position,
    /// Where the new segment begins: `seq` is above `survived` when the store had been told more than survived a power loss.
    pub begins: Position,
    /// Damage found in the last segments: at most the one record that was being written after a kill.
    pub torn: Vec<Torn>,
    /// `answered` on the ledger less what survived and what was dropped: after a kill, at most the threads in flight. The ledger was
    /// set right.
    pub discrepancy: i64,
}

/// A stretch of a segment that holds no readable record although bytes are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    pub segment: u64,
    pub offset: u64,
    pub bytes: u64,
    /// Records known to be missing there, by the sequence of the next readable one.
    pub records: u64,
}
