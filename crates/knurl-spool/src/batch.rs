//! Records read back, in one buffer.

use std::ops::Range;

use crate::Position;
use crate::frame::FRAME_HEADER_BYTES;

/// What [`crate::Spool::read`] found: `next.seq = from.seq + len() + skipped`, always.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ranges: Vec<Range<usize>>,
    /// Go on from here.
    pub next: Position,
    /// Records between `from` and `next` that are lost (damage, power loss): they will never be read.
    pub skipped: u64,
}

impl Batch {
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ranges.iter().map(|range| &self.bytes[range.clone()])
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Headers count, so that empty records fill a batch too; one record always fits.
    pub(crate) fn is_full(&self, bytes_max: usize) -> bool {
        !self.is_empty() && self.bytes.len() + self.len() * FRAME_HEADER_BYTES >= bytes_max
    }

    /// No records; `skipped` may still be above zero, and `next` ahead of `from`.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}
