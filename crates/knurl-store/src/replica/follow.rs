//! Keeps the copy current: looks at what has changed, applies it, and, where that is not enough, compares the whole table page by page.
//!
//! Promised: what a look has seen is in the copy before anybody is told to forget what they remember; a link is never copied in an older
//! state than it was before; looks go on between the pages, so that an edit is seen in time however large the table is. Only one
//! follower may work on a copy.
//!
//! Without a copy ([`Follower::telling`]) it reads the same changes, only to tell of them.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{
    Keep, LinkCopy, Replica,
    apply::{self, Written},
    file::{self, Compared, Progress},
    position::{Position, Range},
};
use crate::{StoreError, store::Result};

/// Rows asked for, applied and forgotten together: some tens of milliseconds.
const PAGE_ROWS: u32 = 5_000;
/// Pages of changes read within one look, which the database has to keep a view for.
const PAGES_MAX: u32 = 8;
/// Rows of the copy checked in a step that has nothing else to do: a few milliseconds, a million links in a quarter of an hour.
const CHECKED_ROWS: usize = 1_000;
/// Between two comparisons because the numbers of links differ: if the database has counted wrongly, comparing does not help.
const COUNT_PAUSE: Duration = Duration::from_secs(600);

/// The database at one moment.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which database it is: a copy of another one is worth nothing.
    pub database: String,
    /// Changes where the same database goes on from another history: a standby took over, a backup was restored.
    pub lineage: String,
    /// Changes where rows may have gone without a trace.
    pub generation: String,
    pub now: Position,
    /// Links that are not deleted.
    pub links: u64,
}

/// Where changes come from: a database of links.
pub trait Source: Send {
    /// Begins a look: what [`Source::changes`] returns until [`Source::looked`] is the database at this moment.
    fn look(&mut self) -> impl Future<Output = Result<Head>> + Send;
    /// Up to `limit` rows of the range, with their transactions, ascending by both. A row changed later is not among them.
    fn changes(&mut self, range: Range, limit: u32) -> impl Future<Output = Result<Vec<(u64, LinkCopy)>>> + Send;
    /// Ends a look.
    fn looked(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Up to `limit` rows above the id, ascending: as they are now, which is not before the last look.
    fn page(&mut self, above: i64, limit: u32) -> impl Future<Output = Result<Vec<LinkCopy>>> + Send;
}

/// What is not to be remembered any more.
#[derive(Debug)]
pub enum Outdated<'a> {
    Codes(&'a [Changed]),
    /// These codes exist now: outdated is only that they do not.
    Absence(&'a [Changed]),
    /// Whatever is remembered.
    All,
}

/// A code, and the version its link has become; of a link that was removed the next one after its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub code: String,
    pub version: i64,
}

pub type Forget = Box<dyn Fn(Outdated<'_>) + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do.
    Now,
    Later,
}

/// What one step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    pub next: Next,
    /// Rows read.
    pub rows: u64,
    /// Why the whole table is compared from now on.
    pub compares: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was no copy, or not of this database.
    New,
    /// The database goes on from another history.
    Lineage,
    /// Rows were removed.
    Removed,
    /// The database counts more links, or fewer.
    Count,
}

impl Reason {
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::New, "new"), (Self::Lineage, "lineage"), (Self::Removed, "removed"), (Self::Count, "count")];
}

/// Keeps one copy current. Nothing else may write to it.
pub struct Follower<S> {
    source: S,
    /// `None`: nothing is kept but the progress, in memory.
    replica: Option<Replica>,
    forget: Forget,
    /// As in the file; `None`: not read yet, or there is none.
    progress: Option<Progress>,
    read: bool,
    counted_wrong_at: Option<Instant>,
    /// Rows up to this one have been checked in this round.
    checked: i64,
}

impl<S> std::fmt::Debug for Follower<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("replica", &self.replica).field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl<S: Source> Follower<S> {
    pub fn new(source: S, replica: Replica, forget: Forget) -> Self {
        Self::keeping(source, Some(replica), forget)
    }

    /// Of a node that keeps no copy: it only tells what is outdated. What changed before its first look it tells as [`Outdated::All`].
    pub fn telling(source: S, forget: Forget) -> Self {
        Self::keeping(source, None, forget)
    }

    fn keeping(source: S, replica: Option<Replica>, forget: Forget) -> Self {
        Self { source, replica, forget, progress: None, read: false, counted_wrong_at: None, checked: i64::MIN }
    }

    pub fn source(&self) -> &S {
        &self.source
    }

    /// One look, and one page where the table is being compared. After an error the copy is as it was, or a little newer.
    pub async fn step(&mut self, now: Instant) -> Result<Stepped> {
        self.reopen(now).await?;
        let head = self.source.look().await?;
        self.replace(now).await?;
        let mut stepped = Stepped { next: Next::Later, rows: 0, compares: self.recognise(&head, now).await? };
        let caught_up = self.follow(&head, &mut stepped.rows).await?;
        self.source.looked().await?;
        if caught_up {
            self.looked(Some(now));
            stepped.compares = stepped.compares.or(self.count(&head, now).await?);
        }
        let (compared, mut sound) = (self.progress()?.compared, true);
        if let Compared::UpTo(above) = compared {
            stepped.rows += self.compare(above).await?;
        } else {
            sound = self.check().await?;
        }
        if !caught_up || !sound || self.progress()?.compared != Compared::All {
            stepped.next = Next::Now;
        }
        Ok(stepped)
    }

    /// What can be done without the source about a file that cannot be read.
    async fn reopen(&mut self, now: Instant) -> Result<()> {
        match &self.replica {
            Some(replica) if replica.is_to_be_reopened(now) => {
                self.read = false;
                replica.renew(Keep::WhatIsWhole, now).await
            }
            _ => Ok(()),
        }
    }

    /// A file that is damaged, or not there any more, is replaced, once there is a source to copy from: until then what can be read of it
    /// is all this node has.
    async fn replace(&mut self, now: Instant) -> Result<()> {
        let Some(replica) = &self.replica else { return Ok(()) };
        if let Some(keep) = replica.lost() {
            self.read = false;
            replica.renew(keep, now).await?;
        }
        if !self.read {
            self.progress = replica.write(|connection| file::progress(connection)).await?;
            self.read = true;
        }
        Ok(())
    }

    /// Whether the copy is of what the source shows, and all of it.
    async fn recognise(&mut self, head: &Head, now: Instant) -> Result<Option<Reason>> {
        let reason = match &self.progress {
            None => Reason::New,
            Some(known) if known.database != head.database => Reason::New,
            Some(known) if known.lineage != head.lineage || !known.position.leads_to(&head.now) => Reason::Lineage,
            Some(known) if known.generation != head.generation => Reason::Removed,
            Some(_) => return Ok(None),
        };
        if reason == Reason::New
            && self.progress.take().is_some()
            && let Some(replica) = &self.replica
        {
            tracing::warn!("the replica is of another database: it is thrown away");
            replica.renew(Keep::Nothing, now).await?;
        }
        let known = self.progress.take();
        let next = Progress {
            database: head.database.clone(),
            lineage: head.lineage.clone(),
            generation: head.generation.clone(),
            links: known.as_ref().map_or(0, |known| known.links),
            complete: known.as_ref().is_some_and(|known| known.complete),
            // What this look and the ones before it may have missed is found by comparing, all later changes from here.
            position: known.filter(|_| reason == Reason::Removed).map_or_else(|| head.now.clone(), |known| known.position),
            // Without a copy there is nothing to compare.
            compared: if self.replica.is_some() { Compared::UpTo(i64::MIN) } else { Compared::All },
        };
        self.compare_anew(next, reason).await?;
        Ok(Some(reason).filter(|_| self.replica.is_some()))
    }

    async fn compare_anew(&mut self, next: Progress, reason: Reason) -> Result<()> {
        if self.replica.is_some() {
            tracing::info!(?reason, "the replica is compared with the whole database");
        }
        self.write(next, Vec::new(), |connection, progress, rows| apply::rows(connection, rows, progress)).await?;
        (self.forget)(Outdated::All);
        Ok(())
    }

    /// Applies what changed up to `head`; `false` where there is more.
    async fn follow(&mut self, head: &Head, read: &mut u64) -> Result<bool> {
        let mut ranges = self.progress()?.position.ranges_to(&head.now);
        let Some(mut latest) = ranges.pop() else { return Ok(true) };
        // Of transactions that were open at the last look: if this fails halfway they are read again.
        for mut range in ranges {
            while let Some((xid, id)) = self.apply_changes(range, None, read).await? {
                range.above = (xid, id);
            }
        }
        for _ in 0..PAGES_MAX {
            let Some((xid, id)) = self.apply_changes(latest, Some(head), read).await? else {
                return Ok(true);
            };
            latest.above = (xid, id);
        }
        Ok(false)
    }

    /// One page of a range; returns where the next one begins. With `head` the position moves on.
    async fn apply_changes(&mut self, range: Range, head: Option<&Head>, read: &mut u64) -> Result<Option<(u64, i64)>> {
        let changes = self.source.changes(range, PAGE_ROWS).await?;
        *read += changes.len() as u64;
        let mut next = self.progress()?.clone();
        let last = changes.last().map(|(xid, row)| (*xid, row.id.0));
        let more = last.filter(|_| changes.len() >= PAGE_ROWS as usize);
        if let Some(head) = head {
            next.position = more.map_or_else(|| head.now.clone(), |(xid, id)| Position::within(&head.now, xid, id));
        }
        if changes.is_empty() {
            // Kept in memory only: whoever begins at the older position finds nothing in between.
            self.progress = Some(next);
            return Ok(None);
        }
        let rows = changes.into_iter().map(|(_, row)| row).collect();
        let written = self.write(next, rows, |connection, progress, rows| apply::rows(connection, rows, progress)).await?;
        self.tell(written)?;
        Ok(more)
    }

    /// Numbers of the same moment: the copy has every change up to `head`.
    async fn count(&mut self, head: &Head, now: Instant) -> Result<Option<Reason>> {
        let known = self.progress()?.clone();
        let pause_over = self.counted_wrong_at.is_none_or(|at| now.saturating_duration_since(at) >= COUNT_PAUSE);
        if self.replica.is_none() || known.compared != Compared::All || known.links == head.links || !pause_over {
            return Ok(None);
        }
        tracing::warn!(here = known.links, database = head.links, "the replica has not as many links as the database says");
        self.counted_wrong_at = Some(now);
        let next = Progress { compared: Compared::UpTo(i64::MIN), ..known };
        self.compare_anew(next, Reason::Count).await?;
        Ok(Some(Reason::Count))
    }

    async fn compare(&mut self, above: i64) -> Result<u64> {
        let page = self.source.page(above, PAGE_ROWS).await?;
        let read = page.len() as u64;
        let to = match page.last() {
            Some(last) if page.len() >= PAGE_ROWS as usize => last.id.0,
            _ => i64::MAX,
        };
        let next = self.progress()?.clone();
        // What is copied for the first time nobody can remember wrongly: all changes since it began have been looked at.
        let tell = next.complete;
        let written = self.write(next, page, move |connection, progress, rows| {
            apply::compare(connection, (above, to), rows, progress, |progress, reached| match reached {
                i64::MAX => (progress.compared, progress.complete) = (Compared::All, true),
                reached => progress.compared = Compared::UpTo(reached),
            })
        });
        let written = written.await?;
        if tell {
            self.tell(written)?;
        }
        if self.progress()?.compared == Compared::All {
            tracing::info!(links = self.progress()?.links, "the replica has every link");
        }
        Ok(read)
    }

    /// A part of the copy: what the disk has lost is found before the day on which there is nobody else to ask.
    async fn check(&mut self) -> Result<bool> {
        let Some(replica) = &self.replica else { return Ok(true) };
        let above = self.checked;
        match replica.write(move |connection| apply::check(connection, above, CHECKED_ROWS)).await {
            Ok(checked) => {
                self.checked = checked.unwrap_or(i64::MIN);
                Ok(true)
            }
            // It has been said, and the next step begins another file.
            Err(StoreError::Corrupt(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn tell(&self, mut written: Written) -> Result<()> {
        // A copy that is not complete knows nothing of what it has not come to: it cannot tell an edit from a creation.
        if !self.progress()?.complete {
            written.codes.append(&mut written.new);
        }
        for (outdated, codes) in
            [(Outdated::Codes(&written.codes), &written.codes), (Outdated::Absence(&written.new), &written.new)]
        {
            if !codes.is_empty() {
                (self.forget)(outdated);
            }
        }
        Ok(())
    }

    /// Rows and progress in one transaction; returns the codes that may lead elsewhere now.
    async fn write(
        &mut self,
        mut progress: Progress,
        rows: Vec<LinkCopy>,
        work: impl FnOnce(&mut rusqlite::Connection, &mut Progress, &[LinkCopy]) -> Result<Written> + Send + 'static,
    ) -> Result<Written> {
        let Some(replica) = self.replica.clone() else {
            self.progress = Some(progress);
            return Ok(Written::of(rows));
        };
        let written = replica.write(move |connection| {
            let written = work(connection, &mut progress, &rows);
            Ok((written, progress, rows))
        });
        let (written, progress, rows) = written.await?;
        match written {
            Ok(written) => {
                replica.show(Some(&progress));
                self.progress = Some(progress);
                Ok(written)
            }
            Err(error) => {
                // The database has them, the copy has not: neither it nor anybody's memory is to be believed.
                replica.looked(None);
                self.read = false;
                (self.forget)(Outdated::Codes(&Written::of(rows).codes));
                replica.watch(Err(error))
            }
        }
    }

    fn looked(&self, began: Option<Instant>) {
        if let Some(replica) = &self.replica {
            replica.looked(began);
        }
    }

    fn progress(&self) -> Result<&Progress> {
        self.progress.as_ref().ok_or_else(|| StoreError::Internal("the replica has no progress".into()))
    }
}
