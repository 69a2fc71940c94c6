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
        let text = match value.split_at_checked(19) {
            Some((time, zone)) if zone.contains(' ') => Cow::Owned(format!("{time}{}", zone.replace(' ', "+"))),
            _ => value,
        };
        UnixMillis::parse(&text)
            .map(Some)
            .map_err(|_| Error::parameter(name, format!("{name} must be a time: YYYY-MM-DD HH:MM:SS or RFC 3339.")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, value: &str) -> Query {
        let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        Query(format!("/stats?{name}={value}").parse().expect("an escaped value is a URI"))
    }

    #[test]
    fn a_zone_whose_plus_was_not_escaped_is_understood() {
        let at = |text: &str| Query(format!("/stats?from={text}").parse().unwrap()).time("from").unwrap();
        assert_eq!(at("2020-02-01T00:00:00+01:00"), at("2020-01-31T23:00:00Z"));
        assert_eq!(at("2020-02-01T00:00:00.5+01:00"), at("2020-01-31T23:00:00.5Z"));
        assert_eq!(at("2020-02-01+00:00:00"), at("2020-02-01"));
    }

    proptest! {
        /// Lengths around a time's 19 characters, and characters of every width, more often than chance would have them.
        #[test]
        fn whatever_stands_there_is_a_value_or_a_refusal(value in prop_oneof![any::<String>(), "[0-9a-zT:. +é\u{20ac}😀-]{15,24}"]) {
            let query = query("x", &value);
            prop_assert_eq!(query.text("x").as_deref(), Some(value.as_str()));
            prop_assert!(query.integer("x").is_err() || value.bytes().any(|byte| byte.is_ascii_digit()));
            prop_assert!(query.boolean("x").is_err() || value.trim().len() <= 5);
            if let Ok(at) = query.time("x") {
                prop_assert!(at.is_some_and(|at| (UnixMillis::MIN..=UnixMillis::MAX).contains(&at)));
            }
        }

        #[test]
        fn any_query_at_all_is_read(raw in "[ -~]{0,40}") {
            let Ok(uri) = format!("/stats?{}", raw.replace('#', "")).parse() else { return Ok(()) };
            let query = Query(uri);
            for name in ["from", "x", ""] {
                let _ = (query.text(name), query.integer("x"), query.boolean("x"), query.time("x"));
            }
        }
    }
}
