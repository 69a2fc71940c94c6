//! The database as a tier: the last one, which alone can say that a code does not exist.
//!
//! Promised: a visitor waits for it no longer than [`DEADLINE`], and no longer than [`DEADLINE_WITH_COPY`] where there is something else
//! to answer with; while it does not answer it is asked by one visitor at a time, at a pace; what is asked again after a failure is a
//! tenth of what is asked.

use std::time::Duration;

use futures_util::future::BoxFuture;
use knurl_core::{Link, ShortCode};
use knurl_store::StoreError;
use tokio::time::timeout;

use super::{clock, tiers::Observed};
use crate::{
    breaker::{Breaker, RetryBudget, Rules, State},
    telemetry::{
        dependencies::Dependency,
        scope,
        tiers::{Below, Said},
    },
};

/// A database that has not answered a point read in this time is unavailable to the visitor who waits.
pub(super) const DEADLINE: Duration = Duration::from_secs(1);
/// Many times what it takes when all is well. The copy is outdated at worst by what the feed could not bring meanwhile.
const DEADLINE_WITH_COPY: Duration = Duration::from_millis(250);
/// Between two probes at most: who asks for a link that only the database knows is refused that long after it is back.
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) type Load = dyn Fn(ShortCode) -> BoxFuture<'static, Result<Option<Link>, StoreError>> + Send + Sync;

pub(super) struct Database {
    load: Box<Load>,
    breaker: Breaker,
    budget: RetryBudget,
    observed: Observed,
}

/// Nobody was asked: the last ones who were got no answer.
#[derive(Debug, thiserror::Error)]
#[error("the database does not answer and is not asked for a moment")]
struct GivenUp;

/// It did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the database did not answer within {0:?}")]
struct TooSlow(Duration);

impl Database {
    pub(super) fn new(load: Box<Load>, observed: Observed) -> Self {
        observed.watch(Below::Database);
        let rules = Rules { pause_max: PAUSE_MAX, ..Rules::default() };
        Self { load, breaker: observed.breaker(Dependency::Database, rules), budget: RetryBudget::default(), observed }
    }

    pub(super) async fn ask(&self, code: &ShortCode, has_copy: bool) -> Result<Option<Link>, StoreError> {
        let Some(call) = self.breaker.admit() else {
            self.observed.refused(Below::Database);
            return Err(StoreError::Unavailable(Box::new(GivenUp)));
        };
        self.budget.request();
        let mut part = scope::part("resolve database");
        let deadline = if has_copy { DEADLINE_WITH_COPY } else { DEADLINE };
        let began = clock();
        let answer = match timeout(deadline, self.load(code)).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Unavailable(Box::new(TooSlow(deadline)))),
        };
        let said = match &answer {
            Ok(link) => {
                call.ok();
                if link.is_some() { Said::Known } else { Said::Unknown }
            }
            Err(error) => {
                // What is damaged, or our own mistake, is an answer all the same.
                if error.is_transient() {
                    call.failed();
                } else {
                    call.ok();
                }
                self.observed.metrics.store.failed(error);
                Said::Failed
            }
        };
        part.said(said.name());
        self.observed.said(Below::Database, said, began);
        answer
    }

    /// Somebody else has had an answer from it: a breaker that is open needs no visitor to find that out, while others are refused.
    pub(super) fn answered(&self) {
        if self.breaker.state() != State::Closed
            && let Some(probe) = self.breaker.admit()
        {
            probe.ok();
        }
    }

    pub(super) fn measure(&self) {
        self.observed.metrics.tiers.budget.set(u64::from(self.budget.saved()));
    }

    /// Once more where a connection broke, as long as such failures are few.
    async fn load(&self, code: &ShortCode) -> Result<Option<Link>, StoreError> {
        match (self.load)(code.clone()).await {
            Err(StoreError::Unavailable(_)) if self.breaker.state() == State::Closed && self.budget.retry() => {
                self.observed.metrics.tiers.retries.inc();
                (self.load)(code.clone()).await
            }
            answer => answer,
        }
    }
}
