//! Routes about the server itself, and the redirect's other addresses.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawPathParams, State, rejection::RawPathParamsRejection},
};
use http::{HeaderMap, Request, Response};

use crate::http::{HttpState, error::Error, front, health, observe::exposition};

pub(super) async fn live() -> Response<Body> {
    health::live()
}

pub(super) async fn started(State(state): State<Arc<HttpState>>) -> Result<Response<Body>, Error> {
    health::started(&state)
}

pub(super) async fn ready(State(state): State<Arc<HttpState>>) -> Result<Response<Body>, Error> {
    health::ready(&state)
}

pub(super) async fn metrics(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response<Body> {
    exposition(&state, &headers)
}

/// `GET /urls/{short_code}/redirect`; and `GET /{short_code}` where it did not come through the front, or stands under `/api/v1`.
pub(super) async fn redirect(
    State(state): State<Arc<HttpState>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    // What is not UTF-8 after decoding names no code.
    let params = params.map_err(|_| Error::link_not_found())?;
    let Some((_, code)) = params.iter().next() else { return Err(Error::link_not_found()) };
    let (parts, _) = request.into_parts();
    Ok(front::redirect(&state, &parts, code).await)
}
