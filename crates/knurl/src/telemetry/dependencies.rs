//! What we depend on and how it is: the state of each one's breaker, and whether it answered last.
//!
//! Promised: a dependency this process does not use has no series: nobody is alarmed by a Redis that nobody configured.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use prometheus_client::{encoding::EncodeMetric as _, metrics::counter::ConstCounter};

use super::{
    counters::Counter,
    table::{self, Encoded, Out},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    Database,
    Replica,
    Redis,
}

impl Dependency {
    const ALL: [(Self, &'static str); 3] = [(Self::Database, "database"), (Self::Replica, "replica"), (Self::Redis, "redis")];
}

/// A breaker's state; the number is the metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaking {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

impl Breaking {
    const ALL: [(Self, &'static str); 3] = [(Self::Closed, "closed"), (Self::HalfOpen, "half_open"), (Self::Open, "open")];
}

#[derive(Debug, Default)]
struct Watched {
    used: AtomicBool,
    /// By its own client's word, where that has one.
    unreached: AtomicBool,
    state: AtomicU8,
    transitions: [Counter; Breaking::ALL.len()],
}

#[derive(Debug, Default)]
pub struct Dependencies([Watched; Dependency::ALL.len()]);

impl Dependencies {
    /// It is used from now on.
    pub fn watch(&self, dependency: Dependency) {
        self.0[dependency as usize].used.store(true, Relaxed);
    }

    /// Whether its own client reaches it; without a word of this it is what its breaker says.
    pub fn reached(&self, dependency: Dependency, is_reached: bool) {
        self.0[dependency as usize].unreached.store(!is_reached, Relaxed);
    }

    /// Its breaker's state; counted where it is another one than before.
    pub fn breaker(&self, dependency: Dependency, state: Breaking) {
        let watched = &self.0[dependency as usize];
        // Read first: nobody writes the cache line while nothing changes.
        if watched.state.load(Relaxed) != state as u8 && watched.state.swap(state as u8, Relaxed) != state as u8 {
            watched.transitions[state as usize].inc();
        }
    }

    fn used(&self) -> impl Iterator<Item = (&'static str, &Watched)> {
        Dependency::ALL
            .iter()
            .map(|(dependency, name)| (*name, &self.0[*dependency as usize]))
            .filter(|(_, w)| w.used.load(Relaxed))
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let up = |watched: &Watched| watched.state.load(Relaxed) == Breaking::Closed as u8 && !watched.unreached.load(Relaxed);
        table::DEPENDENCY_UP.levels(out, self.used().map(|(name, watched)| (name, u64::from(up(watched)))))?;
        let state = |watched: &Watched| u64::from(watched.state.load(Relaxed));
        table::BREAKER_STATE.levels(out, self.used().map(|(name, watched)| (name, state(watched))))?;
        let mut family = table::BREAKER_TRANSITIONS.of(out)?;
        for (name, watched) in self.used() {
            for (state, to) in Breaking::ALL {
                let count = watched.transitions[state as usize].get();
                ConstCounter::new(count).encode(family.encode_family(&[("dependency", name), ("to", to)])?)?;
            }
        }
        Ok(())
    }
}
