//! The REST contract: axum handlers, mounted at the root and under `/api/v1`.
//!
//! Promised: every path and method is answered, every failure as problem+json; types are checked and never coerced; a change is
//! forgotten by the resolver before it is acknowledged. Refused: SQL, and deciding who may follow a link (that is the front's).

pub mod auth;
mod body;
mod boundary;
mod clicks;
mod etag;
mod events;
mod fields;
mod form;
mod kept_keys;
mod links;
mod multipart;
pub mod once;
mod paging;
mod path_id;
mod query;
mod reply;
mod routes;
mod stats;
mod system;
mod upload;
mod users;
mod whole;

use std::sync::Arc;

pub use routes::paths;

use super::HttpState;

/// Every route but the redirect; unknown paths answer problem+json 404. Deadlines, body bounds and panic-catching included.
pub fn router(state: Arc<HttpState>) -> axum::Router {
    routes::router(state)
}

/// The edge where the clock is read; below it time is an argument.
pub(super) fn now() -> knurl_core::UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    knurl_core::UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
