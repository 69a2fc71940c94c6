//! Answers that are not failures.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::http::error::Error;

/// A link object is about 400 bytes.
const BODY_BYTES_TYPICAL: usize = 512;

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Error> {
    let mut body = Vec::with_capacity(BODY_BYTES_TYPICAL);
    serde_json::to_writer(&mut body, value).map_err(Error::internal)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

pub(super) fn ok(value: &impl Serialize) -> Result<Response<Body>, Error> {
    json(StatusCode::OK, value)
}

pub(super) fn created(value: &impl Serialize) -> Result<Response<Body>, Error> {
    json(StatusCode::CREATED, value)
}

pub(super) fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
