//! Entity tags of a link: `"VERSION-HASH"`.
//!
//! Promised: the tag changes whenever a byte of the answer does (the hash), so that 304 never leaves a client with old counts; `If-Match`
//! is judged by the version alone, in the transaction that makes the change, so that a click between reading and writing is in nobody's
//! way and an edit always is.

use std::sync::Arc;

use axum::{body::Body, extract::FromRequestParts};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use knurl_core::link::Expected;
use sha2::{Digest, Sha256};

use crate::http::{
    HttpState,
    error::{Code, Error},
};

/// Tags of one header; nobody has read more versions of one link.
const TAGS_MAX: usize = 32;
/// Of the hash in hexadecimal: two answers of one version that differ and agree in these do not happen by accident.
const HASH_BYTES: usize = 8;

pub(super) fn of(version: i64, body: &[u8]) -> HeaderValue {
    let mut tag = format!("\"{version}-");
    for byte in &Sha256::digest(body)[..HASH_BYTES] {
        tag.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        tag.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    tag.push('"');
    // Digits, a dash and quotes.
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// `If-Match`: the versions a change is meant for. Weak tags match nothing (RFC 9110, 13.1.1).
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) Expected);

impl FromRequestParts<Arc<HttpState>> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<HttpState>) -> Result<Self, Error> {
        match tags(&parts.headers, &header::IF_MATCH)? {
            None | Some(Tags::Any) => Ok(Self(Expected::Any)),
            Some(Tags::Listed(listed)) => Ok(Self(Expected::OneOf(listed.iter().filter_map(Tag::version).collect()))),
        }
    }
}

/// `If-None-Match`: 304 in the place of `response` where the client has it already.
pub(super) fn unless_known(headers: &HeaderMap, mut response: Response<Body>) -> Result<Response<Body>, Error> {
    let Some(known) = tags(headers, &header::IF_NONE_MATCH)? else { return Ok(response) };
    let current = response.headers().get(header::ETAG).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_known = match known {
        Tags::Any => true,
        Tags::Listed(listed) => listed.iter().any(|tag| tag.quoted.as_bytes() == current),
    };
    if is_known {
        *response.body_mut() = Body::empty();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    Ok(response)
}

enum Tags<'a> {
    /// `*`: whatever there is.
    Any,
    Listed(Vec<Tag<'a>>),
}

struct Tag<'a> {
    is_weak: bool,
    quoted: &'a str,
}

impl Tag<'_> {
    fn version(&self) -> Option<i64> {
        let (version, _) = self.quoted.trim_matches('"').split_once('-')?;
        version.parse().ok().filter(|_| !self.is_weak)
    }
}

/// `None` where there is no such header.
fn tags<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<Tags<'a>>, Error> {
    let mut listed = Vec::new();
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    for value in values {
        let text = value.to_str().map_err(|_| malformed(name))?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        // A tag of ours has no comma in it; another's is not ours, in as many pieces as may be.
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let strong = tag.strip_prefix("W/");
            let quoted = strong.unwrap_or(tag);
            if quoted.len() < 2 || !quoted.starts_with('"') || !quoted.ends_with('"') || listed.len() == TAGS_MAX {
                return Err(malformed(name));
            }
            listed.push(Tag { is_weak: strong.is_some(), quoted });
        }
    }
    Ok(Some(Tags::Listed(listed)))
}

fn malformed(name: &header::HeaderName) -> Error {
    let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    Error::new(Code::BadRequest).with_detail(format!("{name} must be * or a list of at most {TAGS_MAX} entity tags in quotes."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(values: &[&'static str]) -> Result<Option<Expected>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_static(value));
        }
        let tags = tags(&headers, &header::IF_MATCH).map_err(|error| error.code())?;
        Ok(tags.map(|tags| match tags {
            Tags::Any => Expected::Any,
            Tags::Listed(listed) => Expected::OneOf(listed.iter().filter_map(Tag::version).collect()),
        }))
    }

    #[test]
    fn if_match_names_the_versions_of_its_strong_tags() {
        assert_eq!(expected(&[]), Ok(None));
        assert_eq!(expected(&["*"]), Ok(Some(Expected::Any)));
        assert_eq!(expected(&["\"3-00ff\""]), Ok(Some(Expected::OneOf(vec![3]))));
        assert_eq!(expected(&["\"3-00ff\", \"4-a\"", "\"5-\""]), Ok(Some(Expected::OneOf(vec![3, 4, 5]))));
        assert_eq!(expected(&["W/\"3-00ff\", \"somebody-elses\", \"\""]), Ok(Some(Expected::OneOf(vec![]))));
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let many: &'static str = vec!["\"1-a\""; TAGS_MAX + 1].join(",").leak();
        for malformed in ["3", "\"3", "3\"", "\"", "W/3", many] {
            assert_eq!(expected(&[malformed]), Err(Code::BadRequest), "{malformed}");
        }
    }

    #[test]
    fn a_tag_follows_version_and_body_and_gives_its_version_back() {
        let tag = of(7, b"{}");
        assert_ne!(tag, of(8, b"{}"));
        assert_ne!(tag, of(7, b"{ }"));
        assert_eq!(tag, of(7, b"{}"));
        assert_eq!(Tag { is_weak: false, quoted: tag.to_str().unwrap() }.version(), Some(7));
    }
}
