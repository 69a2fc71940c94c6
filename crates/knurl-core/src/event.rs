//! Events: what happened to a link.

use crate::{link::LinkId, time::UnixMillis, user::UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub i64);

/// Of the details a client sends with an event, as JSON: whoever lists events is given them all.
pub const DETAILS_BYTES_MAX: usize = 4 * 1024;
/// Of the details an import brings: what was exported here comes back, and the longest we write ourselves are those of a click (its target,
/// its referrer and its user agent, each escaped).
pub const DETAILS_IMPORTED_BYTES_MAX: usize = 24 * 1024;

/// `created`, `updated`, `deleted`, `click`, or a client's own word of 1 to 64 characters without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventType(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event_type must be a string of 1 to 64 characters, none of them a control character")]
pub struct EventTypeError;

impl EventType {
    pub const CLICK: &str = "click";
    pub const CREATED: &str = "created";
    pub const DELETED: &str = "deleted";
    pub const UPDATED: &str = "updated";

    pub const CHARS_MAX: usize = 64;

    pub fn parse(text: &str) -> Result<Self, EventTypeError> {
        // No character takes more than four bytes: a long text is refused before it is counted.
        let fits = !text.is_empty() && text.len() <= 4 * Self::CHARS_MAX && text.chars().count() <= Self::CHARS_MAX;
        if !fits || text.chars().any(char::is_control) {
            return Err(EventTypeError);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub link_id: LinkId,
    pub user_id: Option<UserId>,
    pub event_type: EventType,
    pub at: UnixMillis,
    /// A JSON object or `None`, kept as the text it came in.
    pub details: Option<String>,
}

#[derive(Clone, Debug)]
pub struct NewEvent {
    pub link_id: LinkId,
    pub user_id: Option<UserId>,
    pub event_type: EventType,
    pub at: UnixMillis,
    pub details: Option<String>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("click")]
    #[case("Viewed by Ü")]
    #[case(" ")]
    fn an_event_type_is_kept_to_the_letter(#[case] text: &str) {
        assert_eq!(EventType::parse(text).map(|event_type| event_type.as_str().to_owned()), Ok(text.to_owned()));
    }

    #[test]
    fn an_event_type_has_1_to_64_characters_however_many_bytes() {
        assert!(EventType::parse(&"𝕜".repeat(64)).is_ok());
        assert_eq!(EventType::parse(&"k".repeat(65)), Err(EventTypeError));
        assert_eq!(EventType::parse(""), Err(EventTypeError));
    }

    #[rstest]
    #[case("a\nb")]
    #[case("\0")]
    #[case("a\u{9f}")]
    fn an_event_type_holds_no_control_character(#[case] text: &str) {
        assert_eq!(EventType::parse(text), Err(EventTypeError));
    }
}
