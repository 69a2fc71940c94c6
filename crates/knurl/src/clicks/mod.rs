//! A click's life: recorded in the spool before the answer leaves, drained into the store exactly once.
//!
//! # Layout
//! [`recorder`] writes, [`syncer`] makes durable, [`drain`] delivers, [`audit`] checks that nothing went missing in between.
//! The loops around the drain and the salts belong to [`crate::jobs`]; the syncer is a thread of its own.

pub mod audit;
mod recorder;

use std::{path::Path, sync::Arc};

use knurl_store::{Store, StoreError};

pub use recorder::{BarrierTimeout, Recorded, Recorder};

use crate::{config::ClicksConfig, telemetry::Metrics};

/// This node's clicks, open: the spool, its syncer thread, the handle that records.
#[derive(Debug)]
pub struct Clicks {
    /// Cheap to clone; what the front holds.
    pub recorder: Recorder,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Without the store's cursor it is unknown which records were delivered: nothing is opened.
    #[error("the click cursor could not be read")]
    Store(#[from] StoreError),
    #[error("the click spool in {dir} could not be opened")]
    Spool {
        dir: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Opens the spool in `spool_dir` (created where absent) after the store's cursor and starts the syncer thread. Clicks are delivered
/// once [`crate::jobs::start`] runs.
pub async fn start(
    _config: &ClicksConfig,
    _spool_dir: &Path,
    _store: Arc<dyn Store>,
    _metrics: Arc<Metrics>,
) -> Result<Clicks, StartError> {
    todo!("clicks")
}

impl Clicks {
    /// To be called last, after [`crate::jobs::Jobs::stop`] has drained: syncs, seals and closes the spool. Records that come later are
    /// counted as dropped.
    pub async fn stop(self) {
        todo!("clicks")
    }
}
