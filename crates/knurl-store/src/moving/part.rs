//! The parts that a database is moved in: the same for both dialects, whatever their tables look like.
//!
//! A part is a list of rows in the order of their keys. Its first one or two columns lead to a row (or to the few that belong together: a
//! day's referrers of a link), and what is noted of changes is these numbers. Text sorts by its bytes.

use std::ops::Range;

/// Numbers are stored in notes and named by triggers: never changed, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Users = 1,
    Links = 2,
    /// Clicks among them.
    Events = 3,
    Keys = 4,
    Hours = 5,
    /// With what agents clicked.
    Days = 6,
    Totals = 7,
    Referrers = 8,
    Onces = 9,
    Salts = 10,
    Cursors = 11,
    /// Those that cannot be counted again from the rows.
    Counters = 12,
    /// The last id that was given of each kind.
    Sequences = 13,
    /// Ids of users that were, so that nobody brings them again.
    DeletedUsers = 14,
    /// What somebody has acknowledged as removed by hand.
    Acceptances = 15,
}

/// What a column holds, in either dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Text,
    Bytes,
}

use Kind::{Bytes, Int, Text};

impl Part {
    /// What goes with the live writes, and is noted when it changes.
    pub const NOTED: [Self; 10] = [
        Self::Users,
        Self::DeletedUsers,
        Self::Keys,
        Self::Links,
        Self::Onces,
        Self::Events,
        Self::Hours,
        Self::Days,
        Self::Totals,
        Self::Referrers,
    ];
    /// A few rows each, compared as a whole when nothing is written any more.
    pub const LAST: [Self; 5] = [Self::Salts, Self::Cursors, Self::Counters, Self::Sequences, Self::Acceptances];

    pub fn all() -> impl Iterator<Item = Self> {
        Self::NOTED.into_iter().chain(Self::LAST)
    }

    pub fn numbered(number: i64) -> Option<Self> {
        Self::all().find(|part| *part as i64 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Links => "links",
            Self::Events => "events",
            Self::Keys => "keys",
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Totals => "totals",
            Self::Referrers => "referrers",
            Self::Onces => "idempotency keys",
            Self::Salts => "salts",
            Self::Cursors => "spool cursors",
            Self::Counters => "counters",
            Self::Sequences => "sequences",
            Self::DeletedUsers => "deleted users",
            Self::Acceptances => "audit acceptances",
        }
    }

    /// In the order of every statement.
    pub fn columns(self) -> &'static [Kind] {
        match self {
            // id, username, email, username_key, username_twin, email_key, email_twin, created_at
            Self::Users => &[Int, Text, Text, Text, Int, Text, Int, Int],
            // id, domain, short_code, twin, target, title, is_active, status, owner, expires, created, updated, deleted, version
            Self::Links => &[Int, Text, Text, Int, Text, Text, Int, Int, Int, Int, Int, Int, Int, Int],
            // id, link, user, type, at, details, source
            Self::Events => &[Int, Int, Int, Text, Int, Text, Int],
            // id, name, hash, created, revoked
            Self::Keys => &[Int, Text, Bytes, Int, Int],
            // link, hour, total, human, visitors, sketch
            Self::Hours => &[Int, Int, Int, Int, Int, Bytes],
            // link, day, total, human, visitors, sketch, agents
            Self::Days => &[Int, Int, Int, Int, Int, Bytes, Text],
            // link, total, human, last click
            Self::Totals => &[Int, Int, Int, Int],
            // link, day, host, total
            Self::Referrers => &[Int, Int, Text, Int],
            // at, id, fingerprint, fates
            Self::Onces => &[Int, Bytes, Bytes, Text],
            // day, salt
            Self::Salts => &[Int, Bytes],
            // 0, spool, segment, offset, seq
            Self::Cursors => &[Int, Bytes, Int, Int, Int],
            // 0, name, value
            Self::Counters | Self::Sequences => &[Int, Text, Int],
            // id, created
            Self::DeletedUsers => &[Int, Int],
            // id, at, reason, events, roll-ups
            Self::Acceptances => &[Int, Int, Text, Int, Int],
        }
    }

    /// Columns that lead to rows, and are in the notes: one or two.
    pub fn leads(self) -> usize {
        match self {
            Self::Hours | Self::Days | Self::Referrers => 2,
            _ => 1,
        }
    }

    /// Columns that order the rows; no two rows are alike in all of them.
    pub fn order(self) -> usize {
        match self {
            Self::Referrers => 3,
            Self::Hours | Self::Days | Self::Onces | Self::Cursors | Self::Counters | Self::Sequences => 2,
            _ => 1,
        }
    }

    /// Columns by which a row is removed.
    pub fn identity(self) -> Range<usize> {
        match self {
            Self::Onces | Self::Cursors | Self::Counters | Self::Sequences => 1..2,
            part => 0..part.order(),
        }
    }

    /// Columns that are stored: some parts have nothing that leads to their rows, and get a number for it.
    pub fn stored(self) -> Range<usize> {
        let first = usize::from(matches!(self, Self::Cursors | Self::Counters | Self::Sequences));
        first..self.columns().len()
    }
}
