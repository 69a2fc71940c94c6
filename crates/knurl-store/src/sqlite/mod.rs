//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, one writer thread with group commit, many readers.
//!
//! Layout: [`writer`] owns the write connection, [`readers`] the others; `links`, `users`, `events`, `clicks`, `stats`, `keys`,
//! `salts` and `import` are the methods of the trait as functions of a connection; `sql` names the statements in `queries/`;
//! `store` is the trait itself; `migrate` and `backup` look after the file.

mod acceptances;
mod backup;
mod clicks;
pub(crate) mod connection;
mod events;
pub(crate) mod failure;
mod hash;
mod import;
mod keys;
mod links;
mod migrate;
pub mod moving;
mod once;
mod pace;
mod prepared;
pub(crate) mod readers;
mod roll_up;
mod rows;
mod salts;
mod sql;
mod stats;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod tx;
mod users;
mod writer;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod writer_tests;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

pub use backup::{BackupProgress, TableHash, Verified, backup, schema_known, schema_version, verify};
use connection::Access;
pub use failure::is_locked;
use failure::store_error;
use prepared::Prepare;
use readers::Readers;
use rusqlite::{Connection, OptionalExtension};
use writer::Writer;
pub use writer::WriterCounters;

use crate::store::Result;

/// How the embedded store uses the machine. The defaults are production's.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Writes committed together at most: bounds the time one commit takes, and what a failed commit takes with it.
    pub group_max: usize,
    /// Writes waiting at most; beyond it callers get [`crate::StoreError::Overloaded`] at once instead of a slow answer.
    pub queue_max: usize,
    /// Connections for point reads on the caller's thread: as many as there are cores is enough.
    pub point_readers: usize,
    /// Connections for lists and stats, which run on blocking threads.
    pub readers: usize,
    /// Page cache of the writer: the inner pages and the hot leaves of the index over codes.
    pub cache_kib: u32,
    /// Page cache of each reader; most of what they read is mapped.
    pub reader_cache_kib: u32,
    /// Address space for reading the file without copying; 0 turns it off.
    pub mmap_bytes: u64,
    /// How long to wait for another process's write.
    pub busy_timeout: Duration,
    /// Between attempts to open the database again after an error, so that a dead disk is not hammered. Writes are refused at once
    /// meanwhile.
    pub reopen_pause: Duration,
    /// Pages in the WAL at which the writer checkpoints. Codes are random, so creates touch pages all over their index: the more of
    /// them a checkpoint takes together, the more often it writes a page once instead of many times.
    pub checkpoint_pages: u32,
    /// SQLite VFS to open through (fault injection in tests); `None` is the system's.
    pub vfs: Option<String>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            group_max: 256,
            queue_max: 4096,
            point_readers: 4,
            readers: 4,
            cache_kib: 64 * 1024,
            reader_cache_kib: 4 * 1024,
            mmap_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(5),
            reopen_pause: Duration::from_millis(50),
            checkpoint_pages: 16_000,
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
struct Inner {
    writer: Writer,
    readers: Arc<Readers>,
    /// The last answer of `foreign_changes`.
    foreign_seen: AtomicU64,
}

impl SqliteStore {
    /// Opens or creates the database and brings its schema up to date. Blocks: call it before serving, or on a blocking thread.
    pub fn open(path: &Path, options: &SqliteOptions) -> Result<Self> {
        let conn = connection::open(path, options, Access::ReadWrite)?;
        migrate::migrate(&conn)?;
        moving::standing(&conn)?.refuse_unless_usable()?;
        let writer = Writer::start(path, options, conn)?;
        let readers = Arc::new(Readers::new(path, options));
        // No answer there can be: the first one counts as a change.
        let foreign_seen = AtomicU64::new(u64::MAX);
        Ok(Self { inner: Arc::new(Inner { writer, readers, foreign_seen }) })
    }

    /// What the writer has done so far.
    pub fn writer_counters(&self) -> &WriterCounters {
        &self.inner.writer.counters
    }

    /// Writes waiting for their turn.
    pub fn writes_queued(&self) -> usize {
        self.inner.writer.queued()
    }
}

/// A running total; see [`tx`]. Counted anew where it is lost.
fn counter(conn: &Connection, name: &str) -> Result<u64> {
    let kept = conn.prepared(sql::COUNTER_GET).and_then(|mut query| query.query_row([name], |row| row.get(0)).optional());
    let value = match kept.map_err(store_error)? {
        Some(value) => value,
        None => tx::counted(conn, name).map_err(store_error)?.unwrap_or(0),
    };
    Ok(value.max(0) as u64)
}
