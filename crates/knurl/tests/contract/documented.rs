//! The page of the API and the API are one.

use std::{collections::BTreeSet, fs, path::Path};

use knurl::http::api;
use serde_json::{Map, Value, json};

use crate::test_app::Backend;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/api.md")).unwrap()
}

pub(crate) async fn the_page_has_a_heading_for_every_method_of_every_route_and_no_other(on: Backend) {
    let app = on.app().await;
    let mut served = BTreeSet::new();
    for path in api::paths() {
        let address = path.replace("{id}", "1").replace("{short_code}", "abc1234");
        let refused = app.send("FROB", &address, &[], b"").await;
        let methods = refused.header("allow").unwrap().split(',').map(str::trim).filter(|method| *method != "HEAD");
        // The path names what stands there: an id, or in this one a code.
        let shown = path.replace("{id}/redirect", "{short_code}/redirect");
        served.extend(methods.map(|method| format!("{method} {shown}")));
    }
    let page = page();
    let described: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|heading| heading.contains(" /"))
        .map(|heading| heading.replace('`', ""))
        .collect();
    assert_eq!(described, served);
    app.stop().await;
}

/// The fields of the first JSON block after this heading.
fn documented_fields(page: &str, heading: &str) -> BTreeSet<String> {
    let after = page.split(&format!("\n### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let block = after.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    fields(&serde_json::from_str(block).unwrap())
}

fn fields(value: &Value) -> BTreeSet<String> {
    value.as_object().map(Map::keys).unwrap().cloned().collect()
}

pub(crate) async fn the_page_shows_every_field_of_every_object(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    app.click(&link).await;
    let event = app.events("").await.remove(0);
    let of_link = app.get(&format!("/urls/{}/stats?by=agent", link["id"])).await.is(200);
    let overall = app.get("/stats?by=agent").await.is(200);
    let bulk = app.post("/urls/bulk", json!([{"user_id": user, "original_url": "https://example.org"}])).await.is(201);
    let problem = app.post("/users", json!({})).await.fails(400, "invalid_field");
    let user = app.get(&format!("/users/{user}")).await.is(200);
    let page = page();
    for (heading, shown) in [
        ("The user object", user),
        ("The url object", link),
        ("The event object", event),
        ("The problem object", problem),
        ("`GET /urls/{id}/stats`", of_link),
        ("`GET /stats`", overall),
        ("`POST /urls/bulk`", bulk),
    ] {
        assert_eq!(documented_fields(&page, heading), fields(&shown), "{heading}");
    }
    app.stop().await;
}
