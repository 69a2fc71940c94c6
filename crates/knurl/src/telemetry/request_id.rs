//! What a stranger quotes and an operator searches for: one id for a request, its answer and its log lines.
//!
//! A client's own `X-Request-Id` is kept where it is short and harmless, whoever sends it: it is only ever echoed and logged, so a
//! false one misleads nobody but its sender. Anything else is replaced by 128 random bits in hexadecimal.

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::RngExt;

use super::scope;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl RequestId {
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
    /// Of a client's own id; a UUID has 36, a W3C trace parent 55.
    pub const LEN_MAX: usize = 64;

    /// Of the request that is being worked on; of one with these headers, where none is.
    pub fn of(headers: &HeaderMap) -> Self {
        scope::request_id().unwrap_or_else(|| Self::from_headers(headers))
    }

    pub fn from_headers(headers: &HeaderMap) -> Self {
        headers.get(Self::HEADER).and_then(|value| Self::accept(value.as_bytes())).unwrap_or_else(Self::random)
    }

    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        let drawn: [u8; 16] = rand::rng().random();
        for (pair, byte) in bytes.chunks_exact_mut(2).zip(drawn) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self { bytes, len: 32 }
    }

    fn accept(given: &[u8]) -> Option<Self> {
        let harmless = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if given.is_empty() || given.len() > Self::LEN_MAX || !given.iter().all(harmless) {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..given.len()].copy_from_slice(given);
        Some(Self { bytes, len: given.len() as u8 })
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).unwrap_or(HeaderValue::from_static("-"))
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &'static str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(RequestId::HEADER, HeaderValue::from_static(value));
        RequestId::of(&headers)
    }

    #[test]
    fn a_harmless_id_of_the_client_is_kept() {
        assert_eq!(of("4bf92f35-77b3_4da6.a3").as_str(), "4bf92f35-77b3_4da6.a3");
    }

    #[test]
    fn a_strange_or_long_id_is_replaced_by_128_random_bits() {
        let long: &'static str = "x".repeat(65).leak();
        for strange in ["", "a b", "a\"b", "{}", long] {
            let id = of(strange);
            assert_eq!(id.as_str().len(), 32, "{strange:?}");
            assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        }
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
