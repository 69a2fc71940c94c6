//! The `{id}` of a path. What is no 64-bit number names nothing: 404, as for a number that is not there.

use std::{convert::Infallible, sync::Arc};

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use knurl_core::{EventId, LinkId, UserId};

use crate::http::{
    HttpState,
    error::{Code, Error},
};

#[derive(Clone, Copy, Debug)]
pub(super) struct PathId(Option<i64>);

impl PathId {
    pub(super) fn link(self) -> Result<LinkId, Error> {
        self.0.map(LinkId).ok_or_else(Error::link_not_found)
    }

    pub(super) fn user(self) -> Result<UserId, Error> {
        self.0.map(UserId).ok_or_else(|| Error::new(Code::UserNotFound))
    }

    pub(super) fn event(self) -> Result<EventId, Error> {
        self.0.map(EventId).ok_or_else(|| Error::new(Code::EventNotFound))
    }
}

impl FromRequestParts<Arc<HttpState>> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<HttpState>) -> Result<Self, Infallible> {
        let id = RawPathParams::from_request_parts(parts, state).await.ok().and_then(|params| {
            let (_, text) = params.iter().next()?;
            // `parse` alone would take "+1".
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
        });
        Ok(Self(id))
    }
}
