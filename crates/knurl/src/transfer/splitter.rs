//! CSV records out of bytes that come in any pieces.
//!
//! Promised: memory is bounded by [`RECORD_BYTES_MAX`] whatever comes in (an unclosed quote, a line of a gigabyte); how the bytes are
//! cut into pieces changes nothing; lines are counted as an editor counts them. A BOM, CRLF and empty lines are not part of a record.

use csv_core::ReadRecordResult;

/// A record may be this long; longer ones are reported and skipped.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The widest of our files has 10 columns; strangers' files may have more that we ignore.
pub const FIELDS_MAX: usize = 64;
const BUFFER_BYTES_FIRST: usize = 16 * 1024;
const BOM_BYTES: usize = 3;

/// What one record turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split<'a> {
    Record(Fields<'a>),
    TooLong,
    TooWide,
}

/// The fields of one record, unquoted, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }
}

#[derive(Debug)]
pub(super) struct Splitter {
    core: csv_core::Reader,
    /// The first bytes, until a BOM can be told from what is none.
    head: Vec<u8>,
    head_done: bool,
    bytes: Vec<u8>,
    bytes_len: usize,
    ends: [usize; FIELDS_MAX],
    ends_len: usize,
    /// Line of the next byte.
    line: u64,
    /// Line on which the record in progress began; `None` between records.
    began: Option<u64>,
    unfit: Option<Split<'static>>,
}

impl Default for Splitter {
    fn default() -> Self {
        let mut core = csv_core::Reader::new();
        // The reader would look for a BOM in whatever piece comes first; we have taken care of it. An empty line is no record.
        core.read_record(b"\n", &mut [0], &mut [0]);
        Self {
            core,
            head: Vec::with_capacity(BOM_BYTES),
            head_done: false,
            bytes: vec![0; BUFFER_BYTES_FIRST],
            bytes_len: 0,
            ends: [0; FIELDS_MAX],
            ends_len: 0,
            line: 1,
            began: None,
            unfit: None,
        }
    }
}

impl Splitter {
    /// Hands every record that ends within `piece` to `sink`, with its line.
    pub(super) fn feed(&mut self, mut piece: &[u8], sink: &mut impl FnMut(u64, Split<'_>)) {
        if !self.head_done {
            let missing = BOM_BYTES - self.head.len();
            let (head, rest) = piece.split_at(missing.min(piece.len()));
            self.head.extend_from_slice(head);
            piece = rest;
            if self.head.len() < BOM_BYTES {
                return;
            }
            self.begin(sink);
        }
        self.split(piece, sink);
    }

    /// The end of the file: the last record may lack its line break.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(u64, Split<'_>)) {
        if !self.head_done {
            self.begin(sink);
        }
        if self.began.is_none() {
            return;
        }
        // Two rounds at most lack space; then the record, then the end.
        loop {
            match self.step(&[]).0 {
                ReadRecordResult::Record => self.emit(sink),
                ReadRecordResult::OutputFull => self.grow(),
                ReadRecordResult::OutputEndsFull => self.give_up(Split::TooWide),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return,
            }
        }
    }

    fn begin(&mut self, sink: &mut impl FnMut(u64, Split<'_>)) {
        self.head_done = true;
        let head = std::mem::take(&mut self.head);
        self.split(head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head), sink);
    }

    fn split(&mut self, mut piece: &[u8], sink: &mut impl FnMut(u64, Split<'_>)) {
        loop {
            if self.began.is_none() {
                piece = self.skip_line_breaks(piece);
            }
            if piece.is_empty() {
                return;
            }
            self.began.get_or_insert(self.line);
            let (result, taken) = self.step(piece);
            self.line += piece[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
            piece = &piece[taken..];
            match result {
                ReadRecordResult::Record => self.emit(sink),
                ReadRecordResult::OutputFull => self.grow(),
                ReadRecordResult::OutputEndsFull => self.give_up(Split::TooWide),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
    }

    /// Between records a line break means nothing: the second half of CRLF, or an empty line.
    fn skip_line_breaks<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let breaks = piece.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(piece.len());
        self.line += piece[..breaks].iter().filter(|byte| **byte == b'\n').count() as u64;
        &piece[breaks..]
    }

    fn step(&mut self, piece: &[u8]) -> (ReadRecordResult, usize) {
        let (result, taken, bytes, ends) =
            self.core.read_record(piece, &mut self.bytes[self.bytes_len..], &mut self.ends[self.ends_len..]);
        self.bytes_len += bytes;
        self.ends_len += ends;
        (result, taken)
    }

    fn emit(&mut self, sink: &mut impl FnMut(u64, Split<'_>)) {
        let line = self.began.take().unwrap_or(self.line);
        let fields = Fields { bytes: &self.bytes[..self.bytes_len], ends: &self.ends[..self.ends_len] };
        sink(line, self.unfit.take().unwrap_or(Split::Record(fields)));
        (self.bytes_len, self.ends_len) = (0, 0);
    }

    fn grow(&mut self) {
        if self.unfit.is_none() && self.bytes.len() < RECORD_BYTES_MAX {
            self.bytes.resize((self.bytes.len() * 2).min(RECORD_BYTES_MAX), 0);
            return;
        }
        self.give_up(Split::TooLong);
    }

    /// The rest of this record is read over and thrown away.
    fn give_up(&mut self, why: Split<'static>) {
        self.unfit.get_or_insert(why);
        (self.bytes_len, self.ends_len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split_in(pieces: &[&[u8]]) -> Vec<(u64, Option<Vec<Vec<u8>>>)> {
        let mut seen = Vec::new();
        let mut splitter = Splitter::default();
        let mut sink = |line, split: Split<'_>| {
            let fields = match split {
                Split::Record(fields) => Some((0..fields.len()).map(|i| fields.get(i).unwrap().to_vec()).collect()),
                Split::TooLong | Split::TooWide => None,
            };
            seen.push((line, fields));
        };
        pieces.iter().for_each(|piece| splitter.feed(piece, &mut sink));
        splitter.finish(&mut sink);
        seen
    }

    fn texts(records: &[(u64, Option<Vec<Vec<u8>>>)]) -> Vec<(u64, Vec<String>)> {
        let text = |field: &Vec<u8>| String::from_utf8_lossy(field).into_owned();
        records
            .iter()
            .map(|(line, fields)| (*line, fields.as_ref().map(|f| f.iter().map(text).collect()).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn lines_are_counted_as_an_editor_does_through_crlf_empty_lines_and_quoted_breaks() {
        let file = "\u{feff}a,b\r\n1,\"two\r\nlines\"\r\n\r\n\n2,\"say \"\"hi\"\"\"\r\n3,last".as_bytes();
        let expected = [(1, vec!["a", "b"]), (2, vec!["1", "two\r\nlines"]), (6, vec!["2", "say \"hi\""]), (7, vec!["3", "last"])];
        let expected: Vec<(u64, Vec<String>)> =
            expected.into_iter().map(|(l, f)| (l, f.into_iter().map(str::to_owned).collect())).collect();
        assert_eq!(texts(&split_in(&[file])), expected);
        let bytes: Vec<&[u8]> = file.chunks(1).collect();
        assert_eq!(texts(&split_in(&bytes)), expected);
    }

    #[test]
    fn a_record_beyond_the_bound_is_skipped_and_the_next_one_is_read() {
        let long = vec![b'x'; RECORD_BYTES_MAX + 1];
        let mut file = b"a,b\n1,".to_vec();
        file.extend_from_slice(&long);
        file.extend_from_slice(b"\n2,y\n");
        let seen = split_in(&[&file]);
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[1], (2, None));
        assert_eq!(texts(&seen)[2], (3, vec!["2".into(), "y".into()]));
        let wide = format!("{}\n2,y\n", ",".repeat(FIELDS_MAX));
        assert_eq!(texts(&split_in(&[wide.as_bytes()])), [(1, vec![]), (2, vec!["2".into(), "y".into()])]);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(file in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xef), Just(0xbb), Just(0xbf)
        ], 0..200), cuts in proptest::collection::vec(1usize..20, 1..40)) {
            let whole = split_in(&[&file]);
            let (mut pieces, mut rest) = (Vec::new(), &file[..]);
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            prop_assert_eq!(whole, split_in(&pieces));
        }
    }
}
