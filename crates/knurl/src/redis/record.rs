//! A cached link as bytes.
//!
//! ```text
//! format      1 byte
//! flags       1 byte: active, owned, expires
//! status      2
//! id          8
//! version     8
//! owner       8, if it has one
//! expires at  8, if it expires
//! target      its bytes, as many as are left
//! check sum   4: CRC-32 of domain and code, each with its length, and of all of the above
//! ```
//!
//! Promised: what was not written for this link by some version of Knurl that we can read is `None`. Numbers are big-endian.

use knurl_core::{LinkId, ShortCode, Target, UnixMillis, UserId, link::RedirectStatus};
use knurl_store::replica::Facts;

use super::links::CachedLink;

/// Grows when the layout changes: nodes of different versions share a Redis during a rolling restart.
const FORMAT: u8 = 1;
const ACTIVE: u8 = 1;
const OWNED: u8 = 2;
const EXPIRES: u8 = 4;
const SUM_BYTES: usize = 4;

pub(super) fn encode(domain: &str, code: &ShortCode, link: &CachedLink) -> Vec<u8> {
    let CachedLink { id, version, facts } = link;
    let target = facts.target.as_str().as_bytes();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let mut out = Vec::with_capacity(40 + target.len());
    out.push(FORMAT);
    out.push(flag(facts.is_active, ACTIVE) | flag(facts.owner.is_some(), OWNED) | flag(facts.expires_at.is_some(), EXPIRES));
    out.extend(facts.status.as_u16().to_be_bytes());
    out.extend(id.0.to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(facts.owner.map(|owner| owner.0.to_be_bytes()).into_iter().flatten());
    out.extend(facts.expires_at.map(|at| at.0.to_be_bytes()).into_iter().flatten());
    out.extend(target);
    out.extend(check_sum(domain, code, &out).to_be_bytes());
    out
}

pub(super) fn decode(domain: &str, code: &ShortCode, bytes: &[u8]) -> Option<CachedLink> {
    let (mut rest, sum) = bytes.split_last_chunk::<SUM_BYTES>()?;
    if u32::from_be_bytes(*sum) != check_sum(domain, code, rest) {
        return None;
    }
    let [format, flags] = take(&mut rest)?;
    if format != FORMAT || flags & !(ACTIVE | OWNED | EXPIRES) != 0 {
        return None;
    }
    let status = RedirectStatus::from_u16(u16::from_be_bytes(take(&mut rest)?))?;
    let id = LinkId(i64::from_be_bytes(take(&mut rest)?));
    let version = i64::from_be_bytes(take(&mut rest)?);
    let mut optional = |flag: u8| if flags & flag == 0 { Some(None) } else { take(&mut rest).map(i64::from_be_bytes).map(Some) };
    let owner = optional(OWNED)?.map(UserId);
    let expires_at = optional(EXPIRES)?.map(UnixMillis);
    let target = Target::verbatim(std::str::from_utf8(rest).ok()?).ok()?;
    Some(CachedLink { id, version, facts: Facts { target, is_active: flags & ACTIVE != 0, status, owner, expires_at } })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

fn check_sum(domain: &str, code: &ShortCode, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for text in [domain, code.as_str()] {
        sum.update(&(text.len() as u64).to_be_bytes());
        sum.update(text.as_bytes());
    }
    sum.update(body);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(text: &str) -> ShortCode {
        ShortCode::parse(text).unwrap()
    }

    fn links() -> impl Strategy<Value = CachedLink> {
        let statuses = prop_oneof![Just(301_u16), Just(302), Just(307), Just(308)];
        let numbers = (any::<i64>(), any::<i64>(), any::<Option<i64>>(), any::<Option<i64>>());
        (numbers, any::<bool>(), statuses, "[a-z0-9/?=&%é]{0,200}").prop_map(
            |((id, version, owner, at), is_active, status, path)| {
                let facts = Facts {
                    target: Target::verbatim(&format!("https://example.org/{path}")).unwrap(),
                    is_active,
                    status: RedirectStatus::from_u16(status).unwrap(),
                    owner: owner.map(UserId),
                    expires_at: at.map(UnixMillis),
                };
                CachedLink { id: LinkId(id), version, facts }
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_of_this_link_only(link in links()) {
            let bytes = encode("sho.rt", &code("abc"), &link);
            prop_assert_eq!(decode("sho.rt", &code("abc"), &bytes), Some(link));
            prop_assert_eq!(decode("sho.rt", &code("abd"), &bytes), None);
            prop_assert_eq!(decode("sho.r", &code("tabc"), &bytes), None);
        }

        #[test]
        fn a_changed_byte_or_a_missing_end_is_seen(link in links(), at in any::<prop::sample::Index>(), change in 1_u8..) {
            let mut bytes = encode("", &code("abc"), &link);
            let at = at.index(bytes.len());
            prop_assert_eq!(decode("", &code("abc"), &bytes[..at]), None);
            bytes[at] ^= change;
            prop_assert_eq!(decode("", &code("abc"), &bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            decode("", &code("abc"), &bytes);
            // With a true check sum, too.
            bytes.extend(check_sum("", &code("abc"), &bytes).to_be_bytes());
            decode("", &code("abc"), &bytes);
        }
    }
}
