//! What all nodes share: the database with its transactions and what can happen on the way to it.
//!
//! The rows are in the real embedded store. What PostgreSQL adds is a model: transactions that are numbered when they begin and seen when
//! they commit, in any order; a feed of changed links by those numbers; notifications. So are its failures.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use knurl_core::Link;
use knurl_spool::sim::Dice;
use knurl_store::{
    StoreError,
    replica::{Facts, LinkCopy, State},
    sqlite::SqliteStore,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{
    books::{Books, Shown},
    broken::Broken,
    lockstep::{NOBODY, Spawner, at_once},
    trace::{Trace, note},
};

/// Who asks a database that says nothing gives up after this long: a statement's deadline.
const SILENT_MAX: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, StoreError>;

/// How a database that cannot be reached shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Away {
    Refuses,
    Hangs,
}

/// In percent, or in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) away: Option<Away>,
    pub(crate) apart: BTreeMap<usize, Away>,
    pub(crate) slow_ms: u64,
    pub(crate) requests_lost: u64,
    pub(crate) replies_lost: u64,
    pub(crate) notices_lost: u64,
    pub(crate) notices_doubled: u64,
}

impl Faults {
    pub(crate) fn away(&self, node: usize) -> Option<Away> {
        self.away.or_else(|| self.apart.get(&node).copied())
    }

    /// Whether a node can expect what was promised.
    pub(crate) fn is_well(&self, node: usize) -> bool {
        self.away(node).is_none() && self.slow_ms == 0 && self.requests_lost == 0 && self.replies_lost == 0
    }
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) sqlite: SqliteStore,
    pub(crate) books: Books,
    pub(crate) trace: Trace,
    pub(crate) spawner: Spawner,
    pub(crate) broken: Option<Broken>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    dice: Dice,
    faults: Faults,
    next_xid: u64,
    open: BTreeSet<u64>,
    /// By id: the transaction that changed the link last, and what it has become.
    links: BTreeMap<i64, (u64, LinkCopy)>,
    /// What they were before that.
    former: BTreeMap<i64, State>,
    listeners: BTreeMap<usize, Arc<Notify>>,
    edits: u64,
}

/// The links as one moment shows them.
#[derive(Clone)]
pub(crate) struct Moment {
    /// `xmin:xmax:open,…`
    pub(crate) snapshot: String,
    pub(crate) links: BTreeMap<i64, (u64, LinkCopy)>,
}

impl World {
    pub(crate) fn new(sqlite: SqliteStore, seed: u64, trace: &Trace, spawner: Spawner, broken: Option<Broken>) -> Self {
        let inner = Inner {
            dice: Dice::new(seed),
            faults: Faults::default(),
            next_xid: 100,
            open: BTreeSet::new(),
            links: BTreeMap::new(),
            former: BTreeMap::new(),
            listeners: BTreeMap::new(),
            edits: 0,
        };
        let books = Books::new(trace);
        Self { sqlite, books, trace: trace.clone(), spawner, broken, inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn with_faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.inner().faults)
    }

    pub(crate) fn roll(&self, below: u64) -> u64 {
        self.inner().dice.below(below)
    }

    /// Whether the node's connections stand, for all it knows.
    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.inner().faults.away(node).is_none()
    }

    pub(crate) fn edits(&self) -> u64 {
        self.inner().edits
    }

    // -- the way there and back -------------------------------------------------------------------------------------------------

    /// A request is on its way.
    pub(crate) async fn arrive(&self, node: usize) -> Result<()> {
        let (ms, is_lost) = self.way(|faults| faults.requests_lost);
        sleep(ms).await;
        let since = Instant::now();
        loop {
            let away = self.inner().faults.away(node);
            match away {
                None if is_lost => return Err(gone("the connection broke")),
                None => return Ok(()),
                Some(Away::Refuses) => return Err(gone("refused")),
                Some(Away::Hangs) if since.elapsed() >= SILENT_MAX => return Err(gone("no answer")),
                Some(Away::Hangs) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The reply is on its way.
    pub(crate) async fn depart(&self, node: usize) -> Result<()> {
        let (ms, is_lost) = self.way(|faults| faults.replies_lost);
        sleep(ms).await;
        if is_lost || self.inner().faults.away(node).is_some() {
            return Err(gone("the reply was lost"));
        }
        Ok(())
    }

    fn way(&self, lost: impl Fn(&Faults) -> u64) -> (Duration, bool) {
        let mut inner = self.inner();
        let most = 3 + inner.faults.slow_ms;
        let percent = lost(&inner.faults);
        (Duration::from_millis(inner.dice.below(most + 1)), inner.dice.chance(percent))
    }

    pub(crate) async fn read<T>(&self, node: usize, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.arrive(node).await?;
        let done = at_once(work);
        self.depart(node).await?;
        done
    }

    /// One transaction. Who leaves before its end leaves it undone, who leaves after, done. `then` is of the same moment as its commit.
    pub(crate) async fn write<T>(
        &self,
        node: usize,
        work: impl Future<Output = Result<T>>,
        then: impl FnOnce(u64, &T),
    ) -> Result<T> {
        self.arrive(node).await?;
        let open = Open::begin(self);
        let ms = self.inner().dice.below(20);
        sleep(Duration::from_millis(ms)).await;
        let done = at_once(work);
        if let Ok(done) = &done {
            then(open.xid, done);
        }
        drop(open);
        self.depart(node).await?;
        done
    }

    // -- links ------------------------------------------------------------------------------------------------------------------

    /// To be called where a transaction that changed it commits.
    pub(crate) fn committed(&self, xid: u64, link: &Link) {
        let is_deleted = link.deleted_at.is_some();
        let shown = match is_deleted {
            true => Shown::Nothing,
            false => Shown::Link { target: link.target.as_str().to_owned(), is_active: link.is_active },
        };
        note!(self.trace, "committed {} version {} as {xid}", link.short_code.as_str(), link.version);
        self.books.committed(link.short_code.as_str(), link.version, shown);
        let facts = Facts {
            target: link.target.clone(),
            is_active: link.is_active,
            status: link.status,
            owner: link.owner,
            expires_at: link.expires_at,
        };
        let copy = LinkCopy {
            id: link.id,
            domain: link.domain.clone(),
            short_code: link.short_code.as_str().to_owned(),
            twin: 0,
            version: link.version,
            state: if is_deleted { State::Deleted } else { State::Link(facts) },
        };
        let mut inner = self.inner();
        if let Some((_, former)) = inner.links.insert(link.id.0, (xid, copy)) {
            inner.former.insert(link.id.0, former.state);
        }
        if link.version > 1 {
            inner.edits += 1;
            let listeners: Vec<_> = inner.listeners.iter().map(|(node, heard)| (*node, Arc::clone(heard))).collect();
            for (node, heard) in listeners {
                self.notify(&mut inner, node, &heard);
            }
        }
    }

    fn notify(&self, inner: &mut Inner, node: usize, heard: &Arc<Notify>) {
        let is_silent = self.broken == Some(Broken::NoticesAreSilent);
        let is_lost = {
            let percent = inner.faults.notices_lost;
            inner.dice.chance(percent)
        };
        if is_silent || is_lost || inner.faults.away(node).is_some() {
            return;
        }
        let times = 1 + u64::from(inner.dice.chance(inner.faults.notices_doubled));
        for _ in 0..times {
            let (heard, ms) = (Arc::clone(heard), inner.dice.below(30));
            self.spawner.spawn_in_place(NOBODY, async move {
                sleep(Duration::from_millis(ms)).await;
                heard.notify_one();
            });
        }
    }

    /// The node listens from now on, and its listener before does not.
    pub(crate) fn listen(&self, node: usize) -> Arc<Notify> {
        let heard = Arc::<Notify>::default();
        self.inner().listeners.insert(node, Arc::clone(&heard));
        heard
    }

    pub(crate) fn moment(&self) -> Moment {
        let inner = self.inner();
        let open: Vec<String> = match self.broken {
            Some(Broken::FeedMissesLateCommits) => Vec::new(),
            _ => inner.open.iter().map(u64::to_string).collect(),
        };
        let xmin = inner.open.first().copied().unwrap_or(inner.next_xid);
        Moment { snapshot: format!("{xmin}:{}:{}", inner.next_xid, open.join(",")), links: inner.links.clone() }
    }

    pub(crate) fn links_now(&self) -> BTreeMap<i64, (u64, LinkCopy)> {
        self.inner().links.clone()
    }

    pub(crate) fn former(&self, id: i64) -> Option<State> {
        self.inner().former.get(&id).cloned()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction that has begun.
struct Open<'a> {
    world: &'a World,
    xid: u64,
}

impl<'a> Open<'a> {
    fn begin(world: &'a World) -> Self {
        let mut inner = world.inner();
        let xid = inner.next_xid;
        inner.next_xid += 1;
        inner.open.insert(xid);
        Self { world, xid }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.world.inner().open.remove(&self.xid);
    }
}

pub(crate) fn gone(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}
