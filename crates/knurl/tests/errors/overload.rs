//! More to do than can be done: who gives way to whom.

use std::{sync::Arc, time::Duration};

use knurl::http::admission::Class;
use knurl_store::faulty::Fault;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use crate::test_app::TestApp;

/// Few places, and no patience.
async fn narrow() -> TestApp {
    TestApp::start_with(|config| {
        config.http.request_timeout = Duration::from_secs(20);
        config.admission.target = Duration::from_millis(20);
        config.admission.interval = Duration::from_millis(50);
        config.admission.creates_max = 2;
        config.admission.reads_max = 2;
        config.admission.exports_max = 1;
    })
    .await
}

fn shed(app: &TestApp, class: &str) -> u64 {
    let text = app.state.metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("knurl_admission_shed_total{{class=\"{class}\"}} ")));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_held_reads_and_exports_are_refused_creates_pass_and_redirects_never_notice() {
    let app = Arc::new(narrow().await);
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    assert_eq!(app.click(&link).await.status, 302);
    app.store.fail_method("link", Fault::Hang);
    app.store.fail_method("list_links", Fault::Hang);

    let mut held = JoinSet::new();
    for n in 0..60 {
        let app = Arc::clone(&app);
        let path = if n % 2 == 0 { "/urls/1" } else { "/urls" };
        held.spawn(async move { app.get(path).await });
    }
    // All but those that have a place are told: 30 reads of which 2 have one, 30 lists of which 1 has.
    while shed(&app, "read") < 28 || shed(&app, "export") < 29 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for path in ["/urls/1", "/urls", "/users/1", "/events"] {
        app.get(path).await.fails(503, "overloaded");
    }
    for n in 0..20 {
        app.post("/shorten", json!({"url": format!("https://example.org/{n}")})).await.is(201);
        assert_eq!(app.click(&link).await.status, 302);
        app.get("/nosuch1").await.fails(404, "link_not_found");
    }
    for path in ["/health", "/livez", "/readyz", "/metrics"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    assert_eq!((shed(&app, "create"), shed(&app, "redirect")), (0, 0));

    app.store.heal();
    let mut answered = 0;
    while let Some(answer) = held.join_next().await {
        let answer = answer.unwrap();
        if answer.status != 200 {
            answer.fails(503, "overloaded");
        } else {
            answered += 1;
        }
    }
    assert_eq!(answered, 3, "who had a place was served");
    while app.get("/urls").await.status == 503 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.get("/urls/1").await.is(200);
    Arc::into_inner(app).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_takes_nobodys_place() {
    let app = narrow().await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(app.addr).await.unwrap();
        stream.write_all(b"POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
        slow.push(stream);
    }
    while app.state.metrics.connections.open.get() < 10 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for n in 0..10 {
        app.post("/shorten", json!({"url": format!("https://example.org/{n}")})).await.is(201);
    }
    assert_eq!(shed(&app, "create"), 0);
    drop(slow);
    app.stop().await;
}

/// The places of lists are not those of uploads.
#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_slowly_takes_nobodys_list() {
    let app = narrow().await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(app.addr).await.unwrap();
        let head = b"POST /users/bulk HTTP/1.1\r\nhost: t\r\ncontent-type: text/csv\r\ncontent-length: 100000\r\n\r\nid";
        stream.write_all(head).await.unwrap();
        slow.push(stream);
    }
    let at_work = || {
        app.state.admission.measure();
        app.state.metrics.admission.in_flight[Class::Upload as usize].get()
    };
    while at_work() < 16 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for path in ["/users", "/urls", "/events"] {
        app.get(path).await.is(200);
    }
    let body = b"id,username,email,created_at\n7,ada,ada@example.org,2026-01-02 03:04:05\n";
    app.send("POST", "/users/bulk", &[("content-type", "text/csv")], body).await.fails(503, "overloaded");
    assert_eq!((shed(&app, "export"), shed(&app, "upload")), (0, 1));
    drop(slow);
    app.stop().await;
}
