//! What `knurl serve` leaves in the data directory for the commands beside it: where it was reached, which its flags may have said and no
//! configuration knows. It stays when the server ends: whatever is created meanwhile is served at the next start.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
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

impl Config {
    fn served_path(&self) -> PathBuf {
        self.data_dir.join("served.json")
    }

    /// Leaves word of where this server is reached.
    pub fn tell_served(&self) -> io::Result<()> {
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

    fn served(&self) -> Option<Served> {
        let path = self.served_path();
        let known = fs::metadata(&path).and_then(|meta| if meta.len() > BYTES_MAX { Ok(Vec::new()) } else { fs::read(&path) });
        let bytes = known.ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "the note of where this is served is not understood"),
            )
            .ok()
    }
}

/// Whole or not at all: a command may read it at any time.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&new, path)
}
