//! From a short code to the link that answers it: memory, then the database.
//!
//! Promised: an answer from memory takes no lock that a writer can hold long, no allocation and no await; concurrent misses of one code ask the
//! database once (single flight); "no such code" is remembered for `negative_ttl`; while the database is unavailable what memory holds
//! still answers, however old; a change made through this process is visible to the next resolve, one made by another process
//! within `coherence_interval`; an unavailable database is an error, never "no such code".

use std::sync::Arc;

use knurl_core::{LinkId, ShortCode, UnixMillis, UserId, link::RedirectStatus};
use knurl_store::{Store, StoreError};

/// What the redirect needs of a link, and no more.
#[derive(Debug)]
pub struct Resolved {
    pub id: LinkId,
    pub owner: Option<UserId>,
    pub is_active: bool,
    pub status: RedirectStatus,
    pub expires_at: Option<UnixMillis>,
    /// As stored: what the click records.
    pub target: Box<str>,
    /// Ready for the header.
    pub location: http::HeaderValue,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    store: Arc<dyn Store>,
}

impl Resolver {
    pub fn new(store: Arc<dyn Store>, _config: &crate::config::CacheConfig) -> Self {
        Self { store }
    }

    /// Memory only: `Some(None)` is a remembered "no such code", `None` a miss.
    pub fn cached(&self, _code: &str, _now: UnixMillis) -> Option<Option<Arc<Resolved>>> {
        todo!("resolve")
    }

    /// All tiers. `Ok(None)`: no such code.
    pub async fn resolve(&self, _code: &ShortCode, _now: UnixMillis) -> Result<Option<Arc<Resolved>>, StoreError> {
        let _ = &self.store;
        todo!("resolve")
    }

    /// To be called after every change of a link, before it is acknowledged.
    pub fn forget(&self, _code: &str) {
        todo!("resolve")
    }

    pub fn forget_all(&self) {
        todo!("resolve")
    }
}
