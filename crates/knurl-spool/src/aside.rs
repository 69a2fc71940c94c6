//! Records that their reader cannot deliver, kept beside the segments so that one of them does not hold up all that come after.
//!
//! # Promised
//! [`Spool::set_aside`] returns once the bytes and their name are synced. The same sequence twice is one file. Files set aside are never
//! read, released or deleted by the spool: they are for people.

use std::io;

use crate::frames::write_full;
use crate::{Disk, Spool};

const ASIDE_PREFIX: &str = "aside-";
const ASIDE_SUFFIX: &str = ".record";

impl Spool {
    /// Keeps the bytes of the record with this sequence in a file of its own.
    pub fn set_aside(&self, seq: u64, record: &[u8]) -> io::Result<()> {
        let name = format!("{ASIDE_PREFIX}{seq:020}{ASIDE_SUFFIX}");
        // Left by a try that failed half way: written again.
        match self.disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&name)?;
        write_full(&*file, record, 0)?;
        file.sync()?;
        self.disk.sync_dir()
    }
}

/// How many records were set aside here.
pub fn count_aside(disk: &dyn Disk) -> io::Result<u64> {
    let is_aside = |name: &&String| name.starts_with(ASIDE_PREFIX) && name.ends_with(ASIDE_SUFFIX);
    Ok(disk.list()?.iter().filter(is_aside).count() as u64)
}
