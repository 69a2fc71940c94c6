//! The REST contract: axum handlers, mounted at the root and under `/api/v1`.

pub mod auth;

use std::sync::Arc;

use super::HttpState;

/// Every route but the redirect; unknown paths answer problem+json 404. Deadlines, body bounds and panic-catching included.
pub fn router(_state: Arc<HttpState>) -> axum::Router {
    todo!("api")
}
