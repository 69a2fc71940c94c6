//! Whatever is sent, the answer is JSON and the fault is never ours.

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value};

use crate::test_app::{Answer, TestApp};

const ROUNDS: u32 = 150;

const NAMES: [&str; 16] = [
    "username",
    "email",
    "user_id",
    "original_url",
    "url",
    "title",
    "short_code",
    "custom_code",
    "is_active",
    "redirect_status",
    "expires_at",
    "find_if_exists",
    "url_id",
    "event_type",
    "details",
    "urls",
];

/// What gets further than noise does.
const WORDS: [&str; 16] = [
    "https://example.org/",
    "http://[::1]:1/\u{202e}",
    "HTTP://user:pass@EXAMPLE.org:80/%zz?#",
    "ada@example.org",
    "a@b",
    "2026-01-02 03:04:05",
    "9999-12-31T23:59:59.999999999+14:00",
    "abc",
    "\u{0}",
    "\r\nLocation: x",
    "",
    " ",
    "'; drop table links; --",
    "%",
    "\u{1f600}",
    "\u{feff}",
];

const TAKERS: [(&str, &str); 10] = [
    ("POST", "/users"),
    ("PUT", "/users/1"),
    ("PATCH", "/users/1"),
    ("POST", "/urls"),
    ("PUT", "/urls/1"),
    ("PATCH", "/api/v1/urls/1"),
    ("POST", "/shorten"),
    ("POST", "/urls/bulk"),
    ("POST", "/events"),
    ("POST", "/users/bulk"),
];

const LISTS: [&str; 8] =
    ["/users", "/urls", "/events", "/urls/1/events", "/users/1/urls", "/urls/1/stats", "/stats", "/api/v1/events"];

const PARAMETERS: [&str; 16] = [
    "page",
    "per_page",
    "limit",
    "offset",
    "after_id",
    "user_id",
    "url_id",
    "is_active",
    "short_code",
    "title",
    "original_url",
    "from",
    "to",
    "unit",
    "by",
    "event_type",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![select(&WORDS[..]).prop_map(str::to_owned), any::<String>(), "[a-zA-Z0-9_-]{1,70}"]
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        (-3_i64..400).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from)
    ];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text().prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 6, |inner| prop_oneof![vec(inner.clone(), 0..5).prop_map(Value::from), object(inner)])
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop_oneof![4 => select(&NAMES[..]).prop_map(str::to_owned), 1 => text()];
    vec((name, inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = (object(value()).prop_map(|v| v.to_string().into_bytes()), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, with)| {
            let at = at.index(bytes.len());
            bytes[at] = with;
            bytes
        },
    );
    prop_oneof![
        6 => object(value()).prop_map(|v| v.to_string().into_bytes()),
        2 => value().prop_map(|v| v.to_string().into_bytes()),
        2 => spoilt,
        1 => vec(any::<u8>(), 0..300),
    ]
}

fn judge(answer: &Answer) {
    assert!(answer.status < 500, "{answer:?}");
    if answer.status >= 400 {
        answer.problem();
    } else if !answer.body.is_empty() {
        answer.json();
    }
}

#[test]
fn no_body_makes_the_server_fail_or_answer_anything_but_json() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(async {
        let app = TestApp::start().await;
        let user = app.user("ada").await;
        app.link(user, "https://example.org").await;
        app
    });
    let types = select(&["application/json", "text/csv", "multipart/form-data; boundary=x", "", "application/json; charset=x"][..]);
    let mut runner = TestRunner::new(Config { cases: ROUNDS, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(
        &(select(&TAKERS[..]), prop_oneof![5 => Just("application/json"), 1 => types], body()),
        |(taker, kind, body)| {
            let headers = [("content-type", kind)];
            let given = if kind.is_empty() { &headers[..0] } else { &headers[..] };
            judge(&runtime.block_on(app.send(taker.0, taker.1, given, &body)));
            Ok(())
        },
    );
    outcome.unwrap();
    runtime.block_on(async {
        assert_eq!(app.get("/health").await.status, 200);
        app.stop().await;
    });
}

#[test]
fn no_query_makes_the_server_fail_or_answer_anything_but_json() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = runtime.block_on(async {
        let app = TestApp::start().await;
        let user = app.user("ada").await;
        app.link(user, "https://example.org").await;
        app
    });
    // The last one: wide characters where a time ends and its zone begins.
    let argument =
        prop_oneof![text(), any::<i64>().prop_map(|n| n.to_string()), "[0-9:TZ. +-]{0,25}", "[0-9T:]{16,19}é[ +-]{0,3}[0-9]"];
    let query = vec((select(&PARAMETERS[..]), argument), 0..4);
    let mut runner = TestRunner::new(Config { cases: ROUNDS, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(select(&LISTS[..]), query), |(path, query)| {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        judge(&runtime.block_on(app.get(&format!("{path}?{query}"))));
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(app.stop());
}
