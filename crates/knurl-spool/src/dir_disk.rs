//! Real files in one directory.
//!
//! # Mapping
//! Allowed on ext2/3/4, XFS and tmpfs, where a store into a page of a file that was written in full needs no new block. Everything else
//! is refused and the spool writes instead: copy-on-write file systems (btrfs, ZFS, bcachefs) allocate on every store and answer a full
//! disk with SIGBUS; network file systems answer an outage with it; overlayfs hides which of these its upper layer is.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock, fstatfs};

use crate::mapping::FileMapping;
use crate::{Disk, DiskFile, Mapping};

const EXT_MAGIC: u64 = 0xef53;
const XFS_MAGIC: u64 = 0x5846_5342;
const TMPFS_MAGIC: u64 = 0x0102_1994;

#[derive(Clone, Debug)]
pub struct DirDisk {
    dir: PathBuf,
}

impl DirDisk {
    /// Creates the directory (0700) when it is missing.
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<DirDisk> {
        let dir = dir.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(DirDisk { dir })
    }

    /// The directory as it is: for looking at a spool that may not exist.
    pub fn existing(dir: impl Into<PathBuf>) -> DirDisk {
        DirDisk { dir: dir.into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Disk for DirDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.dir)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        // A name that is not UTF-8 is none of ours.
        names.filter_map(Result::transpose).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.dir.join(name))?;
        Ok(Arc::new(OpenFile { file }))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(writable).open(self.dir.join(name))?;
        Ok(Arc::new(OpenFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let path = self.dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn mappable(&self) -> io::Result<bool> {
        let kind = fstatfs(File::open(&self.dir)?)?.f_type as u64;
        Ok([EXT_MAGIC, XFS_MAGIC, TMPFS_MAGIC].contains(&kind))
    }

    fn entropy(&self) -> io::Result<u128> {
        let mut bytes = [0_u8; 16];
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::rand::getrandom(&mut bytes[done..], rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(u128::from_le_bytes(bytes))
    }
}

#[derive(Debug)]
struct OpenFile {
    file: File,
}

impl DiskFile for OpenFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        Ok(Box::new(FileMapping::new(&self.file, len)?))
    }
}
