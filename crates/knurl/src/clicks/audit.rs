//! The conservation law: is every answered click delivered, waiting, or counted as dropped?

use std::path::Path;

use knurl_store::{Store, StoreError};
use serde::Serialize;

/// `Serialize` is the shape of `knurl audit --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Clicks this node's spool was asked to keep, ever.
    pub answered: u64,
    /// Of those, in the store (this spool's cursor).
    pub delivered: u64,
    /// Of those, in the spool, not yet delivered.
    pub backlog: u64,
    /// Of those, given up because the spool was full or broken.
    pub dropped: u64,
    /// Of those, nowhere: gone with a power failure or a damaged disk. Never fine.
    pub lost: u64,
    /// Clicks in the roll-ups that came through a spool (`knurl audit` leaves imported ones out).
    pub rolled_up: u64,
    /// Click events from a spool in the table.
    pub raw: u64,
    /// Click events from a spool that retention removed.
    pub purged: u64,
    /// Click events from imports and `POST /events`.
    pub external: u64,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The law holds: exit code 0.
    Holds,
    /// A running server moved the figures while they were read, by more than the retries could settle.
    Moving,
    /// The law does not hold.
    Broken,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the click spool could not be read")]
    Spool(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Takes no lock and changes nothing; a server may be running on the same directory, this process or another.
pub async fn audit(_store: &dyn Store, _spool_dir: &Path) -> Result<Audit, AuditError> {
    todo!("clicks")
}
