//! Making records durable, and what happens when that fails.
//!
//! # Promised
//! - [`Spool::sync`] never holds the append lock while it waits for the disk.
//! - A failed fsync is never retried: the kernel has marked the pages clean, a second fsync would lie. The segment is abandoned at its last
//!   durable record, the tail is read back from the page cache, verified, and written to fresh segments, which are synced instead.
//! - Records keep their sequence when they move, so a reader anywhere in the tail goes on at the right record.

use std::io;
use std::sync::Arc;

use crate::frame::FRAME_HEADER_BYTES;
use crate::frames::Frames;
use crate::log::{Log, Unsynced, Writer};
use crate::segment::{self, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentMeta};
use crate::spool::hold;
use crate::{Disk, DiskFile, Position, Spool, SyncError};

/// Longest tail that is rewritten: syncing lags by less in any state worth saving, and the appends wait for the copy.
const MOVE_SEGMENTS_MAX: usize = 32;
/// Spares are made for the tail as it was; what fits its last segment is appended meanwhile and may need one more, and so may `begin_above`.
const MOVE_TRIES_MAX: u32 = 4;

/// What a missing record in the tail means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// The page cache lost it: the tail cannot be saved.
    Fatal,
    /// Recovery has already reported it.
    Known,
}

enum Rewritten {
    /// The log goes on in the copy, which is not synced yet.
    Moved {
        files: Vec<Arc<dyn DiskFile>>,
        superseded: Vec<u64>,
        end: Position,
    },
    NeedsSpares(usize),
}

impl Spool {
    /// Makes durable what was written when called. Appends go on meanwhile.
    pub fn sync(&self) -> Result<Position, SyncError> {
        self.sync_steps(Gaps::Fatal)
    }

    pub(crate) fn sync_steps(&self, gaps: Gaps) -> Result<Position, SyncError> {
        let _turn = hold(&self.sync_turn);
        if self.ledger.checkpoint_due() {
            self.ledger.checkpoint();
        }
        let (goal, durable, rolled, current, retired) = {
            let mut log = self.log();
            if log.lost {
                return Err(SyncError::Closed);
            }
            let rolled: Vec<_> = log.unsynced.iter().map(|segment| (segment.number, segment.file.clone(), segment.end)).collect();
            let current = log.current.as_ref().map(|writer| writer.file.clone());
            (log.written, log.durable, rolled, current, std::mem::take(&mut log.retired))
        };
        drop(retired);
        if goal == durable && rolled.is_empty() {
            return Ok(durable);
        }
        fail::fail_point!("spool::before_sync");
        for (number, file, end) in rolled {
            if let Err(source) = sync_segment(&*self.disk, number, file) {
                return Err(self.move_tail(source, gaps));
            }
            let mut log = self.log();
            log.unsynced.pop_front();
            log.durable = log.durable.max(end);
        }
        if let Some(Err(source)) = current.map(|file| file.sync()) {
            return Err(self.move_tail(source, gaps));
        }
        let durable = {
            let mut log = self.log();
            log.durable = log.durable.max(goal);
            log.durable
        };
        fail::fail_point!("spool::after_sync");
        Ok(durable)
    }

    fn move_tail(&self, source: io::Error, gaps: Gaps) -> SyncError {
        self.log().moving = true;
        let rewritten = self.rewrite_tail(gaps);
        let mut log = self.log();
        log.moving = false;
        match rewritten {
            Ok(durable) => SyncError::Moved { durable, source },
            Err(_) => {
                log.closed = true;
                log.lost = true;
                SyncError::Lost { source }
            }
        }
    }

    fn rewrite_tail(&self, gaps: Gaps) -> io::Result<Position> {
        for _ in 0..MOVE_TRIES_MAX {
            let rewritten = self.log().rewrite_tail(&*self.disk, gaps)?;
            let (files, superseded, end) = match rewritten {
                Rewritten::Moved { files, superseded, end } => (files, superseded, end),
                Rewritten::NeedsSpares(count) if count > MOVE_SEGMENTS_MAX => break,
                Rewritten::NeedsSpares(count) => {
                    // Beyond `segments_max` if need be: what is superseded is deleted right after.
                    self.make_spares_unbounded(count)?;
                    continue;
                }
            };
            for file in &files {
                file.sync()?;
            }
            let mut log = self.log();
            log.unsynced.drain(..files.len() - 1);
            log.durable = log.durable.max(end);
            drop(log);
            for number in superseded {
                // Recovery knows them for superseded; the next open removes what could not be removed now.
                let _ = self.disk.remove(&segment::file_name(number));
            }
            return Ok(end);
        }
        Err(io::Error::other("the un-synced tail is too long to be rewritten"))
    }
}

fn sync_segment(disk: &dyn Disk, number: u64, file: Option<Arc<dyn DiskFile>>) -> io::Result<()> {
    match file {
        Some(file) => file.sync(),
        None => disk.open(&segment::file_name(number), true)?.sync(),
    }
}

/// One of the segments that will hold the tail.
#[derive(Clone, Copy, Debug)]
struct Copy {
    first_seq: u64,
    end: u64,
}

impl Log {
    /// Copies every record above `durable` into spares and switches over. Until the first copy's header is written, which comes last, the
    /// old segments hold the truth; from then on the copies do: a kill in between finds either. Called under the append lock, reading
    /// and writing pages of the cache only: appends must wait, or they would land behind a tail that is being left.
    fn rewrite_tail(&mut self, disk: &dyn Disk, gaps: Gaps) -> io::Result<Rewritten> {
        let oldest = self.segments.front().map_or(self.written.seq, |meta| meta.first_seq);
        let start = self.durable.seq.max(oldest);
        let mut copies = vec![Copy { first_seq: start, end: SEGMENT_HEADER_BYTES }];
        let mut places = Vec::new();
        self.each_record(disk, start, gaps, |seq, payload| {
            let frame_bytes = (FRAME_HEADER_BYTES + payload.len()) as u64;
            if copies[copies.len() - 1].end + frame_bytes > self.segment_bytes {
                copies.push(Copy { first_seq: seq, end: SEGMENT_HEADER_BYTES });
            }
            let copy = copies.len() - 1;
            places.push((copy, copies[copy].end));
            copies[copy].end += frame_bytes;
            Ok(())
        })?;
        if copies.len() > self.spares.len() {
            return Ok(Rewritten::NeedsSpares(copies.len()));
        }
        let mut spares = std::mem::take(&mut self.spares);
        let mut scratch = Vec::new();
        let mut places = places.into_iter();
        let copied = self.each_record(disk, start, gaps, |seq, payload| {
            let (copy, offset) = places.next().ok_or(io::ErrorKind::InvalidData)?;
            let at = Position { segment: spares[copy].number, offset, seq };
            spares[copy].put(at, FRAME_HEADER_BYTES + payload.len(), &mut scratch, |slice| slice.copy_from_slice(payload))
        });
        self.spares = spares;
        copied?;
        self.head_copies(&copies)?;
        Ok(self.switch_to(&copies))
    }

    /// Every record from `start` to the end of the log, in order.
    fn each_record(
        &self,
        disk: &dyn Disk,
        start: u64,
        gaps: Gaps,
        mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut expected = start;
        let owner = self.segments.partition_point(|meta| meta.first_seq <= start).saturating_sub(1);
        for at in owner..self.segments.len() {
            let meta = self.segments[at];
            let end_seq = self.segments.get(at + 1).map_or(self.written.seq, |next| next.first_seq);
            let file = self.file_of(disk, meta.number)?;
            let mut frames = Frames::new(&*file, segment::key(self.spool_id, meta.number), SEGMENT_HEADER_BYTES, file.size()?);
            let mut from = meta.first_seq;
            while from < end_seq {
                let Some(found) = frames.next(&(from..end_seq))? else { break };
                from = found.seq + 1;
                if found.seq < start {
                    continue;
                }
                if found.seq != expected && gaps == Gaps::Fatal {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                expected = from;
                each(found.seq, frames.payload(&found))?;
            }
        }
        if expected != self.written.seq && gaps == Gaps::Fatal {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// Headers from the last copy to the first.
    fn head_copies(&mut self, copies: &[Copy]) -> io::Result<()> {
        for at in (0..copies.len()).rev() {
            let previous = match at.checked_sub(1) {
                Some(before) => (self.spares[before].number, copies[before].end),
                None => (self.durable.segment, self.durable.offset),
            };
            let number = self.spares[at].number;
            let header = SegmentHeader { spool_id: self.spool_id, number, first_seq: copies[at].first_seq, previous };
            self.spares[at].put_header(&header)?;
        }
        Ok(())
    }

    fn switch_to(&mut self, copies: &[Copy]) -> Rewritten {
        let mut superseded = Vec::new();
        while let Some(meta) = self.segments.pop_back_if(|meta| meta.first_seq >= copies[0].first_seq) {
            superseded.push(meta.number);
        }
        self.unsynced.clear();
        self.retired.extend(self.current.take());
        let writers: Vec<Writer> = self.spares.drain(..copies.len()).collect();
        let files = writers.iter().map(|writer| writer.file.clone()).collect();
        for (at, (writer, copy)) in writers.into_iter().zip(copies).enumerate() {
            self.segments.push_back(SegmentMeta { number: writer.number, first_seq: copy.first_seq });
            match copies.get(at + 1) {
                Some(next) => {
                    let end = Position { segment: writer.number, offset: copy.end, seq: next.first_seq };
                    self.unsynced.push_back(Unsynced { number: writer.number, file: Some(writer.file.clone()), end });
                    self.retired.push(writer);
                }
                None => {
                    self.written = Position { segment: writer.number, offset: copy.end, seq: self.written.seq };
                    self.current = Some(writer);
                }
            }
        }
        Rewritten::Moved { files, superseded, end: self.written }
    }

    fn file_of(&self, disk: &dyn Disk, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(writer) = self.current.as_ref().filter(|writer| writer.number == number) {
            return Ok(writer.file.clone());
        }
        let rolled = self.unsynced.iter().find(|segment| segment.number == number).and_then(|segment| segment.file.clone());
        rolled.map_or_else(|| disk.open(&segment::file_name(number), false), Ok)
    }
}
