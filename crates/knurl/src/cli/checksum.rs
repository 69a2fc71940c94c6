//! The checksum beside a backup: `FILE.sha256`, as `sha256sum` writes and checks it.
//!
//! Promised: a backup of which one bit is another one is told from the one that was made. SQLite's own check sees a damaged page, not a changed
//! letter in a row. Refused: nothing for want of it: a copy that came without its checksum is verified as far as SQLite can.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::failure::Failure;

const BLOCK_BYTES: usize = 1 << 20;

pub(super) fn beside(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".sha256");
    PathBuf::from(name)
}

/// Before a backup is replaced: no instant has a new file beside an old checksum.
pub(super) fn remove(backup: &Path) -> Result<(), Failure> {
    match fs::remove_file(beside(backup)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&beside(backup), &error)),
        _ => Ok(()),
    }
}

pub(super) fn write(backup: &Path) -> Result<(), Failure> {
    let path = beside(backup);
    let line = || -> io::Result<String> {
        let name = backup.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(format!("{}  {name}\n", of(backup)?))
    };
    let written = line().and_then(|line| {
        let mut file = File::create(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| failed(&path, &error))
}

/// Whether there is one; an error where the backup is not what it was made of.
pub(super) fn check(backup: &Path) -> Result<bool, Failure> {
    let path = beside(backup);
    let said = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        said => said.map_err(|error| failed(&path, &error))?,
    };
    let found = of(backup).map_err(|error| failed(backup, &error))?;
    if said.split_whitespace().next().is_some_and(|sum| sum.eq_ignore_ascii_case(&found)) {
        return Ok(true);
    }
    Err(Failure::failed(format!(
        "{} is not the backup that was made: its SHA-256 is not the one in {}; take another backup",
        backup.display(),
        path.display()
    )))
}

fn of(file: &Path) -> io::Result<String> {
    let (mut file, mut sum, mut block) = (File::open(file)?, Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        let n = file.read(&mut block)?;
        if n == 0 {
            return Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        sum.update(&block[..n]);
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}
