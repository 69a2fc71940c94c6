//! Reads the figures of the conservation law (see [`super::law`]): from the spool's files and from the store, in this process or another.

use std::{path::Path, sync::Arc, time::Duration};

use knurl_spool::{DirDisk, Disk, Inspection, OpenError, inspect};
use knurl_store::{Store, StoreError};
use tokio::{task::spawn_blocking, time::sleep};

pub use super::law::{Audit, Verdict};
use super::{
    law::{Figures, SpoolFigures},
    shared::position,
};

/// Looks at most, for one in which nothing moved: between two deliveries of a busy server there are such moments.
const LOOKS_MAX: u32 = 40;
/// Not a divisor of the drain's interval, so that looks do not keep falling on a delivery.
const LOOK_PAUSE: Duration = Duration::from_millis(37);

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the click spool could not be read")]
    Spool(#[from] OpenError),
    #[error("reading the click spool was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Takes no lock and changes nothing; a server may be running on the same directory, this process or another. A spool that is not there
/// has answered nothing.
pub async fn audit(store: &dyn Store, spool_dir: &Path) -> Result<Audit, AuditError> {
    if !spool_dir.join(LEDGER_FILE).exists() {
        let figures = Figures { store: store.click_ledger().await?, ..Figures::default() };
        return Ok(Audit::of(&figures, true));
    }
    let disk = DirDisk::new(spool_dir).map_err(OpenError::Io)?;
    audit_on(store, Arc::new(disk)).await
}

/// The spool's first file: where it is absent there is no spool yet.
const LEDGER_FILE: &str = "ledger";

/// [`audit`] on any disk.
pub async fn audit_on(store: &dyn Store, disk: Arc<dyn Disk>) -> Result<Audit, AuditError> {
    let mut look = 1;
    loop {
        let (figures, settled) = look_once(store, &disk).await?;
        if settled || look == LOOKS_MAX {
            return Ok(Audit::of(&figures, settled));
        }
        look += 1;
        sleep(LOOK_PAUSE).await;
    }
}

/// Two looks at the spool around one at the store: where all that could move is the same before and after, nothing moved.
///
/// Of the first comes `answered`, of the second `dropped` and `written`: a recorder writes before it counts, so clicks recorded in between
/// never look lost.
async fn look_once(store: &dyn Store, disk: &Arc<dyn Disk>) -> Result<(Figures, bool), AuditError> {
    let id = inspection(disk, None).await?.id;
    let before = store.cursor(id).await?;
    let delivered = before.map(position);
    let first = inspection(disk, delivered).await?;
    let (ledger, undecodable) = (store.click_ledger().await?, store.undecodable_of(id).await?);
    let second = inspection(disk, delivered).await?;
    let after = store.cursor(id).await?;
    let settled = before == after && first == second;
    let spool = SpoolFigures {
        answered: first.answered,
        dropped: second.dropped,
        written: second.written.seq,
        backlog: second.backlog_records,
    };
    Ok((Figures { spool, cursor: before.map_or(0, |cursor| cursor.seq), undecodable, store: ledger }, settled))
}

async fn inspection(disk: &Arc<dyn Disk>, delivered: Option<knurl_spool::Position>) -> Result<Inspection, AuditError> {
    let disk = Arc::clone(disk);
    Ok(spawn_blocking(move || inspect(&*disk, delivered)).await??)
}
