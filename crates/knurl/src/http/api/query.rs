//! Query parameters: decoded, typed, never guessed. Unknown ones are ignored; of one given twice the first counts.

use std::{borrow::Cow, convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::{Uri, request::Parts};
use knurl_core::UnixMillis;

use crate::http::{HttpState, error::Error};

#[derive(Debug)]
pub(super) struct Query(Uri);

impl FromRequestParts<Arc<HttpState>> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<HttpState>) -> Result<Self, Infallible> {
        Ok(Self(parts.uri.clone()))
    }
}

impl Query {
    pub(super) fn path(&self) -> &str {
        self.0.path()
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        url::form_urlencoded::parse(self.0.query().unwrap_or_default().as_bytes())
    }

    pub(super) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Numbers beyond 64 bits are taken as the nearest.
    pub(super) fn integer(&self, name: &'static str) -> Result<Option<i64>, Error> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let trimmed = value.trim();
        let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::parameter(name, format!("{name} must be a whole number.")));
        }
        let beyond = if trimmed.starts_with('-') { i64::MIN } else { i64::MAX };
        Ok(Some(trimmed.parse().unwrap_or(beyond)))
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Error> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(Error::parameter(name, format!("{name} must be true, false, 1 or 0."))),
        }
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<UnixMillis>, Error> {
        let Some(value) = self.text(name) else { return Ok(None) };
        // An unescaped '+' of a zone arrives as a blank; no other time has a blank after its 19th character.
        let text = match value.as_bytes().get(19..) {
            Some(rest) if rest.contains(&b' ') => Cow::Owned(format!("{}{}", &value[..19], value[19..].replace(' ', "+"))),
            _ => value,
        };
        UnixMillis::parse(&text)
            .map(Some)
            .map_err(|_| Error::parameter(name, format!("{name} must be a time: YYYY-MM-DD HH:MM:SS or RFC 3339.")))
    }
}
