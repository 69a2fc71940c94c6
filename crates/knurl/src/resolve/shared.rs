//! The cache that all nodes share, as a tier: Redis.
//!
//! Promised: without it nothing is missing but speed. Refused: what it says of a link in an older version than this node has heard of,
//! and of one that was changed a moment ago to a version nobody has told: it may not have been forgotten there yet.
//!
//! Deadline and breaker are [`crate::redis`]'s own, which has other callers too; so is the proof that what was looked up before a change is
//! not put there after it.

use std::sync::Arc;

use futures_util::{StreamExt, future::BoxFuture, stream};
use knurl_core::{ShortCode, link::DEFAULT_DOMAIN};
use knurl_store::replica::follow::Changed;

use super::{
    clock,
    marks::Mark,
    tiers::{Copied, Observed},
};
use crate::{
    redis::{
        CachedLink, Links,
        links::{self, Tell},
    },
    telemetry::{
        scope,
        tiers::{Below, Said},
    },
};

/// Changes told one by one; after more of them at once this node does not believe what was there before.
const FORGOTTEN_MAX: usize = 256;
/// Of those, under way at a time.
const FORGETTING: usize = 16;

/// What it holds of a code.
pub enum Looked {
    Hit(Copied),
    /// With leave to put there what the database says now, where there is use in that.
    Miss(Option<Leave>),
}

/// Never waits; what it hands over may be lost.
pub type Leave = Box<dyn FnOnce(Copied) + Send>;

impl std::fmt::Debug for Looked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hit(link) => f.debug_tuple("Hit").field(link).finish(),
            Self::Miss(leave) => f.debug_tuple("Miss").field(&leave.is_some()).finish(),
        }
    }
}

/// A cache of links that all nodes share. It may forget anything at any time; it holds nothing about codes that do not exist.
pub trait SharedLinks: Send + Sync + 'static {
    /// `None`: it could not be asked.
    fn get<'a>(&'a self, code: &'a ShortCode) -> BoxFuture<'a, Option<Looked>>;
    /// Never waits. Whether it was this process that made the change says `here`: then others are told.
    fn forget(&self, changed: &[Changed], here: bool);
    /// This node believes nothing that is there now.
    fn distrust(&self);
}

impl SharedLinks for Links {
    fn get<'a>(&'a self, code: &'a ShortCode) -> BoxFuture<'a, Option<Looked>> {
        Box::pin(async move {
            Some(match Self::get(self, DEFAULT_DOMAIN, code).await.ok()? {
                links::Looked::Hit(CachedLink { id, version, facts }) => Looked::Hit(Copied { id, version, facts }),
                links::Looked::Miss(None) => Looked::Miss(None),
                links::Looked::Miss(Some(lease)) => {
                    let links = self.clone();
                    Looked::Miss(Some(Box::new(move |Copied { id, version, facts }| {
                        // The visitor has his answer. What is under way at once is bounded there.
                        tokio::spawn(async move {
                            let _lost = links.put(&lease, &CachedLink { id, version, facts }).await;
                        });
                    })))
                }
            })
        })
    }

    fn forget(&self, changed: &[Changed], here: bool) {
        if changed.len() > FORGOTTEN_MAX {
            return Self::distrust(self);
        }
        let tell = if here { Tell::Everybody } else { Tell::Nobody };
        // A code that cannot be asked for is not there.
        let codes = changed.iter().filter_map(|changed| Some((ShortCode::parse(&changed.code).ok()?, changed.version)));
        let (links, codes) = (self.clone(), codes.collect::<Vec<_>>());
        tokio::spawn(async move {
            stream::iter(codes)
                .for_each_concurrent(FORGETTING, |(code, version)| {
                    let links = &links;
                    // Where it fails this node does not believe what is there.
                    async move {
                        let _distrusted = links.forget(DEFAULT_DOMAIN, &code, version, tell).await;
                    }
                })
                .await;
        });
    }

    fn distrust(&self) {
        Self::distrust(self);
    }
}

pub(super) struct SharedTier {
    shared: Arc<dyn SharedLinks>,
    observed: Observed,
}

impl SharedTier {
    pub(super) fn new(shared: Arc<dyn SharedLinks>, observed: Observed) -> Self {
        observed.watch(Below::Redis);
        Self { shared, observed }
    }

    /// `at_least`: the version another tier has been seen in; an older one is not believed.
    pub(super) async fn ask(&self, code: &ShortCode, mark: Mark, at_least: i64) -> Looked {
        let mut part = scope::part("resolve redis");
        let began = clock();
        let looked = self.shared.get(code).await;
        let (said, looked) = match looked {
            None => (Said::Failed, Looked::Miss(None)),
            Some(Looked::Hit(link)) if link.version >= at_least && !mark.outdates(link.version, began) => {
                (Said::Known, Looked::Hit(link))
            }
            Some(Looked::Hit(_)) => (Said::Doubtful, Looked::Miss(None)),
            Some(miss) => (Said::Unknown, miss),
        };
        part.said(said.name());
        self.observed.said(Below::Redis, said, began);
        looked
    }

    pub(super) fn forget(&self, changed: &[Changed], here: bool) {
        self.shared.forget(changed, here);
    }

    pub(super) fn distrust(&self) {
        self.shared.distrust();
    }
}
