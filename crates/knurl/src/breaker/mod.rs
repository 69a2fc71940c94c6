//! Circuit breakers: a dependency that does not answer is asked seldom, not by everybody.
//!
//! Promised: while it is open a call is refused at once; at most one probe is under way; a caller who leaves without a verdict gives
//! the probe back; every change of state is counted. Refused: deciding what a failure is. "No such key" and "your write is refused"
//! are answers; who calls knows which.
//!
//! # Layout
//! [`machine`] decides, as a pure function of its state, the time and a random number; this file gives it clock, dice, lock and
//! counters. [`retry_budget`] bounds what is tried again.

mod machine;
pub mod retry_budget;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use machine::{Rules, State};
pub use retry_budget::RetryBudget;

use machine::{Admission, Machine, Verdict};
use tokio::time::Instant;

use crate::{
    chance,
    telemetry::{
        Metrics,
        dependencies::{Breaking, Dependency},
    },
};

/// Cheap to clone: all clones are one breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    machine: Mutex<Machine>,
    dependency: Dependency,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl Breaker {
    pub fn new(dependency: Dependency, rules: Rules, metrics: Arc<Metrics>) -> Self {
        metrics.dependencies.watch(dependency);
        Self { inner: Arc::new(Inner { machine: Mutex::new(Machine::new(rules)), dependency, metrics, started: Instant::now() }) }
    }

    /// Leave to make one call, or `None`: the dependency is given up for the moment. To be answered with [`Call::ok`] or
    /// [`Call::failed`].
    pub fn admit(&self) -> Option<Call> {
        let admission = self.inner.with(Machine::admit)?;
        Some(Call { admission: Some(admission), inner: Arc::clone(&self.inner) })
    }

    pub fn state(&self) -> State {
        self.inner.lock().state()
    }
}

impl Inner {
    fn now_ms(&self) -> u64 {
        // Saturates after 584 million years.
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A thread that panicked inside left a whole machine behind: every change is a single assignment of plain numbers.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, so that what is published is what is.
    fn with<T>(&self, act: impl FnOnce(&mut Machine, u64) -> T) -> T {
        let mut machine = self.lock();
        let done = act(&mut machine, self.now_ms());
        let breaking = match machine.state() {
            State::Closed => Breaking::Closed,
            State::HalfOpen => Breaking::HalfOpen,
            State::Open => Breaking::Open,
        };
        self.metrics.dependencies.breaker(self.dependency, breaking);
        done
    }
}

/// One admitted call. Dropped without a verdict it says nothing of the dependency.
#[derive(Debug)]
pub struct Call {
    admission: Option<Admission>,
    inner: Arc<Inner>,
}

impl Call {
    /// The dependency answered, whatever it said.
    pub fn ok(mut self) {
        self.settle(Verdict::Ok);
    }

    /// It did not answer, or not in time.
    pub fn failed(mut self) {
        self.settle(Verdict::Failed);
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(admission) = self.admission.take() {
            self.inner.with(|machine, now_ms| machine.settle(admission, verdict, now_ms, chance::small()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.settle(Verdict::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn breaker() -> (Breaker, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        // So long a pause that no test sees its end.
        let rules = Rules { pause_min: Duration::from_secs(3_600), pause_max: Duration::from_secs(3_600), ..Rules::default() };
        (Breaker::new(Dependency::Redis, rules, Arc::clone(&metrics)), metrics)
    }

    #[test]
    fn failures_in_a_row_open_it_and_the_metrics_say_so() {
        let (breaker, metrics) = breaker();
        for _ in 0..Rules::default().failures_in_a_row {
            breaker.admit().expect("closed").failed();
        }
        assert_eq!(breaker.state(), State::Open);
        assert!(breaker.admit().is_none());
        let text = metrics.render();
        for line in [
            "knurl_breaker_state{dependency=\"redis\"} 2\n",
            "knurl_breaker_transitions_total{dependency=\"redis\",to=\"open\"} 1\n",
            "knurl_dependency_up{dependency=\"redis\"} 0\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        assert!(!text.contains("dependency=\"database\""), "nobody asks a database here");
    }

    #[test]
    fn a_caller_who_leaves_says_nothing() {
        let (breaker, _) = breaker();
        for _ in 0..100 {
            drop(breaker.admit().expect("closed"));
        }
        assert_eq!(breaker.state(), State::Closed);
    }
}
