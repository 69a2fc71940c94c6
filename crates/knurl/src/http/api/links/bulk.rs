//! `POST /urls/bulk`: many links in one transaction, each judged by itself.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{Response, StatusCode};
use knurl_core::{Link, UnixMillis};
use knurl_store::{Conflict, StoreError};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::{
        body::JsonBody,
        fields::{Fields, malformed, utf8},
        form::Form,
        now,
        once::{Keyed, MaybeKey, replayed},
        reply,
        whole::whole,
    },
    create::{DRAWS_MAX, code_for, refused},
    draft::{Draft, DraftFields, NAMES, Way},
    once,
    shape::LinkOut,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

/// One group commit's worth of work: more would keep other writers waiting.
const ITEMS_MAX: usize = 1_000;
const ENVELOPE: &[&str; 1] = &["urls"];

#[derive(Serialize)]
struct Answer<'a> {
    /// Links created.
    count: usize,
    failed: usize,
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Created { status: u16, url: Box<LinkOut<'a>> },
    Failed(serde_json::Value),
}

/// An item on its way: what is asked, or how it ended.
enum Item {
    Pending(Draft),
    Done(Result<Link, Error>),
}

pub(in crate::http::api) async fn create(
    State(state): State<Arc<HttpState>>,
    form: Form,
    key: MaybeKey,
    body: JsonBody,
) -> Result<Response<Body>, Error> {
    let mut items: Vec<_> = items(&body.0)?.into_iter().map(|text| parse(&state, text)).collect();
    let keyed = key.0.map(|key| key.enter(&body.0, &state)).transpose()?;
    let creating = Arc::clone(&state);
    let (items, is_replay) = whole(async move {
        let is_replay = match keyed {
            Some(keyed) => create_all_once(&creating, &keyed, &mut items, now()).await?,
            None => {
                create_all(&creating, &mut items, now()).await?;
                false
            }
        };
        Ok((items, is_replay))
    })
    .await?;
    let done: Vec<_> = items.into_iter().map(Item::outcome).collect();
    let count = done.iter().filter(|outcome| outcome.is_ok()).count();
    if count == 0 {
        return Err(none_created(&done));
    }
    let results: Vec<_> = done
        .iter()
        .map(|outcome| match outcome {
            Ok(link) => Outcome::Created { status: 201, url: Box::new(LinkOut::of(link, Some(0), &state.config.base_url, form)) },
            Err(error) => Outcome::Failed(error.to_item()),
        })
        .collect();
    let failed = results.len() - count;
    let status = if failed == 0 { StatusCode::CREATED } else { StatusCode::MULTI_STATUS };
    let response = reply::json(status, &Answer { count, failed, results })?;
    Ok(if is_replay { replayed(response) } else { response })
}

/// A failure as any other, with the verdicts beside it. Where one of them is ours, so is the whole: trying again may help.
fn none_created(done: &[Result<Link, Error>]) -> Error {
    let errors = || done.iter().filter_map(|outcome| outcome.as_ref().err());
    let ours = errors().find(|error| error.status().is_server_error()).map(Error::code);
    Error::new(ours.unwrap_or(Code::NothingCreated)).with_results(errors().map(Error::to_item).collect())
}

/// Whether it was done before.
async fn create_all_once(state: &HttpState, keyed: &Keyed, items: &mut [Item], now: UnixMillis) -> Result<bool, Error> {
    let drafts: Vec<&Draft> = items.iter().filter_map(Item::draft).collect();
    if drafts.is_empty() {
        return Ok(false);
    }
    let (done, outcomes) = once::create(state, keyed, &drafts, now).await?;
    let slots = items.iter_mut().filter(|item| item.draft().is_some());
    slots.zip(outcomes).for_each(|(slot, outcome)| *slot = Item::Done(outcome));
    Ok(done.is_replay)
}

/// An array of link objects, bare or as `{"urls": […]}`.
fn items(body: &[u8]) -> Result<Vec<&RawValue>, Error> {
    let text = utf8(body)?.trim_ascii();
    let array = if text.starts_with('[') {
        text
    } else {
        let mut envelope = Fields::parse_text(text, ENVELOPE)?;
        let array = envelope.required_array(0);
        envelope.finish()?;
        array.unwrap_or_default()
    };
    let items: Vec<&RawValue> = serde_json::from_str(array).map_err(|error| malformed(&error))?;
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(Error::field("urls", "invalid", format!("Send 1 to {ITEMS_MAX} links at once.")));
    }
    Ok(items)
}

fn parse(state: &HttpState, item: &RawValue) -> Item {
    let draft = DraftFields::parse_text(item.get(), NAMES)
        .and_then(|fields| Draft::parse(fields, Way::Urls, &state.config.links.target_rules));
    match draft {
        Ok(draft) if draft.find_if_exists => {
            let message = "find_if_exists works for one link at a time only.";
            Item::Done(Err(Error::field("find_if_exists", "invalid", message)))
        }
        Ok(draft) => Item::Pending(draft),
        Err(error) => Item::Done(Err(error)),
    }
}

/// Creates what is pending; drawn codes that were taken are drawn again, all in one more transaction.
async fn create_all(state: &HttpState, items: &mut [Item], now: UnixMillis) -> Result<(), Error> {
    for attempt in 0..DRAWS_MAX {
        let mut slots = Vec::new();
        let mut links = Vec::new();
        for item in &mut *items {
            if let Item::Pending(draft) = item {
                links.push(draft.to_link(code_for(state, draft, attempt)));
                slots.push(item);
            }
        }
        if links.is_empty() {
            return Ok(());
        }
        match state.store.create_links(links, now).await {
            Ok(outcomes) => slots.into_iter().zip(outcomes).for_each(|(slot, outcome)| slot.settle(state, outcome)),
            Err(error) if attempt == 0 => return Err(error.into()),
            // What an earlier round made is made, and has to be told.
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a bulk create could not draw its last codes");
                give_up(slots, error);
                return Ok(());
            }
        }
    }
    Ok(())
}

fn give_up(slots: Vec<&mut Item>, error: StoreError) {
    let code = Error::from(error).code();
    for slot in slots {
        *slot = Item::Done(Err(Error::new(code)));
    }
}

impl Item {
    fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Pending(draft) => Some(draft),
            Self::Done(_) => None,
        }
    }

    fn settle(&mut self, state: &HttpState, outcome: Result<Link, StoreError>) {
        let Self::Pending(draft) = &*self else { return };
        *self = match outcome {
            Ok(link) => {
                state.resolver.created(link.short_code.as_str());
                Self::Done(Ok(link))
            }
            Err(StoreError::Conflict(Conflict::ShortCode)) if draft.code.is_none() => return,
            Err(error) => Self::Done(Err(refused(error, draft))),
        };
    }

    fn outcome(self) -> Result<Link, Error> {
        match self {
            Self::Done(outcome) => outcome,
            Self::Pending(_) => Err(Error::new(Code::NoFreeCode)),
        }
    }
}
