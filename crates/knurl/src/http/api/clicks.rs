//! Counts that include the reader's own clicks: the spool is drained up to now before they are read.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response};
use knurl_core::{Link, LinkId, stats::LinkTotal};

use crate::http::{HttpState, error::Error};

/// Present, as `lagging`, where the drain did not finish in time: the answer stands, but may miss the latest clicks.
const CLICKS: HeaderName = HeaderName::from_static("x-knurl-clicks");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Current,
    Lagging,
}

impl Freshness {
    pub(super) async fn reach(state: &HttpState) -> Self {
        match state.recorder.barrier(state.config.clicks.barrier_timeout).await {
            Ok(()) => Self::Current,
            Err(_timeout) => Self::Lagging,
        }
    }

    pub(super) fn mark(self, mut response: Response<Body>) -> Response<Body> {
        if self == Self::Lagging {
            response.headers_mut().insert(CLICKS, HeaderValue::from_static("lagging"));
        }
        response
    }
}

/// All-time totals of the links; of those without clicks there is none.
pub(super) async fn totals(state: &HttpState, links: &[Link]) -> Result<BTreeMap<LinkId, LinkTotal>, Error> {
    if links.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<_> = links.iter().map(|link| link.id).collect();
    Ok(state.store.link_totals(&ids).await?)
}
