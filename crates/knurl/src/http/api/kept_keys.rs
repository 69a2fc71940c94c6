//! The hashes of the keys in force, kept in the data directory: a node that starts while the database is away knows whom to admit.
//!
//! Promised: only its owner may read the file; a reader finds it whole or not at all; where it cannot be written the old one goes, so that
//! no key outlives its revocation by more than the time until the database is asked again.
//! Refused: secrets (a hash opens nothing); deciding who is in force, which is the database's.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Of a key's secret.
pub(super) type Hash = [u8; 32];

/// Twice as many keys as anybody has: a file that is larger is none of ours.
const FILE_BYTES_MAX: u64 = 8 << 20;
const HEAD: &str = "# SHA-256 of the API keys in force, as the database said last. Written by knurl.\n";

#[derive(Debug)]
pub(super) struct KeptKeys {
    path: PathBuf,
}

impl KeptKeys {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// `None`: never written, or not readable as what was written.
    pub(super) fn read(&self) -> Option<Vec<Hash>> {
        match read_bounded(&self.path) {
            Ok(text) => {
                let hashes = parse(&text);
                if hashes.is_none() {
                    tracing::warn!(path = %self.path.display(), "the kept hashes of keys are damaged and not used");
                }
                hashes
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %self.path.display(), %error, "the kept hashes of keys cannot be read");
                }
                None
            }
        }
    }

    /// In one step, and durable after it.
    pub(super) fn write(&self, hashes: &[Hash]) -> io::Result<()> {
        let written = self.replace(&text(hashes));
        if written.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        written
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}

fn text(hashes: &[Hash]) -> String {
    let mut text = HEAD.to_owned();
    for hash in hashes {
        for byte in hash {
            // Into a String it cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Option<Vec<Hash>> {
    text.strip_prefix(HEAD)?.lines().map(hash).collect()
}

fn hash(line: &str) -> Option<Hash> {
    let digits = line.as_bytes();
    if digits.len() != 2 * size_of::<Hash>() {
        return None;
    }
    let mut hash = Hash::default();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(hash)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_kept_reads_back_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptKeys::at(dir.path().join("keys"));
        assert_eq!(kept.read(), None);
        for hashes in [vec![[7; 32], [0xab; 32]], vec![[1; 32]], vec![]] {
            kept.write(&hashes).unwrap();
            assert_eq!(kept.read(), Some(hashes));
        }
        assert_eq!(fs::metadata(&kept.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_damaged_file_admits_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptKeys::at(dir.path().join("keys"));
        kept.write(&[[7; 32], [8; 32]]).unwrap();
        let whole = fs::read_to_string(&kept.path).unwrap();
        for damaged in [&whole[..whole.len() - 10], &whole[1..], "", &whole.replace("07", "+7"), &whole.replace('8', "\u{e9}")] {
            fs::write(&kept.path, damaged).unwrap();
            assert_eq!(kept.read(), None, "{damaged:?}");
        }
    }

    #[test]
    fn where_the_new_ones_cannot_be_kept_the_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptKeys::at(dir.path().join("keys"));
        kept.write(&[[7; 32]]).unwrap();
        // Nothing that could be removed or written over.
        fs::create_dir_all(dir.path().join("keys.new/in-the-way")).unwrap();
        assert!(kept.write(&[[8; 32]]).is_err());
        assert_eq!(kept.read(), None);
    }
}
