//! How every connection to the database file is set up.

use std::{ffi::CString, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{SqliteOptions, failure::store_error};
use crate::{StoreError, store::Result};

/// More than there are queries, so that no statement is ever prepared twice on a connection.
const STATEMENTS_MAX: usize = 128;

/// The WAL is cut back to this after a checkpoint has emptied it.
const WAL_KEPT_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadWrite,
    ReadOnly,
}

pub(crate) fn open(path: &Path, options: &SqliteOptions, access: Access) -> Result<Connection> {
    let mode = match access {
        Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        // A read-only handle could not build the WAL's index after a crash; `query_only` below keeps it from writing rows.
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    // Every connection is used by one thread at a time: SQLite's own mutex would be paid for nothing.
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match &options.vfs {
        None => Connection::open_with_flags(path, flags),
        Some(vfs) => {
            let vfs = CString::new(vfs.as_str()).map_err(|e| StoreError::Internal(Box::new(e)))?;
            Connection::open_with_flags_and_vfs(path, flags, vfs.as_c_str())
        }
    }
    .map_err(store_error)?;
    set_up(&conn, options, access).map_err(store_error)?;
    Ok(conn)
}

fn set_up(conn: &Connection, options: &SqliteOptions, access: Access) -> rusqlite::Result<()> {
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    // Events outlive the links and users they name.
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    let cache_kib = match access {
        Access::ReadWrite => options.cache_kib,
        Access::ReadOnly => options.reader_cache_kib,
    };
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    conn.pragma_update(None, "mmap_size", options.mmap_bytes as i64)?;
    conn.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES as i64)?;
    conn.pragma_update(None, "wal_autocheckpoint", options.checkpoint_pages)?;
    if access == Access::ReadOnly {
        conn.pragma_update(None, "query_only", true)?;
    }
    Ok(())
}
