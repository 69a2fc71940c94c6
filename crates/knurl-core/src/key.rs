//! API keys: a secret shown once, kept only as its SHA-256.

use crate::time::UnixMillis;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub i64);

/// SHA-256 of the secret. The secret has 256 random bits (or is the operator's own), so a plain hash is enough.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub name: String,
    pub hash: KeyHash,
    pub created_at: UnixMillis,
    pub revoked_at: Option<UnixMillis>,
}
