//! Follows the database's changes: brings them into this node's replica, where it has one, and forgets what they make outdated.
//!
//! Promised: a look is begun as soon as the server says that links have changed, and every [`POLL`] besides; looks are [`APART`] from each
//! other however often it says so. While the database is away it is looked for at the same pace, and the log hears of it once. While it is
//! there and only its changes cannot be read, by a look that fails or by one that does not end, memory is not believed from [`DEAF_MAX`] after
//! the last good look on: nobody would tell it what to forget.

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
        FRESH_MAX, Replica,
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
/// time memory is not believed, all of it is looked up again. Within the five seconds in which an edit is seen, and as long as the replica is taken
/// for current.
const DEAF_MAX: Duration = FRESH_MAX;

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
    /// Changes could not be read by the last look.
    is_deaf: bool,
    /// Memory knows of every change until then: the last good look began, or memory was forgotten.
    known_at: Instant,
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
        Self {
            follower,
            heard,
            began: None,
            from,
            resolver,
            metrics,
            rung: Arc::default(),
            edits,
            untold: false,
            is_deaf: false,
            known_at: Instant::now(),
        }
    }

    /// An edit and the news of it come on two ways: the news has until the next look. While all is compared edits are found that are no news.
    fn listen(&mut self, compares: bool) {
        let (told, found) = (self.rung.swap(false, Relaxed), self.edits.swap(false, Relaxed));
        if self.untold && !told && !compares {
            self.metrics.tiers.replica.unannounced.inc();
        }
        self.untold = found && !told && !compares;
    }

    fn done(&mut self, stepped: Stepped, began: Instant) -> Pause {
        self.known_at = self.known_at.max(began);
        self.resolver.database_answered();
        let counted = &self.metrics.tiers.replica;
        counted.rows.add(stepped.rows);
        if stepped.compares.is_some() {
            counted.comparisons.inc();
        }
        // After a look that failed the server may have told of edits while nobody listened.
        self.listen(self.is_deaf || stepped.compares.is_some() || stepped.next == Next::Now);
        if std::mem::take(&mut self.is_deaf) {
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

    fn failed(&mut self, error: &StoreError) -> Pause {
        self.metrics.tiers.replica.look_errors.inc();
        let now = Instant::now();
        if now >= self.known_at + DEAF_MAX {
            doubt(&*self.from, &self.resolver, &mut self.known_at, now);
        }
        if std::mem::replace(&mut self.is_deaf, true) {
            return Pause::For(POLL);
        }
        tracing::warn!(
            error = error as &dyn Error,
            "the database's changes cannot be followed: links answer as this node knows them"
        );
        // Most often a connection that was cut: the next look has another.
        if self.from.is_up() { Pause::No } else { Pause::For(POLL) }
    }

    /// However long it takes, memory is not believed longer than it may be.
    async fn look(&mut self, now: Instant) -> Result<Stepped, StoreError> {
        let mut looking = self.follower.step(now.into_std());
        let mut doubted_at = self.known_at + DEAF_MAX;
        loop {
            tokio::select! {
                biased;
                looked = &mut looking => return looked,
                () = sleep_until(doubted_at) => {
                    let now = Instant::now();
                    doubt(&*self.from, &self.resolver, &mut self.known_at, now);
                    doubted_at = (self.known_at + DEAF_MAX).max(now + POLL);
                }
            }
        }
    }
}

/// Nobody has told of changes for too long, and there may be some: the database is there.
fn doubt(from: &dyn Changing, resolver: &Resolver, known_at: &mut Instant, now: Instant) {
    if from.is_up() {
        resolver.forget_all();
        *known_at = now;
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
        match self.look(now).await {
            Ok(stepped) => self.done(stepped, now),
            Err(error) => self.failed(&error),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::jobs::supervisor;

    /// Looks well so often, and then as it is told.
    struct Then {
        good: u32,
        hangs_for: Duration,
    }

    impl Follows for Then {
        fn step(&mut self, _: std::time::Instant) -> BoxFuture<'_, Result<Stepped, StoreError>> {
            Box::pin(async move {
                if self.good > 0 {
                    self.good -= 1;
                    return Ok(Stepped { next: Next::Later, rows: 0, compares: None });
                }
                tokio::time::sleep(self.hangs_for).await;
                Err(StoreError::Unavailable("the look failed".into()))
            })
        }
    }

    #[derive(Default)]
    struct From {
        is_away: AtomicBool,
        hangs_for_ms: AtomicU32,
    }

    impl Changing for From {
        fn follower(&self, _: Option<&Replica>, _: Forget) -> (Box<dyn Follows>, Arc<Notify>) {
            let hangs_for = Duration::from_millis(self.hangs_for_ms.load(Relaxed).into());
            (Box::new(Then { good: 2, hangs_for }), Arc::default())
        }

        fn is_up(&self) -> bool {
            !self.is_away.load(Relaxed)
        }
    }

    /// The last good look begins after a second; how often memory was forgotten at the moments given after it.
    async fn forgotten(from: From, moments_ms: &[u64]) -> Vec<u64> {
        let dir = tempfile::tempdir().unwrap();
        let store = knurl_store::sqlite::SqliteStore::open(&dir.path().join("knurl.db"), &Default::default()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let resolver = Resolver::counting(Arc::new(store), &crate::config::Config::default().cache, Arc::clone(&metrics));
        let (feeding, counted) = (Feeding { from: Arc::new(from), replica: None }, Arc::clone(&metrics));
        let job =
            supervisor::prepare(move || FollowJob::new(&feeding, resolver.clone(), Arc::clone(&counted)), Arc::clone(&metrics));
        let _running = job.start();
        let began = Instant::now() + POLL;
        let mut seen = Vec::new();
        for ms in moments_ms {
            sleep_until(began + Duration::from_millis(*ms)).await;
            seen.push(metrics.cache.forgotten.get());
        }
        seen
    }

    /// Before a server that went away with its feed is known to be away; in time for the five seconds; and not all the time.
    const MOMENTS_MS: [u64; 4] = [3_500, 4_999, 7_900, 9_999];

    #[tokio::test(start_paused = true)]
    async fn whatever_becomes_of_the_looks_no_edit_is_unseen_for_five_seconds() {
        for hangs_for_ms in [0, 700, 1_990, 2_000, 2_990, 3_000, 3_500, 5_500, 600_000] {
            let from = From { hangs_for_ms: hangs_for_ms.into(), ..From::default() };
            assert_eq!(forgotten(from, &MOMENTS_MS).await, [0, 1, 1, 2], "looks that fail after {hangs_for_ms} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_away_is_no_reason_to_doubt_memory() {
        for hangs_for_ms in [0, 600_000] {
            let from = From { is_away: true.into(), hangs_for_ms: hangs_for_ms.into() };
            assert_eq!(forgotten(from, &MOMENTS_MS).await, [0; 4]);
        }
    }
}
