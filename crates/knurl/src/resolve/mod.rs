//! From a short code to the link that answers it: memory, then the tiers below it: the replica on this node's disk, Redis, the database.
//!
//! Promised: an answer from memory takes no lock, one allocation and no await; concurrent misses of one code ask the
//! tiers below once (single flight); "no such code" is remembered for `negative_ttl`; while the database is unavailable what the replica
//! or memory holds still answers, however old; a change made through this process is visible to the next resolve, one made by another
//! process as soon as this node has heard of it; an unavailable database is an error, never "no such code".
//!
//! # Layout
//! [`memory`] decides what may be kept (it knows no store and no await) and keeps it in a [`table`] of [`entry`]s over [`words`], with
//! [`marks`] of what was changed a moment ago; [`tiers`] puts together what lies below: [`copies`] (the replica), [`shared`] (Redis),
//! [`database`].

mod copies;
mod database;
mod entry;
mod location;
mod marks;
mod memory;
mod shared;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
mod tiers;
#[cfg(test)]
mod tiers_tests;
mod words;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use knurl_core::{LinkId, ShortCode, UnixMillis, UserId, link::RedirectStatus};
use knurl_store::{
    Store, StoreError,
    replica::follow::{Changed, Outdated},
};

use self::{
    copies::Copy,
    marks::By,
    memory::{Flight, Memory},
    tiers::{Below, Failure, Found},
};
pub use self::{
    location::Location,
    shared::{Leave, Looked, SharedLinks},
    tiers::{Copied, Tiers},
};
use crate::telemetry::{Metrics, redirects::Tier};

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
    fn of(link: &Copied) -> Result<Self, StoreError> {
        let facts = &link.facts;
        let (target, location) = (facts.target.as_str(), facts.target.location());
        let verbatim = (*location != *target).then(|| target.into());
        let location = Location::new(location.into_owned().into_bytes())
            .ok_or_else(|| StoreError::Corrupt(format!("the target of link {} cannot be a Location header", link.id.0)))?;
        Ok(Self {
            id: link.id,
            owner: facts.owner,
            is_active: facts.is_active,
            status: facts.status,
            expires_at: facts.expires_at,
            location,
            verbatim,
        })
    }

    /// As stored: what the click records.
    pub fn target(&self) -> &str {
        self.verbatim.as_deref().unwrap_or(self.location.as_str())
    }
}

/// How long what lies below memory takes at most: a copy on a disk that hangs, and a database that does. (Redis is asked for milliseconds.)
pub const WAIT_MAX: Duration = copies::DEADLINE.saturating_add(database::DEADLINE);

type Loaded = Result<Found, Arc<StoreError>>;

/// What is known of a code without asking anybody outside this node; a link of `None` does not exist, or was deleted.
#[derive(Debug)]
pub enum AtHand {
    Known(Option<Resolved>),
    /// As it once was.
    Doubtful(Option<Resolved>),
    Unknown,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    below: Below,
    memory: Memory,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("links", &self.inner.memory.links()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Over a database alone.
    pub fn new(store: Arc<dyn Store>, config: &crate::config::CacheConfig) -> Self {
        Self::counting(store, config, Arc::default())
    }

    /// As [`Resolver::new`], counting into `metrics`.
    pub fn counting(database: Arc<dyn Store>, config: &crate::config::CacheConfig, metrics: Arc<Metrics>) -> Self {
        Self::over(Tiers { replica: None, shared: None, database }, config, metrics)
    }

    pub fn over(tiers: Tiers, config: &crate::config::CacheConfig, metrics: Arc<Metrics>) -> Self {
        let below = Below::new(tiers, &metrics);
        Self::from(below, Memory::new(config.bytes_max, config.negative_ttl), metrics)
    }

    fn from(below: Below, memory: Memory, metrics: Arc<Metrics>) -> Self {
        Self { inner: Arc::new(Inner { below, memory, metrics }) }
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
        let flight = inner.memory.join(code.as_str());
        match flight.cell().get_or_init(|| inner.load(code, now, &flight)).await {
            Ok(found) => {
                inner.metrics.redirects.resolved(found.tier);
                Ok(found.link.clone())
            }
            Err(error) => {
                inner.metrics.redirects.resolved(Tier::Failed);
                Err(same(error))
            }
        }
    }

    /// What this node knows by itself: memory and the replica. For those whom no other tier is to be asked for; nothing is remembered.
    pub async fn at_hand(&self, code: &ShortCode, now: UnixMillis) -> AtHand {
        if let Some(known) = self.cached(code.as_str(), now) {
            return AtHand::Known(known);
        }
        let inner = &*self.inner;
        match inner.below.copy(code, inner.memory.mark(code.as_str())).await {
            Copy::Sure(link) => {
                inner.metrics.redirects.resolved(Tier::Replica);
                AtHand::Known(link)
            }
            Copy::Doubtful(link, _) => AtHand::Doubtful(link),
            Copy::Unknown => AtHand::Unknown,
        }
    }

    /// To be called after every change of a link through this process, before it is acknowledged. `version`: which it has become, where
    /// that is known.
    pub fn changed(&self, code: &str, version: Option<i64>) {
        self.inner.memory.changed(code, By::ThisProcess, version, clock());
        if let (Some(shared), Some(version)) = (self.inner.below.shared(), version) {
            shared.forget(&[Changed { code: code.to_owned(), version }], true);
        }
    }

    /// A change failed that may have been made all the same.
    pub fn unsure(&self, error: &StoreError) {
        error.in_doubt().iter().for_each(|code| self.changed(code.as_str(), None));
    }

    /// As [`Resolver::changed`], after a creation: only "no such code" can be known of it.
    pub fn created(&self, code: &str) {
        self.inner.memory.forget(code);
    }

    /// Another node says that it has changed this link. The database's feed will say so too: this may come sooner.
    pub fn told(&self, code: &str, version: i64) {
        self.inner.memory.changed(code, By::Told, Some(version), clock());
    }

    /// What the database's feed says is outdated. The replica, where there is one, has the changes already.
    pub fn outdated(&self, outdated: &Outdated<'_>) {
        match *outdated {
            Outdated::Codes(codes) => self.changed_by_anybody(codes),
            Outdated::Absence(codes) => codes.iter().for_each(|created| self.created(&created.code)),
            Outdated::All => self.forget_all(),
        }
    }

    fn changed_by_anybody(&self, codes: &[Changed]) {
        let now = clock();
        for changed in codes {
            self.inner.memory.changed(&changed.code, By::Anybody, Some(changed.version), now);
        }
        if let Some(shared) = self.inner.below.shared() {
            shared.forget(codes, false);
        }
    }

    /// The database was asked for something else than links, and has answered.
    pub fn database_answered(&self) {
        self.inner.below.database_answered();
    }

    /// Nothing in memory is believed any more without asking the tiers below; while they are unavailable, it still answers.
    pub fn forget_all(&self) {
        self.inner.metrics.cache.forgotten.inc();
        self.inner.memory.forget_all(clock());
        if let Some(shared) = self.inner.below.shared() {
            shared.distrust();
        }
    }

    /// Copies the sizes into the metrics: for a scrape.
    pub fn measure(&self) {
        let (memory, cache) = (&self.inner.memory, &self.inner.metrics.cache);
        cache.links.set(memory.links());
        cache.bytes.set(memory.bytes());
        cache.negative.set(memory.absent());
        self.inner.below.measure();
    }
}

impl Inner {
    async fn load(&self, code: &ShortCode, now: UnixMillis, flight: &Flight) -> Loaded {
        match self.below.find(code, flight.mark()).await {
            Ok(found) => {
                self.memory.land(code.as_str(), flight, Some((found.link.clone(), now)));
                Ok(found)
            }
            Err(failure) => {
                self.memory.land(code.as_str(), flight, None);
                self.fall_back(code, failure)
            }
        }
    }

    /// What was once known: better than nothing, and not remembered.
    fn fall_back(&self, code: &ShortCode, Failure { error, doubtful }: Failure) -> Loaded {
        if let Some(link) = doubtful {
            return Ok(Found { link, tier: Tier::Doubtful });
        }
        match self.memory.stale(code.as_str()) {
            Some(link) => Ok(Found { link: Some(link), tier: Tier::Stale }),
            None => Err(Arc::new(error)),
        }
    }
}

/// The time as tokio has it, which a test can hold still.
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
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
