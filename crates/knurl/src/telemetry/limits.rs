//! What the limits count.

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};

use super::metrics::Counter;

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

    pub(super) fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Requests that a limit counted, by limit and verdict.";
        let mut family = out.encode_descriptor("knurl_limits", help, None, MetricType::Counter)?;
        for (limit, name) in NAMES.iter().enumerate() {
            for (verdict, counters) in [("allowed", &self.allowed), ("refused", &self.refused)] {
                let labels = [("limit", *name), ("verdict", verdict)];
                ConstCounter::new(counters[limit].get()).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Requests that a limit counted, by who counted them: the fleet in Redis, or this node alone.";
        let mut family = out.encode_descriptor("knurl_limits_counted", help, None, MetricType::Counter)?;
        for (by, name) in BY {
            ConstCounter::new(self.by[by as usize].get()).encode(family.encode_family(&[("by", name)])?)?;
        }
        let help = "Clients forgotten by the table of limits although they still owed something: more clients than it holds.";
        let forgotten = out.encode_descriptor("knurl_limits_forgotten", help, None, MetricType::Counter)?;
        ConstCounter::new(self.forgotten.get()).encode(forgotten)?;
        let help = "Guesses of short codes refused without a look, because too many of them were waiting.";
        let full = out.encode_descriptor("knurl_limits_lanes_full", help, None, MetricType::Counter)?;
        ConstCounter::new(self.lanes_full.get()).encode(full)
    }
}
