//! Metrics and logs: what we named, never what a visitor typed.

#[derive(Debug, Default)]
pub struct Metrics {}
