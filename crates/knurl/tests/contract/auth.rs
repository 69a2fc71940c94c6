//! Keys: who needs one, and how it stops.

use knurl::config::Auth;
use knurl::http::api::auth;
use knurl_core::UnixMillis;
use knurl_store::Store;
use serde_json::json;

use crate::test_app::{Backend, KEY, TestApp};

async fn closed(on: Backend) -> TestApp {
    on.app_with(|config| config.auth = Auth::Required).await
}

pub(crate) async fn the_api_needs_a_key_and_visitors_do_not(on: Backend) {
    let app = closed(on).await;
    let bearer = format!("Bearer {KEY}");
    let admitted = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let link = app.send("POST", "/shorten", &admitted, json!({"url": "https://example.org"}).to_string().as_bytes()).await.is(201);
    let code = link["short_code"].as_str().unwrap();
    for path in [format!("/{code}"), format!("/urls/{code}/redirect"), format!("/api/v1/urls/{code}/redirect")] {
        assert_eq!(app.get(&path).await.status, 302, "{path}");
    }
    app.get("/health").await.is(200);
    app.get("/no/such/path").await.fails(404, "unknown_path");
    app.get("/nosuch1").await.fails(404, "link_not_found");

    let keyed = [
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/urls"),
        ("GET", "/urls/1"),
        ("DELETE", "/urls/1"),
        ("POST", "/shorten"),
        ("GET", "/events"),
        ("GET", "/stats"),
        ("POST", "/urls/bulk"),
        ("POST", "/users/bulk"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/urls"),
    ];
    for (method, path) in keyed {
        for wrong in [None, Some("Bearer"), Some("Bearer wrong"), Some("Basic YTpi"), Some(KEY)] {
            let headers: Vec<_> = wrong.map(|value| ("authorization", value)).into_iter().collect();
            app.send(method, path, &headers, b"{}").await.fails(401, "unauthorized");
        }
        assert_ne!(app.send(method, path, &admitted, b"{}").await.status, 401, "{method} {path}");
    }
    assert_eq!(app.send("GET", "/users", &[("authorization", &format!("bearer {KEY}"))], b"").await.status, 200);
    app.stop().await;
}

pub(crate) async fn a_revoked_key_stops_and_a_new_one_starts(on: Backend) {
    let app = closed(on).await;
    let ask = async |key: &str| app.send("GET", "/users", &[("authorization", &format!("Bearer {key}"))], b"").await.status;
    assert_eq!((ask(KEY).await, ask("second").await), (200, 401));
    let second = app.store.create_key("second", auth::hash(b"second"), UnixMillis(1)).await.unwrap();
    app.state.keys.refresh(&*app.state.store).await.unwrap();
    assert_eq!((ask(KEY).await, ask("second").await), (200, 200));
    app.store.revoke_key(second.id, UnixMillis(2)).await.unwrap();
    app.state.keys.refresh(&*app.state.store).await.unwrap();
    assert_eq!((ask(KEY).await, ask("second").await), (200, 401));
    app.stop().await;
}
