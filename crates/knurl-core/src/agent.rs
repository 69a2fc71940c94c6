//! What a `User-Agent` says of itself, in a bounded vocabulary (these words become roll-up keys and metric labels).

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentClass {
    Human,
    Bot,
    /// Announced as prefetch, whatever the agent.
    Prefetch,
    /// Programs: curl, libraries, monitoring.
    Tool,
    Unknown,
}

impl AgentClass {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Bot => "bot",
            Self::Prefetch => "prefetch",
            Self::Tool => "tool",
            Self::Unknown => "unknown",
        }
    }

    /// Whether roll-ups count it under `human` (everything else is under `bot`).
    pub fn is_human(self) -> bool {
        matches!(self, Self::Human)
    }
}

/// `browser` and `os` come from fixed lists; `other` where none fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    pub class: AgentClass,
    pub browser: &'static str,
    pub os: &'static str,
}

/// Never panics, linear in the length.
pub fn classify(_user_agent: Option<&str>, _purpose: crate::click::Purpose) -> Agent {
    todo!("core")
}

/// The host of a `Referer`, lower case, without `www.`, at most 253 bytes; `None` (direct) where there is none or it is not a URL.
pub fn referrer_host(_referrer: &str) -> Option<String> {
    todo!("core")
}
