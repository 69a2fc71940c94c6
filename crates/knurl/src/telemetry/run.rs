//! This run: what was started, when, how the one before it ended, and how steadily time passes in it.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{encoding::EncodeMetric as _, metrics::gauge::ConstGauge};

use super::{
    counters::{Counter, Gauge},
    table::{self, Encoded, Out},
};

/// What this node was configured to be, in words of ours.
#[derive(Clone, Copy, Debug)]
pub struct Configured {
    pub auth: &'static str,
    pub database: &'static str,
    pub durability: &'static str,
    pub redis: &'static str,
    pub replica: &'static str,
}

#[derive(Debug)]
pub struct RunMetrics {
    started: Instant,
    started_at: SystemTime,
    pub configured: OnceLock<Configured>,
    /// 1: the run before this one was not stopped but ended.
    pub last_unclean: Gauge,
    /// Of all runs on this data directory.
    pub unclean_ends: Counter,
    /// 1: it can redirect.
    pub ready: Gauge,
    pub clock_steps: Counter,
    silence_ms: Counter,
}

impl Default for RunMetrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            configured: OnceLock::new(),
            last_unclean: Gauge::default(),
            unclean_ends: Counter::default(),
            ready: Gauge::default(),
            clock_steps: Counter::default(),
            silence_ms: Counter::default(),
        }
    }
}

impl RunMetrics {
    /// So long no worker has turned, beyond what was told before.
    pub fn silent(&self, further: Duration) {
        self.silence_ms.add(u64::try_from(further.as_millis()).unwrap_or(u64::MAX));
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        ConstGauge::new(1_u64).encode(table::BUILD.of(out)?.encode_family(&build)?)?;
        let mut family = table::CONFIG.of(out)?;
        if let Some(of) = self.configured.get() {
            let labels = [
                ("auth", of.auth),
                ("database", of.database),
                ("durability", of.durability),
                ("redis", of.redis),
                ("replica", of.replica),
            ];
            ConstGauge::new(1_u64).encode(family.encode_family(&labels)?)?;
        }
        let since_epoch = self.started_at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        table::START_TIME.gauge(out, since_epoch)?;
        table::UPTIME.gauge(out, self.uptime().as_secs_f64())?;
        table::LAST_RUN_UNCLEAN.gauge(out, self.last_unclean.get() as f64)?;
        table::UNCLEAN_ENDS.count(out, self.unclean_ends.get())?;
        table::READY.gauge(out, self.ready.get() as f64)?;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        table::CLOCK.gauge(out, clock)?;
        table::CLOCK_STEPS.count(out, self.clock_steps.get())?;
        table::RUNTIME_SILENCE.seconds(out, self.silence_ms.get() as f64 / 1e3)
    }
}
