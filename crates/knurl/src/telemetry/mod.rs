//! Metrics and logs: what we named, never what a visitor typed.
//!
//! # Layout
//! [`table`] holds every name; [`metrics`] puts together the files that count (one for each part of the house) and [`exposition`] is the
//! text of it. [`log`] is the other half.

pub mod admission;
pub mod clicks;
pub mod connections;
pub mod counters;
pub mod dependencies;
pub mod exposition;
pub mod histogram;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod process;
pub mod redirects;
pub mod redis;
pub mod routes;
pub mod run;
pub mod store;
pub mod table;
pub mod tiers;
pub mod upkeep;

pub use metrics::Metrics;
