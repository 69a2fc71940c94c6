//! A look from another process: no lock, no writes.

use std::io;

use crate::{Disk, OpenError, Position, Torn, ledger, ledger::Counters, recovery};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub id: u128,
    /// False: the ledger page is not here, or damaged. The identity is the segments', and nobody knows what was answered or dropped.
    pub has_ledger: bool,
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
        let page = ledger::read(disk)?.map(|page| (page.id, page.counters));
        let (id, counters) = match page {
            Some(page) => page,
            None => (of_segments(disk)?, Counters::default()),
        };
        let survey = match recovery::survey(disk, id, delivered.map_or(0, |delivered| delivered.seq)) {
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound && looks < LOOKS_MAX => continue,
            survey => survey?,
        };
        let oldest = survey.segments.first().map_or(survey.end.seq, |meta| meta.first_seq);
        let from = delivered.map_or(oldest, |delivered| delivered.seq);
        return Ok(Inspection {
            id,
            has_ledger: page.is_some(),
            answered: counters.answered,
            dropped: counters.dropped,
            written: survey.end,
            backlog_records: survey.end.seq.saturating_sub(from),
            segments: u32::try_from(survey.segments.len()).unwrap_or(u32::MAX),
            torn: survey.torn,
        });
    }
}

/// Where the ledger is not here, the next `open` takes up these segments all the same.
fn of_segments(disk: &dyn Disk) -> Result<u128, OpenError> {
    // A running server may release one that was just listed.
    let known = match recovery::identity_of_segments(disk) {
        Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => recovery::identity_of_segments(disk)?,
        known => known?,
    };
    known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no spool here").into())
}
