//! Failures that are the client's.

use std::{collections::BTreeSet, time::Duration};

use knurl::http::api;

use crate::test_app::{Answer, TestApp};

/// Of every route an address that could exist.
fn addresses() -> Vec<String> {
    let filled = |path: &str| path.replace("{id}", "1").replace("{short_code}", "abc1234");
    api::paths().into_iter().flat_map(|path| [filled(path), format!("/api/v1{}", filled(path))]).collect()
}

fn allowed(answer: &Answer) -> BTreeSet<String> {
    answer.header("allow").unwrap_or_default().split(',').map(|method| method.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_other_methods_and_says_which_it_allows() {
    let app = TestApp::start().await;
    for path in addresses() {
        let refused = app.send("FROB", &path, &[], b"").await;
        refused.fails(405, "method_not_allowed");
        let allow = allowed(&refused);
        assert_eq!(allow.contains("GET"), allow.contains("HEAD"), "{path}: HEAD works wherever GET does");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let answer = app.send(method, &path, &[], b"").await;
            if allow.contains(method) {
                assert_ne!(answer.status, 405, "{method} {path}");
            } else {
                answer.problem();
                assert_eq!((answer.status, allowed(&answer)), (405, allow.clone()), "{method} {path}");
            }
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unknown_path_is_not_found_whatever_the_method() {
    let app = TestApp::start().await;
    for path in [
        "/",
        "//",
        "/users/1/2/3",
        "/api",
        "/api/v1",
        "/api/v2/users",
        "/users/",
        "/urls/1/nothing",
        "/favicon.ico",
        "/%00",
        "/%ff",
        "/a%2fb",
        "/..%2f..%2fetc",
        "/é",
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE", "FROB"] {
            let answer = app.send(method, path, &[], b"").await;
            assert!([404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
            answer.problem();
        }
    }
    app.get("/no/such/path").await.fails(404, "unknown_path");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_by_its_name() {
    let app = TestApp::start_with(|config| {
        config.http.body_bytes_max = 2048;
        config.http.uri_bytes_max = 512;
        config.http.header_bytes_max = 8192;
    })
    .await;
    let long = "x".repeat(600);
    for path in [format!("/{long}"), format!("/users/{long}"), format!("/users?page={long}"), format!("/no/such/{long}")] {
        app.get(&path).await.fails(414, "uri_too_long");
    }
    let body = format!(r#"{{"username":"{}"}}"#, "x".repeat(3000));
    app.send("POST", "/users", &[], body.as_bytes()).await.fails(413, "body_too_large");
    let chunked = format!(
        "POST /users HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    Answer::parse(&app.raw(chunked.as_bytes()).await, "POST", "/users").fails(413, "body_too_large");
    let announced = b"POST /users HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n{";
    Answer::parse(&app.raw(announced).await, "POST", "/users").fails(413, "body_too_large");
    for endless in [u64::MAX, u64::MAX - 1] {
        let announced = format!("POST /users HTTP/1.1\r\nhost: a\r\nContent-Length: {endless}\r\n\r\n{{");
        Answer::parse(&app.raw(announced.as_bytes()).await, "?", "/").fails(413, "body_too_large");
    }
    let header = "y".repeat(20_000);
    let fields = "x: y\r\n".repeat(101);
    for head in [format!("x-long: {header}\r\n"), fields] {
        let answer = Answer::parse(&app.raw(format!("GET / HTTP/1.1\r\n{head}\r\n").as_bytes()).await, "?", "/");
        let detail = answer.fails(431, "header_too_large")["detail"].clone();
        assert!(detail.as_str().unwrap().contains("more than 100 fields"), "{detail}");
    }
    for (path, kind) in [("/users", "application/json"), ("/users/bulk", "text/csv")] {
        let packed = [("content-type", kind), ("content-encoding", "gzip")];
        app.send("POST", path, &packed, b"{}").await.fails(415, "unsupported_media_type");
    }
    app.get("/users").await.is(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_whole_large_body_first_still_gets_the_refusal() {
    let app = TestApp::start().await;
    // More than both kernels' buffers hold: a server that closes without reading on answers with a reset.
    let body = vec![b'x'; 24 << 20];
    app.send("POST", "/users", &[], &body).await.fails(413, "body_too_large");
    app.send("POST", "/users", &[("content-type", "text/plain")], &body).await.fails(415, "unsupported_media_type");
    app.send("POST", "/no/such/path", &[], &body).await.fails(404, "unknown_path");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_a_bad_request() {
    let app = TestApp::start().await;
    for bytes in [
        "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "G@T{} / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ] {
        let answer = Answer::parse(&app.raw(bytes.as_bytes()).await, "?", "/");
        assert!([400, 405].contains(&answer.status), "{bytes:?}: {}", answer.status);
        answer.problem();
    }
    app.get("/users").await.is(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_told_apart_from_a_slow_server() {
    let app = TestApp::start_with(|config| config.http.request_timeout = Duration::from_millis(400)).await;
    for path in ["/users", "/urls", "/urls/bulk", "/shorten", "/events", "/users/bulk"] {
        let stalled = format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{{");
        Answer::parse(&app.raw(stalled.as_bytes()).await, "POST", path).fails(408, "body_timeout");
    }
    app.stop().await;
}
