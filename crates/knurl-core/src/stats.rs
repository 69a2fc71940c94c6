//! Questions to the roll-ups, and their answers.

use crate::{link::LinkId, time::UnixMillis};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Hour,
    Day,
}

/// What clicks are broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    Referrer,
    AgentClass,
    Browser,
    Os,
}

impl Dimension {
    pub const ALL: [Self; 4] = [Self::Referrer, Self::AgentClass, Self::Browser, Self::Os];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Referrer => "referrer",
            Self::AgentClass => "agent",
            Self::Browser => "browser",
            Self::Os => "os",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == name)
    }
}

/// Whole units that touch `[from, to)`. `link: None` asks for all links together.
#[derive(Clone, Copy, Debug)]
pub struct StatsQuery {
    pub link: Option<LinkId>,
    pub from: UnixMillis,
    pub to: UnixMillis,
    pub unit: Unit,
}

/// One hour's or day's clicks. `total = human + bot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Start of the unit.
    pub at: UnixMillis,
    pub total: u64,
    pub human: u64,
    pub bot: u64,
    /// Unique visitors within the unit: people, so never more than `human` but for the estimate's error. Days cannot be merged (each has its own salt): a range's figure is the sum of its days.
    pub visitors: u64,
}

/// Of one value of a dimension, the clicks in the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub value: String,
    pub total: u64,
}

/// A link and its clicks in the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopLink {
    pub link_id: LinkId,
    pub total: u64,
}

/// All clicks of one link ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTotal {
    pub total: u64,
    pub human: u64,
    pub bot: u64,
    pub last_click_at: Option<UnixMillis>,
}
