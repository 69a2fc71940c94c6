//! The connections: some shared by point reads, some lent to one caller at a time, and one that feels the server's pulse.
//!
//! Promised: nobody waits for a server that is known to be away: calls fail at once, and only the pulse tries to reach it, at a pace. A
//! server that hangs is found out after `hung_after`; then all its connections are cut, and whoever waited on one is told. Creates are told
//! much sooner, as soon as it answers nobody ([`Pool::unless_silent`]): a guess on which no connection is cut.
//! Bounded: connections, callers that wait for one, and how long they wait. Those who may wait on a connection for a row that somebody holds
//! ([`Pool::editor`]) have half of the writers at most: however long it is held, creates and deliveries go on.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    connection::{Connection, Connector, Cutter},
    failure::{closed, says_away, says_refused, unavailable},
    options::PostgresOptions,
    pulse,
};
use crate::{StoreError, store::Result};

/// A create that waits so long for its answer has the server asked whether it answers at all. With [`pulse`]'s patience it is what a create
/// waits at most for a server that has begun to hang: a quarter of a second. Those after it are refused at once.
const DOUBT_AFTER: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Pool {
    inner: Arc<Inner>,
    pulse: AbortHandle,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) connector: Connector,
    pub(super) options: PostgresOptions,
    shared: Vec<Shared>,
    next: AtomicUsize,
    writers: Arc<Shelf>,
    edits: Gate,
    searches: Gate,
    long: Arc<Shelf>,
    reach: watch::Sender<Reach>,
    /// Rings where a connection failed as one does whose server goes away: the pulse looks at once.
    pub(super) alarm: Notify,
    /// Rings where a create waits for its answer: the pulse finds out whether the server answers anybody.
    pub(super) doubt: Notify,
    /// The server owes answers and gives none to anybody, for longer than it ever took lately. Not yet given up.
    silent: watch::Sender<bool>,
    /// Every connection there is, to be cut when the server hangs.
    all: Mutex<Vec<Cutter>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Up,
    Away,
    Closed,
}

/// A connection that many use at a time.
#[derive(Debug, Default)]
struct Shared {
    current: Mutex<Option<Arc<Connection>>>,
    opening: tokio::sync::Mutex<()>,
}

/// So many at once, and so many who wait.
#[derive(Debug)]
struct Gate {
    permits: Arc<Semaphore>,
    max: u32,
    waiting: AtomicUsize,
}

impl Gate {
    fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { permits: Arc::new(Semaphore::new(max)), max: max as u32, waiting: AtomicUsize::new(0) }
    }
}

/// Connections that are lent to one caller at a time.
#[derive(Debug)]
struct Shelf {
    idle: Mutex<Vec<Connection>>,
    gate: Gate,
    statement_time: Duration,
}

impl Shelf {
    fn new(lent_max: usize, statement_time: Duration) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), gate: Gate::new(lent_max), statement_time })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        // The ones that were cut while they lay there go, too.
        std::iter::from_fn(|| idle.pop()).find(Connection::is_usable)
    }

    /// One that is open and that nobody uses.
    fn lend_idle(self: &Arc<Self>) -> Option<Lent> {
        let permit = self.gate.permits.clone().try_acquire_owned().ok()?;
        Some(Lent { connection: Some(self.take_idle()?), shelf: self.clone(), _permits: [Some(permit), None] })
    }
}

impl Pool {
    /// `reach` is what the caller has found: the pulse goes on from there.
    pub(super) fn start(options: &PostgresOptions, connector: Connector, reach: Reach) -> Self {
        let inner = Arc::new(Inner {
            connector,
            options: options.clone(),
            shared: (0..options.shared_readers.max(1)).map(|_| Shared::default()).collect(),
            next: AtomicUsize::new(0),
            writers: Shelf::new(options.writers, options.call_timeout),
            edits: Gate::new(options.writers / 2),
            searches: Gate::new(options.long_readers / 2),
            long: Shelf::new(options.long_readers, options.long_timeout),
            reach: watch::Sender::new(reach),
            alarm: Notify::new(),
            doubt: Notify::new(),
            silent: watch::Sender::new(false),
            all: Mutex::default(),
        });
        let pulse = tokio::spawn(pulse::run(inner.clone(), reach == Reach::Up)).abort_handle();
        Self { inner, pulse }
    }

    pub(super) fn node(&self) -> &str {
        &self.inner.connector.node
    }

    pub(super) fn lock_timeout(&self) -> Duration {
        self.inner.options.lock_timeout
    }

    pub(super) fn hung_after(&self) -> Duration {
        self.inner.options.hung_after
    }

    pub(super) fn is_up(&self) -> bool {
        *self.inner.reach.borrow() == Reach::Up
    }

    /// A connection that others use at the same time: for reads of a few rows by key.
    pub(super) async fn shared(&self) -> Result<Arc<Connection>> {
        self.inner.refuse_unless_up()?;
        let slot = &self.inner.shared[self.inner.next.fetch_add(1, Ordering::Relaxed) % self.inner.shared.len()];
        if let Some(connection) = slot.usable() {
            return Ok(connection);
        }
        let opened = self.inner.while_up(self.inner.options.call_timeout, async {
            let _opening = slot.opening.lock().await;
            if let Some(connection) = slot.usable() {
                return Ok(connection);
            }
            let connection = Arc::new(self.inner.open(self.inner.options.call_timeout).await?);
            *lock(&slot.current) = Some(connection.clone());
            Ok(connection)
        });
        match opened.await {
            // It would not have one more of us: those that are open serve all.
            Err(refusal) if says_refused(&refusal) => self.inner.shared.iter().find_map(Shared::usable).ok_or(refusal),
            opened => opened,
        }
    }

    /// For a transaction that waits for nobody, or for those alone who wait for nobody.
    pub(super) async fn writer(&self) -> Result<Lent> {
        self.inner.lend(&self.inner.writers, self.inner.options.call_timeout).await
    }

    /// For a transaction that may wait for a lock as long as locks are waited for. Never all of the writers.
    pub(super) async fn editor(&self) -> Result<Lent> {
        self.lend_of(&self.inner.edits, &self.inner.writers).await
    }

    async fn lend_of(&self, gate: &Gate, shelf: &Arc<Shelf>) -> Result<Lent> {
        let (began, limit) = (Instant::now(), self.inner.options.call_timeout);
        self.inner.refuse_unless_up()?;
        let place = self.inner.enter(gate, limit).await?;
        let mut lent = self.inner.lend(shelf, limit.saturating_sub(began.elapsed())).await?;
        lent._permits[1] = Some(place);
        Ok(lent)
    }

    /// For a read that scans every time, and is part of something that is done often. Never all of the long readers.
    pub(super) async fn searcher(&self) -> Result<Lent> {
        self.lend_of(&self.inner.searches, &self.inner.long).await
    }

    /// For a read that may scan.
    pub(super) async fn long(&self) -> Result<Lent> {
        self.inner.lend(&self.inner.long, self.inner.options.call_timeout).await
    }

    /// Whether `call` ends before the server falls silent; `None` also at once where it is.
    pub(super) async fn unless_silent<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut silent = self.inner.silent.subscribe();
        tokio::select! {
            biased;
            // Its sender is ours: it does not go.
            _ = silent.wait_for(|silent| *silent) => None,
            done = call => Some(done),
        }
    }

    /// The longer this call takes, the more doubtful it is whether the server answers anybody.
    pub(super) async fn doubting<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        loop {
            match timeout(DOUBT_AFTER, &mut call).await {
                Ok(done) => return done,
                Err(_) => self.inner.doubt.notify_one(),
            }
        }
    }

    /// A connection of the caller's own: it says when it is done with it. `heard` is rung by every notification.
    pub(super) async fn own(&self, heard: &Arc<Notify>) -> Result<Connection> {
        self.inner.refuse_unless_up()?;
        let time = self.inner.options.call_timeout;
        self.inner.while_up(time, self.inner.open_hearing(time, heard)).await
    }

    /// Waits, as long as a call may take, for what is under way; then closes every connection.
    pub(super) async fn close(&self) {
        let finished = async {
            for shelf in [&self.inner.writers, &self.inner.long] {
                drop(shelf.gate.permits.acquire_many(shelf.gate.max).await);
            }
        };
        let told = self.inner.reach.send_if_modified(|reach| std::mem::replace(reach, Reach::Closed) != Reach::Closed);
        if told && timeout(self.inner.options.call_timeout, finished).await.is_err() {
            tracing::warn!("some calls to PostgreSQL were still under way and are cut off");
        }
        self.pulse.abort();
        self.inner.edits.permits.close();
        self.inner.searches.permits.close();
        for shelf in [&self.inner.writers, &self.inner.long] {
            shelf.gate.permits.close();
            lock(&shelf.idle).clear();
        }
        self.inner.cut_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.pulse.abort();
        self.inner.cut_all();
    }
}

impl Inner {
    pub(super) fn turn(&self, to: Reach) {
        self.reach.send_if_modified(|reach| {
            let changes = *reach != Reach::Closed && *reach != to;
            if changes {
                *reach = to;
            }
            changes
        });
    }

    pub(super) fn fall_silent(&self, silent: bool) {
        self.silent.send_if_modified(|was| std::mem::replace(was, silent) != silent);
    }

    pub(super) fn cut_all(&self) {
        for cutter in lock(&self.all).drain(..) {
            cutter.cut();
        }
    }

    pub(super) fn is_any_open(&self) -> bool {
        lock(&self.all).iter().any(|cutter| !cutter.is_done())
    }

    /// One that is open already, for a question: rather one that is shared, because a writer that is lent now might be missed.
    pub(super) fn lend_open(&self) -> Option<Open> {
        let shared = self.shared.iter().find_map(Shared::usable).map(Open::Shared);
        shared.or_else(|| self.long.lend_idle().or_else(|| self.writers.lend_idle()).map(|lent| Open::Lent(Box::new(lent))))
    }

    fn refuse_unless_up(&self) -> Result<()> {
        match *self.reach.borrow() {
            Reach::Up => Ok(()),
            Reach::Away => Err(away()),
            Reach::Closed => Err(closed()),
        }
    }

    /// `wait`, but not longer than `limit`, and not when the server goes away meanwhile.
    async fn while_up<T>(&self, limit: Duration, wait: impl Future<Output = Result<T>>) -> Result<T> {
        let mut reach = self.reach.subscribe();
        tokio::select! {
            biased;
            done = timeout(limit, wait) => done.unwrap_or_else(|_| Err(unavailable("no connection in time"))),
            _ = reach.wait_for(|reach| *reach != Reach::Up) => Err(away()),
        }
    }

    async fn lend(&self, shelf: &Arc<Shelf>, limit: Duration) -> Result<Lent> {
        self.refuse_unless_up()?;
        let permit = self.enter(&shelf.gate, limit).await?;
        let connection = match shelf.take_idle() {
            Some(connection) => connection,
            None => self.while_up(limit, self.open(shelf.statement_time)).await?,
        };
        Ok(Lent { connection: Some(connection), shelf: shelf.clone(), _permits: [Some(permit), None] })
    }

    async fn enter(&self, gate: &Gate, limit: Duration) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = gate.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(&gate.waiting, self.options.queue_max)?;
        let permit = async { gate.permits.clone().acquire_owned().await.map_err(|_| closed()) };
        self.while_up(limit, permit).await
    }

    /// A new connection, which is cut with all others when the server hangs.
    pub(super) async fn open(&self, statement_time: Duration) -> Result<Connection> {
        self.open_hearing(statement_time, &Arc::default()).await
    }

    async fn open_hearing(&self, statement_time: Duration, heard: &Arc<Notify>) -> Result<Connection> {
        let opened = self.connector.connect_hearing(statement_time, heard).await;
        match &opened {
            Ok(connection) => {
                let mut all = lock(&self.all);
                all.retain(|cutter| !cutter.is_done());
                all.push(connection.cutter().clone());
            }
            Err(error) if says_away(error) => self.alarm.notify_one(),
            Err(_) => {}
        }
        opened
    }
}

impl Shared {
    fn usable(&self) -> Option<Arc<Connection>> {
        lock(&self.current).as_ref().filter(|connection| connection.is_usable()).cloned()
    }
}

/// One of those who wait; there are no more of them than the bound.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, most: usize) -> Result<Self> {
        if waiting.fetch_add(1, Ordering::AcqRel) >= most {
            waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(StoreError::Overloaded);
        }
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection that was open before.
#[derive(Debug)]
pub(super) enum Open {
    Lent(Box<Lent>),
    Shared(Arc<Connection>),
}

impl Deref for Open {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Lent(lent) => lent,
            Self::Shared(connection) => connection,
        }
    }
}

/// A connection lent to one caller; it goes back to its shelf when dropped.
#[derive(Debug)]
pub(super) struct Lent {
    connection: Option<Connection>,
    shelf: Arc<Shelf>,
    /// The shelf's, and that of a gate before it.
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a lent connection is there until it is given back"))
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().unwrap_or_else(|| unreachable!("a lent connection is there until it is given back"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !connection.is_usable() {
            return;
        }
        if connection.is_abandoned() {
            // The server is still at work for somebody who left, and would let the next one wait.
            connection.interrupt();
            return;
        }
        lock(&self.shelf.idle).push(connection);
    }
}

fn away() -> StoreError {
    unavailable("PostgreSQL is away")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
