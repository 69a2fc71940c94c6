//! Segment files come and go: prepared ahead, deleted when delivered.
//!
//! # Promised
//! A prepared segment is written full of zeros and synced, its name too, before anything is appended to it: a full disk shows here, as an
//! error. Files that exist never exceed `segments_max`, but for the moment in which a tail is rewritten.
//!
//! # Refused
//! Recycling. Zeroing 8 MiB costs a worker a few milliseconds every 8 MiB of records, and a file that never held anything cannot show
//! stale bytes.

use std::io;

use crate::frames::write_full;
use crate::log::Writer;
use crate::segment;
use crate::spool::hold;
use crate::{Position, Spool};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What [`Spool::prepare`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Empty segments ready now.
    pub ready: u32,
    /// Of those, made by this call.
    pub created: u32,
    /// `segments_max` files exist: nothing more can be prepared until something is released.
    pub at_bound: bool,
}

impl Spool {
    /// Creates, zeroes and syncs empty segments until `spares` are ready or `segments_max` is reached.
    pub fn prepare(&self) -> io::Result<Prepared> {
        self.make_spares(self.config.spares)
    }

    pub(crate) fn make_spares(&self, wanted: u32) -> io::Result<Prepared> {
        let mut next_number = hold(&self.prepare_turn);
        let mut created = 0;
        loop {
            let (ready, files, retired) = {
                let mut log = self.log();
                (log.spares.len() as u32, log.files(), std::mem::take(&mut log.retired))
            };
            drop(retired);
            let at_bound = files >= self.config.segments_max;
            if ready >= wanted || at_bound {
                return Ok(Prepared { ready, created, at_bound });
            }
            self.make_spare(&mut next_number)?;
            created += 1;
        }
    }

    pub(crate) fn make_spares_unbounded(&self, wanted: usize) -> io::Result<()> {
        let mut next_number = hold(&self.prepare_turn);
        while self.log().spares.len() < wanted {
            self.make_spare(&mut next_number)?;
        }
        Ok(())
    }

    fn make_spare(&self, next_number: &mut u64) -> io::Result<()> {
        let name = segment::file_name(*next_number);
        let spare = match self.write_spare(&name, *next_number) {
            Ok(spare) => spare,
            Err(error) => {
                // The number is tried again, and what is left under it is removed first.
                let _ = self.disk.remove(&name);
                return Err(error);
            }
        };
        fail::fail_point!("spool::prepare");
        *next_number += 1;
        self.log().spares.push_back(spare);
        Ok(())
    }

    fn write_spare(&self, name: &str, number: u64) -> io::Result<Writer> {
        match self.disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(name)?;
        let mut at = 0;
        while at < self.config.segment_bytes {
            let step = ZEROS.len().min((self.config.segment_bytes - at) as usize);
            write_full(&*file, &ZEROS[..step], at)?;
            at += step as u64;
        }
        file.sync()?;
        self.disk.sync_dir()?;
        let map = if self.mapped { Some(file.map(self.config.segment_bytes as usize)?) } else { None };
        Ok(Writer::new(self.id(), number, file, map))
    }

    /// Deletes whole segments below `delivered`; returns how many.
    pub fn release(&self, delivered: Position) -> io::Result<u32> {
        let _turn = hold(&self.release_turn);
        let mut released = 0;
        while let Some(number) = self.oldest_below(delivered.seq) {
            match self.disk.remove(&segment::file_name(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fail::fail_point!("spool::release");
            self.log().segments.pop_front_if(|meta| meta.number == number);
            released += 1;
        }
        Ok(released)
    }

    /// The oldest segment, if it is not the current one and all its records lie below `seq`.
    fn oldest_below(&self, seq: u64) -> Option<u64> {
        let log = self.log();
        let oldest = log.segments.front()?;
        let is_current = log.current.as_ref().is_some_and(|writer| writer.number == oldest.number);
        let end_seq = log.segments.get(1).map_or(log.written.seq, |next| next.first_seq);
        (!is_current && end_seq <= seq).then_some(oldest.number)
    }
}
