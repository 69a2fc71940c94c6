//! Bearer keys: looked up by SHA-256 in memory, refreshed from the store.
//!
//! Promised: a revoked key stops with the next refresh; comparing takes the same time wherever a hash differs. Refused: asking the
//! store on the way of a request, so that the API answers as fast, and refuses as surely, while the database is away; calling a key wrong
//! as long as it is not known which are right.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, header};
use knurl_core::key::KeyHash;
use knurl_store::{Store, StoreError};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::kept_keys::{Hash, KeptKeys};

/// Hashes of the keys in force, ascending.
#[derive(Debug, Default)]
pub struct KeyRing {
    /// `None`: not known yet.
    hashes: ArcSwapOption<Vec<Hash>>,
    kept: Option<Arc<KeptKeys>>,
}

/// Bytes by which a hash is found before it is compared whole. They say nothing of the secret: they are of its hash.
const PREFIX_BYTES: usize = 8;
/// Longer secrets are refused unhashed.
const SECRET_BYTES_MAX: usize = 512;

impl KeyRing {
    /// One that begins with what it knew when it was last refreshed, and keeps it in this file.
    pub fn kept_in(path: PathBuf) -> Self {
        let kept = KeptKeys::at(path);
        let hashes = kept.read().map(|mut hashes| {
            hashes.sort_unstable();
            Arc::new(hashes)
        });
        Self { hashes: ArcSwapOption::from(hashes), kept: Some(Arc::new(kept)) }
    }

    /// Takes the keys from the store: at the start, after every change of keys, and when somebody else changed the database.
    pub async fn refresh(&self, store: &dyn Store) -> Result<usize, StoreError> {
        let keys = store.list_keys().await?;
        let mut hashes: Vec<_> = keys.into_iter().filter(|key| key.revoked_at.is_none()).map(|key| key.hash.0).collect();
        hashes.sort_unstable();
        let (count, hashes) = (hashes.len(), Arc::new(hashes));
        let before = self.hashes.swap(Some(Arc::clone(&hashes)));
        if before.as_ref() != Some(&hashes) {
            self.keep(hashes).await;
        }
        Ok(count)
    }

    /// A ring that cannot be kept is in force all the same.
    async fn keep(&self, hashes: Arc<Vec<Hash>>) {
        let Some(kept) = self.kept.clone() else { return };
        let written = tokio::task::spawn_blocking(move || kept.write(&hashes)).await.unwrap_or_else(|died| Err(died.into()));
        if let Err(error) = written {
            tracing::error!(%error, "the keys in force cannot be kept: a start without the database would not know them");
        }
    }

    /// Whether it has ever been told which keys are in force.
    pub fn is_known(&self) -> bool {
        self.hashes.load().is_some()
    }

    /// Whether the request carries a key in force.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        self.shown(headers).is_some()
    }

    /// The key in force that the request carries.
    pub fn shown(&self, headers: &HeaderMap) -> Option<KeyHash> {
        bearer(headers).map(hash).filter(|hash| self.holds(hash))
    }

    fn holds(&self, asked: &KeyHash) -> bool {
        let hashes = self.hashes.load();
        let Some(hashes) = hashes.as_ref() else { return false };
        let prefix = &asked.0[..PREFIX_BYTES];
        let first = hashes.partition_point(|known| &known[..PREFIX_BYTES] < prefix);
        hashes[first..].iter().take_while(|known| &known[..PREFIX_BYTES] == prefix).any(|known| known.ct_eq(&asked.0).into())
    }
}

/// What is kept of a secret.
pub fn hash(secret: &[u8]) -> KeyHash {
    KeyHash(Sha256::digest(secret).into())
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, secret) = value.split_at_checked(7)?;
    let secret = secret.trim_ascii();
    let well_formed = scheme.eq_ignore_ascii_case(b"Bearer ") && !secret.is_empty() && secret.len() <= SECRET_BYTES_MAX;
    well_formed.then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(secrets: &[&[u8]]) -> KeyRing {
        let mut hashes: Vec<_> = secrets.iter().map(|secret| hash(secret).0).collect();
        hashes.sort_unstable();
        KeyRing { hashes: ArcSwapOption::from_pointee(hashes), kept: None }
    }

    fn admits(ring: &KeyRing, authorization: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static(authorization));
        ring.admits(&headers)
    }

    #[test]
    fn every_key_of_the_ring_is_admitted_and_no_other() {
        let ring = ring(&[b"one", b"two", b"three"]);
        assert!(["Bearer one", "bearer two", "BEARER  three "].into_iter().all(|given| admits(&ring, given)));
        for refused in ["Bearer four", "Bearer ", "Bearer", "Basic one", "one", "", "Bearer onetwo"] {
            assert!(!admits(&ring, refused), "{refused}");
        }
        assert!(!ring.admits(&HeaderMap::new()));
    }

    #[test]
    fn an_empty_ring_admits_nobody() {
        assert!(!admits(&KeyRing::default(), "Bearer one"));
    }
}
