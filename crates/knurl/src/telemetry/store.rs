//! How the database takes what is asked of it.

use knurl_store::StoreError;

use super::{
    counters::{Counter, Gauge},
    histogram::Histogram,
    table::{self, Encoded, Out},
};

#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// Calls that failed because the database could not be reached, was locked or was full.
    pub unavailable: Counter,
    pub overloaded: Counter,
    /// 1 while pings go through.
    pub up: Gauge,
    pub ping: Histogram,
    /// Calls that failed by a bug of ours, or because somebody changed what is ours: each one needs a person.
    pub internal: Counter,
    /// Calls that met damage.
    pub damaged: Counter,
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
            StoreError::Unavailable(_) | StoreError::Unsure { .. } | StoreError::Full(_) | StoreError::Moving => {
                self.unavailable.inc();
            }
            StoreError::Overloaded => self.overloaded.inc(),
            StoreError::Corrupt(_) => self.damaged.inc(),
            StoreError::TooNew { .. } | StoreError::Refused(_) | StoreError::Internal(_) => self.internal.inc(),
        }
    }
}

impl StoreMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        table::STORE_UP.gauge(out, self.up.get() as f64)?;
        table::STORE_PING.histogram(out, &self.ping)?;
        let kinds = [
            ("unavailable", &self.unavailable),
            ("overloaded", &self.overloaded),
            ("internal", &self.internal),
            ("damaged", &self.damaged),
        ];
        table::STORE_ERRORS.counts(out, kinds.map(|(kind, count)| (kind, count.get())))?;
        table::STORE_QUEUE.gauge(out, self.queue.get() as f64)?;
        table::STORE_WRITES.count(out, self.writes.get())?;
        table::STORE_COMMITS.count(out, self.commits.get())?;
        table::STORE_COMMIT_SECONDS.seconds(out, self.commit_us.get() as f64 / 1e6)?;
        table::STORE_FAILED_GROUPS.count(out, self.failed_groups.get())?;
        table::STORE_WRITER_PANICS.count(out, self.writer_panics.get())
    }
}
