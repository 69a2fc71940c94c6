//! What the tiers below memory were asked, what they said, how long it took; and how this node's replica is.
//!
//! Promised: nothing here is touched by a hit in memory; a tier this process does not have has no series.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    histogram::Histogram,
    metrics::{Counter, Gauge},
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

    pub(super) fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let used = || BELOW.iter().zip(&self.asked).filter(|(_, asked)| asked.used.load(Relaxed));
        let help = "Questions to the tiers below memory, by tier and what it said.";
        let mut family = out.encode_descriptor("knurl_tier_answers", help, None, MetricType::Counter)?;
        for (tier, asked) in used() {
            for (said, count) in SAID.iter().zip(&asked.said) {
                ConstCounter::new(count.get()).encode(family.encode_family(&[("tier", *tier), ("said", *said)])?)?;
            }
        }
        let help = "Time a tier below memory took to answer, or was waited for.";
        let mut family = out.encode_descriptor("knurl_tier_duration_seconds", help, None, MetricType::Histogram)?;
        for (tier, asked) in used() {
            asked.duration.encode(family.encode_family(&[("tier", *tier)])?)?;
        }
        let help = "Reads of the database made again after a failure; at most a tenth of all.";
        ConstCounter::new(self.retries.get()).encode(out.encode_descriptor(
            "knurl_tier_retries",
            help,
            None,
            MetricType::Counter,
        )?)?;
        self.replica.encode(out)
    }
}

impl ReplicaMetrics {
    /// Families without a replica have no series, but their names are there.
    fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let used = self.is_watched();
        let age_s = match self.age_ms.get() {
            u64::MAX => f64::INFINITY,
            ms => ms as f64 / 1e3,
        };
        for (name, help, value) in [
            ("knurl_replica_links", "Links in this node's replica, deleted ones left out.", self.links.get() as f64),
            ("knurl_replica_complete", "1 once the replica has every link of the database.", self.complete.get() as f64),
            (
                "knurl_replica_compared",
                "1 while no part of the replica is to be compared with the database.",
                self.compared.get() as f64,
            ),
            ("knurl_replica_age_seconds", "How long ago the replica held all that the database held.", age_s),
        ] {
            let series = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
            if used {
                ConstGauge::new(value).encode(series)?;
            }
        }
        for (name, help, value) in [
            ("knurl_replica_failures", "Reads and writes of the replica's file that failed.", &self.failures),
            ("knurl_replica_looks", "Looks at the database's changes.", &self.looks),
            ("knurl_replica_look_errors", "Looks at the database's changes that failed.", &self.look_errors),
            ("knurl_replica_rows", "Rows of links read from the database to keep up with it.", &self.rows),
            ("knurl_replica_comparisons", "Times the whole table began to be compared.", &self.comparisons),
        ] {
            ConstCounter::new(value.get()).encode(out.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
