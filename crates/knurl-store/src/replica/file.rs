//! The file: opened if it is whole and ours, else thrown away and begun anew. It can be rebuilt from the database at any time, so nothing
//! about it is worth repairing.
//!
//! WAL with `synchronous=NORMAL`: a killed process loses nothing, a power loss the last moments, and then position and links go back
//! together. What a disk does to it behind our back is told by check sums: one a row, one over the progress.

use std::{
    fs, io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::position::Position;
use crate::{
    StoreError,
    sqlite::{
        SqliteOptions,
        connection::{self, Access},
        failure::store_error,
        readers::Readers,
    },
    store::Result,
};

/// `knrr`, in the file's header.
const APPLICATION_ID: i64 = 0x6b6e_7272;
/// Another one is thrown away: changing it is all the migration there is.
const FORMAT: i64 = 1;
const SCHEMA: &str = include_str!("queries/schema.sql");
const PROGRESS_GET: &str = include_str!("queries/progress_get.sql");
const PROGRESS_PUT: &str = include_str!("queries/progress_put.sql");
/// Of the writer. Codes are random, so a first copy touches pages all over their index.
const CACHE_KIB: u32 = 64 << 10;
/// Of each reader: the inner pages of ten million codes.
const READER_CACHE_KIB: u32 = 8 << 10;

/// Which database the copy is of, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) database: String,
    pub(super) lineage: String,
    pub(super) generation: String,
    pub(super) position: Position,
    /// Links in the copy that are not deleted, twins included.
    pub(super) links: u64,
    pub(super) compared: Compared,
    /// Whether every link has been copied once.
    pub(super) complete: bool,
}

/// How much of the copy is known to be what the database has, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Compared {
    All,
    UpTo(i64),
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) readers: Arc<Readers>,
    pub(super) writer: Mutex<Connection>,
    inode: u64,
}

pub(super) struct Opened {
    pub(super) file: File,
    pub(super) progress: Option<Progress>,
    /// There was one, and it was damaged.
    pub(super) was_damaged: bool,
}

/// What another version's is called.
const NOT_OURS: &str = "the file is no replica of this version";

/// Blocks. An error is the disk's: nothing can be kept there now.
pub(super) fn open(path: &Path) -> Result<Opened> {
    match open_as_it_is(path) {
        Ok(opened) => Ok(opened),
        Err(why @ (StoreError::Corrupt(_) | StoreError::Internal(_))) => {
            tracing::warn!(error = &why as &dyn std::error::Error, "the replica is thrown away and copied anew");
            remove(path).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            let was_damaged = !matches!(&why, StoreError::Corrupt(words) if words == NOT_OURS);
            Ok(Opened { was_damaged, ..open_as_it_is(path)? })
        }
        Err(other) => Err(other),
    }
}

fn open_as_it_is(path: &Path) -> Result<Opened> {
    refuse_stranger(path)?;
    let options = options();
    let writer = connection::open(path, &options, Access::ReadWrite)?;
    let set = |name: &str, value: i64| writer.pragma_update(None, name, value).map_err(store_error);
    writer.pragma_update(None, "synchronous", "normal").map_err(store_error)?;
    let number = |name: &str| writer.pragma_query_value::<i64, _>(None, name, |row| row.get(0)).map_err(store_error);
    match (number("application_id")?, number("user_version")?) {
        (APPLICATION_ID, FORMAT) => {}
        (0, 0) => {
            set("application_id", APPLICATION_ID)?;
            writer.execute_batch(SCHEMA).map_err(store_error)?;
            set("user_version", FORMAT)?;
        }
        _ => return Err(StoreError::Corrupt(NOT_OURS.into())),
    }
    refuse_torn(path, &writer)?;
    let progress = progress(&writer)?;
    let inode = inode(path).ok_or_else(|| StoreError::Unavailable("the replica was removed while it was opened".into()))?;
    let readers = Arc::new(Readers::new(path, &options));
    Ok(Opened { file: File { readers, writer: Mutex::new(writer), inode }, progress, was_damaged: false })
}

/// Not mapped: a page that the disk cannot read, or a file cut short under us, would end the process instead of the read.
fn options() -> SqliteOptions {
    SqliteOptions { cache_kib: CACHE_KIB, reader_cache_kib: READER_CACHE_KIB, mmap_bytes: 0, ..SqliteOptions::default() }
}

/// SQLite would take a file of less than a page's beginning for an empty one, and a page of zeros too.
fn refuse_stranger(path: &Path) -> Result<()> {
    let mut begin = [0; 16];
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::Unavailable(Box::new(error))),
    };
    match file.read_exact_at(&mut begin, 0) {
        Ok(()) if begin == *b"SQLite format 3\0" => Ok(()),
        _ => Err(StoreError::Corrupt("the replica does not begin as a database".into())),
    }
}

/// The end of the file is cut off. Known once the WAL is in it: a checkpoint that was cut short leaves a file behind its header.
fn refuse_torn(path: &Path, writer: &Connection) -> Result<()> {
    writer.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).map_err(store_error)?;
    let mut numbers = [0; 4];
    let file = fs::File::open(path).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    let header = |numbers: &mut [u8], at| file.read_exact_at(numbers, at).map_err(|error| StoreError::Corrupt(error.to_string()));
    header(&mut numbers[..2], 16)?;
    let page_bytes = match u16::from_be_bytes([numbers[0], numbers[1]]) {
        1 => 1 << 16,
        bytes => u64::from(bytes),
    };
    header(&mut numbers, 28)?;
    let pages = u64::from(u32::from_be_bytes(numbers));
    let bytes = file.metadata().map_err(|error| StoreError::Unavailable(Box::new(error)))?.len();
    if bytes < pages * page_bytes {
        return Err(StoreError::Corrupt(format!("the replica ends after {bytes} bytes of {pages} pages")));
    }
    Ok(())
}

pub(super) fn progress(connection: &Connection) -> Result<Option<Progress>> {
    let kept = connection.query_row(PROGRESS_GET, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    let Some((text, sum)) = kept.optional().map_err(store_error)? else {
        return Ok(None);
    };
    if i64::from(crc32fast::hash(text.as_bytes())) != sum {
        return Err(StoreError::Corrupt("the replica's progress is not what was written".into()));
    }
    serde_json::from_str(&text).map(Some).map_err(|error| StoreError::Corrupt(format!("the replica's progress: {error}")))
}

pub(super) fn put_progress(connection: &Connection, progress: &Progress) -> Result<()> {
    let text = serde_json::to_string(progress).map_err(|error| StoreError::Internal(Box::new(error)))?;
    let sum = i64::from(crc32fast::hash(text.as_bytes()));
    let put = connection.prepare_cached(PROGRESS_PUT).and_then(|mut put| put.execute((text, sum)));
    put.map(drop).map_err(store_error)
}

impl File {
    /// Whether the name still leads to it: one that was removed would be gone at the next start.
    pub(super) fn is_in_place(&self, path: &Path) -> bool {
        inode(path) == Some(self.inode)
    }

    /// Closes every connection, waiting for the reads under way: SQLite removes a WAL by its name when the last one closes, and by then
    /// that name must not be another file's.
    pub(super) async fn close(self: Arc<Self>) {
        self.readers.close().await;
    }
}

/// With its WAL and index.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for ending in ["-wal", "-shm", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}
