//! Failures that are ours: the database away, full, swamped, hanging; a handler that panics.

use std::{sync::Arc, time::Duration};

use knurl_store::faulty::Fault;
use serde_json::json;
use tokio::task::JoinSet;

use crate::test_app::{Answer, TestApp};

const USER: &str = r#"{"username":"bob","email":"bob@example.org"}"#;
const LINK: &str = r#"{"user_id":1,"original_url":"https://example.org"}"#;
const CSV: &str = "id,username,email,created_at\n7,ada,ada@example.org,2026-01-02 03:04:05\n";

/// One request for every route that asks the store.
const REQUESTS: [(&str, &str, &str); 23] = [
    ("GET", "/users", ""),
    ("GET", "/users/1", ""),
    ("POST", "/users", USER),
    ("PUT", "/users/1", USER),
    ("DELETE", "/users/1", ""),
    ("POST", "/users/bulk", CSV),
    ("GET", "/users/1/urls", ""),
    ("GET", "/urls", ""),
    ("GET", "/urls/1", ""),
    ("POST", "/urls", LINK),
    ("PUT", "/urls/1", r#"{"title":"x"}"#),
    ("DELETE", "/urls/1", ""),
    ("POST", "/urls/bulk", r#"[{"user_id":1,"original_url":"https://example.org"}]"#),
    ("GET", "/urls/1/stats", ""),
    ("GET", "/urls/1/events", ""),
    ("POST", "/shorten", r#"{"url":"https://example.org"}"#),
    ("GET", "/events", ""),
    ("GET", "/events/1", ""),
    ("POST", "/events", r#"{"url_id":1,"event_type":"x"}"#),
    ("GET", "/stats", ""),
    ("GET", "/urls/nosuch1/redirect", ""),
    ("GET", "/nosuch2", ""),
    ("GET", "/api/v1/urls", ""),
];

async fn ask(app: &TestApp, (method, path, body): (&str, &str, &str)) -> Answer {
    let kind = if path == "/users/bulk" { "text/csv" } else { "application/json" };
    app.send(method, path, &[("content-type", kind)], body.as_bytes()).await
}

/// A server with a user 1 and a link 1.
async fn furnished() -> TestApp {
    let app = TestApp::start_with(|config| {
        config.http.request_timeout = Duration::from_secs(2);
        config.clicks.barrier_timeout = Duration::from_millis(100);
    })
    .await;
    let user = app.user("ada").await;
    app.link(user, "https://example.org").await;
    app
}

/// What does not ask the store goes on; after healing everything does.
async fn goes_on(app: &TestApp) {
    assert_eq!(app.get("/health").await.text(), r#"{"status":"ok"}"#);
    assert_eq!(app.get("/metrics").await.status, 200);
    app.post("/users", json!({"username": 1})).await.fails(400, "invalid_field");
    app.get("/no/such/path").await.fails(404, "unknown_path");
    app.store.heal();
    app.post("/shorten", json!({"url": "https://example.org"})).await.is(201);
}

async fn every_request_fails(fault: Fault, status: u16, code: &str) {
    let app = furnished().await;
    app.store.fail(fault);
    for request in REQUESTS {
        ask(&app, request).await.fails(status, code);
    }
    goes_on(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_database_is_503() {
    every_request_fails(Fault::Unavailable, 503, "unavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_writes_is_503() {
    every_request_fails(Fault::Overloaded, 503, "overloaded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_507() {
    every_request_fails(Fault::Full, 507, "disk_full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_500_and_ends_nothing_else() {
    every_request_fails(Fault::Panic, 500, "internal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_database_is_503_at_the_deadline() {
    let app = Arc::new(furnished().await);
    app.store.fail(Fault::Hang);
    let mut waiting = JoinSet::new();
    for request in REQUESTS {
        // A file has longer than a request, and redirects have a deadline of their own.
        if ["/users/bulk", "/nosuch2", "/urls/nosuch1/redirect"].contains(&request.1) {
            continue;
        }
        let app = Arc::clone(&app);
        // A change goes on, and may be made yet.
        let code = if request.0 == "GET" { "deadline" } else { "outcome_unknown" };
        waiting.spawn(async move { ask(&app, request).await.fails(503, code) });
    }
    while let Some(failed) = waiting.join_next().await {
        failed.unwrap();
    }
    goes_on(&app).await;
    Arc::into_inner(app).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_caller_left_is_forgotten_by_the_redirect_all_the_same() {
    let app = furnished().await;
    let link = app.get("/urls/1").await.is(200);
    assert_eq!(app.click(&link).await.status, 302);
    app.store.fail_method("update_link", Fault::Hang);
    let body = json!({"original_url": "https://elsewhere.example/"});
    app.put("/urls/1", body).await.fails(503, "outcome_unknown");
    app.store.heal();
    // The change goes through now; its caller has had its 503 long ago.
    while app.get("/urls/1").await.is(200)["original_url"] == "https://example.org/" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while app.click(&link).await.header("location") == Some("https://example.org/") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(app.click(&link).await.header("location"), Some("https://elsewhere.example/"));
    app.stop().await;
}

/// Without end: what is not forgotten by a create stays.
async fn remembering_for_ever() -> TestApp {
    let app = TestApp::start_with(|config| {
        config.http.request_timeout = Duration::from_secs(2);
        config.cache.negative_ttl = Duration::from_secs(100_000);
    })
    .await;
    app.user("ada").await;
    app
}

async fn redirects_in_the_end(app: &TestApp, code: &str) {
    while app.get(&format!("/urls?short_code={code}")).await.is(200) == json!([]) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while app.get(&format!("/{code}")).await.status != 302 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_met_its_deadline_says_so_and_redirects_once_it_is_done() {
    let app = remembering_for_ever().await;
    let requests = [
        ("create_link", "/urls", r#"{"user_id":1,"original_url":"https://example.org","short_code":"late0"}"#),
        ("create_link", "/shorten", r#"{"url":"https://example.org","short_code":"late1"}"#),
        ("create_once", "/shorten", r#"{"url":"https://example.org","short_code":"late2"}"#),
        ("create_links", "/urls/bulk", r#"[{"user_id":1,"original_url":"https://example.org","short_code":"late3"}]"#),
    ];
    for (n, (method, path, body)) in requests.into_iter().enumerate() {
        let code = format!("late{n}");
        assert_eq!(app.get(&format!("/{code}")).await.status, 404, "and remembered");
        app.store.fail_method(method, Fault::Hang);
        let key = [("idempotency-key", "late")];
        let headers = if method == "create_once" { &key[..] } else { &[] };
        app.send("POST", path, headers, body.as_bytes()).await.fails(503, "outcome_unknown");
        app.store.heal();
        redirects_in_the_end(&app, &code).await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_caller_left_is_found_by_the_redirect_all_the_same() {
    let app = remembering_for_ever().await;
    assert_eq!(app.get("/left0").await.status, 404, "and remembered");
    app.store.fail_method("create_link", Fault::Hang);
    let body = r#"{"url":"https://example.org","short_code":"left0"}"#;
    let mut stream = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    let request = format!("POST /shorten HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}", app.addr, body.len());
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    while app.store.held() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    // Until the server has seen it, or a little longer than that takes.
    tokio::time::sleep(Duration::from_millis(200)).await;
    app.store.heal();
    redirects_in_the_end(&app, "left0").await;
    app.stop().await;
}

/// It is pinged every few seconds.
async fn readiness_becomes(app: &TestApp, status: u16) -> Answer {
    loop {
        let answer = app.get("/readyz").await;
        if answer.status == status && answer.text() != READY {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const READY: &str = r#"{"status":"ok","checks":{"database":"up","memory":"warm","replica":"off","spool":"ok"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_can_redirect_stays_ready_while_its_database_is_away() {
    let app = furnished().await;
    let link = app.get("/urls/1").await.is(200);
    app.click(&link).await;
    assert_eq!(app.get("/readyz").await.text(), READY);
    app.store.fail(Fault::Unavailable);
    let degraded = readiness_becomes(&app, 200).await;
    assert_eq!(
        degraded.text(),
        r#"{"status":"degraded","checks":{"database":"down","memory":"warm","replica":"off","spool":"ok"}}"#
    );
    assert_eq!(app.click(&link).await.status, 302);
    for path in ["/health", "/livez", "/startupz"] {
        assert_eq!(app.get(path).await.text(), r#"{"status":"ok"}"#, "{path}");
    }
    app.store.heal();
    while app.get("/readyz").await.text() != READY {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_can_redirect_nothing_is_not_ready() {
    let app = furnished().await;
    assert_eq!(app.get("/readyz").await.json()["checks"]["memory"], "empty");
    app.store.fail(Fault::Hang);
    let problem = readiness_becomes(&app, 503).await.fails(503, "not_ready");
    assert_eq!(problem["detail"], "The database is away and this node holds no link: nothing can be redirected.");
    assert_eq!(app.get("/livez").await.status, 200, "it answers, and a restart would not bring the database back");
    app.stop().await;
}
