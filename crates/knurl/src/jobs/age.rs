//! How old something has to be before a node may remove it from what belongs to all of them.
//!
//! Promised: a node whose clock is wrong removes nothing that the database's clock does not call old as well, nor the other way round.

use std::time::Duration;

use knurl_core::UnixMillis;
use knurl_store::{Store, StoreError};

use super::Clock;

/// Between clocks that are kept.
const APART_MAX_MS: u64 = 60_000;

/// What came before this moment is older than `keep`, by this node's clock and by the database's.
pub(super) async fn older_than(store: &dyn Store, clock: &Clock, keep: Duration) -> Result<UnixMillis, StoreError> {
    let theirs = store.time().await?;
    let ours = clock();
    let now = theirs.map_or(ours, |theirs| {
        if ours.0.abs_diff(theirs.0) > APART_MAX_MS {
            tracing::warn!(
                ahead_ms = ours.0.saturating_sub(theirs.0),
                "the clock of this node and the database's are apart: what is removed for its age goes by the one that is behind"
            );
        }
        ours.min(theirs)
    });
    Ok(UnixMillis(now.0.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))))
}
