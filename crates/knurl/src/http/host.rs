//! `Host`: a request that names none, two, or what could be none is 400 (RFC 9112, 3.2): whoever sits in front of us might read the other one.
//!
//! An HTTP/1.0 request may do without. What the host is does not matter here: every name leads to the same links.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, Version, header};

use super::error::{Code, Error, RequestId};

/// The `Host` headers of one request, as they are walked by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hosts {
    seen: u32,
    is_wrong: bool,
}

impl Hosts {
    fn of(headers: &HeaderMap) -> Self {
        let mut hosts = Self::default();
        headers.get_all(header::HOST).iter().for_each(|value| hosts.see(value));
        hosts
    }

    pub(super) fn see(&mut self, value: &HeaderValue) {
        self.seen += 1;
        self.is_wrong |= !may_be_host(value.as_bytes());
    }

    pub(super) fn are_refused(self, version: Version) -> bool {
        self.is_wrong || self.seen > 1 || (self.seen == 0 && version >= Version::HTTP_11)
    }
}

pub(super) fn is_refused(version: Version, headers: &HeaderMap) -> bool {
    Hosts::of(headers).are_refused(version)
}

pub(super) fn refused(headers: &HeaderMap, path: &str) -> Response<Body> {
    Error::new(Code::BadRequest).with_detail("The request must name one host.").answer(&RequestId::of(headers), path)
}

/// `uri-host [":" port]` of RFC 3986, which lets a host be empty.
fn may_be_host(value: &[u8]) -> bool {
    let (is_host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let literal = &rest[..end];
            (literal.contains(&b':') && literal.iter().all(|byte| KIND[usize::from(*byte)] != OTHER), &rest[end + 1..])
        }
        _ => {
            let end = value.iter().position(|byte| KIND[usize::from(*byte)] != NAME).unwrap_or(value.len());
            (true, &value[end..])
        }
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port
}

const OTHER: u8 = 0;
/// Unreserved, sub-delimiters, and the percent sign of an encoded one.
const NAME: u8 = 1;
const COLON: u8 = 2;

static KIND: [u8; 256] = {
    let mut kind = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() {
            kind[byte] = NAME;
        }
        byte += 1;
    }
    let more = b"-._~!$&'()*+,;=%";
    let mut at = 0;
    while at < more.len() {
        kind[more[at] as usize] = NAME;
        at += 1;
    }
    kind[b':' as usize] = COLON;
    kind
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "sho.rt",
            "sho.rt:8080",
            "SHO.RT.",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "",
            ":80",
            "a:",
            "under_score",
            "xn--bcher-kva.example",
        ] {
            assert!(may_be_host(host.as_bytes()), "{host}");
        }
        for none in [
            "a b", "a b/c", "a/b", "a?b", "a#b", "u@a", "a:80:80", "a:x", "[::1", "[]", "[::1]x", "[a/:b]", "a\\b", "a\"", "a\tb",
            "é", "<a>",
        ] {
            assert!(!may_be_host(none.as_bytes()), "{none}");
        }
    }
}
