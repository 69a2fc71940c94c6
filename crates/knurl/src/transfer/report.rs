//! What an import did: bounded in size however large the file was.

use knurl_store::{Imported, RowNote, RowNoteKind};

use super::kind::{Kind, Refusal};

/// The counts, and of every reason its first rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub kind: Option<Kind>,
    /// Rows of the file, without the header.
    pub rows: u64,
    pub inserted: u64,
    /// Not inserted because the same row is there already.
    pub already_there: u64,
    /// Not inserted because the same row is there with other content, and was left as it is.
    pub kept: u64,
    /// Not inserted because the same row was there and was deleted since.
    pub stays_deleted: u64,
    /// Not inserted: malformed, or another row has the id.
    pub refused: u64,
    /// How often each reason occurred, and its first rows.
    pub reasons: Vec<Reason>,
    /// Columns of the file that were not read.
    pub ignored_columns: Vec<String>,
    /// The line of the last row that was kept: each of its fields is a remark, and it is one row.
    pub(super) kept_line: u64,
}

/// One reason for which rows were refused, skipped or remarked upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub fate: Fate,
    /// The column, or empty for the row as a whole.
    pub field: &'static str,
    pub reason: &'static str,
    pub count: u64,
    /// Lines of the first rows, at most [`Reason::FIRST_MAX`].
    pub first_lines: Vec<u64>,
}

impl Reason {
    pub const FIRST_MAX: usize = 20;
}

/// What became of a row that is remarked upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Not inserted.
    Refused,
    /// Not inserted, because it is there.
    AlreadyThere,
    /// Not inserted, because it is there with other content, which was left as it is.
    Kept,
    /// Not inserted, because it was deleted here.
    StaysDeleted,
    /// Inserted, although odd.
    Taken,
}

impl Fate {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::AlreadyThere => "already_there",
            Self::Kept => "kept",
            Self::StaysDeleted => "stays_deleted",
            Self::Taken => "taken",
        }
    }
}

/// A remark on one row: what `--report` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remark {
    pub line: u64,
    pub fate: Fate,
    pub field: &'static str,
    pub reason: &'static str,
}

impl Remark {
    pub(super) fn refused(line: u64, refusal: Refusal) -> Self {
        Self { line, fate: Fate::Refused, field: refusal.field, reason: refusal.reason }
    }

    pub(super) fn reserved(line: u64) -> Self {
        let reason =
            "is a reserved word: where an address of ours has that name, the link answers at /urls/{short_code}/redirect only";
        Self { line, fate: Fate::Taken, field: "short_code", reason }
    }

    pub(super) fn noted(note: &RowNote) -> Self {
        let (fate, reason) = match note.kind {
            RowNoteKind::AlreadyThere => (Fate::AlreadyThere, "is there already, with the same row"),
            RowNoteKind::LeftAsIs => (Fate::Kept, "is another here, and was left as it is"),
            RowNoteKind::StaysDeleted => (Fate::StaysDeleted, "is a row's that was deleted here since"),
            RowNoteKind::IdTaken => (Fate::Refused, "is another row's already"),
            RowNoteKind::IdOutOfRange => (Fate::Refused, "is not between 1 and 2^53 - 1"),
            RowNoteKind::Duplicate => (Fate::Taken, "is the same as an earlier row's"),
            RowNoteKind::DanglingReference => (Fate::Taken, "names a row that does not exist"),
            RowNoteKind::LinkStillActive => (Fate::Taken, "says that the link was deleted, and it is active"),
            RowNoteKind::OlderThanParent => (Fate::Taken, "is older than what it belongs to"),
        };
        Self { line: note.line, fate, field: note.field, reason }
    }
}

impl Report {
    pub(super) fn count(&mut self, imported: &Imported) {
        self.inserted += imported.inserted;
    }

    pub(super) fn remark(&mut self, remark: Remark) {
        match remark.fate {
            Fate::Refused => self.refused += 1,
            Fate::AlreadyThere => self.already_there += 1,
            Fate::Kept => {
                self.kept += u64::from(self.kept_line != remark.line);
                self.kept_line = remark.line;
            }
            Fate::StaysDeleted => self.stays_deleted += 1,
            Fate::Taken => {}
        }
        let same = |r: &&mut Reason| (r.fate, r.field, r.reason) == (remark.fate, remark.field, remark.reason);
        match self.reasons.iter_mut().find(same) {
            Some(reason) => reason.add(remark.line),
            // Fields and reasons are words of ours: the list cannot grow with the file.
            None => self.reasons.push(Reason {
                fate: remark.fate,
                field: remark.field,
                reason: remark.reason,
                count: 1,
                first_lines: vec![remark.line],
            }),
        }
    }
}

impl Reason {
    fn add(&mut self, line: u64) {
        self.count += 1;
        if self.first_lines.len() < Self::FIRST_MAX {
            self.first_lines.push(line);
        }
    }
}
