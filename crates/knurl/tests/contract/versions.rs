//! Entity tags: what has not changed is not sent twice, what has changed is not overwritten unseen.

use serde_json::json;

use crate::test_app::{Answer, Backend, TestApp};

async fn ask(app: &TestApp, method: &str, path: &str, header: (&str, &str), body: &str) -> Answer {
    app.send(method, path, &[header], body.as_bytes()).await
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no tag: {answer:?}")).to_owned()
}

pub(crate) async fn what_the_client_has_already_is_304(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let first = app.get("/urls/1").await;
    let tag = tag(&first);
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&app, method, "/urls/1", ("if-none-match", &known), "").await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{method} {known}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
        }
    }
    assert_eq!(ask(&app, "GET", "/urls/1", ("if-none-match", "\"1-00\""), "").await.body, first.body);
    ask(&app, "GET", "/urls/1", ("if-none-match", "bare"), "").await.fails(400, "bad_request");
    ask(&app, "GET", "/urls/2", ("if-none-match", "*"), "").await.fails(404, "link_not_found");
    // A click changes what is shown.
    app.click(&link).await;
    let clicked = ask(&app, "GET", "/urls/1", ("if-none-match", &tag), "").await;
    assert_eq!(clicked.is(200)["click_count"], 1);
    app.stop().await;
}

pub(crate) async fn a_change_is_made_only_to_the_version_it_was_meant_for(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let created = app.post("/urls", json!({"user_id": user, "original_url": "https://example.org"})).await;
    let link = created.is(201);
    let read = app.get("/urls/1").await;
    assert_eq!(tag(&created), tag(&read), "nothing happened in between");
    // A click in between is no edit.
    app.click(&link).await;
    let edited = ask(&app, "PUT", "/urls/1", ("if-match", &tag(&read)), r#"{"title":"One"}"#).await;
    assert_eq!(edited.is(200)["title"], "One");
    for (method, body) in [("PUT", r#"{"title":"Two"}"#), ("PATCH", r#"{"title":"Two"}"#), ("DELETE", "")] {
        for outdated in [tag(&read), format!("W/{}", tag(&edited)), "\"some\", \"other\"".to_owned()] {
            ask(&app, method, "/urls/1", ("if-match", &outdated), body).await.fails(412, "precondition_failed");
        }
        ask(&app, method, "/urls/1", ("if-match", "1"), body).await.fails(400, "bad_request");
        ask(&app, method, "/urls/2", ("if-match", "*"), body).await.fails(404, "link_not_found");
    }
    assert_eq!(app.get("/urls/1").await.is(200)["title"], "One");
    assert_eq!(app.events("event_type=deleted").await.len(), 0);
    let again = ask(&app, "PATCH", "/urls/1", ("if-match", "*"), r#"{"title":"Two"}"#).await;
    assert_eq!(again.is(200)["title"], "Two");
    let both = format!("{}, {}", tag(&read), tag(&again));
    assert_eq!(ask(&app, "DELETE", "/urls/1", ("if-match", &both), "").await.status, 204);
    app.stop().await;
}

pub(crate) async fn what_was_created_says_where_it_stands(on: Backend) {
    let app = on.app().await;
    for prefix in ["", "/api/v1"] {
        let name = format!("ada{}", prefix.len());
        let user = app.post(&format!("{prefix}/users"), json!({"username": name, "email": format!("{name}@example.org")})).await;
        let shortened = app.post(&format!("{prefix}/shorten"), json!({"url": "https://example.org"})).await;
        let owner = user.is(201)["id"].clone();
        let link = app.post(&format!("{prefix}/urls"), json!({"user_id": owner, "original_url": "https://example.org"})).await;
        let event = json!({"url_id": link.is(201)["id"], "event_type": "seen"});
        let event = app.post(&format!("{prefix}/events"), event).await;
        for (created, collection) in [(user, "users"), (shortened, "urls"), (link, "urls"), (event, "events")] {
            let location = created.header("location").unwrap();
            assert_eq!(location, format!("{prefix}/{collection}/{}", created.is(201)["id"]));
            assert_eq!(app.get(location).await.is(200), created.is(201));
        }
    }
    app.stop().await;
}
