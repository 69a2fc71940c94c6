//! A click's life, and the canary that proves it now and then.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    counters::{Counter, Gauge},
    histogram::Histogram,
    table::{self, Encoded, Out},
};

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
    /// Age of the oldest of them.
    pub backlog_ms: Gauge,
    /// Answered, and nowhere.
    pub lost: Gauge,
    pub fsync: Histogram,
    pub fsync_errors: Counter,
    /// Answers that left although the fsync they waited for did not come in time (`durability = power`).
    pub unsynced: Counter,
    /// 1 while no room can be made for more clicks.
    pub starved: Gauge,
    /// Batches that could not be delivered and are tried again.
    pub drain_errors: Counter,
    pub drain: Histogram,
    /// Removed by retention.
    pub purged: Counter,
}

impl ClickMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        table::CLICKS_ANSWERED.count(out, self.answered.get())?;
        table::CLICKS_DELIVERED.count(out, self.delivered.get())?;
        table::CLICKS_DROPPED.count(out, self.dropped.get())?;
        table::CLICKS_LOST.gauge(out, self.lost.get() as f64)?;
        table::CLICKS_UNDECODABLE.count(out, self.undecodable.get())?;
        table::CLICKS_ASIDE.count(out, self.aside.get())?;
        table::CLICKS_UNSYNCED.count(out, self.unsynced.get())?;
        table::CLICKS_PURGED.count(out, self.purged.get())?;
        table::BACKLOG.gauge(out, self.backlog.get() as f64)?;
        table::BACKLOG_BYTES.gauge(out, self.backlog_bytes.get() as f64)?;
        table::BACKLOG_SECONDS.gauge(out, self.backlog_ms.get() as f64 / 1e3)?;
        table::STARVED.gauge(out, self.starved.get() as f64)?;
        table::FSYNC.histogram(out, &self.fsync)?;
        table::FSYNC_ERRORS.count(out, self.fsync_errors.get())?;
        table::DRAIN.histogram(out, &self.drain)?;
        table::DRAIN_ERRORS.count(out, self.drain_errors.get())
    }
}

/// What the canary could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faint {
    /// Its link could not be made or looked at.
    Link,
    /// The click was not answered as it should be.
    Click,
    /// The click was not in the roll-ups in time.
    RollUp,
}

impl Faint {
    const ALL: [(Self, &'static str); 3] = [(Self::Link, "link"), (Self::Click, "click"), (Self::RollUp, "roll_up")];
}

/// Without a canary there is no series but its interval, 0.
#[derive(Debug, Default)]
pub struct CanaryMetrics {
    interval_s: Gauge,
    /// When its click was last seen; before that, when it began.
    seen_at: Mutex<Option<Instant>>,
    delay: Histogram,
    failures: [Counter; Faint::ALL.len()],
}

impl CanaryMetrics {
    /// There is one, and it clicks so often.
    pub fn watch(&self, interval: Duration) {
        self.interval_s.set(interval.as_secs());
        self.live();
    }

    /// Its click was seen so long after it.
    pub fn seen(&self, after: Duration) {
        self.delay.observe(after);
        self.live();
    }

    fn live(&self) {
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub fn failed(&self, at: Faint) {
        self.failures[at as usize].inc();
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        table::CANARY_INTERVAL.gauge(out, self.interval_s.get() as f64)?;
        let seen_at = *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        let (age, delay) = (table::CANARY_AGE, table::CANARY_DELAY);
        if let Some(seen_at) = seen_at {
            age.gauge(out, seen_at.elapsed().as_secs_f64())?;
            delay.histogram(out, &self.delay)?;
        } else {
            age.of(out)?;
            delay.of(out)?;
        }
        let failures = Faint::ALL.into_iter().filter(|_| seen_at.is_some());
        table::CANARY_FAILURES.counts(out, failures.map(|(at, name)| (name, self.failures[at as usize].get())))
    }
}
