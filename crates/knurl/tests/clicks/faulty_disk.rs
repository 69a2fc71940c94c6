//! The real disk, failing on command: no room for new files, fsyncs that fail or wait.

use std::{
    any::Any,
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use knurl_spool::{DirDisk, Disk, DiskFile, Mapping};

#[derive(Clone, Debug)]
pub(crate) struct FaultyDisk {
    inner: Arc<DirDisk>,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// New files get no space.
    pub(crate) full: AtomicBool,
    /// This many fsyncs of segments fail.
    pub(crate) syncs_to_fail: AtomicU32,
    /// Fsyncs that were tried.
    pub(crate) syncs: AtomicU32,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    waiting: u32,
}

impl Faults {
    /// Fsyncs begun from now on do not return until [`Faults::open_gate`].
    pub(crate) fn close_gate(&self) {
        self.gate.lock().unwrap().closed = true;
    }

    pub(crate) fn open_gate(&self) {
        self.gate.lock().unwrap().closed = false;
        self.moved.notify_all();
    }

    /// Blocks until an fsync waits at the gate.
    pub(crate) fn wait_for_a_sync(&self) {
        drop(self.moved.wait_while(self.gate.lock().unwrap(), |gate| gate.waiting == 0).unwrap());
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let mut gate = self.gate.lock().unwrap();
        gate.waiting += 1;
        self.moved.notify_all();
        gate = self.moved.wait_while(gate, |gate| gate.closed).unwrap();
        gate.waiting -= 1;
        let failing = self.syncs_to_fail.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if failing { Err(io::Error::other("made to fail")) } else { Ok(()) }
    }
}

impl FaultyDisk {
    pub(crate) fn new(dir: &std::path::Path) -> Self {
        Self { inner: Arc::new(DirDisk::new(dir).unwrap()), faults: Arc::default() }
    }

    fn wrap(&self, name: &str, file: Arc<dyn DiskFile>, prepared: bool) -> Arc<dyn DiskFile> {
        let (is_segment, prepared) = (name.ends_with(".seg"), AtomicBool::new(prepared));
        Arc::new(File { inner: file, is_segment, prepared, faults: Arc::clone(&self.faults) })
    }
}

impl Disk for FaultyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if self.faults.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(self.wrap(name, self.inner.create(name)?, false))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(name, self.inner.open(name, writable)?, true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.inner.lock()
    }

    fn mappable(&self) -> io::Result<bool> {
        self.inner.mappable()
    }

    fn entropy(&self) -> io::Result<u128> {
        self.inner.entropy()
    }
}

#[derive(Debug)]
struct File {
    inner: Arc<dyn DiskFile>,
    is_segment: bool,
    /// The first fsync of a new segment is that of its zeros: the faults are for those of clicks.
    prepared: AtomicBool,
    faults: Arc<Faults>,
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_segment && self.prepared.swap(true, Ordering::Relaxed) {
            self.faults.sync()?;
        }
        self.inner.sync()
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Mapping>> {
        self.inner.map(len)
    }
}
