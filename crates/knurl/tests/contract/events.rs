//! Events that clients post.

use serde_json::{Value, json};

use crate::test_app::Backend;

pub(crate) async fn an_event_is_posted_and_shown_as_it_came(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let details = r#"{"b":1,"a":{"nested":[1,2.50,null]},"ü":"\u00fc"}"#;
    let body = format!(r#"{{"url_id":{},"user_id":{user},"event_type":"shared","details":{details}}}"#, link["id"]);
    let posted = app.send("POST", "/events", &[], body.as_bytes()).await;
    let event = posted.is(201);
    assert_eq!((&event["url_id"], &event["user_id"], &event["event_type"]), (&link["id"], &json!(user), &json!("shared")));
    assert!(posted.text().ends_with(&format!("\"details\":{details}}}")), "kept to the letter: {}", posted.text());
    assert_eq!(app.get(&format!("/events/{}", event["id"])).await.is(200), event);
    for body in [
        json!({"url_id": link["id"], "event_type": "x"}),
        json!({"url_id": link["id"], "event_type": "x", "user_id": null, "details": null}),
    ] {
        let event = app.post("/events", body).await.is(201);
        assert_eq!((&event["user_id"], &event["details"]), (&Value::Null, &Value::Null));
    }
    app.stop().await;
}

pub(crate) async fn a_posted_click_counts(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    app.post("/events", json!({"url_id": link["id"], "event_type": "click"})).await.is(201);
    assert_eq!(app.get(&format!("/urls/{}", link["id"])).await.is(200)["click_count"], 1);
    app.stop().await;
}

pub(crate) async fn a_wrong_event_is_refused_with_its_field(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let good = json!({"url_id": link["id"], "event_type": "x"});
    for (field, wrong) in [
        ("url_id", json!("1")),
        ("url_id", json!(null)),
        ("url_id", json!(1.5)),
        ("user_id", json!("1")),
        ("user_id", json!(true)),
        ("event_type", json!(1)),
        ("event_type", json!(null)),
        ("event_type", json!("")),
        ("event_type", json!("x".repeat(65))),
        ("details", json!("{}")),
        ("details", json!([])),
        ("details", json!(1)),
        ("details", json!(true)),
    ] {
        let mut body = good.clone();
        body[field] = wrong;
        app.post("/events", body).await.fails_for(400, "invalid_field", field);
    }
    let deep = format!(r#"{{"url_id":1,"event_type":"x","details":{{"a":{}1{}}}}}"#, "[".repeat(500), "]".repeat(500));
    app.send("POST", "/events", &[], deep.as_bytes()).await.fails_for(400, "invalid_field", "details");
    for details in [r#"{"a":1e999}"#, r#"{"a":"\ud800"}"#] {
        let body = format!(r#"{{"url_id":{},"event_type":"x","details":{details}}}"#, link["id"]);
        app.send("POST", "/events", &[], body.as_bytes()).await.fails_for(400, "invalid_field", "details");
    }
    for (bytes, status) in [(4096, 201), (4097, 400)] {
        let details = format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        let body = format!(r#"{{"url_id":{},"event_type":"x","details":{details}}}"#, link["id"]);
        let answer = app.send("POST", "/events", &[], body.as_bytes()).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 400 {
            assert_eq!(answer.fails_for(400, "invalid_field", "details")["errors"][0]["code"], "too_long");
        }
    }
    for field in ["url_id", "event_type"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        app.post("/events", body).await.fails_for(400, "invalid_field", field);
    }
    app.post("/events", json!({"url_id": 424_242, "event_type": "x"})).await.fails(404, "link_not_found");
    let body = json!({"url_id": link["id"], "user_id": 424_242, "event_type": "x"});
    app.post("/events", body).await.fails(404, "user_not_found");
    app.get("/events/424242").await.fails(404, "event_not_found");
    app.stop().await;
}
