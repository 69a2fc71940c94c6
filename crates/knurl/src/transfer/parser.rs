//! Rows out of the bytes of a file, in any pieces: pure, bounded, total. What the importer and the fuzzer drive.

use super::{
    csv_row::Header,
    json_row,
    kind::{Kind, Refusal, Row},
    row::Parsed,
    splitter::{RECORD_BYTES_MAX, Split, Splitter},
};

const TOO_LONG: &str = "is longer than 4 MiB (is a quote not closed?)";
const TOO_WIDE: &str = "has more than 64 fields";

/// The file is none of ours: nothing of it is read further. Says what is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeaderError(pub String);

/// Feed it a file; it hands out one result for every row.
#[derive(Debug, Default)]
pub struct Parser {
    form: Form,
    bytes_seen: u64,
}

#[derive(Debug, Default)]
enum Form {
    /// Nothing but blanks so far.
    #[default]
    Unknown,
    Csv {
        splitter: Box<Splitter>,
        header: Option<Header>,
    },
    Lines {
        line: Vec<u8>,
        too_long: bool,
        number: u64,
        kind: Option<Kind>,
    },
}

impl Parser {
    /// Known once the header (or the first line) has been read.
    pub fn kind(&self) -> Option<Kind> {
        match &self.form {
            Form::Csv { header, .. } => header.as_ref().map(|h| h.kind),
            Form::Lines { kind, .. } => *kind,
            Form::Unknown => None,
        }
    }

    /// Columns of a CSV file that nobody here knows.
    pub fn ignored_columns(&self) -> &[String] {
        match &self.form {
            Form::Csv { header: Some(header), .. } => &header.ignored,
            _ => &[],
        }
    }

    /// `sink` gets the line a row begins on, its size in bytes, and the row or why it is none.
    pub fn feed(&mut self, piece: &[u8], sink: &mut impl FnMut(u64, usize, Parsed<Row>)) -> Result<(), HeaderError> {
        self.bytes_seen += piece.len() as u64;
        if matches!(self.form, Form::Unknown) {
            let Some(first) = piece.first() else { return Ok(()) };
            // A header of ours never begins with a brace, and a JSON line always does.
            self.form = if *first == b'{' {
                Form::Lines { line: Vec::new(), too_long: false, number: 1, kind: None }
            } else {
                Form::Csv { splitter: Box::default(), header: None }
            };
        }
        self.drive(Some(piece), sink)
    }

    pub fn finish(&mut self, sink: &mut impl FnMut(u64, usize, Parsed<Row>)) -> Result<(), HeaderError> {
        if !matches!(self.form, Form::Unknown) {
            self.drive(None, sink)?;
        }
        if self.kind().is_none() {
            return Err(HeaderError("the file is empty".into()));
        }
        Ok(())
    }

    fn drive(&mut self, piece: Option<&[u8]>, sink: &mut impl FnMut(u64, usize, Parsed<Row>)) -> Result<(), HeaderError> {
        match &mut self.form {
            Form::Unknown => Ok(()),
            Form::Csv { splitter, header } => {
                let mut failed = None;
                let mut records = |line, split: Split<'_>| {
                    if failed.is_none() {
                        failed = csv_record(header, line, split, sink).err();
                    }
                };
                match piece {
                    Some(piece) => splitter.feed(piece, &mut records),
                    None => splitter.finish(&mut records),
                }
                failed.map_or(Ok(()), Err)
            }
            Form::Lines { line, too_long, number, kind } => {
                let mut rest = piece.unwrap_or(b"\n");
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    keep(line, too_long, &rest[..end]);
                    json_line(kind, *number, std::mem::take(too_long), line, sink)?;
                    line.clear();
                    *number += 1;
                    rest = &rest[end + 1..];
                }
                keep(line, too_long, rest);
                Ok(())
            }
        }
    }
}

fn keep(line: &mut Vec<u8>, too_long: &mut bool, more: &[u8]) {
    if line.len() + more.len() > RECORD_BYTES_MAX {
        *too_long = true;
        line.clear();
    }
    if !*too_long {
        line.extend_from_slice(more);
    }
}

fn csv_record(
    header: &mut Option<Header>,
    line: u64,
    split: Split<'_>,
    sink: &mut impl FnMut(u64, usize, Parsed<Row>),
) -> Result<(), HeaderError> {
    let Some(known) = header else {
        let Split::Record(fields) = split else { return Err(HeaderError("the header is too long".into())) };
        *header = Some(Header::read(fields).map_err(HeaderError)?);
        return Ok(());
    };
    match split {
        Split::Record(fields) => sink(line, fields.bytes_len(), known.row(fields)),
        Split::TooLong => sink(line, 0, Err(Refusal::row(TOO_LONG))),
        Split::TooWide => sink(line, 0, Err(Refusal::row(TOO_WIDE))),
    }
    Ok(())
}

fn json_line(
    kind: &mut Option<Kind>,
    number: u64,
    too_long: bool,
    line: &[u8],
    sink: &mut impl FnMut(u64, usize, Parsed<Row>),
) -> Result<(), HeaderError> {
    let line = line.trim_ascii();
    if line.is_empty() && !too_long {
        return Ok(());
    }
    let kind = match *kind {
        Some(kind) => kind,
        None => *kind.insert(json_row::kind_of(line).map_err(HeaderError)?),
    };
    let row = if too_long { Err(Refusal::row(TOO_LONG)) } else { json_row::row(kind, line) };
    sink(number, line.len(), row);
    Ok(())
}
