//! A look from another process: no lock, no writes.

use crate::{Disk, OpenError, Position, Torn};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub id: u128,
    pub answered: u64,
    pub dropped: u64,
    pub written: Position,
    /// Records above `delivered` (all on disk when it is `None`).
    pub backlog_records: u64,
    pub segments: u32,
    pub torn: Vec<Torn>,
}

/// Reads the spool while its owner may be running; then the figures are of one moment each, not of one moment together.
pub fn inspect(_disk: &dyn Disk, _delivered: Option<Position>) -> Result<Inspection, OpenError> {
    todo!("spool")
}
