//! The first key: configured, or kept in `<data_dir>/admin.key`, or generated there (mode 0600) on the first start.
//!
//! Promised: a key that was revoked is never brought back by a restart.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use knurl_core::UnixMillis;
use knurl_core::key::KeyHash;
use knurl_store::Store;
use rand::RngExt;
use sha2::{Digest, Sha256};

use super::AppError;
use crate::config::{Auth, Config};

const NAME: &str = "admin";
/// So that a scanner of leaked secrets recognises ours.
const PREFIX: &str = "knurl_";

/// Registers the key and returns its secret. `None`: `auth = open`, or the key was revoked.
pub(super) async fn register(config: &Config, store: &dyn Store, now: UnixMillis) -> Result<Option<String>, AppError> {
    if config.auth == Auth::Open {
        return Ok(None);
    }
    let secret = match &config.admin_key {
        Some(secret) => secret.0.clone(),
        None => kept_or_generated(&config.admin_key_path())?,
    };
    let hash = KeyHash(Sha256::digest(secret.as_bytes()).into());
    let key = store.create_key(NAME, hash, now).await.map_err(AppError::Store)?;
    if key.revoked_at.is_some() {
        tracing::warn!("the admin key was revoked and is not brought back; make another one with `knurl key create`");
        return Ok(None);
    }
    Ok(Some(secret))
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
