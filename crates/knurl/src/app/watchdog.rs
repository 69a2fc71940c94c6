//! A thread outside the runtime that ends the process when the runtime no longer turns.
//!
//! A supervisor restarts what died; nothing restarts what is stuck (`restart: always` does not look at health). Promised: a runtime whose
//! every worker is blocked for `stuck_after` is noticed and the process aborts, loudly; a process that was merely stopped (SIGSTOP, a
//! paused machine) is not taken for a stuck one, because silence is counted in the watchdog's own wake-ups, not by a clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinHandle};

use crate::telemetry::Metrics;

const BEAT: Duration = Duration::from_millis(100);
/// Shorter silences are a busy machine.
const SHOWN_MIN: Duration = Duration::from_millis(250);

/// Watches until dropped.
#[derive(Debug)]
pub struct Watchdog {
    beating: JoinHandle<()>,
    dismissed: Arc<AtomicBool>,
}

impl Watchdog {
    /// `on_stuck` is called once, on the watchdog's thread, with the silence; production ends the process in it ([`abort`]).
    /// `stuck_after` of zero watches nothing.
    pub fn start(
        runtime: &Handle,
        stuck_after: Duration,
        metrics: Arc<Metrics>,
        on_stuck: impl FnOnce(Duration) + Send + 'static,
    ) -> std::io::Result<Self> {
        let beats = Arc::new(AtomicU64::new(0));
        let dismissed = Arc::new(AtomicBool::new(stuck_after.is_zero()));
        let beat = BEAT.min(stuck_after / 4).max(Duration::from_millis(1));
        let beating = runtime.spawn({
            let (beats, dismissed) = (Arc::clone(&beats), Arc::clone(&dismissed));
            async move {
                while !dismissed.load(Relaxed) {
                    beats.fetch_add(1, Relaxed);
                    tokio::time::sleep(beat).await;
                }
            }
        });
        let watch = Watch { beats, dismissed: Arc::clone(&dismissed), beat, stuck_after, metrics };
        std::thread::Builder::new().name("knurl-watchdog".into()).spawn(move || watch.run(on_stuck))?;
        Ok(Self { beating, dismissed })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.dismissed.store(true, Relaxed);
        self.beating.abort();
    }
}

struct Watch {
    beats: Arc<AtomicU64>,
    dismissed: Arc<AtomicBool>,
    beat: Duration,
    stuck_after: Duration,
    metrics: Arc<Metrics>,
}

impl Watch {
    fn run(self, on_stuck: impl FnOnce(Duration)) {
        let mut seen = self.beats.load(Relaxed);
        let mut silent_checks = 0;
        while !self.dismissed.load(Relaxed) {
            std::thread::sleep(self.beat);
            let beats = self.beats.load(Relaxed);
            if beats != seen {
                (seen, silent_checks) = (beats, 0);
                continue;
            }
            silent_checks += 1;
            let silence = self.beat * silent_checks;
            // A beat or two that came late are no silence.
            if silence >= SHOWN_MIN {
                self.metrics.run.silent(if silence - self.beat < SHOWN_MIN { silence } else { self.beat });
            }
            if silence >= self.stuck_after && !self.dismissed.load(Relaxed) {
                return on_stuck(silence);
            }
        }
    }
}

/// Ends the process with a core dump where those are kept: the stacks of the blocked workers are the evidence. Neither the runtime nor
/// the log's thread is relied upon.
pub fn abort(silence: Duration) {
    let ms = silence.as_millis();
    eprintln!(r#"{{"level":"ERROR","event":"stuck","silence_ms":{ms},"message":"the runtime has not turned; aborting"}}"#);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn a_runtime_that_no_longer_turns_is_noticed() {
        let runtime = runtime();
        let (stuck, noticed) = mpsc::channel();
        let stuck_after = Duration::from_millis(50);
        let silence = runtime.block_on(async {
            let on_stuck = move |silence| stuck.send(silence).unwrap();
            let _watchdog = Watchdog::start(&Handle::current(), stuck_after, Arc::default(), on_stuck).unwrap();
            tokio::task::yield_now().await;
            // The only worker is blocked here until the watchdog has spoken.
            noticed.recv_timeout(Duration::from_secs(60))
        });
        assert!(silence.unwrap() >= stuck_after);
    }

    #[test]
    fn a_runtime_that_turns_is_left_alone_and_a_dismissed_watchdog_is_silent() {
        let runtime = runtime();
        let (stuck, noticed) = mpsc::channel();
        runtime.block_on(async {
            let on_stuck = move |silence| stuck.send(silence).unwrap();
            // Long enough that a busy machine does not fake a stuck runtime.
            let _watchdog = Watchdog::start(&Handle::current(), Duration::from_secs(30), Arc::default(), on_stuck).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
        // The thread is gone, and its end of the channel with it: it never spoke.
        assert_eq!(noticed.recv_timeout(Duration::from_secs(60)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
