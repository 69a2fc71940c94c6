//! Walking the frames of one segment file, over damage.
//!
//! # Promised
//! Every frame that is intact is found, in order, also behind a stretch that is not; the walk always ends.

use std::io;
use std::ops::Range;

use crate::DiskFile;
use crate::frame::{Decoded, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameKey};

/// Read at once: several of the longest frames.
const WINDOW_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Frames<'a> {
    file: &'a dyn DiskFile,
    key: FrameKey,
    /// Where the next frame should begin.
    offset: u64,
    /// No frame reaches beyond.
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    /// Behind the last byte that is not zero, as far as was looked.
    used: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundFrame {
    pub(crate) seq: u64,
    /// Where the frame begins.
    pub(crate) at: u64,
    /// Unreadable bytes passed over to get here.
    pub(crate) gap_bytes: u64,
    payload: Range<usize>,
}

impl<'a> Frames<'a> {
    /// From `offset` up to `end` or the end of the file.
    pub(crate) fn new(file: &'a dyn DiskFile, key: FrameKey, offset: u64, end: u64) -> Frames<'a> {
        Frames { file, key, offset, end, window: Vec::new(), window_at: offset, used: offset }
    }

    /// Behind the last frame found.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// After `next` answered `None`: bytes behind the last frame that are neither zero nor a frame.
    pub(crate) fn trailing_bytes(&self) -> u64 {
        self.used.saturating_sub(self.offset)
    }

    pub(crate) fn payload(&self, found: &FoundFrame) -> &[u8] {
        &self.window[found.payload.clone()]
    }

    /// The next intact frame with a sequence in `seqs`; its payload is valid until the next call.
    pub(crate) fn next(&mut self, seqs: &Range<u64>) -> io::Result<Option<FoundFrame>> {
        let expected_at = self.offset;
        let mut at = expected_at;
        loop {
            self.load(at)?;
            let in_window = (at - self.window_at) as usize;
            if in_window >= self.window.len() {
                return Ok(None);
            }
            // Beyond this a frame might be cut by the window, unless the window reaches the end.
            let last = if self.window_at + self.window.len() as u64 >= self.end {
                self.window.len()
            } else {
                self.window.len() - FRAME_BYTES_MAX + 1
            };
            for start in in_window..last {
                if self.window[start] == 0 && start > in_window && self.window.get(start + 1) == Some(&0) {
                    continue;
                }
                if let Decoded::Record { seq, len } = self.key.decode(&self.window[start..], seqs) {
                    let at = self.window_at + start as u64;
                    let payload = start + FRAME_HEADER_BYTES..start + FRAME_HEADER_BYTES + len;
                    self.offset = self.window_at + payload.end as u64;
                    self.used = self.offset;
                    return Ok(Some(FoundFrame { seq, at, gap_bytes: at - expected_at, payload }));
                }
            }
            if let Some(byte) = self.window[in_window..].iter().rposition(|&byte| byte != 0) {
                self.used = self.used.max(self.window_at + (in_window + byte + 1) as u64);
            }
            at = self.window_at + last as u64;
        }
    }

    /// Makes the window hold a whole frame from `at` on, or all there is.
    fn load(&mut self, at: u64) -> io::Result<()> {
        let loaded_to = self.window_at + self.window.len() as u64;
        if at + (FRAME_BYTES_MAX as u64) <= loaded_to || (loaded_to >= self.end && at <= loaded_to && !self.window.is_empty()) {
            return Ok(());
        }
        let want = self.end.saturating_sub(at).min(WINDOW_BYTES as u64) as usize;
        self.window.resize(want, 0);
        self.window_at = at;
        let got = read_full(self.file, &mut self.window, at)?;
        if got < want {
            // The file is shorter than it should be.
            self.window.truncate(got);
            self.end = at + got as u64;
        }
        Ok(())
    }
}

/// Reads until `into` is full or the file ends.
pub(crate) fn read_full(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`; a write that makes no progress is an error.
pub(crate) fn write_full(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;
    use crate::sim::{Dice, SimDisk};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Long frames and a file larger than the window, so that frames and damage straddle its edges.
        #[test]
        fn every_intact_frame_is_found_in_order_whatever_lies_between(
            frames in proptest::collection::vec((0..40_000_usize, 0..3_000_usize, any::<bool>()), 1..40), seed: u64,
        ) {
            let (key, mut dice) = (FrameKey::new(5, 9), Dice::new(seed));
            let (mut content, mut expected) = (Vec::new(), Vec::new());
            for (seq, (len, garbage, zeros)) in (100_u64..).zip(frames) {
                // Some sequences are missing together with their frames.
                if seq % 3 == 1 {
                    content.extend((0..garbage).map(|_| if zeros { 0 } else { dice.roll() as u8 }));
                    continue;
                }
                let at = content.len();
                content.resize(at + FRAME_HEADER_BYTES + len, seq as u8);
                key.seal(&mut content[at..], seq);
                expected.push((seq, at as u64, len));
            }
            let file = SimDisk::new(1).create("x").unwrap();
            write_full(&*file, &content, 0).unwrap();
            let mut walk = Frames::new(&*file, key, 0, content.len() as u64);
            let (mut seqs, mut found) = (100..1 << 20, Vec::new());
            while let Some(frame) = walk.next(&seqs).unwrap() {
                seqs.start = frame.seq + 1;
                prop_assert!(walk.payload(&frame).iter().all(|&byte| byte == frame.seq as u8));
                found.push((frame.seq, frame.at, walk.payload(&frame).len()));
            }
            prop_assert_eq!(found, expected);
        }
    }
}
