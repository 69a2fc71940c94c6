//! What the tiers below memory were asked, what they said, how long it took; and how this node's replica is.
//!
//! Promised: nothing here is touched by a hit in memory; a tier this process does not have has no series.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeMetric as _,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    counters::{Counter, Gauge},
    histogram::Histogram,
    table::{self, Encoded, Out},
};

/// In the order of [`BELOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    Replica,
    Redis,
    Database,
}

const BELOW: [&str; 3] = ["replica", "redis", "database"];

/// What a tier said. In the order of [`SAID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// What the code leads to, or that it is deleted.
    Known,
    /// What it once was: worth asking the next tier.
    Doubtful,
    Unknown,
    /// No answer, or not in time.
    Failed,
    /// It was not asked: its breaker is open.
    Refused,
}

impl Said {
    pub fn name(self) -> &'static str {
        SAID[self as usize]
    }
}

const SAID: [&str; 5] = ["known", "doubtful", "unknown", "failed", "refused"];

#[derive(Debug, Default)]
struct Asked {
    used: AtomicBool,
    said: [Counter; SAID.len()],
    duration: Histogram,
}

#[derive(Debug, Default)]
pub struct Tiers {
    asked: [Asked; BELOW.len()],
    /// Asked again after a failure, as far as the budget for that goes.
    pub retries: Counter,
    /// What is left of that; copied at a scrape.
    pub budget: Gauge,
    pub replica: ReplicaMetrics,
}

/// Copied from the replica at a scrape, but for what the job that follows the database counts.
#[derive(Debug, Default)]
pub struct ReplicaMetrics {
    used: AtomicBool,
    pub links: Gauge,
    /// 1 once it has every link.
    pub complete: Gauge,
    /// 1 while it holds what the database held at its last look, all of it compared.
    pub compared: Gauge,
    /// Since the last look at the database; [`u64::MAX`]: there was none yet.
    pub age_ms: Gauge,
    pub failures: Counter,
    /// Looks at the database's changes, with or without a replica.
    pub looks: Counter,
    pub look_errors: Counter,
    /// Rows read from the database.
    pub rows: Counter,
    /// Times the whole table was compared anew.
    pub comparisons: Counter,
    /// Looks that found edits of which the server had not told.
    pub unannounced: Counter,
}

impl ReplicaMetrics {
    /// This node has one.
    pub fn watch(&self) {
        self.used.store(true, Relaxed);
    }

    pub fn is_watched(&self) -> bool {
        self.used.load(Relaxed)
    }
}

impl Tiers {
    /// This process has that tier.
    pub fn watch(&self, tier: Below) {
        self.asked[tier as usize].used.store(true, Relaxed);
    }

    /// `took`: of an answer, or of the wait for one.
    pub fn asked(&self, tier: Below, said: Said, took: Duration) {
        let asked = &self.asked[tier as usize];
        asked.said[said as usize].inc();
        if said != Said::Refused {
            asked.duration.observe(took);
        }
    }

    pub fn said(&self, tier: Below, said: Said) -> u64 {
        self.asked[tier as usize].said[said as usize].get()
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let used = || BELOW.iter().zip(&self.asked).filter(|(_, asked)| asked.used.load(Relaxed));
        let mut family = table::TIER_ANSWERS.of(out)?;
        for (tier, asked) in used() {
            for (said, count) in SAID.iter().zip(&asked.said) {
                ConstCounter::new(count.get()).encode(family.encode_family(&[("tier", *tier), ("said", *said)])?)?;
            }
        }
        let mut family = table::TIER_DURATION.of(out)?;
        for (tier, asked) in used() {
            asked.duration.encode(family.encode_family(&[("tier", *tier)])?)?;
        }
        table::TIER_RETRIES.count(out, self.retries.get())?;
        table::RETRY_BUDGET.gauge(out, self.budget.get() as f64)?;
        self.replica.encode(out)?;
        table::FEED_UNANNOUNCED.count(out, self.replica.unannounced.get())
    }
}

impl ReplicaMetrics {
    /// Families without a replica have no series, but their names are there.
    fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let used = self.is_watched();
        let age_s = match self.age_ms.get() {
            u64::MAX => f64::INFINITY,
            ms => ms as f64 / 1e3,
        };
        for (row, value) in [
            (table::REPLICA_LINKS, self.links.get() as f64),
            (table::REPLICA_COMPLETE, self.complete.get() as f64),
            (table::REPLICA_COMPARED, self.compared.get() as f64),
            (table::REPLICA_AGE, age_s),
        ] {
            let series = row.of(out)?;
            if used {
                ConstGauge::new(value).encode(series)?;
            }
        }
        table::REPLICA_FAILURES.count(out, self.failures.get())?;
        table::REPLICA_LOOKS.count(out, self.looks.get())?;
        table::REPLICA_LOOK_ERRORS.count(out, self.look_errors.get())?;
        table::REPLICA_ROWS.count(out, self.rows.get())?;
        table::REPLICA_COMPARISONS.count(out, self.comparisons.get())
    }
}
