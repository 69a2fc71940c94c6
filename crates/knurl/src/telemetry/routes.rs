//! The API: rate, errors and duration of each route, and what idempotency keys saved.
//!
//! Promised: the routes are those of the router's own table, and at most [`ROUTES_MAX`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{encoding::EncodeMetric as _, metrics::counter::ConstCounter};

use super::{
    counters::Counter,
    histogram::Histogram,
    table::{self, Encoded, Out},
};

/// Route patterns counted one by one; the router has fewer. What comes later is counted under `other`.
pub(super) const ROUTES_MAX: usize = 128;
/// There is no 1xx: hyper answers `Expect: 100-continue` by itself.
const STATUS_CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

#[derive(Debug, Default)]
struct Route {
    classes: [AtomicU64; STATUS_CLASSES.len()],
    duration: Histogram,
}

#[derive(Debug, Default)]
pub(super) struct Routes(RwLock<BTreeMap<&'static str, Arc<Route>>>);

impl Routes {
    /// Shown from now on, asked for or not: the first error of a route is then seen as one more, and not as where its count began.
    pub(super) fn know(&self, name: &'static str) {
        drop(self.route(name));
    }

    pub(super) fn answered(&self, name: &'static str, status: u16, elapsed: Duration) {
        let route = self.route(name);
        let class = usize::from((status / 100).clamp(2, 5)) - 2;
        route.classes[class].fetch_add(1, Relaxed);
        route.duration.observe(elapsed);
    }

    fn route(&self, name: &'static str) -> Arc<Route> {
        // A thread that panicked while it held the lock left a whole map behind: insertions are its only change.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = known.get(name) {
            return Arc::clone(route);
        }
        drop(known);
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = if routes.len() < ROUTES_MAX { name } else { "other" };
        Arc::clone(routes.entry(name).or_default())
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut family = table::API_REQUESTS.of(out)?;
        for (name, route) in routes.iter() {
            for (class, count) in STATUS_CLASSES.iter().zip(&route.classes) {
                let labels = [("route", *name), ("status", *class)];
                ConstCounter::new(count.load(Relaxed)).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = table::API_DURATION.of(out)?;
        for (name, route) in routes.iter() {
            route.duration.encode(family.encode_family(&[("route", *name)])?)?;
        }
        Ok(())
    }
}

/// Creates sent with an `Idempotency-Key`.
#[derive(Debug, Default)]
pub struct IdempotencyMetrics {
    /// Answered from an earlier request's outcome.
    pub replayed: Counter,
    /// The key was another request's: 422.
    pub reused: Counter,
    /// The same request was being worked on: 409.
    pub in_flight: Counter,
    /// Forgotten after their time.
    pub forgotten: Counter,
}

impl IdempotencyMetrics {
    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let told = [("replayed", &self.replayed), ("reused", &self.reused), ("in_flight", &self.in_flight)];
        table::IDEMPOTENCY_REPEATS.counts(out, told.map(|(told, count)| (told, count.get())))?;
        table::IDEMPOTENCY_FORGOTTEN.count(out, self.forgotten.get())
    }
}
