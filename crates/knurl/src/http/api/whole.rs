//! Changes that run to their end: a client who leaves, or a deadline that passes, must not come between the commit and what follows it.

use std::{
    future::Future,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::{http::error::Error, telemetry::scope};

tokio::task_local! {
    static BEGUN: Arc<AtomicBool>;
}

/// Whether a request has begun a change that it may have to be told nothing of.
#[derive(Debug, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

impl Begun {
    /// Changes that `handling` begins are seen here.
    pub(super) fn watching<F: Future>(&self, handling: F) -> impl Future<Output = F::Output> + use<F> {
        BEGUN.scope(Arc::clone(&self.0), handling)
    }

    /// One was begun and has not failed: it is done, or will be, or not.
    pub(super) fn any(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Runs `change` on a task of its own, so that dropping the caller does not cut it in half. Its panic is the caller's.
pub(super) async fn whole<T, F>(change: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let begun = BEGUN.try_with(Arc::clone).ok();
    let mark = |is| begun.iter().for_each(|begun| begun.store(is, Relaxed));
    mark(true);
    match tokio::spawn(scope::carry(scope::present(), change)).await {
        Ok(done) => {
            mark(done.is_ok());
            done
        }
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(cancelled) => Err(Error::internal(cancelled)),
        },
    }
}
