//! The API: rate, errors and duration of each route, method and status, and what idempotency keys saved.
//!
//! Promised: one histogram, in OpenTelemetry's words for HTTP as Prometheus spells them; each of its labels is of a closed set (methods that the
//! standards name, patterns of the router's table, codes that we answer), and a series is made when it is first needed, at most [`SERIES_MAX`].
//! Left out of the convention: `url_scheme`, which is always `http` here, and `error_type`, which would repeat the code.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::Method;
use prometheus_client::encoding::EncodeMetric as _;

use super::{
    counters::Counter,
    histogram::Histogram,
    table::{self, Encoded, Out},
};

/// Series counted one by one; what the router and its handlers can say is less. What comes later is counted together, by its code alone.
pub(super) const SERIES_MAX: usize = 1024;
/// What any request can meet, and what one that writes can meet besides: a full disk.
const FAILURES: [u16; 2] = [500, 503];
const FAILURES_OF_WRITES: [u16; 3] = [500, 503, 507];

/// A word of ours: a method is the visitor's.
pub fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// What an API request was and how it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answered {
    /// By [`method`].
    pub method: &'static str,
    /// The pattern, never the path as sent.
    pub route: &'static str,
    pub status: u16,
}

impl Answered {
    pub(super) fn with_labels<T>(&self, then: impl FnOnce([(&'static str, &str); 3]) -> T) -> T {
        let [method, route, code] = LABELS;
        then([(method, self.method), (route, self.route), (code, &self.status.to_string())])
    }
}

const LABELS: [&str; 3] = ["http_request_method", "http_route", "http_response_status_code"];

#[derive(Debug, Default)]
pub(super) struct Routes(RwLock<BTreeMap<Answered, Arc<Histogram>>>);

impl Routes {
    pub(super) fn answered(&self, answered: Answered, elapsed: Duration) {
        let histogram = self.known(answered).unwrap_or_else(|| self.begin(answered));
        histogram.observe(elapsed);
    }

    fn known(&self, answered: Answered) -> Option<Arc<Histogram>> {
        // A thread that panicked while it held the lock left a whole map behind: insertions are its only change.
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&answered).map(Arc::clone)
    }

    fn begin(&self, answered: Answered) -> Arc<Histogram> {
        let mut series = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if (200..400).contains(&answered.status) {
            // What goes well may fail next: that failure is then seen as one more, and not as where its count began.
            let writes = !matches!(answered.method, "GET" | "HEAD");
            for &status in if writes { &FAILURES_OF_WRITES[..] } else { &FAILURES[..] } {
                if series.len() < SERIES_MAX {
                    series.entry(Answered { status, ..answered }).or_default();
                }
            }
        }
        let has_room = series.len() < SERIES_MAX || series.contains_key(&answered);
        let answered = if has_room { answered } else { Answered { method: "_OTHER", route: "other", status: answered.status } };
        Arc::clone(series.entry(answered).or_default())
    }

    pub(super) fn encode(&self, out: &mut Out<'_>) -> Encoded {
        let series = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut family = table::API_DURATION.of(out)?;
        for (answered, histogram) in series.iter() {
            answered.with_labels(|labels| histogram.encode(family.encode_family(&labels)?))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: Answered = Answered { method: "POST", route: "/urls", status: 201 };

    #[test]
    fn what_went_well_once_has_its_failures_at_zero_before_the_first_of_them() {
        let routes = Routes::default();
        routes.answered(Answered { status: 401, ..MADE }, Duration::ZERO);
        assert_eq!(routes.0.read().unwrap().len(), 1, "who is refused makes no series but that");
        routes.answered(MADE, Duration::ZERO);
        routes.answered(Answered { method: "GET", status: 200, ..MADE }, Duration::ZERO);
        let counts: Vec<_> = routes.0.read().unwrap().iter().map(|(of, all)| (of.method, of.status, all.count())).collect();
        let get = [("GET", 200, 1), ("GET", 500, 0), ("GET", 503, 0)];
        let post = [("POST", 201, 1), ("POST", 401, 1), ("POST", 500, 0), ("POST", 503, 0), ("POST", 507, 0)];
        assert_eq!(counts, [&get[..], &post].concat());
    }

    #[test]
    fn a_method_that_no_standard_names_is_another() {
        for (sent, told) in [("GET", "GET"), ("TRACE", "TRACE"), ("get", "_OTHER"), ("BREW", "_OTHER"), ("PROPFIND", "_OTHER")] {
            assert_eq!(method(&Method::from_bytes(sent.as_bytes()).unwrap()), told);
        }
    }

    #[test]
    fn series_beyond_the_bound_are_counted_together_by_their_code() {
        let routes = Routes::default();
        for n in 0..SERIES_MAX + 50 {
            routes.answered(Answered { route: Box::leak(format!("/r{n}").into_boxed_str()), ..MADE }, Duration::ZERO);
        }
        let series = routes.0.read().unwrap();
        assert_eq!(series.len(), SERIES_MAX + 1);
        assert_eq!(series.values().map(|histogram| histogram.count()).sum::<u64>() as usize, SERIES_MAX + 50);
        let together = series.get(&Answered { method: "_OTHER", route: "other", status: 201 }).unwrap();
        assert!(together.count() >= 50);
    }
}
