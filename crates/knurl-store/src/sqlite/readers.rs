//! Reader connections: some for point reads, done where they are asked for, some for long reads, done on blocking threads.
//!
//! A point read by key takes microseconds, less than the hop to a blocking thread and back, so it runs inline on a connection of
//! its own pool, which no long read ever holds. Lists and stats may scan: they wait for one of `readers` connections and are
//! interrupted when their caller leaves. A connection that met an I/O error is dropped and opened anew by the next read.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{
    SqliteOptions,
    connection::{self, Access},
    failure::{distrusts_connection, is_interrupt, store_error},
};
use crate::{StoreError, store::Result};

/// How often a long read looks whether its caller is still there: some tens of microseconds.
const ABANDONED_CHECK_OPS: i32 = 4096;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    options: SqliteOptions,
    point: Vec<Mutex<Option<Connection>>>,
    next: AtomicUsize,
    long: Mutex<Vec<Connection>>,
    long_permits: Arc<Semaphore>,
    closed: AtomicBool,
}

impl Readers {
    pub(crate) fn new(path: &Path, options: &SqliteOptions) -> Self {
        Self {
            path: path.to_owned(),
            options: options.clone(),
            point: (0..options.point_readers.max(1)).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
            long: Mutex::new(Vec::with_capacity(options.readers)),
            long_permits: Arc::new(Semaphore::new(options.readers.max(1))),
            closed: AtomicBool::new(false),
        }
    }

    /// A read of a few rows by key, on this thread.
    pub(crate) fn point<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
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
        let permit = self.long_permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let on_drop = Abandon(abandoned.clone());
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            this.long_here(abandoned, read)
        });
        let result = task.await.unwrap_or_else(|e| Err(StoreError::Internal(Box::new(e))));
        drop(on_drop);
        result
    }

    fn long_here<T>(&self, abandoned: Arc<AtomicBool>, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&self.long).pop();
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
        if !doubtful(&result) || interrupted {
            self.put_back(conn);
        }
        result
    }

    fn put_back(&self, conn: Connection) {
        if !self.closed.load(Ordering::Acquire) {
            lock(&self.long).push(conn);
        }
    }

    fn open(&self) -> Result<Connection> {
        connection::open(&self.path, &self.options, Access::ReadOnly)
    }

    /// Waits for reads under way, then closes every connection.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let all = self.options.readers.max(1) as u32;
        let permits = self.long_permits.acquire_many(all).await;
        self.long_permits.close();
        drop(permits);
        lock(&self.long).clear();
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
