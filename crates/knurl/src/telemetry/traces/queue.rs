//! Finished traces on their way to the exporter.
//!
//! Promised: offering never waits and takes no more memory than for so many spans, those under way included; what does not fit is counted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use super::{TraceCounts, recording::Finished};

#[derive(Debug)]
pub(super) struct Queue {
    traces: mpsc::Sender<Finished>,
    room: Arc<Room>,
}

/// What is in the queue, or taken from it and not done with.
#[derive(Debug)]
struct Room {
    spans: AtomicUsize,
    spans_max: usize,
    counts: Arc<TraceCounts>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    traces: mpsc::Receiver<Finished>,
    room: Arc<Room>,
}

pub(super) fn queue(spans_max: usize, counts: Arc<TraceCounts>) -> (Queue, Waiting) {
    let spans_max = spans_max.max(1);
    let room = Arc::new(Room { spans: AtomicUsize::new(0), spans_max, counts });
    // A trace has one span at least.
    let (traces, waiting) = mpsc::channel(spans_max);
    (Queue { traces, room: Arc::clone(&room) }, Waiting { traces: waiting, room })
}

impl Queue {
    /// Whether it found room.
    pub(super) fn offer(&self, finished: Finished) -> bool {
        let spans = finished.spans.len();
        let fits = |taken: usize| taken.checked_add(spans).filter(|sum| *sum <= self.room.spans_max);
        let found = self.room.spans.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if found && self.traces.try_send(finished).is_ok() {
            return true;
        }
        if found {
            self.room.spans.fetch_sub(spans, Relaxed);
        }
        self.room.counts.overflowed.inc();
        false
    }
}

impl Queue {
    pub(super) fn spans(&self) -> usize {
        self.room.spans.load(Relaxed)
    }
}

impl Waiting {
    /// The next one, which takes its room until it is [`Waiting::done`] with; `None` when the queue is closed and empty.
    pub(super) async fn next(&mut self) -> Option<Finished> {
        self.traces.recv().await
    }

    pub(super) fn at_once(&mut self) -> Option<Finished> {
        self.traces.try_recv().ok()
    }

    /// Sent, or given up.
    pub(super) fn done(&self, batch: &[Finished]) {
        let spans = batch.iter().map(|finished| finished.spans.len()).sum();
        self.room.spans.fetch_sub(spans, Relaxed);
    }

    /// So many at once that others find room meanwhile.
    pub(super) fn batch_spans_max(&self) -> usize {
        (self.room.spans_max / 2).max(1)
    }

    /// Nothing is taken any more.
    pub(super) fn close(&mut self) {
        self.traces.close();
    }

    pub(super) fn counts(&self) -> &Arc<TraceCounts> {
        &self.room.counts
    }
}
