//! What a replica holds of a link, and the check sum that tells a damaged row from a true one.

use knurl_core::{LinkId, ShortCode, Target, UnixMillis, UserId, link::RedirectStatus};
use rusqlite::Row;

/// A link as a redirect needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkCopy {
    pub id: LinkId,
    pub domain: String,
    /// As the database has it, which need not be one that can be asked for.
    pub short_code: String,
    /// Not 0 where an import brought a code that was another's already: such a link answers no redirect.
    pub twin: i64,
    pub version: i64,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Link(Facts),
    Deleted,
    /// A row that no version of Knurl writes. It is there, and only the database can say what is wrong with it.
    Unreadable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub target: Target,
    pub is_active: bool,
    pub status: RedirectStatus,
    pub owner: Option<UserId>,
    pub expires_at: Option<UnixMillis>,
}

/// A row with nothing judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) id: i64,
    pub(crate) domain: String,
    pub(crate) short_code: String,
    pub(crate) twin: i64,
    pub(crate) state: i64,
    pub(crate) target: String,
    pub(crate) is_active: bool,
    pub(crate) status: i64,
    pub(crate) owner: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) version: i64,
}

impl Raw {
    pub(crate) const LINK: i64 = 0;
    pub(crate) const DELETED: i64 = 1;
    const UNREADABLE: i64 = 2;

    /// The columns of `link_by_code.sql` in their order; `None` where the row is not what was written.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let raw = Self {
            id: row.get(0)?,
            domain: row.get(1)?,
            short_code: row.get(2)?,
            twin: row.get(3)?,
            state: row.get(4)?,
            target: row.get(5)?,
            is_active: row.get(6)?,
            status: row.get(7)?,
            owner: row.get(8)?,
            expires_at: row.get(9)?,
            version: row.get(10)?,
        };
        let written: i64 = row.get(11)?;
        Ok((raw.check_sum() == written).then_some(raw))
    }

    /// Lengths are part of it: no two rows have the same bytes.
    pub(super) fn check_sum(&self) -> i64 {
        let mut sum = crc32fast::Hasher::new();
        for text in [&self.domain, &self.short_code, &self.target] {
            sum.update(&(text.len() as u64).to_le_bytes());
            sum.update(text.as_bytes());
        }
        for number in [self.id, self.twin, self.state, i64::from(self.is_active), self.status, self.version] {
            sum.update(&number.to_le_bytes());
        }
        for number in [self.owner, self.expires_at] {
            sum.update(&[u8::from(number.is_some())]);
            sum.update(&number.unwrap_or_default().to_le_bytes());
        }
        i64::from(sum.finalize())
    }

    pub(super) fn counts(&self) -> bool {
        self.state != Self::DELETED
    }

    /// What of it can be understood.
    pub(crate) fn judge(self) -> LinkCopy {
        let state = match self.state {
            Self::LINK => self.facts().map_or(State::Unreadable, State::Link),
            Self::DELETED => State::Deleted,
            _ => State::Unreadable,
        };
        let Self { id, domain, short_code, twin, version, .. } = self;
        LinkCopy { id: LinkId(id), domain, short_code, twin, version, state }
    }

    fn facts(&self) -> Option<Facts> {
        ShortCode::parse(&self.short_code).ok()?;
        Some(Facts {
            target: Target::verbatim(&self.target).ok()?,
            is_active: self.is_active,
            status: u16::try_from(self.status).ok().and_then(RedirectStatus::from_u16)?,
            owner: self.owner.map(UserId),
            expires_at: self.expires_at.map(UnixMillis),
        })
    }
}

impl From<&LinkCopy> for Raw {
    fn from(copy: &LinkCopy) -> Self {
        let bare = Self {
            id: copy.id.0,
            domain: copy.domain.clone(),
            short_code: copy.short_code.clone(),
            twin: copy.twin,
            state: Self::DELETED,
            target: String::new(),
            is_active: false,
            status: 0,
            owner: None,
            expires_at: None,
            version: copy.version,
        };
        match &copy.state {
            State::Deleted => bare,
            State::Unreadable => Self { state: Self::UNREADABLE, ..bare },
            State::Link(facts) => Self {
                state: Self::LINK,
                target: facts.target.as_str().to_owned(),
                is_active: facts.is_active,
                status: i64::from(facts.status.as_u16()),
                owner: facts.owner.map(|owner| owner.0),
                expires_at: facts.expires_at.map(|at| at.0),
                ..bare
            },
        }
    }
}
