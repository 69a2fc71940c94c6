//! Online backup, and the proof that the copy is the source.
//!
//! Promised: the copy is one snapshot of a database that may be written to meanwhile; it gets its name only after it has passed
//! `integrity_check`, every row of it has been compared by hash with that snapshot, and it is on disk; only its owner can read it. Refused: to write over the
//! source or over a database that is in use.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

pub use super::hash::TableHash;
use super::{
    SqliteOptions,
    connection::{self, Access},
    failure::store_error,
    migrate,
};
use crate::{StoreError, store::Result};

/// Pages copied between two words of progress.
const STEP_PAGES: i32 = 2048;
/// Waiting for a source that another process keeps locked ends after this many pauses.
const LOCKED_RETRIES_MAX: u32 = 600;
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    pub pages_done: u64,
    pub pages_total: u64,
}

/// A database that passed `integrity_check`, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub schema_version: i64,
    pub tables: Vec<TableHash>,
}

/// Copies the database while a server may be writing to it, verifies the copy against the snapshot it was taken from and only then
/// gives it its name. Blocks. An existing `dest` is replaced.
pub fn backup(source: &Path, dest: &Path, progress: &mut dyn FnMut(BackupProgress)) -> Result<Verified> {
    refuse_dest(source, dest)?;
    let partial = sibling(dest, ".partial")?;
    refuse_running(&partial)?;
    remove_database(&partial)?;
    let held = create(&partial)?;
    let done = copy(source, &partial, progress).and_then(|verified| {
        publish(&partial, dest).map_err(io_error)?;
        Ok(verified)
    });
    // Closing any descriptor of a file ends SQLite's locks on it, so this one is the last.
    drop(held);
    if done.is_err()
        && let Err(error) = remove_database(&partial)
    {
        tracing::warn!(%error, path = %partial.display(), "an unfinished backup could not be removed");
    }
    done
}

/// What this Knurl's schema is.
pub fn schema_known() -> i64 {
    migrate::MIGRATIONS.len() as i64
}

/// The database's schema version. Blocks, and changes nothing.
pub fn schema_version(path: &Path) -> Result<i64> {
    let conn = open(path)?;
    let found = migrate::schema_version(&conn)?;
    close(conn)?;
    Ok(found)
}

/// Opens a database, checks its integrity and hashes its rows, all in one snapshot. `Corrupt` where the check fails. Blocks.
pub fn verify(path: &Path) -> Result<Verified> {
    let conn = open(path)?;
    let verified = verify_here(&conn)?;
    close(conn)?;
    Ok(verified)
}

fn copy(source: &Path, partial: &Path, progress: &mut dyn FnMut(BackupProgress)) -> Result<Verified> {
    let from = open(source)?;
    let mut to = Connection::open(partial).map_err(store_error)?;
    // The read transaction stays open until the hashes are taken: copy and hashes are of the same snapshot, and the copy never has
    // to begin again because somebody wrote.
    begin_snapshot(&from)?;
    let copying = Backup::new(&from, &mut to).map_err(store_error)?;
    let mut retries = 0;
    loop {
        let step = copying.step(STEP_PAGES).map_err(store_error)?;
        let pages = copying.progress();
        let total = pages.pagecount.max(0) as u64;
        progress(BackupProgress { pages_done: total - (pages.remaining.max(0) as u64).min(total), pages_total: total });
        match step {
            StepResult::Done => break,
            StepResult::More => retries = 0,
            _ if retries >= LOCKED_RETRIES_MAX => return Err(StoreError::Unavailable("the database stays locked".into())),
            _ => {
                retries += 1;
                std::thread::sleep(LOCKED_PAUSE);
            }
        }
    }
    drop(copying);
    close(to)?;
    let of_source = Verified { schema_version: migrate::schema_version(&from)?, tables: super::hash::tables(&from)? };
    close(from)?;
    let of_copy = verify(partial)?;
    if of_copy != of_source {
        return Err(StoreError::Corrupt("the copy differs from the source".into()));
    }
    Ok(of_copy)
}

/// The unfinished copy, held: whoever finds it without a holder may remove it.
fn create(partial: &Path) -> Result<File> {
    // It holds hashes of keys and the visitors' salts: ours alone, wherever it is written to.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial).map_err(io_error)?;
    // A file system without such locks: as if nobody else were there.
    let _ = file.try_lock();
    Ok(file)
}

fn refuse_running(partial: &Path) -> Result<()> {
    match File::open(partial).map(|file| file.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => {
            Err(StoreError::Unavailable(format!("another backup is writing {}", partial.display()).into()))
        }
        _ => Ok(()),
    }
}

fn verify_here(conn: &Connection) -> Result<Verified> {
    begin_snapshot(conn)?;
    let found: Vec<String> = conn
        .prepare("pragma integrity_check(10)")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .map_err(store_error)?;
    if found != ["ok"] {
        return Err(StoreError::Corrupt(found.join("; ")));
    }
    Ok(Verified { schema_version: migrate::schema_version(conn)?, tables: super::hash::tables(conn)? })
}

fn open(path: &Path) -> Result<Connection> {
    let conn = connection::open(path, &SqliteOptions::default(), Access::ReadOnly)?;
    migrate::refuse_strangers(&conn)?;
    if migrate::schema_version(&conn)? == 0 {
        return Err(StoreError::Corrupt("the file is an empty database".into()));
    }
    Ok(conn)
}

/// A deferred transaction takes its snapshot at the first read.
fn begin_snapshot(conn: &Connection) -> Result<()> {
    conn.execute_batch("begin; select count(*) from sqlite_schema;").map_err(store_error)
}

fn close(conn: Connection) -> Result<()> {
    conn.close().map_err(|(_, error)| store_error(error))
}

fn refuse_dest(source: &Path, dest: &Path) -> Result<()> {
    let same = match (source.canonicalize(), dest.canonicalize()) {
        (Ok(source), Ok(dest)) => source == dest,
        _ => false,
    };
    if same {
        return Err(StoreError::Unavailable("a backup cannot replace its own source".into()));
    }
    // Renaming over a database whose log is still there would marry a new file to an old log.
    let log = sibling(dest, "-wal")?;
    match fs::metadata(&log) {
        Ok(meta) if meta.len() > 0 => Err(StoreError::Unavailable(format!("{} is in use", dest.display()).into())),
        _ => Ok(()),
    }
}

/// The copy's bytes and its name, both on disk.
fn publish(partial: &Path, dest: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, dest)?;
    let parent = match dest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(sibling(path, suffix)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
            _ => {}
        }
    }
    Ok(())
}

fn sibling(path: &Path, suffix: &str) -> Result<PathBuf> {
    let mut name = path.file_name().ok_or_else(|| StoreError::Unavailable("not a file name".into()))?.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}

fn io_error(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(Box::new(error)),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}
