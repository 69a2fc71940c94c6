//! Bearer keys: looked up by SHA-256 in memory, refreshed from the store.
//!
//! Promised: a revoked key stops with the next refresh; comparing takes the same time wherever a hash differs. Refused: asking the
//! store on the way of a request, so that the API answers as fast, and refuses as surely, while the database is away.

use arc_swap::ArcSwap;
use http::{HeaderMap, header};
use knurl_core::key::KeyHash;
use knurl_store::{Store, StoreError};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Hashes of the keys in force, ascending.
#[derive(Debug, Default)]
pub struct KeyRing {
    hashes: ArcSwap<Vec<[u8; 32]>>,
}

/// Bytes by which a hash is found before it is compared whole. They say nothing of the secret: they are of its hash.
const PREFIX_BYTES: usize = 8;
/// Longer secrets are refused unhashed.
const SECRET_BYTES_MAX: usize = 512;

impl KeyRing {
    /// Takes the keys from the store: at the start, after every change of keys, and when somebody else changed the database.
    pub async fn refresh(&self, store: &dyn Store) -> Result<usize, StoreError> {
        let keys = store.list_keys().await?;
        let mut hashes: Vec<_> = keys.into_iter().filter(|key| key.revoked_at.is_none()).map(|key| key.hash.0).collect();
        hashes.sort_unstable();
        let count = hashes.len();
        self.hashes.store(hashes.into());
        Ok(count)
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
        KeyRing { hashes: ArcSwap::from_pointee(hashes) }
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
