//! Every method and path has its route; what is taken for a short code is one, and every code a person may choose is reached.
#![no_main]

use http::Method;
use knurl::http::front::{ROOT_ROUTES, Route, classify};
use knurl_core::ShortCode;
use knurl_fuzz::Input;
use libfuzzer_sys::fuzz_target;

const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

fn check(method: &Method, path: &str) {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match classify(method, path) {
        Route::Redirect(code) => {
            assert!(reads && ShortCode::parse(code).is_ok() && !ROOT_ROUTES.contains(&code), "{code}");
            assert!(path == format!("/{code}") || path == format!("/{code}/"), "{path}");
        }
        Route::WrongMethod => assert!(!reads && matches!(classify(&Method::GET, path), Route::Redirect(_)), "{path}"),
        Route::Api => assert_eq!(classify(&Method::GET, path), Route::Api),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let method = &METHODS[usize::from(input.u8()) % METHODS.len()];
    let Ok(text) = str::from_utf8(input.rest()) else { return };
    check(method, text);
    if let Ok(uri) = text.parse::<http::Uri>() {
        check(method, uri.path());
    }
    if ShortCode::custom(text).is_ok() {
        assert_eq!(classify(&Method::GET, &format!("/{text}")), Route::Redirect(text));
    }
});
