//! Where a record ends: the one coordinate that leaves this crate.

/// A place between two records. Ordered by segment, then offset; `seq` grows with both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
    /// Records before this place, ever, in this spool.
    pub seq: u64,
}
