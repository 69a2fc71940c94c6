//! In which form the answer is written: the root's times have no zone, those under `/api/v1` end in `Z`.

use std::{convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use knurl_core::UnixMillis;

use crate::http::HttpState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Root,
    V1,
}

impl Form {
    /// What the paths of its routes begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::V1 => "/api/v1",
        }
    }

    pub(super) fn time(self, at: UnixMillis) -> String {
        match self {
            Self::Root => at.to_contract(),
            Self::V1 => at.to_rfc3339(),
        }
    }
}

impl FromRequestParts<Arc<HttpState>> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<HttpState>) -> Result<Self, Infallible> {
        Ok(if parts.uri.path().starts_with("/api/v1/") { Self::V1 } else { Self::Root })
    }
}
