//! Workers: each a loop around a step, started and stopped in one place; the death of one is loud and ends no other.
//!
//! # Layout
//! [`supervisor`] runs them; every other file is one job.

mod age;
mod canary;
mod clock;
mod coherence;
mod drain;
mod follow;
mod hints;
mod onces;
mod ping;
mod retention;
mod salts;
mod supervisor;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use follow::{Changing, Feeding, Follows, follower};
use futures_util::future::{BoxFuture, join_all};
use knurl_core::UnixMillis;
use knurl_store::{Store, StoreError};
pub use supervisor::Prepared;
use supervisor::{Job, Running};
use tokio::time::{Instant, timeout};

use crate::{clicks::Clicks, config::Config, redis::Redis, resolve::Resolver, telemetry::Metrics};

/// The first salts, and the first ping, are waited for this long; then derived salts do until the job has them.
const FIRST_WAIT: Duration = Duration::from_secs(2);

pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// What [`start`] is given. `on_foreign_change` runs after somebody else changed the database: the place to refresh the key ring. Where it fails it is tried again at every look.
pub struct Needs<'a> {
    pub config: &'a Config,
    pub clicks: &'a Clicks,
    pub store: Arc<dyn Store>,
    pub resolver: Resolver,
    pub metrics: Arc<Metrics>,
    pub on_foreign_change: Arc<dyn Fn() -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync>,
    /// Tells which links others have changed. `None`: that is not known, only that they have; then nothing remembered is believed.
    pub feeding: Option<Feeding>,
    /// Where there is one, other nodes' edits are heard of through it.
    pub redis: Option<Redis>,
}

impl std::fmt::Debug for Needs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Needs").finish_non_exhaustive()
    }
}

/// The running jobs, in the order they were started.
#[derive(Debug)]
pub struct Jobs {
    running: Vec<Running>,
}

/// Starts, on the current runtime: drain, salts, hints, follow, coherence, ping, canary, onces, retention, clock. The salt of today is fetched (or derived)
/// before this returns.
pub async fn start(needs: Needs<'_>) -> Jobs {
    start_at(needs, system_clock()).await
}

/// [`start`] under another clock.
pub async fn start_at(needs: Needs<'_>, clock: Clock) -> Jobs {
    let (mut first_salts, mut first_ping) = (needs.salts(&clock)(), needs.ping()());
    let (at, counted) = (Arc::clone(&clock), Arc::clone(&needs.metrics));
    let clocks =
        supervisor::prepare(move || clock::ClockJob::new(Arc::clone(&at), Arc::clone(&counted)), Arc::clone(&needs.metrics));
    let mut prepared = prepare(needs, &clock).into_iter();
    // The drain waits for nobody.
    let mut running: Vec<Running> = prepared.next().map(Prepared::start).into_iter().collect();
    let (salts_known, ()) = tokio::join!(timeout(FIRST_WAIT, first_salts.step()), async {
        // Before its first answer the store counts as down, and the node as not ready.
        let _ = timeout(FIRST_WAIT, first_ping.step()).await;
    });
    if salts_known.is_err() {
        tracing::warn!("the store did not give the visitor salts in time; derived ones are used until it does");
    }
    running.extend(prepared.chain([clocks]).map(Prepared::start));
    Jobs { running }
}

/// All of them but the clock, which looks at no data; the drain first. For whoever runs them in an order of his own.
pub fn prepare(needs: Needs<'_>, clock: &Clock) -> Vec<Prepared> {
    let (salts, ping, canary) = (needs.salts(clock), needs.ping(), needs.canary(clock));
    let Needs { config, clicks, store, resolver, metrics, on_foreign_change, feeding, redis } = needs;
    let (drains, interval) = (clicks.drains(), config.clicks.drain_interval);
    let mut prepared = vec![supervisor::prepare(move || drain::DrainJob { drain: drains.make(), interval }, Arc::clone(&metrics))];
    prepared.push(supervisor::prepare(salts, Arc::clone(&metrics)));

    if let Some(redis) = redis {
        let listener = resolver.clone();
        let hints = move || hints::HintsJob { hints: redis.hints(), resolver: listener.clone() };
        prepared.push(supervisor::prepare(hints, Arc::clone(&metrics)));
    }

    // The feed tells which links; without one all are forgotten.
    let forgets_all = feeding.is_none().then(|| resolver.clone());
    if let Some(feeding) = feeding {
        let counted = Arc::clone(&metrics);
        let follow = move || follow::FollowJob::new(&feeding, resolver.clone(), Arc::clone(&counted));
        prepared.push(supervisor::prepare(follow, Arc::clone(&metrics)));
    }

    let coherence = {
        let (store, metrics, interval) = (Arc::clone(&store), Arc::clone(&metrics), config.cache.coherence_interval);
        move || coherence::CoherenceJob {
            store: Arc::clone(&store),
            resolver: forgets_all.clone(),
            on_foreign_change: Arc::clone(&on_foreign_change),
            interval,
            metrics: Arc::clone(&metrics),
            seen: None,
            looks: 0,
            behind: false,
            away: false,
        }
    };
    prepared.push(supervisor::prepare(coherence, Arc::clone(&metrics)));

    prepared.push(supervisor::prepare(ping, Arc::clone(&metrics)));
    if let Some(canary) = canary {
        prepared.push(supervisor::prepare(canary, Arc::clone(&metrics)));
    }

    let onces = {
        let (store, clock, metrics) = (Arc::clone(&store), Arc::clone(clock), Arc::clone(&metrics));
        let retention = config.idempotency.retention;
        move || onces::OncesJob { store: Arc::clone(&store), retention, clock: Arc::clone(&clock), metrics: Arc::clone(&metrics) }
    };
    prepared.push(supervisor::prepare(onces, Arc::clone(&metrics)));

    if let Some(retention) = config.clicks.retention {
        let (of, store, clock) = (Arc::clone(&metrics), Arc::clone(&store), Arc::clone(clock));
        let job = move || retention::RetentionJob {
            store: Arc::clone(&store),
            retention,
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&of),
        };
        prepared.push(supervisor::prepare(job, metrics));
    }
    prepared
}

impl Needs<'_> {
    fn salts(&self, clock: &Clock) -> impl Fn() -> salts::SaltsJob + Send + 'static {
        let (salts, store, clock) = (self.clicks.salts(), Arc::clone(&self.store), Arc::clone(clock));
        let metrics = Arc::clone(&self.metrics);
        move || salts::SaltsJob {
            salts: salts.clone(),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        }
    }

    fn ping(&self) -> impl Fn() -> ping::PingJob + Send + 'static {
        let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        move || ping::PingJob { store: Arc::clone(&store), metrics: Arc::clone(&metrics) }
    }

    fn canary(&self, clock: &Clock) -> Option<impl Fn() -> canary::CanaryJob + Send + 'static> {
        let interval = self.config.clicks.canary_interval?;
        self.metrics.canary.watch(interval);
        let (addr, spool) = (self.config.http.listen, self.clicks.id());
        let (store, resolver, clock) = (Arc::clone(&self.store), self.resolver.clone(), Arc::clone(clock));
        let metrics = Arc::clone(&self.metrics);
        Some(move || {
            let link = canary::LinkOf::new(spool, Arc::clone(&store), resolver.clone(), Arc::clone(&clock));
            canary::CanaryJob::new(link, addr, interval, Arc::clone(&metrics))
        })
    }
}

impl Jobs {
    /// Stops them all at once: each has all of `deadline`, so that one whose step hangs takes nothing from the drain, which delivers what the
    /// spool holds. What is left stays in the spool for the next start.
    pub async fn stop(self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        join_all(self.running.into_iter().map(|job| job.stop(deadline))).await;
    }
}

/// The one place where the jobs read the time.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    })
}
