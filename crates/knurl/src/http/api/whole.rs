//! Changes that run to their end: a client who leaves, or a deadline that passes, must not come between the commit and what follows it.

use std::future::Future;

use crate::{http::error::Error, telemetry::scope};

/// Runs `change` on a task of its own, so that dropping the caller does not cut it in half.
pub(super) async fn whole<T, F>(change: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    tokio::spawn(scope::carry(scope::present(), change)).await.map_err(Error::internal)?
}
