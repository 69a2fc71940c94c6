//! The metrics listener: `/metrics` and `/health`, without a key, on an address the operator keeps to the inside.
//!
//! Apart from the main listener so that it answers while that one is at its cap.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;

use super::{
    client::Peer,
    connection::{Answering, Handler},
    error::{Code, Error, RequestId},
};
use crate::telemetry::{Metrics, metrics};

/// Scrapers and probes; more is somebody else.
pub(super) const CONNECTIONS_MAX: usize = 64;

pub(super) struct Observe {
    pub(super) metrics: Arc<Metrics>,
}

impl Handler for Observe {
    fn handle(&self, _peer: Peer, request: Request<Incoming>) -> Answering {
        let path = request.uri().path();
        let refuse = |error: Error| Answering::Now(error.answer(&RequestId::of(request.headers()), path));
        let (body, content_type) = match path {
            "/metrics" => (self.metrics.render(), metrics_type(request.headers())),
            "/health" => (r#"{"status":"ok"}"#.to_owned(), "application/json"),
            _ => return refuse(Error::new(Code::UnknownPath)),
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return refuse(Error::new(Code::MethodNotAllowed).with_allow(HeaderValue::from_static("GET, HEAD")));
        }
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Answering::Now(response)
    }
}

/// OpenMetrics where it is asked for, as Prometheus does.
pub(super) fn metrics_type(headers: &HeaderMap) -> &'static str {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    if kinds.any(|kind| kind.trim().eq_ignore_ascii_case("application/openmetrics-text")) {
        return metrics::OPENMETRICS;
    }
    metrics::PROMETHEUS_TEXT
}
