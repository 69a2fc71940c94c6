//! Which of the three files one is, recognised by its header, never by its name.

use knurl_core::{Event, Link, User};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    // In the order in which they refer to each other: an import of several files goes in this order.
    Users,
    Links,
    Events,
}

impl Kind {
    /// As reports and messages call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Links => "urls",
            Self::Events => "events",
        }
    }

    /// The columns of the file, in the order they are written; an import takes them in any order.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Users => &["id", "username", "email", "created_at"],
            Self::Links => &["id", "user_id", "short_code", "original_url", "title", "is_active", "created_at", "updated_at"],
            Self::Events => &["id", "url_id", "user_id", "event_type", "timestamp", "details"],
        }
    }

    /// Columns of ours that the seed's files do not have.
    pub fn optional_columns(self) -> &'static [&'static str] {
        match self {
            Self::Links => &["redirect_status", "expires_at"],
            Self::Users | Self::Events => &[],
        }
    }

    /// The kind whose own column is among `names`.
    pub fn of_names<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<Self> {
        names.find_map(|name| match name {
            "username" | "email" => Some(Self::Users),
            "short_code" | "original_url" => Some(Self::Links),
            "event_type" | "url_id" => Some(Self::Events),
            _ => None,
        })
    }
}

/// One row, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    User(User),
    Link(Box<Link>),
    Event(Event),
}

/// Why a row is not taken: the column and a sentence. Both fixed, so that they can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    pub field: &'static str,
    pub reason: &'static str,
}

impl Refusal {
    pub(super) fn of(field: &'static str, reason: &'static str) -> Self {
        Self { field, reason }
    }

    /// Of the row as a whole.
    pub(super) fn row(reason: &'static str) -> Self {
        Self { field: "", reason }
    }
}
