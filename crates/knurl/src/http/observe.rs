//! The metrics listener: `/metrics` and the health addresses, without a key, on an address the operator keeps to the inside.
//!
//! Apart from the main listener so that it answers while that one is at its cap.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;

use super::{
    HttpState,
    client::Peer,
    connection::{Answering, Handler},
    error::{Code, Error, RequestId},
    health, host,
};
use crate::telemetry::{Metrics, metrics};

/// Scrapers and probes; more is somebody else.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// What it answers.
const PATHS: [&str; 5] = ["/health", "/livez", "/metrics", "/readyz", "/startupz"];

pub(super) struct Observe {
    pub(super) state: Arc<HttpState>,
}

impl Handler for Observe {
    fn handle(&self, _peer: Peer, request: Request<Incoming>) -> Answering {
        let path = request.uri().path();
        if host::is_refused(request.version(), request.headers()) {
            return Answering::Now(host::refused(request.headers(), path));
        }
        let refuse = |error: Error| Answering::Now(error.answer(&RequestId::of(request.headers()), path));
        if !matches!(*request.method(), Method::GET | Method::HEAD) && PATHS.contains(&path) {
            return refuse(Error::new(Code::MethodNotAllowed).with_allow(HeaderValue::from_static("GET, HEAD")));
        }
        let answered = match path {
            "/metrics" => Ok(exposition(&self.state.metrics, request.headers())),
            "/health" | "/livez" => Ok(health::live()),
            "/startupz" => health::started(&self.state),
            "/readyz" => health::ready(&self.state),
            _ => Err(Error::new(Code::UnknownPath)),
        };
        match answered {
            Ok(response) => Answering::Now(response),
            Err(error) => refuse(error),
        }
    }
}

/// In the format that was asked for.
pub(super) fn exposition(of: &Arc<Metrics>, headers: &HeaderMap) -> Response<Body> {
    let (kind, text) = match metrics_type(headers) {
        metrics::OPENMETRICS => (metrics::OPENMETRICS, of.exemplars.shown_in(of.render())),
        kind => (kind, of.render()),
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// OpenMetrics where it is asked for, as Prometheus does.
fn metrics_type(headers: &HeaderMap) -> &'static str {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    if kinds.any(|kind| kind.trim().eq_ignore_ascii_case("application/openmetrics-text")) {
        return metrics::OPENMETRICS;
    }
    metrics::PROMETHEUS_TEXT
}
