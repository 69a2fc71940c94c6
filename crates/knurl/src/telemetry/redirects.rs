//! What the redirect counts: outcomes, where the link was found, how long the answer took.
//!
//! Promised: three relaxed additions a redirect, each on a cache line that only one worker thread writes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::{
    histogram::Histogram,
    table::{self, Encoded, Out},
};

/// Enough for the worker threads of any machine we run on; more threads share shards and stay correct.
const SHARDS: usize = 16;

/// What a visitor of `/{short_code}` got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent on, and a click.
    Redirected,
    /// Sent on, but HEAD: no click.
    Looked,
    /// No such code, or an inactive link.
    NotFound,
    /// Expired.
    Gone,
    /// The store could not be asked and memory did not know.
    Unavailable,
    /// No such code, and the network has guessed too many of them.
    Limited,
    /// Memory did not know the code, and too many were waiting to have one looked up.
    Shed,
}

impl Outcome {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Redirected, "redirected"),
        (Self::Looked, "looked"),
        (Self::NotFound, "not_found"),
        (Self::Gone, "gone"),
        (Self::Unavailable, "unavailable"),
        (Self::Limited, "limited"),
        (Self::Shed, "shed"),
    ];
}

impl Outcome {
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Where a code was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Memory,
    /// Remembered as "no such code".
    Negative,
    Replica,
    Redis,
    Database,
    /// From the replica, though it may be outdated, because the database could not be asked.
    Doubtful,
    /// From memory, likewise.
    Stale,
    /// Nowhere: the database could not be asked.
    Failed,
}

impl Tier {
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Memory, "memory"),
        (Self::Negative, "negative"),
        (Self::Replica, "replica"),
        (Self::Redis, "redis"),
        (Self::Database, "database"),
        (Self::Doubtful, "doubtful"),
        (Self::Stale, "stale"),
        (Self::Failed, "failed"),
    ];
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    tiers: [AtomicU64; Tier::ALL.len()],
    duration: Histogram,
}

#[derive(Debug, Default)]
pub struct Redirects {
    shards: [Shard; SHARDS],
}

fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
    }
    MINE.with(|mine| *mine)
}

impl Redirects {
    pub fn answered(&self, outcome: Outcome, elapsed: Duration) {
        let shard = &self.shards[shard()];
        shard.outcomes[outcome as usize].fetch_add(1, Relaxed);
        shard.duration.observe(elapsed);
    }

    /// Of how long an answer takes it says nothing: told no at once, or kept waiting for guessing.
    pub fn untimed(&self, outcome: Outcome) {
        self.shards[shard()].outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    pub fn resolved(&self, tier: Tier) {
        self.shards[shard()].tiers[tier as usize].fetch_add(1, Relaxed);
    }

    pub fn outcome_total(&self, outcome: Outcome) -> u64 {
        self.shards.iter().map(|shard| shard.outcomes[outcome as usize].load(Relaxed)).sum()
    }

    pub fn tier_total(&self, tier: Tier) -> u64 {
        self.shards.iter().map(|shard| shard.tiers[tier as usize].load(Relaxed)).sum()
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        table::REDIRECTS.counts(out, Outcome::ALL.map(|(outcome, name)| (name, self.outcome_total(outcome))))?;
        table::RESOLVES.counts(out, Tier::ALL.map(|(tier, name)| (name, self.tier_total(tier))))?;
        Histogram::encode_sum(self.shards.iter().map(|shard| &shard.duration), table::REDIRECT_DURATION.of(out)?)
    }
}
