//! Creating links, many callers' in one statement: a few lanes, each taking what is queued while the others commit.
//!
//! Promised: each link and its `created` event in one transaction; one caller's taken code or missing owner is its own; the answer comes
//! after the commit; a failed group is told to everybody in it. A server that answers nobody keeps no caller waiting: whose links were not
//! sent yet is `Unavailable` and nothing was done; whose were is [`StoreError::Unsure`], as where the reply to a commit is lost: the link may be
//! there, and whoever must know sends an Idempotency-Key.
//! Bounded: callers that wait, links in a group (one caller's bulk stays whole), groups under way.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{
        AtomicU8, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use knurl_core::{Link, LinkId, UnixMillis, link::NewLink};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_postgres::Row;

use super::{
    connection::{Connection, get},
    failure::{closed, is_retryable, of_sent, silent},
    pool::Pool,
    sql,
    tx::Retries,
};
use crate::{Conflict, Reference, StoreError, error::GroupFailure, link_events, store::Result};

#[derive(Debug)]
pub(super) struct Creates {
    pool: Arc<Pool>,
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Asked>>>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
    pub(super) counters: Arc<CreateCounters>,
}

/// Figures for metrics.
#[derive(Debug, Default)]
pub struct CreateCounters {
    /// Callers answered.
    pub asked: AtomicU64,
    /// Groups committed.
    pub groups: AtomicU64,
    /// Groups that failed, told to everybody in them.
    pub failed_groups: AtomicU64,
    /// Time from sending a group to its commit's answer.
    pub commit_us: AtomicU64,
    /// Callers waiting.
    pub queued: AtomicUsize,
}

/// What one caller wants created.
struct Asked {
    links: Vec<NewLink>,
    now: UnixMillis,
    reply: oneshot::Sender<Result<Vec<Result<Link>>>>,
    stage: Arc<Stage>,
}

/// Whether what a caller asked for was sent, or withdrawn before: one of both, once.
#[derive(Debug, Default)]
struct Stage(AtomicU8);

impl Stage {
    const WAITING: u8 = 0;
    const SENT: u8 = 1;
    const WITHDRAWN: u8 = 2;

    /// Whether it may be sent.
    fn send(&self) -> bool {
        self.0.compare_exchange(Self::WAITING, Self::SENT, AcqRel, Acquire).map_or_else(|stage| stage == Self::SENT, |_| true)
    }

    /// Whether it never will be.
    fn withdraw(&self) -> bool {
        self.0.compare_exchange(Self::WAITING, Self::WITHDRAWN, AcqRel, Acquire).is_ok()
    }
}

impl Creates {
    pub(super) fn start(pool: &Arc<Pool>, lanes: usize, group_max: usize, queue_max: usize) -> Self {
        let (queue, waiting) = mpsc::channel(queue_max.max(1));
        let waiting = Arc::new(AsyncMutex::new(waiting));
        let counters = Arc::new(CreateCounters::default());
        let lane = || {
            let lane = Lane { pool: pool.clone(), waiting: waiting.clone(), group_max, counters: counters.clone() };
            tokio::spawn(lane.run())
        };
        let lanes = (0..lanes.max(1)).map(|_| lane()).collect();
        Self { pool: pool.clone(), queue: Mutex::new(Some(queue)), lanes: Mutex::new(lanes), counters }
    }

    pub(super) async fn create(&self, links: Vec<NewLink>, now: UnixMillis) -> Result<Vec<Result<Link>>> {
        if links.iter().any(|link| link.title.as_ref().is_some_and(|title| title.contains('\0'))) {
            // It would fail everybody in its group.
            return Err(StoreError::Internal("a title holds a NUL, which PostgreSQL's texts do not".into()));
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        let stage = Arc::new(Stage::default());
        self.counters.queued.fetch_add(1, Relaxed);
        queue.try_send(Asked { links, now, reply, stage: stage.clone() }).map_err(|refused| {
            self.counters.queued.fetch_sub(1, Relaxed);
            match refused {
                mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => closed(),
            }
        })?;
        drop(queue);
        match self.pool.unless_silent(answer).await {
            Some(answer) => answer.unwrap_or_else(|_| Err(closed())),
            None if stage.withdraw() => Err(silent()),
            None => Err(of_sent(silent())),
        }
    }

    /// Finishes what is queued.
    pub(super) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes {
            // One that panicked has answered nobody, and its callers know.
            drop(lane.await);
        }
    }
}

struct Lane {
    pool: Arc<Pool>,
    waiting: Arc<AsyncMutex<mpsc::Receiver<Asked>>>,
    group_max: usize,
    counters: Arc<CreateCounters>,
}

impl Lane {
    async fn run(self) {
        while let Some(group) = self.next_group().await {
            self.counters.queued.fetch_sub(group.len(), Relaxed);
            self.counters.asked.fetch_add(group.len() as u64, Relaxed);
            self.create(group).await;
        }
    }

    /// What is queued; waits where nothing is. `None` when the store closes.
    async fn next_group(&self) -> Option<Vec<Asked>> {
        let mut waiting = self.waiting.lock().await;
        let first = waiting.recv().await?;
        let mut links = first.links.len();
        let mut group = vec![first];
        while links < self.group_max
            && let Ok(next) = waiting.try_recv()
        {
            links += next.links.len();
            group.push(next);
        }
        Some(group)
    }

    async fn create(&self, mut group: Vec<Asked>) {
        let began = Instant::now();
        let made = self.commit(&mut group).await;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        match made {
            Ok(made) => {
                self.counters.commit_us.fetch_add(took, Relaxed);
                self.counters.groups.fetch_add(1, Relaxed);
                let mut made = made.into_iter();
                for asked in group {
                    let of_asked = made.by_ref().take(asked.links.len());
                    let answers = asked.links.into_iter().zip(of_asked).map(|(new, made)| made.link(new, asked.now)).collect();
                    // The caller may have gone; the links stand.
                    let _ = asked.reply.send(Ok(answers));
                }
            }
            Err(error) => {
                self.counters.failed_groups.fetch_add(1, Relaxed);
                let failure = GroupFailure::new(error);
                for asked in group.drain(..) {
                    let _ = asked.reply.send(Err(failure.to_error()));
                }
            }
        }
    }

    /// One statement, which is one transaction: where the server says that it failed, nothing of it was done.
    /// Who has withdrawn before it is sent is taken out of the group.
    async fn commit(&self, group: &mut Vec<Asked>) -> Result<Vec<Made>> {
        let mut retries = Retries::begin();
        loop {
            let connection = self.pool.writer().await?;
            self.pool.doubting(connection.prepare(&[sql::LINKS_CREATE])).await?;
            group.retain(|asked| asked.stage.send());
            if group.is_empty() {
                return Ok(Vec::new());
            }
            let columns = Columns::of(group.iter().flat_map(|asked| asked.links.iter().map(|link| (link, asked.now))))?;
            match self.pool.doubting(columns.insert(&connection)).await {
                Err(error) if is_retryable(&error) => {
                    drop(connection);
                    retries.wait(error).await?;
                }
                done => return done.map_err(of_sent),
            }
        }
    }
}

/// Creates these links as a statement of a transaction that does more than that.
pub(super) async fn insert(connection: &Connection, links: impl Iterator<Item = (&NewLink, UnixMillis)>) -> Result<Vec<Made>> {
    Columns::of(links)?.insert(connection).await
}

/// The links of a group, column by column.
#[derive(Default)]
struct Columns<'a> {
    domains: Vec<&'a str>,
    short_codes: Vec<&'a str>,
    targets: Vec<&'a str>,
    titles: Vec<Option<&'a str>>,
    is_active: Vec<bool>,
    statuses: Vec<i16>,
    owners: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    now: Vec<i64>,
    details: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(links: impl Iterator<Item = (&'a NewLink, UnixMillis)>) -> Result<Self> {
        let mut columns = Self::default();
        for (link, now) in links {
            columns.domains.push(&link.domain);
            columns.short_codes.push(link.short_code.as_str());
            columns.targets.push(link.target.as_str());
            columns.titles.push(link.title.as_deref());
            columns.is_active.push(link.is_active);
            columns.statuses.push(link.status.as_u16() as i16);
            columns.owners.push(link.owner.map(|owner| owner.0));
            columns.expires_at.push(link.expires_at.map(|at| at.0));
            columns.now.push(now.0);
            columns.details.push(link_events::created(link)?);
        }
        Ok(columns)
    }

    async fn insert(&self, connection: &Connection) -> Result<Vec<Made>> {
        let rows = connection
            .rows(
                sql::LINKS_CREATE,
                &[
                    &self.domains,
                    &self.short_codes,
                    &self.targets,
                    &self.titles,
                    &self.is_active,
                    &self.statuses,
                    &self.owners,
                    &self.expires_at,
                    &self.now,
                    &self.details,
                ],
            )
            .await?;
        rows.iter().map(Made::of).collect()
    }
}

/// What became of one link.
pub(super) struct Made {
    pub(super) id: LinkId,
    pub(super) has_owner: bool,
    pub(super) is_there: bool,
}

impl Made {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self { id: LinkId(get(row, 0)?), has_owner: get(row, 1)?, is_there: get(row, 2)? })
    }

    fn link(&self, new: NewLink, now: UnixMillis) -> Result<Link> {
        match self {
            Self { has_owner: false, .. } => Err(StoreError::MissingReference(Reference::User)),
            Self { is_there: false, .. } => Err(StoreError::Conflict(Conflict::ShortCode)),
            Self { id, .. } => Ok(new.into_link(*id, now)),
        }
    }
}
