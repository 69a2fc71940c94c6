//! A disk in memory that remembers what it was asked, for tests of crashes and faults (feature `testing`).
//!
//! # Promised
//! - Every operation is journalled; [`Platter`] replays a journal and yields the states a power loss could leave.
//! - Faults strike the n-th operation they can strike, once or from then on.
//! - Stores through a mapping are journalled in two pieces of random order: a kill may fall between them.
//! - The same seed gives the same disk.

mod dice;
mod platter;

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use dice::Dice;
pub use platter::{Kept, Op, Platter};

use crate::{Disk, DiskFile, Mapping};

/// Files by name.
pub type Image = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO from any operation.
    Io,
    /// ENOSPC from `create` or `write_at`.
    NoSpace,
    /// `write_at` writes half and says so.
    ShortWrite,
    /// `write_at` writes half and answers EIO.
    TornWrite,
    /// `sync` of a file answers EIO; the pages are clean afterwards, some of them never written.
    FailedSync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strikes {
    Once,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Name,
    Create,
    Write,
    Sync,
}

#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    names: BTreeMap<String, usize>,
    /// The page cache.
    files: Vec<Vec<u8>>,
    journal: Vec<Op>,
    dice: Dice,
    /// The fault, how often it strikes, and before how many more applicable operations.
    fault: Option<(Fault, Strikes, u64)>,
    struck: u64,
    mappable: bool,
    /// Of all files that have a name.
    capacity: usize,
    locked: bool,
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::from_image(&Image::new(), seed)
    }

    /// The image is durable.
    pub fn from_image(image: &Image, seed: u64) -> SimDisk {
        let names = image.keys().cloned().zip(0..).collect();
        let files = image.values().cloned().collect();
        let inner = Inner {
            names,
            files,
            journal: Vec::new(),
            dice: Dice::new(seed),
            fault: None,
            struck: 0,
            mappable: true,
            capacity: usize::MAX,
            locked: false,
        };
        SimDisk { inner: Arc::new(Mutex::new(inner)) }
    }

    pub fn unmappable(self) -> SimDisk {
        self.inner().mappable = false;
        self
    }

    /// ENOSPC from a write that would grow the files beyond this.
    pub fn with_capacity(self, bytes: usize) -> SimDisk {
        self.inner().capacity = bytes;
        self
    }

    /// What a kill of the process leaves: the page cache.
    pub fn image(&self) -> Image {
        let inner = self.inner();
        inner.names.iter().map(|(name, &file)| (name.clone(), inner.files[file].clone())).collect()
    }

    pub fn journal_len(&self) -> usize {
        self.inner().journal.len()
    }

    pub fn journal(&self) -> Vec<Op> {
        self.inner().journal.clone()
    }

    /// The `nth` (from 1) operation from now that the fault can strike fails.
    pub fn fail(&self, fault: Fault, strikes: Strikes, nth: u64) {
        self.inner().fault = Some((fault, strikes, nth.saturating_sub(1)));
    }

    pub fn heal(&self) {
        self.inner().fault = None;
    }

    /// How often a fault has struck.
    pub fn struck(&self) -> u64 {
        self.inner().struck
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), file })
    }
}

impl Inner {
    /// The fault that strikes this operation, if any.
    fn strike(&mut self, kind: Kind) -> Option<Fault> {
        let (fault, strikes, left) = self.fault.as_mut()?;
        let applies = match fault {
            Fault::Io => true,
            Fault::NoSpace => matches!(kind, Kind::Create | Kind::Write),
            Fault::ShortWrite | Fault::TornWrite => kind == Kind::Write,
            Fault::FailedSync => kind == Kind::Sync,
        };
        if !applies {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        if *strikes == Strikes::Once {
            self.fault = None;
        }
        self.struck += 1;
        Some(fault)
    }

    fn may_fail(&mut self, kind: Kind) -> io::Result<()> {
        match self.strike(kind) {
            None => Ok(()),
            Some(Fault::NoSpace) => Err(io::Error::from_raw_os_error(28)),
            Some(_) => Err(io::Error::from_raw_os_error(5)),
        }
    }

    fn has_room(&self, file: usize, len: usize) -> bool {
        let grown = len.saturating_sub(self.files[file].len());
        grown == 0 || self.names.values().map(|&named| self.files[named].len()).sum::<usize>() + grown <= self.capacity
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, file: usize, offset: usize, bytes: &[u8]) {
        let content = &mut self.files[file];
        if content.len() < offset + bytes.len() {
            content.resize(offset + bytes.len(), 0);
        }
        content[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.journal.push(Op::Write { file, offset, bytes: bytes.to_vec() });
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Read)?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Create)?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = inner.files.len();
        inner.files.push(Vec::new());
        inner.names.insert(name.to_owned(), file);
        inner.journal.push(Op::Create { name: name.to_owned(), file });
        Ok(self.file(file))
    }

    fn open(&self, name: &str, _writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Read)?;
        let file = inner.find(name)?;
        Ok(self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Name)?;
        let file = inner.find(from)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), file);
        inner.journal.push(Op::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Name)?;
        inner.find(name)?;
        inner.names.remove(name);
        inner.journal.push(Op::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Name)?;
        inner.journal.push(Op::SyncDir);
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Read)?;
        if std::mem::replace(&mut inner.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Locked { disk: self.clone() })))
    }

    fn mappable(&self) -> io::Result<bool> {
        let mut inner = self.inner();
        inner.may_fail(Kind::Read)?;
        Ok(inner.mappable)
    }

    fn entropy(&self) -> io::Result<u128> {
        let mut inner = self.inner();
        Ok(u128::from(inner.dice.roll()) << 64 | u128::from(inner.dice.roll()))
    }
}

struct Locked {
    disk: SimDisk,
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.disk.inner().locked = false;
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let mut inner = self.disk.inner();
        inner.may_fail(Kind::Read)?;
        Ok(inner.files[self.file].len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        inner.may_fail(Kind::Read)?;
        let from = inner.files[self.file].get(offset as usize..).unwrap_or_default();
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        let (count, answer) = match inner.strike(Kind::Write) {
            None if !inner.has_room(self.file, offset as usize + bytes.len()) => (0, Err(io::Error::from_raw_os_error(28))),
            None => (bytes.len(), Ok(bytes.len())),
            Some(Fault::ShortWrite) if bytes.len() > 1 => (bytes.len() / 2, Ok(bytes.len() / 2)),
            Some(Fault::ShortWrite) => (bytes.len(), Ok(bytes.len())),
            Some(Fault::TornWrite) => (bytes.len() / 2, Err(io::Error::from_raw_os_error(5))),
            Some(Fault::NoSpace) => (0, Err(io::Error::from_raw_os_error(28))),
            Some(_) => (0, Err(io::Error::from_raw_os_error(5))),
        };
        if count > 0 {
            inner.write(self.file, offset as usize, &bytes[..count]);
        }
        answer
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let failed = inner.may_fail(Kind::Sync);
        let op = match failed {
            Ok(()) => Op::Sync { file: self.file },
            Err(_) => Op::FailedSync { file: self.file, seed: inner.dice.roll() },
        };
        inner.journal.push(op);
        failed
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        let mut inner = self.disk.inner();
        inner.may_fail(Kind::Read)?;
        let bytes = inner.files[self.file].get(..len).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec();
        Ok(Box::new(SimMapping { disk: self.disk.clone(), file: self.file, bytes }))
    }
}

#[derive(Debug)]
struct SimMapping {
    disk: SimDisk,
    file: usize,
    /// Becomes visible in the file by `stored`.
    bytes: Vec<u8>,
}

impl Mapping for SimMapping {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn stored(&mut self, offset: usize, len: usize) {
        let mut inner = self.disk.inner();
        let cut = offset + inner.dice.below(len as u64 + 1) as usize;
        let (first, second) = (offset..cut, cut..offset + len);
        let pieces = if inner.dice.chance(50) { [first, second] } else { [second, first] };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            inner.write(self.file, piece.start, &self.bytes[piece.clone()]);
        }
    }

    fn add(&self, offset: usize, n: u64) -> u64 {
        let mut inner = self.disk.inner();
        let value = crate::segment::u64_at(&inner.files[self.file], offset).wrapping_add(n);
        inner.write(self.file, offset, &value.to_le_bytes());
        value
    }

    fn load(&self, offset: usize) -> u64 {
        crate::segment::u64_at(&self.disk.inner().files[self.file], offset)
    }
}
