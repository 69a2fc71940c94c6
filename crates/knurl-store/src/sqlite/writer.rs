//! The one writer: a thread that owns the write connection and commits what is queued in groups.
//!
//! Promised: a reply comes after the commit; a write that fails or panics undoes itself alone; a failed commit fails every write
//! of its group; a caller that has left changes nothing for the others. After an I/O error the connection is closed and opened
//! anew, never used again: what a failed sync left behind is for SQLite's recovery to judge. Nothing is written into a file that no
//! longer has the database's name (removed, or another put in its place): it would be acknowledged and gone with the process.
//!
//! A group runs without savepoints: they copy every page they touch once more, and nearly all writes that fail do so before they
//! have changed anything. Where one fails later than that, the group is rolled back and runs again, each write in a savepoint.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    SqliteOptions,
    connection::{self, Access},
    failure::{distrusts_connection, is_locked, store_error},
    prepared::SYSTEM,
    tx::Tx,
};
use crate::{
    StoreError,
    error::GroupFailure,
    store::Result,
    witness::{self, Statement, Witness},
};

/// What a write wants done with what it wrote.
pub(super) enum Outcome<T> {
    Keep(T),
    /// The answer is good, the changes are not wanted (a dry run).
    Undo(T),
}

/// Whether a write is known to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    Usual,
    /// In a savepoint from the start.
    Undoes,
}

/// Figures for metrics.
#[derive(Debug, Default)]
pub struct WriterCounters {
    /// Writes taken from the queue.
    pub writes: AtomicU64,
    /// Commits that went through.
    pub commits: AtomicU64,
    /// Groups whose begin or commit failed.
    pub failed_groups: AtomicU64,
    /// Groups that ran twice, because a write failed after it had changed something.
    pub groups_run_again: AtomicU64,
    /// Writes that panicked.
    pub panics: AtomicU64,
    /// Times the write connection was opened anew.
    pub reopened: AtomicU64,
    /// Time spent in commits.
    pub commit_us: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    pub(super) counters: Arc<WriterCounters>,
}

enum Message {
    Write(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// `conn` is open and migrated.
    pub(super) fn start(path: &Path, options: &SqliteOptions, conn: Connection) -> Result<Self> {
        let (queue, waiting) = mpsc::channel(options.queue_max);
        let counters = Arc::new(WriterCounters::default());
        let desk = Desk {
            path: path.to_owned(),
            // Unknown where the database is no file of the system's.
            inode: fs::metadata(path).ok().map(|file| file.ino()),
            options: options.clone(),
            conn: Some(conn),
            reopen_after: Instant::now(),
            generation: 0,
            counters: counters.clone(),
        };
        thread::Builder::new()
            .name("knurl-writer".into())
            .spawn(move || desk.run(waiting))
            .map_err(|e| StoreError::Unavailable(Box::new(e)))?;
        Ok(Self { queue, counters })
    }

    /// `write` may run twice; only its last run is committed.
    pub(super) async fn write<T, F>(&self, care: Care, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Tx<'_>) -> Result<Outcome<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Message::Write(Box::new(Write { write, care, result: None, reply, witness: witness::present() }));
        self.queue.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Finishes what is queued, then closes the connection.
    pub(super) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that the thread has ended already, which is what was asked for.
            let _ = answer.await;
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

/// A queued write, whatever it answers.
trait Job: Send {
    fn care(&self) -> Care;
    /// Runs it. `Ok(true)`: keep the changes; `Ok(false)`: undo them, the answer stands; `Err`: undo them.
    fn run(&mut self, tx: &Tx<'_>, counters: &WriterCounters) -> std::result::Result<bool, ()>;
    /// The error of the last run, where it is one that casts doubt on the connection: then it is the whole group's.
    fn take_doubt(&mut self) -> Option<StoreError>;
    /// Answers the caller: with its own result, or with the group's failure.
    fn answer(self: Box<Self>, failure: Option<&GroupFailure>);
    fn witness(&self) -> Option<&dyn Witness>;
}

struct Write<T, F> {
    write: F,
    care: Care,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    /// Of the caller.
    witness: Option<Arc<dyn Witness>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnMut(&Tx<'_>) -> Result<Outcome<T>> + Send,
{
    fn care(&self) -> Care {
        self.care
    }

    fn run(&mut self, tx: &Tx<'_>, counters: &WriterCounters) -> std::result::Result<bool, ()> {
        // The closure's captures are only read again by another run, which starts from scratch.
        let (write, witness) = (&mut self.write, &mut self.witness);
        let outcome = catch_unwind(AssertUnwindSafe(|| witness::with(witness, || write(tx)))).unwrap_or_else(|_| {
            counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a write panicked; it was undone");
            Err(StoreError::Internal("the write panicked".into()))
        });
        let (result, verdict) = match outcome {
            Ok(Outcome::Keep(value)) => (Ok(value), Ok(true)),
            Ok(Outcome::Undo(value)) => (Ok(value), Ok(false)),
            Err(error) => (Err(error), Err(())),
        };
        self.result = Some(result);
        verdict
    }

    fn take_doubt(&mut self) -> Option<StoreError> {
        match self.result.take() {
            Some(Err(error)) if distrusts_connection(&error) => Some(error),
            other => {
                self.result = other;
                None
            }
        }
    }

    fn answer(self: Box<Self>, failure: Option<&GroupFailure>) {
        let result = match (failure, self.result) {
            (Some(failure), _) => Err(failure.to_error()),
            (None, Some(result)) => result,
            (None, None) => Err(closed()),
        };
        // The caller may have gone; the write stands.
        let _ = self.reply.send(result);
    }

    fn witness(&self) -> Option<&dyn Witness> {
        self.witness.as_deref()
    }
}

struct Desk {
    path: PathBuf,
    /// Of the file that was opened at the start.
    inode: Option<u64>,
    options: SqliteOptions,
    conn: Option<Connection>,
    reopen_after: Instant,
    generation: u64,
    counters: Arc<WriterCounters>,
}

impl Desk {
    fn run(mut self, mut waiting: mpsc::Receiver<Message>) {
        let mut group: Vec<Box<dyn Job>> = Vec::with_capacity(self.options.group_max);
        let mut closing = None;
        while let Some(first) = waiting.blocking_recv() {
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Write(job) => group.push(job),
                    Message::Close(reply) => {
                        waiting.close();
                        closing = closing.or(Some(reply));
                    }
                }
                if group.len() < self.options.group_max {
                    next = waiting.try_recv().ok();
                }
            }
            self.commit(&mut group);
        }
        if let Some(conn) = self.conn.take() {
            checkpoint_and_close(conn);
        }
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Runs and commits a group and answers everybody in it.
    fn commit(&mut self, group: &mut Vec<Box<dyn Job>>) {
        if group.is_empty() {
            return;
        }
        self.counters.writes.fetch_add(group.len() as u64, Ordering::Relaxed);
        let failure = self.try_commit(group).err().map(|error| {
            self.counters.failed_groups.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error = %chain(&error), writes = group.len(), "a group of writes failed");
            GroupFailure::new(error)
        });
        for job in group.drain(..) {
            job.answer(failure.as_ref());
        }
    }

    fn try_commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<()> {
        self.still_there()?;
        let conn = self.connection()?;
        let counters = self.counters.clone();
        let result = run_group(&conn, self.generation, group, &counters);
        match &result {
            Err(error) if distrusts_connection(error) && !is_locked(error) => self.give_up(conn),
            Err(_) if !conn.is_autocommit() && conn.execute_batch("rollback").is_err() => self.give_up(conn),
            _ => self.conn = Some(conn),
        }
        result
    }

    /// One `stat` a group: next to a sync it is nothing.
    fn still_there(&self) -> Result<()> {
        let Some(ours) = self.inode else { return Ok(()) };
        let gone = match fs::metadata(&self.path) {
            Ok(found) if found.ino() == ours => return Ok(()),
            Ok(_) => "another file has taken the database's place while it was open; start again to use that one",
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "the database file was removed while it was open; put it back, or start again with a new one"
            }
            Err(error) => return Err(StoreError::Unavailable(Box::new(error))),
        };
        Err(StoreError::Unavailable(gone.into()))
    }

    fn connection(&mut self) -> Result<Connection> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        if Instant::now() < self.reopen_after {
            return Err(StoreError::Unavailable("the database is being opened again after an error".into()));
        }
        self.reopen_after = Instant::now() + self.options.reopen_pause;
        let conn = connection::open(&self.path, &self.options, Access::ReadWrite)?;
        super::migrate::refuse_strangers(&conn)?;
        self.generation += 1;
        self.counters.reopened.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("the write connection was opened again");
        Ok(conn)
    }

    fn give_up(&mut self, conn: Connection) {
        // Closing rolls back whatever is open. An error leaves nothing to do: the handle is gone either way.
        drop(conn);
        self.reopen_after = Instant::now();
    }
}

/// One transaction for the whole group.
fn run_group(conn: &Connection, generation: u64, group: &mut [Box<dyn Job>], counters: &WriterCounters) -> Result<()> {
    execute(conn, "begin immediate")?;
    let mut tx = Tx::new(conn, generation);
    if run_jobs(&tx, group, counters)? == Ran::MustRunAgain {
        execute(conn, "rollback")?;
        execute(conn, "begin immediate")?;
        tx = Tx::new(conn, generation);
        counters.groups_run_again.fetch_add(1, Ordering::Relaxed);
        for job in group.iter_mut() {
            run_in_savepoint(&tx, job.as_mut(), counters)?;
        }
    }
    tx.flush_counts().map_err(store_error)?;
    fail::fail_point!("store::before_commit");
    let began = Instant::now();
    let committed = execute(conn, "commit");
    let took = began.elapsed();
    let commit = Statement { name: "commit", system: SYSTEM, began, took, has_failed: committed.is_err() };
    group.iter().filter_map(|job| job.witness()).for_each(|witness| witness.saw(commit));
    committed?;
    counters.commit_us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    counters.commits.fetch_add(1, Ordering::Relaxed);
    fail::fail_point!("store::after_commit");
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    AsWanted,
    MustRunAgain,
}

/// An `Err` here and below is the whole group's: the transaction itself is lost.
fn run_jobs(tx: &Tx<'_>, group: &mut [Box<dyn Job>], counters: &WriterCounters) -> Result<Ran> {
    for job in group {
        if job.care() == Care::Undoes {
            run_in_savepoint(tx, job.as_mut(), counters)?;
            continue;
        }
        let (counts, changes) = (tx.counts(), tx.total_changes());
        if job.run(tx, counters) == Ok(true) {
            continue;
        }
        keeps_transaction(tx, job.as_mut())?;
        if tx.total_changes() != changes {
            return Ok(Ran::MustRunAgain);
        }
        tx.set_counts(counts);
    }
    Ok(Ran::AsWanted)
}

fn run_in_savepoint(tx: &Tx<'_>, job: &mut dyn Job, counters: &WriterCounters) -> Result<()> {
    let counts = tx.counts();
    execute(tx, "savepoint job")?;
    if job.run(tx, counters) == Ok(true) {
        return execute(tx, "release job");
    }
    keeps_transaction(tx, job)?;
    tx.set_counts(counts);
    execute(tx, "rollback to job")?;
    execute(tx, "release job")
}

/// After a write that is to be undone: may the others go on?
fn keeps_transaction(tx: &Tx<'_>, job: &mut dyn Job) -> Result<()> {
    if let Some(doubt) = job.take_doubt() {
        return Err(doubt);
    }
    // SQLite rolls the whole transaction back by itself on some errors.
    if tx.is_autocommit() {
        return Err(StoreError::Unavailable("a write of this group lost the transaction".into()));
    }
    Ok(())
}

fn execute(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map_err(store_error)?;
    Ok(())
}

fn checkpoint_and_close(conn: Connection) {
    let checkpointed = conn.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
    if let Err(error) = checkpointed {
        tracing::warn!(%error, "the last checkpoint failed; the next start recovers from the log");
    }
    if let Err((_, error)) = conn.close() {
        tracing::warn!(%error, "closing the database failed");
    }
}

/// The error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
