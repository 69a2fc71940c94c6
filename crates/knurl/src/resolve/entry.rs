//! A link as words: what a redirect needs of it in one piece, read from the first word to the last.
//!
//! ```text
//! head        words of all of it, lengths of code and target, flags, status, epoch
//! id
//! owner       if it has one
//! expires at  if it expires
//! code        its bytes, zeroes up to the next word
//! target      likewise
//! ```
//!
//! A reader may find any words here (somebody writes while it reads): whatever they are, it reads within bounds, and believes nothing
//! before it was told that nobody wrote.

use knurl_core::{LinkId, ShortCode, Target, UnixMillis, UserId, link::RedirectStatus};

use super::{
    Location, Resolved,
    words::{WORD_BYTES, Words},
};

/// A target that is not visible ASCII is not its own `Location`.
const VERBATIM: u64 = 1 << 30;
const ACTIVE: u64 = 1 << 31;
const OWNED: u64 = 1 << 32;
const EXPIRES: u64 = 1 << 33;
const STATUS_AT: u32 = 34;
const EPOCH_AT: u32 = 36;
/// Epochs are counted round in this many bits: some four years at two a second.
pub(super) const EPOCH_BITS: u32 = u64::BITS - EPOCH_AT;
const STATUSES: [RedirectStatus; 4] =
    [RedirectStatus::Found302, RedirectStatus::MovedPermanently301, RedirectStatus::Temporary307, RedirectStatus::Permanent308];
const CODE_WORDS_MAX: usize = ShortCode::LEN_MAX / WORD_BYTES;
/// The longest an entry can be.
pub(super) const WORDS_MAX: usize = 4 + CODE_WORDS_MAX + Target::BYTES_MAX / WORD_BYTES;
const _: () = assert!(WORDS_MAX < 1 << 10 && ShortCode::LEN_MAX < 1 << 7 && Target::BYTES_MAX < 1 << 13);

/// The first word. 0 is no entry's: each has a code.
#[derive(Clone, Copy)]
pub(super) struct Head(pub(super) u64);

impl Head {
    pub(super) fn words(self) -> usize {
        (self.0 & 0x3ff) as usize
    }

    fn code_bytes(self) -> usize {
        (self.0 >> 10 & 0x7f) as usize
    }

    fn target_bytes(self) -> usize {
        (self.0 >> 17 & 0x1fff) as usize
    }

    pub(super) fn epoch(self) -> u64 {
        self.0 >> EPOCH_AT
    }

    fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Words before the code.
    fn facts(self) -> usize {
        2 + usize::from(self.has(OWNED)) + usize::from(self.has(EXPIRES))
    }
}

/// A short code as entries hold it.
pub(super) struct CodeWords {
    words: [u64; CODE_WORDS_MAX],
    bytes: usize,
}

impl CodeWords {
    /// `None`: no short code is so long, or empty.
    pub(super) fn of(code: &str) -> Option<Self> {
        if !(1..=ShortCode::LEN_MAX).contains(&code.len()) {
            return None;
        }
        let mut words = [0; CODE_WORDS_MAX];
        let (whole, rest) = code.as_bytes().as_chunks::<WORD_BYTES>();
        for (word, bytes) in words.iter_mut().zip(whole) {
            *word = u64::from_le_bytes(*bytes);
        }
        if !rest.is_empty() {
            words[whole.len()] = word_of(rest);
        }
        Some(Self { words, bytes: code.len() })
    }

    pub(super) fn as_words(&self) -> &[u64] {
        &self.words[..self.bytes.div_ceil(WORD_BYTES)]
    }

    /// Whether the entry at `at` is of this code.
    #[inline]
    pub(super) fn is_at(&self, words: &Words, at: usize) -> bool {
        let head = Head(words.load(at));
        let first = at + head.facts();
        head.code_bytes() == self.bytes
            && words.load(first) == self.words[0]
            && (1..self.as_words().len()).all(|n| words.load(first + n) == self.words[n])
    }
}

/// The code of an entry nobody is writing.
pub(super) fn code_at(words: &Words, at: usize) -> Vec<u8> {
    let head = Head(words.load(at));
    words.bytes(at + head.facts(), head.code_bytes())
}

/// The entry of a link. `None`: no entry can be so long.
pub(super) fn encode(code: &CodeWords, link: &Resolved, epoch: u64) -> Option<Vec<u64>> {
    let target = link.target();
    if target.len() > Target::BYTES_MAX {
        return None;
    }
    let code_words = code.as_words();
    let mut out = Vec::with_capacity(4 + code_words.len() + target.len().div_ceil(WORD_BYTES));
    out.extend([0, link.id.0 as u64]);
    out.extend(link.owner.map(|owner| owner.0 as u64));
    out.extend(link.expires_at.map(|at| at.0 as u64));
    out.extend(code_words);
    out.extend(target.as_bytes().chunks(WORD_BYTES).map(word_of));
    let status = STATUSES.iter().position(|status| *status == link.status).unwrap_or_default();
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    out[0] = out.len() as u64
        | (code.bytes as u64) << 10
        | (target.len() as u64) << 17
        | flag(link.verbatim.is_some(), VERBATIM)
        | flag(link.is_active, ACTIVE)
        | flag(link.owner.is_some(), OWNED)
        | flag(link.expires_at.is_some(), EXPIRES)
        | (status as u64) << STATUS_AT
        | epoch << EPOCH_AT;
    Some(out)
}

/// What an entry says, copied out and not believed yet.
pub(super) struct Copied {
    head: Head,
    id: u64,
    owner: u64,
    expires_at: u64,
    target: Vec<u8>,
}

impl Copied {
    /// The entry at `at`, of a code of `code.bytes` bytes.
    #[inline]
    pub(super) fn from(words: &Words, at: usize, code: &CodeWords) -> Self {
        let head = Head(words.load(at));
        let (is_owned, expires) = (head.has(OWNED), head.has(EXPIRES));
        let owner = if is_owned { words.load(at + 2) } else { 0 };
        let expires_at = if expires { words.load(at + 2 + usize::from(is_owned)) } else { 0 };
        let target = words.bytes(at + head.facts() + code.as_words().len(), head.target_bytes());
        Self { head, id: words.load(at + 1), owner, expires_at, target }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.head.epoch()
    }

    /// To be called once it is known that nobody wrote meanwhile. `None` would be an entry that [`encode`] never made.
    #[inline]
    pub(super) fn believed(self) -> Option<Resolved> {
        let head = self.head;
        let (location, verbatim) = if head.has(VERBATIM) { verbatim(self.target)? } else { (Location::new(self.target)?, None) };
        Some(Resolved {
            id: LinkId(self.id as i64),
            owner: head.has(OWNED).then_some(UserId(self.owner as i64)),
            is_active: head.has(ACTIVE),
            status: STATUSES[(head.0 >> STATUS_AT & 3) as usize],
            expires_at: head.has(EXPIRES).then_some(UnixMillis(self.expires_at as i64)),
            location,
            verbatim,
        })
    }
}

/// A target that is no location: the location is made again.
#[cold]
fn verbatim(target: Vec<u8>) -> Option<(Location, Option<Box<str>>)> {
    let target = Target::verbatim(&String::from_utf8(target).ok()?).ok()?;
    Some((Location::new(target.location().into_owned().into_bytes())?, Some(target.as_str().into())))
}

fn word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD_BYTES];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Resolved {
        let target = Target::verbatim(target).unwrap();
        let location = Location::new(target.location().into_owned().into_bytes()).unwrap();
        let verbatim = (location.as_str() != target.as_str()).then(|| target.as_str().into());
        Resolved {
            id: LinkId(i64::MAX),
            owner: None,
            is_active: true,
            status: RedirectStatus::Found302,
            expires_at: None,
            location,
            verbatim,
        }
    }

    fn there_and_back(code: &str, link: &Resolved) -> Resolved {
        let code = CodeWords::of(code).unwrap();
        let entry = encode(&code, link, 7).unwrap();
        let words = Words::map(entry.len() + 3).unwrap();
        entry.iter().enumerate().for_each(|(n, &word)| words.store(3 + n, word));
        assert!(code.is_at(&words, 3));
        assert_eq!(Head(words.load(3)).words(), entry.len());
        let copied = Copied::from(&words, 3, &code);
        assert_eq!(copied.epoch(), 7);
        copied.believed().unwrap()
    }

    #[test]
    fn what_is_remembered_is_what_was_told() {
        let longest = format!("https://e.example/{}", "x".repeat(Target::BYTES_MAX - 18));
        for target in ["a:b", "https://a.example/seven-more", &longest, "https://münchen.example/ü", "mailto:a b"] {
            for code in ["a", "abcdefgh", "abcdefghi", &"z".repeat(ShortCode::LEN_MAX)] {
                for (n, status) in STATUSES.into_iter().enumerate() {
                    let facts = Resolved {
                        status,
                        is_active: n % 2 == 0,
                        owner: (n % 2 == 1).then_some(UserId(-5)),
                        expires_at: (n > 1).then_some(UnixMillis(-1)),
                        ..link(target)
                    };
                    let back = there_and_back(code, &facts);
                    assert_eq!(format!("{back:?}"), format!("{facts:?}"));
                    assert_eq!(back.target(), target);
                }
            }
        }
    }

    #[test]
    fn no_words_whatever_are_read_beyond_their_end() {
        let words = Words::map(16).unwrap();
        let code = CodeWords::of("abc").unwrap();
        for at in 0..20 {
            for head in [u64::MAX, 0x1fff << 17 | VERBATIM, ACTIVE | 9 << 17] {
                words.store(at.min(15), head);
                // Nothing to assert but that it returns.
                let _ = (code.is_at(&words, at), Copied::from(&words, at, &code).believed(), code_at(&words, at));
            }
        }
    }

    #[test]
    fn an_entry_costs_no_more_than_its_texts_and_four_words() {
        let code = CodeWords::of("fGk3x9Q").unwrap();
        let entry = encode(&code, &Resolved { owner: Some(UserId(1)), ..link(&format!("https://{}", "x".repeat(52))) }, 0).unwrap();
        assert_eq!(entry.len() * WORD_BYTES, 96);
    }
}
