//! Answers that are not failures.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::{etag, form::Form};
use crate::http::error::Error;

/// A link object is about 400 bytes.
pub(super) const BODY_BYTES_TYPICAL: usize = 512;
/// Encoding as much takes less than a millisecond. More of it is done where it keeps no redirect waiting.
const ENCODED_AT_ONCE_BYTES_MAX: usize = 256 * 1024;

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Error> {
    Ok(answer(status, encode(value)?))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::with_capacity(BODY_BYTES_TYPICAL);
    serde_json::to_writer(&mut body, value).map_err(Error::internal)?;
    Ok(body)
}

/// What `encode` makes of rows that take about so many bytes.
pub(super) async fn encoded(
    bytes: usize,
    encode: impl FnOnce() -> Result<Response<Body>, Error> + Send + 'static,
) -> Result<Response<Body>, Error> {
    if bytes <= ENCODED_AT_ONCE_BYTES_MAX {
        return encode();
    }
    tokio::task::spawn_blocking(encode).await.map_err(Error::internal)?
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// With the entity tag of this version, which a cache has to ask about each time.
pub(super) fn tagged(status: StatusCode, value: &impl Serialize, version: i64) -> Result<Response<Body>, Error> {
    let body = encode(value)?;
    let tag = etag::of(version, &body);
    let mut response = answer(status, body);
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// Where what was created stands: a path under the address that was asked, right behind any proxy.
pub(super) fn located(mut response: Response<Body>, form: Form, collection: &'static str, id: i64) -> Response<Body> {
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{collection}/{id}", form.prefix())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
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
