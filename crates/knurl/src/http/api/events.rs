//! Events: what happened to links, and what clients add to it.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::Response;
use knurl_core::{
    Event, EventType, LinkId, UserId,
    event::{DETAILS_BYTES_MAX, NewEvent},
    page::Listed,
};
use knurl_store::{EventFilter, once::Posted};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    body::JsonBody,
    clicks::Freshness,
    fields::Fields,
    form::Form,
    now,
    once::{MaybeKey, replayed},
    paging::Paging,
    path_id::PathId,
    query::{Parameters, Query},
    reply,
    whole::whole,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

const NAMES: &[&str; 4] = &["url_id", "user_id", "event_type", "details"];
const URL_ID: usize = 0;
const USER_ID: usize = 1;
const EVENT_TYPE: usize = 2;
const DETAILS: usize = 3;

/// An event object without its details.
const ROW_BYTES_TYPICAL: usize = 128;

#[derive(Serialize)]
struct EventOut<'a> {
    id: i64,
    url_id: i64,
    user_id: Option<i64>,
    event_type: &'a str,
    timestamp: String,
    details: Details<'a>,
}

/// An object as it came in. What an import kept and is no JSON is shown as the text it is.
#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    None(()),
    Object(&'a RawValue),
    Text(&'a str),
}

impl<'a> EventOut<'a> {
    fn of(event: &'a Event, form: Form) -> Self {
        let details = event
            .details
            .as_deref()
            .map_or(Details::None(()), |text| serde_json::from_str(text).map_or(Details::Text(text), Details::Object));
        Self {
            id: event.id.0,
            url_id: event.link_id.0,
            user_id: event.user_id.map(|user| user.0),
            event_type: event.event_type.as_str(),
            timestamp: form.time(event.at),
            details,
        }
    }
}

pub(super) async fn list(State(state): State<Arc<HttpState>>, form: Form, query: Query) -> Result<Response<Body>, Error> {
    let mut asked = query.parameters();
    let link = asked.integer("url_id").map(LinkId);
    answer(&state, form, &query, asked, link).await
}

/// A deleted link is 404 here as everywhere; its events stay in `GET /events?url_id=`.
pub(super) async fn of_link(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    form: Form,
    query: Query,
) -> Result<Response<Body>, Error> {
    let link = state.store.link(id.link()?).await?.ok_or_else(Error::link_not_found)?;
    answer(&state, form, &query, query.parameters(), Some(link.id)).await
}

async fn answer(
    state: &HttpState,
    form: Form,
    query: &Query,
    mut asked: Parameters<'_>,
    link: Option<LinkId>,
) -> Result<Response<Body>, Error> {
    let (user, event_type) = (asked.integer("user_id").map(UserId), asked.text("event_type").map(Into::into));
    let filter = EventFilter { link, user, event_type };
    let paging = Paging::of(&mut asked);
    asked.finish()?;
    let freshness = Freshness::reach(state).await;
    let Listed { rows, total } = state.store.list_events(filter, paging.page()).await?;
    let (count, last) = (rows.len(), rows.last().map(|event| event.id.0));
    let bytes = rows.iter().map(|event| ROW_BYTES_TYPICAL + event.details.as_ref().map_or(0, String::len)).sum();
    let encode = move || reply::ok(&rows.iter().map(|event| EventOut::of(event, form)).collect::<Vec<_>>());
    let mut response = reply::encoded(bytes, encode).await?;
    paging.annotate(&mut response, query, total, count, last);
    Ok(freshness.mark(response))
}

pub(super) async fn show(State(state): State<Arc<HttpState>>, id: PathId, form: Form) -> Result<Response<Body>, Error> {
    let id = id.event()?;
    let freshness = Freshness::reach(&state).await;
    let event = state.store.event(id).await?.ok_or_else(|| Error::new(Code::EventNotFound))?;
    reply::ok(&EventOut::of(&event, form)).map(|response| freshness.mark(response))
}

pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    form: Form,
    key: MaybeKey,
    body: JsonBody,
) -> Result<Response<Body>, Error> {
    let mut fields = Fields::parse(&body.0, NAMES)?;
    let link_id = fields.required_integer(URL_ID);
    let user_id = fields.integer(USER_ID).value().map(UserId);
    let event_type = fields
        .required_string(EVENT_TYPE)
        .and_then(|text| EventType::parse(&text).map_err(|error| fields.fail(EVENT_TYPE, "invalid", format!("{error}."))).ok());
    let details = fields.object(DETAILS).map(str::to_owned);
    if details.as_ref().is_some_and(|details| details.len() > DETAILS_BYTES_MAX) {
        fields.fail(DETAILS, "too_long", format!("details has at most {DETAILS_BYTES_MAX} bytes."));
    }
    fields.finish()?;
    let (Some(link_id), Some(event_type)) = (link_id, event_type) else {
        return Err(Error::internal("an event without a link or a type passed"));
    };
    let new = NewEvent { link_id: LinkId(link_id), user_id, event_type, at: now(), details };
    let Posted { event, is_replay } = whole(async move { post(&state, key, &body, new).await }).await?;
    let response = reply::created(&EventOut::of(&event, form))?;
    let response = reply::located(response, form, "events", event.id.0);
    Ok(if is_replay { replayed(response) } else { response })
}

async fn post(state: &HttpState, key: MaybeKey, body: &JsonBody, new: NewEvent) -> Result<Posted, Error> {
    let Some(key) = key.0 else {
        return Ok(Posted { event: state.store.post_event(new).await?, is_replay: false });
    };
    let keyed = key.enter(&body.0, state)?;
    let posted = state.store.post_event_once(keyed.once, new).await;
    keyed.count(state, posted.as_ref().map(|posted| posted.is_replay));
    Ok(posted?)
}
