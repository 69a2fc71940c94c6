//! What becomes a target and what does not; every spelling of our own hosts.

use proptest::prelude::*;
use rstest::rstest;

use super::{own_host::OwnHostError, *};

fn rules(own_hosts: &[&str]) -> TargetRules {
    let mut rules = TargetRules::default();
    rules.set_own_hosts(own_hosts.iter().map(|own| OwnHost::parse(own).unwrap()));
    rules
}

fn parse(text: &str) -> Result<String, TargetError> {
    Target::parse(text, &rules(&[])).map(|target| target.as_str().to_owned())
}

#[rstest]
#[case("https://example.org", "https://example.org/")]
#[case("  https://example.org/a  ", "https://example.org/a")]
#[case("HTTPS://EXAMPLE.org:443/A?b=C#d", "https://example.org/A?b=C#d")]
#[case("http://example.org:8080/", "http://example.org:8080/")]
#[case("https://user:secret@example.org/", "https://user:secret@example.org/")]
#[case("https://bücher.example/ü?ü#ü", "https://xn--bcher-kva.example/%C3%BC?%C3%BC#%C3%BC")]
#[case("https://example.org/a b", "https://example.org/a%20b")]
#[case("https://example.org/a/../b/./c", "https://example.org/b/c")]
#[case("http://0x7f.1/", "http://127.0.0.1/")]
#[case("https://example.org/\u{202e}gpj.exe", "https://example.org/%E2%80%AEgpj.exe")]
#[case("https://example.org/%0d%0aSet-Cookie:%20a=b", "https://example.org/%0d%0aSet-Cookie:%20a=b")]
fn a_target_is_stored_reserialised(#[case] text: &str, #[case] stored: &str) {
    assert_eq!(parse(text).as_deref(), Ok(stored));
}

const SLASHES: TargetError = TargetError::Malformed("two slashes belong after the scheme");
const NO_SCHEME: TargetError = TargetError::Malformed("it must begin with a scheme, as in https://example.org");

#[rstest]
#[case::empty("", TargetError::Empty)]
#[case::blank("   ", TargetError::Empty)]
#[case::word("not-a-url", NO_SCHEME)]
#[case::bare_host("example.org/path", NO_SCHEME)]
#[case::relative("/path", NO_SCHEME)]
#[case::protocol_relative("//example.org/", NO_SCHEME)]
#[case::scheme_only("http:", NO_SCHEME)]
#[case::script("javascript:alert(1)", TargetError::Scheme)]
#[case::script_in_capitals("JavaScript://example.org/%0aalert(1)", TargetError::Scheme)]
#[case::data("data:text/html,x", TargetError::Scheme)]
#[case::ftp("ftp://example.org/", TargetError::Scheme)]
#[case::file("file:///etc/passwd", TargetError::Scheme)]
#[case::mail("mailto:a@example.org", TargetError::Scheme)]
#[case::host_as_scheme("localhost:8080/x", TargetError::Scheme)]
#[case::no_slash("http:example.org", SLASHES)]
#[case::one_slash("http:/example.org", SLASHES)]
#[case::backslashes("http:\\\\example.org", SLASHES)]
#[case::no_host("http://", TargetError::Host)]
#[case::three_slashes("http:///example.org", TargetError::Host)]
#[case::slash_backslash("http://\\example.org", TargetError::Host)]
#[case::only_query("http://?a=b", TargetError::Host)]
#[case::only_port("http://:80/", TargetError::Host)]
#[case::only_user("http://user@/", TargetError::Host)]
#[case::dot("http://./", TargetError::Host)]
#[case::newline_inside("https://example.org/a\nb", TargetError::Control)]
#[case::newline_at_the_end("https://example.org/\n", TargetError::Control)]
#[case::tab_in_the_scheme("java\tscript:alert(1)", TargetError::Control)]
#[case::tab_in_the_host("https://exa\tmple.org/", TargetError::Control)]
#[case::header_injection("https://example.org/\r\nSet-Cookie: a=b", TargetError::Control)]
#[case::nul("https://example.org/\0", TargetError::Control)]
#[case::del("https://example.org/\x7f", TargetError::Control)]
#[case::c1("https://example.org/\u{85}", TargetError::Control)]
#[case::blank_in_the_host("https://exa mple.org/", TargetError::Malformed("the host is not a valid international name"))]
#[case::port_too_big("https://example.org:65536/", TargetError::Malformed("the port is not a number up to 65535"))]
#[case::address_too_big("https://256.0.0.1/", TargetError::Malformed("the host is not a valid IPv4 address"))]
#[case::bad_v6("https://[::g]/", TargetError::Malformed("the host is not a valid IPv6 address"))]
fn what_is_not_an_allowed_target_is_refused(#[case] text: &str, #[case] error: TargetError) {
    assert_eq!(parse(text), Err(error));
}

#[test]
fn a_target_is_too_long_before_or_after_reserialising() {
    let rules = TargetRules::new(&["https"], 100).unwrap();
    let of_len = |len: usize| format!("https://example.org/{}", "x".repeat(len - 20));
    assert_eq!(Target::parse(&of_len(100), &rules).unwrap().as_str().len(), 100);
    assert_eq!(Target::parse(&of_len(101), &rules), Err(TargetError::TooLong(100)));
    let grows = format!("https://example.org/{}", "ü".repeat(20));
    assert_eq!(Target::parse(&grows, &rules), Err(TargetError::TooLong(100)));
    let shrinks = format!("https://example.org/{}", "a/../".repeat(20));
    assert_eq!(Target::parse(&shrinks, &rules), Err(TargetError::TooLong(100)));
}

#[rstest]
#[case::plain("sho.rt", "http://sho.rt/abc")]
#[case::other_scheme("sho.rt", "https://sho.rt/abc")]
#[case::any_port("sho.rt", "http://sho.rt:8080/abc")]
#[case::upper_case("sho.rt", "http://SHO.RT/abc")]
#[case::upper_case_own("SHO.rt", "http://sho.rt/abc")]
#[case::trailing_dot("sho.rt", "http://sho.rt./abc")]
#[case::trailing_dot_own("sho.rt.", "http://sho.rt/abc")]
#[case::userinfo("sho.rt", "http://a:b@sho.rt/abc")]
#[case::userinfo_that_misleads("sho.rt", "http://example.org@sho.rt/abc")]
#[case::percent_encoded("sho.rt", "http://%73ho.r%74/abc")]
#[case::fullwidth("sho.rt", "http://ｓｈｏ.ｒｔ/abc")]
#[case::ideographic_dot("sho.rt", "http://sho。rt/abc")]
#[case::soft_hyphen("sho.rt", "http://sh\u{ad}o.rt/abc")]
#[case::base_url("https://sho.rt/", "http://sho.rt/abc")]
#[case::idn("bücher.example", "http://xn--bcher-kva.example/")]
#[case::idn_own("xn--bcher-kva.example", "http://BÜCHER.example/")]
#[case::given_port("sho.rt:8080", "http://sho.rt:8080/abc")]
#[case::default_port("sho.rt:443", "https://sho.rt/abc")]
#[case::default_port_given("sho.rt:80", "http://sho.rt:80/abc")]
#[case::leading_zeros_in_port("sho.rt:8080", "http://sho.rt:0008080/abc")]
#[case::loopback("127.0.0.1:8080", "http://127.0.0.1:8080/abc")]
#[case::hex("127.0.0.1:8080", "http://0x7f.1:8080/abc")]
#[case::one_number("127.0.0.1:8080", "http://2130706433:8080/abc")]
#[case::octal("127.0.0.1:8080", "http://0177.0.0.01:8080/abc")]
#[case::dotted_address("127.0.0.1:8080", "http://127.0.0.1.:8080/abc")]
#[case::mapped("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080/abc")]
#[case::compatible("127.0.0.1:8080", "http://[::127.0.0.1]:8080/abc")]
#[case::translated("127.0.0.1:8080", "http://[64:ff9b::7f00:1]:8080/abc")]
#[case::translated_statelessly("127.0.0.1:8080", "http://[::ffff:0:127.0.0.1]:8080/abc")]
#[case::tunnelled("192.0.2.7:8080", "http://[2002:c000:207::1]:8080/abc")]
#[case::localhost("127.0.0.1:8080", "http://localhost:8080/abc")]
#[case::localdomain("127.0.0.1:8080", "http://LocalHost.LocalDomain.:8080/abc")]
#[case::ip6_localhost("127.0.0.1:8080", "http://ip6-localhost:8080/abc")]
#[case::under_localhost("127.0.0.1:8080", "http://a.LocalHost.:8080/abc")]
#[case::another_loopback("127.0.0.1:8080", "http://127.1.2.3:8080/abc")]
#[case::v6_loopback("localhost:8080", "http://[0:0::1]:8080/abc")]
#[case::unspecified("127.0.0.1:8080", "http://0:8080/abc")]
#[case::v6_unspecified("[::1]:8080", "http://[::]:8080/abc")]
#[case::listening_everywhere("0.0.0.0:8080", "http://localhost:8080/abc")]
#[case::address("192.0.2.7", "http://0xC0000207/abc")]
#[case::mapped_address("::ffff:192.0.2.7", "http://192.0.2.7/abc")]
#[case::v6("[2001:db8::1]", "http://[2001:DB8:0:0:0:0:0:1]:81/abc")]
#[case::bare_v6("2001:db8::1", "http://[2001:db8::1]/abc")]
fn a_loop_to_an_own_host_is_refused_in_every_spelling(#[case] own: &str, #[case] text: &str) {
    assert_eq!(Target::parse(text, &rules(&["other.example", own])), Err(TargetError::Loop));
}

#[rstest]
#[case::another_port("sho.rt:8080", "http://sho.rt:3000/")]
#[case::default_port_elsewhere("sho.rt:8080", "http://sho.rt/")]
#[case::another_service_here("127.0.0.1:8080", "http://localhost:3000/")]
#[case::subdomain("sho.rt", "http://www.sho.rt/")]
#[case::suffix("sho.rt", "http://notsho.rt/")]
#[case::in_the_path("sho.rt", "http://example.org/http://sho.rt/")]
#[case::as_user("sho.rt", "http://sho.rt@example.org/")]
#[case::localhost_in_front("localhost", "http://localhost.example/")]
#[case::another_localdomain("localhost", "http://printer.localdomain/")]
#[case::another_translated("127.0.0.1", "http://[64:ff9b::c000:207]/")]
#[case::another_address("192.0.2.7", "http://192.0.2.8/")]
fn a_target_elsewhere_is_not_a_loop(#[case] own: &str, #[case] text: &str) {
    assert_eq!(Target::parse(text, &rules(&[own])).map(|_| ()), Ok(()));
}

#[rstest]
#[case::empty("")]
#[case::blank("a b")]
#[case::port("sho.rt:http")]
#[case::port_too_big("sho.rt:65536")]
#[case::dot(".")]
#[case::unclosed("[::1")]
#[case::user("user@sho.rt")]
fn an_own_host_that_is_none_is_refused(#[case] own: &str) {
    assert_eq!(OwnHost::parse(own), Err(OwnHostError));
}

#[rstest]
#[case("127.0.0.1:8080", "http://localhost:8080/")]
#[case("0.0.0.0:8080", "http://[::1]:8080/")]
#[case("192.0.2.7:80", "http://[::ffff:192.0.2.7]/")]
#[case("[2001:db8::1]:8080", "http://[2001:db8:0::1]:8080/")]
fn a_loop_to_the_address_listened_on_is_refused(#[case] listen: &str, #[case] text: &str) {
    let mut rules = TargetRules::default();
    rules.set_own_hosts([OwnHost::from(listen.parse::<std::net::SocketAddr>().unwrap())]);
    assert_eq!(Target::parse(text, &rules), Err(TargetError::Loop));
}

#[test]
fn rules_that_allow_nothing_are_refused() {
    let error = |schemes: &[&str], len_max| TargetRules::new(schemes, len_max).unwrap_err();
    assert_eq!(error(&[], 2_048), TargetRulesError::NoScheme);
    assert_eq!(error(&["http:"], 2_048), TargetRulesError::Scheme("http:".to_owned()));
    assert_eq!(error(&["http"], 15), TargetRulesError::LenMax);
    assert_eq!(error(&["http"], Target::BYTES_MAX + 1), TargetRulesError::LenMax);
}

#[test]
fn an_operator_may_allow_another_scheme() {
    let mut rules = TargetRules::new(&["HTTPS", "myapp"], 2_048).unwrap();
    rules.set_own_hosts([OwnHost::parse("sho.rt").unwrap()]);
    assert_eq!(Target::parse("myapp://open/1 2", &rules).unwrap().as_str(), "myapp://open/1%202");
    assert_eq!(Target::parse("myapp:open", &rules), Err(SLASHES));
    assert_eq!(Target::parse("myapp://SHO.rt./x", &rules), Err(TargetError::Loop));
    assert_eq!(Target::parse("http://example.org", &rules), Err(TargetError::Scheme));
}

#[rstest]
#[case("https://EXAMPLE.org", "https://EXAMPLE.org")]
#[case("https://example.org/a b", "https://example.org/a%20b")]
#[case("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC")]
#[case("mailto:a b@example.org", "mailto:a%20b@example.org")]
#[case("javascript:alert(1)", "javascript:alert(1)")]
fn a_verbatim_target_is_kept_to_the_letter_and_its_location_is_visible_ascii(#[case] text: &str, #[case] location: &str) {
    let target = Target::verbatim(text).unwrap();
    assert_eq!((target.as_str(), &*target.location()), (text, location));
}

#[rstest]
#[case("", TargetError::Empty)]
#[case("hello world", NO_SCHEME)]
#[case("https://example.org/\r\nX: y", TargetError::Control)]
#[case("https:// ", TargetError::Host)]
fn a_verbatim_target_that_could_never_be_a_location_is_refused(#[case] text: &str, #[case] error: TargetError) {
    assert_eq!(Target::verbatim(text), Err(error));
    assert_eq!(Target::verbatim(&"https://x".repeat(1_000)), Err(TargetError::TooLong(Target::BYTES_MAX)));
}

/// Texts near enough to a URL to get past the first look.
fn url_like() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![Just("http"), Just("HTTPS"), Just("https"), Just("ftp"), Just("")];
    let slashes = prop_oneof![4 => Just("://"), 1 => Just(":/"), 1 => Just(":"), 1 => Just(":\\\\")];
    let host = "([a-z.]{1,12}|[0-9a-fx.]{1,12}|\\[[0-9a-f:.]{2,20}\\]|\\PC{1,8}|[a-zß.%0-9@:-]{1,16})";
    let rest = "([/?#][a-z%0-9]{0,8}|[/?#]\\PC{0,12}|(?s:.){0,12})";
    (scheme, slashes, host, rest).prop_map(|(scheme, slashes, host, rest)| format!("{scheme}{slashes}{host}{rest}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_target_can_break_a_header(text in url_like()) {
        if let Ok(target) = Target::parse(&text, &rules(&["sho.rt"])) {
            prop_assert!(target.as_str().bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{:?}", target);
            prop_assert!(target.as_str().starts_with("http://") || target.as_str().starts_with("https://"));
            prop_assert_eq!(&*target.location(), target.as_str());
        }
        if let Ok(target) = Target::verbatim(&text) {
            prop_assert_eq!(target.as_str(), &text);
            prop_assert!(target.location().bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{:?}", target);
        }
    }

    #[test]
    fn a_stored_target_parses_to_itself(text in url_like()) {
        let rules = rules(&["sho.rt"]);
        if let Ok(target) = Target::parse(&text, &rules) {
            prop_assert_eq!(Target::parse(target.as_str(), &rules), Ok(target.clone()));
            prop_assert_eq!(Target::verbatim(target.as_str()), Ok(target));
        }
    }

    #[test]
    fn an_own_address_is_seen_through_every_way_to_write_it(address in any::<u32>(), form in 0..6) {
        let v4 = std::net::Ipv4Addr::from(address);
        let [a, b, c, d] = v4.octets();
        let host = match form {
            0 => format!("{address}"),
            1 => format!("{address:#x}"),
            2 => format!("{a:#o}.{b:#X}.{}", u16::from_be_bytes([c, d])).replace("0o", "0"),
            3 => format!("[{}]", v4.to_ipv6_mapped()),
            4 => format!("{v4}."),
            _ => format!("{a}.{}", u32::from_be_bytes([0, b, c, d])),
        };
        let rules = rules(&[&v4.to_string()]);
        prop_assert_eq!(Target::parse(&format!("http://{host}/x"), &rules), Err(TargetError::Loop));
    }
}
