//! Clicks as the spool carries them: one self-contained record, written before the answer leaves.
//!
//! The record holds no address of the visitor: only the salted hash of [`crate::visitor`].

use crate::{link::LinkId, time::UnixMillis, user::UserId};

/// Why the request was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Visit,
    /// `Sec-Purpose`, `Purpose` or `X-Moz` announced a prefetch, prerender or preview: recorded and labelled, not a person's click.
    Prefetch,
}

/// Borrowed on the way in (the redirect encodes straight from the request), owned on the way out ([`OwnedClick`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Click<'a> {
    pub link_id: LinkId,
    pub owner: Option<UserId>,
    pub at: UnixMillis,
    pub visitor: u64,
    pub purpose: Purpose,
    pub short_code: &'a str,
    pub target: &'a str,
    /// Header bytes as sent, cut at [`HEADER_BYTES_MAX`]; not necessarily UTF-8.
    pub referrer: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
}

/// Longer `Referer` and `User-Agent` values are cut here.
pub const HEADER_BYTES_MAX: usize = 512;
/// No encoded click is longer.
pub const ENCODED_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedClick {
    pub link_id: LinkId,
    pub owner: Option<UserId>,
    pub at: UnixMillis,
    pub visitor: u64,
    pub purpose: Purpose,
    pub short_code: String,
    pub target: String,
    pub referrer: Option<String>,
    pub user_agent: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a click record: {0}")]
pub struct ClickDecodeError(pub &'static str);

impl Click<'_> {
    /// Bytes [`Click::encode_into`] will write; at most [`ENCODED_BYTES_MAX`].
    pub fn encoded_len(&self) -> usize {
        todo!("core")
    }

    /// Little-endian, one version byte first. `out` is exactly [`Click::encoded_len`] bytes. Allocates nothing.
    pub fn encode_into(&self, _out: &mut [u8]) {
        todo!("core")
    }
}

impl OwnedClick {
    /// Decodes any version ever written. Header bytes that are not UTF-8 are read lossily. Never panics.
    pub fn decode(_bytes: &[u8]) -> Result<Self, ClickDecodeError> {
        todo!("core")
    }
}
