//! The first key: configured, or kept in `<data_dir>/admin.key`, or generated there (mode 0600) on the first start.
//!
//! Promised: a key that was revoked is never brought back by a restart; while the database is away the key waits to be registered and opens
//! nothing that the database did not say it opens.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use knurl_core::UnixMillis;
use knurl_core::key::KeyHash;
use knurl_store::{Store, StoreError};
use rand::RngExt;
use sha2::{Digest, Sha256};

use super::AppError;
use crate::config::{Auth, Config, Secret};

const NAME: &str = "admin";
/// So that a scanner of leaked secrets recognises ours.
const PREFIX: &str = "knurl_";

/// The key, and whether the database knows it yet.
#[derive(Debug)]
pub(super) struct AdminKey {
    /// `None`: `auth = open`.
    secret: Option<Secret>,
    registered: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    InForce,
    Revoked,
}

impl AdminKey {
    /// Asks nobody.
    pub(super) fn of(config: &Config) -> Result<Self, AppError> {
        let secret = match (config.auth, &config.admin_key) {
            (Auth::Open, _) => None,
            (Auth::Required, Some(secret)) => Some(secret.clone()),
            (Auth::Required, None) => Some(Secret(kept_or_generated(&config.admin_key_path())?)),
        };
        Ok(Self { secret, registered: AtomicBool::new(false) })
    }

    pub(super) fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(|secret| secret.0.as_str())
    }

    /// Tells the database of it, once.
    pub(super) async fn register(&self, store: &dyn Store, now: UnixMillis) -> Result<Standing, StoreError> {
        let Some(secret) = self.secret().filter(|_| !self.registered.load(Ordering::Acquire)) else {
            return Ok(Standing::InForce);
        };
        let hash = KeyHash(Sha256::digest(secret.as_bytes()).into());
        let key = store.create_key(NAME, hash, now).await?;
        self.registered.store(true, Ordering::Release);
        if key.revoked_at.is_some() {
            tracing::warn!("the admin key was revoked and is not brought back; make another one with `knurl key create`");
            return Ok(Standing::Revoked);
        }
        Ok(Standing::InForce)
    }
}

fn kept_or_generated(path: &Path) -> Result<String, AppError> {
    let failed = |source| AppError::Io { what: "the admin key", path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(kept) if !kept.trim().is_empty() => return Ok(kept.trim().to_owned()),
        // Empty: the disk was full when it was generated.
        Ok(_) => std::fs::remove_file(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = generate();
    write_new(path, &secret).map_err(failed)?;
    Ok(secret)
}

fn generate() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().fold(PREFIX.to_owned(), |mut secret, byte| {
        secret.push_str(&format!("{byte:02x}"));
        secret
    })
}

fn write_new(path: &Path, secret: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_generated_once_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.key");
        let secret = kept_or_generated(&path).unwrap();
        assert!(secret.starts_with(PREFIX) && secret.len() == PREFIX.len() + 64, "{secret}");
        assert_eq!(kept_or_generated(&path).unwrap(), secret);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_empty_key_file_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.key");
        std::fs::write(&path, "\n").unwrap();
        assert!(kept_or_generated(&path).unwrap().starts_with(PREFIX));
    }
}
