//! Links, called `urls` on this side of the API for the contract's sake.

pub(super) mod bulk;
pub(super) mod create;
mod draft;
mod existing;
pub(super) mod list;
mod once;
mod shape;
pub(super) mod update;

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{HeaderMap, Response, StatusCode};
use knurl_core::Link;

use shape::LinkOut;

use super::{
    clicks::{Freshness, totals},
    etag,
    form::Form,
    path_id::PathId,
    reply,
};
use crate::http::{HttpState, error::Error};

pub(super) async fn show(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    form: Form,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    let link = state.store.link(id.link()?).await?.ok_or_else(Error::link_not_found)?;
    let freshness = Freshness::reach(&state).await;
    let totals = totals(&state, std::slice::from_ref(&link)).await?;
    let clicks = totals.get(&link.id).map_or(0, |total| total.total);
    let response = answer(StatusCode::OK, &link, Some(clicks), &state, form)?;
    etag::unless_known(&headers, freshness.mark(response))
}

/// The link with its entity tag.
fn answer(status: StatusCode, link: &Link, clicks: Option<u64>, state: &HttpState, form: Form) -> Result<Response<Body>, Error> {
    reply::tagged(status, &LinkOut::of(link, clicks, &state.config.base_url, form), link.version)
}

/// 201, with the link, its entity tag and its address.
fn created(link: &Link, state: &HttpState, form: Form) -> Result<Response<Body>, Error> {
    answer(StatusCode::CREATED, link, Some(0), state, form).map(|response| reply::located(response, form, "urls", link.id.0))
}
