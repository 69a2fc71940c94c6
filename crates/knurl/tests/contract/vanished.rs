//! A client that empties the tables under a running server, as test suites do between their cases.

use std::time::Duration;

use serde_json::{Value, json};

use crate::test_app::{Answer, Backend, TestApp};

/// Of a wait that ends much sooner.
const PATIENCE_TRIES: u32 = 600;

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

pub(crate) async fn when_users_links_and_events_vanish_the_server_goes_on_with_what_is_there(on: Backend) {
    let app = on.app().await;
    for _ in 0..2 {
        let user = app.user("ada").await;
        let link = app.link(user, "https://example.org").await;
        app.click(&link).await;
        app.events("event_type=click").await;
        app.others.empty(&["users", "links", "events"], false);
        until_forgotten(&app, &link).await;
    }
    starts_over(&app).await;
    app.stop().await;
}

pub(crate) async fn when_all_rows_but_the_cursors_vanish_and_ids_begin_again_the_server_goes_on_all_the_same(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    app.click(&link).await;
    app.events("event_type=click").await;
    // Without the cursors the spool's clicks would be delivered again, as a restored backup needs it.
    let tables: Vec<String> = app.others.tables().into_iter().filter(|table| table != "cursors").collect();
    assert!(tables.len() > 9, "{tables:?}");
    app.others.empty(&tables.iter().map(String::as_str).collect::<Vec<_>>(), true);
    until_forgotten(&app, &link).await;
    starts_over(&app).await;
    app.stop().await;
}
