//! Somebody else empties the tables while the server serves: a test suite between its cases, an operator.

use serde_json::{Value, json};

use crate::test_app::TestApp;

const CONTRACT: [&str; 3] = ["users", "links", "events"];

/// By a connection of its own, as another process would; ids begin at 1 again.
fn empty(app: &TestApp, tables: &[&str]) {
    let others = rusqlite::Connection::open(app.state.config.sqlite_path().unwrap()).unwrap();
    others.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let deletes: String = tables.iter().map(|table| format!("delete from {table};")).collect();
    others.execute_batch(&format!("begin immediate; {deletes} delete from sqlite_sequence; commit")).unwrap();
}

fn every_table(app: &TestApp) -> Vec<String> {
    let others = rusqlite::Connection::open(app.state.config.sqlite_path().unwrap()).unwrap();
    let mut names = others.prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'").unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

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

#[tokio::test(flavor = "multi_thread")]
async fn emptied_tables_are_counted_as_empty_and_their_links_lend_nothing_to_the_next_ones() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        life(&app).await;
        empty(&app, &CONTRACT);
        assert_eq!(totals(&app).await, ["0", "0", "0"]);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_every_table_is_emptied_goes_on() {
    let app = TestApp::start().await;
    let tables = every_table(&app);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    assert!(tables.len() > CONTRACT.len());
    for _ in 0..3 {
        life(&app).await;
        empty(&app, &tables);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_was_lost_is_counted_anew() {
    let app = TestApp::start().await;
    life(&app).await;
    empty(&app, &["counters"]);
    assert_eq!(totals(&app).await, ["1", "2", "4"]);
    app.post("/users", json!({"username": "bob", "email": "bob@example.org"})).await.is(201);
    assert_eq!(totals(&app).await, ["2", "2", "4"]);
    app.stop().await;
}
