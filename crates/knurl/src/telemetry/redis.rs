//! What is asked of Redis, and what came of it.
//!
//! Promised: without a Redis there is no series; every call ends in exactly one outcome.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use prometheus_client::{
    encoding::EncodeMetric as _,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    counters::{Counter, Gauge},
    table::{self, Encoded, Out},
};

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

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let used = self.used.load(Relaxed);
        let mut family = table::REDIS_CALLS.of(out)?;
        for (asked, call) in Asked::ALL.into_iter().filter(|_| used) {
            for (came, outcome) in Came::ALL {
                let labels = [("call", call), ("outcome", outcome)];
                ConstCounter::new(self.calls(asked, came)).encode(family.encode_family(&labels)?)?;
            }
        }
        let found = Found::ALL.into_iter().filter(|_| used);
        table::REDIS_LINKS.counts(out, found.map(|(found, name)| (name, self.found(found))))?;
        let hints = Hint::ALL.into_iter().filter(|_| used);
        table::REDIS_HINTS.counts(out, hints.map(|(hint, name)| (name, self.hints(hint))))?;
        let family = table::REDIS_CONNECTED.of(out)?;
        if used {
            ConstGauge::new(self.connected.get()).encode(family)?;
        }
        for (row, count) in [
            (table::REDIS_CONNECTS, &self.connects),
            (table::REDIS_PUTS_REFUSED, &self.puts_refused),
            (table::REDIS_DISTRUSTED, &self.distrusted),
        ] {
            let family = row.of(out)?;
            if used {
                ConstCounter::new(count.get()).encode(family)?;
            }
        }
        Ok(())
    }
}
