//! A transaction as a whole: begun, worked, committed, and done again where the server undid it for another one's sake.
//!
//! Promised: an error is [`StoreError::Unsure`] where the commit was sent and its outcome is not known; with any other nothing was done.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::BoxFuture;
use knurl_core::ShortCode;
use tokio::time::{Instant, sleep};

use super::{
    connection::Tx,
    failure::{is_retryable, of_sent, silent},
    pool::{Lent, Pool},
};
use crate::{StoreError, store::Result};

/// Of what was to be committed: the links that were there before and may be others now.
type CodesOf<T> = fn(&T) -> Vec<ShortCode>;

pub(super) fn no_codes<T>(_: &T) -> Vec<ShortCode> {
    Vec::new()
}

/// Deadlocks and serialization failures are tried again for so long, at pauses that grow.
const RETRY_BUDGET: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// What becomes of the changes of a transaction that went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Commit,
    /// The answer is good, the changes are not wanted (a dry run).
    RollBack,
}

impl Pool {
    /// `work` may run more than once; only its last run is committed. An error of `work` undoes it. Boxed, and not an `AsyncFn`: the
    /// compiler cannot tell yet that what one of those returns may go from thread to thread.
    pub(super) async fn write<T>(&self, work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>) -> Result<T> {
        self.write_telling(&AtomicBool::new(false), work).await
    }

    /// As [`Pool::write`], for what clients change: it may wait for rows that others hold.
    pub(super) async fn edit<T>(
        &self,
        codes: CodesOf<T>,
        work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>,
    ) -> Result<T> {
        let mut retries = Retries::begin();
        loop {
            match once(self.editor().await?, Ending::Commit, &AtomicBool::new(false), codes, &work).await {
                Err(error) if is_retryable(&error) => retries.wait(error).await?,
                done => return done,
            }
        }
    }

    /// As [`Pool::write`], for a create: it is told at once where the server answers nobody.
    pub(super) async fn create<T>(&self, work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>) -> Result<T> {
        let sent = AtomicBool::new(false);
        let done = self.unless_silent(self.doubting(self.write_telling(&sent, work))).await;
        done.unwrap_or_else(|| Err(if sent.load(Relaxed) { of_sent(silent()) } else { silent() }))
    }

    /// `sent` says whether the commit was.
    async fn write_telling<T>(
        &self,
        sent: &AtomicBool,
        work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>,
    ) -> Result<T> {
        let mut retries = Retries::begin();
        loop {
            sent.store(false, Relaxed);
            match once(self.writer().await?, Ending::Commit, sent, no_codes, &work).await {
                Err(error) if is_retryable(&error) => retries.wait(error).await?,
                done => return done,
            }
        }
    }

    /// As [`Pool::write`], for work on as many rows as there are: each statement may take as long as a list.
    pub(super) async fn write_much<T>(
        &self,
        ending: Ending,
        work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>,
    ) -> Result<T> {
        self.write_long(ending, no_codes, work).await
    }

    /// As [`Pool::write_much`], for a change of links.
    pub(super) async fn change_much<T>(
        &self,
        codes: CodesOf<T>,
        work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>,
    ) -> Result<T> {
        self.write_long(Ending::Commit, codes, work).await
    }

    async fn write_long<T>(
        &self,
        ending: Ending,
        codes: CodesOf<T>,
        work: impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>,
    ) -> Result<T> {
        let mut retries = Retries::begin();
        loop {
            match once(self.long().await?, ending, &AtomicBool::new(false), codes, &work).await {
                Err(error) if is_retryable(&error) => retries.wait(error).await?,
                done => return done,
            }
        }
    }
}

async fn once<T>(
    mut lent: Lent,
    ending: Ending,
    sent: &AtomicBool,
    codes: CodesOf<T>,
    work: &impl for<'t> Fn(&'t Tx<'t>) -> BoxFuture<'t, Result<T>>,
) -> Result<T> {
    let tx = lent.begin().await?;
    let done = work(&tx).await;
    match (&done, ending) {
        (Ok(made), Ending::Commit) => {
            sent.store(true, Relaxed);
            tx.commit().await.map_err(|error| about(of_sent(error), || codes(made)))?;
        }
        (Ok(_), Ending::RollBack) => tx.roll_back().await?,
        // What `work` met is what matters; a connection that cannot even roll back is cut.
        (Err(_), _) => drop(tx.roll_back().await),
    }
    done
}

fn about(error: StoreError, codes: impl FnOnce() -> Vec<ShortCode>) -> StoreError {
    match error {
        StoreError::Unsure { source, .. } => StoreError::Unsure { source, codes: codes() },
        error => error,
    }
}

/// Attempts of one piece of work, within [`RETRY_BUDGET`].
#[derive(Debug)]
pub(super) struct Retries {
    until: Instant,
    pause: Duration,
}

impl Retries {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + RETRY_BUDGET, pause: PAUSE_MIN }
    }

    /// Returns when it is time for the next attempt; gives the error back where the budget is spent.
    pub(super) async fn wait(&mut self, error: StoreError) -> Result<()> {
        let pause = self.pause.mul_f64(f64::from(rand::random_range(50_u32..=100)) / 100.0);
        if Instant::now() + pause > self.until {
            return Err(error);
        }
        sleep(pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}
