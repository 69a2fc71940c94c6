//! A click's life: recorded in the spool before the answer leaves, drained into the store exactly once.

use std::time::Duration;

use knurl_core::Click;

/// What the front holds: cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// In the spool: survives the death of this process.
    Kept,
    /// The spool is full or broken; counted as dropped.
    Dropped,
}

/// The spool was not drained up to the moment of asking within the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("clicks are still being delivered")]
pub struct BarrierTimeout;

impl Recorder {
    /// Answers and counts one click. Ready at once unless the spool is full (waits up to `full_wait`) or `durability = power`
    /// (waits for the fsync).
    pub async fn record(&self, _click: &Click<'_>) -> Recorded {
        todo!("clicks")
    }

    /// Drains this node's spool up to now, so that the caller sees its own clicks.
    pub async fn barrier(&self, _deadline: Duration) -> Result<(), BarrierTimeout> {
        todo!("clicks")
    }
}
