//! Codes that were changed a moment ago: what a copy of the link table says of them may be older than the change.
//!
//! Promised: a change is remembered at least [`KEPT`], whatever its number; beyond [`CODES_MAX`] of a stripe it is no longer known which
//! codes they were, and all of the stripe are looked at as if they might be.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

/// Longer than a load takes, and than a put into Redis may lag behind it.
pub(super) const KEPT: Duration = Duration::from_secs(10);
/// Of one stripe: some 8 MB in all.
const CODES_MAX: usize = 1 << 10;

/// When a code was last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Through this process, which must see its own changes at once.
    pub(super) here: Option<Instant>,
    /// By whomever, as far as this node knows.
    pub(super) last: Option<Instant>,
    /// Some code of the stripe, perhaps this one, through this process; or this one, as somebody says who may be wrong.
    pub(super) perhaps_here: Option<Instant>,
}

impl Mark {
    /// Whether something may still be on its way into Redis that was read before the change.
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|at| now.saturating_duration_since(at) < KEPT)
    }
}

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    ThisProcess,
    /// Whoever; this node's copy has it already.
    Anybody,
    /// Another node, as it says; the copy may not have it.
    Told,
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    codes: HashMap<Box<str>, Mark, RandomState>,
    all: Mark,
}

impl Marks {
    pub(super) fn of(&self, code: &str) -> Mark {
        let mine = self.codes.get(code).copied().unwrap_or_default();
        Mark { last: mine.last.max(self.all.last), perhaps_here: mine.perhaps_here.max(self.all.perhaps_here), ..mine }
    }

    pub(super) fn set(&mut self, code: &str, by: By, now: Instant) {
        if self.codes.len() >= CODES_MAX {
            self.codes.retain(|_, mark| mark.is_recent(now));
        }
        if self.codes.len() >= CODES_MAX {
            let here = self.codes.drain().filter_map(|(_, mark)| mark.here.max(mark.perhaps_here)).max();
            self.all = Mark { here: None, last: Some(now), perhaps_here: self.all.perhaps_here.max(here) };
        }
        let mark = self.codes.entry(code.into()).or_default();
        mark.last = Some(now);
        match by {
            By::ThisProcess => mark.here = Some(now),
            By::Told => mark.perhaps_here = Some(now),
            By::Anybody => {}
        }
    }

    pub(super) fn set_all(&mut self, now: Instant) {
        self.all.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_known_with_its_maker_and_only_of_its_code() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        marks.set("a", By::ThisProcess, now);
        marks.set("b", By::Anybody, now);
        assert_eq!(marks.of("a"), Mark { here: Some(now), last: Some(now), perhaps_here: None });
        assert_eq!(marks.of("b"), Mark { here: None, last: Some(now), perhaps_here: None });
        assert_eq!(marks.of("c"), Mark::default());
        marks.set("a", By::Anybody, now + KEPT / 2);
        assert_eq!(marks.of("a").here, Some(now), "that the copy has an earlier change says nothing of ours");
        assert!(marks.of("b").is_recent(now + KEPT / 2));
        assert!(!marks.of("b").is_recent(now + KEPT));
    }

    #[test]
    fn however_many_are_changed_at_once_memory_is_bounded_and_none_is_taken_for_unchanged() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        for n in 0..3 * CODES_MAX {
            marks.set(&format!("c{n}"), By::ThisProcess, now);
            assert!(marks.codes.len() <= CODES_MAX);
        }
        for n in 0..3 * CODES_MAX {
            let mark = marks.of(&format!("c{n}"));
            assert!(mark.is_recent(now) && mark.here.or(mark.perhaps_here) == Some(now), "{n}");
        }
        // Those of an hour ago make room.
        let later = now + Duration::from_secs(3_600);
        for n in 0..CODES_MAX {
            marks.set(&format!("d{n}"), By::Anybody, later);
        }
        assert!(marks.codes.keys().all(|code| code.starts_with('d')) && marks.all.last == Some(now));
    }
}
