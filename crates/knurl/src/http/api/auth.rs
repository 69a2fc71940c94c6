//! Bearer keys: looked up by SHA-256 in memory, refreshed from the store.

#[derive(Debug, Default)]
pub struct KeyRing {}
