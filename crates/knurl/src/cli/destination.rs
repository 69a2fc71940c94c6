//! Where a command may write a file that somebody named.
//!
//! Promised: never over the database or anything else of the data directory, by whatever name; never over what the command reads; over
//! another file only when told so.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::failure::Failure;
use crate::config::Config;

/// What SQLite has beside a database, or will have.
const JOURNALS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A file whatever it is called: links and `..` lead to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }

    fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// `sources`: what the command reads; `-` is standard input.
pub(super) fn check(path: &Path, config: &Config, sources: &[PathBuf], force: bool) -> Result<(), Failure> {
    let shown = path.display();
    if is_ours(path, config) {
        let dir = config.data_dir.display();
        return Err(Failure::failed(format!("{shown} is knurl's own (the database, or a file of {dir}): name a file elsewhere")));
    }
    let Ok(meta) = fs::metadata(path) else { return Ok(()) };
    if meta.is_dir() {
        return Err(Failure::failed(format!("{shown} is a directory")));
    }
    if !meta.is_file() {
        return Ok(());
    }
    if sources.iter().any(|source| read_from(source) == Some(Identity::of(&meta))) {
        return Err(Failure::failed(format!("{shown} is one of the files to read: name another")));
    }
    if !force {
        return Err(Failure::failed(format!("{shown} is there already; --force replaces it")));
    }
    Ok(())
}

/// Creates it, or empties what is there and may be replaced; what is no file (a pipe, `/dev/stderr`) is written into.
pub(super) fn create(path: &Path, force: bool) -> io::Result<File> {
    let is_no_file = fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    if force || is_no_file { File::create(path) } else { File::create_new(path) }
}

fn read_from(source: &Path) -> Option<Identity> {
    if source != Path::new("-") {
        return Identity::at(source);
    }
    let stat = rustix::fs::fstat(io::stdin()).ok()?;
    Some(Identity(stat.st_dev, stat.st_ino))
}

/// A name in the data directory or the spool, taken or not, a journal's or the database's name, or a link to what is there. A directory
/// that somebody made in the data directory is his.
fn is_ours(path: &Path, config: &Config) -> bool {
    let dirs = [config.data_dir.clone(), config.spool_dir()];
    let database = config.sqlite_path();
    let journals: Vec<PathBuf> = database.iter().flat_map(|path| JOURNALS.map(|suffix| beside(path, suffix))).collect();
    let place = Identity::at(dir_of(path));
    let is_in = |dir: &Path| place.is_some() && place == Identity::at(dir);
    let is_named = |journal: &PathBuf| is_in(dir_of(journal)) && path.file_name() == journal.file_name();
    if dirs.iter().any(|dir| is_in(dir)) || journals.iter().any(is_named) {
        return true;
    }
    let Ok(meta) = fs::metadata(path) else { return false };
    if !meta.is_file() {
        return false;
    }
    let mut ours = dirs.iter().flat_map(|dir| entries(dir)).chain(journals);
    ours.any(|ours| Identity::at(&ours) == Some(Identity::of(&meta)))
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
