//! Events: what happened to a link.

use crate::{link::LinkId, time::UnixMillis, user::UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub i64);

/// `created`, `updated`, `deleted`, `click`, or a client's own word of 1 to 64 characters without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventType(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event_type must be a string of 1 to 64 characters")]
pub struct EventTypeError;

impl EventType {
    pub const CLICK: &str = "click";
    pub const CREATED: &str = "created";
    pub const DELETED: &str = "deleted";
    pub const UPDATED: &str = "updated";

    pub fn parse(_text: &str) -> Result<Self, EventTypeError> {
        todo!("core")
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
