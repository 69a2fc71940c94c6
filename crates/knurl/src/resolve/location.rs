//! A `Location` that is text: visible ASCII, looked at once, then a header value and a `str` at no cost.
#![allow(
    unsafe_code,
    reason = "http and std look at the bytes again, one by one, on every redirect; here they have just been looked at"
)]

use bytes::Bytes;
use http::HeaderValue;

/// Visible ASCII (0x21 to 0x7e) only.
#[derive(Clone, Debug)]
pub struct Location(HeaderValue);

impl Location {
    /// `None`: some byte is not visible ASCII.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        if !is_visible_ascii(&bytes) {
            return None;
        }
        // SAFETY: visible ASCII is what a header value may hold.
        Some(Self(unsafe { HeaderValue::from_maybe_shared_unchecked(Bytes::from(bytes)) }))
    }

    pub fn as_str(&self) -> &str {
        // SAFETY: ASCII is UTF-8, and nothing changes the bytes of a header value.
        unsafe { std::str::from_utf8_unchecked(self.0.as_bytes()) }
    }

    pub fn into_header(self) -> HeaderValue {
        self.0
    }
}

fn is_visible_ascii(bytes: &[u8]) -> bool {
    // Without a way out the compiler looks at all sixteen at once. The last sixteen overlap with those before.
    let sixteen = |some: &[u8; 16]| some.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic());
    match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().all(sixteen) && sixteen(last),
        None => bytes.iter().all(u8::is_ascii_graphic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_ascii_is_a_location_and_nothing_else_is() {
        let all: Vec<u8> = (0x21..=0x7e).collect();
        let location = Location::new(all.clone()).unwrap();
        assert_eq!(location.as_str().as_bytes(), all);
        assert_eq!(location.into_header().as_bytes(), all);
        for byte in (0..=0x20).chain(0x7f..=0xff) {
            assert!(Location::new(vec![b'a', byte]).is_none(), "{byte:#x}");
            for at in [0, 20, 40, 53] {
                let mut bytes = b"https://a.example/a/path-of-its-own/longer-than-a-line".to_vec();
                bytes[at] = byte;
                assert!(Location::new(bytes).is_none(), "{byte:#x} at {at}");
            }
        }
    }
}
