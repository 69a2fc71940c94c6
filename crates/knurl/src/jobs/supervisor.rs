//! Runs one job: `loop { step; pause }` until stopped.
//!
//! Promised: a step is never cut short by a stop that has time left; a panic is logged, counted and answered with a fresh job after a
//! growing pause, and touches no other job.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use crate::telemetry::Metrics;

const RESTART_WAIT_MIN: Duration = Duration::from_millis(100);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a job wants after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    No,
    For(Duration),
    /// Or until [`Job::wanted`].
    Until(Duration),
}

pub(super) trait Job: Send + 'static {
    const NAME: &'static str;

    fn step(&mut self) -> impl Future<Output = Pause> + Send;

    /// Resolves when somebody wants the next step now.
    fn wanted(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The last act, after the stop.
    fn finish(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A job that runs.
#[derive(Debug)]
pub(super) struct Running {
    name: &'static str,
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// A job that is ready to run.
pub struct Prepared {
    pub name: &'static str,
    /// Ends after the stop.
    pub run: BoxFuture<'static, ()>,
    /// Tells it to end.
    pub stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Prepared {
    pub(super) fn start(self) -> Running {
        Running { name: self.name, task: tokio::spawn(self.run), stop: self.stop }
    }
}

/// `make` is called at the start and after each panic: what a panic left behind is thrown away.
pub(super) fn prepare<J: Job>(mut make: impl FnMut() -> J + Send + 'static, metrics: Arc<Metrics>) -> Prepared {
    let (stop, stopped) = watch::channel(false);
    let run = Box::pin(async move {
        let mut panics_in_a_row = 0;
        loop {
            let mut job = make();
            let lived = Instant::now();
            let Err(panic) = AssertUnwindSafe(until_stopped(&mut job, stopped.clone())).catch_unwind().await else {
                return;
            };
            metrics.jobs.panics.inc();
            // A job that had run well for long enough begins again at the shortest pause.
            panics_in_a_row = if lived.elapsed() > RESTART_WAIT_MAX { 1 } else { panics_in_a_row + 1 };
            let wait = restart_wait(panics_in_a_row);
            tracing::error!(job = J::NAME, panic = sentence(&*panic), ?wait, "a job panicked; it is started again after a pause");
            if stop_within(&mut stopped.clone(), wait).await {
                return;
            }
        }
    });
    Prepared { name: J::NAME, run, stop }
}

async fn until_stopped<J: Job>(job: &mut J, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let stop = match job.step().await {
            Pause::No => {
                // Let the stop, and the runtime, have their turn.
                tokio::task::yield_now().await;
                false
            }
            Pause::For(length) => stop_within(&mut stopped, length).await,
            Pause::Until(length) => {
                tokio::select! {
                    stop = stop_within(&mut stopped, length) => stop,
                    () = job.wanted() => false,
                }
            }
        };
        if stop {
            break;
        }
    }
    job.finish().await;
}

/// Sleeps; `true` as soon as the stop comes.
async fn stop_within(stopped: &mut watch::Receiver<bool>, length: Duration) -> bool {
    tokio::select! {
        // A sender that is gone is a stop too.
        _ = stopped.wait_for(|stop| *stop) => true,
        () = sleep(length) => false,
    }
}

fn restart_wait(panics_in_a_row: u32) -> Duration {
    RESTART_WAIT_MIN.saturating_mul(1 << panics_in_a_row.saturating_sub(1).min(16)).min(RESTART_WAIT_MAX)
}

fn sentence(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

impl Running {
    /// Lets the step in progress end and the job finish, until the deadline; then it is cut off where it awaits.
    pub(super) async fn stop(self, deadline: Instant) {
        self.stop.send_replace(true);
        let cut = self.task.abort_handle();
        match timeout_at(deadline, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(job = self.name, error = &error as &dyn std::error::Error, "a job ended badly"),
            Err(_) => {
                cut.abort();
                tracing::warn!(job = self.name, "a job did not stop in time and was cut off");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Counting {
        steps: Arc<AtomicU32>,
        panics: bool,
        finished: Arc<AtomicU32>,
    }

    impl Job for Counting {
        const NAME: &'static str = "counting";

        async fn step(&mut self) -> Pause {
            self.steps.fetch_add(1, Ordering::Relaxed);
            assert!(!self.panics, "on purpose");
            Pause::For(Duration::from_secs(1))
        }

        async fn finish(&mut self) {
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn start(panics: bool, metrics: &Arc<Metrics>) -> (Running, Arc<AtomicU32>, Arc<AtomicU32>) {
        let (steps, finished) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (s, f) = (Arc::clone(&steps), Arc::clone(&finished));
        let make = move || Counting { steps: Arc::clone(&s), panics, finished: Arc::clone(&f) };
        (prepare(make, Arc::clone(metrics)).start(), steps, finished)
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_job_is_counted_restarts_it_with_growing_pauses_and_stops_no_other() {
        let metrics = Arc::new(Metrics::new());
        let (bad, bad_steps, _) = start(true, &metrics);
        let (good, good_steps, finished) = start(false, &metrics);
        sleep(Duration::from_millis(60_500)).await;
        assert_eq!(good_steps.load(Ordering::Relaxed), 61);
        // At 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7, 25.5, 51.1 s.
        assert_eq!(bad_steps.load(Ordering::Relaxed), 10);
        assert_eq!(metrics.jobs.panics.get(), 10);
        let deadline = Instant::now() + Duration::from_secs(1);
        good.stop(deadline).await;
        bad.stop(deadline).await;
        assert_eq!(finished.load(Ordering::Relaxed), 1);
    }

    struct Stuck;

    impl Job for Stuck {
        const NAME: &'static str = "stuck";

        async fn step(&mut self) -> Pause {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_hangs_is_cut_off_at_the_deadline() {
        let running = prepare(|| Stuck, Arc::new(Metrics::new())).start();
        sleep(Duration::from_millis(1)).await;
        let began = Instant::now();
        running.stop(began + Duration::from_secs(3)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }
}
