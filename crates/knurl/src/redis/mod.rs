//! Redis: what several nodes share and can do without. Cached links, limits, news of edits.
//!
//! Promised: a call is answered within `redis.timeout_ms`, by Redis or by [`Unavailable`]; while there is no connection that is at once;
//! nothing waits in a queue of ours; connecting goes on in the background for ever, with growing pauses that no two nodes share. An
//! absent Redis is no error, at the start neither. Refused: keeping anything that is not elsewhere. Whatever is lost in it, `FLUSHALL`
//! at any instant included, changes no answer.
//!
//! # Layout
//! `connect` makes a connection of a URL, `keeper` keeps one, `script` runs a script on it; on top of these [`links`] (the cache), [`limits`]
//! and [`hints`]; `record` is a cached link as bytes.

mod connect;
pub mod hints;
mod keeper;
pub mod limits;
pub mod links;
mod record;
mod script;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

pub use connect::ConnectError;
pub use hints::{Hint, Hints};
pub use limits::{Counted, SharedLimits};
pub use links::{CachedLink, Lease, Links, Looked};

use connect::{Live, Pushes};
use keeper::Keeping;
use script::Run;

use crate::{
    breaker::{Breaker, Rules},
    config::RedisConfig,
    telemetry::{
        Metrics,
        dependencies::Dependency,
        redis::{Asked, Came},
        scope,
    },
};

/// Calls at once. Each holds a place of the connection's memory until it is answered.
const IN_FLIGHT_MAX: usize = 512;
/// A connection that has answered nobody for so long, although asked, is replaced.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Why there is no answer. To the caller all are the same: do without.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("there is no connection to Redis")]
    Away,
    #[error("Redis has failed too often and is not asked for the moment")]
    GivenUp,
    #[error("too many calls to Redis at once")]
    Busy,
    #[error("Redis did not answer in time")]
    Late,
    #[error("Redis: {0}")]
    Failed(#[source] RedisError),
    /// An answer that none of our scripts gives.
    #[error("Redis answered something else")]
    Nonsense,
}

/// Cheap to clone: all clones are one connection. It is closed with the last of them.
#[derive(Clone, Debug)]
pub struct Redis {
    inner: Arc<Inner>,
    _keeping: Arc<Keeping>,
}

#[derive(Debug)]
struct Inner {
    config: RedisConfig,
    live: ArcSwapOption<Live>,
    /// Wakes the keeper: the connection is to be replaced, or there is something to be asked.
    wake: Notify,
    breaker: Breaker,
    places: Semaphore,
    trust: links::Trust,
    pushes: Pushes,
    metrics: Arc<Metrics>,
    started: Instant,
    answers: AtomicU64,
    /// Milliseconds after `started` of the first call that was late after the last answer; 0: none.
    late_since_ms: AtomicU64,
}

impl Redis {
    /// Returns at once; connecting happens on the current runtime.
    pub fn start(config: &RedisConfig, metrics: Arc<Metrics>) -> Self {
        metrics.redis.watch();
        let inner = Arc::new(Inner {
            config: config.clone(),
            live: ArcSwapOption::empty(),
            wake: Notify::new(),
            breaker: Breaker::new(Dependency::Redis, Rules::default(), Arc::clone(&metrics)),
            places: Semaphore::new(IN_FLIGHT_MAX),
            trust: links::Trust::default(),
            pushes: Pushes::new(Arc::clone(&metrics)),
            metrics,
            started: Instant::now(),
            answers: AtomicU64::new(0),
            late_since_ms: AtomicU64::new(0),
        });
        Self { _keeping: Arc::new(keeper::start(Arc::clone(&inner))), inner }
    }

    pub fn is_connected(&self) -> bool {
        self.inner.live.load().is_some()
    }

    /// Links cached for all nodes.
    pub fn links(&self) -> Links {
        Links::new(self.clone())
    }

    /// Limits counted for all nodes together.
    pub fn limits(&self) -> SharedLimits {
        SharedLimits::new(self.clone())
    }

    /// News of edits by other nodes, from now on. The last one who asks gets them.
    pub fn hints(&self) -> Hints {
        self.inner.pushes.listen()
    }

    /// Connects once, with the keeper's deadline, and says which version is there: for `knurl doctor`.
    pub async fn look(config: &RedisConfig) -> Result<String, ConnectError> {
        connect::look(config).await
    }
}

impl Inner {
    async fn ping(&self) {
        // What came of it is counted, and the breaker has heard it.
        let _ = self.call(Asked::Ping, async |live| live.ping().await).await;
    }

    async fn run(&self, asked: Asked, run: &Run<'_>) -> Result<Value, Unavailable> {
        self.call(asked, async |live| run.on(live).await).await
    }

    /// One call, all promises kept.
    async fn call(&self, asked: Asked, work: impl AsyncFnOnce(&Live) -> Result<Value, RedisError>) -> Result<Value, Unavailable> {
        let mut part = scope::part(asked.span());
        part.asks("redis");
        let answer = self.ask(work).await;
        let came = match &answer {
            Ok(_) => Came::Answer,
            Err(Unavailable::Away | Unavailable::GivenUp | Unavailable::Busy) => Came::NotAsked,
            Err(Unavailable::Late) => Came::Late,
            Err(Unavailable::Failed(error)) if is_answer(error) => Came::Refusal,
            Err(Unavailable::Failed(_) | Unavailable::Nonsense) => Came::Broken,
        };
        if came != Came::Answer {
            part.failed(came.name());
        }
        self.metrics.redis.called(asked, came);
        answer
    }

    async fn ask(&self, work: impl AsyncFnOnce(&Live) -> Result<Value, RedisError>) -> Result<Value, Unavailable> {
        let live = self.live.load_full().ok_or(Unavailable::Away)?;
        // Before the breaker: that no place is free says nothing about Redis.
        let _place = self.places.try_acquire().map_err(|_| Unavailable::Busy)?;
        let call = self.breaker.admit().ok_or(Unavailable::GivenUp)?;
        match timeout(self.config.timeout, work(&live)).await {
            Err(_elapsed) => {
                call.failed();
                if self.late_for() > SILENT_MAX {
                    self.lose(&live);
                }
                Err(Unavailable::Late)
            }
            Ok(Err(error)) if !is_answer(&error) => {
                call.failed();
                // A Cluster's other nodes may be well.
                if !live.mends_itself() {
                    self.lose(&live);
                }
                Err(Unavailable::Failed(error))
            }
            Ok(answer) => {
                self.answers.fetch_add(1, Relaxed);
                self.late_since_ms.store(0, Relaxed);
                call.ok();
                answer.map_err(Unavailable::Failed)
            }
        }
    }

    /// How long nobody has got an answer, who asked.
    fn late_for(&self) -> Duration {
        // Saturates after 584 million years.
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        match self.late_since_ms.compare_exchange(0, now_ms, Relaxed, Relaxed) {
            Ok(_) => Duration::ZERO,
            Err(since_ms) => Duration::from_millis(now_ms.saturating_sub(since_ms)),
        }
    }

    /// This connection is of no more use. One that has taken its place meanwhile is left alone.
    fn lose(&self, live: &Arc<Live>) {
        let seen = self.live.compare_and_swap(live, None);
        if seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, live)) {
            self.late_since_ms.store(0, Relaxed);
            self.metrics.redis.connected.set(0);
            self.wake.notify_one();
        }
    }
}

/// Redis has understood us and says no: nothing is wrong with it or with the connection. A server that has become a replica, is still
/// loading or has lost its Cluster is asked in vain, like one that is away.
fn is_answer(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
        ) => false,
        ErrorKind::Server(_) | ErrorKind::Extension => true,
        _ => false,
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
