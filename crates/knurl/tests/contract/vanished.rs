//! A client that empties the tables under a running server, as test suites do between their cases.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::test_app::{Answer, TestApp};

/// Of a wait that ends much sooner.
const PATIENCE_TRIES: u32 = 600;

fn empty(app: &TestApp, tables: &[&str]) {
    let conn = Connection::open(app.state.config.sqlite_path().unwrap()).unwrap();
    conn.busy_timeout(Duration::from_secs(10)).unwrap();
    let statements: String = tables.iter().map(|table| format!("delete from {table};")).collect();
    conn.execute_batch(&format!("begin immediate; {statements} commit;")).unwrap();
}

/// But the cursors: without them the spool's clicks are delivered again, as a restored backup needs it.
fn every_table(app: &TestApp) -> Vec<String> {
    let conn = Connection::open(app.state.config.sqlite_path().unwrap()).unwrap();
    let mut query = conn.prepare("select name from sqlite_schema where type = 'table' and name <> 'cursors'").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

async fn until_forgotten(app: &TestApp, link: &Value) {
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    for _ in 0..PATIENCE_TRIES {
        // Not a click.
        if app.head(&path).await.status == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a link that is not there any more still redirects");
}

fn total(list: &Answer) -> usize {
    list.header("x-total-count").unwrap().parse().unwrap()
}

/// Everything answers, and answers what is there now.
async fn starts_over(app: &TestApp) {
    for path in ["/users", "/urls", "/events"] {
        let list = app.get(path).await;
        assert_eq!(total(&list), 0, "{path}");
        assert_eq!(list.is(200), json!([]), "{path}");
    }
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org/again").await;
    app.click(&link).await;
    let events = app.events(&format!("url_id={}&event_type=click", link["id"])).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(total(&app.get("/urls").await), 1);
    let stats = app.get("/stats").await.is(200);
    assert_eq!(
        (&stats["users"], &stats["urls"], &stats["events"]),
        (&json!(1), &json!(1), &json!(2)),
        "created and click: {stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_users_links_and_events_vanish_the_server_goes_on_with_what_is_there() {
    let app = TestApp::start().await;
    for _ in 0..2 {
        let user = app.user("ada").await;
        let link = app.link(user, "https://example.org").await;
        app.click(&link).await;
        app.events("event_type=click").await;
        empty(&app, &["users", "links", "events"]);
        until_forgotten(&app, &link).await;
    }
    starts_over(&app).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_rows_but_the_cursors_vanish_and_ids_begin_again_the_server_goes_on_all_the_same() {
    let app = TestApp::start().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    app.click(&link).await;
    app.events("event_type=click").await;
    let tables = every_table(&app);
    assert!(tables.len() > 9, "{tables:?}");
    empty(&app, &tables.iter().map(String::as_str).collect::<Vec<_>>());
    until_forgotten(&app, &link).await;
    starts_over(&app).await;
    app.stop().await;
}
