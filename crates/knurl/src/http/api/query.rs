//! Query parameters: decoded, typed, never guessed. Unknown ones are ignored; of one given twice the first counts. Every wrong one is
//! reported, not just the first.

use std::{borrow::Cow, convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::{Uri, request::Parts};
use knurl_core::UnixMillis;

use crate::http::{
    HttpState,
    error::{Code, Error, FieldError},
};

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

    pub(super) fn parameters(&self) -> Parameters<'_> {
        Parameters { query: self, errors: Vec::new() }
    }
}

/// The parameters of one query as they are read. What is wrong with any of them is told by [`Parameters::finish`], all at once; until then
/// a wrong one is as one that was not given.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    query: &'a Query,
    errors: Vec<FieldError>,
}

impl<'a> Parameters<'a> {
    pub(super) fn fail(&mut self, name: &'static str, message: impl Into<Cow<'static, str>>) {
        self.errors.push(FieldError { field: name.into(), code: "invalid", message: message.into() });
    }

    /// All that was wrong, if anything was.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::InvalidParameter).with_fields(self.errors))
    }

    /// No text of ours holds NUL, and what a database makes of it differs.
    pub(super) fn text(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let (_, value) = self.query.pairs().find(|(key, _)| key == name)?;
        if value.contains('\0') {
            self.fail(name, format!("{name} holds characters that are not text."));
            return None;
        }
        Some(value)
    }

    /// Numbers beyond 64 bits are taken as the nearest.
    pub(super) fn integer(&mut self, name: &'static str) -> Option<i64> {
        let value = self.text(name)?;
        let trimmed = value.trim();
        let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.fail(name, format!("{name} must be a whole number."));
            return None;
        }
        let beyond = if trimmed.starts_with('-') { i64::MIN } else { i64::MAX };
        Some(trimmed.parse().unwrap_or(beyond))
    }

    pub(super) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.text(name)?.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => return Some(true),
            "false" | "0" => return Some(false),
            _ => self.fail(name, format!("{name} must be true, false, 1 or 0.")),
        }
        None
    }

    pub(super) fn time(&mut self, name: &'static str) -> Option<UnixMillis> {
        let value = self.text(name)?;
        // An unescaped '+' of a zone arrives as a blank; no other time has a blank after its 19th character.
        let text = match value.split_at_checked(19) {
            Some((time, zone)) if zone.contains(' ') => Cow::Owned(format!("{time}{}", zone.replace(' ', "+"))),
            _ => value,
        };
        let at = UnixMillis::parse(&text).ok();
        if at.is_none() {
            self.fail(name, format!("{name} must be a time: YYYY-MM-DD HH:MM:SS or RFC 3339."));
        }
        at
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

    /// What `read` makes of the parameter; `None` where it is refused.
    fn reads<'a, T>(query: &'a Query, read: impl FnOnce(&mut Parameters<'a>) -> Option<T>) -> Option<T> {
        let mut asked = query.parameters();
        let value = read(&mut asked);
        assert_eq!(value.is_none(), asked.finish().is_err(), "{query:?}: a parameter is read or refused");
        value
    }

    #[test]
    fn a_zone_whose_plus_was_not_escaped_is_understood() {
        let at = |text: &str| reads(&Query(format!("/stats?from={text}").parse().unwrap()), |asked| asked.time("from")).unwrap();
        assert_eq!(at("2020-02-01T00:00:00+01:00"), at("2020-01-31T23:00:00Z"));
        assert_eq!(at("2020-02-01T00:00:00.5+01:00"), at("2020-01-31T23:00:00.5Z"));
        assert_eq!(at("2020-02-01+00:00:00"), at("2020-02-01"));
    }

    proptest! {
        /// Lengths around a time's 19 characters, and characters of every width, more often than chance would have them.
        #[test]
        fn whatever_stands_there_is_a_value_or_a_refusal(value in prop_oneof![any::<String>(), "[0-9a-zT:. +é\u{20ac}😀-]{15,24}"]) {
            let query = query("x", &value);
            prop_assert_eq!(reads(&query, |asked| asked.text("x")).is_none(), value.contains('\0'));
            let integer = reads(&query, |asked| asked.integer("x"));
            prop_assert!(integer.is_none() || value.bytes().any(|byte| byte.is_ascii_digit()));
            prop_assert!(reads(&query, |asked| asked.boolean("x")).is_none_or(|_| value.trim().len() <= 5));
            let at = reads(&query, |asked| asked.time("x"));
            prop_assert!(at.is_none_or(|at| (UnixMillis::MIN..=UnixMillis::MAX).contains(&at)));
        }

        #[test]
        fn any_query_at_all_is_read(raw in "[ -~]{0,40}") {
            let Ok(uri) = format!("/stats?{}", raw.replace('#', "")).parse() else { return Ok(()) };
            let query = Query(uri);
            let mut asked = query.parameters();
            for name in ["from", "x", ""] {
                let _ = (asked.text(name), asked.integer(name), asked.boolean(name), asked.time(name));
            }
            let _ = asked.finish();
        }
    }
}
