//! The redirect as a visitor, a browser and a scanner see it.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use wire::Server;

const TARGET: &str = "https://example.com/a?b=c#d";

/// The click events of a link, through the API (which waits for the drain).
fn clicks(server: &Server, link: &serde_json::Value) -> Vec<serde_json::Value> {
    let events = server.get(&format!("/events?event_type=click&url_id={}", link["id"])).json();
    events.as_array().unwrap().clone()
}

#[test]
fn a_visitor_is_sent_on_with_exactly_these_headers() {
    let server = Server::start();
    server.shorten("abc", TARGET);
    for _ in 0..2 {
        let answer = server.get("/abc");
        assert_eq!(answer.head.lines().next(), Some("HTTP/1.1 302 Found"));
        assert_eq!(answer.header_names(), ["cache-control", "content-length", "date", "location"]);
        assert_eq!(answer.header("location"), Some(TARGET));
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("content-length"), Some("0"));
    }
    server.stop();
}

#[test]
fn the_query_and_one_trailing_slash_are_no_part_of_the_code() {
    let server = Server::start();
    server.shorten("abc", TARGET);
    for path in ["/abc?utm_source=x", "/abc/", "/abc/?x", "http://t/abc", "/%61bc"] {
        assert_eq!(server.get(path).header("location"), Some(TARGET), "{path}");
    }
    for path in ["/abc//", "/abc.", "/ABC"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    server.stop();
}

#[test]
fn every_redirect_is_a_click_with_what_the_visitor_said() {
    let server = Server::start();
    let link = server.shorten("abc", TARGET);
    let ask = "GET /abc HTTP/1.1\r\nhost: t\r\nuser-agent: Agent/1\r\nreferer: https://from.example/page\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(server.ask(ask).status, 302);
    }
    let clicks = clicks(&server, &link);
    assert_eq!(clicks.len(), 3, "{clicks:?}");
    let details = &clicks[0]["details"];
    assert_eq!(details["short_code"], "abc");
    assert_eq!(details["original_url"], TARGET);
    assert_eq!(details["user_agent"], "Agent/1");
    assert_eq!(details["referrer"], "https://from.example/page");
    server.stop();
}

#[test]
fn head_is_answered_alike_and_is_no_click() {
    let server = Server::start();
    let link = server.shorten("abc", TARGET);
    let mut peer = server.connect();
    for _ in 0..2 {
        peer.send(b"HEAD /abc HTTP/1.1\r\nhost: t\r\n\r\n");
        let answer = peer.answer_to("HEAD").unwrap();
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header_names(), ["cache-control", "content-length", "date", "location"]);
        assert_eq!(answer.header("location"), Some(TARGET));
    }
    assert!(clicks(&server, &link).is_empty());
    server.metric_is("knurl_redirects_total{outcome=\"looked\"}", 2.0);
    server.stop();
}

#[test]
fn prefetches_are_recorded_and_labelled() {
    let server = Server::start();
    let link = server.shorten("abc", TARGET);
    for header in ["Sec-Purpose: prefetch;prerender", "Purpose: preview", "X-Moz: prefetch"] {
        assert_eq!(server.ask(&format!("GET /abc HTTP/1.1\r\nhost: t\r\n{header}\r\n\r\n")).status, 302);
    }
    let clicks = clicks(&server, &link);
    assert_eq!(clicks.len(), 3);
    for click in clicks {
        assert_eq!(click["details"]["purpose"], "prefetch", "{click}");
    }
    server.stop();
}

#[test]
fn an_inactive_link_is_not_found_and_no_click_until_it_is_active_again() {
    let server = Server::start();
    let link = server.shorten("abc", TARGET);
    let set = |active: bool| {
        let body = format!("{{\"is_active\":{active}}}");
        let request = format!(
            "PUT /urls/{} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            link["id"],
            body.len()
        );
        assert_eq!(server.ask(&request).status, 200);
    };
    assert_eq!(server.get("/abc").status, 302);
    set(false);
    server.get("/abc").assert_problem(404, "link_not_found");
    set(true);
    assert_eq!(server.get("/abc").status, 302);
    assert_eq!(clicks(&server, &link).len(), 2);
    server.stop();
}

#[test]
fn each_link_has_its_own_status_and_its_caching() {
    let server = Server::start();
    for (status, caching) in
        [(301, "private, max-age=90"), (302, "private, no-store"), (307, "private, no-store"), (308, "private, max-age=90")]
    {
        let body = serde_json::json!({ "url": TARGET, "custom_code": format!("s{status}"), "redirect_status": status }).to_string();
        assert_eq!(server.post("/shorten", &body).status, 201);
        let answer = server.get(&format!("/s{status}"));
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some(caching)));
        assert_eq!(answer.header("location"), Some(TARGET));
    }
    server.stop();
}

#[test]
fn a_permanent_redirect_is_remembered_no_longer_than_its_link_lives() {
    let server = Server::start();
    for (code, status, expires_in_s, most_s) in [("soon", 301, 60, 60), ("soon8", 308, 60, 60), ("late", 301, 100_000, 90)] {
        let at =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 + expires_in_s * 1_000;
        let expires_at = knurl_core::UnixMillis(at).to_rfc3339();
        let body = serde_json::json!({ "url": TARGET, "custom_code": code, "redirect_status": status, "expires_at": expires_at });
        assert_eq!(server.post("/shorten", &body.to_string()).status, 201);
        // From memory, and by the address that is not.
        for path in [format!("/{code}"), format!("/{code}"), format!("/urls/{code}/redirect")] {
            let answer = server.get(&path);
            let caching = answer.header("cache-control").unwrap();
            let age_s: i64 = caching.strip_prefix("private, max-age=").unwrap().parse().unwrap();
            assert!((1..=most_s).contains(&age_s), "{path}: {caching}");
            assert!(expires_in_s < 90 || age_s == 90, "{path}: {caching}");
        }
    }
    server.stop();
}

#[test]
fn an_expired_link_is_gone() {
    let server = Server::start();
    let body = serde_json::json!({ "url": TARGET, "custom_code": "old", "expires_at": "2001-01-01T00:00:00" }).to_string();
    let link = server.post("/shorten", &body).json();
    server.get("/old").assert_problem(410, "link_expired");
    assert!(clicks(&server, &link).is_empty());
    server.stop();
}

#[test]
fn while_the_database_is_away_known_links_redirect_and_unknown_ones_say_503() {
    let server = Server::start_with(|config| config.http.drain_timeout = std::time::Duration::from_secs(1));
    server.shorten("known", TARGET);
    server.shorten("forgotten", TARGET);
    assert_eq!(server.get("/known").status, 302);
    server.runtime.block_on(server.app.state().store.close());
    for _ in 0..3 {
        assert_eq!(server.get("/known").header("location"), Some(TARGET));
        let answer = server.get("/forgotten");
        answer.assert_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // Somebody else may have changed the database; until it can be asked, what memory holds still answers.
    server.app.state().resolver.forget_all();
    assert_eq!(server.get("/known").header("location"), Some(TARGET));
    server.metric_is("knurl_clicks_answered_total", 5.0);
    server.metric_is("knurl_clicks_dropped_total", 0.0);
    assert!(server.metric("knurl_store_errors_total{kind=\"unavailable\"}") >= 3.0);
    server.stop();
}

#[test]
fn a_new_link_redirects_although_its_code_was_asked_for_before() {
    let server = Server::start();
    server.get("/abc").assert_problem(404, "link_not_found");
    server.shorten("abc", TARGET);
    assert_eq!(server.get("/abc").status, 302);
    server.stop();
}

#[test]
fn the_contracts_other_address_redirects_and_counts_too() {
    let server = Server::start();
    let link = server.shorten("abc", TARGET);
    let answer = server.get("/urls/abc/redirect");
    assert_eq!((answer.status, answer.header("location")), (302, Some(TARGET)));
    assert_eq!(clicks(&server, &link).len(), 1);
    server.stop();
}

#[test]
fn other_methods_on_a_code_are_405_and_say_which_are_allowed() {
    let server = Server::start();
    server.shorten("abc", TARGET);
    for (method, path) in [("DELETE", "/abc"), ("PUT", "/nosuch"), ("PATCH", "/abc")] {
        let answer = server.ask(&format!("{method} {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n"));
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    server.stop();
}

#[test]
fn a_connection_carries_many_requests_and_http_1_0_gets_its_close() {
    let server = Server::start();
    server.shorten("abc", TARGET);
    let mut peer = server.connect();
    // Pipelined: three requests in one write.
    peer.send("GET /abc HTTP/1.1\r\nhost: t\r\n\r\n".repeat(3).as_bytes());
    for _ in 0..3 {
        assert_eq!(peer.answer().unwrap().status, 302);
    }
    let mut old = server.connect();
    old.send(b"GET /abc HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().unwrap().status, 302);
    old.closed();
    server.stop();
}

#[test]
fn a_client_that_closes_its_half_after_asking_is_still_answered() {
    let server = Server::start();
    server.shorten("abc", TARGET);
    let mut peer = server.connect();
    peer.send(b"GET /urls/abc/redirect HTTP/1.1\r\nhost: t\r\n\r\n");
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(peer.answer().unwrap().status, 302);
    peer.closed();
    server.stop();
}

#[test]
fn a_scan_of_random_paths_adds_no_metric_series() {
    const PATHS: usize = 100_000;
    let server = Server::start();
    let series = || server.app.state().metrics.render().lines().filter(|line| !line.starts_with('#')).count();
    // One of each kind first: the API's routes get their series when they are first asked for.
    for path in ["/abc", "/a/b", "/urls/1", "/%ff"] {
        server.get(path);
    }
    let before = series();
    let mut peer = server.connect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut asked = 0;
    while asked < PATHS {
        let mut batch = String::new();
        for _ in 0..100 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let tail = match asked % 4 {
                0 => "",
                1 => "/x",
                2 => ".php",
                _ => "%00",
            };
            batch.push_str(&format!("GET /{:x}{tail} HTTP/1.1\r\nhost: t\r\n\r\n", seed >> 20));
            asked += 1;
        }
        peer.send(batch.as_bytes());
        for _ in 0..100 {
            assert_eq!(peer.answer().unwrap().status, 404);
        }
    }
    assert_eq!(series(), before);
    server.stop();
}
