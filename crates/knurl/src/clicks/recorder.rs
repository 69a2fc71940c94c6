//! The handle that records clicks.

use std::{net::IpAddr, time::Duration};

use knurl_core::{Click, UnixMillis};

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
    /// The fast path: answers and counts one click at once, or does nothing at all and returns `None`: then [`Recorder::record`] has to
    /// be awaited (no free segment, or `durability = power`).
    pub fn try_record(&self, _click: &Click<'_>) -> Option<Recorded> {
        todo!("clicks")
    }

    /// Answers and counts one click. Ready at once unless the spool is full (waits up to `full_wait`) or `durability = power`
    /// (waits for the fsync).
    pub async fn record(&self, _click: &Click<'_>) -> Recorded {
        todo!("clicks")
    }

    /// The visitor hash for a click of this instant, under its UTC day's salt.
    pub fn visitor(&self, _at: UnixMillis, _client: IpAddr, _user_agent: Option<&[u8]>) -> u64 {
        todo!("clicks")
    }

    /// Drains this node's spool up to now, so that the caller sees its own clicks.
    pub async fn barrier(&self, _deadline: Duration) -> Result<(), BarrierTimeout> {
        todo!("clicks")
    }
}
