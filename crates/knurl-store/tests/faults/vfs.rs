//! A SQLite file system that fails on command: the system's own, with a fault at the n-th operation.
//!
//! All the unsafe code of the tests is here. A file handle is ours followed by the system's in one allocation of SQLite's; every
//! method counts itself, fails if it is its turn, and else passes on. Memory mapping is not offered, so that every read is counted.
//! Syncs are counted but not done: no power fails here.
#![allow(unsafe_code, reason = "SQLite's file system interface is one of pointers")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::ffi;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The n-th operation of any kind fails with an I/O error.
    Io,
    /// It and all after it, until healed.
    IoFromThenOn,
    /// The n-th write that grows or changes a file, and all after it until healed, find the disk full.
    Full,
    /// The n-th write stops in its middle.
    ShortWrite,
    /// The n-th sync fails, and what was written since the one before is gone, as when a kernel drops dirty pages.
    SyncLoses,
}

#[derive(Debug)]
pub(crate) struct Plan {
    fault: Fault,
    at: u64,
    counted: AtomicU64,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Armed,
    Fired,
    Healed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    Delete,
    ShmMap,
}

impl Plan {
    /// No fault any more, now or later.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Armed {
            // Not reached: remember that.
            *state = State::Healed;
        } else {
            *state = State::Fired;
            self.counted.store(u64::MAX / 2, Ordering::SeqCst);
        }
    }

    pub(crate) fn fired(&self) -> bool {
        *self.state.lock().unwrap() == State::Fired
    }

    fn strikes(&self, operation: Operation) -> bool {
        let counts = match self.fault {
            Fault::Io | Fault::IoFromThenOn => true,
            Fault::Full => matches!(operation, Operation::Write | Operation::ShmMap),
            Fault::ShortWrite => operation == Operation::Write,
            Fault::SyncLoses => operation == Operation::Sync,
        };
        if !counts {
            return false;
        }
        let count = self.counted.fetch_add(1, Ordering::SeqCst) + 1;
        let lasting = matches!(self.fault, Fault::IoFromThenOn | Fault::Full);
        let strikes = count == self.at || lasting && count > self.at && count < u64::MAX / 2;
        let mut state = self.state.lock().unwrap();
        if *state == State::Healed || !strikes {
            return false;
        }
        *state = State::Fired;
        true
    }

    fn code(&self, operation: Operation) -> c_int {
        if self.fault == Fault::Full {
            return if operation == Operation::ShmMap { ffi::SQLITE_IOERR_SHMSIZE } else { ffi::SQLITE_FULL };
        }
        match operation {
            Operation::Open => ffi::SQLITE_CANTOPEN,
            Operation::Read => ffi::SQLITE_IOERR_READ,
            Operation::Write => ffi::SQLITE_IOERR_WRITE,
            Operation::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Operation::Sync => ffi::SQLITE_IOERR_FSYNC,
            Operation::FileSize => ffi::SQLITE_IOERR_FSTAT,
            Operation::Delete => ffi::SQLITE_IOERR_DELETE,
            Operation::ShmMap => ffi::SQLITE_IOERR_SHMMAP,
        }
    }
}

/// Registers a file system of its own for this plan; its name goes into the store's options. Lives as long as the process.
pub(crate) fn register(fault: Fault, at: u64) -> (String, Arc<Plan>) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let plan = Arc::new(Plan { fault, at, counted: AtomicU64::new(0), state: Mutex::new(State::Armed) });
    let name = format!("faulty{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let system = Box::new(System { real: unsafe { ffi::sqlite3_vfs_find(ptr::null()) }, plan: plan.clone() });
    let real = system.real;
    // SAFETY: the default file system is registered for ever and its fields do not change.
    let mut vfs = unsafe { *real };
    vfs.iVersion = 2;
    vfs.szOsFile = size_of::<File>() as c_int + unsafe { (*real).szOsFile };
    vfs.pNext = ptr::null_mut();
    vfs.zName = CString::new(name.as_str()).unwrap().into_raw();
    vfs.pAppData = Box::into_raw(system).cast();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    vfs.xAccess = Some(access);
    vfs.xFullPathname = Some(full_pathname);
    // SAFETY: the structure is leaked, so it outlives every connection.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) };
    assert_eq!(registered, ffi::SQLITE_OK);
    (name, plan)
}

struct System {
    real: *mut ffi::sqlite3_vfs,
    plan: Arc<Plan>,
}

/// Ours; the system's own handle lies behind it.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    plan: Arc<Plan>,
    /// What writes since the last sync have replaced, and how long the file was before each.
    replaced: Vec<(i64, Vec<u8>, i64)>,
}

/// SAFETY of all below: SQLite passes what it got from `register` and `open`.
unsafe fn system<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a System {
    unsafe { &*(*vfs).pAppData.cast() }
}

unsafe fn ours<'a>(file: *mut ffi::sqlite3_file) -> &'a mut File {
    unsafe { &mut *file.cast() }
}

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<File>().add(1).cast() }
}

unsafe fn methods<'a>(file: *mut ffi::sqlite3_file) -> (&'a ffi::sqlite3_io_methods, *mut ffi::sqlite3_file) {
    let real = unsafe { real(file) };
    (unsafe { &*(*real).pMethods }, real)
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let system = system(vfs);
        (*file).pMethods = ptr::null();
        if system.plan.strikes(Operation::Open) {
            return system.plan.code(Operation::Open);
        }
        let code = (*system.real).xOpen.unwrap()(system.real, name, real(file), flags, out);
        if code == ffi::SQLITE_OK {
            let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
            ptr::write(file.cast(), File { base, plan: system.plan.clone(), replaced: Vec::new() });
        }
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    unsafe {
        let system = system(vfs);
        if system.plan.strikes(Operation::Delete) {
            return system.plan.code(Operation::Delete);
        }
        (*system.real).xDelete.unwrap()(system.real, name, sync)
    }
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, flags: c_int, out: *mut c_int) -> c_int {
    unsafe {
        let real = system(vfs).real;
        (*real).xAccess.unwrap()(real, name, flags, out)
    }
}

unsafe extern "C" fn full_pathname(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, size: c_int, out: *mut c_char) -> c_int {
    unsafe {
        let real = system(vfs).real;
        assert!(!CStr::from_ptr(name).is_empty());
        (*real).xFullPathname.unwrap()(real, name, size, out)
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        let code = methods.xClose.unwrap()(real);
        ptr::drop_in_place(file.cast::<File>());
        code
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, to: *mut c_void, size: c_int, at: i64) -> c_int {
    unsafe {
        let plan = &ours(file).plan;
        if plan.strikes(Operation::Read) {
            return plan.code(Operation::Read);
        }
        let (methods, real) = methods(file);
        methods.xRead.unwrap()(real, to, size, at)
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, size: c_int, at: i64) -> c_int {
    unsafe {
        let strikes = ours(file).plan.strikes(Operation::Write);
        let fault = ours(file).plan.fault;
        let (methods, real) = methods(file);
        if strikes {
            if fault == Fault::ShortWrite {
                methods.xWrite.unwrap()(real, from, size / 2, at);
            }
            return ours(file).plan.code(Operation::Write);
        }
        if fault == Fault::SyncLoses {
            let mut length = 0;
            methods.xFileSize.unwrap()(real, &raw mut length);
            let mut old = vec![0; size as usize];
            methods.xRead.unwrap()(real, old.as_mut_ptr().cast(), size, at);
            ours(file).replaced.push((at, old, length));
        }
        methods.xWrite.unwrap()(real, from, size, at)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    unsafe {
        let plan = &ours(file).plan;
        if plan.strikes(Operation::Truncate) {
            return plan.code(Operation::Truncate);
        }
        let (methods, real) = methods(file);
        methods.xTruncate.unwrap()(real, size)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    unsafe {
        let ours = ours(file);
        let strikes = ours.plan.strikes(Operation::Sync);
        let replaced = std::mem::take(&mut ours.replaced);
        if !strikes {
            return ffi::SQLITE_OK;
        }
        let (methods, real) = methods(file);
        for (at, old, length) in replaced.into_iter().rev() {
            methods.xWrite.unwrap()(real, old.as_ptr().cast(), old.len() as c_int, at);
            methods.xTruncate.unwrap()(real, length);
        }
        ours.plan.code(Operation::Sync)
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    unsafe {
        let plan = &ours(file).plan;
        if plan.strikes(Operation::FileSize) {
            return plan.code(Operation::FileSize);
        }
        let (methods, real) = methods(file);
        methods.xFileSize.unwrap()(real, size)
    }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    unsafe {
        let plan = &ours(file).plan;
        if plan.strikes(Operation::ShmMap) {
            return plan.code(Operation::ShmMap);
        }
        let (methods, real) = methods(file);
        methods.xShmMap.unwrap()(real, page, size, extend, out)
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xLock.unwrap()(real, level)
    }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xUnlock.unwrap()(real, level)
    }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xCheckReservedLock.unwrap()(real, out)
    }
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xFileControl.unwrap()(real, operation, argument)
    }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xSectorSize.unwrap()(real)
    }
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xDeviceCharacteristics.unwrap()(real)
    }
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xShmLock.unwrap()(real, offset, count, flags)
    }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    unsafe {
        let (methods, real) = methods(file);
        methods.xShmBarrier.unwrap()(real);
    }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    unsafe {
        let (methods, real) = methods(file);
        methods.xShmUnmap.unwrap()(real, delete)
    }
}
