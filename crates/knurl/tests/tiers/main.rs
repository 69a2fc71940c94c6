//! The tiers below memory, each real: nodes on one PostgreSQL, their replicas, a Redis, and what becomes of redirects when any of
//! them is away.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod coherence;
mod damage;
mod fleet;
mod lanes;
mod outages;
mod restart;
