//! Keeps one connection, for ever.
//!
//! Promised: one attempt at a time, the next after a pause that doubles up to [`PAUSE_MAX`] and is drawn from its upper half; the pause
//! begins anew only once something was answered, so that a server that accepts and says nothing is not stormed either. Every
//! [`PING_EVERY`] it is asked whether it is still there, so that a quiet node finds out too, and an open breaker closes by itself.
//! One line is logged when it goes and one when it is back.

use std::{
    convert::Infallible,
    error::Error,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{task::AbortHandle, time::sleep};

use super::{Inner, connect::connect};
use crate::{breaker::State, chance};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(1);

/// The task; dropped, it ends.
#[derive(Debug)]
pub(super) struct Keeping(AbortHandle);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn start(inner: Arc<Inner>) -> Keeping {
    let task = tokio::spawn(async move {
        loop {
            let Err(_panic) = AssertUnwindSafe(keep(&inner)).catch_unwind().await;
            inner.metrics.jobs.panics.inc();
            tracing::error!("the task that keeps the connection to Redis panicked; it begins anew");
            inner.live.store(None);
            sleep(PAUSE_MAX).await;
        }
    });
    Keeping(task.abort_handle())
}

async fn keep(inner: &Inner) -> Infallible {
    let (mut failures, mut is_away) = (0_u32, false);
    loop {
        match connect(&inner.config, &inner.pushes).await {
            Ok(live) => {
                inner.metrics.redis.connects.inc();
                inner.trust.connected(live.life, live.at_us);
                inner.live.store(Some(Arc::new(live)));
                inner.metrics.redis.connected.set(1);
                let answered_before = inner.answers.load(Relaxed);
                // Answered at all: the next pause is the shortest.
                if watch(inner, &mut is_away).await > answered_before {
                    failures = 0;
                }
            }
            Err(error) => {
                if !is_away {
                    is_away = true;
                    let error = &error as &dyn Error;
                    tracing::warn!(redis = %inner.config.url, error, "Redis is away: limits are this node's own, links are not shared");
                }
            }
        }
        give_up(inner);
        sleep(pause(failures, chance::small())).await;
        failures = failures.saturating_add(1);
    }
}

/// Until the connection is lost; how much has been answered by then.
async fn watch(inner: &Inner, is_away: &mut bool) -> u64 {
    loop {
        inner.ping().await;
        if *is_away && inner.breaker.state() == State::Closed && inner.live.load().is_some() {
            *is_away = false;
            tracing::info!(redis = %inner.config.url, "Redis is back");
        }
        inner.trust_again().await;
        tokio::select! {
            () = inner.wake.notified() => {}
            () = sleep(PING_EVERY) => {}
        }
        if inner.live.load().is_none() {
            return inner.answers.load(Relaxed);
        }
    }
}

/// Not connected is as good as failed: the breaker, and with it the metrics, say so at once.
fn give_up(inner: &Inner) {
    while inner.breaker.state() == State::Closed {
        let Some(call) = inner.breaker.admit() else { return };
        call.failed();
    }
}

/// `dice`: any random number.
fn pause(failures: u32, dice: u32) -> Duration {
    let whole = PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    whole - (whole / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_are_drawn_from_their_upper_half() {
        assert_eq!(pause(0, 0), Duration::from_millis(50));
        assert_eq!(pause(3, 0), Duration::from_millis(400));
        for failures in [0, 5, 6, 1_000, u32::MAX] {
            let (most, least) = (pause(failures, 0), pause(failures, u32::MAX));
            assert!(most <= PAUSE_MAX && least >= most / 2 && least >= PAUSE_MIN / 2, "{failures}: {least:?} to {most:?}");
        }
    }
}
