//! Counts over time.

use knurl_core::UnixMillis;
use serde_json::json;

use crate::test_app::Backend;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

pub(crate) async fn a_links_clicks_are_counted_by_time_and_kind(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    let path = format!("/{}", link["short_code"].as_str().unwrap());
    for (agent, referrer) in
        [(BROWSER, "https://www.news.example/a"), (BROWSER, "https://news.example/b"), ("Googlebot/2.1", "https://other.example/")]
    {
        assert_eq!(app.send("GET", &path, &[("user-agent", agent), ("referer", referrer)], b"").await.status, 302);
    }
    let of = format!("/urls/{}/stats", link["id"]);
    for unit in ["day", "hour"] {
        let stats = app.get(&format!("{of}?unit={unit}&by=referrer")).await.is(200);
        assert_eq!(
            (&stats["click_count"], &stats["total"], &stats["human"], &stats["bot"]),
            (&json!(3), &json!(3), &json!(2), &json!(1))
        );
        let buckets = stats["buckets"].as_array().unwrap();
        assert_eq!(buckets.iter().map(|b| b["total"].as_u64().unwrap()).sum::<u64>(), 3);
        assert_eq!(stats["unit"], unit);
        assert_eq!(stats["shares"], json!([{"value": "news.example", "total": 2}, {"value": "other.example", "total": 1}]));
        assert_eq!(stats["short_code"], link["short_code"]);
        assert!(stats["last_click_at"].is_string());
        assert_eq!(stats["visitors"], 1, "one person came twice, and a crawler is nobody");
    }
    for by in ["agent", "browser", "os"] {
        let stats = app.get(&format!("{of}?by={by}")).await.is(200);
        let shares = stats["shares"].as_array().unwrap();
        assert_eq!(shares.iter().map(|share| share["total"].as_u64().unwrap()).sum::<u64>(), 3, "{by}");
    }
    let past = app.get(&format!("{of}?from=2020-01-01&to=2020-02-01T00:00:00%2B01:00")).await.is(200);
    assert_eq!((&past["total"], &past["click_count"], &past["buckets"]), (&json!(0), &json!(3), &json!([])));
    assert_eq!((&past["from"], &past["to"]), (&json!("2020-01-01T00:00:00"), &json!("2020-01-31T23:00:00")));
    app.stop().await;
}

pub(crate) async fn a_range_ends_before_its_last_instant_so_that_neighbours_share_no_click(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    app.click(&link).await;
    let of = format!("/urls/{}/stats", link["id"]);
    for (unit, unit_ms) in [("day", 86_400_000), ("hour", 3_600_000)] {
        let at = app.get(&format!("{of}?unit={unit}")).await.is(200)["buckets"][0]["at"].as_str().unwrap().to_owned();
        let begin = UnixMillis::parse(&at).unwrap();
        let at = |units: i64, ms: i64| UnixMillis(begin.0 + units * unit_ms + ms).to_contract();
        for (from, to, total, what) in [
            (at(-1, 0), at(0, 0), 0, "the unit before"),
            (at(0, 0), at(1, 0), 1, "the unit"),
            (at(1, 0), at(2, 0), 0, "the unit after"),
            (at(-1, 0), at(0, 1_000), 1, "a range that touches the unit counts the whole of it"),
            (at(1, -1_000), at(2, 0), 1, "at its end too"),
            (at(0, 0), at(0, 0), 0, "an empty range"),
        ] {
            let asked = format!("unit={unit}&from={from}&to={to}&by=agent");
            let stats = app.get(&format!("{of}?{asked}")).await.is(200);
            assert_eq!(stats["total"], total, "{what}: {asked}");
            let all = app.get(&format!("/stats?{asked}")).await.is(200);
            assert_eq!(all["total"], total, "{what}: {asked}");
            if unit == "day" {
                assert_eq!(all["top_urls"].as_array().unwrap().len(), total, "{what}: {asked}");
                assert_eq!(stats["shares"].as_array().unwrap().len(), total, "{what}: {asked}");
            }
        }
    }
    app.stop().await;
}

pub(crate) async fn all_links_are_counted_together(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let (one, two) = (app.link(user, "https://one.example").await, app.link(user, "https://two.example").await);
    for link in [&one, &two, &two] {
        app.click(link).await;
    }
    let stats = app.get("/api/v1/stats?by=agent").await.is(200);
    assert_eq!((&stats["users"], &stats["urls"], &stats["events"], &stats["total"]), (&json!(1), &json!(2), &json!(5), &json!(3)));
    let top: Vec<_> =
        stats["top_urls"].as_array().unwrap().iter().map(|top| (top["url_id"].clone(), top["total"].clone())).collect();
    assert_eq!(top, [(two["id"].clone(), json!(2)), (one["id"].clone(), json!(1))]);
    assert!(stats["from"].as_str().unwrap().ends_with('Z'));
    assert_eq!(app.get("/stats?limit=1").await.is(200)["top_urls"].as_array().unwrap().len(), 1);
    app.delete(&format!("/urls/{}", two["id"])).await.is(204);
    let stats = app.get("/stats").await.is(200);
    assert_eq!(
        (&stats["top_urls"][0]["total"], &stats["top_urls"][0]["short_code"]),
        (&json!(2), &json!(null)),
        "clicks of a deleted link stay"
    );
    app.stop().await;
}

pub(crate) async fn a_wrong_question_is_refused_with_its_parameter(on: Backend) {
    let app = on.app().await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    for path in ["/stats".to_owned(), format!("/urls/{}/stats", link["id"])] {
        for (name, wrong) in [
            ("unit", "week"),
            ("by", "country"),
            ("from", "yesterday"),
            ("to", "2020-13-01"),
            ("to", "2001-01-01&from=2002-01-01"),
            ("from", "1000-01-01"),
            ("limit", "x"),
            // Its nineteenth byte is half a character.
            ("from", "aaaaaaaaaaaaaaaaaa%C3%A9+x"),
            ("to", "aaaaaaaaaaaaaaaaaa%C3%A9+x"),
        ] {
            let expected = if wrong.contains('&') { "from" } else { name };
            app.get(&format!("{path}?{name}={wrong}")).await.fails_for(400, "invalid_parameter", expected);
        }
        let all = app.get(&format!("{path}?from=x&to=y&unit=z&by=w&limit=v")).await.fails(400, "invalid_parameter");
        let named: Vec<_> = all["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(named, ["unit", "by", "limit", "to", "from"], "every wrong parameter is named");
    }
    app.stop().await;
}

pub(crate) async fn an_answer_that_may_miss_clicks_says_so(on: Backend) {
    use knurl_store::faulty::Fault;

    let app = on.app_with(|config| config.clicks.barrier_timeout = std::time::Duration::from_millis(50)).await;
    let user = app.user("ada").await;
    let link = app.link(user, "https://example.org").await;
    app.store.fail_method("apply_clicks", Fault::Unavailable);
    assert_eq!(app.click(&link).await.status, 302);
    for path in ["/events".to_owned(), "/stats".to_owned(), "/urls".to_owned(), format!("/urls/{}", link["id"])] {
        let answer = app.get(&path).await;
        assert_eq!((answer.status, answer.header("x-knurl-clicks")), (200, Some("lagging")), "{path}");
    }
    let changed = app.put(&format!("/urls/{}", link["id"]), json!({"title": "x"})).await;
    assert_eq!(changed.is(200)["title"], "x");
    app.stop().await;
}
