//! Creating links, many callers' in one statement: a few lanes, each taking what is queued while the others commit.
//!
//! Promised: each link and its `created` event in one transaction; one caller's taken code or missing owner is its own, and so is an owner
//! whose row somebody holds, as who deletes a user does for as long as the user has links to delete: those creates leave their group and are
//! tried again, beside the lanes and with no connection in hand, for as long as a lock may be waited for; the answer comes after the commit; a failed group is told to everybody in it. A server that answers nobody keeps no caller waiting: whose links were not
//! sent yet is `Unavailable` and nothing was done; whose were is [`StoreError::Unsure`], as where the reply to a commit is lost: the link may be
//! there, and whoever must know sends an Idempotency-Key.
//! Bounded: callers that wait, for their group or for an owner, links in a group (one caller's bulk stays whole), groups under way.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use knurl_core::{Link, LinkId, UnixMillis, link::NewLink};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::Row;

use super::{
    connection::{Connection, SYSTEM, get},
    failure::{closed, is_retryable, of_sent, owner_held, silent},
    pool::Pool,
    sql,
    tx::Retries,
};
use crate::{
    Conflict, Reference, StoreError,
    error::GroupFailure,
    link_events,
    store::Result,
    witness::{self, Statement, Witness},
};

/// Between two attempts for those whose owner is held; doubles. An owner that is only renamed is free again before the first.
const HELD_PAUSE_MIN: Duration = Duration::from_millis(5);
const HELD_PAUSE_MAX: Duration = Duration::from_millis(160);

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
    links: Vec<Fate>,
    now: UnixMillis,
    reply: oneshot::Sender<Result<Vec<Result<Link>>>>,
    stage: Arc<Stage>,
    /// When whoever waits for its owner is told so: set with the first attempt that found it held.
    until: Option<Instant>,
    witness: Option<Arc<dyn Witness>>,
}

/// Of one link: still to be made, or what became of it.
enum Fate {
    Open(NewLink),
    Settled(Result<Link>),
}

impl Asked {
    fn open(&self) -> impl Iterator<Item = &NewLink> {
        self.links.iter().filter_map(|fate| match fate {
            Fate::Open(link) => Some(link),
            Fate::Settled(_) => None,
        })
    }

    /// `made` is what became of the open ones, in their order.
    fn settle(&mut self, made: &mut impl Iterator<Item = Made>) {
        for fate in self.links.iter_mut().filter(|fate| matches!(fate, Fate::Open(_))) {
            let Some(made) = made.next() else { break };
            if !made.is_owner_held
                && let Fate::Open(link) = std::mem::replace(fate, Fate::Settled(Err(StoreError::Overloaded)))
            {
                *fate = Fate::Settled(made.link(link, self.now));
            }
        }
        if self.links.iter().all(|fate| matches!(fate, Fate::Open(_))) {
            self.stage.take_back();
        }
    }

    fn is_settled(&self) -> bool {
        self.open().next().is_none()
    }

    /// The caller may have gone; the links stand.
    fn answer(self) {
        let answers = self.links.into_iter().filter_map(|fate| match fate {
            Fate::Open(_) => None,
            Fate::Settled(answer) => Some(answer),
        });
        let _ = self.reply.send(Ok(answers.collect()));
    }

    /// What was made before is told as made.
    fn fail(mut self, failure: &GroupFailure) {
        if self.links.iter().all(|fate| matches!(fate, Fate::Open(_))) {
            let _ = self.reply.send(Err(failure.to_error()));
            return;
        }
        for fate in self.links.iter_mut().filter(|fate| matches!(fate, Fate::Open(_))) {
            *fate = Fate::Settled(Err(failure.to_error()));
        }
        self.answer();
    }
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

    /// Nothing was done for it: it waits again.
    fn take_back(&self) {
        let _ = self.0.compare_exchange(Self::SENT, Self::WAITING, AcqRel, Acquire);
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
        let (held, of_held) = mpsc::channel(queue_max.max(1));
        let counters = Arc::new(CreateCounters::default());
        let lane = || {
            let groups = Groups { pool: pool.clone(), counters: counters.clone() };
            let lane = Lane { groups, waiting: waiting.clone(), group_max, held: held.clone() };
            tokio::spawn(lane.run())
        };
        let mut lanes: Vec<_> = (0..lanes.max(1)).map(|_| lane()).collect();
        // Last: it ends when the lanes have, and has answered everybody then.
        let groups = Groups { pool: pool.clone(), counters: counters.clone() };
        lanes.push(tokio::spawn(
            Held { groups, coming: of_held, waiting: Vec::new(), group_max, waiting_max: queue_max.max(1) }.run(),
        ));
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
        let links = links.into_iter().map(Fate::Open).collect();
        queue.try_send(Asked { links, now, reply, stage: stage.clone(), until: None, witness: witness::present() }).map_err(
            |refused| {
                self.counters.queued.fetch_sub(1, Relaxed);
                match refused {
                    mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
                    mpsc::error::TrySendError::Closed(_) => closed(),
                }
            },
        )?;
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
    groups: Groups,
    waiting: Arc<AsyncMutex<mpsc::Receiver<Asked>>>,
    group_max: usize,
    held: mpsc::Sender<Asked>,
}

impl Lane {
    async fn run(self) {
        while let Some(group) = self.next_group().await {
            self.groups.counters.queued.fetch_sub(group.len(), Relaxed);
            self.groups.counters.asked.fetch_add(group.len() as u64, Relaxed);
            for held in self.groups.create(group).await {
                if let Err(refused) = self.held.try_send(held) {
                    refused.into_inner().fail(&GroupFailure::new(owner_held()));
                }
            }
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
}

/// Those whose owner's row is held. They are asked for again and again, all by this one and without waiting on a connection: however many they
/// are and however long it takes, they cost the lanes nothing.
struct Held {
    groups: Groups,
    coming: mpsc::Receiver<Asked>,
    waiting: Vec<Asked>,
    group_max: usize,
    waiting_max: usize,
}

impl Held {
    async fn run(mut self) {
        // `None`: the store closes, and nobody is waited for any more.
        while let Some(next) = self.coming.recv().await {
            self.take(next);
            let mut pause = HELD_PAUSE_MIN;
            while !self.waiting.is_empty() {
                if let Ok(None) = timeout(pause, self.gather()).await {
                    break;
                }
                self.attempt().await;
                pause = (pause * 2).min(HELD_PAUSE_MAX);
            }
        }
        self.waiting.drain(..).for_each(|asked| asked.fail(&GroupFailure::new(owner_held())));
    }

    /// Whoever comes meanwhile; `None` when nobody will any more.
    async fn gather(&mut self) -> Option<()> {
        loop {
            let next = self.coming.recv().await?;
            self.take(next);
        }
    }

    fn take(&mut self, mut asked: Asked) {
        if self.waiting.len() >= self.waiting_max {
            asked.fail(&GroupFailure::new(owner_held()));
            return;
        }
        asked.until = Some(Instant::now() + self.groups.pool.lock_timeout());
        self.waiting.push(asked);
    }

    async fn attempt(&mut self) {
        let mut all = std::mem::take(&mut self.waiting).into_iter().peekable();
        while all.peek().is_some() {
            let (mut links, mut group) = (0, Vec::new());
            while links < self.group_max
                && let Some(asked) = all.next()
            {
                links += asked.links.len();
                group.push(asked);
            }
            let held = self.groups.create(group).await;
            let (late, held): (Vec<_>, Vec<_>) =
                held.into_iter().partition(|asked| asked.until.is_some_and(|until| until <= Instant::now()));
            late.into_iter().for_each(|asked| asked.fail(&GroupFailure::new(owner_held())));
            self.waiting.extend(held);
        }
    }
}

/// What makes a group of creates.
struct Groups {
    pool: Arc<Pool>,
    counters: Arc<CreateCounters>,
}

impl Groups {
    /// Answers everybody in the group but those who are given back: the row of an owner of theirs is held.
    async fn create(&self, mut group: Vec<Asked>) -> Vec<Asked> {
        let began = Instant::now();
        let made = self.commit(&mut group).await;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        match made {
            Ok(made) => {
                self.counters.commit_us.fetch_add(took, Relaxed);
                self.counters.groups.fetch_add(1, Relaxed);
                let mut made = made.into_iter();
                group.iter_mut().for_each(|asked| asked.settle(&mut made));
                let (settled, held): (Vec<_>, Vec<_>) = group.into_iter().partition(Asked::is_settled);
                settled.into_iter().for_each(Asked::answer);
                held
            }
            Err(error) => {
                self.counters.failed_groups.fetch_add(1, Relaxed);
                let failure = GroupFailure::new(error);
                group.into_iter().for_each(|asked| asked.fail(&failure));
                Vec::new()
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
            let columns = Columns::of(group.iter().flat_map(|asked| asked.open().map(|link| (link, asked.now))))?;
            let began = Instant::now();
            let done = self.pool.doubting(columns.insert(&connection)).await;
            let (took, has_failed) = (began.elapsed(), done.is_err());
            let (name, began) = (sql::LINKS_CREATE.name, began.into_std());
            let statement = Statement { name, system: SYSTEM, began, took, has_failed };
            group.iter().filter_map(|asked| asked.witness.as_ref()).for_each(|witness| witness.saw(statement));
            match done {
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
    /// Nothing was done: whether the owner is there is not known yet.
    pub(super) is_owner_held: bool,
}

impl Made {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self { id: LinkId(get(row, 0)?), has_owner: get(row, 1)?, is_there: get(row, 2)?, is_owner_held: get(row, 3)? })
    }

    fn link(&self, new: NewLink, now: UnixMillis) -> Result<Link> {
        match self {
            Self { has_owner: false, .. } => Err(StoreError::MissingReference(Reference::User)),
            Self { is_there: false, .. } => Err(StoreError::Conflict(Conflict::ShortCode)),
            Self { id, .. } => Ok(new.into_link(*id, now)),
        }
    }
}
