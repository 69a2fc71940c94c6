//! What makes a row acceptable: the same for CSV and JSON Lines, decided purely.
//!
//! Values are kept to the letter. Refused is only what could never be served or referred to: no id, a code that is no code, a target
//! that could never be a `Location`, a time that is none. Where targets may lead is the operator's to say: `import` asks for it.

use knurl_core::{
    Event, EventId, EventType, Link, LinkId, ShortCode, Target, UnixMillis, User, UserId,
    event::DETAILS_IMPORTED_BYTES_MAX,
    link::{DEFAULT_DOMAIN, RedirectStatus, TITLE_CHARS_MAX},
    user::{Email, Username},
};

use super::kind::Refusal;

/// Imported ids leave room for those that are given afterwards.
const ID_MAX: i64 = (1 << 53) - 1;

pub(super) const NOT_AN_ID: &str = "must be a whole number from 1 to 9007199254740991";
const NOT_A_TIME: &str = "must be a time such as 2026-04-03 12:00:00";
pub(super) const NOT_A_FLAG: &str = "must be True, False, 1 or 0";
const NOT_A_STATUS: &str = "must be 301, 302, 307 or 308";
const NOT_DETAILS: &str = "must be empty or a JSON object";
const LONG_DETAILS: &str = "is longer than 24576 bytes";
const _: () = assert!(DETAILS_IMPORTED_BYTES_MAX == 24_576);

pub(super) type Parsed<T> = Result<T, Refusal>;

/// The columns of a links file after the texts have been told apart.
#[derive(Debug)]
pub(super) struct LinkColumns<'a> {
    pub(super) id: i64,
    pub(super) user_id: Option<i64>,
    pub(super) short_code: &'a str,
    pub(super) original_url: &'a str,
    pub(super) title: &'a str,
    pub(super) is_active: bool,
    pub(super) created_at: &'a str,
    pub(super) updated_at: &'a str,
    pub(super) redirect_status: Option<u16>,
    pub(super) expires_at: &'a str,
}

#[derive(Debug)]
pub(super) struct EventColumns<'a> {
    pub(super) id: i64,
    pub(super) url_id: i64,
    pub(super) user_id: Option<i64>,
    pub(super) event_type: &'a str,
    pub(super) timestamp: &'a str,
    pub(super) details: &'a str,
}

pub(super) fn user(id: i64, username: &str, email: &str, created_at: &str) -> Parsed<User> {
    let id = UserId(check_id("id", id)?);
    Username::parse(username).map_err(|_| Refusal::of("username", "must be a non-empty text of at most 255 characters"))?;
    Email::parse(email).map_err(|_| Refusal::of("email", "must be an e-mail address"))?;
    Ok(User { id, username: username.to_owned(), email: email.to_owned(), created_at: time("created_at", created_at)? })
}

pub(super) fn link(columns: &LinkColumns<'_>) -> Parsed<Link> {
    if columns.title.chars().nth(TITLE_CHARS_MAX).is_some() {
        return Err(Refusal::of("title", "is longer than 512 characters"));
    }
    // The API refuses it too. SQLite would keep it and PostgreSQL cannot: a row is the same row in both.
    if columns.title.contains('\0') {
        return Err(Refusal::of("title", "holds a NUL"));
    }
    let status = columns.redirect_status.unwrap_or(RedirectStatus::default().as_u16());
    let expires_at = (!columns.expires_at.is_empty()).then(|| time("expires_at", columns.expires_at)).transpose()?;
    Ok(Link {
        id: LinkId(check_id("id", columns.id)?),
        domain: DEFAULT_DOMAIN.to_owned(),
        owner: columns.user_id.map(|id| check_id("user_id", id).map(UserId)).transpose()?,
        short_code: ShortCode::parse(columns.short_code)
            .map_err(|_| Refusal::of("short_code", "must be 1 to 64 letters, digits, '-' or '_'"))?,
        target: Target::verbatim(columns.original_url).map_err(|_| Refusal::of("original_url", "could never be redirected to"))?,
        title: (!columns.title.is_empty()).then(|| columns.title.to_owned()),
        is_active: columns.is_active,
        status: RedirectStatus::from_u16(status).ok_or(Refusal::of("redirect_status", NOT_A_STATUS))?,
        expires_at,
        created_at: time("created_at", columns.created_at)?,
        updated_at: time("updated_at", columns.updated_at)?,
        deleted_at: None,
        version: 1,
    })
}

pub(super) fn event(columns: &EventColumns<'_>) -> Parsed<Event> {
    Ok(Event {
        id: EventId(check_id("id", columns.id)?),
        link_id: LinkId(check_id("url_id", columns.url_id)?),
        user_id: columns.user_id.map(|id| check_id("user_id", id).map(UserId)).transpose()?,
        event_type: EventType::parse(columns.event_type).map_err(|_| Refusal::of("event_type", "must be 1 to 64 characters"))?,
        at: time("timestamp", columns.timestamp)?,
        details: details(columns.details)?,
    })
}

/// Kept as the text it came in; only whether it is an object is looked at.
fn details(text: &str) -> Parsed<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > DETAILS_IMPORTED_BYTES_MAX {
        return Err(Refusal::of("details", LONG_DETAILS));
    }
    let is_object = text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !is_object {
        return Err(Refusal::of("details", NOT_DETAILS));
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn check_id(field: &'static str, id: i64) -> Parsed<i64> {
    if (1..=ID_MAX).contains(&id) { Ok(id) } else { Err(Refusal::of(field, NOT_AN_ID)) }
}

pub(super) fn time(field: &'static str, text: &str) -> Parsed<UnixMillis> {
    UnixMillis::parse(text).map_err(|_| Refusal::of(field, NOT_A_TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_an_object_and_no_longer_than_what_was_exported_here_can_be() {
        let of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        let longest = of(DETAILS_IMPORTED_BYTES_MAX);
        assert_eq!(details(&longest), Ok(Some(longest.clone())));
        assert_eq!(details(&of(DETAILS_IMPORTED_BYTES_MAX + 1)), Err(Refusal::of("details", LONG_DETAILS)));
        assert_eq!(details("[]"), Err(Refusal::of("details", NOT_DETAILS)));
    }
}
