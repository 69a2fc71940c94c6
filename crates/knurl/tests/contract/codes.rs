//! Short codes: asked for, or drawn.

use std::collections::BTreeSet;

use knurl_core::short_code::CodeShape;
use serde_json::json;

use crate::test_app::Backend;

pub(crate) async fn a_code_asked_for_is_given_once(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let ask = |field: &str, code: &str| json!({"user_id": user, "original_url": "https://example.org", field: code});
    for (field, code) in [("custom_code", "Mine-1_x"), ("short_code", "mine-1_x")] {
        let link = app.post("/urls", ask(field, code)).await.is(201);
        assert_eq!(link["short_code"], code, "case matters");
        for again in ["custom_code", "short_code"] {
            app.post("/urls", ask(again, code)).await.fails_for(409, "short_code_taken", again);
            app.post("/shorten", ask(again, code)).await.fails_for(409, "short_code_taken", again);
        }
        app.delete(&format!("/urls/{}", link["id"])).await.is(204);
        app.post("/urls", ask(field, code)).await.fails_for(409, "short_code_taken", field);
    }
    let both = json!({"user_id": user, "original_url": "https://example.org", "short_code": "same", "custom_code": "same"});
    assert_eq!(app.post("/urls", both).await.is(201)["short_code"], "same");
    let differ = json!({"user_id": user, "original_url": "https://example.org", "short_code": "one", "custom_code": "two"});
    app.post("/urls", differ).await.fails_for(400, "invalid_field", "custom_code");
    app.stop().await;
}

pub(crate) async fn an_impossible_code_is_refused_with_its_field(on: Backend) {
    let app = on.app().await;
    let long = "a".repeat(65);
    for code in ["", "a b", "a/b", "é", "a.b", "users", "health", "api", "metrics", &long] {
        let body = json!({"url": "https://example.org", "custom_code": code});
        app.post("/shorten", body).await.fails_for(400, "invalid_field", "custom_code");
    }
    for wrong in [json!(1), json!(true), json!([])] {
        app.post("/shorten", json!({"url": "https://example.org", "short_code": wrong})).await.fails_for(
            400,
            "invalid_field",
            "short_code",
        );
    }
    let drawn = app.post("/shorten", json!({"url": "https://example.org", "custom_code": null})).await.is(201);
    assert_eq!(drawn["short_code"].as_str().unwrap().len(), 7, "null asks for nothing");
    app.stop().await;
}

pub(crate) async fn a_visitor_who_was_early_sees_the_link_once_it_is_there(on: Backend) {
    let app = on.app().await;
    app.get("/early").await.fails(404, "link_not_found");
    app.post("/shorten", json!({"url": "https://example.org", "custom_code": "early"})).await.is(201);
    assert_eq!(app.get("/early").await.status, 302, "\"no such code\" was forgotten");
    app.stop().await;
}

pub(crate) async fn a_full_code_space_still_creates(on: Backend) {
    let app = on.app_with(|config| config.links.code_shape = CodeShape::new("xy", 2).unwrap()).await;
    let user = app.user("ada").await;
    let mut codes = BTreeSet::new();
    for _ in 0..40 {
        let link = app.post("/shorten", json!({"url": "https://example.org"})).await.is(201);
        codes.insert(link["short_code"].as_str().unwrap().to_owned());
    }
    let bulk: Vec<_> = (0..40).map(|_| json!({"user_id": user, "original_url": "https://example.org"})).collect();
    assert_eq!(app.post("/urls/bulk", json!(bulk)).await.is(201)["count"], 40);
    assert_eq!(codes.len(), 40, "all different");
    assert!(codes.iter().any(|code| code.len() == 2) && codes.iter().any(|code| code.len() > 2));
    assert!(codes.iter().all(|code| code.bytes().all(|b| b == b'x' || b == b'y')));
    app.stop().await;
}
