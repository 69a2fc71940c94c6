//! A database as a move sees it, whatever its dialect.

use super::{
    part::Part,
    row::{Changes, Lead, Row, Span},
};
use crate::store::Result;

/// What a database is to moves, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The move that goes, or went, out of it.
    pub out: Option<Out>,
    /// The move that comes, or came, into it.
    pub into: Option<Into>,
    /// Nobody has used it.
    pub is_empty: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// The move's name.
    pub id: String,
    /// The other end.
    pub to: String,
    pub state: OutState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutState {
    /// Everything goes on; what changes is noted.
    Copying,
    /// Clicks wait in their spools.
    Settling,
    /// Nothing is written any more.
    Fenced,
    /// For good: what was here is elsewhere.
    Moved,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Into {
    pub id: String,
    pub from: String,
    pub state: IntoState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntoState {
    /// Not whole: nobody but a move may use it.
    Copying,
    Live,
}

/// What an end of a move is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    From,
    To,
    /// To be looked at only; an empty one need not be there.
    Survey(Surveyed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surveyed {
    From,
    To,
}

/// A change of rows that a lead leads to, noted by the database itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub part: Part,
    pub lead: Lead,
    /// What the database tells this note from a later one of the same rows by.
    pub mark: i64,
}

/// One end of a move. A source is looked at, each look being one moment of it; a target is written to.
#[async_trait::async_trait]
pub trait Side: Send {
    /// For people: without a password.
    fn place(&self) -> String;

    async fn standing(&mut self) -> Result<Standing>;

    /// Rows of the span in the part's order, the first `limit` of them.
    async fn rows(&mut self, part: Part, span: Span, limit: usize) -> Result<Vec<Row>>;
    /// All rows that these leads, which ascend, lead to.
    async fn rows_at(&mut self, part: Part, leads: &[Lead]) -> Result<Vec<Row>>;
    /// How many rows there are of [`Part::NOTED`].
    async fn counts(&mut self) -> Result<Vec<(Part, u64)>>;

    /// Enters a state of leaving: notes are taken, or the fence is put up, in the transaction that says so. `None`: it is not left any more,
    /// and nothing of the move remains. When this returns, nobody is in the middle of a write that the state forbids.
    async fn stand_out(&mut self, out: Option<&Out>) -> Result<()>;
    /// From here to [`Side::end_look`] all that is read is of one moment.
    async fn begin_look(&mut self) -> Result<()>;
    async fn end_look(&mut self) -> Result<()>;
    /// The next notes of this moment that were not forgotten.
    async fn notes(&mut self, limit: usize) -> Result<Vec<Note>>;
    /// The last look's notes are dealt with; one that was noted again meanwhile stays.
    async fn forget_notes(&mut self, notes: &[Note]) -> Result<()>;

    /// Why this row cannot be kept here.
    fn objection(&self, _part: Part, _row: &Row) -> Option<&'static str> {
        None
    }
    /// Enters a state of being filled. When it is to be live, whatever follows from the rows (totals) is made so before.
    async fn stand_in(&mut self, into: &Into) -> Result<()>;
    /// In one transaction. Returns the leads of rows that stood in the way by a name that is not theirs any more, and were removed.
    async fn change(&mut self, part: Part, changes: Changes) -> Result<Vec<Lead>>;

    async fn close(&mut self);
}

impl OutState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Settling => "settling",
            Self::Fenced => "fenced",
            Self::Moved => "moved",
        }
    }
}

impl IntoState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Live => "live",
        }
    }
}

/// A row of the table `moving`: role, move, other, state.
pub(crate) type StandingRow = (String, String, String, String);

impl Standing {
    pub(crate) fn read(rows: Vec<StandingRow>, is_empty: bool) -> Result<Self> {
        let mut standing = Self { is_empty, ..Self::default() };
        for (role, id, other, state) in rows {
            match (role.as_str(), state.as_str()) {
                ("out", state) => {
                    let known = [OutState::Copying, OutState::Settling, OutState::Fenced, OutState::Moved];
                    let state = known.into_iter().find(|known| known.as_str() == state).ok_or_else(|| unreadable(state))?;
                    standing.out = Some(Out { id, to: other, state });
                }
                ("in", "copying") => standing.into = Some(Into { id, from: other, state: IntoState::Copying }),
                ("in", "live") => standing.into = Some(Into { id, from: other, state: IntoState::Live }),
                (_, state) => return Err(unreadable(state)),
            }
        }
        Ok(standing)
    }

    /// Whether a server may work with this database.
    pub(crate) fn refuse_unless_usable(&self) -> Result<()> {
        if let Some(Into { from, state: IntoState::Copying, .. }) = &self.into {
            return Err(crate::StoreError::Refused(format!(
                "the move from {from} into this database is not finished: run the same `knurl move` again, or go on using {from}"
            )));
        }
        match &self.out {
            Some(Out { to, state: OutState::Moved, .. }) => Err(crate::StoreError::Refused(format!(
                "this database was moved to {to}: set KNURL_DATABASE_URL to that, or move it back with `knurl move`"
            ))),
            Some(out) if out.state != OutState::Copying => {
                tracing::warn!(
                    to = out.to,
                    state = out.state.as_str(),
                    "this database is being moved and takes no changes: run the same `knurl move` again, or lift its fence with `knurl move --abort`"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn unreadable(state: &str) -> crate::StoreError {
    crate::StoreError::Corrupt(format!("the database's move is in a state that is not known: {state:?}"))
}
