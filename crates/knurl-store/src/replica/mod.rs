//! A node's own copy of the link table, in a file beside its spool: redirects go on from it when the database is away.
//!
//! Promised: it answers only what the database said, and tells whether that is still so as far as this node can know ([`Trust`]); a copy
//! of another database, a torn or a damaged file is thrown away and copied anew. Refused: saying that a link does not exist. Whatever
//! goes wrong with it is a `None`, "not known here".
//!
//! Layout: [`follow`] keeps it current from a [`follow::Source`] of changes, [`position`] is how far those were read; `file` opens it,
//! `apply` writes, `copy` is a row.

mod apply;
mod copy;
mod file;
pub mod follow;
pub mod position;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use knurl_core::{LinkId, ShortCode};
use rusqlite::{Connection, OptionalExtension};

pub(crate) use self::copy::Raw;
pub use self::copy::{Facts, LinkCopy, State};
use self::file::{Compared, File, Opened, Progress};
use crate::{
    StoreError,
    sqlite::failure::{is_io, store_error},
    store::Result,
};

/// A copy that has not been compared with the database's changes for so long may be outdated. More than a server that hangs takes to be
/// found out (`PostgresOptions::hung_after`), so that by then the question whether it is still so is answered at once.
pub const FRESH_MAX: Duration = Duration::from_secs(4);

/// Between two times the file is opened anew because reading or writing it failed: what a disk refuses it refuses again, and meanwhile
/// the rest may be read.
const UNWELL_PAUSE: Duration = Duration::from_secs(10);

/// What the copy says of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: LinkId,
    pub version: i64,
    /// `None`: deleted.
    pub facts: Option<Facts>,
    pub trust: Trust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// As the database had it at most [`FRESH_MAX`] ago.
    Sure,
    /// As the database once had it: to be believed by who cannot ask.
    Doubtful,
}

/// A handle; clones share the file.
#[derive(Clone, Debug)]
pub struct Replica {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// `None`: it cannot be used at the moment.
    file: RwLock<Option<Arc<File>>>,
    damaged: AtomicBool,
    /// Reading or writing failed, which a file that is opened anew may not do.
    unwell: AtomicBool,
    renewed_at: Mutex<Instant>,
    failures: AtomicU64,
    shown: Shown,
    /// Ages are counted from here.
    opened_at: Instant,
    /// Microseconds after `opened_at` at which the last look at the database's changes began; 0: none yet.
    looked_us: AtomicU64,
}

/// Of the file's progress, what readers want to know.
#[derive(Debug, Default)]
struct Shown {
    complete: AtomicBool,
    links: AtomicU64,
    /// Links up to this id are in the copy as the database has them.
    compared: AtomicI64,
}

impl Replica {
    /// Opens what is there, or begins anew. Blocks. Never fails: where nothing can be kept, nothing is known. Ages are told by `now`'s clock.
    pub fn open(path: &Path, now: Instant) -> Self {
        let replica = Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                file: RwLock::default(),
                damaged: AtomicBool::new(false),
                unwell: AtomicBool::new(false),
                renewed_at: Mutex::new(now),
                failures: AtomicU64::new(0),
                shown: Shown { compared: AtomicI64::new(i64::MIN), ..Shown::default() },
                opened_at: now,
                looked_us: AtomicU64::new(0),
            }),
        };
        if let Err(error) = replica.open_file() {
            tracing::error!(error = &error as &dyn std::error::Error, "the replica cannot be opened: this node goes on without it");
        }
        replica
    }

    /// What the copy says of this code. `None`: not known here, which says nothing about the database.
    pub async fn link(&self, domain: &str, code: &ShortCode, now: Instant) -> Option<Found> {
        let file = self.file()?;
        // Before the row is read: what is known of it afterwards may be known of a newer one only.
        let (fresh, compared) = (self.is_fresh(now), self.inner.shown.compared.load(SeqCst));
        let (domain, code) = (domain.to_owned(), code.clone());
        let read = file.readers.point(move |connection| by_code(connection, &domain, &code)).await;
        let row = self.watch(read).ok()??;
        let trust = if fresh && row.id.0 <= compared { Trust::Sure } else { Trust::Doubtful };
        let facts = match row.state {
            State::Link(facts) => Some(facts),
            State::Deleted => None,
            State::Unreadable => return None,
        };
        Some(Found { id: row.id, version: row.version, facts, trust })
    }

    /// Whether every link has been copied once: what is older than the last look is here.
    pub fn is_complete(&self) -> bool {
        self.inner.shown.complete.load(SeqCst)
    }

    /// Whether no part of it is still to be compared with the database.
    pub fn is_compared(&self) -> bool {
        self.inner.shown.compared.load(SeqCst) == i64::MAX
    }

    /// Links in the copy that are not deleted.
    pub fn links(&self) -> u64 {
        self.inner.shown.links.load(SeqCst)
    }

    /// Reads that failed, and writes.
    pub fn failures(&self) -> u64 {
        self.inner.failures.load(SeqCst)
    }

    /// When the last look began after which the copy held every change that was committed before it.
    pub fn looked_at(&self) -> Option<Instant> {
        match self.inner.looked_us.load(SeqCst) {
            0 => None,
            after => Some(self.inner.opened_at + Duration::from_micros(after)),
        }
    }

    pub fn is_fresh(&self, now: Instant) -> bool {
        self.looked_at().is_some_and(|at| now.saturating_duration_since(at) <= FRESH_MAX)
    }

    fn looked(&self, began: Option<Instant>) {
        let after = began.map_or(0, |began| began.saturating_duration_since(self.inner.opened_at).as_micros().max(1));
        self.inner.looked_us.store(u64::try_from(after).unwrap_or(u64::MAX), SeqCst);
    }

    fn file(&self) -> Option<Arc<File>> {
        self.inner.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open_file(&self) -> Result<()> {
        let Opened { file, progress, was_damaged } = file::open(&self.inner.path)?;
        // Copied anew without a word otherwise: a disk that does this does it again.
        self.inner.failures.fetch_add(u64::from(was_damaged), SeqCst);
        *self.inner.file.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(file));
        self.inner.damaged.store(false, SeqCst);
        self.inner.unwell.store(false, SeqCst);
        self.show(progress.as_ref());
        Ok(())
    }

    /// To be called after every change of the file.
    fn show(&self, progress: Option<&Progress>) {
        let shown = &self.inner.shown;
        shown.links.store(progress.map_or(0, |progress| progress.links), SeqCst);
        shown.complete.store(progress.is_some_and(|progress| progress.complete), SeqCst);
        let compared = match progress.map(|progress| progress.compared) {
            Some(Compared::All) => i64::MAX,
            Some(Compared::UpTo(id)) => id,
            None => i64::MIN,
        };
        shown.compared.store(compared, SeqCst);
    }

    /// On a blocking thread.
    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let file = self.file().ok_or_else(|| StoreError::Unavailable("the replica is not open".into()))?;
        let written = tokio::task::spawn_blocking(move || work(&mut file.writer.lock().unwrap_or_else(PoisonError::into_inner)));
        self.watch(written.await.unwrap_or_else(|panic| Err(StoreError::Internal(Box::new(panic)))))
    }

    /// Whether opening the file anew may help, and costs nothing: a disk that failed may be well again.
    fn is_to_be_reopened(&self, now: Instant) -> bool {
        let is_due = || now.saturating_duration_since(*self.renewed_at()) >= UNWELL_PAUSE;
        self.file().is_none() || self.inner.unwell.load(SeqCst) && is_due() && self.lost().is_none()
    }

    /// Whether the file is to be replaced, and what may be kept of what its name leads to. Until then the rest of it can be read.
    fn lost(&self) -> Option<Keep> {
        if self.inner.damaged.load(SeqCst) {
            return Some(Keep::Nothing);
        }
        let in_place = self.file().is_some_and(|file| file.is_in_place(&self.inner.path));
        (!in_place).then_some(Keep::WhatIsWhole)
    }

    fn renewed_at(&self) -> MutexGuard<'_, Instant> {
        self.inner.renewed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the file and opens it again, or another in its place with `Keep::Nothing`.
    async fn renew(&self, keep: Keep, now: Instant) -> Result<()> {
        *self.renewed_at() = now;
        self.show(None);
        self.looked(None);
        let file = self.inner.file.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file {
            file.close().await;
        }
        let this = self.clone();
        let renewed = tokio::task::spawn_blocking(move || {
            if keep == Keep::Nothing {
                file::remove(&this.inner.path).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
            }
            this.open_file()
        });
        renewed.await.unwrap_or_else(|panic| Err(StoreError::Internal(Box::new(panic))))
    }

    fn watch<T>(&self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done {
            self.inner.failures.fetch_add(1, SeqCst);
            self.inner.unwell.fetch_or(is_io(error), SeqCst);
            if matches!(error, StoreError::Corrupt(_)) && !self.inner.damaged.swap(true, SeqCst) {
                tracing::error!(error = error as &dyn std::error::Error, "the replica is damaged: it will be copied anew");
            }
        }
        done
    }

    /// Waits for the reads under way, and closes the file.
    pub async fn close(&self) {
        let file = self.inner.file.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = file {
            file.close().await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    WhatIsWhole,
    Nothing,
}

fn by_code(connection: &Connection, domain: &str, code: &ShortCode) -> Result<Option<LinkCopy>> {
    let row = connection.prepare_cached(apply::BY_CODE).and_then(|mut query| {
        let row = query.query_row((domain, code.as_str()), Raw::read);
        row.optional()
    });
    match row.map_err(store_error)? {
        None => Ok(None),
        Some(Some(row)) => Ok(Some(row.judge())),
        Some(None) => Err(apply::damaged()),
    }
}
