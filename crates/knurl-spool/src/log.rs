//! The log as its owner holds it under the append lock: the segment being written, spares, and which segment owns which record.
//!
//! # Promised
//! - The bytes of the log are a prefix of what was appended: one frame is written after the other, under one lock.
//! - A record whose `fill` panicked, or whose `pwrite` failed, was not appended; its space is written over by the next one.
//!
//! # Refused
//! System calls, except the `pwrite` of [`crate::Medium::Written`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::frame::{FRAME_HEADER_BYTES, FrameKey};
use crate::frames::write_full;
use crate::segment::{self, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentMeta};
use crate::{AppendError, DiskFile, Mapping, Position};

/// A segment file being written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// `None`: written by `pwrite`.
    map: Option<Box<dyn Mapping>>,
    key: FrameKey,
}

/// A segment that was written since the last sync and is no longer the current one.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) number: u64,
    /// `None`: from an earlier run, to be opened.
    pub(crate) file: Option<Arc<dyn DiskFile>>,
    /// Its end: durable once it is synced.
    pub(crate) end: Position,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) spool_id: u128,
    pub(crate) segment_bytes: u64,
    pub(crate) current: Option<Writer>,
    pub(crate) spares: VecDeque<Writer>,
    /// Ascending by number and by first sequence; the current one is the last.
    pub(crate) segments: VecDeque<SegmentMeta>,
    pub(crate) unsynced: VecDeque<Unsynced>,
    /// Mappings to be unmapped outside the lock.
    pub(crate) retired: Vec<Writer>,
    pub(crate) written: Position,
    pub(crate) durable: Position,
    /// The tail is being moved: the spares are for it, and it grows by no segment meanwhile.
    pub(crate) moving: bool,
    pub(crate) closed: bool,
    pub(crate) lost: bool,
    scratch: Vec<u8>,
}

/// Which part of the log a sequence lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In this segment, which holds the records `first_seq..end_seq`, none of them beyond the offset `end`.
    In { meta: SegmentMeta, end_seq: u64, end: u64 },
    /// Below everything that is left: go on at `resume`.
    Below { resume: Position },
}

impl Log {
    pub(crate) fn new(spool_id: u128, segment_bytes: u64, segments: Vec<SegmentMeta>, written: Position) -> Log {
        Log {
            spool_id,
            segment_bytes,
            current: None,
            spares: VecDeque::new(),
            segments: segments.into(),
            unsynced: VecDeque::new(),
            retired: Vec::new(),
            written,
            durable: Position::default(),
            moving: false,
            closed: false,
            lost: false,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn append(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Position, AppendError> {
        if self.closed {
            return Err(AppendError::Closed);
        }
        let frame_bytes = FRAME_HEADER_BYTES + len;
        if self.current.is_none() || self.written.offset + frame_bytes as u64 > self.segment_bytes {
            if self.moving {
                return Err(AppendError::NoSegment);
            }
            self.roll()?;
        }
        let Some(writer) = &mut self.current else { return Err(AppendError::NoSegment) };
        writer.put(self.written, frame_bytes, &mut self.scratch, fill)?;
        self.written.offset += frame_bytes as u64;
        self.written.seq += 1;
        Ok(self.written)
    }

    /// Begins the first segment of this run, so that its place is known before anything is appended.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        match self.roll() {
            Err(AppendError::Io(error)) => Err(error),
            // Without a spare the first append says so.
            _ => Ok(()),
        }
    }

    /// Goes on with the sequence `seq` in a segment of its own, unless the log is there already. `false`: there is no spare.
    pub(crate) fn begin_above(&mut self, seq: u64) -> io::Result<bool> {
        if self.written.seq >= seq {
            return Ok(true);
        }
        let before = self.written.seq;
        self.written.seq = seq;
        let rolled = self.roll();
        if rolled.is_err() {
            self.written.seq = before;
        }
        match rolled {
            Ok(()) => Ok(true),
            Err(AppendError::Io(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Puts the next spare to use behind the current segment.
    fn roll(&mut self) -> Result<(), AppendError> {
        fail::fail_point!("spool::roll");
        let Some(mut spare) = self.spares.pop_front() else { return Err(AppendError::NoSegment) };
        let header = SegmentHeader {
            spool_id: self.spool_id,
            number: spare.number,
            first_seq: self.written.seq,
            previous: (self.written.segment, self.written.offset),
        };
        if let Err(error) = spare.put_header(&header) {
            self.spares.push_front(spare);
            return Err(error.into());
        }
        if let Some(full) = self.current.take() {
            self.unsynced.push_back(Unsynced { number: full.number, file: Some(full.file.clone()), end: self.written });
            self.retired.push(full);
        }
        self.segments.push_back(SegmentMeta { number: spare.number, first_seq: self.written.seq });
        self.written = Position { segment: spare.number, offset: SEGMENT_HEADER_BYTES, seq: self.written.seq };
        self.current = Some(spare);
        Ok(())
    }

    pub(crate) fn place(&self, seq: u64) -> Place {
        let after = self.segments.partition_point(|meta| meta.first_seq <= seq);
        let next = self.segments.get(after);
        match after.checked_sub(1).and_then(|at| self.segments.get(at)) {
            Some(&meta) => Place::In {
                meta,
                end_seq: next.map_or(self.written.seq, |next| next.first_seq),
                // So that a reader who keeps up reads what is new, not the zeros behind it.
                end: if meta.number == self.written.segment { self.written.offset } else { u64::MAX },
            },
            None => Place::Below {
                resume: next.map_or(self.written, |next| Position {
                    segment: next.number,
                    offset: SEGMENT_HEADER_BYTES,
                    seq: next.first_seq,
                }),
            },
        }
    }

    pub(crate) fn files(&self) -> u32 {
        u32::try_from(self.segments.len() + self.spares.len()).unwrap_or(u32::MAX)
    }
}

impl Writer {
    pub(crate) fn new(spool_id: u128, number: u64, file: Arc<dyn DiskFile>, map: Option<Box<dyn Mapping>>) -> Writer {
        Writer { number, file, map, key: segment::key(spool_id, number) }
    }

    pub(crate) fn put_header(&mut self, header: &SegmentHeader) -> io::Result<()> {
        let bytes = header.encode();
        let Some(map) = &mut self.map else { return write_full(&*self.file, &bytes, 0) };
        map.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
        map.stored(0, bytes.len());
        Ok(())
    }

    /// One frame at `at`. The caller has checked that it fits.
    pub(crate) fn put(
        &mut self,
        at: Position,
        frame_bytes: usize,
        scratch: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]),
    ) -> io::Result<()> {
        let Some(map) = &mut self.map else {
            scratch.clear();
            scratch.resize(frame_bytes, 0);
            fill(&mut scratch[FRAME_HEADER_BYTES..]);
            self.key.seal(scratch, at.seq);
            return write_full(&*self.file, scratch, at.offset);
        };
        let offset = at.offset as usize;
        let mut space = Unfinished { frame: &mut map.bytes_mut()[offset..offset + frame_bytes], done: false };
        fill(&mut space.frame[FRAME_HEADER_BYTES..]);
        fail::fail_point!("spool::in_append");
        self.key.seal(space.frame, at.seq);
        space.done = true;
        drop(space);
        map.stored(offset, frame_bytes);
        Ok(())
    }
}

/// Mapped space is blanked again when `fill` panics, so that the next record finds zeros and a reader finds nothing.
struct Unfinished<'a> {
    frame: &'a mut [u8],
    done: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.frame.fill(0);
        }
    }
}
