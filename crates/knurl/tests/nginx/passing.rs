//! What passes through: who asks, the request id, the redirect, and a line in the log.

use knurl::config::{OtlpEndpoint, OtlpProtocol};
use knurl_lab::fleet::front::Tls;

use super::*;

#[test]
fn a_redirect_and_the_api_pass_unchanged() {
    let front = Front::start();
    let target = format!("https://example.com/{}", "x".repeat(2_000));
    front.node.shorten("abc", &target);
    let (ours, theirs) = (front.node.get("/abc"), front.get("/abc"));
    assert_eq!((theirs.status, theirs.header("location")), (302, Some(target.as_str())));
    assert_eq!(theirs.header("cache-control"), ours.header("cache-control"));
    assert_eq!(theirs.header("server"), Some("nginx"), "no version");
    let made = front.ask(&post("/shorten", r#"{"url":"https://example.com/"}"#));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(front.get("/nosuch1").json()["code"], "link_not_found", "a node's own errors are not replaced");
    assert_eq!(
        front.ask("DELETE /urls HTTP/1.1\r\nhost: t\r\n\r\n").header("allow"),
        front.node.ask("DELETE /urls HTTP/1.1\r\nhost: t\r\n\r\n").header("allow")
    );
    assert_eq!(front.ask("HEAD /abc HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").status, 302);
}

#[test]
fn the_longest_target_there_can_be_is_redirected_to() {
    let front = Front::start_with(&FrontSetup::default(), |config| config.links = with_long_targets());
    let target = format!("https://example.com/{}", "x".repeat(6_144 - 20));
    front.node.shorten("long", &target);
    assert_eq!(front.get("/long").header("location"), Some(target.as_str()));
}

fn with_long_targets() -> knurl::config::LinksConfig {
    let environment = vec![("KNURL_LINKS_TARGET_BYTES_MAX".into(), "6144".into())];
    let layers = knurl::config::Layers { file: None, environment, flags: Vec::new() };
    layers.load().unwrap().config.links
}

#[test]
fn who_asks_is_what_nginx_sees_whatever_the_request_says() {
    let guesses = |config: &mut Config| {
        config.limits.misses_per_minute = 1;
        config.limits.burst_s = 60;
        config.limits.exempt = Vec::new();
    };
    let front = Front::start_with(&FrontSetup::default(), guesses);
    let guess = |n: u32| {
        format!("GET /nosuch{n} HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 203.0.113.{n}\r\nforwarded: for=203.0.113.{n}\r\n\r\n")
    };
    // Straight at the node, by an address it trusts: each is somebody else.
    for n in 1..4 {
        assert_eq!(front.node.ask(&guess(n)).status, 404);
    }
    assert_eq!(front.ask(&guess(11)).status, 404, "the first guess of this address is free");
    for n in 12..15 {
        assert_eq!(front.ask(&guess(n)).status, 429, "and the others are its, too");
    }
}

#[test]
fn behind_another_proxy_who_asks_is_what_that_one_says() {
    let guesses = |config: &mut Config| {
        config.limits.misses_per_minute = 1;
        config.limits.burst_s = 60;
        config.limits.exempt = Vec::new();
    };
    let instead = vec![
        ("# set_real_ip_from 192.0.2.1;", "set_real_ip_from 127.0.0.1;"),
        ("# real_ip_header X-Forwarded-For;", "real_ip_header X-Forwarded-For;"),
    ];
    let front = Front::start_with(&FrontSetup { instead, ..FrontSetup::default() }, guesses);
    for (n, status) in [(1, 404), (2, 404), (1, 429), (3, 404), (2, 429)] {
        // What the client itself claimed stands before what the proxy adds.
        let request = format!("GET /nosuch HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 198.51.100.9, 203.0.113.{n}\r\n\r\n");
        assert_eq!(front.ask(&request).status, status, "203.0.113.{n}");
    }
}

#[test]
fn one_request_id_goes_both_ways_and_into_the_log() {
    let front = Front::start();
    front.node.shorten("abc", "https://example.com/");
    for (path, status) in [("/abc", 302), ("/urls/1", 200), ("/nosuch1", 404), ("/urls/99", 404)] {
        let id = format!("test-{}-{status}", path.replace('/', "."));
        let answer = front.ask(&format!("GET {path}?email=somebody HTTP/1.1\r\nhost: t\r\nuser-agent: browser\r\nreferer: https://r.example/\r\nx-request-id: {id}\r\n\r\n"));
        assert_eq!((answer.status, answer.header("x-request-id")), (status, Some(id.as_str())), "{answer:?}");
        assert_eq!(answer.head.to_lowercase().matches("x-request-id").count(), 1, "once: {answer:?}");
        if status == 404 {
            assert_eq!(answer.json()["request_id"], *id, "the node was told");
        }
        let line = logged(&front.nginx, &id);
        assert_eq!(line["request_id"], *id);
        assert_eq!((&line["method"], &line["path"], &line["status"]), (&"GET".into(), &path.into(), &status.into()));
        assert_eq!((&line["level"], &line["target"], &line["message"]), (&"INFO".into(), &"nginx".into(), &"request".into()));
        assert_eq!((&line["node"], &line["node_status"]), (&front.node.addr().to_string().into(), &status.to_string().into()));
        assert!(line["duration_s"].is_number() && line["timestamp"].as_str().unwrap().contains('T'), "{line}");
        for personal in ["somebody", "browser", "r.example", "127.0.0.1\""] {
            assert!(!line.to_string().contains(personal), "{personal} is nobody's business: {line}");
        }
    }
    for strange in ["a b", "a\"b", &"x".repeat(65)] {
        let answer = front.ask(&format!("GET /nosuch1 HTTP/1.1\r\nhost: t\r\nx-request-id: {strange}\r\n\r\n"));
        let id = answer.header("x-request-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{strange}: {id}");
        assert_eq!(answer.json()["request_id"], id);
    }
}

/// A visitor chooses no trace that is recorded; a trace goes on under its id, into both logs.
#[test]
fn a_trace_goes_on_and_a_stranger_does_not_choose_what_is_recorded() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let front = Front::start_with(&FrontSetup::default(), |config| {
        config.telemetry.endpoint = OtlpEndpoint::parse(&format!("http://{closed}"), OtlpProtocol::Grpc);
        config.telemetry.sample_one_in = 0;
        config.telemetry.slow = std::time::Duration::ZERO;
    });
    front.node.shorten("abc", "https://example.com/");
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let asked = |id: &str, traceparent: &str| {
        let request = format!(
            "GET /urls/1 HTTP/1.1\r\nhost: t\r\nx-request-id: {id}\r\ntraceparent: {traceparent}\r\ntracestate: a=b\r\n\r\n"
        );
        let answer = front.ask(&request);
        assert_eq!((answer.status, answer.header("traceresponse")), (200, None), "{answer:?}");
        logged(&front.nginx, id)["trace_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(asked("known", &format!("00-{trace}-{parent}-01")), trace);
    for (id, strange) in
        [("zeros", format!("00-{}-{parent}-01", "0".repeat(32))), ("short", "00-1-2-3".to_owned()), ("none", String::new())]
    {
        let became = asked(id, &strange);
        assert!(became.len() == 32 && became != trace, "{id}: the node has begun one: {became:?}");
    }
    let counts = &front.node.app.state().metrics.traces.counts;
    assert_eq!((counts.failures.get(), counts.overflowed.get()), (0, 0), "none was to be sent");
    assert_eq!(front.node.metric("knurl_traces_queued_spans"), 0.0);
}

#[test]
fn the_listener_with_tls_is_there_too() {
    let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/../knurl-store/tests/postgres/certificates");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls = Tls { port, chain: format!("{certificates}/server.pem").into(), key: format!("{certificates}/server.key").into() };
    let front = Front::start_with(&FrontSetup { tls: Some(tls), ..FrontSetup::default() }, |_| {});
    // A plain request on the port of TLS: nginx answers it there, in our shape.
    let answer = ask(([127, 0, 0, 1], port).into(), "GET /abc HTTP/1.1\r\nhost: t\r\n\r\n");
    answer.assert_problem(400, "bad_request");
    assert_eq!(front.get("/health").status, 200);
}
