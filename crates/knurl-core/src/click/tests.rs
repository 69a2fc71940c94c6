//! Clicks written and read back; the bytes of version 1; records that are damaged.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn encoded(click: &Click<'_>) -> Vec<u8> {
    let mut out = vec![0xaa; click.encoded_len()];
    click.encode_into(&mut out);
    out
}

const CLICK: Click<'static> = Click {
    link_id: LinkId(7),
    owner: Some(UserId(317)),
    at: UnixMillis(1_775_217_600_000),
    visitor: 0x0123_4567_89ab_cdef,
    purpose: Purpose::Prefetch,
    short_code: "oWCnNk",
    target: "https://a.dev/",
    referrer: Some(b"https://b.dev/"),
    user_agent: Some(b"curl/8"),
};

/// The bytes of version 1, spelled out: what an older Knurl left in its spool is read by every later one.
const CLICK_V1: &[u8] = b"\x01\x0f\x06\x0e\x00\x0e\x00\x06\x00\
    \x07\x00\x00\x00\x00\x00\x00\x00\x3d\x01\x00\x00\x00\x00\x00\x00\
    \x00\xe6\x36\x53\x9d\x01\x00\x00\xef\xcd\xab\x89\x67\x45\x23\x01\
    oWCnNkhttps://a.dev/https://b.dev/curl/8";

#[test]
fn the_byte_form_of_version_1_never_changes() {
    assert_eq!(encoded(&CLICK), CLICK_V1);
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    for len in 0..CLICK_V1.len() {
        assert_eq!(OwnedClick::decode(&CLICK_V1[..len]), Err(ClickDecodeError("it ends too early")), "{len}");
    }
}

#[rstest]
#[case::version(0, 2, "unknown version")]
#[case::version_0(0, 0, "unknown version")]
#[case::flag(1, 0x1f, "unknown flag")]
#[case::owner_without_flag(1, 0x0e, "an owner that is none")]
#[case::referrer_without_flag(1, 0x0b, "a header that is none")]
#[case::code_too_long(2, 65, "a field is longer than it can be")]
#[case::target_too_long(4, 0xff, "a field is longer than it can be")]
#[case::agent_too_long(8, 3, "a field is longer than it can be")]
#[case::agent_shorter(7, 5, "bytes after the end")]
#[case::not_utf8(41, 0xff, "text that is not UTF-8")]
fn a_record_with_a_wrong_byte_is_refused(#[case] at: usize, #[case] byte: u8, #[case] reason: &'static str) {
    let mut bytes = CLICK_V1.to_vec();
    bytes[at] = byte;
    assert_eq!(OwnedClick::decode(&bytes), Err(ClickDecodeError(reason)));
}

#[test]
fn long_headers_are_cut_between_characters() {
    let long = "x".to_owned() + &"ü".repeat(400);
    let click = Click { referrer: Some(long.as_bytes()), user_agent: Some(&[0x80; 600]), ..CLICK };
    let decoded = OwnedClick::decode(&encoded(&click)).unwrap();
    assert_eq!(decoded.referrer.unwrap(), "x".to_owned() + &"ü".repeat(255));
    assert_eq!(decoded.user_agent.unwrap(), "\u{fffd}".repeat(HEADER_BYTES_MAX));
}

#[test]
fn the_longest_click_fits() {
    let long = "x".repeat(100_000);
    let (text, bytes) = (long.as_str(), Some(long.as_bytes()));
    let click = Click { short_code: text, target: text, referrer: bytes, user_agent: bytes, ..CLICK };
    let decoded = OwnedClick::decode(&encoded(&click)).unwrap();
    assert!(click.encoded_len() <= ENCODED_BYTES_MAX);
    assert_eq!(decoded.target.len(), Target::BYTES_MAX);
}

fn header() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop_oneof![prop::collection::vec(any::<u8>(), 0..700), "\\PC{0,300}".prop_map(String::into_bytes)])
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(cut(bytes, HEADER_BYTES_MAX)).into_owned()
}

proptest! {
    #[test]
    fn every_click_is_read_back(
        link_id in any::<i64>(), owner in prop::option::of(any::<i64>()), at in any::<i64>(), visitor in any::<u64>(),
        prefetch in any::<bool>(), short_code in "[0-9A-Za-z_-]{0,64}", target in "\\PC{0,600}", referrer in header(), user_agent in header(),
    ) {
        let purpose = if prefetch { Purpose::Prefetch } else { Purpose::Visit };
        let (link_id, owner, at) = (LinkId(link_id), owner.map(UserId), UnixMillis(at));
        let click = Click {
            link_id, owner, at, visitor, purpose, short_code: &short_code, target: &target,
            referrer: referrer.as_deref(), user_agent: user_agent.as_deref(),
        };
        let bytes = encoded(&click);
        prop_assert!(bytes.len() <= ENCODED_BYTES_MAX);
        let (referrer, user_agent) = (referrer.as_deref().map(lossy), user_agent.as_deref().map(lossy));
        let expected = OwnedClick { link_id, owner, at, visitor, purpose, short_code, target, referrer, user_agent };
        prop_assert_eq!(OwnedClick::decode(&bytes), Ok(expected));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), versioned in any::<bool>()) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (versioned, bytes.first_mut()) {
            *first = VERSION;
        }
        let _ = OwnedClick::decode(&bytes);
    }

    #[test]
    fn a_damaged_record_is_decoded_or_refused(at in 0..CLICK_V1.len(), byte in any::<u8>()) {
        let mut bytes = CLICK_V1.to_vec();
        bytes[at] = byte;
        let _ = OwnedClick::decode(&bytes);
    }
}
