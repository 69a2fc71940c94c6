//! Metrics and logs: what we named, never what a visitor typed.

pub mod dependencies;
pub mod histogram;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod process;
pub mod redirects;
pub mod redis;
pub mod tiers;

pub use metrics::Metrics;
