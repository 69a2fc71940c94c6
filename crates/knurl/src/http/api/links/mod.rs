//! Links, called `urls` on this side of the API for the contract's sake.

pub(super) mod bulk;
pub(super) mod create;
mod draft;
mod existing;
pub(super) mod list;
mod shape;
pub(super) mod update;

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::Response;

use shape::LinkOut;

use super::{
    clicks::{Freshness, totals},
    form::Form,
    path_id::PathId,
    reply,
};
use crate::http::{HttpState, error::Error};

pub(super) async fn show(State(state): State<Arc<HttpState>>, id: PathId, form: Form) -> Result<Response<Body>, Error> {
    let link = state.store.link(id.link()?).await?.ok_or_else(Error::link_not_found)?;
    let freshness = Freshness::reach(&state).await;
    let totals = totals(&state, std::slice::from_ref(&link)).await?;
    let clicks = totals.get(&link.id).map_or(0, |total| total.total);
    let shown = LinkOut::of(&link, Some(clicks), &state.config.base_url, form);
    reply::ok(&shown).map(|response| freshness.mark(response))
}
