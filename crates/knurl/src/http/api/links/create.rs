//! `POST /urls` and `POST /shorten`.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{Response, StatusCode};
use knurl_core::{Link, ShortCode, UnixMillis};
use knurl_store::{Conflict, StoreError};

use super::{
    super::{
        body::JsonBody,
        clicks::{Freshness, totals},
        form::Form,
        now,
        once::{Keyed, MaybeKey, replayed},
        whole::whole,
    },
    draft::{Draft, DraftFields, NAMES, Way},
    existing::existing,
    once,
};
use crate::http::{
    HttpState,
    error::{Code, Error, FieldError},
};

/// Codes drawn for one link before giving up. From the third collision on each is one character longer, so that the last ones are drawn
/// from a space no table can fill: this many collisions mean a broken generator, not a full space.
pub(super) const DRAWS_MAX: u32 = 32;

pub(in crate::http::api) async fn create(
    State(state): State<Arc<HttpState>>,
    form: Form,
    key: MaybeKey,
    body: JsonBody,
) -> Result<Response<Body>, Error> {
    answer(&state, form, key, &body, Way::Urls).await
}

pub(in crate::http::api) async fn shorten(
    State(state): State<Arc<HttpState>>,
    form: Form,
    key: MaybeKey,
    body: JsonBody,
) -> Result<Response<Body>, Error> {
    answer(&state, form, key, &body, Way::Shorten).await
}

async fn answer(state: &Arc<HttpState>, form: Form, key: MaybeKey, body: &JsonBody, way: Way) -> Result<Response<Body>, Error> {
    let draft = Draft::parse(DraftFields::parse(&body.0, NAMES)?, way, &state.config.links.target_rules)?;
    let now = now();
    if let Some(key) = key.0 {
        let keyed = key.enter(&body.0, state)?;
        return answer_once(state, form, keyed, draft, now).await;
    }
    if let Some(found) = found(state, form, &draft, now).await? {
        return Ok(found);
    }
    let creating = Arc::clone(state);
    let link = whole(async move { create_link(&creating, &draft, now).await }).await?;
    super::created(&link, state, form)
}

async fn answer_once(
    state: &Arc<HttpState>,
    form: Form,
    keyed: Keyed,
    draft: Draft,
    now: UnixMillis,
) -> Result<Response<Body>, Error> {
    if draft.find_if_exists {
        // Else the repetition would find what the first request made, and not be its answer.
        if let Some(link) = once::recall(state, &keyed, &draft).await? {
            return super::created(&link?, state, form).map(replayed);
        }
        if let Some(found) = found(state, form, &draft, now).await? {
            return Ok(found);
        }
    }
    let creating = Arc::clone(state);
    let (done, mut outcomes) = whole(async move { once::create(&creating, &keyed, &[&draft], now).await }).await?;
    let link = outcomes.pop().ok_or_else(|| Error::internal("a create of one link has no outcome"))??;
    let response = super::created(&link, state, form)?;
    Ok(if done.is_replay { replayed(response) } else { response })
}

/// With `find_if_exists`, the link that is there already.
async fn found(state: &HttpState, form: Form, draft: &Draft, now: UnixMillis) -> Result<Option<Response<Body>>, Error> {
    if !draft.find_if_exists {
        return Ok(None);
    }
    let Some(link) = existing(state, draft, now).await? else { return Ok(None) };
    let freshness = Freshness::reach(state).await;
    let clicks = totals(state, std::slice::from_ref(&link)).await?.get(&link.id).map_or(0, |total| total.total);
    super::answer(StatusCode::OK, &link, Some(clicks), state, form).map(|response| Some(freshness.mark(response)))
}

async fn create_link(state: &HttpState, draft: &Draft, now: UnixMillis) -> Result<Link, Error> {
    for attempt in 0..DRAWS_MAX {
        match state.store.create_link(draft.to_link(code_for(state, draft, attempt)), now).await {
            Ok(link) => {
                // "No such code" may be remembered.
                state.resolver.created(link.short_code.as_str());
                return Ok(link);
            }
            Err(StoreError::Conflict(Conflict::ShortCode)) if draft.code.is_none() => {}
            Err(error) => return Err(refused(error, draft)),
        }
    }
    Err(Error::new(Code::NoFreeCode))
}

/// The code asked for, or one drawn at random.
pub(super) fn code_for(state: &HttpState, draft: &Draft, attempt: u32) -> ShortCode {
    match &draft.code {
        Some((code, _)) => code.clone(),
        None => state.config.links.code_shape.draw(&mut rand::rng(), attempt),
    }
}

/// Names the field that asked for the taken code.
pub(super) fn refused(error: StoreError, draft: &Draft) -> Error {
    match (error, &draft.code) {
        (StoreError::Conflict(Conflict::ShortCode), Some((_, field))) => {
            let message = Code::ShortCodeTaken.entry().sentence.into();
            Error::new(Code::ShortCodeTaken).with_fields(vec![FieldError { field: (*field).into(), code: "taken", message }])
        }
        (error, _) => error.into(),
    }
}
