//! The replica as a tier: asked within a deadline, and believed only as far as this process cannot know better.
//!
//! Promised: what was changed through this process is never answered as it was before. Refused: "no such code" of a code it does not
//! know, however complete it is: a link may be younger than its last look.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use knurl_core::{ShortCode, link::DEFAULT_DOMAIN};
use knurl_store::replica::{Found, Replica, Trust};
use tokio::time::timeout;

use super::{
    Resolved, clock,
    marks::Mark,
    tiers::{Copied, Observed},
};
use crate::{
    breaker::{Breaker, Rules},
    telemetry::{
        dependencies::Dependency,
        scope,
        tiers::{Below, ReplicaMetrics, Said},
    },
};

/// A read from a disk that has much to do; a disk that hangs must not keep a visitor whom the database could answer.
pub(super) const DEADLINE: Duration = Duration::from_millis(500);

/// A copy of the link table.
pub(super) trait Copies: Send + Sync {
    fn link<'a>(&'a self, code: &'a ShortCode, now: Instant) -> BoxFuture<'a, Option<Found>>;
    /// When the last look at the database began that the copy has the changes of.
    fn looked_at(&self) -> Option<Instant>;
    /// Copies its sizes and its age.
    fn measure(&self, into: &ReplicaMetrics, now: Instant);
}

impl Copies for Replica {
    fn link<'a>(&'a self, code: &'a ShortCode, now: Instant) -> BoxFuture<'a, Option<Found>> {
        Box::pin(Self::link(self, DEFAULT_DOMAIN, code, now))
    }

    fn looked_at(&self) -> Option<Instant> {
        Self::looked_at(self)
    }

    fn measure(&self, into: &ReplicaMetrics, now: Instant) {
        into.links.set(self.links());
        into.complete.set(u64::from(self.is_complete()));
        into.compared.set(u64::from(self.is_compared()));
        into.failures.set(self.failures());
        let age = Self::looked_at(self).map(|at| now.saturating_duration_since(at).as_millis());
        into.age_ms.set(age.map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(u64::MAX)));
    }
}

/// What the copy says of a code; a link of `None` is deleted.
#[derive(Debug)]
pub(super) enum Copy {
    Sure(Option<Resolved>),
    /// As it once was, in this version.
    Doubtful(Option<Resolved>, i64),
    Unknown,
}

pub(super) struct Replicated {
    copies: Box<dyn Copies>,
    breaker: Breaker,
    observed: Observed,
}

impl Replicated {
    pub(super) fn new(copies: Box<dyn Copies>, observed: Observed) -> Self {
        observed.watch(Below::Replica);
        observed.metrics.tiers.replica.watch();
        Self { copies, breaker: observed.breaker(Dependency::Replica, Rules::default()), observed }
    }

    pub(super) fn measure(&self) {
        self.copies.measure(&self.observed.metrics.tiers.replica, clock());
    }

    pub(super) async fn ask(&self, code: &ShortCode, mark: Mark) -> Copy {
        let Some(call) = self.breaker.admit() else {
            self.observed.refused(Below::Replica);
            return Copy::Unknown;
        };
        let mut part = scope::part("resolve replica");
        let began = clock();
        // Before the row is read: a look that ends meanwhile says nothing of it.
        let looked_at = self.copies.looked_at();
        let Ok(found) = timeout(DEADLINE, self.copies.link(code, began)).await else {
            call.failed();
            part.said(Said::Failed.name());
            self.observed.said(Below::Replica, Said::Failed, began);
            return Copy::Unknown;
        };
        call.ok();
        let judged = found.map_or(Copy::Unknown, |found| judge(found, mark, looked_at));
        let said = match &judged {
            Copy::Sure(_) => Said::Known,
            Copy::Doubtful(..) => Said::Doubtful,
            Copy::Unknown => Said::Unknown,
        };
        part.said(said.name());
        self.observed.said(Below::Replica, said, began);
        judged
    }
}

fn judge(found: Found, mark: Mark, looked_at: Option<Instant>) -> Copy {
    let Found { id, version, facts, trust } = found;
    let unseen = |changed: Option<Instant>| changed.is_some_and(|at| looked_at.is_none_or(|looked| looked <= at));
    if mark.precedes_here(version) && unseen(mark.here) {
        return Copy::Unknown;
    }
    let link = match facts.map(|facts| Resolved::of(&Copied { id, version, facts })) {
        None => None,
        Some(Ok(link)) => Some(link),
        // Only the database can say what is wrong with it.
        Some(Err(_)) => return Copy::Unknown,
    };
    match trust {
        Trust::Sure if !(mark.precedes(version) && unseen(mark.perhaps_here)) => Copy::Sure(link),
        _ => Copy::Doubtful(link, version),
    }
}
