//! Reader connections: some for point reads, done where they are asked for, some for those that wait for the disk and some for long
//! reads, both done on blocking threads.
//!
//! A point read by key takes microseconds, less than the hop to a blocking thread and back, so it runs inline on a connection of
//! its own pool, which no long read ever holds. While the disk has to be waited for ([`Pace`]) it takes a blocking thread, of which
//! [`COLD_READS_MAX`] read side by side: a caller's deadline is his own. Lists and stats may scan: they wait for one of `readers`
//! connections. Both are interrupted when their caller leaves. A connection that met an I/O error is dropped and opened anew by the next read.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{
    SqliteOptions,
    connection::{self, Access},
    failure::{distrusts_connection, is_interrupt, store_error},
    pace::Pace,
};
use crate::{StoreError, store::Result, witness};

/// How often a long read looks whether its caller is still there: some tens of microseconds.
const ABANDONED_CHECK_OPS: i32 = 4096;
/// Point reads that wait for the disk at once: what a disk answers side by side gets little more with more of them.
pub(super) const COLD_READS_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    options: SqliteOptions,
    point: Vec<Mutex<Option<Connection>>>,
    next: AtomicUsize,
    pub(super) pace: Pace,
    cold: Lent,
    long: Lent,
    closed: AtomicBool,
}

/// Connections that blocking threads borrow, so many at a time.
#[derive(Debug)]
struct Lent {
    idle: Mutex<Vec<Connection>>,
    max: usize,
    permits: Arc<Semaphore>,
}

impl Lent {
    fn new(max: usize) -> Self {
        Self { idle: Mutex::default(), max, permits: Arc::new(Semaphore::new(max)) }
    }

    /// Waits until all are back, and lends no more.
    async fn close(&self) {
        let permits = self.permits.acquire_many(u32::try_from(self.max).unwrap_or(u32::MAX)).await;
        self.permits.close();
        drop(permits);
        lock(&self.idle).clear();
    }
}

impl Readers {
    pub(crate) fn new(path: &Path, options: &SqliteOptions) -> Self {
        Self {
            path: path.to_owned(),
            options: options.clone(),
            point: (0..options.point_readers.max(1)).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
            pace: Pace::default(),
            cold: Lent::new(COLD_READS_MAX),
            long: Lent::new(options.readers.max(1)),
            closed: AtomicBool::new(false),
        }
    }

    /// A read of a few rows by key: on this thread, unless the disk has to be waited for.
    pub(crate) async fn point<T, F>(self: &Arc<Self>, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        if self.pace.waits_for_disk() {
            return self.on_blocking_thread(|readers| &readers.cold, move |this, conn| this.timed(|| read(conn))).await;
        }
        self.timed(|| self.point_here(read))
    }

    fn timed<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let result = read();
        self.pace.took(began.elapsed());
        result
    }

    fn point_here<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut slot = self.point_slot();
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let conn = match slot.take() {
            Some(conn) => conn,
            None => self.open()?,
        };
        let result = guarded(&conn, read);
        if !doubtful(&result) {
            *slot = Some(conn);
        }
        result
    }

    fn point_slot(&self) -> MutexGuard<'_, Option<Connection>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for step in 0..self.point.len() {
            if let Ok(slot) = self.point[(first + step) % self.point.len()].try_lock() {
                return slot;
            }
        }
        self.point[first % self.point.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read that may scan, on a blocking thread; interrupted when the caller drops the future.
    pub(super) async fn long<T, F>(self: &Arc<Self>, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.on_blocking_thread(|readers| &readers.long, |_, conn| read(conn)).await
    }

    async fn on_blocking_thread<T, F>(self: &Arc<Self>, lent: fn(&Self) -> &Lent, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &Connection) -> Result<T> + Send + 'static,
    {
        let permit = lent(self).permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let on_drop = Abandon(abandoned.clone());
        let this = self.clone();
        let mut witness = witness::present();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            witness::with(&mut witness, || this.interruptible(lent(&this), abandoned, |conn| read(&this, conn)))
        });
        let result = task.await.unwrap_or_else(|e| Err(StoreError::Internal(Box::new(e))));
        drop(on_drop);
        result
    }

    fn interruptible<T>(&self, lent: &Lent, abandoned: Arc<AtomicBool>, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&lent.idle).pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.open()?,
        };
        // Not `sqlite3_interrupt`: one that comes just before the statement begins is lost.
        let is_abandoned = move || abandoned.load(Ordering::Acquire);
        conn.progress_handler(ABANDONED_CHECK_OPS, Some(is_abandoned)).map_err(store_error)?;
        let result = guarded(&conn, read);
        conn.progress_handler(0, None::<fn() -> bool>).map_err(store_error)?;
        let interrupted = matches!(&result, Err(error) if is_interrupt(error));
        if (!doubtful(&result) || interrupted) && !self.closed.load(Ordering::Acquire) {
            lock(&lent.idle).push(conn);
        }
        result
    }

    /// One that cannot be opened, of a file that was removed say, has not waited for the disk: with enough of them reads go back to the
    /// connections that are open.
    fn open(&self) -> Result<Connection> {
        connection::open(&self.path, &self.options, Access::ReadOnly).inspect_err(|_| self.pace.judge(false))
    }

    /// Waits for reads under way, then closes every connection.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.long.close().await;
        self.cold.close().await;
        for slot in &self.point {
            slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

/// A panic in a read must not take a connection (or a lock) with it.
fn guarded<T>(conn: &Connection, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| read(conn))).unwrap_or_else(|_| Err(StoreError::Internal("a read panicked".into())))
}

fn doubtful<T>(result: &Result<T>) -> bool {
    matches!(result, Err(error) if distrusts_connection(error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Dropped with the caller's future.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
