//! Workers: each a loop around a step, started and stopped in one place; the death of one is loud and ends no other.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use knurl_store::Store;

use crate::{clicks::Clicks, config::Config, resolve::Resolver, telemetry::Metrics};

/// What [`start`] is given. `on_foreign_change` runs after somebody else changed the database and the resolver has forgotten
/// everything: the place to refresh the key ring.
pub struct Needs<'a> {
    pub config: &'a Config,
    pub clicks: &'a Clicks,
    pub store: Arc<dyn Store>,
    pub resolver: Resolver,
    pub metrics: Arc<Metrics>,
    pub on_foreign_change: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl std::fmt::Debug for Needs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Needs").finish_non_exhaustive()
    }
}

/// The running jobs.
#[derive(Debug)]
pub struct Jobs {}

/// Starts, on the current runtime: salts, drain, coherence, retention, canary. The salt of today is fetched (or derived) before this
/// returns.
pub async fn start(_needs: Needs<'_>) -> Jobs {
    todo!("jobs")
}

impl Jobs {
    /// Stops them in reverse order; the drain goes last, delivering what the spool holds, as far as `deadline` allows. What is left stays
    /// in the spool for the next start.
    pub async fn stop(self, _deadline: Duration) {
        todo!("jobs")
    }
}
