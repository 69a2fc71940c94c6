//! Sees the wall clock step: it is compared with the one that only runs forward.
//!
//! Nothing depends on the wall clock for its order or its safety; times that are shown, and expiries, follow it. A machine that was
//! suspended looks like a step.

use std::{sync::Arc, time::Duration};

use knurl_core::UnixMillis;
use tokio::time::Instant;

use super::{
    Clock,
    supervisor::{Job, Pause},
};
use crate::telemetry::Metrics;

const INTERVAL: Duration = Duration::from_secs(1);
/// NTP slews what is less.
const STEP_MIN_MS: u64 = 1_000;

pub(super) struct ClockJob {
    clock: Clock,
    metrics: Arc<Metrics>,
    last: Option<(UnixMillis, Instant)>,
}

impl ClockJob {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, last: None }
    }
}

impl Job for ClockJob {
    const NAME: &'static str = "clock";

    async fn step(&mut self) -> Pause {
        let (wall, steady) = ((self.clock)(), Instant::now());
        if let Some((wall_before, steady_before)) = self.last.replace((wall, steady)) {
            let stepped_ms = step_ms(wall.0.saturating_sub(wall_before.0), steady.duration_since(steady_before));
            if stepped_ms.unsigned_abs() >= STEP_MIN_MS {
                self.metrics.run.clock_steps.inc();
                tracing::warn!(stepped_ms, "the clock of this machine has stepped: times and expiries follow it");
            }
        }
        Pause::For(INTERVAL)
    }
}

/// How far the wall clock went beyond the time that passed.
fn step_ms(wall_ms: i64, passed: Duration) -> i64 {
    wall_ms.saturating_sub(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_in_either_direction_is_counted_and_a_slow_second_is_not() {
        let (off_ms, began, metrics) = (Arc::new(AtomicI64::new(0)), Instant::now(), Arc::new(Metrics::new()));
        let off = Arc::clone(&off_ms);
        let clock: Clock = Arc::new(move || UnixMillis(i64::try_from(began.elapsed().as_millis()).unwrap() + off.load(Relaxed)));
        let mut job = ClockJob::new(clock, Arc::clone(&metrics));
        for (passed_ms, stepped_ms, counted) in
            [(0, 0, 0), (1_000, 0, 0), (60_000, 900, 0), (1_000, 3_600_000, 1), (1_000, -7_200_000, 2)]
        {
            tokio::time::advance(Duration::from_millis(passed_ms)).await;
            off_ms.fetch_add(stepped_ms, Relaxed);
            job.step().await;
            assert_eq!(metrics.run.clock_steps.get(), counted, "{passed_ms} {stepped_ms}");
        }
    }
}
