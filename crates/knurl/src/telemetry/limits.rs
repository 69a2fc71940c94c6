//! What the limits count.

use prometheus_client::{encoding::EncodeMetric as _, metrics::counter::ConstCounter};

use super::{
    counters::Counter,
    table::{self, Encoded, Out},
};

/// In the order of `limit::Limit`.
const NAMES: [&str; 3] = ["key", "network", "misses"];

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// All nodes together, in Redis.
    Fleet,
    /// This node alone.
    Node,
}

const BY: [(By, &str); 2] = [(By::Fleet, "fleet"), (By::Node, "node")];

#[derive(Debug, Default)]
pub struct LimitMetrics {
    allowed: [Counter; NAMES.len()],
    refused: [Counter; NAMES.len()],
    by: [Counter; BY.len()],
    /// Marks that were forgotten although they still meant something: more clients than the table holds.
    pub forgotten: Counter,
    /// Guesses that were refused before they were looked up.
    pub lanes_full: Counter,
}

impl LimitMetrics {
    pub fn counted(&self, limit: usize, allowed: bool, by: By) {
        self.by[by as usize].inc();
        let counters = if allowed { &self.allowed } else { &self.refused };
        counters[limit].inc();
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let mut family = table::LIMITS.of(out)?;
        for (limit, name) in NAMES.iter().enumerate() {
            for (verdict, counters) in [("allowed", &self.allowed), ("refused", &self.refused)] {
                let labels = [("limit", *name), ("verdict", verdict)];
                ConstCounter::new(counters[limit].get()).encode(family.encode_family(&labels)?)?;
            }
        }
        table::LIMITS_COUNTED.counts(out, BY.map(|(by, name)| (name, self.by[by as usize].get())))?;
        table::LIMITS_FORGOTTEN.count(out, self.forgotten.get())?;
        table::LANES_FULL.count(out, self.lanes_full.get())
    }
}
