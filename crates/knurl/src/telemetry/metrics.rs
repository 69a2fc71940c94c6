//! The one table of metrics.
//!
//! Promised: counting costs a few nanoseconds and no lock on the redirect; the number of series is fixed by this file and the router's
//! own table, whatever strangers send.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use knurl_store::StoreError;

use super::{
    dependencies::Dependencies, histogram::Histogram, limits::LimitMetrics, process, redirects::Redirects, redis::RedisMetrics,
    tiers::Tiers,
};

/// What [`Metrics::render`] returns, to a scraper that knows the newer format.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The same text, to everybody else: what OpenMetrics adds are comments in the older format. Browsers show it.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Route patterns counted one by one; the router has fewer. What comes later is counted under `other`.
const ROUTES_MAX: usize = 128;
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// For totals that somebody else keeps (the spool's ledger): copied at a scrape.
    pub fn set(&self, total: u64) {
        self.0.store(total, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Why a connection was ended by us.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    pub accepted: Counter,
    pub open: Gauge,
    /// Answered 503 and closed, because `connections_max` were open.
    pub refused: Counter,
    pub accept_errors: Counter,
    pub first_byte_timeouts: Counter,
    pub header_timeouts: Counter,
    pub idle_timeouts: Counter,
    pub write_timeouts: Counter,
    /// Still busy when the drain's deadline came.
    pub drain_timeouts: Counter,
    /// Not HTTP, or not acceptable HTTP.
    pub malformed: Counter,
    pub panics: Counter,
}

/// A click's life. `answered = delivered + backlog + dropped`.
#[derive(Debug, Default)]
pub struct ClickMetrics {
    pub answered: Counter,
    pub delivered: Counter,
    pub undecodable: Counter,
    /// Of those, refused by the store and kept in files of their own.
    pub aside: Counter,
    pub dropped: Counter,
    pub backlog: Gauge,
    pub backlog_bytes: Gauge,
    pub fsync: Histogram,
    pub fsync_errors: Counter,
    /// Answers that left although the fsync they waited for did not come in time (`durability = power`).
    pub unsynced: Counter,
    /// 1 while no room can be made for more clicks.
    pub starved: Gauge,
    /// Batches that could not be delivered and are tried again.
    pub drain_errors: Counter,
    pub drain: Histogram,
}

#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// Calls that failed because the database could not be reached, was locked or was full.
    pub unavailable: Counter,
    pub overloaded: Counter,
    /// 1 while the canary's writes go through.
    pub up: Gauge,
    /// Calls that failed by a bug or damage: each one needs a person.
    pub internal: Counter,
    pub queue: Gauge,
    /// The writer's own totals, copied at a scrape.
    pub writes: Counter,
    pub commits: Counter,
    pub commit_us: Counter,
    pub failed_groups: Counter,
    pub writer_panics: Counter,
}

impl StoreMetrics {
    /// A call failed. What the client did (a conflict, a missing reference, an old version, a used key) is an answer, not a failure.
    pub fn failed(&self, error: &StoreError) {
        match error {
            StoreError::Conflict(_)
            | StoreError::MissingReference(_)
            | StoreError::Outdated
            | StoreError::Reused
            | StoreError::InFlight => {}
            StoreError::Unavailable(_) | StoreError::Unsure(_) | StoreError::Full(_) | StoreError::Moving => self.unavailable.inc(),
            StoreError::Overloaded => self.overloaded.inc(),
            StoreError::TooNew { .. } | StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Internal(_) => {
                self.internal.inc();
            }
        }
    }
}

/// Who is let in, by class, in the order of [`ADMISSION_CLASSES`].
#[derive(Debug, Default)]
pub struct AdmissionMetrics {
    pub in_flight: [Gauge; ADMISSION_CLASSES.len()],
    pub waiting: [Gauge; ADMISSION_CLASSES.len()],
    /// Answered 503.
    pub shed: [Counter; ADMISSION_CLASSES.len()],
    /// How long they waited until they were told.
    pub refusal: Histogram,
    /// How many classes are narrowed.
    pub rung: Gauge,
    /// The longest a task has waited for a worker since the last scrape.
    pub worker_lag_ms: Gauge,
}

pub const ADMISSION_CLASSES: [&str; 4] = ["redirect", "create", "read", "export"];

impl AdmissionMetrics {
    fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, gauges) in [
            (
                "knurl_admission_in_flight",
                "Requests at work, by class; redirects only where memory did not know the code.",
                &self.in_flight,
            ),
            ("knurl_admission_waiting", "Requests waiting for a place, by class.", &self.waiting),
        ] {
            let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (class, gauge) in ADMISSION_CLASSES.iter().zip(gauges) {
                ConstGauge::new(gauge.get() as f64).encode(family.encode_family(&[("class", *class)])?)?;
            }
        }
        let help = "Requests answered 503 because there was too much to do, by class.";
        let mut family = out.encode_descriptor("knurl_admission_shed", help, None, MetricType::Counter)?;
        for (class, shed) in ADMISSION_CLASSES.iter().zip(&self.shed) {
            ConstCounter::new(shed.get()).encode(family.encode_family(&[("class", *class)])?)?;
        }
        let help = "Time from a request's asking for a place until it was refused one.";
        histogram(out, "knurl_admission_refusal_duration_seconds", help, &self.refusal)?;
        let help = "Classes narrowed for the sake of those above them: 1 exports, 2 reads too, 3 creates too.";
        gauge(out, "knurl_admission_rung", help, self.rung.get() as f64)?;
        let lag_s = self.worker_lag_ms.get() as f64 / 1e3;
        gauge(out, "knurl_admission_worker_lag_seconds", "Longest a task has waited for a worker since the last scrape.", lag_s)
    }
}

/// Creates sent with an `Idempotency-Key`.
#[derive(Debug, Default)]
pub struct IdempotencyMetrics {
    /// Answered from an earlier request's outcome.
    pub replayed: Counter,
    /// The key was another request's: 422.
    pub reused: Counter,
    /// The same request was being worked on: 409.
    pub in_flight: Counter,
    /// Forgotten after their time.
    pub forgotten: Counter,
}

impl IdempotencyMetrics {
    fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Creates whose Idempotency-Key was known, by what they were told.";
        let mut family = out.encode_descriptor("knurl_idempotency_repeats", help, None, MetricType::Counter)?;
        for (told, count) in [("replayed", &self.replayed), ("reused", &self.reused), ("in_flight", &self.in_flight)] {
            let labels = [("told", told)];
            ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
        }
        counter(out, "knurl_idempotency_forgotten", "Idempotency keys forgotten after their time.", &self.forgotten)
    }
}

#[derive(Debug, Default)]
pub struct CacheMetrics {
    pub links: Gauge,
    pub bytes: Gauge,
    pub negative: Gauge,
    /// Everything was dropped because somebody else changed the database.
    pub forgotten: Counter,
}

#[derive(Debug, Default)]
pub struct JobMetrics {
    /// Panics of background jobs, each restarted.
    pub panics: Counter,
    /// Steps that failed and are tried again, the drain's apart.
    pub errors: Counter,
    /// Click events removed by retention.
    pub purged: Counter,
}

#[derive(Debug, Default)]
pub struct LogMetrics {
    /// Lines that were not written because standard error took them too slowly.
    pub dropped: Counter,
}

#[derive(Debug, Default)]
struct Route {
    classes: [AtomicU64; STATUS_CLASSES.len()],
    duration: Histogram,
}

type Refresh = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Fields are counted by whoever owns the fact; only [`Metrics::render`] reads them all.
#[derive(Default)]
pub struct Metrics {
    pub redirects: Redirects,
    pub connections: Arc<ConnectionMetrics>,
    pub clicks: ClickMetrics,
    pub store: StoreMetrics,
    pub admission: AdmissionMetrics,
    pub idempotency: IdempotencyMetrics,
    pub cache: CacheMetrics,
    pub dependencies: Dependencies,
    pub tiers: Tiers,
    pub limits: LimitMetrics,
    pub redis: RedisMetrics,
    pub log: LogMetrics,
    pub jobs: JobMetrics,
    /// Longest silence of the runtime the watchdog saw since the last scrape, in milliseconds.
    pub runtime_silence_ms: Gauge,
    api: RwLock<BTreeMap<&'static str, Arc<Route>>>,
    refreshes: Mutex<Vec<Refresh>>,
    started: OnceLock<(Instant, SystemTime)>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self::default();
        metrics.started.get_or_init(|| (Instant::now(), SystemTime::now()));
        metrics
    }

    /// One API request answered. `route` is the matched pattern (`/urls/{id}`), never the path as sent.
    pub fn api_request(&self, route: &'static str, status: u16, elapsed: Duration) {
        let route = self.route(route);
        let class = usize::from((status / 100).clamp(1, 5)) - 1;
        route.classes[class].fetch_add(1, Relaxed);
        route.duration.observe(elapsed);
    }

    fn route(&self, name: &'static str) -> Arc<Route> {
        // A thread that panicked while it held the lock left a whole map behind: insertions are its only change.
        let known = self.api.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(route) = known.get(name) {
            return Arc::clone(route);
        }
        drop(known);
        let mut routes = self.api.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = if routes.len() < ROUTES_MAX { name } else { "other" };
        Arc::clone(routes.entry(name).or_default())
    }

    /// `refresh` runs before every [`Metrics::render`]: for gauges that are cheaper to read than to keep.
    pub fn on_render(&self, refresh: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.refreshes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Box::new(refresh));
    }

    /// The exposition, for `/metrics` wherever it is served. Files are read (`/proc`): some tens of microseconds.
    pub fn render(self: &Arc<Self>) -> String {
        for refresh in self.refreshes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            refresh(self);
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        let mut out = String::with_capacity(16 * 1024);
        match text::encode(&mut out, &registry) {
            Ok(()) => out,
            // Writing to a String fails only where a collector says so; none does.
            Err(std::fmt::Error) => "# EOF\n".to_owned(),
        }
    }
}

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let metrics = &*self.0;
        let out = &mut encoder;
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        let mut family = out.encode_descriptor("knurl_build_info", "1, with the version as a label.", None, MetricType::Gauge)?;
        ConstGauge::new(1_u64).encode(family.encode_family(&build)?)?;
        if let Some((started, at)) = metrics.started.get() {
            let since_epoch = at.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
            gauge(out, "process_start_time_seconds", "When the process started, in seconds since 1970.", since_epoch)?;
            gauge(
                out,
                "knurl_uptime_seconds",
                "How long the process has run, by the monotonic clock.",
                started.elapsed().as_secs_f64(),
            )?;
        }
        metrics.redirects.encode(out)?;
        encode_api(metrics, out)?;
        encode_connections(&metrics.connections, out)?;
        encode_clicks(&metrics.clicks, out)?;
        encode_store(&metrics.store, out)?;
        metrics.admission.encode(out)?;
        metrics.idempotency.encode(out)?;
        gauge(out, "knurl_cache_links", "Links held in memory.", metrics.cache.links.get() as f64)?;
        gauge(out, "knurl_cache_bytes", "Memory the held links take, their table included.", metrics.cache.bytes.get() as f64)?;
        gauge(out, "knurl_cache_negative", "Codes remembered as absent.", metrics.cache.negative.get() as f64)?;
        counter(
            out,
            "knurl_cache_forgotten",
            "Times all of memory was set aside after a foreign change.",
            &metrics.cache.forgotten,
        )?;
        metrics.dependencies.encode(out)?;
        metrics.tiers.encode(out)?;
        metrics.limits.encode(out)?;
        metrics.redis.encode(out)?;
        counter(out, "knurl_job_panics", "Panics of background jobs; each job is restarted.", &metrics.jobs.panics)?;
        counter(out, "knurl_job_errors", "Steps of background jobs that failed and are tried again.", &metrics.jobs.errors)?;
        counter(out, "knurl_clicks_purged", "Click events removed by retention.", &metrics.jobs.purged)?;
        counter(out, "knurl_log_dropped", "Log lines dropped because the reader was too slow.", &metrics.log.dropped)?;
        let silence_s = metrics.runtime_silence_ms.get() as f64 / 1e3;
        gauge(out, "knurl_runtime_silence_seconds", "Longest the runtime has not turned, as the watchdog saw it.", silence_s)?;
        process::encode(out)
    }
}

fn encode_api(metrics: &Metrics, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let routes = metrics.api.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let help = "API requests, by route pattern and status class.";
    let mut family = out.encode_descriptor("knurl_api_requests", help, None, MetricType::Counter)?;
    for (name, route) in routes.iter() {
        for (class, count) in STATUS_CLASSES.iter().zip(&route.classes) {
            let count = count.load(Relaxed);
            if count > 0 {
                let labels = [("route", *name), ("status", *class)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    let help = "Time an API request took, by route pattern.";
    let mut family = out.encode_descriptor("knurl_api_request_duration_seconds", help, None, MetricType::Histogram)?;
    for (name, route) in routes.iter() {
        let labels = [("route", *name)];
        route.duration.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_connections(connections: &ConnectionMetrics, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    counter(out, "knurl_connections_accepted", "Connections accepted.", &connections.accepted)?;
    gauge(out, "knurl_connections_open", "Connections open.", connections.open.get() as f64)?;
    counter(out, "knurl_connections_refused", "Connections answered 503 because the cap was reached.", &connections.refused)?;
    counter(out, "knurl_accept_errors", "accept() calls that failed.", &connections.accept_errors)?;
    counter(out, "knurl_requests_malformed", "Requests refused because they were not acceptable HTTP.", &connections.malformed)?;
    counter(out, "knurl_connection_panics", "Panics caught while serving a connection.", &connections.panics)?;
    let help = "Connections closed because the peer was too slow, by what was waited for.";
    let mut family = out.encode_descriptor("knurl_connection_timeouts", help, None, MetricType::Counter)?;
    let kinds = [
        ("first_byte", &connections.first_byte_timeouts),
        ("header", &connections.header_timeouts),
        ("idle", &connections.idle_timeouts),
        ("write", &connections.write_timeouts),
        ("drain", &connections.drain_timeouts),
    ];
    for (name, count) in kinds {
        let labels = [("kind", name)];
        ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_clicks(clicks: &ClickMetrics, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    counter(out, "knurl_clicks_answered", "Clicks answered, ever, by this node's spool.", &clicks.answered)?;
    counter(out, "knurl_clicks_delivered", "Clicks delivered to the store.", &clicks.delivered)?;
    counter(out, "knurl_clicks_undecodable", "Spool records that could not be read.", &clicks.undecodable)?;
    counter(out, "knurl_clicks_aside", "Clicks the database refused for good, kept as files beside the spool.", &clicks.aside)?;
    counter(out, "knurl_clicks_dropped", "Clicks given up because the spool was full or broken.", &clicks.dropped)?;
    gauge(out, "knurl_clicks_backlog", "Clicks in the spool, not yet delivered.", clicks.backlog.get() as f64)?;
    gauge(out, "knurl_clicks_backlog_bytes", "Bytes of the spool, not yet delivered.", clicks.backlog_bytes.get() as f64)?;
    histogram(out, "knurl_spool_fsync_duration_seconds", "Time of the spool's fsync.", &clicks.fsync)?;
    counter(out, "knurl_spool_fsync_errors", "Failed fsyncs of the spool.", &clicks.fsync_errors)?;
    counter(out, "knurl_clicks_unsynced", "Answers that left before the fsync they waited for.", &clicks.unsynced)?;
    gauge(out, "knurl_spool_starved", "1 while no room can be made for more clicks.", clicks.starved.get() as f64)?;
    histogram(out, "knurl_drain_duration_seconds", "Time to deliver one batch of clicks.", &clicks.drain)?;
    counter(out, "knurl_drain_errors", "Batches that could not be delivered and are tried again.", &clicks.drain_errors)
}

fn encode_store(store: &StoreMetrics, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let help = "Calls to the store that failed, by kind.";
    let mut family = out.encode_descriptor("knurl_store_errors", help, None, MetricType::Counter)?;
    for (kind, count) in [("unavailable", &store.unavailable), ("overloaded", &store.overloaded), ("internal", &store.internal)] {
        let labels = [("kind", kind)];
        ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
    }
    gauge(out, "knurl_store_up", "1 while the canary's writes go through.", store.up.get() as f64)?;
    gauge(out, "knurl_store_queue", "Writes waiting for a commit.", store.queue.get() as f64)?;
    counter(out, "knurl_store_writes", "Writes taken from the queue.", &store.writes)?;
    counter(out, "knurl_store_commits", "Groups of writes committed.", &store.commits)?;
    let seconds = ConstCounter::new(store.commit_us.get() as f64 / 1e6);
    let help = "Time spent in commits; over commits it is their mean duration.";
    seconds.encode(out.encode_descriptor("knurl_store_commit_seconds", help, None, MetricType::Counter)?)?;
    counter(out, "knurl_store_failed_groups", "Groups of writes whose commit failed.", &store.failed_groups)?;
    counter(out, "knurl_store_writer_panics", "Writes that panicked.", &store.writer_panics)
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: &Counter) -> Result<(), std::fmt::Error> {
    ConstCounter::new(value.get()).encode(out.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> Result<(), std::fmt::Error> {
    ConstGauge::new(value).encode(out.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn histogram(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: &Histogram) -> Result<(), std::fmt::Error> {
    value.encode(out.encode_descriptor(name, help, None, MetricType::Histogram)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::redirects::{Outcome, Tier};

    #[test]
    fn the_exposition_holds_what_was_counted_and_ends_properly() {
        let metrics = Arc::new(Metrics::new());
        metrics.redirects.answered(Outcome::Redirected, Duration::from_micros(30));
        metrics.redirects.resolved(Tier::Memory);
        metrics.api_request("/urls/{id}", 404, Duration::from_millis(2));
        metrics.on_render(|metrics| metrics.clicks.backlog.set(7));
        let text = metrics.render();
        for line in [
            "knurl_redirects_total{outcome=\"redirected\"} 1\n",
            "knurl_resolves_total{tier=\"memory\"} 1\n",
            "knurl_redirect_duration_seconds_bucket{le=\"0.00005\"} 1\n",
            "knurl_redirect_duration_seconds_bucket{le=\"+Inf\"} 1\n",
            "knurl_api_requests_total{route=\"/urls/{id}\",status=\"4xx\"} 1\n",
            "knurl_api_request_duration_seconds_count{route=\"/urls/{id}\"} 1\n",
            "knurl_clicks_backlog 7.0\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn routes_beyond_the_bound_are_counted_together() {
        let metrics = Arc::new(Metrics::new());
        for n in 0..ROUTES_MAX + 50 {
            metrics.api_request(Box::leak(format!("/r{n}").into_boxed_str()), 200, Duration::ZERO);
        }
        assert!(metrics.render().contains("knurl_api_requests_total{route=\"other\",status=\"2xx\"} 50\n"));
    }
}
