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

/// What is known of a code's last changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// When it was changed through this process, which must see its own changes at once.
    pub(super) here: Option<Instant>,
    /// When some code of the stripe, perhaps this one, was changed through this process; or this one, as somebody says who may be wrong.
    pub(super) perhaps_here: Option<Instant>,
    /// The version it has become at least.
    pub(super) at_least: i64,
    /// The version it has become at least through this process.
    here_at_least: i64,
    /// When it became a version that is not known.
    unknown: Option<Instant>,
    /// When any code may have been changed, by somebody else.
    any: Option<Instant>,
}

impl Default for Mark {
    fn default() -> Self {
        Self { here: None, perhaps_here: None, at_least: i64::MIN, here_at_least: i64::MIN, unknown: None, any: None }
    }
}

impl Mark {
    /// Whether what Redis has of the link in this version may be from before the change.
    pub(super) fn outdates(&self, version: i64, now: Instant) -> bool {
        version < self.at_least || self.unknown.max(self.any).is_some_and(|at| now.saturating_duration_since(at) < KEPT)
    }

    /// Whether a copy that has not been compared since the change must be from before it. Where no version is told, it may be.
    pub(super) fn precedes(&self, version: i64) -> bool {
        self.is_before(version, self.at_least)
    }

    /// As [`Mark::precedes`], of the changes made through this process alone: what others tell may be wrong, or not have come here yet.
    pub(super) fn precedes_here(&self, version: i64) -> bool {
        self.is_before(version, self.here_at_least)
    }

    fn is_before(&self, version: i64, at_least: i64) -> bool {
        version < at_least || at_least == i64::MIN || self.unknown.is_some()
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
    codes: HashMap<Box<str>, (Mark, Instant), RandomState>,
    all: Mark,
}

impl Marks {
    pub(super) fn of(&self, code: &str) -> Mark {
        let mine = self.codes.get(code).map(|(mark, _)| *mark).unwrap_or_default();
        Mark {
            perhaps_here: mine.perhaps_here.max(self.all.perhaps_here),
            unknown: mine.unknown.max(self.all.unknown),
            any: self.all.any,
            ..mine
        }
    }

    /// `version`: which it has become, where that is known.
    pub(super) fn set(&mut self, code: &str, by: By, version: Option<i64>, now: Instant) {
        if self.codes.len() >= CODES_MAX {
            self.codes.retain(|_, (_, at)| now.saturating_duration_since(*at) < KEPT);
        }
        if self.codes.len() >= CODES_MAX {
            let here = self.codes.drain().filter_map(|(_, (mark, _))| mark.here.max(mark.perhaps_here)).max();
            self.all.perhaps_here = self.all.perhaps_here.max(here);
            self.all.unknown = Some(now);
        }
        let (mark, at) = self.codes.entry(code.into()).or_insert_with(|| (Mark::default(), now));
        *at = now;
        match version {
            Some(version) => mark.at_least = mark.at_least.max(version),
            None => mark.unknown = Some(now),
        }
        match by {
            By::ThisProcess => {
                mark.here = Some(now);
                mark.here_at_least = mark.here_at_least.max(version.unwrap_or(i64::MIN));
            }
            By::Told => mark.perhaps_here = Some(now),
            By::Anybody => {}
        }
    }

    pub(super) fn set_all(&mut self, now: Instant) {
        self.all.any = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_known_with_its_maker_and_only_of_its_code() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        marks.set("a", By::ThisProcess, Some(3), now);
        marks.set("b", By::Anybody, None, now);
        assert_eq!((marks.of("a").here, marks.of("b").here), (Some(now), None));
        assert_eq!(marks.of("c"), Mark::default());
        assert!(marks.of("a").outdates(2, now) && !marks.of("a").outdates(3, now));
        assert!(marks.of("b").outdates(99, now) && !marks.of("b").outdates(99, now + KEPT), "a version that is not known");
        assert!(!marks.of("c").outdates(0, now));
        marks.set("a", By::Anybody, Some(2), now + KEPT / 2);
        assert_eq!(marks.of("a").here, Some(now), "that the copy has an earlier change says nothing of ours");
        assert!(marks.of("a").outdates(2, now));
        marks.set_all(now);
        assert!(marks.of("c").outdates(99, now));
    }

    #[test]
    fn however_many_are_changed_at_once_memory_is_bounded_and_none_is_taken_for_unchanged() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        for n in 0..3 * CODES_MAX {
            marks.set(&format!("c{n}"), By::ThisProcess, Some(1), now);
            assert!(marks.codes.len() <= CODES_MAX);
        }
        for n in 0..3 * CODES_MAX {
            let mark = marks.of(&format!("c{n}"));
            assert!(mark.outdates(0, now) && mark.here.or(mark.perhaps_here) == Some(now), "{n}");
        }
        // Those of an hour ago make room.
        let later = now + Duration::from_secs(3_600);
        for n in 0..CODES_MAX {
            marks.set(&format!("d{n}"), By::Anybody, Some(1), later);
        }
        assert!(marks.codes.keys().all(|code| code.starts_with('d')));
    }
}
