//! The thread that sends what is finished.
//!
//! Promised: it has a runtime of its own, so that nothing a collector does, or does not, takes a turn from a request; each attempt has a
//! deadline; a batch is tried [`ATTEMPTS_MAX`] times and then given up, so that a collector which comes back gets what is new; a stop
//! takes [`FLUSH_TIME`] at most.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{otlp::Otlp, queue::Waiting, recording::Finished};
use crate::config::OtlpEndpoint;

/// For a batch to fill; how late a trace is at most, while all is well.
const GATHER: Duration = Duration::from_millis(500);
/// Collectors take four megabytes by default; a span of ours is some 300 bytes.
const BATCH_SPANS_MAX: usize = 2048;
const ATTEMPTS_MAX: u32 = 3;
/// After the first attempt that failed; doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// At the end, for all that waits.
const FLUSH_TIME: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Exporter {
    stopping: Arc<Notify>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Exporter {
    pub(super) fn start(endpoint: OtlpEndpoint, deadline: Duration, waiting: Waiting) -> std::io::Result<Self> {
        let (stopping, (end, ended)) = (Arc::new(Notify::new()), oneshot::channel());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = Work { otlp: Otlp::new(endpoint), deadline, waiting, stopping: Arc::clone(&stopping), fails: false };
        std::thread::Builder::new().name("knurl-traces".into()).spawn(move || {
            runtime.block_on(work.run());
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
            let _ = end.send(());
        })?;
        Ok(Self { stopping, ended: Mutex::new(Some(ended)) })
    }

    pub(super) async fn stop(&self) {
        self.stopping.notify_one();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // Its own deadline comes first, unless its thread gets no turn.
            let _ = timeout(FLUSH_TIME + PAUSE, ended).await;
        }
    }
}

struct Work {
    otlp: Otlp,
    deadline: Duration,
    waiting: Waiting,
    stopping: Arc<Notify>,
    /// Whether the last attempt failed: told once.
    fails: bool,
}

impl Work {
    async fn run(mut self) {
        let stopping = Arc::clone(&self.stopping);
        let mut stopped = std::pin::pin!(stopping.notified());
        loop {
            let first = tokio::select! {
                () = &mut stopped => break,
                first = self.waiting.next() => first,
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            let is_stopping = tokio::select! {
                () = &mut stopped => true,
                () = gather(&mut self.waiting, &mut batch) => false,
            };
            if is_stopping {
                return self.flush(batch).await;
            }
            // A collector that hangs is not waited for when we are to stop.
            let sending = self.send(&batch);
            let is_stopping = tokio::select! {
                () = &mut stopped => true,
                () = sending => false,
            };
            if is_stopping {
                return self.flush(batch).await;
            }
            self.waiting.done(&batch);
        }
        self.flush(Vec::new()).await;
    }

    /// Until it is taken, or given up.
    async fn send(&mut self, batch: &[Finished]) {
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            if self.attempt(batch, Instant::now() + self.deadline).await {
                return;
            }
            if attempt < ATTEMPTS_MAX {
                sleep(pause).await;
                pause *= 2;
            }
        }
        self.waiting.counts().refused.add(batch.len() as u64);
    }

    async fn attempt(&mut self, batch: &[Finished], until: Instant) -> bool {
        let sent = timeout_at(until, self.otlp.send(batch)).await;
        let error = match sent {
            Ok(Ok(())) => {
                self.waiting.counts().exported.add(batch.len() as u64);
                if std::mem::take(&mut self.fails) {
                    tracing::info!("the collector takes traces again");
                }
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => {
                self.otlp.hang_up();
                "it did not answer in time".to_owned()
            }
        };
        self.waiting.counts().failures.inc();
        if !std::mem::replace(&mut self.fails, true) {
            tracing::warn!(error, "the collector does not take traces: they are dropped when their queue is full");
        }
        false
    }

    /// One attempt for each batch that waits, all of them within [`FLUSH_TIME`].
    async fn flush(mut self, mut batch: Vec<Finished>) {
        self.waiting.close();
        let until = Instant::now() + FLUSH_TIME;
        loop {
            fill(&mut self.waiting, &mut batch);
            if batch.is_empty() {
                break;
            }
            if !self.attempt(&batch, until).await {
                self.waiting.counts().abandoned.add(batch.len() as u64);
            }
            self.waiting.done(&batch);
            batch.clear();
        }
    }
}

/// More, until the batch is full or [`GATHER`] is over.
async fn gather(waiting: &mut Waiting, batch: &mut Vec<Finished>) {
    let mut spans: usize = batch.iter().map(|finished| finished.spans.len()).sum();
    let spans_max = waiting.batch_spans_max().min(BATCH_SPANS_MAX);
    let more = async {
        while spans < spans_max
            && let Some(next) = waiting.next().await
        {
            spans += next.spans.len();
            batch.push(next);
        }
    };
    let _ = timeout(GATHER, more).await;
}

/// What is there.
fn fill(waiting: &mut Waiting, batch: &mut Vec<Finished>) {
    let mut spans: usize = batch.iter().map(|finished| finished.spans.len()).sum();
    let spans_max = waiting.batch_spans_max().min(BATCH_SPANS_MAX);
    while spans < spans_max
        && let Some(next) = waiting.at_once()
    {
        spans += next.spans.len();
        batch.push(next);
    }
}
