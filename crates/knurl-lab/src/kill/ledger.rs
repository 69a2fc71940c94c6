//! The ledger: what the clients know, written down as it happens.
//!
//! Promised: an entry says only what an answer (or its absence) proves. An unanswered change leaves both states possible; an unanswered
//! click may or may not count. [`LinkEntry::settle`] takes in what the product showed afterwards, so that a later change of mind of the
//! product is seen even where the first look was in doubt.

use std::fmt;

/// A link as a client can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It has never been.
    Absent,
    Present(Face),
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    pub target: String,
    pub title: Option<String>,
    pub is_active: bool,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Deleted => f.write_str("deleted"),
            Self::Present(Face { target, title, is_active }) => {
                let title = title.as_deref().unwrap_or("-");
                write!(f, "present (target {target}, title {title}, active {is_active})")
            }
        }
    }
}

/// Things that surely happened, and things that may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub sure: u64,
    pub unknown: u64,
}

impl Tally {
    pub fn allows(self, counted: u64) -> bool {
        (self.sure..=self.sure + self.unknown).contains(&counted)
    }

    pub fn add(&mut self, other: Self) {
        self.sure += other.sure;
        self.unknown += other.unknown;
    }
}

#[derive(Clone, Debug)]
pub struct LinkEntry {
    /// Its first target: unique, so that the link can be found even where its id never arrived.
    pub tag: String,
    pub code: Option<String>,
    pub id: Option<i64>,
    /// Every state it may be in; one, where nothing is in doubt.
    pub states: Vec<LinkState>,
    pub clicks: Tally,
    /// Events of each kind, one for each change.
    pub created: Tally,
    pub updated: Tally,
    pub deleted: Tally,
}

impl LinkEntry {
    /// About to be created.
    pub fn asked_for(tag: String, code: Option<String>, face: Face) -> Self {
        Self {
            tag,
            code,
            id: None,
            states: vec![LinkState::Absent, LinkState::Present(face)],
            clicks: Tally::default(),
            created: Tally { sure: 0, unknown: 1 },
            updated: Tally::default(),
            deleted: Tally::default(),
        }
    }

    /// The one state it is in, where that is known.
    pub fn known(&self) -> Option<&LinkState> {
        match self.states.as_slice() {
            [state] => Some(state),
            _ => None,
        }
    }

    pub fn face(&self) -> Option<&Face> {
        match self.known() {
            Some(LinkState::Present(face)) => Some(face),
            _ => None,
        }
    }

    /// A change to `to` was sent: until it is answered the link may be in either state.
    pub fn ask(&mut self, to: LinkState) {
        self.tally_of(&to).unknown += 1;
        self.states.push(to);
    }

    /// The change asked for last was acknowledged.
    pub fn acknowledge(&mut self) {
        let Some(state) = self.states.pop() else { return };
        let was_create = self.states.contains(&LinkState::Absent);
        let tally = if was_create { &mut self.created } else { self.tally_of(&state) };
        tally.unknown -= 1;
        tally.sure += 1;
        self.states = vec![state];
    }

    fn tally_of(&mut self, to: &LinkState) -> &mut Tally {
        if *to == LinkState::Deleted { &mut self.deleted } else { &mut self.updated }
    }

    /// What the product showed is from now on what it must go on showing.
    pub fn settle(&mut self, seen: &Observed) {
        self.id = self.id.or(seen.id);
        if self.code.is_none() {
            self.code.clone_from(&seen.code);
        }
        self.states = vec![seen.state.clone()];
        self.clicks = Tally { sure: seen.rolled_up, unknown: 0 };
        self.created = Tally { sure: seen.created, unknown: 0 };
        self.updated = Tally { sure: seen.updated, unknown: 0 };
        self.deleted = Tally { sure: seen.deleted, unknown: 0 };
    }
}

/// What the product says about one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub id: Option<i64>,
    pub code: Option<String>,
    pub state: LinkState,
    /// Clicks in the roll-ups.
    pub rolled_up: u64,
    /// Click events.
    pub raw: u64,
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
}

/// What `knurl audit --json` prints, less the verdict: its exit code says that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Audit {
    pub answered: u64,
    pub delivered: u64,
    pub backlog: u64,
    pub dropped: u64,
    pub rolled_up: u64,
}
