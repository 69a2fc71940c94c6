//! What is asked of Redis, and what came of it.
//!
//! Promised: without a Redis there is no series; every call ends in exactly one outcome.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::metrics::{Counter, Gauge};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A cached link.
    Get,
    Put,
    Forget,
    /// One request, counted by a limit.
    Count,
    /// Whether it is there.
    Ping,
}

impl Asked {
    const ALL: [(Self, &'static str); 5] =
        [(Self::Get, "get"), (Self::Put, "put"), (Self::Forget, "forget"), (Self::Count, "count"), (Self::Ping, "ping")];

    /// As a part of a trace.
    pub fn span(self) -> &'static str {
        match self {
            Self::Get => "redis get",
            Self::Put => "redis put",
            Self::Forget => "redis forget",
            Self::Count => "redis count",
            Self::Ping => "redis ping",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    Answer,
    /// It answered that it will not.
    Refusal,
    /// Nothing in time.
    Late,
    /// The connection broke.
    Broken,
    /// Not asked at all: not connected, given up for the moment, or too many calls at once.
    NotAsked,
}

impl Came {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Answer, "answer"),
        (Self::Refusal, "refusal"),
        (Self::Late, "late"),
        (Self::Broken, "broken"),
        (Self::NotAsked, "not_asked"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// What a look for a cached link found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Hit,
    Miss,
    /// Something that is not a link's value, or not of this link.
    Undecodable,
}

impl Found {
    const ALL: [(Self, &'static str); 3] = [(Self::Hit, "hit"), (Self::Miss, "miss"), (Self::Undecodable, "undecodable")];
}

/// News of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    Received,
    /// More came at once than are kept.
    Dropped,
    /// Not one of ours.
    Unreadable,
}

impl Hint {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Received, "received"), (Self::Dropped, "dropped"), (Self::Unreadable, "unreadable")];
}

#[derive(Debug, Default)]
pub struct RedisMetrics {
    used: AtomicBool,
    calls: [[Counter; Came::ALL.len()]; Asked::ALL.len()],
    found: [Counter; Found::ALL.len()],
    hints: [Counter; Hint::ALL.len()],
    /// 1 while there is a connection.
    pub connected: Gauge,
    pub connects: Counter,
    /// Values that came too late, or without leave.
    pub puts_refused: Counter,
    /// Times all cached links were set aside, because a change may not have reached Redis.
    pub distrusted: Counter,
}

impl RedisMetrics {
    pub fn watch(&self) {
        self.used.store(true, Relaxed);
    }

    pub fn called(&self, asked: Asked, came: Came) {
        self.calls[asked as usize][came as usize].inc();
    }

    pub fn calls(&self, asked: Asked, came: Came) -> u64 {
        self.calls[asked as usize][came as usize].get()
    }

    pub fn looked(&self, found: Found) {
        self.found[found as usize].inc();
    }

    pub fn found(&self, found: Found) -> u64 {
        self.found[found as usize].get()
    }

    pub fn hint(&self, hint: Hint) {
        self.hints[hint as usize].inc();
    }

    pub fn hints(&self, hint: Hint) -> u64 {
        self.hints[hint as usize].get()
    }

    pub(super) fn encode(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let used = self.used.load(Relaxed);
        let help = "Calls to Redis, by what was asked and what came of it.";
        let mut family = out.encode_descriptor("knurl_redis_calls", help, None, MetricType::Counter)?;
        for (asked, call) in Asked::ALL.into_iter().filter(|_| used) {
            for (came, outcome) in Came::ALL {
                let labels = [("call", call), ("outcome", outcome)];
                ConstCounter::new(self.calls(asked, came)).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Looks for a link cached in Redis, by what was found.";
        let mut family = out.encode_descriptor("knurl_redis_links", help, None, MetricType::Counter)?;
        for (found, name) in Found::ALL.into_iter().filter(|_| used) {
            ConstCounter::new(self.found(found)).encode(family.encode_family(&[("found", name)])?)?;
        }
        let help = "News of edits by way of Redis, by what became of them.";
        let mut family = out.encode_descriptor("knurl_redis_hints", help, None, MetricType::Counter)?;
        for (hint, name) in Hint::ALL.into_iter().filter(|_| used) {
            ConstCounter::new(self.hints(hint)).encode(family.encode_family(&[("hint", name)])?)?;
        }
        let help = "1 while there is a connection to Redis.";
        let family = out.encode_descriptor("knurl_redis_connected", help, None, MetricType::Gauge)?;
        if used {
            ConstGauge::new(self.connected.get()).encode(family)?;
        }
        for (name, help, count) in [
            ("knurl_redis_connects", "Connections made to Redis.", &self.connects),
            ("knurl_redis_puts_refused", "Links not cached: a change came between, or the leave had lapsed.", &self.puts_refused),
            ("knurl_redis_distrusted", "Times cached links were set aside: a change may not have reached Redis.", &self.distrusted),
        ] {
            let family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
            if used {
                ConstCounter::new(count.get()).encode(family)?;
            }
        }
        Ok(())
    }
}
