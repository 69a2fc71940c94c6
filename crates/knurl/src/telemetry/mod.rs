//! Metrics and logs: what we named, never what a visitor typed.

pub mod metrics;

pub use metrics::Metrics;
