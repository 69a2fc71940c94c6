//! The lab: load, kills, ledgers and sample data.
//!
//! A black box to the product: it speaks HTTP and TCP, starts child processes, and links neither `knurl` nor `knurl-store`. What it
//! believes about the product it has been told by an answer.
//!
//! # Layout
//! - [`sample`]: users.csv, urls.csv, events.csv of any size from a seed
//! - [`kill`]: the kill harness and its ledger (promise P-1)
//! - [`promise`]: one harness a promise about nodes, load and clients
//! - [`drill`]: Chaos Mode: one failure at a time, made on purpose, and whether its alert fires
//! - [`load`]: closed-loop load; [`bench`]: the tables of `docs/reference/performance.md`
//! - [`swarm`]: thousands of connections in one thread
//! - [`http`], [`process`]: a client that knows what it does not know; the product as a child
//! - [`leash`]: no child of ours outlives us
//! - [`servers`]: the real PostgreSQL, Redis, nginx, Prometheus and Alertmanager as children
//! - [`fleet`]: nodes behind nginx, as in production
//! - [`proxy`]: connections that go bad on demand
//! - `responder`: what of the lab answers HTTP itself
//! - [`dice`], [`shuffle`], [`zipf`]: chance, from a seed

pub mod bench;
pub mod dice;
pub mod drill;
pub mod fleet;
pub mod http;
pub mod kill;
pub mod leash;
pub mod load;
pub mod process;
pub mod promise;
pub mod proxy;
mod responder;
pub mod sample;
pub mod servers;
pub mod shuffle;
pub mod swarm;
pub mod zipf;
