//! The cache that all nodes share, as a tier: Redis.
//!
//! Promised: a visitor waits for it no longer than [`DEADLINE`]; without it nothing is missing but speed. Refused: what it says of a code
//! that was changed a moment ago. A node that read the link before the change may only now be putting it there.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use knurl_core::ShortCode;
use tokio::time::timeout;

use super::{
    marks::Mark,
    tiers::{Copied, Observed},
};
use crate::{
    breaker::{Breaker, Rules},
    telemetry::{
        dependencies::Dependency,
        tiers::{Below, Said},
    },
};

/// Ten times what it takes when all is well.
const DEADLINE: Duration = Duration::from_millis(5);

/// Why it could not be asked.
pub type SharedError = Box<dyn Error + Send + Sync>;

/// A cache of links that all nodes share. It may forget anything at any time; it holds nothing about codes that do not exist.
pub trait SharedLinks: Send + Sync + 'static {
    fn get<'a>(&'a self, code: &'a ShortCode) -> BoxFuture<'a, Result<Option<Copied>, SharedError>>;
    /// Hands over a link as the database had it after `began`. Never waits; may be lost. An older version never replaces a newer one.
    fn put(&self, code: &ShortCode, link: &Copied, began: Instant);
    /// These codes lead elsewhere now. Never waits. Also what is on its way there from before is not to stay.
    fn forget(&self, codes: &[String]);
    fn forget_all(&self);
}

pub(super) struct SharedTier {
    shared: Arc<dyn SharedLinks>,
    breaker: Breaker,
    observed: Observed,
}

impl SharedTier {
    pub(super) fn new(shared: Arc<dyn SharedLinks>, observed: Observed) -> Self {
        observed.watch(Below::Redis);
        Self { shared, breaker: observed.breaker(Dependency::Redis, Rules::default()), observed }
    }

    /// `at_least`: the version another tier has been seen in; an older one is not believed.
    pub(super) async fn ask(&self, code: &ShortCode, mark: Mark, at_least: i64) -> Option<Copied> {
        let began = Instant::now();
        if mark.is_recent(began) {
            return None;
        }
        let Some(call) = self.breaker.admit() else {
            self.observed.refused(Below::Redis);
            return None;
        };
        let answer = timeout(DEADLINE, self.shared.get(code)).await;
        let (said, link) = match answer {
            Ok(Ok(link)) => {
                call.ok();
                let link = link.filter(|link| link.version >= at_least);
                (if link.is_some() { Said::Known } else { Said::Unknown }, link)
            }
            Ok(Err(error)) => {
                call.failed();
                tracing::debug!(error = &*error as &dyn Error, "Redis was asked in vain");
                (Said::Failed, None)
            }
            Err(_) => {
                call.failed();
                (Said::Failed, None)
            }
        };
        self.observed.said(Below::Redis, said, began);
        link
    }

    pub(super) fn put(&self, code: &ShortCode, link: &Copied, began: Instant) {
        self.shared.put(code, link, began);
    }

    pub(super) fn forget(&self, codes: &[String]) {
        self.shared.forget(codes);
    }

    pub(super) fn forget_all(&self) {
        self.shared.forget_all();
    }
}
