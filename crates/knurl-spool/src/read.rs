//! Reading records back, from any position.
//!
//! # Promised
//! A position is found by its sequence; segment and offset only save the search. So a position inside a tail that has moved since, at the
//! end of a segment, or in one that was released, goes on at the right record. What is lost in between is counted, never guessed.

use std::io;
use std::sync::Arc;

use crate::frames::Frames;
use crate::log::Place;
use crate::segment::{self, SEGMENT_HEADER_BYTES, SegmentMeta};
use crate::spool::hold;
use crate::{Batch, DiskFile, Position, ReadError, Spool};

impl Spool {
    /// Records from `from` on up to what was written when called, about `bytes_max` bytes of them but at least one when there is one.
    pub fn read(&self, from: Position, bytes_max: usize) -> Result<Batch, ReadError> {
        self.read_until(from, self.written(), bytes_max)
    }

    /// As [`Spool::read`], but only records that survive power loss: whoever passes them on will never know more than the disk does.
    pub fn read_durable(&self, from: Position, bytes_max: usize) -> Result<Batch, ReadError> {
        self.read_until(from, self.durable(), bytes_max)
    }

    fn read_until(&self, from: Position, until: Position, bytes_max: usize) -> Result<Batch, ReadError> {
        let written = self.written();
        if from.seq > written.seq {
            return Err(ReadError::Ahead { from, written });
        }
        let mut batch = Batch { next: from, ..Batch::default() };
        while batch.next.seq < until.seq && !batch.is_full(bytes_max) {
            let place = self.log().place(batch.next.seq);
            match place {
                Place::Below { resume } if resume.seq > until.seq => return Ok(batch),
                Place::Below { resume } => {
                    batch.skipped += resume.seq - batch.next.seq;
                    batch.next = resume;
                }
                Place::In { meta, end_seq, end } => match self.open_for_reading(meta)? {
                    Some(file) => {
                        let stretch = Stretch { meta, end_seq: end_seq.min(until.seq), end };
                        read_segment(&*file, self.id(), &stretch, bytes_max, &mut batch)?;
                    }
                    None => continue,
                },
            }
        }
        Ok(batch)
    }

    /// `None`: released or superseded since we looked; look again.
    fn open_for_reading(&self, meta: SegmentMeta) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let mut reading = hold(&self.reading);
        if let Some((number, file)) = &*reading
            && *number == meta.number
        {
            return Ok(Some(file.clone()));
        }
        match self.disk.open(&segment::file_name(meta.number), false) {
            Ok(file) => {
                *reading = Some((meta.number, file.clone()));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.log().segments.contains(&meta) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The part of a segment that is the log's.
struct Stretch {
    meta: SegmentMeta,
    end_seq: u64,
    end: u64,
}

/// Goes on from `batch.next`, which lies in this segment.
fn read_segment(file: &dyn DiskFile, spool_id: u128, stretch: &Stretch, bytes_max: usize, batch: &mut Batch) -> io::Result<()> {
    let Stretch { meta, end_seq, end } = *stretch;
    let end = end.min(file.size()?);
    let key = segment::key(spool_id, meta.number);
    let mut expected = batch.next.seq;
    let mut hint = (batch.next.segment == meta.number && batch.next.offset > SEGMENT_HEADER_BYTES).then_some(batch.next.offset);
    let mut frames = Frames::new(file, key, hint.unwrap_or(SEGMENT_HEADER_BYTES), end);
    if hint.is_none() {
        expected = meta.first_seq;
    }
    while batch.next.seq < end_seq && !batch.is_full(bytes_max) {
        let found = frames.next(&(expected..end_seq))?;
        if hint.take().is_some() && !found.as_ref().is_some_and(|found| found.gap_bytes == 0 && found.seq == expected) {
            // Not where a record begins, or damage right there: only the whole segment can tell.
            frames = Frames::new(file, key, SEGMENT_HEADER_BYTES, end);
            expected = meta.first_seq;
            continue;
        }
        let Some(found) = found else {
            batch.skipped += end_seq - batch.next.seq;
            batch.next = Position { segment: meta.number, offset: frames.offset(), seq: end_seq };
            return Ok(());
        };
        expected = found.seq + 1;
        if found.seq < batch.next.seq {
            continue;
        }
        batch.skipped += found.seq - batch.next.seq;
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(frames.payload(&found));
        batch.ranges.push(start..batch.bytes.len());
        batch.next = Position { segment: meta.number, offset: frames.offset(), seq: expected };
    }
    Ok(())
}
