//! The disk that the data directory is on: how large it is, and what is left.
//!
//! Promised: nothing is shown that is not known: before the first look, and after one that failed, there is no series.

use std::{
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{
    counters::Gauge,
    table::{self, Encoded, Out},
};

/// Of a file system, as somebody without privileges may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free_bytes: u64,
    pub size_bytes: u64,
}

impl Space {
    /// Asks the disk, and waits for it: not for a thread that others wait for.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        // What is kept back for root is nobody's: a disk is full when nothing can be written.
        let kept_back = stat.f_bfree.saturating_sub(stat.f_bavail);
        Ok(Self { free_bytes: bytes(stat.f_bavail), size_bytes: bytes(stat.f_blocks.saturating_sub(kept_back)) })
    }
}

#[derive(Debug, Default)]
pub struct DiskMetrics {
    space: Mutex<Option<Space>>,
    /// What the spool may take of it.
    pub spool_bytes_max: Gauge,
}

impl DiskMetrics {
    pub fn seen(&self, space: Option<Space>) {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = space;
    }

    pub fn space(&self) -> Option<Space> {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        if let Some(space) = self.space() {
            table::DATA_DIR_FREE.gauge(out, space.free_bytes as f64)?;
            table::DATA_DIR_SIZE.gauge(out, space.size_bytes as f64)?;
        } else {
            table::DATA_DIR_FREE.of(out)?;
            table::DATA_DIR_SIZE.of(out)?;
        }
        table::SPOOL_BYTES_MAX.gauge(out, self.spool_bytes_max.get() as f64)
    }
}
