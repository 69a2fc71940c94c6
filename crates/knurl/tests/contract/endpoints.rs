//! Every row of the contract's table of endpoints, at the root and under `/api/v1`.

use serde_json::json;

use crate::test_app::Backend;

/// The root and the address we promise not to break.
const ROOTS: [&str; 2] = ["", "/api/v1"];

fn keys(text: &str) -> Vec<String> {
    // Order matters here, and a parsed map has none.
    let mut keys = Vec::new();
    for (at, _) in text.match_indices("\":") {
        let start = text[..at].rfind('"').unwrap() + 1;
        keys.push(text[start..at].to_owned());
    }
    keys
}

pub(crate) async fn health_is_exactly_ok(on: Backend) {
    let app = on.app().await;
    for root in ROOTS {
        let health = app.get(&format!("{root}/health")).await;
        assert_eq!((health.status, health.text()), (200, r#"{"status":"ok"}"#));
        assert_eq!(health.header("content-type"), Some("application/json"));
    }
    app.stop().await;
}

pub(crate) async fn users_are_created_shown_changed_and_deleted(on: Backend) {
    let app = on.app().await;
    for (round, root) in ROOTS.into_iter().enumerate() {
        let name = format!("ada{round}");
        let created = app.post(&format!("{root}/users"), json!({"username": name, "email": format!("{name}@example.org")})).await;
        let user = created.is(201);
        assert_eq!(keys(created.text()), ["id", "username", "email", "created_at"]);
        let path = format!("{root}/users/{}", user["id"]);
        assert_eq!(app.get(&path).await.is(200), user);

        let renamed = app.put(&path, json!({"username": format!("{name}-b")})).await.is(200);
        assert_eq!((&renamed["username"], &renamed["email"]), (&json!(format!("{name}-b")), &user["email"]));
        let moved = app.send("PATCH", &path, &[], format!(r#"{{"email":"new{round}@example.org"}}"#).as_bytes()).await.is(200);
        assert_eq!(moved["email"], format!("new{round}@example.org"));
        assert_eq!(app.get(&path).await.is(200), moved);

        let gone = app.delete(&path).await;
        assert_eq!((gone.status, gone.body.len()), (204, 0));
        app.get(&path).await.fails(404, "user_not_found");
        app.delete(&path).await.fails(404, "user_not_found");
        app.put(&path, json!({"username": "x"})).await.fails(404, "user_not_found");
    }
    app.stop().await;
}

pub(crate) async fn links_are_created_shown_changed_and_deleted(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    for root in ROOTS {
        let body = json!({"user_id": user, "original_url": "https://example.org/a?b=c", "title": "A page"});
        let created = app.post(&format!("{root}/urls"), body).await;
        let link = created.is(201);
        let contract = ["id", "user_id", "short_code", "original_url", "title", "is_active", "created_at", "updated_at"];
        let extensions = ["short_url", "click_count", "redirect_status", "expires_at"];
        assert_eq!(keys(created.text()), [&contract[..], &extensions[..]].concat());
        assert_eq!(link["user_id"], user);
        assert_eq!(link["original_url"], "https://example.org/a?b=c");
        assert_eq!(link["title"], "A page");
        assert_eq!(link["is_active"], true);
        assert_eq!(link["created_at"], link["updated_at"]);
        let code = link["short_code"].as_str().unwrap();
        assert_eq!(code.len(), 7);
        assert_eq!(link["short_url"], format!("http://{}/{code}", app.addr));
        let path = format!("{root}/urls/{}", link["id"]);
        assert_eq!(app.get(&path).await.is(200), link);

        let changed = app.put(&path, json!({"title": null, "original_url": "http://example.net/"})).await.is(200);
        assert_eq!((&changed["title"], &changed["original_url"]), (&json!(null), &json!("http://example.net/")));
        let changed = app.send("PATCH", &path, &[], br#"{"is_active":false}"#).await.is(200);
        assert_eq!(changed["is_active"], false);
        assert_eq!(app.get(&path).await.is(200), changed);

        let gone = app.delete(&path).await;
        assert_eq!((gone.status, gone.body.len()), (204, 0));
        app.get(&path).await.fails(404, "link_not_found");
        app.delete(&path).await.fails(404, "link_not_found");
        app.put(&path, json!({"title": "x"})).await.fails(404, "link_not_found");
    }
    app.stop().await;
}

pub(crate) async fn a_redirect_leads_to_the_target_by_all_its_addresses(on: Backend) {
    let app = on.app().await;
    let link = app.post("/shorten", json!({"url": "https://example.org/far"})).await.is(201);
    let code = link["short_code"].as_str().unwrap();
    for path in
        [format!("/{code}"), format!("/urls/{code}/redirect"), format!("/api/v1/{code}"), format!("/api/v1/urls/{code}/redirect")]
    {
        for method in ["GET", "HEAD"] {
            let answer = app.send(method, &path, &[], b"").await;
            assert_eq!((answer.status, answer.header("location")), (302, Some("https://example.org/far")), "{method} {path}");
            assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        }
    }
    for path in ["/nosuch1", "/urls/nosuch1/redirect", "/api/v1/nosuch1"] {
        app.get(path).await.fails(404, "link_not_found");
        app.head(path).await.problem();
    }
    app.stop().await;
}

pub(crate) async fn shorten_needs_no_user_and_takes_either_name_of_the_target(on: Backend) {
    let app = on.app().await;
    for (body, code) in [
        (json!({"url": "https://example.org/1"}), None),
        (json!({"original_url": "https://example.org/1"}), None),
        (json!({"url": "https://example.org/1", "custom_code": "my-code"}), Some("my-code")),
    ] {
        let link = app.post("/shorten", body).await.is(201);
        assert_eq!(link["user_id"], json!(null));
        assert_eq!(link["original_url"], "https://example.org/1");
        assert!(code.is_none_or(|code| link["short_code"] == code));
    }
    app.post("/shorten", json!({})).await.fails_for(400, "invalid_field", "url");
    app.post("/shorten", json!({"url": 7})).await.fails_for(400, "invalid_field", "url");
    app.post("/shorten", json!({"url": "ftp://example.org"})).await.fails_for(400, "invalid_field", "url");
    let both = |other: serde_json::Value| json!({"url": "https://example.org/", "original_url": other});
    for wrong in [json!(5), json!(null), json!("nonsense"), json!("https://example.com/")] {
        app.post("/shorten", both(wrong)).await.fails_for(400, "invalid_field", "original_url");
    }
    app.post("/shorten", json!({"url": 5, "original_url": "https://example.org/"})).await.fails_for(400, "invalid_field", "url");
    app.post("/shorten", both(json!("HTTPS://EXAMPLE.org"))).await.is(201);
    app.stop().await;
}

pub(crate) async fn a_link_may_say_how_and_until_when_it_redirects(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    for status in [301, 302, 307, 308] {
        let body = json!({"user_id": user, "original_url": "https://example.org", "redirect_status": status});
        let link = app.post("/urls", body).await.is(201);
        assert_eq!(link["redirect_status"], status);
        assert_eq!(app.click(&link).await.status, status);
    }
    let body = json!({"user_id": user, "original_url": "https://example.org", "expires_at": "2020-01-01 00:00:00"});
    let expired = app.post("/urls", body).await.is(201);
    assert_eq!(expired["expires_at"], "2020-01-01T00:00:00");
    app.click(&expired).await.fails(410, "link_expired");
    let path = format!("/api/v1/urls/{}", expired["id"]);
    let later = app.put(&path, json!({"expires_at": "2999-12-31T00:00:00+01:00"})).await.is(200);
    assert_eq!(later["expires_at"], "2999-12-30T23:00:00Z");
    assert_eq!(app.click(&expired).await.status, 302, "a change is seen at once");
    let never = app.put(&path, json!({"expires_at": null, "redirect_status": 308})).await.is(200);
    assert_eq!((&never["expires_at"], &never["redirect_status"]), (&json!(null), &json!(308)));
    for wrong in [json!(303), json!("302"), json!(null), json!(302.0), json!(-1), json!(65838)] {
        app.put(&path, json!({"redirect_status": wrong})).await.fails_for(400, "invalid_field", "redirect_status");
    }
    for wrong in [json!("soon"), json!(1), json!("2020-13-01 00:00:00"), json!("")] {
        app.put(&path, json!({"expires_at": wrong})).await.fails_for(400, "invalid_field", "expires_at");
    }
    app.stop().await;
}

pub(crate) async fn times_have_no_zone_at_the_root_and_z_under_v1(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let event = app.events("event_type=created").await.remove(0);
    for (path, field) in [
        (format!("/users/{user}"), "created_at"),
        (format!("/urls/{}", link["id"]), "updated_at"),
        (format!("/events/{}", event["id"]), "timestamp"),
    ] {
        let root = app.get(&path).await.is(200)[field].as_str().unwrap().to_owned();
        let v1 = app.get(&format!("/api/v1{path}")).await.is(200)[field].as_str().unwrap().to_owned();
        assert_eq!(root.len(), "2026-04-03T12:00:00".len());
        assert_eq!(format!("{root}Z"), v1);
    }
    app.stop().await;
}

pub(crate) async fn metrics_are_prometheus_text(on: Backend) {
    let app = on.app().await;
    app.get("/users").await.is(200);
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text().contains("route=\"/users\""), "{}", metrics.text());
    assert!(metrics.text().ends_with('\n') && !metrics.text().contains("# EOF"), "that is OpenMetrics'");
    app.stop().await;
}

pub(crate) async fn what_no_number_names_is_not_found(on: Backend) {
    let app = on.app().await;
    for id in ["0", "-1", "abc", "1.5", "99999999999999999999", "%31%00", "+1", "1%20"] {
        app.get(&format!("/users/{id}")).await.fails(404, "user_not_found");
        app.get(&format!("/urls/{id}")).await.fails(404, "link_not_found");
        app.get(&format!("/urls/{id}/stats")).await.fails(404, "link_not_found");
        app.get(&format!("/urls/{id}/events")).await.fails(404, "link_not_found");
        app.get(&format!("/users/{id}/urls")).await.fails(404, "user_not_found");
        app.get(&format!("/events/{id}")).await.fails(404, "event_not_found");
    }
    app.stop().await;
}

pub(crate) async fn a_clients_request_id_comes_back(on: Backend) {
    let app = on.app().await;
    for path in ["/users", "/nothing/here", "/users/77"] {
        let answer = app.send("GET", path, &[("x-request-id", "trace-77.a_b")], b"").await;
        assert_eq!(answer.header("x-request-id"), Some("trace-77.a_b"), "{path}");
        let answer = app.send("GET", path, &[("x-request-id", "not <one>")], b"").await;
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{path}");
    }
    app.stop().await;
}
