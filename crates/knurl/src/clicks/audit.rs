//! Reads the figures of the conservation law (see [`super::law`]): from the spool's files and from the store, in this process or another.

use std::{io, path::Path, sync::Arc, time::Duration};

use knurl_spool::{DirDisk, Disk, Inspection, OpenError, inspect};
use knurl_store::{Store, StoreError};
use tokio::{task::spawn_blocking, time::sleep};

pub use super::law::{Audit, SpoolState, Verdict};
use super::{
    law::{Figures, SpoolFigures},
    shared::position,
};
use crate::config::Config;

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

/// The audit of the node that is configured so.
pub async fn audit_of(store: &dyn Store, config: &Config) -> Result<Audit, AuditError> {
    let found = audit(store, &config.spool_dir()).await?;
    Ok(found.told(config.sqlite_path().is_some(), config.has_served()))
}

/// Takes no lock and changes nothing; a server may be running on the same directory, this process or another. A spool that is not there
/// has answered nothing.
pub async fn audit(store: &dyn Store, spool_dir: &Path) -> Result<Audit, AuditError> {
    let audited = match disk_of(spool_dir)? {
        Some(disk) => audit_on(store, disk).await,
        None => Err(no_spool()),
    };
    match audited {
        Err(error) if error.is_no_spool() => {
            let spool = SpoolFigures { state: SpoolState::None, ..SpoolFigures::default() };
            let figures = Figures { spool, store: store.click_ledger().await?, ..Figures::default() };
            Ok(Audit::of(&figures, true))
        }
        audited => audited,
    }
}

/// Clicks in this node's spool that are not in the store yet.
pub async fn waiting(store: &dyn Store, spool_dir: &Path) -> Result<u64, AuditError> {
    let Some(disk) = disk_of(spool_dir)? else { return Ok(0) };
    let id = match inspection(&disk, None).await {
        Err(error) if error.is_no_spool() => return Ok(0),
        found => found?.id,
    };
    let delivered = store.cursor(id).await?.map(position);
    Ok(inspection(&disk, delivered).await?.backlog_records)
}

/// Opening one would make its directory.
fn disk_of(spool_dir: &Path) -> Result<Option<Arc<dyn Disk>>, AuditError> {
    if !spool_dir.is_dir() {
        return Ok(None);
    }
    Ok(Some(Arc::new(DirDisk::new(spool_dir).map_err(OpenError::Io)?)))
}

fn no_spool() -> AuditError {
    OpenError::Io(io::ErrorKind::NotFound.into()).into()
}

impl AuditError {
    /// Neither ledger nor segments.
    fn is_no_spool(&self) -> bool {
        matches!(self, Self::Spool(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound)
    }
}

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
        state: if second.has_ledger { SpoolState::Whole } else { SpoolState::NoLedger },
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
