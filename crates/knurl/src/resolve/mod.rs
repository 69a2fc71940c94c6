//! From a short code to the link that answers it: memory, then the database.
//!
//! Promised: an answer from memory takes no lock, one allocation and no await; concurrent misses of one code ask the
//! database once (single flight); "no such code" is remembered for `negative_ttl`; while the database is unavailable what memory holds
//! still answers, however old; a change made through this process is visible to the next resolve, one made by another process
//! within `coherence_interval`; an unavailable database is an error, never "no such code".
//!
//! # Layout
//! [`memory`] decides what may be kept (it knows no store and no await) and keeps it in a [`table`] of [`entry`]s over [`words`]; this
//! file asks the database.

mod entry;
mod location;
mod memory;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod words;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use knurl_core::{
    LinkId, ShortCode, UnixMillis, UserId,
    link::{DEFAULT_DOMAIN, Link, RedirectStatus},
};
use knurl_store::{Store, StoreError};

pub use self::location::Location;
use self::memory::{Flight, Memory};
use crate::telemetry::{Metrics, redirects::Tier};

/// A database that has not answered a point read in this time is unavailable to the visitor who waits.
const DATABASE_DEADLINE: Duration = Duration::from_secs(2);
/// After the database failed, links that memory still holds are answered from there for this long before it is asked again: an outage
/// costs a hot link one slow answer in this time, not all of them.
const RETRY_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// What the redirect needs of a link, and no more.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub id: LinkId,
    pub owner: Option<UserId>,
    pub is_active: bool,
    pub status: RedirectStatus,
    pub expires_at: Option<UnixMillis>,
    /// Ready for the header.
    pub location: Location,
    /// The target as stored, where it is not its own location.
    verbatim: Option<Box<str>>,
}

impl Resolved {
    fn of(link: &Link) -> Result<Self, StoreError> {
        let (target, location) = (link.target.as_str(), link.target.location());
        let verbatim = (*location != *target).then(|| target.into());
        let location = Location::new(location.into_owned().into_bytes())
            .ok_or_else(|| StoreError::Corrupt(format!("the target of link {} cannot be a Location header", link.id.0)))?;
        Ok(Self {
            id: link.id,
            owner: link.owner,
            is_active: link.is_active,
            status: link.status,
            expires_at: link.expires_at,
            location,
            verbatim,
        })
    }

    /// As stored: what the click records.
    pub fn target(&self) -> &str {
        self.verbatim.as_deref().unwrap_or(self.location.as_str())
    }
}

type Loaded = Result<Option<Resolved>, Arc<StoreError>>;
type Load = dyn Fn(ShortCode) -> BoxFuture<'static, Result<Option<Link>, StoreError>> + Send + Sync;

/// Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    load: Box<Load>,
    memory: Memory,
    metrics: Arc<Metrics>,
    started: Instant,
    /// Milliseconds after `started` until which a failed database is not asked for what memory holds.
    retry_at_ms: AtomicU64,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("links", &self.inner.memory.links()).finish_non_exhaustive()
    }
}

impl Resolver {
    pub fn new(store: Arc<dyn Store>, config: &crate::config::CacheConfig) -> Self {
        Self::counting(store, config, Arc::default())
    }

    /// As [`Resolver::new`], counting into `metrics`.
    pub fn counting(store: Arc<dyn Store>, config: &crate::config::CacheConfig, metrics: Arc<Metrics>) -> Self {
        let load = move |code: ShortCode| -> BoxFuture<'static, _> {
            let store = Arc::clone(&store);
            Box::pin(async move { store.link_by_code(DEFAULT_DOMAIN, &code).await })
        };
        Self::from_load(Box::new(load), Memory::new(config.bytes_max, config.negative_ttl), metrics)
    }

    fn from_load(load: Box<Load>, memory: Memory, metrics: Arc<Metrics>) -> Self {
        Self { inner: Arc::new(Inner { load, memory, metrics, started: Instant::now(), retry_at_ms: AtomicU64::new(0) }) }
    }

    /// Memory only: `Some(None)` is a remembered "no such code", `None` a miss.
    pub fn cached(&self, code: &str, now: UnixMillis) -> Option<Option<Resolved>> {
        let inner = &*self.inner;
        if let Some(link) = inner.memory.link(code) {
            inner.metrics.redirects.resolved(Tier::Memory);
            return Some(Some(link));
        }
        if inner.memory.is_absent(code, now) {
            inner.metrics.redirects.resolved(Tier::Negative);
            return Some(None);
        }
        None
    }

    /// All tiers. `Ok(None)`: no such code.
    pub async fn resolve(&self, code: &ShortCode, now: UnixMillis) -> Result<Option<Resolved>, StoreError> {
        if let Some(known) = self.cached(code.as_str(), now) {
            return Ok(known);
        }
        let inner = &*self.inner;
        if inner.now_ms() < inner.retry_at_ms.load(Relaxed)
            && let Some(stale) = inner.memory.stale(code.as_str())
        {
            inner.metrics.redirects.resolved(Tier::Stale);
            return Ok(Some(stale));
        }
        let flight = inner.memory.join(code.as_str());
        let loaded = flight.cell().get_or_init(|| inner.load(code, now, &flight)).await;
        match loaded {
            Ok(found) => {
                inner.metrics.redirects.resolved(Tier::Database);
                Ok(found.clone())
            }
            Err(error) => inner.fall_back(code, error),
        }
    }

    /// To be called after every change of a link (its creation too), before it is acknowledged.
    pub fn forget(&self, code: &str) {
        self.inner.memory.forget(code);
    }

    /// Nothing in memory is believed any more without asking the database; while that is unavailable, it still answers.
    pub fn forget_all(&self) {
        self.inner.metrics.cache.forgotten.inc();
        self.inner.memory.forget_all();
    }

    /// Copies the sizes into the metrics: for a scrape.
    pub fn measure(&self) {
        let (memory, cache) = (&self.inner.memory, &self.inner.metrics.cache);
        cache.links.set(memory.links());
        cache.bytes.set(memory.bytes());
        cache.negative.set(memory.absent());
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        // Saturates after 584 million years.
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn load(&self, code: &ShortCode, now: UnixMillis, flight: &Flight) -> Loaded {
        let link = match tokio::time::timeout(DATABASE_DEADLINE, (self.load)(code.clone())).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(StoreError::Unavailable(Box::new(elapsed))),
        };
        let found = match link.and_then(|link| link.as_ref().map(Resolved::of).transpose()) {
            Ok(found) => found,
            Err(error) => {
                self.metrics.store.failed(&error);
                self.memory.land(code.as_str(), flight, None);
                return Err(Arc::new(error));
            }
        };
        self.memory.land(code.as_str(), flight, Some((found.clone(), now)));
        Ok(found)
    }

    fn fall_back(&self, code: &ShortCode, error: &Arc<StoreError>) -> Result<Option<Resolved>, StoreError> {
        if error.is_transient() {
            let pause_ms = u64::try_from(RETRY_AFTER_FAILURE.as_millis()).unwrap_or(u64::MAX);
            self.retry_at_ms.store(self.now_ms().saturating_add(pause_ms), Relaxed);
            if let Some(stale) = self.memory.stale(code.as_str()) {
                self.metrics.redirects.resolved(Tier::Stale);
                return Ok(Some(stale));
            }
        }
        self.metrics.redirects.resolved(Tier::Failed);
        Err(same(error))
    }
}

/// One failure is told to all who waited for the flight: the same class, the same cause.
fn same(error: &Arc<StoreError>) -> StoreError {
    let shared = || Box::new(Shared(Arc::clone(error)));
    match &**error {
        StoreError::Unavailable(_) => StoreError::Unavailable(shared()),
        StoreError::Full(_) => StoreError::Full(shared()),
        StoreError::Overloaded => StoreError::Overloaded,
        StoreError::Moving => StoreError::Moving,
        StoreError::Corrupt(what) => StoreError::Corrupt(what.clone()),
        _ => StoreError::Internal(shared()),
    }
}

/// Stands for the cause inside the error it shares.
#[derive(Debug)]
struct Shared(Arc<StoreError>);

impl Shared {
    fn cause(&self) -> &(dyn std::error::Error + 'static) {
        std::error::Error::source(&*self.0).unwrap_or(&*self.0)
    }
}

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self.cause(), f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().source()
    }
}
