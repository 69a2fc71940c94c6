//! What recorder, syncer, preparer and drain share: the spool, and the signals between them.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use knurl_spool::{Position, Spool};
use knurl_store::Cursor;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use super::salts::SaltBook;
use crate::telemetry::Metrics;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spool: Spool,
    pub(super) metrics: Arc<Metrics>,
    pub(super) salts: ArcSwap<SaltBook>,
    /// Recorders -> syncer: somebody waits for an fsync.
    pub(super) syncer: Bell,
    /// Recorders and drain -> preparer: somebody waits for a segment; there may be space for one.
    pub(super) preparer: Bell,
    /// Syncer -> recorders: [`Spool::durable`] moved, or will move no more.
    pub(super) durable_moved: Notify,
    /// The syncer is gone: nothing becomes durable any more.
    pub(super) syncing_ended: AtomicBool,
    /// Preparer -> recorders: a segment is ready, or `starved` changed.
    pub(super) segment_ready: Notify,
    /// The last `prepare` left no segment: waiting for one is pointless until the next succeeds.
    pub(super) starved: AtomicBool,
    /// Barriers -> drain.
    pub(super) drain_wanted: Notify,
    /// Drain -> barriers: records the store has, by sequence.
    pub(super) delivered: watch::Sender<u64>,
    /// The segment the cursor is in.
    pub(super) delivered_segment: AtomicU64,
    /// When the oldest click of the batch that is being delivered was answered; 0: none is.
    pub(super) delivering_at_ms: AtomicI64,
    /// What a scrape saw delivered while there was more, and since when: a drain that does not even read shows here.
    standing: Mutex<Option<(u64, Instant)>>,
    /// Where this run's records begin, as long as the store has not told its cursor: the spool was opened without it.
    pub(super) blind: Mutex<Option<Position>>,
}

/// How long an answer, or a delivery, waits for an fsync. A disk that takes longer hangs.
pub(super) const SYNC_WAIT_MAX: Duration = Duration::from_secs(5);

impl Shared {
    /// `delivered`: the store's cursor. `None`: it cannot be asked now; what was released was delivered, and that is all that is known.
    pub(super) fn new(spool: Spool, delivered: Option<Position>, metrics: Arc<Metrics>) -> Arc<Self> {
        let blind = delivered.is_none().then(|| spool.written());
        let delivered = delivered.unwrap_or_else(|| spool.oldest());
        Arc::new(Self {
            blind: Mutex::new(blind),
            spool,
            metrics,
            salts: ArcSwap::from_pointee(SaltBook::unshared()),
            syncer: Bell::default(),
            preparer: Bell::default(),
            durable_moved: Notify::new(),
            syncing_ended: AtomicBool::new(false),
            segment_ready: Notify::new(),
            starved: AtomicBool::new(false),
            drain_wanted: Notify::new(),
            delivered: watch::Sender::new(delivered.seq),
            delivered_segment: AtomicU64::new(delivered.segment),
            delivering_at_ms: AtomicI64::new(0),
            standing: Mutex::default(),
        })
    }

    pub(super) fn note_delivered(&self, cursor: Cursor) {
        self.delivered_segment.store(cursor.segment, Ordering::Relaxed);
        self.delivered.send_replace(cursor.seq);
    }

    pub(super) fn delivered_seq(&self) -> u64 {
        *self.delivered.borrow()
    }

    /// Has the syncer make records durable up to `seq`, and waits for it. `false`: the disk does not finish, or will never.
    pub(super) async fn durable_to(&self, seq: u64) -> bool {
        let until = Instant::now() + SYNC_WAIT_MAX;
        loop {
            let mut moved = std::pin::pin!(self.durable_moved.notified());
            // Registered before the spool is asked, so that no sync is missed in between.
            moved.as_mut().enable();
            if self.spool.durable().seq >= seq {
                return true;
            }
            if self.syncing_ended.load(Ordering::Acquire) {
                return false;
            }
            self.syncer.ring();
            if timeout_at(until, moved).await.is_err() {
                return false;
            }
        }
    }

    /// Age of the oldest click that is not delivered, as far as it is known: by the click itself once it was read, before that by how long
    /// nothing has moved.
    fn backlog_ms(&self, delivered: u64, backlog: u64) -> u64 {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if backlog == 0 {
            *standing = None;
            return 0;
        }
        let since = match *standing {
            Some((seq, since)) if seq == delivered => since,
            _ => standing.insert((delivered, Instant::now())).1,
        };
        let stood_ms = since.elapsed().as_millis();
        let answered_at_ms = u128::try_from(self.delivering_at_ms.load(Ordering::Relaxed)).unwrap_or(0);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let aged_ms = if answered_at_ms == 0 { 0 } else { now_ms.saturating_sub(answered_at_ms) };
        u64::try_from(stood_ms.max(aged_ms)).unwrap_or(u64::MAX)
    }

    /// Totals the spool keeps anyway are copied at a scrape: nothing is counted twice on the redirect.
    pub(super) fn report_at_scrapes(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.metrics.on_render(move |metrics| {
            let Some(shared) = weak.upgrade() else { return };
            let ledger = shared.spool.ledger();
            let delivered =
                Position { segment: shared.delivered_segment.load(Ordering::Relaxed), offset: 0, seq: shared.delivered_seq() };
            metrics.clicks.answered.set(ledger.answered);
            metrics.clicks.dropped.set(ledger.dropped);
            metrics.clicks.delivered.set(delivered.seq);
            // Read after `answered`, which counts what is written: never less by mistake.
            let kept = shared.spool.written().seq.max(delivered.seq);
            metrics.clicks.lost.set(ledger.answered.saturating_sub(kept.saturating_add(ledger.dropped)));
            let backlog = shared.spool.backlog_records(delivered);
            metrics.clicks.backlog.set(backlog);
            metrics.clicks.backlog_ms.set(shared.backlog_ms(delivered.seq, backlog));
            metrics.clicks.backlog_bytes.set(shared.spool.backlog_bytes(delivered));
        });
    }
}

/// Wakes a thread.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    heard: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    work: bool,
    stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    Work,
    Stop,
}

impl Bell {
    pub(super) fn ring(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !rung.work {
            rung.work = true;
            self.heard.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.heard.notify_one();
    }

    /// Until rung, or `at_most`.
    pub(super) fn wait(&self, at_most: Duration) -> Woken {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) =
            self.heard.wait_timeout_while(rung, at_most, |rung| !rung.work && !rung.stop).unwrap_or_else(PoisonError::into_inner);
        rung.work = false;
        if rung.stop { Woken::Stop } else { Woken::Work }
    }
}

pub(super) fn position(cursor: Cursor) -> Position {
    Position { segment: cursor.segment, offset: cursor.offset, seq: cursor.seq }
}

pub(super) fn cursor(spool_id: u128, position: Position) -> Cursor {
    Cursor { spool_id, segment: position.segment, offset: position.offset, seq: position.seq }
}
