//! Metrics, traces and logs: what we named, never what a visitor typed.
//!
//! # Layout
//! [`table`] holds every name; [`metrics`] puts together the files that count (one for each part of the house) and [`exposition`] is the
//! text of it. [`log`] is the second third, [`traces`] the last; [`scope`] is what lines and spans belong to.

pub mod admission;
pub mod clicks;
pub mod connections;
pub mod counters;
pub mod dependencies;
pub mod disk;
pub mod exemplars;
pub mod exposition;
pub mod histogram;
pub mod limits;
mod line;
pub mod log;
pub mod metrics;
pub mod process;
pub mod redirects;
pub mod redis;
mod request_id;
pub mod routes;
pub mod run;
pub mod scope;
pub mod store;
pub mod table;
pub mod tiers;
pub mod traces;
pub mod upkeep;

pub use metrics::Metrics;
pub use request_id::RequestId;
