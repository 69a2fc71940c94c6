//! `Idempotency-Key`: what is sent again is not done again.

use std::{sync::Arc, time::Duration};

use knurl::config::Auth;
use knurl_core::UnixMillis;
use knurl_store::{Store, faulty::Fault};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::test_app::{Answer, Backend, KEY, TestApp};

const BODY: &str = r#"{"url":"https://example.org/a"}"#;

async fn send(app: &TestApp, path: &str, key: &str, body: &str) -> Answer {
    app.send("POST", path, &[("idempotency-key", key)], body.as_bytes()).await
}

fn is_replay(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

async fn links(app: &TestApp) -> Vec<Value> {
    app.get("/urls").await.is(200).as_array().unwrap().clone()
}

pub(crate) async fn a_create_that_is_sent_again_is_answered_as_the_first_time(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let owned = json!({"user_id": user, "original_url": "https://example.org/b", "title": "T", "expires_at": "2099-01-01"});
    let requests = [
        ("/shorten", BODY.to_owned()),
        ("/api/v1/shorten", BODY.to_owned()),
        ("/urls", owned.to_string()),
        ("/shorten", json!({"url": "https://example.org/c", "custom_code": "mine"}).to_string()),
        ("/urls/bulk", json!([owned, {"user_id": 99, "original_url": "https://example.org"}, {"url": 1}, owned]).to_string()),
    ];
    for (n, (path, body)) in requests.iter().enumerate() {
        let key = format!("{n} \"quoted\"");
        let first = send(&app, path, &key, body).await;
        // The bulk has an item that cannot be.
        let status = if *path == "/urls/bulk" { 207 } else { 201 };
        assert!(first.status == status && !is_replay(&first), "{first:?}");
        // An edit and a click in between are not in the answer of then.
        let id = first.json()["id"].as_i64().unwrap_or(5);
        app.put(&format!("/urls/{id}"), json!({"title": "edited"})).await.is(200);
        for _ in 0..2 {
            let again = send(&app, path, &key, body).await;
            assert!(is_replay(&again), "{again:?}");
            assert_eq!((again.status, &again.body), (status, &first.body));
            for name in ["location", "etag"] {
                assert_eq!(again.header(name), first.header(name), "{path}: {name}");
            }
        }
    }
    assert_eq!(links(&app).await.len(), 6);
    assert_eq!(app.events("event_type=created").await.len(), 6);
    app.stop().await;
}

pub(crate) async fn the_same_key_with_another_request_is_422_and_without_one_every_create_is_its_own(on: Backend) {
    let app = on.app().await;
    send(&app, "/shorten", "k", BODY).await.is(201);
    for (path, body) in [("/shorten", r#"{"url":"https://example.org/b"}"#), ("/api/v1/shorten", BODY)] {
        send(&app, path, "k", body).await.fails(422, "idempotency_key_reused");
    }
    assert_eq!(links(&app).await.len(), 1);
    for _ in 0..2 {
        app.post("/shorten", json!({"url": "https://example.org/a"})).await.is(201);
    }
    let metrics = app.state.metrics.render();
    assert!(metrics.contains("knurl_idempotency_repeats_total{told=\"reused\"} 2\n"));
    for strange in ["", &"x".repeat(256), "caf\u{e9}"] {
        send(&app, "/shorten", strange, BODY).await.fails(400, "bad_request");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    app.send("POST", "/shorten", &twice, BODY.as_bytes()).await.fails(400, "bad_request");
    assert_eq!(links(&app).await.len(), 3);
    app.stop().await;
}

pub(crate) async fn what_failed_is_not_remembered(on: Backend) {
    let app = on.app().await;
    app.post("/shorten", json!({"url": "https://example.org", "custom_code": "taken"})).await.is(201);
    send(&app, "/shorten", "k", r#"{"url":"nonsense"}"#).await.fails(400, "invalid_field");
    send(&app, "/urls", "k", r#"{"user_id":9,"original_url":"https://example.org"}"#).await.fails(404, "user_not_found");
    let taken = r#"{"url":"https://example.org","custom_code":"taken"}"#;
    send(&app, "/shorten", "k", taken).await.fails_for(409, "short_code_taken", "custom_code");
    app.store.fail(Fault::Unavailable);
    send(&app, "/shorten", "k", BODY).await.fails(503, "unavailable");
    app.store.heal();
    assert!(!is_replay(&send(&app, "/shorten", "k", BODY).await));
    assert_eq!(links(&app).await.len(), 2);
    app.stop().await;
}

pub(crate) async fn a_create_whose_answer_was_lost_is_found_again(on: Backend) {
    let app = on.app().await;
    app.store.fail_method("create_once", Fault::LostReply);
    for path in ["/shorten", "/urls/bulk"] {
        let body = if path == "/shorten" { BODY } else { r#"[{"user_id":1,"original_url":"https://example.org/a"}]"# };
        if path == "/urls/bulk" {
            app.user("ada").await;
        }
        send(&app, path, path, body).await.fails(503, "outcome_unknown");
        app.store.heal();
        let again = send(&app, path, path, body).await;
        assert!(again.status == 201 && is_replay(&again), "{again:?}");
        app.store.fail_method("create_once", Fault::LostReply);
    }
    assert_eq!(links(&app).await.len(), 2);
    app.stop().await;
}

pub(crate) async fn an_event_whose_answer_was_lost_is_found_again(on: Backend) {
    let app = on.app().await;
    let link = send(&app, "/shorten", "link", BODY).await.is(201);
    let body = json!({"url_id": link["id"], "event_type": "seen", "details": {"a": 1}}).to_string();
    app.store.fail_method("post_event_once", Fault::LostReply);
    send(&app, "/events", "k", &body).await.fails(503, "outcome_unknown");
    app.store.heal();
    let again = send(&app, "/events", "k", &body).await;
    assert!(again.status == 201 && is_replay(&again), "{again:?}");
    let seen = app.events("event_type=seen").await;
    assert_eq!(seen, [again.is(201)]);
    let other = json!({"url_id": link["id"], "event_type": "seen"}).to_string();
    send(&app, "/events", "k", &other).await.fails(422, "idempotency_key_reused");
    send(&app, "/events", "link", &body).await.fails(422, "idempotency_key_reused");
    assert!(!is_replay(&send(&app, "/events", "k2", &body).await));
    assert_eq!(app.events("event_type=seen").await.len(), 2);
    app.stop().await;
}

pub(crate) async fn of_many_at_once_one_makes_the_link_and_the_others_are_told(on: Backend) {
    let app = Arc::new(on.app().await);
    // The first one is held at the store: what comes meanwhile is told so.
    app.store.fail_method("create_once", Fault::Hang);
    let (sender, mut asking) = (Arc::clone(&app), JoinSet::new());
    asking.spawn(async move { send(&sender, "/shorten", "k", BODY).await });
    while app.store.held() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    send(&app, "/shorten", "k", r#"{"url":"https://other.example"}"#).await.fails(409, "idempotency_in_flight");
    send(&app, "/shorten", "k", BODY).await.fails(409, "idempotency_in_flight");
    app.store.heal();
    for _ in 0..20 {
        let app = Arc::clone(&app);
        asking.spawn(async move {
            loop {
                let answer = send(&app, "/shorten", "k", BODY).await;
                if answer.status != 409 {
                    return answer;
                }
                answer.fails(409, "idempotency_in_flight");
            }
        });
    }
    let mut bodies = Vec::new();
    let mut replays = 0;
    while let Some(answer) = asking.join_next().await {
        let answer = answer.unwrap();
        replays += u32::from(is_replay(&answer));
        bodies.push(answer.is(201));
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    assert_eq!((replays, links(&app).await.len()), (20, 1));
    Arc::into_inner(app).unwrap().stop().await;
}

pub(crate) async fn find_if_exists_and_a_key_go_together(on: Backend) {
    let app = on.app().await;
    let body = r#"{"url":"https://example.org/a","find_if_exists":true}"#;
    let first = send(&app, "/shorten", "k", body).await;
    assert_eq!(first.status, 201);
    let again = send(&app, "/shorten", "k", body).await;
    assert!(again.status == 201 && is_replay(&again), "the answer of then: {again:?}");
    assert_eq!(send(&app, "/shorten", "other", body).await.is(200)["id"], first.json()["id"]);
    assert_eq!(links(&app).await.len(), 1);
    app.stop().await;
}

pub(crate) async fn one_clients_key_is_not_anothers(on: Backend) {
    let app = on.app_with(|config| config.auth = Auth::Required).await;
    let other = "another-key-of-the-tests";
    app.store.create_key("other", knurl::http::api::auth::hash(other.as_bytes()), UnixMillis(0)).await.unwrap();
    app.state.keys.refresh(&*app.state.store).await.unwrap();
    let mut ids = Vec::new();
    for (key, replayed) in [(KEY, false), (other, false), (KEY, true), (other, true)] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
        let answer = app.send("POST", "/shorten", &headers, BODY.as_bytes()).await;
        assert_eq!(is_replay(&answer), replayed);
        ids.push(answer.is(201)["id"].clone());
    }
    assert!(ids[0] != ids[1] && ids[..2] == ids[2..], "{ids:?}");
    app.stop().await;
}

pub(crate) async fn a_key_is_forgotten_after_its_time(on: Backend) {
    let app = on.app().await;
    send(&app, "/shorten", "k", BODY).await.is(201);
    let forgotten = app.store.forget_onces(UnixMillis(i64::MAX), 10).await.unwrap();
    assert_eq!(forgotten, 1);
    assert!(!is_replay(&send(&app, "/shorten", "k", BODY).await));
    assert_eq!(links(&app).await.len(), 2);
    app.stop().await;
}
