//! `GET /urls` and `GET /users/{id}/urls`.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::Response;
use knurl_core::{Link, UserId, page::Listed};
use knurl_store::LinkFilter;

use super::{
    super::{
        clicks::{Freshness, totals},
        form::Form,
        paging::Paging,
        path_id::PathId,
        query::{Parameters, Query},
        reply,
    },
    shape::LinkOut,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

pub(in crate::http::api) async fn all(
    State(state): State<Arc<HttpState>>,
    form: Form,
    query: Query,
) -> Result<Response<Body>, Error> {
    let mut asked = query.parameters();
    let owner = asked.integer("user_id").map(UserId);
    answer(&state, form, &query, asked, owner).await
}

pub(in crate::http::api) async fn of_user(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    form: Form,
    query: Query,
) -> Result<Response<Body>, Error> {
    let user = state.store.user(id.user()?).await?.ok_or_else(|| Error::new(Code::UserNotFound))?;
    answer(&state, form, &query, query.parameters(), Some(user.id)).await
}

async fn answer(
    state: &Arc<HttpState>,
    form: Form,
    query: &Query,
    mut asked: Parameters<'_>,
    owner: Option<UserId>,
) -> Result<Response<Body>, Error> {
    let filter = LinkFilter {
        owner,
        is_active: asked.boolean("is_active"),
        short_code: asked.text("short_code").map(Into::into),
        title: asked.text("title").map(Into::into),
        target: asked.text("original_url").map(Into::into),
    };
    let paging = Paging::of(&mut asked);
    asked.finish()?;
    let Listed { rows, total } = state.store.list_links(filter, paging.page()).await?;
    let freshness = Freshness::reach(state).await;
    let totals = totals(state, &rows).await?;
    let (count, last) = (rows.len(), rows.last().map(|link| link.id.0));
    let shown_by = Arc::clone(state);
    let encode = move || {
        let clicks = |link: &Link| totals.get(&link.id).map_or(0, |total| total.total);
        let shown = |link| LinkOut::of(link, Some(clicks(link)), &shown_by.config.base_url, form);
        reply::ok(&rows.iter().map(shown).collect::<Vec<_>>())
    };
    let mut response = reply::encoded(count * reply::BODY_BYTES_TYPICAL, encode).await?;
    paging.annotate(&mut response, query, total, count, last);
    Ok(freshness.mark(response))
}
