//! `PUT`, `PATCH` and `DELETE /urls/{id}`.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{Response, StatusCode};
use knurl_core::{
    link::{Expected, LinkPatch},
    target::TargetRules,
};

use super::{
    super::{
        body::JsonBody,
        clicks::{Freshness, totals},
        etag::IfMatch,
        fields::{Fields, Given},
        form::Form,
        now,
        path_id::PathId,
        query::Query,
        reply,
        whole::whole,
    },
    draft,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

const NAMES: &[&str; 5] = &["title", "is_active", "original_url", "redirect_status", "expires_at"];
const TITLE: usize = 0;
const IS_ACTIVE: usize = 1;
const ORIGINAL_URL: usize = 2;
const REDIRECT_STATUS: usize = 3;
const EXPIRES_AT: usize = 4;

/// What the `deleted` event tells where the client gives no reason.
const REASON_DEFAULT: &str = "user_requested";
const REASON_CHARS_MAX: usize = 256;

pub(in crate::http::api) async fn update(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    form: Form,
    IfMatch(expected): IfMatch,
    body: JsonBody,
) -> Result<Response<Body>, Error> {
    let patch = patch(Fields::parse(&body.0, NAMES)?, expected, &state.config.links.target_rules)?;
    let id = id.link()?;
    let changing = Arc::clone(&state);
    let link = whole(async move {
        let updated = changing.store.update_link(id, patch, now()).await;
        let link = updated.inspect_err(|error| changing.resolver.unsure(error))?.ok_or_else(Error::link_not_found)?;
        changing.resolver.changed(link.short_code.as_str(), Some(link.version));
        Ok(link)
    })
    .await?;
    let freshness = Freshness::reach(&state).await;
    // The change is made: that its clicks cannot be counted just now must not call it a failure.
    let clicks = totals(&state, std::slice::from_ref(&link)).await.ok();
    let clicks = clicks.map(|totals| totals.get(&link.id).map_or(0, |total| total.total));
    super::answer(StatusCode::OK, &link, clicks, &state, form).map(|response| freshness.mark(response))
}

fn patch(mut fields: Fields<'_, 5>, expected: Expected, rules: &TargetRules) -> Result<LinkPatch, Error> {
    if !fields.any() {
        return Err(Error::new(Code::NoKnownField));
    }
    let target = fields.string_not_null(ORIGINAL_URL);
    let patch = LinkPatch {
        expected,
        target: target.and_then(|text| draft::parse_target(&mut fields, ORIGINAL_URL, &text, rules)),
        title: emptied(draft::title(&mut fields, TITLE)),
        is_active: fields.boolean(IS_ACTIVE),
        status: draft::status(&mut fields, REDIRECT_STATUS),
        expires_at: emptied(draft::expires_at(&mut fields, EXPIRES_AT)),
    };
    fields.finish()?;
    Ok(patch)
}

/// Null empties the field, absence leaves it.
fn emptied<T>(given: Given<T>) -> Option<Option<T>> {
    match given {
        Given::Absent => None,
        Given::Null => Some(None),
        Given::Value(value) => Some(Some(value)),
    }
}

pub(in crate::http::api) async fn delete(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    query: Query,
    IfMatch(expected): IfMatch,
) -> Result<Response<Body>, Error> {
    let mut asked = query.parameters();
    let reason = asked.text("reason").map_or_else(|| REASON_DEFAULT.to_owned(), Into::into);
    if reason.chars().count() > REASON_CHARS_MAX {
        asked.fail("reason", format!("reason has at most {REASON_CHARS_MAX} characters."));
    }
    asked.finish()?;
    let id = id.link()?;
    whole(async move {
        let deleted = state.store.delete_link(id, expected, &reason, now()).await;
        let link = deleted.inspect_err(|error| state.resolver.unsure(error))?.ok_or_else(Error::link_not_found)?;
        // It was in this version.
        state.resolver.changed(link.short_code.as_str(), Some(link.version.saturating_add(1)));
        Ok(())
    })
    .await?;
    Ok(reply::no_content())
}
