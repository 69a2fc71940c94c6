//! What a spool asks of a disk: a flat directory of files, positional I/O, two kinds of sync, mapping and one lock.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub trait Disk: Send + Sync + Debug {
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new, empty file; `AlreadyExists` if it is there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// An existing file, for reading and, when `writable`, for writing.
    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names created, renamed and removed before durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// The exclusive lock of the directory, held until the guard is dropped; `None` when somebody else has it.
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
    /// Whether a store into a mapped page of a fully written file can never fail for want of space.
    fn mappable(&self) -> io::Result<bool>;
    /// Randomness for a new spool's identity.
    fn entropy(&self) -> io::Result<u128>;
}

pub trait DiskFile: Send + Sync + Debug {
    fn size(&self) -> io::Result<u64>;
    /// May read less than asked; 0 at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// May write less than asked.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// fdatasync: content and size.
    fn sync(&self) -> io::Result<()>;
    /// Shared, writable, the first `len` bytes.
    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>>;
}

/// A shared mapping with a single owner.
pub trait Mapping: Send + Sync + Debug {
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Called after stores through `bytes_mut`; nothing to do for a real mapping.
    fn stored(&mut self, offset: usize, len: usize);
    /// Adds to the little-endian u64 at `offset` (a multiple of 8) atomically; returns the new value.
    fn add(&self, offset: usize, n: u64) -> u64;
    fn load(&self, offset: usize) -> u64;
}
