//! Limits: how often a key, a network, or somebody who guesses short codes may ask.
//!
//! Promised: the arithmetic is [`knurl_core::rate`]'s; a client is counted by its key or by its network (IPv4 address, IPv6 /64), with a
//! Redis by all nodes together, while it is away by each node alone, from where they left off; memory is bounded whoever asks; a limit
//! that is off costs nothing. Refused: deciding what a
//! refusal looks like (that is http's), and refusing a redirect to a link that exists: misses are counted after the fact.
//!
//! # Layout
//! [`table`] remembers this node's marks, [`subject`] says who is who, [`lanes`] slows down those who guess.

mod lanes;
mod subject;
mod table;

use std::{net::IpAddr, sync::Arc, time::Instant};

use knurl_core::rate::Mark;
pub use knurl_core::rate::{Quota, Verdict};
pub use lanes::{Lane, PLACES_MAX as LANE_PLACES_MAX, WAIT as LANE_WAIT};
pub use subject::Subject;

use lanes::Lanes;
use table::{Table, Whom};

use crate::{
    config::{IpNet, LimitsConfig},
    redis::SharedLimits,
    telemetry::{Metrics, limits::By},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// API requests with a key.
    Key,
    /// API requests of a network that shows none.
    Network,
    /// Short codes asked for that lead nowhere.
    Misses,
}

impl Limit {
    /// As in `RateLimit-Policy` and in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Network => "network",
            Self::Misses => "misses",
        }
    }
}

/// One request, counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub limit: Limit,
    pub quota: Quota,
    pub verdict: Verdict,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `None`: every limit is off.
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    quotas: [Option<Quota>; 3],
    exempt: Vec<IpNet>,
    /// `None`: each node for itself.
    shared: Option<SharedLimits>,
    table: Table,
    lanes: Lanes,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl Limits {
    /// Counted by this node alone.
    pub fn new(config: &LimitsConfig, metrics: &Arc<Metrics>) -> Self {
        Self::sharing(config, None, metrics)
    }

    /// Counted by all who share the Redis.
    pub fn sharing(config: &LimitsConfig, shared: Option<SharedLimits>, metrics: &Arc<Metrics>) -> Self {
        let quota = |per_minute| Quota::new(per_minute, config.burst_s);
        let quotas = [config.api_per_minute, config.anonymous_per_minute, config.misses_per_minute].map(quota);
        if quotas.iter().all(Option::is_none) {
            return Self { inner: None };
        }
        let inner = Arc::new(Inner {
            quotas,
            exempt: config.exempt.clone(),
            shared,
            table: Table::new(),
            lanes: Lanes::default(),
            metrics: Arc::clone(metrics),
            started: Instant::now(),
        });
        metrics.on_render({
            let inner = Arc::downgrade(&inner);
            move |metrics| {
                if let Some(inner) = inner.upgrade() {
                    metrics.limits.forgotten.set(inner.table.forgotten.get());
                }
            }
        });
        Self { inner: Some(inner) }
    }

    /// Whether this limit can refuse this client anything.
    pub fn concerns(&self, limit: Limit, client: IpAddr) -> bool {
        self.inner
            .as_deref()
            .is_some_and(|inner| inner.quota(limit).is_some() && !inner.exempt.iter().any(|net| net.contains(client)))
    }

    /// Counts one request; `None` where the limit is off. Whoever asks has looked at [`Limits::concerns`]. With a Redis it takes a round
    /// trip, or `redis.timeout_ms` at the longest.
    pub async fn count(&self, limit: Limit, subject: Subject) -> Option<Counted> {
        let inner = self.inner.as_deref()?;
        let quota = inner.quota(limit)?;
        let (verdict, by) = inner.take(Whom { limit, subject }, &quota).await;
        inner.metrics.limits.counted(limit as usize, verdict.allowed, by);
        Some(Counted { limit, quota, verdict })
    }

    /// What the next request would get, as far as this node knows; nothing is counted.
    pub fn look(&self, limit: Limit, subject: Subject) -> Option<Counted> {
        let inner = self.inner.as_deref()?;
        let quota = inner.quota(limit)?;
        Some(Counted { limit, quota, verdict: inner.table.look(Whom { limit, subject }, &quota, inner.now_us()) })
    }

    /// A place among those who have guessed too often; `None`: too many of them are waiting.
    pub async fn lane(&self) -> Option<Lane> {
        let inner = self.inner.as_deref()?;
        let lane = inner.lanes.enter().await;
        if lane.is_none() {
            inner.metrics.limits.lanes_full.inc();
        }
        lane
    }
}

impl Inner {
    async fn take(&self, whom: Whom, quota: &Quota) -> (Verdict, By) {
        let seen = self.table.look(whom, quota, self.now_us());
        // A refusal moves no mark, so nobody else need hear of it: who hammers does not hammer Redis.
        if seen.allowed
            && let Some(shared) = &self.shared
            && let Ok(counted) = shared.take((whom.limit.name(), whom.subject.number()), quota).await
        {
            // For looks, and for going on alone.
            self.table.learn(whom, Mark(self.now_us().saturating_add(counted.ahead_us)), self.now_us());
            return (counted.verdict, By::Fleet);
        }
        (self.table.take(whom, quota, self.now_us()), By::Node)
    }

    fn quota(&self, limit: Limit) -> Option<Quota> {
        self.quotas[limit as usize]
    }

    fn now_us(&self) -> u64 {
        // Saturates after 584 thousand years.
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
