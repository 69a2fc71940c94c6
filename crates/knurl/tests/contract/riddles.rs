//! The six riddles of the contract.

use serde_json::{Value, json};

use crate::test_app::Backend;

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event_type"].as_str().unwrap()).collect()
}

pub(crate) async fn twins_get_different_codes_unless_the_existing_one_is_asked_for(on: Backend) {
    let app = on.app().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let first = app.link(ada, "https://example.org/twin").await;
    let second = app.link(ada, "https://example.org/twin").await;
    assert_ne!(first["short_code"], second["short_code"]);
    assert_ne!(first["id"], second["id"]);

    app.link(ada, "https://example.org/twin/longer").await;
    let asked = json!({"user_id": ada, "original_url": "https://example.org/twin", "find_if_exists": true});
    let found = app.post("/urls", asked.clone()).await.is(200);
    assert_eq!(found["id"], first["id"], "the oldest");
    let body = json!({"user_id": bob, "original_url": "https://example.org/twin", "find_if_exists": true});
    app.post("/urls", body).await.is(201);
    let body = json!({"url": "https://example.org/twin", "find_if_exists": true});
    let unowned = app.post("/shorten", body.clone()).await.is(201);
    assert_eq!(app.post("/shorten", body).await.is(200)["id"], unowned["id"]);

    app.put(&format!("/urls/{}", first["id"]), json!({"is_active": false})).await.is(200);
    assert_eq!(app.post("/urls", asked.clone()).await.is(200)["id"], second["id"], "an inactive one is not offered");
    app.delete(&format!("/urls/{}", second["id"])).await.is(204);
    app.post("/urls", asked).await.is(201);
    app.stop().await;
}

pub(crate) async fn every_create_update_click_and_delete_leaves_its_event(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org/1").await;
    let path = format!("/urls/{}", link["id"]);
    app.put(&path, json!({"title": "T", "is_active": true, "original_url": "https://example.org/2"})).await.is(200);
    app.click(&link).await;
    app.send("HEAD", &format!("/{}", link["short_code"].as_str().unwrap()), &[], b"").await;
    for (reason, said) in [
        ("%ff%00".to_owned(), "reason holds characters that are not text."),
        ("x".repeat(257), "reason has at most 256 characters."),
    ] {
        let refused = app.delete(&format!("{path}?reason={reason}")).await.fails_for(400, "invalid_parameter", "reason");
        assert_eq!(refused["error"], said);
    }
    app.delete(&format!("{path}?reason=spam")).await.is(204);

    let events = app.events(&format!("url_id={}", link["id"])).await;
    let mut kinds = types(&events);
    kinds.sort_unstable();
    assert_eq!(kinds, ["click", "created", "deleted", "updated", "updated"], "is_active did not change; HEAD is no click");
    let of = |kind: &str| events.iter().find(|event| event["event_type"] == kind).unwrap();
    let code = &link["short_code"];
    assert_eq!(of("created")["details"], json!({"short_code": code, "original_url": "https://example.org/1"}));
    assert_eq!(of("deleted")["details"], json!({"reason": "spam"}));
    let click = of("click");
    assert_eq!(click["user_id"], user, "of the link's owner");
    assert_eq!(click["details"]["short_code"], *code);
    assert_eq!(click["details"]["original_url"], "https://example.org/2");
    let updated: Vec<_> = events.iter().filter(|e| e["event_type"] == "updated").map(|e| &e["details"]).collect();
    assert!(updated.contains(&&json!({"field": "title", "new_value": "T"})), "{updated:?}");
    assert!(updated.contains(&&json!({"field": "original_url", "new_value": "https://example.org/2"})), "{updated:?}");
    app.stop().await;
}

pub(crate) async fn a_click_is_counted_before_the_next_read(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org/1").await;
    for clicks in 1..=5 {
        assert_eq!(app.click(&link).await.status, 302);
        let shown = app.get(&format!("/urls/{}", link["id"])).await;
        assert_eq!(shown.is(200)["click_count"], clicks);
        assert_eq!(shown.header("x-knurl-clicks"), None);
        assert_eq!(app.events(&format!("event_type=click&url_id={}", link["id"])).await.len(), clicks);
    }
    app.stop().await;
}

pub(crate) async fn a_stranger_without_a_proper_name_and_address_is_refused(on: Backend) {
    let app = on.app().await;
    let good = json!({"username": "ada", "email": "ada@example.org"});
    for field in ["username", "email"] {
        for wrong in [json!(1), json!(null), json!(""), json!("   "), json!(true), json!([]), json!({}), json!("x".repeat(300))] {
            let mut body = good.clone();
            body[field] = wrong;
            app.post("/users", body).await.fails_for(400, "invalid_field", field);
        }
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        app.post("/users", body).await.fails_for(400, "invalid_field", field);
    }
    for email in ["ada", "ada@", "@example.org", "a b@example.org", "ada@exa mple.org"] {
        app.post("/users", json!({"username": "ada", "email": email})).await.fails_for(400, "invalid_field", "email");
    }
    let both = app.post("/users", json!({})).await.fails_for(400, "invalid_field", "username");
    assert_eq!(both["errors"].as_array().unwrap().len(), 2, "every wrong field is named");

    let user = app.post("/users", good).await.is(201);
    let taken = app.post("/users", json!({"username": "ADA", "email": "other@example.org"})).await;
    taken.fails_for(409, "username_taken", "username");
    let taken = app.post("/users", json!({"username": "other", "email": "Ada@Example.org"})).await;
    taken.fails_for(409, "email_taken", "email");
    let bob = app.user("bob").await;
    app.put(&format!("/users/{bob}"), json!({"username": "Ada"})).await.fails_for(409, "username_taken", "username");
    app.put(&format!("/users/{}", user["id"]), json!({"username": "Ada"})).await.is(200);
    app.stop().await;
}

pub(crate) async fn a_sleeping_link_is_hidden_from_visitors_and_leaves_no_click(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org/1").await;
    let path = format!("/urls/{}", link["id"]);
    assert_eq!(app.click(&link).await.status, 302);
    app.put(&path, json!({"is_active": false})).await.is(200);
    app.click(&link).await.fails(404, "link_not_found");
    assert_eq!(app.get(&path).await.is(200)["is_active"], false, "its object stays readable");
    assert_eq!(app.events("event_type=click").await.len(), 1);
    app.put(&path, json!({"is_active": true})).await.is(200);
    assert_eq!(app.click(&link).await.status, 302);

    app.delete(&path).await.is(204);
    app.click(&link).await.fails(404, "link_not_found");
    for below in ["", "/stats", "/events"] {
        app.get(&format!("{path}{below}")).await.fails(404, "link_not_found");
    }
    let events = app.events(&format!("url_id={}", link["id"])).await;
    assert_eq!(types(&events).iter().filter(|kind| **kind == "click").count(), 2, "its events stay");
    app.post("/events", json!({"url_id": link["id"], "event_type": "note"})).await.fails(404, "link_not_found");
    app.stop().await;
}

pub(crate) async fn a_deleted_users_links_go_with_the_user(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org/1").await;
    assert_eq!(app.click(&link).await.status, 302);
    app.delete(&format!("/users/{user}")).await.is(204);
    app.click(&link).await.fails(404, "link_not_found");
    app.get(&format!("/urls/{}", link["id"])).await.fails(404, "link_not_found");
    assert!(app.get(&format!("/urls?user_id={user}")).await.ids().is_empty());
    let events = app.events(&format!("url_id={}", link["id"])).await;
    let mut kinds = types(&events);
    kinds.sort_unstable();
    assert_eq!(kinds, ["click", "created", "deleted"]);
    app.stop().await;
}

pub(crate) async fn types_are_checked_and_never_coerced(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let good = json!({"user_id": user, "original_url": "https://example.org"});
    let try_field = async |field: &str, wrong: Value| {
        let mut body = good.clone();
        body[field] = wrong;
        app.post("/urls", body).await.fails_for(400, "invalid_field", field);
    };
    for wrong in [json!("1"), json!(true), json!(1.0), json!(1.5), json!(null), json!([1]), json!({})] {
        try_field("user_id", wrong).await;
    }
    for wrong in [json!(1), json!(null), json!(["https://example.org"]), json!({}), json!(true), json!("")] {
        try_field("original_url", wrong).await;
    }
    for wrong in [json!(1), json!(true), json!([]), json!({}), json!("t".repeat(513))] {
        try_field("title", wrong).await;
    }
    for wrong in [json!(1), json!("true"), json!(null), json!([])] {
        try_field("is_active", wrong).await;
    }
    for target in [
        "example.org",
        "//example.org",
        "javascript:alert(1)",
        "ftp://example.org/",
        "http://",
        "https:///",
        "not a url",
        "http://exa mple.org",
    ] {
        try_field("original_url", json!(target)).await;
    }
    let own = format!("http://{}/abc", app.addr);
    try_field("original_url", json!(own)).await;
    for field in ["user_id", "original_url"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        app.post("/urls", body).await.fails_for(400, "invalid_field", field);
    }
    app.post("/urls", json!({"user_id": 987_654, "original_url": "https://example.org"})).await.fails(404, "user_not_found");
    let path = format!("/urls/{}", link["id"]);
    for body in [json!({"is_active": 1}), json!({"is_active": "false"}), json!({"is_active": null})] {
        app.put(&path, body).await.fails_for(400, "invalid_field", "is_active");
    }
    app.put(&path, json!({"original_url": null})).await.fails_for(400, "invalid_field", "original_url");
    app.put(&path, json!({"title": 5})).await.fails_for(400, "invalid_field", "title");
    assert_eq!(app.get(&path).await.is(200), link, "nothing was changed");
    app.stop().await;
}

pub(crate) async fn a_vessel_that_is_no_json_object_is_refused(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let (user_path, link_path) = (format!("/users/{user}"), format!("/urls/{}", link["id"]));
    let takers = [
        ("POST", "/users"),
        ("PUT", &*user_path),
        ("POST", "/urls"),
        ("PUT", &*link_path),
        ("PATCH", &*link_path),
        ("POST", "/shorten"),
        ("POST", "/events"),
    ];
    for (method, path) in takers {
        for (body, code) in [
            ("", "empty_body"),
            (" \n ", "empty_body"),
            ("\"text\"", "not_an_object"),
            ("[]", "not_an_object"),
            ("[{}]", "not_an_object"),
            ("17", "not_an_object"),
            ("null", "not_an_object"),
            ("true", "not_an_object"),
            ("{", "malformed_json"),
            ("{\"a\":}", "malformed_json"),
            ("{} {}", "malformed_json"),
            ("username=ada", "malformed_json"),
            ("{'a':1}", "malformed_json"),
        ] {
            let headers = [("content-type", "application/json")];
            app.send(method, path, &headers, body.as_bytes()).await.fails(400, code);
            app.send(method, path, &[], body.as_bytes()).await.fails(400, code);
        }
        app.send(method, path, &[], b"{\"a\":\"\xff\"}").await.fails(400, "malformed_json");
        for declared in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "nonsense"]
        {
            app.send(method, path, &[("content-type", declared)], b"{}").await.fails(415, "unsupported_media_type");
        }
        app.send(method, path, &[("content-encoding", "gzip")], b"{}").await.fails(415, "unsupported_media_type");
    }
    for path in [&user_path, &link_path] {
        app.put(path, json!({})).await.fails(400, "no_known_field");
        app.put(path, json!({"id": 5, "nothing": "known"})).await.fails(400, "no_known_field");
    }
    let twice = br#"{"username":"eve","username":"eva","email":"eve@example.org"}"#;
    app.send("POST", "/users", &[], twice).await.fails_for(400, "invalid_field", "username");
    app.stop().await;
}
