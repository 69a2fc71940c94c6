//! Clicks as the spool carries them: one self-contained record, written before the answer leaves.
//!
//! The record holds no address of the visitor: only the salted hash of [`crate::visitor`].

use crate::{link::LinkId, short_code::ShortCode, target::Target, time::UnixMillis, user::UserId};

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

/// version, flags, short code length (u8 each), target, referrer, agent length (u16), link id, owner, instant, visitor (64 bits).
const HEADER_LEN: usize = 3 + 3 * 2 + 4 * 8;
const VERSION: u8 = 1;
const HAS_OWNER: u8 = 1;
const IS_PREFETCH: u8 = 2;
const HAS_REFERRER: u8 = 4;
const HAS_USER_AGENT: u8 = 8;

const _: () = assert!(HEADER_LEN + ShortCode::LEN_MAX + Target::BYTES_MAX + 2 * HEADER_BYTES_MAX <= ENCODED_BYTES_MAX);

impl Click<'_> {
    /// Bytes [`Click::encode_into`] will write; at most [`ENCODED_BYTES_MAX`].
    pub fn encoded_len(&self) -> usize {
        self.fields().into_iter().map(<[u8]>::len).sum::<usize>() + HEADER_LEN
    }

    /// Little-endian, one version byte first. `out` is exactly [`Click::encoded_len`] bytes. Allocates nothing.
    ///
    /// Panics when `out` is of another length: it would tear the record.
    pub fn encode_into(&self, out: &mut [u8]) {
        let [code, target, referrer, user_agent] = self.fields();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let (head, tail) = out.split_at_mut(HEADER_LEN);
        head[0] = VERSION;
        head[1] = flag(self.owner.is_some(), HAS_OWNER)
            | flag(self.purpose == Purpose::Prefetch, IS_PREFETCH)
            | flag(self.referrer.is_some(), HAS_REFERRER)
            | flag(self.user_agent.is_some(), HAS_USER_AGENT);
        head[2] = code.len() as u8;
        head[3..5].copy_from_slice(&(target.len() as u16).to_le_bytes());
        head[5..7].copy_from_slice(&(referrer.len() as u16).to_le_bytes());
        head[7..9].copy_from_slice(&(user_agent.len() as u16).to_le_bytes());
        head[9..17].copy_from_slice(&self.link_id.0.to_le_bytes());
        head[17..25].copy_from_slice(&self.owner.map_or(0, |owner| owner.0).to_le_bytes());
        head[25..33].copy_from_slice(&self.at.0.to_le_bytes());
        head[33..41].copy_from_slice(&self.visitor.to_le_bytes());
        let (code_out, tail) = tail.split_at_mut(code.len());
        let (target_out, tail) = tail.split_at_mut(target.len());
        let (referrer_out, user_agent_out) = tail.split_at_mut(referrer.len());
        code_out.copy_from_slice(code);
        target_out.copy_from_slice(target);
        referrer_out.copy_from_slice(referrer);
        user_agent_out.copy_from_slice(user_agent);
    }

    /// The fields of varying length, each cut to its bound.
    fn fields(&self) -> [&[u8]; 4] {
        [
            cut(self.short_code.as_bytes(), ShortCode::LEN_MAX),
            cut(self.target.as_bytes(), Target::BYTES_MAX),
            cut(self.referrer.unwrap_or_default(), HEADER_BYTES_MAX),
            cut(self.user_agent.unwrap_or_default(), HEADER_BYTES_MAX),
        ]
    }
}

/// At most `len_max` bytes of `text`; a UTF-8 character that straddles the cut is left out.
fn cut(text: &[u8], len_max: usize) -> &[u8] {
    if text.len() <= len_max {
        return text;
    }
    let begins_a_character = |at: &usize| text[*at] & 0xc0 != 0x80;
    &text[..(len_max - 3..=len_max).rev().find(begins_a_character).unwrap_or(len_max)]
}

impl OwnedClick {
    /// Decodes any version ever written. Header bytes that are not UTF-8 are read lossily. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, ClickDecodeError> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(ClickDecodeError("unknown version"));
        }
        let [flags, code_len] = take(&mut rest)?;
        if flags & !(HAS_OWNER | IS_PREFETCH | HAS_REFERRER | HAS_USER_AGENT) != 0 {
            return Err(ClickDecodeError("unknown flag"));
        }
        let target_len = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let referrer_len = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let user_agent_len = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let link_id = LinkId(i64::from_le_bytes(take(&mut rest)?));
        let owner = i64::from_le_bytes(take(&mut rest)?);
        let at = UnixMillis(i64::from_le_bytes(take(&mut rest)?));
        let visitor = u64::from_le_bytes(take(&mut rest)?);
        let has_owner = flags & HAS_OWNER != 0;
        if !has_owner && owner != 0 {
            return Err(ClickDecodeError("an owner that is none"));
        }
        let short_code = text(&mut rest, usize::from(code_len), ShortCode::LEN_MAX)?;
        let target = text(&mut rest, target_len, Target::BYTES_MAX)?;
        let referrer = header(&mut rest, referrer_len, flags & HAS_REFERRER != 0)?;
        let user_agent = header(&mut rest, user_agent_len, flags & HAS_USER_AGENT != 0)?;
        if !rest.is_empty() {
            return Err(ClickDecodeError("bytes after the end"));
        }
        let owner = has_owner.then_some(UserId(owner));
        let purpose = if flags & IS_PREFETCH != 0 { Purpose::Prefetch } else { Purpose::Visit };
        Ok(Self { link_id, owner, at, visitor, purpose, short_code, target, referrer, user_agent })
    }
}

const SHORT: ClickDecodeError = ClickDecodeError("it ends too early");
const LONG: ClickDecodeError = ClickDecodeError("a field is longer than it can be");

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ClickDecodeError> {
    let (head, tail) = rest.split_first_chunk().ok_or(SHORT)?;
    *rest = tail;
    Ok(*head)
}

fn text(rest: &mut &[u8], len: usize, len_max: usize) -> Result<String, ClickDecodeError> {
    if len > len_max {
        return Err(LONG);
    }
    let (head, tail) = rest.split_at_checked(len).ok_or(SHORT)?;
    *rest = tail;
    str::from_utf8(head).map(str::to_owned).map_err(|_| ClickDecodeError("text that is not UTF-8"))
}

fn header(rest: &mut &[u8], len: usize, present: bool) -> Result<Option<String>, ClickDecodeError> {
    if len > HEADER_BYTES_MAX {
        return Err(LONG);
    }
    if !present && len != 0 {
        return Err(ClickDecodeError("a header that is none"));
    }
    let (head, tail) = rest.split_at_checked(len).ok_or(SHORT)?;
    *rest = tail;
    Ok(present.then(|| String::from_utf8_lossy(head).into_owned()))
}

#[cfg(test)]
mod tests;
