//! Delivers what the spool holds into the store, exactly once.
//!
//! Promised: clicks, roll-ups and cursor go in one transaction, so whatever happens in between (a kill, a lost reply, a restart) each
//! record is applied once; errors are retried for ever, with a bounded wait; a record that cannot be read is counted, never waited for; one
//! that the store refuses for good, while it takes others, is set aside after [`REFUSALS_MAX`] tries, at most [`ASIDE_MAX`] in a run.
//! Refused: giving up; deciding when to run (see [`crate::jobs`]); delivering what a power failure could still take from the spool. So the
//! store's cursor is never ahead of the disk, and a node may start, and record, before it knows the cursor.

use std::{
    error::Error,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join;
use knurl_spool::{Position, ReadError};
use knurl_store::{Applied, ClickBatch, Cursor, Store, StoreError};
use tokio::{
    task::{JoinError, spawn_blocking},
    time::Instant,
};

use super::{
    enrich::{Enriched, Enricher},
    shared::{Shared, cursor, position},
};
use crate::{
    chance,
    telemetry::{
        scope::{self, Scope},
        traces::Kind,
    },
};

/// First guess of what a record takes in the spool; learnt from the first batch on.
const RECORD_BYTES_GUESS: usize = 256;
/// A record is never shorter than this (frame, click header, code, target): keeps the guess from running to zero.
const RECORD_BYTES_MIN: usize = 32;
/// Bytes read for one batch at most, so that two batches of the longest clicks still fit a small memory.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Rows of a first batch, before anything is known of the store's pace.
const ROWS_FIRST: usize = 2_000;
/// However slow the store: fewer cost more than they spare those who wait.
const ROWS_SLOW_MIN: usize = 500;
/// How long the store may take for a batch. More clicks at once cost less each, because more of them share the rows and pages that they
/// change; but a create on SQLite waits behind a batch, and so does, on PostgreSQL, another node's for the links they share.
const APPLY_AIM: Duration = Duration::from_millis(150);
/// The wait after the first failure, and after many.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);

/// A single record that the store refused this often in a row, by a fault of ours and not of its availability, is set aside. With the waits
/// between them these are some ten seconds.
pub const REFUSALS_MAX: u32 = 8;
/// Records set aside in the life of a process. More than a few mean that something else than the records is broken: then they wait.
pub const ASIDE_MAX: u64 = 16;

/// The one that delivers; there is one for each spool.
#[derive(Debug)]
pub struct Drain {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    rows_max: usize,
    /// Rows of the next batch: as many as the store takes in [`APPLY_AIM`]; fewer after a refusal, until the record at fault is alone.
    rows: usize,
    /// How often in a row the store has refused one record that was alone.
    refusals: u32,
    record_bytes: usize,
    /// `None`: to be asked of the store.
    cursor: Option<Cursor>,
    /// Where the store's cursor was when we last knew it; `None`: this run has not known it yet.
    known: Option<Cursor>,
    /// Where it may be since, by a batch of ours of which we were not told what became: a failed one may have been applied.
    unsure: Vec<Cursor>,
    /// `None` while a batch is being read on another thread, or was lost there.
    enricher: Option<Enricher>,
    /// The batch after the one that the store took last, read while it took it.
    ahead: Option<Ready>,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Everything that was in the spool when the step began is delivered.
    CaughtUp,
    /// Step again.
    More,
    /// Step again after this long. Logged and counted.
    Failed { wait: Duration },
}

#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error("the store did not take the clicks")]
    Store(#[from] StoreError),
    #[error("the spool could not be read")]
    Spool(#[from] ReadError),
    #[error("a batch could not be read")]
    Thread(#[from] JoinError),
    #[error("a click that the store refuses could not be set aside")]
    Aside(#[source] std::io::Error),
    #[error("the disk does not finish its fsync")]
    Undurable,
    #[error("no segment could be begun above the store's cursor")]
    Begin(#[source] std::io::Error),
}

/// Read from the spool, ready for the store.
#[derive(Debug)]
struct Ready {
    batch: ClickBatch,
    skipped: u64,
}

impl Drain {
    pub(super) fn new(shared: Arc<Shared>, store: Arc<dyn Store>, rows_max: usize) -> Self {
        Self {
            shared,
            store,
            rows_max: rows_max.max(1),
            rows: rows_max.clamp(1, ROWS_FIRST),
            refusals: 0,
            record_bytes: RECORD_BYTES_GUESS,
            cursor: None,
            known: None,
            unsure: Vec::new(),
            enricher: None,
            ahead: None,
            failures: 0,
        }
    }

    /// One batch. Not cancel-safe in its timing, always in its effect: a step that was dropped is found out by the next one's cursor.
    pub async fn step(&mut self) -> Stepped {
        let scope = self.shared.metrics.traces.step();
        let delivered = scope::carry(scope.clone(), self.deliver()).await;
        if let Some(recording) = scope.as_deref().and_then(Scope::recording)
            && (delivered.is_err() || recording.has_counted())
        {
            recording.end(Kind::Internal, delivered.is_err(), |span| span.rename("drain"));
        }
        match delivered {
            Ok(stepped) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, "clicks are delivered again");
                }
                self.failures = 0;
                stepped
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Resolves when a barrier wants the clicks up to now.
    pub async fn wanted(&self) {
        self.shared.drain_wanted.notified().await;
    }

    async fn deliver(&mut self) -> Result<Stepped, DrainError> {
        let from = self.from().await?;
        let goal = self.shared.spool.written().seq;
        let ready = match self.ahead.take() {
            Some(ahead) if ahead.batch.from == from => ahead,
            _ => match self.next(from, goal).await? {
                Some(ready) => ready,
                None => return Ok(Stepped::CaughtUp),
            },
        };
        let (to, rows, lost) = (ready.batch.to, ready.batch.clicks.len(), ready.batch.undecodable);
        let oldest_at = ready.batch.clicks.first().map_or(0, |first| first.click.at.0);
        self.shared.delivering_at_ms.store(oldest_at, Ordering::Relaxed);
        fail::fail_point!("drain::before_apply");
        let store = Arc::clone(&self.store);
        let is_first = self.may_be_at(to);
        let (began, applying) = (Instant::now(), store.apply_clicks(ready.batch));
        let ((applied, took), ahead) = join(async { (applying.await, began.elapsed()) }, self.read_ahead(to)).await;
        let applied = match applied {
            Err(StoreError::Internal(cause)) => return self.refused(from, to, rows, StoreError::Internal(cause)).await,
            applied => applied?,
        };
        fail::fail_point!("drain::after_apply");
        match applied {
            Applied::Applied => {
                scope::count("knurl.clicks", rows as u64);
                self.ahead = ahead;
                self.rows = paced(self.rows, rows, took).min(self.rows_max);
                self.refusals = 0;
                self.shared.metrics.clicks.drain.observe(took);
                self.note_lost(lost, ready.skipped);
                tracing::debug!(rows, seq = to.seq, "clicks delivered");
                self.moved_to(from, to).await;
                Ok(if to.seq >= goal { Stepped::CaughtUp } else { Stepped::More })
            }
            Applied::CursorIs(actual) if actual.seq == 0 && from.seq > 0 => {
                self.forget(actual, from).await?;
                Ok(Stepped::More)
            }
            Applied::CursorIs(actual) => {
                tracing::warn!(
                    expected = from.seq,
                    actual = actual.seq,
                    "the store's click cursor is elsewhere (the reply to a commit was lost, or the database was changed); going on from there"
                );
                if is_first {
                    // This batch was not applied, and no other had this end.
                    self.unsure.retain(|end| *end != to);
                }
                self.judge(actual);
                self.moved_to(from, actual).await;
                Ok(Stepped::More)
            }
        }
    }

    /// The store is there and does not take this batch, by a fault of its own or of ours. Half of it is tried next, so that what it takes is
    /// delivered and the record at fault ends up alone.
    async fn refused(&mut self, from: Cursor, to: Cursor, rows: usize, error: StoreError) -> Result<Stepped, DrainError> {
        if rows > 1 {
            self.rows = rows / 2;
            return Err(error.into());
        }
        self.refusals += 1;
        if self.refusals < REFUSALS_MAX || self.shared.metrics.clicks.aside.get() >= ASIDE_MAX {
            return Err(error.into());
        }
        let (shared, at) = (Arc::clone(&self.shared), position(from));
        spawn_blocking(move || keep_aside(&shared, at)).await??;
        // A store that refuses even this is what is broken, not the record.
        let batch = ClickBatch { from, to, clicks: Vec::new(), undecodable: to.seq - from.seq };
        self.may_be_at(to);
        if self.store.apply_clicks(batch).await? == Applied::Applied {
            self.shared.metrics.clicks.aside.inc();
            self.shared.metrics.clicks.undecodable.add(to.seq - from.seq);
            tracing::error!(
                error = &error as &dyn Error,
                seq = from.seq,
                "the database refuses this click and takes others: it is kept as aside-*.record in the spool and counted as lost"
            );
        }
        (self.cursor, self.refusals) = (None, 0);
        Ok(Stepped::More)
    }

    /// The store had our cursor and has it no more: somebody has emptied the tables. What was delivered went with them; delivered once
    /// more, it would belong to whatever links have those ids now.
    async fn forget(&mut self, start: Cursor, delivered: Cursor) -> Result<(), StoreError> {
        let forgotten = delivered.seq;
        let batch = ClickBatch { from: start, to: delivered, clicks: Vec::new(), undecodable: forgotten };
        self.may_be_at(delivered);
        // Where the cursor has moved meanwhile, the next step is told so.
        if self.store.apply_clicks(batch).await? == Applied::Applied {
            self.shared.metrics.clicks.undecodable.add(forgotten);
            tracing::warn!(forgotten, "the database was emptied: the clicks it had are counted as lost and not delivered again");
        }
        Ok(())
    }

    /// A batch is on its way: what becomes of it, we may not be told. Whether it is the first with this end.
    fn may_be_at(&mut self, to: Cursor) -> bool {
        let is_first = !self.unsure.contains(&to);
        if is_first {
            self.unsure.push(to);
        }
        is_first
    }

    /// Of a cursor that the store names: whether we have put it there. A cursor that somebody else has moved on means that there are two of this
    /// spool, each with clicks of its own under the same numbers: ours below it will never be delivered. They are lost, and counted as answered
    /// and nowhere, so that the law does not hold.
    fn judge(&mut self, actual: Cursor) {
        let Some(known) = self.known else { return };
        if actual.seq <= known.seq || self.unsure.contains(&actual) {
            return;
        }
        let lost = actual.seq - known.seq;
        self.shared.spool.count_answered(lost);
        tracing::error!(
            expected = known.seq,
            actual = actual.seq,
            lost,
            "somebody else delivers clicks as this spool: the data directory was copied and both are served. Stop one of them and give it a new \
             directory; `knurl audit` shows what is lost"
        );
    }

    async fn from(&mut self) -> Result<Cursor, DrainError> {
        if let Some(cursor) = self.cursor {
            return Ok(cursor);
        }
        let spool_id = self.shared.spool.id();
        let known = self.store.cursor(spool_id).await?.unwrap_or_else(|| cursor(spool_id, Position::default()));
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || see(&shared, known)).await??;
        self.judge(known);
        self.shared.note_delivered(known);
        self.is_at(known);
        Ok(known)
    }

    /// The next batch; `None` where there is none.
    async fn next(&mut self, from: Cursor, goal: u64) -> Result<Option<Ready>, DrainError> {
        if goal <= from.seq {
            return Ok(None);
        }
        let wanted = goal.min(from.seq.saturating_add(self.rows as u64));
        if self.shared.spool.durable().seq < wanted && !self.shared.durable_to(wanted).await {
            return Err(DrainError::Undurable);
        }
        self.read(from).await
    }

    /// What will be wanted when the store has taken everything up to `from`: nothing that would have to be waited for, and no batch that
    /// is smaller than it would be then. An error here is found again, and told, when it is wanted.
    async fn read_ahead(&mut self, from: Cursor) -> Option<Ready> {
        let durable = self.shared.spool.durable().seq;
        if durable.saturating_sub(from.seq) < self.rows as u64 {
            return None;
        }
        self.read(from).await.ok().flatten()
    }

    /// Reading, decoding and classifying take milliseconds: on a thread that may block.
    async fn read(&mut self, from: Cursor) -> Result<Option<Ready>, DrainError> {
        let (shared, rows_max, record_bytes) = (Arc::clone(&self.shared), self.rows, self.record_bytes);
        let mut enricher = self.enricher.take().unwrap_or_default();
        let (read, enricher) =
            spawn_blocking(move || (read_batch(&shared, from, rows_max, record_bytes, &mut enricher), enricher)).await?;
        self.enricher = Some(enricher);
        let (to, skipped, enriched, record_bytes) = read?;
        self.record_bytes = record_bytes;
        if to == position(from) {
            return Ok(None);
        }
        let undecodable = enriched.undecodable + skipped;
        let batch = ClickBatch { from, to: cursor(from.spool_id, to), clicks: enriched.clicks, undecodable };
        Ok(Some(Ready { batch, skipped }))
    }

    fn is_at(&mut self, cursor: Cursor) {
        (self.cursor, self.known) = (Some(cursor), Some(cursor));
        self.unsure.clear();
    }

    /// Lets the barriers go and gives delivered segments back.
    async fn moved_to(&mut self, from: Cursor, to: Cursor) {
        self.is_at(to);
        self.shared.delivering_at_ms.store(0, Ordering::Relaxed);
        self.shared.note_delivered(to);
        if to.segment == from.segment {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match spawn_blocking(move || shared.spool.release(position(to))).await {
            Ok(Ok(released)) => {
                if released > 0 {
                    // There may be room again for those who wait.
                    self.shared.preparer.ring();
                }
            }
            Ok(Err(error)) => tracing::warn!(
                error = &error as &dyn Error,
                "delivered click segments could not be deleted; tried again with the next ones"
            ),
            Err(error) => tracing::error!(error = &error as &dyn Error, "delivered click segments could not be deleted"),
        }
        fail::fail_point!("drain::after_release");
    }

    fn note_lost(&self, lost: u64, skipped: u64) {
        if lost == 0 {
            return;
        }
        self.shared.metrics.clicks.undecodable.add(lost);
        tracing::error!(
            skipped,
            undecodable = lost - skipped,
            "clicks in the spool could not be read and are lost: the disk is damaged or was changed by someone"
        );
    }

    fn failed(&mut self, error: &DrainError) -> Stepped {
        self.shared.metrics.clicks.drain_errors.inc();
        let wait = retry_wait(self.failures, chance::small());
        self.failures = self.failures.saturating_add(1);
        let transient = matches!(error, DrainError::Store(error) if error.is_transient());
        if transient {
            // It may be there and too slow for so many in its time: the same again would fail again, for ever.
            self.rows = (self.rows / 2).max(1);
        }
        if !transient {
            // Ours, or damage: loud at every try. What the store has is asked again, in case it is not what we think.
            self.cursor = None;
            tracing::error!(
                error = error as &dyn Error,
                failures = self.failures,
                "clicks could not be delivered; they stay in the spool"
            );
        } else if self.failures == 1 {
            tracing::warn!(
                error = error as &dyn Error,
                "the store is away, or does not take a batch in time: clicks stay in the spool until it does"
            );
        }
        Stepped::Failed { wait }
    }
}

/// The store's cursor is known now, if it was not. It is never ahead of where this run began, unless the directory is a copy of an earlier
/// state than the store's: then this run's records have sequences that the store has seen already, under which they can never be delivered.
/// They are lost, counted as answered and nowhere, and new ones begin above the cursor.
fn see(shared: &Shared, known: Cursor) -> Result<(), DrainError> {
    let blind = || shared.blind.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(begun) = *blind() else { return Ok(()) };
    let ahead = known.seq.saturating_sub(begun.seq);
    if ahead > 0 {
        shared.spool.begin_above(known.seq).map_err(DrainError::Begin)?;
        shared.spool.count_answered(ahead);
        tracing::error!(
            cursor = known.seq,
            begun = begun.seq,
            "the click spool is a copy of an earlier state than the database's, and clicks were recorded before that was known: they are lost; \
             `knurl audit` shows how many"
        );
    }
    *blind() = None;
    Ok(())
}

fn keep_aside(shared: &Shared, at: Position) -> Result<(), DrainError> {
    let batch = shared.spool.read(at, 1)?;
    match batch.records().next() {
        Some(record) => shared.spool.set_aside(at.seq, record).map_err(DrainError::Aside),
        None => Ok(()),
    }
}

/// Where the batch ends, records skipped, its clicks, and what a record took on average.
type Read = (Position, u64, Enriched, usize);

/// Reads one batch of at most `rows_max` records.
fn read_batch(
    shared: &Shared,
    from: Cursor,
    rows_max: usize,
    record_bytes: usize,
    enricher: &mut Enricher,
) -> Result<Read, ReadError> {
    let mut bytes_max = rows_max.saturating_mul(record_bytes).min(BATCH_BYTES_MAX);
    loop {
        let batch = shared.spool.read_durable(position(from), bytes_max)?;
        let rows = batch.len();
        if rows <= rows_max {
            let bytes: usize = batch.records().map(<[u8]>::len).sum();
            let average = bytes.checked_div(rows).map_or(record_bytes, |average| average.max(RECORD_BYTES_MIN));
            return Ok((batch.next, batch.skipped, enricher.enrich(batch.records()), average));
        }
        // Shorter records than the last ones: ask for fewer bytes. Ends, because a read of one byte returns one record.
        bytes_max = (bytes_max / rows).saturating_mul(rows_max).min(bytes_max / 2);
    }
}

/// Rows of the next batch, after one of `taken` that took so long. One that was much smaller than allowed shows nothing of more; a little smaller most
/// are, since they are read by their bytes.
fn paced(rows: usize, taken: usize, took: Duration) -> usize {
    if took <= APPLY_AIM {
        return if taken < rows / 2 { rows } else { rows.saturating_mul(2) };
    }
    let fewer = (taken as f64 * (APPLY_AIM.as_secs_f64() / took.as_secs_f64())) as usize;
    fewer.max(rows.min(ROWS_SLOW_MIN))
}

/// Doubles from the least to the most, less up to half of it by chance, so that nodes that failed together do not come back together.
fn retry_wait(failures: u32, chance: u32) -> Duration {
    let full = RETRY_WAIT_MIN.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX)).min(RETRY_WAIT_MAX);
    full - full.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_while_the_store_is_quick_and_shrink_to_what_it_takes_in_time() {
        assert_eq!(paced(1, 1, Duration::from_millis(1)), 2);
        assert_eq!(paced(usize::MAX, usize::MAX, APPLY_AIM), usize::MAX);
        assert_eq!(paced(8_000, 8_000, APPLY_AIM * 2), 4_000);
        assert_eq!(paced(8_000, 8_000, Duration::from_secs(60)), ROWS_SLOW_MIN);
        assert_eq!(paced(2_000, 1_990, APPLY_AIM), 4_000);
        // Of few clicks nothing is learnt of many.
        assert_eq!(paced(2_000, 7, Duration::from_millis(1)), 2_000);
        assert_eq!(paced(2_000, 7, Duration::from_secs(60)), ROWS_SLOW_MIN);
        // Those that were fewer because of a refusal are not more because of a slow store.
        assert_eq!(paced(3, 3, Duration::from_secs(60)), 3);
    }

    #[test]
    fn retries_wait_longer_and_longer_but_never_longer_than_the_bound() {
        for (failures, full_ms) in [(0, 50), (1, 100), (2, 200), (5, 1600), (6, 2000), (1000, 2000), (u32::MAX, 2000)] {
            assert_eq!(retry_wait(failures, 0), Duration::from_millis(full_ms));
            assert_eq!(retry_wait(failures, u32::MAX), Duration::from_millis(full_ms / 2));
        }
    }
}
