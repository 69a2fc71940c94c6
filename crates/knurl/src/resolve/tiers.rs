//! The tiers below memory, in their order: the replica on this node's disk, Redis, the database.
//!
//! Promised: a tier that cannot be asked is as if it were not there, but for the database, which alone can say that a code does not
//! exist: without it there is what the replica once knew, or an error.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use knurl_core::{Link, LinkId, ShortCode, link::DEFAULT_DOMAIN};
use knurl_store::{
    Store, StoreError,
    replica::{Facts, Replica},
};

use super::{
    Resolved,
    copies::{Copies, Copy, Replicated},
    database::{Database, Load},
    marks::Mark,
    shared::{Looked, SharedLinks, SharedTier},
};
use crate::{
    breaker::{Breaker, Rules},
    telemetry::{
        Metrics,
        dependencies::Dependency,
        redirects::Tier,
        tiers::{Below as Name, Said},
    },
};

/// One state of a link, as tiers hand it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub id: LinkId,
    pub version: i64,
    pub facts: Facts,
}

impl From<Link> for Copied {
    fn from(link: Link) -> Self {
        let Link { id, version, target, is_active, status, owner, expires_at, .. } = link;
        Self { id, version, facts: Facts { target, is_active, status, owner, expires_at } }
    }
}

/// What a resolver resolves from.
pub struct Tiers {
    pub replica: Option<Replica>,
    pub shared: Option<Arc<dyn SharedLinks>>,
    pub database: Arc<dyn Store>,
}

impl std::fmt::Debug for Tiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tiers")
            .field("replica", &self.replica.is_some())
            .field("shared", &self.shared.is_some())
            .finish_non_exhaustive()
    }
}

/// A link (`None`: there is none) and where it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) link: Option<Resolved>,
    pub(super) tier: Tier,
}

/// Nothing is known for sure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// What the replica once knew: a link, or that it was deleted.
    pub(super) doubtful: Option<Option<Resolved>>,
}

pub(super) struct Below {
    replica: Option<Replicated>,
    shared: Option<SharedTier>,
    database: Database,
}

impl Below {
    pub(super) fn new(tiers: Tiers, metrics: &Arc<Metrics>) -> Self {
        let Tiers { replica, shared, database } = tiers;
        let load = move |code: ShortCode| -> futures_util::future::BoxFuture<'static, _> {
            let database = Arc::clone(&database);
            Box::pin(async move { database.link_by_code(DEFAULT_DOMAIN, &code).await })
        };
        Self::of(replica.map(|replica| Box::new(replica) as Box<dyn Copies>), shared, Box::new(load), metrics)
    }

    pub(super) fn of(
        copies: Option<Box<dyn Copies>>,
        shared: Option<Arc<dyn SharedLinks>>,
        load: Box<Load>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let observed = Observed { metrics: Arc::clone(metrics) };
        Self {
            replica: copies.map(|copies| Replicated::new(copies, observed.clone())),
            shared: shared.map(|shared| SharedTier::new(shared, observed.clone())),
            database: Database::new(load, observed),
        }
    }

    /// `mark`: as it was before anything was asked.
    pub(super) async fn find(&self, code: &ShortCode, mark: Mark) -> Result<Found, Failure> {
        let (doubtful, version) = match self.copy(code, mark).await {
            Copy::Sure(link) => return Ok(Found { link, tier: Tier::Replica }),
            Copy::Doubtful(link, version) => (Some(link), version),
            Copy::Unknown => (None, i64::MIN),
        };
        let leave = match &self.shared {
            None => None,
            Some(shared) => match shared.ask(code, mark, version).await {
                Looked::Miss(leave) => leave,
                Looked::Hit(link) => match Resolved::of(&link) {
                    Ok(link) => return Ok(Found { link: Some(link), tier: Tier::Redis }),
                    Err(_) => None,
                },
            },
        };
        let link = match self.database.ask(code, doubtful.is_some()).await {
            Ok(None) => return Ok(Found { link: None, tier: Tier::Database }),
            Ok(Some(link)) => Copied::from(link),
            Err(error) => return Err(Failure { error, doubtful }),
        };
        let resolved = match Resolved::of(&link) {
            Ok(resolved) => resolved,
            Err(error) => return Err(Failure { error, doubtful }),
        };
        if let Some(leave) = leave {
            leave(link);
        }
        Ok(Found { link: Some(resolved), tier: Tier::Database })
    }

    /// The replica alone.
    pub(super) async fn copy(&self, code: &ShortCode, mark: Mark) -> Copy {
        match &self.replica {
            Some(replica) => replica.ask(code, mark).await,
            None => Copy::Unknown,
        }
    }

    pub(super) fn measure(&self) {
        if let Some(replica) = &self.replica {
            replica.measure();
        }
        self.database.measure();
    }

    pub(super) fn database_answered(&self) {
        self.database.answered();
    }

    pub(super) fn shared(&self) -> Option<&SharedTier> {
        self.shared.as_ref()
    }
}

/// Counts what a tier says.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) metrics: Arc<Metrics>,
}

impl Observed {
    pub(super) fn watch(&self, tier: Name) {
        self.metrics.tiers.watch(tier);
    }

    pub(super) fn breaker(&self, dependency: Dependency, rules: Rules) -> Breaker {
        Breaker::new(dependency, rules, Arc::clone(&self.metrics))
    }

    pub(super) fn said(&self, tier: Name, said: Said, began: Instant) {
        self.metrics.tiers.asked(tier, said, began.elapsed());
    }

    pub(super) fn refused(&self, tier: Name) {
        self.metrics.tiers.asked(tier, Said::Refused, Duration::ZERO);
    }
}
