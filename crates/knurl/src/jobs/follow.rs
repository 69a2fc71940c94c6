//! Follows the database's changes: brings them into this node's replica, where it has one, and forgets what they make outdated.
//!
//! Promised: a look is begun as soon as the server says that links have changed, and every [`POLL`] besides; looks are [`APART`] from each
//! other however often it says so. While the database is away it is looked for at the same pace, and the log hears of it once. While it is
//! there and only its changes cannot be read, memory is not believed: nobody would tell it what to forget.

use std::{
    error::Error,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use knurl_store::{
    StoreError,
    postgres::{PostgresStore, feed::Woken},
    replica::{
        Replica,
        follow::{Follower, Forget, Next, Outdated, Source, Stepped},
    },
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::supervisor::{Job, Pause};
use crate::{resolve::Resolver, telemetry::Metrics};

/// Notifications may be lost on their way, and creates are not notified.
const POLL: Duration = Duration::from_secs(1);
/// A look costs the server some tenths of a millisecond: a stream of edits must not become a stream of looks.
const APART: Duration = Duration::from_millis(25);

/// A database that goes away takes its feed with it, a moment before it is known to be away: that is no reason to doubt memory. And each
/// time memory is not believed, all of it is looked up again.
const DEAF_MAX: Duration = Duration::from_secs(3);

/// Where changes come from, and where they go besides memory.
#[derive(Clone)]
pub struct Feeding {
    pub from: Arc<dyn Changing>,
    /// `None`: this node keeps none, and follows only to forget.
    pub replica: Option<Replica>,
}

impl fmt::Debug for Feeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeding").field("replica", &self.replica).finish_non_exhaustive()
    }
}

/// A database whose changes can be followed.
pub trait Changing: Send + Sync + 'static {
    /// One who follows them into the replica, where there is one, and says what they make outdated; and what is rung when there are some.
    fn follower(&self, replica: Option<&Replica>, forget: Forget) -> (Box<dyn Follows>, Arc<Notify>);
    /// Whether it is there, for all that is known without asking it.
    fn is_up(&self) -> bool;
}

/// A [`Follower`], whatever it reads from.
pub trait Follows: Send {
    fn step(&mut self, now: std::time::Instant) -> BoxFuture<'_, Result<Stepped, StoreError>>;
}

impl<S: Source> Follows for Follower<S> {
    fn step(&mut self, now: std::time::Instant) -> BoxFuture<'_, Result<Stepped, StoreError>> {
        Box::pin(Self::step(self, now))
    }
}

impl Feeding {
    /// From PostgreSQL's feed.
    pub fn of(postgres: PostgresStore, woken: Woken, replica: Option<Replica>) -> Self {
        Self { from: Arc::new(OfPostgres { postgres, woken }), replica }
    }
}

struct OfPostgres {
    postgres: PostgresStore,
    woken: Woken,
}

impl Changing for OfPostgres {
    fn follower(&self, replica: Option<&Replica>, forget: Forget) -> (Box<dyn Follows>, Arc<Notify>) {
        let feed = self.postgres.feed(self.woken);
        let heard = feed.heard();
        (follower(feed, replica, forget), heard)
    }

    fn is_up(&self) -> bool {
        self.postgres.is_up()
    }
}

/// Of this source.
pub fn follower<S: Source + 'static>(source: S, replica: Option<&Replica>, forget: Forget) -> Box<dyn Follows> {
    Box::new(match replica {
        Some(replica) => Follower::new(source, replica.clone(), forget),
        None => Follower::telling(source, forget),
    })
}

/// Creates are not told of: they are found by looking.
fn has_edits(outdated: &Outdated<'_>) -> bool {
    matches!(outdated, Outdated::Codes(codes) if codes.iter().any(|changed| changed.version > FIRST_VERSION))
}

/// Of a link that was never changed.
const FIRST_VERSION: i64 = 1;

pub(super) struct FollowJob {
    follower: Box<dyn Follows>,
    heard: Arc<Notify>,
    began: Option<Instant>,
    from: Arc<dyn Changing>,
    resolver: Resolver,
    metrics: Arc<Metrics>,
    /// Whether the server has told of edits since the last look.
    rung: Arc<AtomicBool>,
    /// Whether the look that goes on has found edits.
    edits: Arc<AtomicBool>,
    /// The last look found edits that nobody had told of so far.
    untold: bool,
    /// Since when changes cannot be read, or when memory was last forgotten for it; `None`: they can.
    deaf_since: Option<Instant>,
}

impl FollowJob {
    pub(super) fn new(feeding: &Feeding, resolver: Resolver, metrics: Arc<Metrics>) -> Self {
        let (told, edits) = (resolver.clone(), Arc::new(AtomicBool::new(false)));
        let found = Arc::clone(&edits);
        let forget = Box::new(move |outdated: Outdated<'_>| {
            found.fetch_or(has_edits(&outdated), Relaxed);
            told.outdated(&outdated);
        });
        let from = Arc::clone(&feeding.from);
        let (follower, heard) = from.follower(feeding.replica.as_ref(), forget);
        Self { follower, heard, began: None, from, resolver, metrics, rung: Arc::default(), edits, untold: false, deaf_since: None }
    }

    /// An edit and the news of it come on two ways: the news has until the next look. While all is compared edits are found that are no news.
    fn listen(&mut self, compares: bool) {
        let (told, found) = (self.rung.swap(false, Relaxed), self.edits.swap(false, Relaxed));
        if self.untold && !told && !compares {
            self.metrics.tiers.replica.unannounced.inc();
        }
        self.untold = found && !told && !compares;
    }

    fn done(&mut self, stepped: Stepped) -> Pause {
        self.resolver.database_answered();
        let counted = &self.metrics.tiers.replica;
        counted.rows.add(stepped.rows);
        if stepped.compares.is_some() {
            counted.comparisons.inc();
        }
        // After a look that failed the server may have told of edits while nobody listened.
        self.listen(self.deaf_since.is_some() || stepped.compares.is_some() || stepped.next == Next::Now);
        if self.deaf_since.take().is_some() {
            tracing::info!("the database's changes are followed again");
        }
        match stepped.next {
            // There is something left to copy: pages are not held apart.
            Next::Now => {
                self.began = None;
                Pause::No
            }
            Next::Later => Pause::Until(POLL),
        }
    }

    fn failed(&mut self, error: &StoreError, now: Instant) -> Pause {
        self.metrics.tiers.replica.look_errors.inc();
        if self.deaf_since.is_none() {
            tracing::warn!(
                error = error as &dyn Error,
                "the database's changes cannot be followed: links answer as this node knows them"
            );
        }
        let since = *self.deaf_since.get_or_insert(now);
        if self.from.is_up() && now.duration_since(since) >= DEAF_MAX {
            self.resolver.forget_all();
            self.deaf_since = Some(now);
        }
        Pause::For(POLL)
    }
}

impl Job for FollowJob {
    const NAME: &'static str = "follow";

    async fn step(&mut self) -> Pause {
        if let Some(began) = self.began {
            sleep_until(began + APART).await;
        }
        let now = Instant::now();
        self.began = Some(now);
        self.metrics.tiers.replica.looks.inc();
        match self.follower.step(now.into_std()).await {
            Ok(stepped) => self.done(stepped),
            Err(error) => self.failed(&error, now),
        }
    }

    fn wanted(&self) -> impl Future<Output = ()> + Send {
        // Not of `self`, which cannot be shared between threads.
        let (heard, rung) = (Arc::clone(&self.heard), Arc::clone(&self.rung));
        async move {
            heard.notified().await;
            rung.store(true, Relaxed);
        }
    }
}
