//! A click's life: recorded in the spool before the answer leaves, drained into the store exactly once.
//!
//! # Layout
//! [`recorder`] writes, [`preparer`] makes room, [`syncer`] makes durable, [`drain`] delivers, [`audit`] checks that nothing went missing
//! in between. The loops around the drain and the salts belong to [`crate::jobs`]; syncer and preparer are threads of their own.

pub mod audit;
pub mod drain;
mod enrich;
pub mod law;
mod preparer;
mod recorder;
pub mod salts;
mod shared;
mod syncer;

use std::{error::Error, path::Path, sync::Arc, thread::JoinHandle};

use knurl_spool::{DirDisk, Disk, Medium, OpenError, Recovery, Spool, SpoolConfig};
use knurl_store::{Store, StoreError};
use preparer::Preparer;
use shared::Shared;
use syncer::Syncer;
use tokio::task::{JoinError, spawn_blocking};

pub use drain::Drain;
pub use recorder::{BarrierTimeout, Recorded, Recorder};
pub use syncer::{EXIT_LOST, OnLost, exit_when_lost};

use crate::{
    config::{ClicksConfig, SpoolMedium},
    telemetry::Metrics,
};

/// Empty segments kept ready: one to go on with while the next is made, one more for a burst.
const SPARES: u32 = 2;

/// This node's clicks, open: the spool, its two threads, the handle that records. Dropped without [`Clicks::stop`] it does what a kill
/// does: nothing is lost, the next start recovers.
#[derive(Debug)]
pub struct Clicks {
    /// Cheap to clone; what the front holds.
    pub recorder: Recorder,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    drain_rows_max: usize,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// For a reason that does not pass.
    #[error("the click cursor could not be read")]
    Store(#[from] StoreError),
    #[error("the click spool could not be opened")]
    Spool(#[from] OpenError),
    #[error("the click spool's thread could not be started")]
    Thread(#[source] std::io::Error),
    #[error("opening the click spool was interrupted")]
    Interrupted(#[from] JoinError),
}

/// Opens the spool in `spool_dir` (created where absent) after the store's cursor and starts its threads. While the store is away it is
/// opened all the same; the drain asks for the cursor before it delivers anything. Clicks are delivered once [`crate::jobs::start`] runs.
pub async fn start(
    config: &ClicksConfig,
    spool_dir: &Path,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
) -> Result<Clicks, StartError> {
    let disk = DirDisk::new(spool_dir).map_err(OpenError::Io)?;
    start_on(Arc::new(disk), config, store, metrics, exit_when_lost()).await
}

/// [`start`] on any disk, with the say over what happens when the spool is lost.
pub async fn start_on(
    disk: Arc<dyn Disk>,
    config: &ClicksConfig,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    on_lost: OnLost,
) -> Result<Clicks, StartError> {
    let (mut clicks, Hands { preparer, syncer }) = open_on(disk, config, store, metrics, on_lost).await?;
    // One by one, so that the first is ended where the second cannot be started.
    clicks.threads.push(preparer.spawn(config.fsync_interval).map_err(StartError::Thread)?);
    clicks.threads.push(syncer.spawn(config.fsync_interval).map_err(StartError::Thread)?);
    Ok(clicks)
}

/// What the two threads do, for whoever does it in an order of his own.
pub struct Hands {
    preparer: Preparer,
    syncer: Syncer,
}

impl std::fmt::Debug for Hands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hands").finish_non_exhaustive()
    }
}

impl Hands {
    /// Makes room for clicks.
    pub fn prepare(&mut self) {
        self.preparer.step();
    }

    /// Makes durable what is written. `false`: the spool is closed or lost, and this will do nothing any more.
    pub fn sync(&mut self) -> bool {
        self.syncer.turn()
    }
}

/// [`start_on`] without its threads.
pub async fn open_on(
    disk: Arc<dyn Disk>,
    config: &ClicksConfig,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    on_lost: OnLost,
) -> Result<(Clicks, Hands), StartError> {
    let of = Arc::clone(&disk);
    let id = spawn_blocking(move || Spool::identity(&*of)).await??;
    let delivered = match store.cursor(id).await {
        // None yet: nothing was delivered.
        Ok(cursor) => Some(cursor.map(shared::position).unwrap_or_default()),
        Err(error) if error.is_transient() => {
            tracing::warn!(
                error = &error as &dyn Error,
                "the store is away: clicks are kept, and delivered from where the store says once it is back"
            );
            None
        }
        Err(error) => return Err(error.into()),
    };
    let spool_config = SpoolConfig {
        segment_bytes: config.segment_bytes,
        segments_max: config.segments_max,
        spares: SPARES,
        medium: match config.medium {
            SpoolMedium::Mapped => Medium::Mapped,
            SpoolMedium::Written => Medium::Written,
        },
    };
    let (spool, recovery) = spawn_blocking(move || Spool::open(disk, spool_config, delivered)).await??;
    keep_losses(&spool, &recovery);
    let shared = Shared::new(spool, delivered, metrics);
    shared.report_at_scrapes();
    let hands = Hands { preparer: Preparer::new(Arc::clone(&shared)), syncer: Syncer::new(Arc::clone(&shared), on_lost) };
    let clicks = Clicks {
        recorder: Recorder::new(Arc::clone(&shared), config),
        shared,
        store,
        drain_rows_max: config.drain_batch_rows,
        threads: Vec::with_capacity(2),
    };
    Ok((clicks, hands))
}

/// `open` sets the ledger's `answered` to what is there. Clicks that were answered and are nowhere (power loss, damage) are put back on it,
/// so that the audit shows them for ever. Recorders count a click after it is written: what a kill leaves behind are records that were not
/// counted, never the other way round.
fn keep_losses(spool: &Spool, recovery: &Recovery) {
    tracing::info!(?recovery, "click spool opened");
    let Some(lost) = u64::try_from(recovery.discrepancy).ok().filter(|lost| *lost > 0) else {
        return;
    };
    spool.count_answered(lost);
    tracing::error!(
        lost,
        "answered clicks are missing since a power loss or a damage of the disk; `knurl audit` shows them as lost"
    );
}

impl Clicks {
    /// Which spool this is: another one for every data directory.
    pub fn id(&self) -> u128 {
        self.shared.spool.id()
    }

    /// What makes the one that delivers, for the job around it. One at a time: two would only find each other's cursor.
    pub fn drains(&self) -> Drains {
        Drains { shared: Arc::clone(&self.shared), store: Arc::clone(&self.store), rows_max: self.drain_rows_max }
    }

    /// Where the salts job puts what it fetched.
    pub fn salts(&self) -> Salts {
        Salts { shared: Arc::clone(&self.shared) }
    }

    /// To be called last, after [`crate::jobs::Jobs::stop`] has drained: syncs, seals and closes the spool. Records that come later are
    /// counted as dropped.
    pub async fn stop(mut self) {
        let threads = std::mem::take(&mut self.threads);
        let shared = Arc::clone(&self.shared);
        let closed = spawn_blocking(move || {
            end(&shared, threads);
            shared.spool.close()
        });
        match closed.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(error = &error as &dyn Error, "the click spool could not be synced at its close"),
            Err(error) => tracing::error!(error = &error as &dyn Error, "the click spool could not be closed"),
        }
    }
}

impl Drop for Clicks {
    fn drop(&mut self) {
        end(&self.shared, std::mem::take(&mut self.threads));
    }
}

/// Waits at most for the fsyncs in progress.
fn end(shared: &Shared, threads: Vec<JoinHandle<()>>) {
    shared.syncer.stop();
    shared.preparer.stop();
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the click spool had panicked");
        }
    }
}

/// Makes a [`Drain`], at the start and after a panic of the one before.
#[derive(Debug)]
pub struct Drains {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    rows_max: usize,
}

impl Drains {
    pub fn make(&self) -> Drain {
        Drain::new(Arc::clone(&self.shared), Arc::clone(&self.store), self.rows_max)
    }
}

/// The place of the current [`salts::SaltBook`].
#[derive(Clone, Debug)]
pub struct Salts {
    shared: Arc<Shared>,
}

impl Salts {
    pub fn load(&self) -> salts::SaltBook {
        **self.shared.salts.load()
    }

    pub fn store(&self, book: salts::SaltBook) {
        self.shared.salts.store(Arc::new(book));
    }
}
