//! What `knurl serve` leaves in the data directory for the commands beside it: where it was reached, which its flags may have said and no
//! configuration knows. It stays when the server ends: whatever is created meanwhile is served at the next start.
//!
//! Whether that server still runs is told by the lock it holds on this very file for as long as it lives, however it ends. Not by the spool's
//! lock, which a command that only looks would hold for a moment, against a server that starts in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{BaseUrl, Config};

/// No host name is longer than 253 bytes; whatever is larger is not ours.
const BYTES_MAX: u64 = 8 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Served {
    listen: SocketAddr,
    base_url: String,
    /// Unknown to a server of before.
    #[serde(default)]
    metrics_listen: Option<SocketAddr>,
}

/// The server that runs on this data directory now.
#[derive(Clone, Debug)]
pub struct Serving {
    pub listen: SocketAddr,
    pub base_url: BaseUrl,
    pub metrics_listen: Option<SocketAddr>,
    pub since: SystemTime,
}

/// While this lives, commands know that the server does.
#[derive(Debug)]
pub struct Word {
    _locked: File,
}

impl Config {
    fn served_path(&self) -> PathBuf {
        self.data_dir.join("served.json")
    }

    /// Leaves word of where this server is reached.
    pub fn tell_served(&self) -> io::Result<Word> {
        let base_url = self.base_url.0.clone();
        let served = Served { listen: self.http.listen, base_url, metrics_listen: Some(self.http.metrics_listen) };
        write(&self.served_path(), &serde_json::to_vec(&served)?)
    }

    /// Adds the hosts of the server that last served this data directory to those that are us. None where none has.
    pub fn know_served(&mut self) {
        if let Some(served) = self.served() {
            self.links.know_more_own_hosts(&BaseUrl(served.base_url), served.listen);
        }
    }

    /// Where the metrics and the health of the server are that served this data directory last; where none has said so, where they would be.
    pub fn observed_at(&self) -> SocketAddr {
        self.served().and_then(|served| served.metrics_listen).unwrap_or(self.http.metrics_listen)
    }

    /// Whether a server ever ran on this data directory.
    pub fn has_served(&self) -> bool {
        self.served_path().exists()
    }

    /// The server that runs on this data directory, if it left word.
    pub fn serving(&self) -> Option<Serving> {
        let file = File::open(self.served_path()).ok()?;
        let Err(TryLockError::WouldBlock) = file.try_lock_shared() else { return None };
        let Served { listen, base_url, metrics_listen } = self.read(&file)?;
        let since = file.metadata().and_then(|meta| meta.modified()).ok()?;
        Some(Serving { listen, base_url: BaseUrl(base_url), metrics_listen, since })
    }

    fn served(&self) -> Option<Served> {
        File::open(self.served_path()).ok().and_then(|file| self.read(&file))
    }

    fn read(&self, file: &File) -> Option<Served> {
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let path = self.served_path();
        serde_json::from_slice(&bytes)
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "the note of where this is served is not understood"),
            )
            .ok()
    }
}

/// Whole or not at all: a command may read it at any time. Locked before it has its name, so that it is never seen without.
fn write(path: &Path, bytes: &[u8]) -> io::Result<Word> {
    let new = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    // A file system without locks: commands take this server for one that is gone.
    let _ = file.try_lock();
    fs::rename(&new, path)?;
    Ok(Word { _locked: file })
}
