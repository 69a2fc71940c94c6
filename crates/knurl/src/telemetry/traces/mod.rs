//! Traces, sent to an OpenTelemetry collector by OTLP.
//!
//! Promised: without `telemetry.otlp_endpoint` nothing is built and a request pays for one look whether it was; a request never waits for
//! a collector: what is finished goes into a queue of bounded size, by itself or not at all, and what was not sent is counted. A trace is kept where chance
//! chose it at its beginning, where a caller who is trusted did, where it failed by our fault, or was slow.
//! Refused: what a visitor is (address, user agent, referrer), what a link leads to, keys, parameters of statements.
//!
//! # Layout
//! [`context`] is how traces go from one process to the next; a [`recording`] collects [`span`]s; `queue` and `exporter` bring them to
//! `otlp`, which speaks it. [`super::scope`] is how anybody adds to a recording without being told of it.

pub mod context;
mod exporter;
mod otlp;
mod queue;
mod recording;
mod span;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use http::HeaderMap;

pub use self::{
    context::{Parent, TraceId},
    recording::{Beginning, Kept, Recording},
    span::{Kind, Span},
};
use self::{exporter::Exporter, queue::Queue, recording::Finished};
use super::{
    RequestId,
    counters::Counter,
    scope::Scope,
    table::{self, Encoded, Out},
};
use crate::{chance, config::TelemetryConfig};

/// Where traces are made and counted; without a tracer there are none.
#[derive(Debug, Default)]
pub struct Traces {
    pub counts: Arc<TraceCounts>,
    tracer: OnceLock<Arc<Tracer>>,
}

#[derive(Debug, Default)]
pub struct TraceCounts {
    /// The collector has taken them.
    pub exported: Counter,
    /// Not sent: the queue was full.
    pub overflowed: Counter,
    /// Given up after several attempts, or refused by the collector.
    pub refused: Counter,
    /// Still waiting when the process ended.
    pub abandoned: Counter,
    /// Attempts to send that failed.
    pub failures: Counter,
}

impl Traces {
    /// From now on. A process has one tracer: a second one is not started.
    pub fn start(&self, config: &TelemetryConfig) -> std::io::Result<()> {
        if let (None, Some(tracer)) = (self.tracer.get(), Tracer::start(config, Arc::clone(&self.counts))?) {
            let _ = self.tracer.set(tracer);
        }
        Ok(())
    }

    #[inline]
    pub fn tracer(&self) -> Option<&Arc<Tracer>> {
        self.tracer.get()
    }

    /// Of a request that goes beyond memory. What `headers` say of a trace is believed where `is_trusted` says so.
    pub fn request(&self, headers: &HeaderMap, is_trusted: impl FnOnce() -> bool) -> Arc<Scope> {
        let request_id = RequestId::from_headers(headers);
        let parent = if headers.contains_key(context::TRACEPARENT) && is_trusted() { Parent::of(headers) } else { None };
        let recording = self.tracer().map(|tracer| {
            let is_sampled = parent.is_some_and(|parent| parent.is_sampled) || tracer.draws();
            let state = parent.and_then(|_| context::state(headers));
            Recording::begin(Arc::clone(tracer), Instant::now(), Beginning::new(parent, state, is_sampled))
        });
        Scope::request(request_id, parent.map(|parent| parent.trace_id), recording)
    }

    /// Of a step of a job.
    pub fn step(&self) -> Option<Arc<Scope>> {
        let tracer = self.tracer()?;
        let beginning = Beginning::new(None, None, tracer.draws());
        Some(Scope::step(Recording::begin(Arc::clone(tracer), Instant::now(), beginning)))
    }

    /// Sends what waits, for a bounded time, and stops.
    pub async fn stop(&self) {
        if let Some(tracer) = self.tracer() {
            tracer.exporter.stop().await;
        }
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let counts = &*self.counts;
        let dropped = [("queue_full", &counts.overflowed), ("not_taken", &counts.refused), ("shutdown", &counts.abandoned)];
        table::TRACES_DROPPED.counts(out, dropped.map(|(reason, count)| (reason, count.get())))?;
        table::TRACES_EXPORTED.count(out, counts.exported.get())?;
        table::TRACES_EXPORT_FAILURES.count(out, counts.failures.get())?;
        let queued = self.tracer().map_or(0, |tracer| tracer.queue.spans());
        table::TRACES_QUEUED_SPANS.gauge(out, queued as f64)
    }
}

/// Decides what is kept, and hands it on.
#[derive(Debug)]
pub struct Tracer {
    queue: Queue,
    /// Chance has to be no more than it; 0: never, all bits set: always.
    threshold: u64,
    slow: Option<Duration>,
    exporter: Exporter,
}

impl Tracer {
    fn start(config: &TelemetryConfig, counts: Arc<TraceCounts>) -> std::io::Result<Option<Arc<Self>>> {
        let Some(endpoint) = config.endpoint.clone() else { return Ok(None) };
        let (queue, waiting) = queue::queue(config.queue_spans_max, counts);
        let exporter = Exporter::start(endpoint, config.timeout, waiting)?;
        let threshold = match config.sample_one_in {
            0 => 0,
            one_in => u64::MAX / u64::from(one_in),
        };
        let slow = (!config.slow.is_zero()).then_some(config.slow);
        Ok(Some(Arc::new(Self { queue, threshold, slow, exporter })))
    }

    /// Whether chance keeps this one.
    #[inline]
    pub fn draws(&self) -> bool {
        self.threshold != 0 && chance::number() <= self.threshold
    }

    #[inline]
    pub fn is_slow(&self, took: Duration) -> bool {
        self.slow.is_some_and(|slow| took >= slow)
    }

    /// The beginning of a redirect that may be answered from memory; `None`: not sampled, and there is nothing to remember.
    #[inline]
    pub fn head(&self, headers: &HeaderMap, has_parent: bool, is_trusted: impl FnOnce() -> bool) -> Option<Box<Beginning>> {
        if !has_parent && !self.draws() {
            return None;
        }
        self.beginning(headers, has_parent && is_trusted())
    }

    #[cold]
    fn beginning(&self, headers: &HeaderMap, is_believed: bool) -> Option<Box<Beginning>> {
        let parent = is_believed.then(|| Parent::of(headers)).flatten();
        let state = parent.and_then(|_| context::state(headers));
        // Who has no parent has been drawn already, or has named one that counts for nothing.
        let has_named = headers.contains_key(context::TRACEPARENT);
        let is_sampled = parent.is_some_and(|parent| parent.is_sampled) || !has_named || self.draws();
        is_sampled.then(|| Box::new(Beginning::new(parent, state, is_sampled)))
    }

    /// Of something that has happened already.
    pub fn afterwards(self: &Arc<Self>, began: Instant, beginning: Option<Box<Beginning>>) -> Recording {
        let beginning = beginning.map_or_else(|| Beginning::new(None, None, false), |beginning| *beginning);
        Recording::begin(Arc::clone(self), began, beginning)
    }

    fn offer(&self, finished: Finished) -> bool {
        self.queue.offer(finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OtlpEndpoint, OtlpProtocol};

    fn tracer(one_in: u32) -> Arc<Tracer> {
        let config = TelemetryConfig {
            endpoint: OtlpEndpoint::parse("http://127.0.0.1:1", OtlpProtocol::Grpc),
            sample_one_in: one_in,
            slow: Duration::ZERO,
            timeout: Duration::from_millis(100),
            queue_spans_max: 16,
        };
        Tracer::start(&config, Arc::default()).unwrap().unwrap()
    }

    #[test]
    fn nothing_is_built_without_an_endpoint() {
        let config = TelemetryConfig { endpoint: None, ..crate::config::Config::default().telemetry };
        assert!(Tracer::start(&config, Arc::default()).unwrap().is_none());
    }

    #[test]
    fn the_ratio_is_kept() {
        assert!((0..1_000).all(|_| tracer(1).draws()));
        let never = tracer(0);
        assert!((0..1_000).all(|_| !never.draws()));
        let some = tracer(10);
        let drawn = (0..10_000).filter(|_| some.draws()).count();
        assert!((500..2_000).contains(&drawn), "{drawn} of 10 000");
    }

    #[test]
    fn a_parent_that_is_not_trusted_decides_nothing() {
        let never = tracer(0);
        let mut headers = HeaderMap::new();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert(context::TRACEPARENT, http::HeaderValue::from_static(parent));
        assert!(never.head(&headers, true, || false).is_none());
        let believed = never.head(&headers, true, || true).unwrap();
        assert_eq!(believed.parent.unwrap().to_header(), parent);
        let always = tracer(1);
        assert!(always.head(&headers, true, || false).unwrap().parent.is_none());
    }
}
