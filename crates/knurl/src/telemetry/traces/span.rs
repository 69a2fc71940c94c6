//! A span: what was done, when, for how long, as part of what.
//!
//! Refused: anything of an unbounded size: keys and most values are words of ours, and texts are cut.

use std::{
    borrow::Cow,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Of an attribute.
const TEXT_BYTES_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal,
    /// A request to us.
    Server,
    /// A question of ours to somebody else.
    Client,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Word(&'static str),
    Text(Box<str>),
    Number(i64),
}

#[derive(Debug)]
pub struct Span {
    pub(super) id: u64,
    /// 0: none.
    pub(super) parent: u64,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// What failed, in a word of ours.
    pub(super) error: Option<&'static str>,
}

impl Span {
    pub(super) fn begin(id: u64, parent: u64, name: impl Into<Cow<'static, str>>, kind: Kind, began: Instant) -> Self {
        Self { id, parent, name: name.into(), kind, began, ended: began, attributes: Vec::new(), error: None }
    }

    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        self.name = name.into();
    }

    pub fn note(&mut self, key: &'static str, value: &'static str) {
        self.attributes.push((key, Value::Word(value)));
    }

    pub fn count(&mut self, key: &'static str, number: u64) {
        self.attributes.push((key, Value::Number(i64::try_from(number).unwrap_or(i64::MAX))));
    }

    pub fn text(&mut self, key: &'static str, text: &str) {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        self.attributes.push((key, Value::Text(text.into())));
    }

    pub(crate) fn asks(&mut self, system: &'static str) {
        self.kind = Kind::Client;
        self.note("db.system.name", system);
    }

    pub(crate) fn failed(&mut self, why: &'static str) {
        self.error = Some(why);
    }
}

/// Monotonic moments by the wall clock: both as they were when the recording began, so that a clock that is set meanwhile tears nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    at: Instant,
    unix_ns: u64,
}

impl Clock {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), unix_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) }
    }

    pub(super) fn unix_ns(self, moment: Instant) -> u64 {
        let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(later) => self.unix_ns.saturating_add(ns(later)),
            None => self.unix_ns.saturating_sub(ns(self.at.saturating_duration_since(moment))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_keeps_its_distance_on_the_wall_clock() {
        let clock = Clock::now();
        let later = clock.at + Duration::from_micros(7);
        assert_eq!(clock.unix_ns(later) - clock.unix_ns(clock.at), 7_000);
        if let Some(earlier) = clock.at.checked_sub(Duration::from_micros(7)) {
            assert_eq!(clock.unix_ns(clock.at) - clock.unix_ns(earlier), 7_000);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut span = Span::begin(1, 0, "x", Kind::Internal, Instant::now());
        span.text("t", &"é".repeat(300));
        let (_, Value::Text(text)) = &span.attributes[0] else { panic!("a text") };
        assert_eq!(text.len(), TEXT_BYTES_MAX);
    }
}
