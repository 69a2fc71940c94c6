//! Metrics, traces and logs: what we named, never what a visitor typed.

pub mod dependencies;
pub mod exemplars;
pub mod histogram;
pub mod limits;
mod line;
pub mod log;
pub mod metrics;
pub mod process;
pub mod redirects;
pub mod redis;
mod request_id;
pub mod scope;
pub mod tiers;
pub mod traces;

pub use metrics::Metrics;
pub use request_id::RequestId;
