//! Routes about the server itself, and the redirect's other addresses.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{HeaderValue, Response, header};

use crate::{http::HttpState, telemetry::metrics::CONTENT_TYPE};

/// Exactly this, and whatever the database does: it says that the process answers.
pub(super) async fn health() -> Response<Body> {
    let mut response = Response::new(Body::from(r#"{"status":"ok"}"#));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) async fn metrics(State(state): State<Arc<HttpState>>) -> Response<Body> {
    let mut response = Response::new(Body::from(state.metrics.render()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
