//! The `details` of the events that links write themselves.

use knurl_core::{Link, UnixMillis, link::NewLink};
use serde::Serialize;

use crate::{StoreError, store::Result};

#[derive(Serialize)]
struct Created<'a> {
    short_code: &'a str,
    original_url: &'a str,
}

#[derive(Serialize)]
struct Updated {
    field: &'static str,
    new_value: serde_json::Value,
}

#[derive(Serialize)]
struct Deleted<'a> {
    reason: &'a str,
}

pub(crate) fn created(link: &NewLink) -> Result<String> {
    text(&Created { short_code: link.short_code.as_str(), original_url: link.target.as_str() })
}

pub(crate) fn deleted(reason: &str) -> Result<String> {
    text(&Deleted { reason })
}

/// One for each changed field, named as in the API.
pub(crate) fn updated(old: &Link, new: &Link) -> Result<Vec<String>> {
    let mut changes = Vec::new();
    let mut note = |changed: bool, field, new_value| {
        if changed {
            changes.push(Updated { field, new_value });
        }
    };
    note(old.target != new.target, "original_url", new.target.as_str().into());
    note(old.title != new.title, "title", new.title.clone().into());
    note(old.is_active != new.is_active, "is_active", new.is_active.into());
    note(old.status != new.status, "redirect_status", new.status.as_u16().into());
    note(old.expires_at != new.expires_at, "expires_at", new.expires_at.map(UnixMillis::to_rfc3339).into());
    changes.iter().map(text).collect()
}

fn text(details: &impl Serialize) -> Result<String> {
    serde_json::to_string(details).map_err(|e| StoreError::Internal(Box::new(e)))
}
