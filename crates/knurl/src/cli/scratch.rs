//! Files a command needs only while it runs: they go with it, also where SIGTERM or SIGINT ends it, and what a killed one left is swept by the
//! next.
//!
//! Promised: nothing that a living command works on is swept: it holds a lock on it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{failure::Failure, open::runtime};

/// In a scratch directory: whoever works there holds it.
const LOCK_FILE: &str = "lock";
/// Between a directory's and its lock's creation there is a moment.
const UNLOCKED_AGE_MIN: Duration = Duration::from_secs(60);
/// While it is removed, other threads may still write into it.
const REMOVE_ATTEMPTS: u32 = 20;
/// What SQLite puts beside a database.
const JOURNALS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Gone with this value.
#[derive(Debug)]
pub(super) struct Scratch {
    paths: Vec<PathBuf>,
    _lock: Option<File>,
}

impl Scratch {
    /// A directory of our own.
    pub(super) fn dir(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::failed(format!("cannot create {}: {error}", path.display()));
        let mut scratch = Self::of(vec![path.to_owned()])?;
        fs::create_dir(path).map_err(cannot)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(cannot)?;
        lock.try_lock().map_err(|error| cannot(error.into()))?;
        scratch._lock = Some(lock);
        Ok(scratch)
    }

    /// Databases, with what SQLite puts beside them, that are to be made.
    pub(super) fn databases(paths: &[&Path]) -> Result<Self, Failure> {
        Self::of(paths.iter().flat_map(|path| JOURNALS.map(|suffix| beside(path, suffix))).collect())
    }

    fn of(paths: Vec<PathBuf>) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let guard = runtime.enter();
        let cannot = |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"));
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate()).map_err(cannot)?, signal(SignalKind::interrupt()).map_err(cannot)?);
        drop(guard);
        let doomed = paths.clone();
        // Ends with the process: a command has one of these.
        std::thread::spawn(move || {
            let number = runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = interrupt.recv() => SignalKind::interrupt(),
                }
            });
            remove_all(&doomed);
            std::process::exit(128 + number.as_raw_value());
        });
        Ok(Self { paths, _lock: None })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_all(&self.paths);
    }
}

fn remove_all(paths: &[PathBuf]) {
    for path in paths {
        let removed =
            (0..REMOVE_ATTEMPTS).any(|_| is_absent(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }));
        if !removed {
            eprintln!("knurl: {} could not be removed", path.display());
        }
    }
}

fn is_absent(removed: io::Result<()>) -> bool {
    removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

/// What nobody works on any more of the scratch directories in `dir` that are called so.
pub(super) fn abandoned_dirs(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    entries(dir, |name| name.starts_with(prefix)).into_iter().filter(|path| path.is_dir() && is_abandoned_dir(path)).collect()
}

/// The same of unfinished copies of databases; a copy's own file stands for what SQLite has put beside it.
pub(super) fn abandoned_copies(dir: &Path, is_name: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    entries(dir, is_name).into_iter().filter(|path| path.is_file() && is_free(path)).collect()
}

/// Quietly: it is somebody else's leavings, and the doctor names what stays.
pub(super) fn sweep(paths: &[PathBuf]) {
    for path in paths {
        if path.is_dir() {
            let _ = fs::remove_dir_all(path);
        } else {
            JOURNALS.iter().rev().for_each(|suffix| drop(fs::remove_file(beside(path, suffix))));
        }
    }
}

fn entries(dir: &Path, is_name: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&is_name)).map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn is_abandoned_dir(path: &Path) -> bool {
    let lock = path.join(LOCK_FILE);
    if lock.exists() {
        return is_free(&lock);
    }
    // Both are told by the same clock; one that was set back makes it young, and it is looked at again.
    let age = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age >= UNLOCKED_AGE_MIN)
}

fn is_free(file: &Path) -> bool {
    File::open(file).is_ok_and(|file| !matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
