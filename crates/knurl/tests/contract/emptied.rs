//! Somebody else empties the tables while the server serves: a test suite between its cases, an operator.

use serde_json::{Value, json};

use crate::test_app::{Backend, TestApp};

const CONTRACT: [&str; 3] = ["users", "links", "events"];

async fn totals(app: &TestApp) -> Vec<String> {
    let mut totals = Vec::new();
    for list in ["/users", "/urls", "/events"] {
        let answer = app.get(list).await;
        assert_eq!(answer.is(200).as_array().unwrap().len().to_string(), answer.header("x-total-count").unwrap(), "{list}");
        totals.push(answer.header("x-total-count").unwrap().to_owned());
    }
    totals
}

/// A user, two links, one click on each; all of it is seen and counted as if nothing had been before.
async fn life(app: &TestApp) -> Vec<Value> {
    let user = app.user("ada").await;
    let links = vec![app.link(user, "https://example.org/1").await, app.link(user, "https://example.org/2").await];
    for link in &links {
        assert_eq!(app.click(link).await.status, 302);
        assert_eq!(app.get(&format!("/urls/{}", link["id"])).await.is(200)["click_count"], 1);
        assert_eq!(app.get(&format!("/urls/{}/stats", link["id"])).await.is(200)["total"], 1);
    }
    assert_eq!(totals(app).await, ["1", "2", "4"]);
    links
}

pub(crate) async fn emptied_tables_are_counted_as_empty_and_their_links_lend_nothing_to_the_next_ones(on: Backend) {
    let app = on.app().await;
    for _ in 0..3 {
        life(&app).await;
        app.others.empty(&CONTRACT, true);
        assert_eq!(totals(&app).await, ["0", "0", "0"]);
    }
    app.stop().await;
}

pub(crate) async fn clicks_that_are_still_in_the_spool_are_never_the_next_links(on: Backend) {
    let app = on.app().await;
    for code in ["first", "second", "second", "third"] {
        let user = app.user("ada").await;
        let link = json!({"user_id": user, "original_url": "https://example.org/", "short_code": code});
        let link = app.post("/urls", link).await.is(201).clone();
        assert_eq!(app.get(&format!("/urls/{}", link["id"])).await.is(200)["click_count"], 0, "{code}");
        assert_eq!(app.events("event_type=click").await, Vec::<Value>::new(), "{code}");
        for _ in 0..3 {
            app.click(&link).await;
        }
        app.others.empty(&CONTRACT, true);
    }
    app.stop().await;
}

pub(crate) async fn a_server_whose_every_table_is_emptied_goes_on(on: Backend) {
    let app = on.app().await;
    let tables = app.others.tables();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    assert!(tables.len() > CONTRACT.len());
    for _ in 0..3 {
        life(&app).await;
        app.others.empty(&tables, true);
        assert_eq!(totals(&app).await, ["0", "0", "0"]);
        app.get("/stats").await.is(200);
        app.state.store.click_ledger().await.unwrap();
    }
    life(&app).await;
    let ledger = app.state.store.click_ledger().await.unwrap();
    assert_eq!(
        (ledger.delivered, ledger.undecodable, ledger.raw, ledger.rolled_up),
        (8, 6, 2, 2),
        "what was deleted is not told again"
    );
    app.stop().await;
}

pub(crate) async fn a_total_that_was_lost_is_counted_anew(on: Backend) {
    let app = on.app().await;
    life(&app).await;
    app.others.empty(&["counters"], true);
    assert_eq!(totals(&app).await, ["1", "2", "4"]);
    app.post("/users", json!({"username": "bob", "email": "bob@example.org"})).await.is(201);
    assert_eq!(totals(&app).await, ["2", "2", "4"]);
    app.stop().await;
}
