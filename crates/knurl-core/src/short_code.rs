//! Short codes: drawn from a CSPRNG without bias, or chosen by a person from an ASCII allow-list.

use rand::CryptoRng;

mod reserved;

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
    pub fn parse(text: &str) -> Result<Self, ShortCodeError> {
        if text.is_empty() || text.len() > Self::LEN_MAX {
            return Err(ShortCodeError::Length);
        }
        if !text.bytes().all(is_code_byte) {
            return Err(ShortCodeError::Character);
        }
        Ok(Self(text.into()))
    }

    /// A code a person asks for: as [`ShortCode::parse`], and not a reserved word in any case
    /// (a route of ours, or a word that misleads: `login`, `robots`…).
    pub fn custom(text: &str) -> Result<Self, ShortCodeError> {
        let code = Self::parse(text)?;
        if reserved::is_reserved(text) {
            return Err(ShortCodeError::Reserved);
        }
        Ok(code)
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

    pub fn new(alphabet: &str, length: usize) -> Result<Self, CodeShapeError> {
        let bytes = alphabet.as_bytes();
        let distinct = bytes.iter().enumerate().all(|(at, byte)| !bytes[..at].contains(byte));
        if !(2..=64).contains(&bytes.len()) || !bytes.iter().copied().all(is_code_byte) || !distinct {
            return Err(CodeShapeError::Alphabet);
        }
        if !(1..=ShortCode::LEN_MAX).contains(&length) {
            return Err(CodeShapeError::Length);
        }
        Ok(Self { alphabet: bytes.into(), length })
    }

    /// Draws a code for attempt 0, 1, 2 …: collisions so far. From the third collision on each attempt is one character longer
    /// (up to [`ShortCode::LEN_MAX`]), so that a full code space never stops a create. Never a reserved word.
    pub fn draw(&self, rng: &mut impl CryptoRng, attempt: u32) -> ShortCode {
        let longer = attempt.saturating_sub(2) as usize;
        let mut length = self.length.saturating_add(longer).min(ShortCode::LEN_MAX);
        loop {
            let code = self.draw_once(rng, length);
            if !reserved::is_reserved(&code) {
                return ShortCode(code.into());
            }
            // Tiny alphabets may spell little else: a longer word leaves them. No reserved word is as long as LEN_MAX, so this ends.
            length = (length + 1).min(ShortCode::LEN_MAX);
        }
    }

    /// Rejection sampling: a random byte is cut to the fewest bits that can name every letter and dropped where it names none, so
    /// that each letter is exactly as likely as the next. At least every other byte is used.
    fn draw_once(&self, rng: &mut impl CryptoRng, length: usize) -> String {
        let mask = self.alphabet.len().next_power_of_two() - 1;
        let mut code = String::with_capacity(length);
        let mut random = [0_u8; 16];
        loop {
            rng.fill_bytes(&mut random);
            for byte in random {
                if let Some(&letter) = self.alphabet.get(usize::from(byte) & mask) {
                    code.push(char::from(letter));
                    if code.len() == length {
                        return code;
                    }
                }
            }
        }
    }
}

impl Default for CodeShape {
    /// Seven of base62: 3.5 * 10^12 codes, so that a million links are one hit in 3.5 million guesses.
    fn default() -> Self {
        Self { alphabet: Self::BASE62.as_bytes().into(), length: 7 }
    }
}

fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests;
