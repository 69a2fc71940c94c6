//! A look from another process: no lock, no writes.

use std::io;

use crate::{Disk, OpenError, Position, Torn, ledger, recovery};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub id: u128,
    pub answered: u64,
    pub dropped: u64,
    pub written: Position,
    /// Records above `delivered` (all on disk when it is `None`).
    pub backlog_records: u64,
    pub segments: u32,
    /// Of a running spool, the record being written may be among them.
    pub torn: Vec<Torn>,
}

/// A running server deletes segments while we look; more often than this in a row is not believed.
const LOOKS_MAX: u32 = 16;

/// Reads the spool while its owner may be running; then the figures are of one moment each, not of one moment together.
pub fn inspect(disk: &dyn Disk, delivered: Option<Position>) -> Result<Inspection, OpenError> {
    let mut looks = 0;
    loop {
        looks += 1;
        let page = ledger::read(disk)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no spool here"))?;
        let survey = match recovery::survey(disk, page.id, delivered.map_or(0, |delivered| delivered.seq)) {
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound && looks < LOOKS_MAX => continue,
            survey => survey?,
        };
        let oldest = survey.segments.first().map_or(survey.end.seq, |meta| meta.first_seq);
        let from = delivered.map_or(oldest, |delivered| delivered.seq);
        return Ok(Inspection {
            id: page.id,
            answered: page.counters.answered,
            dropped: page.counters.dropped,
            written: survey.end,
            backlog_records: survey.end.seq.saturating_sub(from),
            segments: u32::try_from(survey.segments.len()).unwrap_or(u32::MAX),
            torn: survey.torn,
        });
    }
}
