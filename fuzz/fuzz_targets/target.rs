//! No text becomes a target that could break a header, change when parsed again, or lead back here.
#![no_main]

use std::{net::IpAddr, sync::LazyLock};

use knurl_core::target::{OwnHost, Target, TargetRules};
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<TargetRules> = LazyLock::new(|| {
    let mut rules = TargetRules::new(&["http", "https", "knurl"], 2_048).expect("rules");
    rules
        .set_own_hosts(["sho.rt", "bücher.example", "192.0.2.7:8080", "localhost"].map(|own| OwnHost::parse(own).expect("a host")));
    rules
});

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

/// A second opinion on who the target names, from its text alone.
fn leads_here(url: &url::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) if address.is_loopback() || address.is_unspecified() => true,
        Ok(address) => address == IpAddr::from([192, 0, 2, 7]) && url.port() == Some(8080),
        Err(_) => ["sho.rt", "xn--bcher-kva.example", "localhost"].contains(&host.as_str()) || host.ends_with(".localhost"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(target) = Target::parse(text, &RULES) {
        let stored = target.as_str();
        assert!(is_visible(stored) && stored.len() <= 2_048, "{stored:?}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(["http://", "https://", "knurl://"].iter().any(|scheme| stored.starts_with(scheme)), "{stored}");
        assert_eq!(Target::parse(stored, &RULES).as_ref(), Ok(&target));
        assert_eq!(Target::verbatim(stored).as_ref(), Ok(&target));
        assert_eq!(target.location(), stored);
        let url = url::Url::parse(stored).expect("what was stored is a URL");
        assert!(url.has_host() && !leads_here(&url), "{stored}");
    }
    if let Ok(target) = Target::verbatim(text) {
        assert_eq!(target.as_str(), text);
        assert!(is_visible(&target.location()), "{target:?}");
        assert!(http::HeaderValue::from_str(&target.location()).is_ok());
    }
    if let Ok(own) = OwnHost::parse(text) {
        assert_eq!(own, own.clone());
    }
});
