//! Whatever an agent says of itself, it is said again in words of ours; whatever a referrer is, its host can be a key.
#![no_main]

use knurl_core::{
    agent::{classify, referrer_host},
    click::Purpose,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let agent = classify(Some(&text), Purpose::Visit);
    for word in [agent.browser, agent.os, agent.class.as_str()] {
        assert!(
            (1..=16).contains(&word.len()) && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b' ' | b'.')),
            "{word}"
        );
    }
    let prefetch = classify(Some(&text), Purpose::Prefetch);
    assert_eq!((prefetch.browser, prefetch.os, prefetch.class.is_human()), (agent.browser, agent.os, false));
    if let Some(host) = referrer_host(&text) {
        assert!((1..=253).contains(&host.len()), "{host}");
        assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{host}");
    }
});
