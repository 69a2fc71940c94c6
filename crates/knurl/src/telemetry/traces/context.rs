//! W3C Trace Context: `traceparent` and `tracestate` in, `traceresponse` out.
//!
//! Promised: total: whatever stands in the header, the answer is a parent or none, without a panic and without memory. A version that we
//! do not know is read as far as the one we know goes, as its specification asks.

use http::{HeaderMap, HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Which trace an answer belongs to, for whoever is allowed to give us one.
pub const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// `00-` trace id `-` span id `-` flags.
const LEN: usize = 55;
/// More than the 512 characters that must be passed on are not kept.
const STATE_BYTES_MAX: usize = 512;
const SAMPLED: u8 = 1;

/// 128 bits, never all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    pub(super) fn of_chance(high: u64, low: u64) -> Self {
        Self((u128::from(high) << 64 | u128::from(low)).max(1))
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Whose part a request is, by `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace_id: TraceId,
    /// Never 0.
    pub span_id: u64,
    pub is_sampled: bool,
}

impl Parent {
    /// Of exactly one such header.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let first = values.next()?;
        values.next().is_none().then(|| Self::parse(first.as_bytes())).flatten()
    }

    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LEN)?;
        let [version, trace_id, span_id, flags] = fields(known)?;
        let version = hex(version)?;
        // 255 is none; version 0 ends here, later ones may go on after a dash.
        if version == 255 || (version == 0 && !rest.is_empty()) || rest.first().is_some_and(|&byte| byte != b'-') {
            return None;
        }
        let (trace_id, span_id) = (TraceId::new(hex(trace_id)?)?, u64::try_from(hex(span_id)?).ok()?);
        let flags = u8::try_from(hex(flags)?).ok()?;
        (span_id != 0).then_some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0 })
    }

    pub fn to_header(self) -> HeaderValue {
        let text = format!("00-{}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.is_sampled));
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// What the systems before us want to find again; kept as it came.
pub fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut state = String::new();
    for value in headers.get_all(TRACESTATE) {
        let part = value.to_str().ok()?.trim();
        if part.is_empty() {
            continue;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(part);
        if state.len() > STATE_BYTES_MAX {
            return None;
        }
    }
    (!state.is_empty()).then(|| state.into_boxed_str())
}

fn fields(known: &[u8]) -> Option<[&[u8]; 4]> {
    let dashes = known.get(2) == Some(&b'-') && known.get(35) == Some(&b'-') && known.get(52) == Some(&b'-');
    dashes.then(|| [&known[..2], &known[3..35], &known[36..52], &known[53..]])
}

/// Lower case only, as the specification has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[rstest]
    #[case(GOOD, Some(true))]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", Some(false))]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", Some(true))]
    #[case("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", Some(true))]
    #[case("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01what", None)]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None)]
    #[case("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None)]
    #[case("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None)]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None)]
    #[case("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None)]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", None)]
    #[case("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None)]
    #[case("", None)]
    fn a_parent_is_read_or_refused(#[case] value: &str, #[case] is_sampled: Option<bool>) {
        assert_eq!(Parent::parse(value.as_bytes()).map(|parent| parent.is_sampled), is_sampled);
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Parent::of(&headers).unwrap().to_header(), GOOD);
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Parent::of(&headers), None);
    }

    #[test]
    fn a_state_is_kept_as_it_came_within_its_bound() {
        let mut headers = HeaderMap::new();
        assert_eq!(state(&headers), None);
        headers.append(TRACESTATE, HeaderValue::from_static("a=1, b=2"));
        headers.append(TRACESTATE, HeaderValue::from_static("c=3"));
        assert_eq!(state(&headers).as_deref(), Some("a=1, b=2,c=3"));
        headers.append(TRACESTATE, HeaderValue::try_from("x".repeat(STATE_BYTES_MAX)).unwrap());
        assert_eq!(state(&headers), None);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_header_nothing_panics(value in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Parent::parse(&value);
        }

        #[test]
        fn a_good_one_with_a_byte_changed_is_read_or_refused(at in 0_usize..55, byte in any::<u8>()) {
            let mut value = GOOD.as_bytes().to_vec();
            value[at] = byte;
            if let Some(parent) = Parent::parse(&value) {
                prop_assert!(parent.span_id != 0);
                prop_assert!(Parent::parse(parent.to_header().as_bytes()) == Some(parent));
            }
        }
    }
}
