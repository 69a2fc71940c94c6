//! Any bytes are a click or refused; a click that was read is written to the same bytes, or at least to the same click.
#![no_main]

use knurl_core::click::{Click, ENCODED_BYTES_MAX, HEADER_BYTES_MAX, OwnedClick};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(owned) = OwnedClick::decode(data) else { return };
    assert!(data.len() <= ENCODED_BYTES_MAX);
    let click = Click {
        link_id: owned.link_id,
        owner: owned.owner,
        at: owned.at,
        visitor: owned.visitor,
        purpose: owned.purpose,
        short_code: &owned.short_code,
        target: &owned.target,
        referrer: owned.referrer.as_deref().map(str::as_bytes),
        user_agent: owned.user_agent.as_deref().map(str::as_bytes),
    };
    let mut bytes = vec![0; click.encoded_len()];
    assert!(bytes.len() <= ENCODED_BYTES_MAX);
    click.encode_into(&mut bytes);
    let again = OwnedClick::decode(&bytes).expect("what was written is read");
    let headers = [&owned.referrer, &owned.user_agent];
    if headers.iter().all(|header| header.as_ref().is_none_or(|text| text.len() <= HEADER_BYTES_MAX)) {
        assert_eq!(again, owned);
    }
    let is_lossy = headers.iter().any(|header| header.as_ref().is_some_and(|text| text.contains('\u{fffd}')));
    assert!(is_lossy || bytes == data);
});
