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
use crate::telemetry::exposition::Format;

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
            "/metrics" => Ok(exposition(&self.state, request.headers())),
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

/// What `/metrics` answers, wherever it is served.
pub(super) fn exposition(state: &HttpState, headers: &HeaderMap) -> Response<Body> {
    let format = format_of(headers);
    let mut response = Response::new(Body::from(state.metrics.render_as(format)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response
}

/// OpenMetrics where it is asked for, as Prometheus does.
fn format_of(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|kind| kind.split(';').next());
    if kinds.any(|kind| kind.trim().eq_ignore_ascii_case("application/openmetrics-text")) {
        return Format::OpenMetrics;
    }
    Format::Text
}
