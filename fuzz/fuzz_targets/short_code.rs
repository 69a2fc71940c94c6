//! A text is a short code or not, to the letter; whatever shape can be made, its draws are codes a person could ask for.
#![no_main]

use knurl_core::short_code::{CodeShape, ShortCode};
use knurl_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use rand::{SeedableRng, rngs::StdRng};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (length, attempt, seed) = (usize::from(input.u8()), u32::from(input.u16()), input.u64());
    let Ok(text) = str::from_utf8(input.rest()) else { return };
    let is_code = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match ShortCode::parse(text) {
        Ok(code) => assert!(is_code && code.as_str() == text),
        Err(_) => assert!(!is_code && ShortCode::custom(text).is_err()),
    }
    let upper = ShortCode::custom(&text.to_ascii_uppercase()).is_ok();
    assert_eq!(ShortCode::custom(&text.to_ascii_lowercase()).is_ok(), upper);
    if let Ok(shape) = CodeShape::new(text, length) {
        let code = shape.draw(&mut StdRng::seed_from_u64(seed), attempt);
        assert!(code.as_str().chars().all(|letter| text.contains(letter)));
        assert!(code.as_str().len() >= length && ShortCode::custom(code.as_str()).is_ok());
    }
});
