//! All that is counted in this process, and its exposition.
//!
//! Promised: counting costs a few nanoseconds and no lock on the redirect; the number of series is fixed by [`super::table`] and the
//! router's own table, whatever strangers send.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

pub use super::{
    admission::{ADMISSION_CLASSES, AdmissionMetrics},
    connections::ConnectionMetrics,
    counters::{Counter, Gauge},
};
use super::{
    clicks::{CanaryMetrics, ClickMetrics},
    dependencies::Dependencies,
    disk::DiskMetrics,
    exemplars::Exemplars,
    exposition::{Format, to_text},
    limits::LimitMetrics,
    process,
    redirects::Redirects,
    redis::RedisMetrics,
    routes::{Answered, IdempotencyMetrics, Routes},
    run::RunMetrics,
    store::StoreMetrics,
    table,
    tiers::Tiers,
    traces::Traces,
    upkeep::{BackupMetrics, CacheMetrics, JobMetrics, LogMetrics},
};

type Refresh = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Fields are counted by whoever owns the fact; only [`Metrics::render`] reads them all.
#[derive(Default)]
pub struct Metrics {
    pub run: RunMetrics,
    pub disk: DiskMetrics,
    pub redirects: Redirects,
    pub connections: Arc<ConnectionMetrics>,
    pub clicks: ClickMetrics,
    pub canary: CanaryMetrics,
    pub store: StoreMetrics,
    pub admission: AdmissionMetrics,
    pub idempotency: IdempotencyMetrics,
    pub cache: CacheMetrics,
    pub dependencies: Dependencies,
    pub tiers: Tiers,
    pub limits: LimitMetrics,
    pub redis: RedisMetrics,
    pub backup: BackupMetrics,
    pub log: LogMetrics,
    pub traces: Traces,
    pub exemplars: Exemplars,
    pub jobs: JobMetrics,
    api: Routes,
    refreshes: Mutex<Vec<Refresh>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// One API request answered.
    pub fn api_request(&self, answered: Answered, elapsed: Duration) {
        self.api.answered(answered, elapsed);
    }

    /// `refresh` runs before every [`Metrics::render`]: for gauges that are cheaper to read than to keep.
    pub fn on_render(&self, refresh: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.refreshes.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
    }

    /// The exposition as OpenMetrics.
    pub fn render(self: &Arc<Self>) -> String {
        self.render_as(Format::OpenMetrics)
    }

    /// The exposition, for `/metrics` wherever it is served. Files are read (`/proc`): some tens of microseconds.
    pub fn render_as(self: &Arc<Self>, format: Format) -> String {
        for refresh in self.refreshes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            refresh(self);
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        let mut out = String::with_capacity(64 * 1024);
        let encoded = text::encode(&mut out, &registry);
        let out = self.exemplars.shown_in(out);
        match (encoded, format) {
            (Ok(()), Format::OpenMetrics) => out,
            (Ok(()), Format::Text) => to_text(&out),
            // Writing to a String fails only where a collector says so; none does.
            (Err(std::fmt::Error), _) => "# EOF\n".to_owned(),
        }
    }
}

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (metrics, out) = (&*self.0, &mut encoder);
        metrics.run.encode(out)?;
        metrics.disk.encode(out)?;
        process::encode(out)?;
        metrics.redirects.encode(out)?;
        metrics.api.encode(out)?;
        metrics.idempotency.encode(out)?;
        metrics.connections.encode(out)?;
        metrics.admission.encode(out)?;
        metrics.limits.encode(out)?;
        metrics.clicks.encode(out)?;
        metrics.canary.encode(out)?;
        metrics.store.encode(out)?;
        metrics.cache.encode(out)?;
        metrics.tiers.encode(out)?;
        metrics.dependencies.encode(out)?;
        metrics.redis.encode(out)?;
        metrics.backup.encode(out)?;
        table::JOB_PANICS.count(out, metrics.jobs.panics.get())?;
        table::JOB_ERRORS.count(out, metrics.jobs.errors.get())?;
        table::LOG_DROPPED.count(out, metrics.log.dropped.get())?;
        metrics.traces.encode(out)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::telemetry::redirects::{Outcome, Tier};

    #[test]
    fn the_exposition_holds_what_was_counted_and_ends_properly() {
        let metrics = Arc::new(Metrics::new());
        metrics.redirects.answered(Outcome::Redirected, Duration::from_micros(30));
        metrics.redirects.resolved(Tier::Memory);
        let asked = |status| Answered { method: "GET", route: "/urls/{id}", status };
        metrics.api_request(asked(404), Duration::from_millis(2));
        metrics.api_request(asked(200), Duration::from_millis(2));
        metrics.on_render(|metrics| metrics.clicks.backlog.set(7));
        let text = metrics.render();
        for line in [
            "knurl_redirects_total{outcome=\"redirected\"} 1\n",
            "knurl_resolves_total{tier=\"memory\"} 1\n",
            "knurl_redirect_duration_seconds_bucket{le=\"0.00005\"} 1\n",
            "knurl_redirect_duration_seconds_bucket{le=\"+Inf\"} 1\n",
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/urls/{id}\",http_response_status_code=\"404\"} 1\n",
            "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/urls/{id}\",http_response_status_code=\"503\"} 0\n",
            "knurl_clicks_backlog 7.0\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!metrics.render_as(Format::Text).contains("# EOF"));
    }

    #[test]
    fn what_is_exposed_is_what_stands_in_the_table() {
        let text = Arc::new(Metrics::new()).render();
        let exposed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
        let named: BTreeSet<&str> = table::ALL.iter().flat_map(|(_, families)| *families).map(|family| family.name).collect();
        assert_eq!(exposed.iter().copied().collect::<BTreeSet<_>>(), named);
        assert_eq!(exposed.len(), named.len(), "each once");
    }
}
