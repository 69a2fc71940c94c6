//! Rows out of JSON Lines: one object a line, the field names of the API. Types are checked, never coerced; fields of ours that an
//! import has no use for (`short_url`, `click_count`) are read over.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    kind::{Kind, Refusal, Row},
    row::{self, EventColumns, LinkColumns, Parsed},
};

#[derive(Deserialize)]
struct UserLine<'a> {
    id: i64,
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LinkLine<'a> {
    id: i64,
    user_id: Option<i64>,
    #[serde(borrow)]
    short_code: Cow<'a, str>,
    #[serde(borrow)]
    original_url: Cow<'a, str>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    is_active: bool,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    updated_at: Cow<'a, str>,
    redirect_status: Option<u16>,
    #[serde(borrow)]
    expires_at: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct EventLine<'a> {
    id: i64,
    url_id: i64,
    user_id: Option<i64>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

const MALFORMED: &str = "is not a JSON object with the fields of its kind";

/// The kind of a first line, by its fields.
pub(super) fn kind_of(line: &[u8]) -> Result<Kind, String> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).map_err(|_| "the first line is not a JSON object".to_owned())?;
    Kind::of_names(object.keys().map(String::as_str))
        .ok_or_else(|| "the first line is neither a user nor a url nor an event".to_owned())
}

pub(super) fn row(kind: Kind, line: &[u8]) -> Parsed<Row> {
    match kind {
        Kind::Users => {
            let line: UserLine<'_> = read(line)?;
            row::user(line.id, &line.username, &line.email, &line.created_at).map(Row::User)
        }
        Kind::Links => {
            let line: LinkLine<'_> = read(line)?;
            let columns = LinkColumns {
                id: line.id,
                user_id: line.user_id,
                short_code: &line.short_code,
                original_url: &line.original_url,
                title: line.title.as_deref().unwrap_or_default(),
                is_active: line.is_active,
                created_at: &line.created_at,
                updated_at: &line.updated_at,
                redirect_status: line.redirect_status,
                expires_at: line.expires_at.as_deref().unwrap_or_default(),
            };
            row::link(&columns).map(|link| Row::Link(Box::new(link)))
        }
        Kind::Events => {
            let line: EventLine<'_> = read(line)?;
            let columns = EventColumns {
                id: line.id,
                url_id: line.url_id,
                user_id: line.user_id,
                event_type: &line.event_type,
                timestamp: &line.timestamp,
                details: line.details.map(RawValue::get).filter(|text| *text != "null").unwrap_or_default(),
            };
            row::event(&columns).map(Row::Event)
        }
    }
}

fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Parsed<T> {
    serde_json::from_slice(line).map_err(|_| Refusal::row(MALFORMED))
}
