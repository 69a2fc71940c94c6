//! What is on the disk: which segments hold records, and where they end.
//!
//! # Promised
//! - Nothing is written; only the last segments, and those around a lost header, are read through.
//! - A sequence belongs to the segment with the highest number that begins at or below it: that is how a tail abandoned after a failed
//!   fsync, still readable in its old segment, is known to be superseded by its copy.

use std::io;
use std::ops::Range;

use crate::frames::{Frames, read_full};
use crate::segment::{self, HeaderState, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentMeta};
use crate::{Disk, DiskFile, Medium, OpenError, Position};

/// What `open` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What is used, after a possible fallback.
    pub medium: Medium,
    /// Segment files that held records.
    pub segments: u32,
    /// The end of what survived on disk.
    pub survived: Position,
    /// Where new records begin: its `seq` is above `survived` when the store had been told more than survived a power loss.
    pub begins: Position,
    /// Damage found in the last segments: after a kill at most the one record that was being written.
    pub torn: Vec<Torn>,
    /// `answered` on the ledger less what survived and what was dropped: after a kill, at most the threads in flight. The ledger was
    /// set right.
    pub discrepancy: i64,
    /// The ledger page was missing or damaged beside existing segments; its identity was taken from them, `dropped` starts from zero.
    pub ledger_rebuilt: bool,
    /// Making the survivors durable failed at first and they were rewritten: be loud.
    pub moved: bool,
    /// Obsolete files that could not be removed.
    pub leftovers: u32,
}

/// A stretch of a segment that holds no readable record although bytes are there, or records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    pub segment: u64,
    pub offset: u64,
    pub bytes: u64,
    /// Records known to be missing there, by the sequence of the next readable one.
    pub records: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Segments that own records or may be read, ascending.
    pub(crate) segments: Vec<SegmentMeta>,
    /// Files that hold nothing anybody will read.
    pub(crate) obsolete: Vec<String>,
    pub(crate) end: Position,
    pub(crate) torn: Vec<Torn>,
    pub(crate) number_max: u64,
}

/// A run of lost sequences longer than this in front of a segment whose header is lost too is not believed.
const HEADERLESS_SEQS: u64 = 1 << 31;

/// Takes the files as they are; `NotFound` while another process releases segments means: look again.
/// `delivered` is the store's cursor: where to look for the sequences of an only segment whose header is lost.
pub(crate) fn survey(disk: &dyn Disk, spool_id: u128, delivered: u64) -> Result<Survey, OpenError> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| segment::file_number(name)).collect();
    numbers.sort_unstable();
    let mut survey = Survey { number_max: numbers.last().copied().unwrap_or(0), ..Survey::default() };
    let mut candidates = Vec::with_capacity(numbers.len());
    let mut bound = u64::MAX;
    for &number in numbers.iter().rev() {
        let header = read_header(disk, spool_id, number)?;
        if let Some(header) = header {
            if header.first_seq >= bound {
                survey.obsolete.push(segment::file_name(number));
                continue;
            }
            candidates.push((number, Some(header), bound));
            bound = header.first_seq;
        } else {
            candidates.push((number, None, bound));
        }
    }
    candidates.reverse();
    for (i, &(number, header, bound)) in candidates.iter().enumerate() {
        let next_is_sound = candidates.get(i + 1).is_some_and(|(_, header, _)| header.is_some());
        match header {
            Some(header) if next_is_sound => {
                survey.segments.push(SegmentMeta { number, first_seq: header.first_seq });
                survey.end = Position { segment: number, offset: SEGMENT_HEADER_BYTES, seq: bound };
            }
            Some(header) => {
                survey.segments.push(SegmentMeta { number, first_seq: header.first_seq });
                survey.end = Position { segment: number, offset: SEGMENT_HEADER_BYTES, seq: header.first_seq };
                let seqs = header.first_seq..bound.min(header.first_seq.saturating_add(HEADERLESS_SEQS));
                survey.scan(disk, spool_id, number, seqs)?;
            }
            None => {
                // What lies before the oldest was released, not lost: its first record tells where it begins.
                let oldest = survey.segments.is_empty();
                let near = if bound == u64::MAX {
                    delivered.saturating_sub(HEADERLESS_SEQS / 2)
                } else {
                    bound.saturating_sub(HEADERLESS_SEQS)
                };
                let mut first_seq = if oldest { near } else { survey.end.seq };
                let before = survey.end;
                survey.end = Position { segment: number, offset: SEGMENT_HEADER_BYTES, seq: first_seq };
                let torn = survey.torn.len();
                let seqs = first_seq..bound.min(first_seq.saturating_add(HEADERLESS_SEQS));
                let Some(first) = survey.scan(disk, spool_id, number, seqs)? else {
                    survey.end = before;
                    // A copy of a tail that was being moved: the originals are where they were.
                    if survey.scan_copies(disk, spool_id, number, first_seq)? {
                        survey.torn.truncate(torn);
                    }
                    survey.obsolete.push(segment::file_name(number));
                    continue;
                };
                if oldest {
                    first_seq = first;
                    survey.forget_gap_before(number, torn);
                }
                survey.segments.push(SegmentMeta { number, first_seq });
            }
        }
    }
    Ok(survey)
}

impl Survey {
    /// Moves `end` behind the last readable record of one segment; the sequence of the first.
    fn scan(&mut self, disk: &dyn Disk, spool_id: u128, number: u64, mut seqs: Range<u64>) -> io::Result<Option<u64>> {
        let file = disk.open(&segment::file_name(number), false)?;
        let mut frames = Frames::new(&*file, segment::key(spool_id, number), SEGMENT_HEADER_BYTES, file.size()?);
        let mut first = None;
        while let Some(found) = frames.next(&seqs)? {
            let records = found.seq - seqs.start;
            if records > 0 || found.gap_bytes > 0 {
                self.torn.push(Torn { segment: number, offset: found.at - found.gap_bytes, bytes: found.gap_bytes, records });
            }
            first = first.or(Some(found.seq));
            seqs.start = found.seq + 1;
            self.end = Position { segment: number, offset: frames.offset(), seq: seqs.start };
        }
        let bytes = frames.trailing_bytes();
        // A tail superseded by a copy in a later segment is intact, only not ours to read; `seqs` is exhausted then.
        if bytes > 0 && !seqs.is_empty() {
            self.torn.push(Torn { segment: number, offset: frames.offset(), bytes, records: 0 });
        }
        Ok(first)
    }

    /// The stretch noted first since `torn` lies before the first record of the oldest segment: no record is known to be missing there.
    fn forget_gap_before(&mut self, number: u64, torn: usize) {
        let before_first = |noted: &Torn| noted.segment == number && noted.offset == SEGMENT_HEADER_BYTES && noted.records > 0;
        let Some(noted) = self.torn.get_mut(torn).filter(|noted| before_first(noted)) else { return };
        noted.records = 0;
        if noted.bytes == 0 {
            self.torn.remove(torn);
        }
    }

    fn scan_copies(&self, disk: &dyn Disk, spool_id: u128, number: u64, below: u64) -> io::Result<bool> {
        let file = disk.open(&segment::file_name(number), false)?;
        let mut frames = Frames::new(&*file, segment::key(spool_id, number), SEGMENT_HEADER_BYTES, file.size()?);
        Ok(frames.next(&(below.saturating_sub(HEADERLESS_SEQS)..below))?.is_some())
    }
}

/// `None` when the header is blank, damaged or another file's: only the frames can tell then.
fn read_header(disk: &dyn Disk, spool_id: u128, number: u64) -> Result<Option<SegmentHeader>, OpenError> {
    let file = disk.open(&segment::file_name(number), false)?;
    match header_of(&*file)? {
        HeaderState::Version(version) => Err(OpenError::Foreign(format!("segment {number} has version {version}"))),
        HeaderState::Valid(header) if header.spool_id != spool_id => {
            Err(OpenError::Foreign(format!("segment {number} belongs to spool {:032x}, not {spool_id:032x}", header.spool_id)))
        }
        HeaderState::Valid(header) if header.number == number => Ok(Some(header)),
        _ => Ok(None),
    }
}

fn header_of(file: &dyn DiskFile) -> io::Result<HeaderState> {
    let mut bytes = [0; 64];
    let got = read_full(file, &mut bytes, 0)?;
    Ok(SegmentHeader::decode(&bytes[..got]))
}

/// The identity that existing segments carry, for a spool whose ledger page is lost.
pub(crate) fn identity_of_segments(disk: &dyn Disk) -> Result<Option<u128>, OpenError> {
    for number in disk.list()?.iter().filter_map(|name| segment::file_number(name)) {
        let file = disk.open(&segment::file_name(number), false)?;
        if let HeaderState::Valid(header) = header_of(&*file)? {
            return Ok(Some(header.spool_id));
        }
    }
    Ok(None)
}
