//! The embedded store: SQLite in WAL mode, one writer thread with group commit, many readers.

mod backup;
mod store;

use std::{path::Path, sync::Arc, time::Duration};

pub use backup::{BackupProgress, TableHash, Verified, backup, verify};

use crate::store::Result;

/// How the embedded store uses the machine. The defaults are production's.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Writes committed together at most: bounds the time one commit takes, and what a failed commit takes with it.
    pub group_max: usize,
    /// Writes waiting at most; beyond it callers get [`crate::StoreError::Overloaded`] at once instead of a slow answer.
    pub queue_max: usize,
    /// Reader connections for point reads and for lists and stats.
    pub readers: usize,
    /// Page cache of each connection.
    pub cache_kib: u32,
    /// Address space for reading the file without copying; 0 turns it off.
    pub mmap_bytes: u64,
    /// How long to wait for another process's write.
    pub busy_timeout: Duration,
    /// Pages in the WAL at which the writer checkpoints.
    pub checkpoint_pages: u32,
    /// SQLite VFS to open through (fault injection in tests); `None` is the system's.
    pub vfs: Option<String>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            group_max: 256,
            queue_max: 4096,
            readers: 4,
            cache_kib: 16 * 1024,
            mmap_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(5),
            checkpoint_pages: 4000,
            vfs: None,
        }
    }
}

/// A handle; clones share the writer and the readers.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {}

impl SqliteStore {
    /// Opens or creates the database and brings its schema up to date. Blocks: call it before serving, or on a blocking thread.
    pub fn open(_path: &Path, _options: &SqliteOptions) -> Result<Self> {
        todo!("store")
    }
}
