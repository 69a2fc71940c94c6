//! Short codes: drawn from a CSPRNG without bias, or chosen by a person from an ASCII allow-list.

use rand::CryptoRng;

/// 1 to [`ShortCode::LEN_MAX`] characters of `[0-9A-Za-z_-]`. Case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortCode(Box<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShortCodeError {
    #[error("a short code has 1 to {max} characters", max = ShortCode::LEN_MAX)]
    Length,
    #[error("a short code is made of letters, digits, '-' and '_'")]
    Character,
    #[error("this short code is reserved")]
    Reserved,
}

impl ShortCode {
    pub const LEN_MAX: usize = 64;

    /// Any code that may exist in the store (imports keep theirs): length and alphabet only.
    pub fn parse(_text: &str) -> Result<Self, ShortCodeError> {
        todo!("core")
    }

    /// A code a person asks for: as [`ShortCode::parse`], and not a reserved word (a route of ours, or of the web: `favicon.ico`…).
    pub fn custom(_text: &str) -> Result<Self, ShortCodeError> {
        todo!("core")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How codes are drawn: `length` characters of `alphabet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeShape {
    alphabet: Box<[u8]>,
    length: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeShapeError {
    #[error("the alphabet needs 2 to 64 different characters of [0-9A-Za-z_-]")]
    Alphabet,
    #[error("the length must be 1 to {max}", max = ShortCode::LEN_MAX)]
    Length,
}

impl CodeShape {
    pub const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    pub fn new(_alphabet: &str, _length: usize) -> Result<Self, CodeShapeError> {
        todo!("core")
    }

    /// Draws a code for attempt 0, 1, 2 …: collisions so far. From the third collision on each attempt is one character longer
    /// (up to [`ShortCode::LEN_MAX`]), so that a full code space never stops a create. Never a reserved word.
    pub fn draw(&self, _rng: &mut impl CryptoRng, _attempt: u32) -> ShortCode {
        todo!("core")
    }
}
