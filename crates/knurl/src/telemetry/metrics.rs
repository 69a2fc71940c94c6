//! The one table of metrics.
//!
//! Promised: counting costs a few nanoseconds and no lock on the redirect; the number of series is fixed by this file, whatever
//! strangers send.

use std::time::Duration;

#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// One API request answered. `route` is the matched pattern (`/urls/{id}`), never the path as sent.
    pub fn api_request(&self, _route: &'static str, _status: u16, _elapsed: Duration) {}
}
