//! Times as people type them: an instant, or a span such as `30d`.

use knurl_core::{
    UnixMillis,
    time::{DAY_MS, HOUR_MS},
};

const WRONG: &str = "write a time such as 2026-04-03, 2026-04-03T12:00:00Z, or a span such as 90m, 12h, 30d, 4w";

/// An instant, or a span that is counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(UnixMillis),
    Span(i64),
}

impl std::str::FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let unit_ms = match text.chars().next_back() {
            Some('m') => 60_000,
            Some('h') => HOUR_MS,
            Some('d') => DAY_MS,
            Some('w') => 7 * DAY_MS,
            _ => return UnixMillis::parse(text).map(Self::At).map_err(|_| WRONG),
        };
        let count: i64 = text[..text.len() - 1].parse().ok().filter(|n| (0..=1_000_000).contains(n)).ok_or(WRONG)?;
        Ok(Self::Span(count * unit_ms))
    }
}

impl When {
    /// A span counts forward: for an expiry.
    pub(super) fn after(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::At(at) => at,
            Self::Span(ms) => UnixMillis(now.0 + ms),
        }
    }

    /// A span counts back: for the start of a range.
    pub(super) fn before(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::At(at) => at,
            Self::Span(ms) => UnixMillis(now.0 - ms),
        }
    }
}
