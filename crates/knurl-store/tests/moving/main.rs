//! Moving house, from each dialect into each, with the real server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../conformance/bench.rs"]
#[allow(dead_code, reason = "words of the conformance suite")]
mod bench;
#[path = "../conformance/servers.rs"]
mod servers;

mod deaths;
mod differences;
mod fence;
mod houses;
mod live;
mod sample;
mod whole;
