//! A spool's disk in memory, whose files a target may damage between two openings.

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use knurl_spool::{Disk, DiskFile, Mapping};

#[derive(Clone, Debug, Default)]
pub struct MemDisk(Arc<Mutex<BTreeMap<String, Arc<MemFile>>>>);

#[derive(Debug, Default)]
pub struct MemFile(Mutex<Vec<u8>>);

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemDisk {
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        hold(&self.0).insert(name.to_owned(), Arc::new(MemFile(Mutex::new(bytes))));
    }

    pub fn names(&self) -> Vec<String> {
        hold(&self.0).keys().cloned().collect()
    }

    /// Changes the bytes of a file behind the spool's back.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = hold(&self.0).get(name) {
            change(&mut hold(&file.0));
        }
    }

    fn file(&self, name: &str) -> io::Result<Arc<MemFile>> {
        hold(&self.0).get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if hold(&self.0).contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.put(name, Vec::new());
        Ok(Arc::new(Handle(self.file(name)?)))
    }

    fn open(&self, name: &str, _writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Handle(self.file(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        let mut files = hold(&self.0);
        files.remove(from);
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        hold(&self.0).remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        Ok(Some(Box::new(())))
    }

    fn mappable(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn entropy(&self) -> io::Result<u128> {
        Ok(0x6b6e_7572_6c00_1122_3344_5566_7788_99aa)
    }
}

#[derive(Clone, Debug)]
struct Handle(Arc<MemFile>);

impl DiskFile for Handle {
    fn size(&self) -> io::Result<u64> {
        Ok(hold(&self.0.0).len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = hold(&self.0.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = hold(&self.0.0);
        let from = offset as usize;
        if bytes.len() < from + new.len() {
            bytes.resize(from + new.len(), 0);
        }
        bytes[from..from + new.len()].copy_from_slice(new);
        Ok(new.len())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        if hold(&self.0.0).len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Box::new(MemMapping { file: self.0.clone(), mine: vec![0; len] }))
    }
}

/// Of the counters only: segments are written, not mapped, on this disk.
#[derive(Debug)]
struct MemMapping {
    file: Arc<MemFile>,
    mine: Vec<u8>,
}

impl Mapping for MemMapping {
    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.mine.len();
        self.mine.copy_from_slice(&hold(&self.file.0)[..len]);
        &mut self.mine
    }

    fn stored(&mut self, offset: usize, len: usize) {
        hold(&self.file.0)[offset..offset + len].copy_from_slice(&self.mine[offset..offset + len]);
    }

    fn add(&self, offset: usize, n: u64) -> u64 {
        let mut bytes = hold(&self.file.0);
        let sum = word(&bytes, offset).wrapping_add(n);
        bytes[offset..offset + 8].copy_from_slice(&sum.to_le_bytes());
        sum
    }

    fn load(&self, offset: usize) -> u64 {
        word(&hold(&self.file.0), offset)
    }
}

fn word(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..offset + 8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}
