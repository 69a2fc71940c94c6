//! Slow, silent, greedy and malformed peers: each is answered or closed in bounded time, and the others are served meanwhile.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use std::time::Duration;

use wire::{Answer, Peer, Server};

const SHORT: Duration = Duration::from_millis(200);

fn impatient() -> Server {
    Server::start_with(|config| {
        config.http.first_byte_timeout = SHORT;
        config.http.header_timeout = SHORT;
        config.http.idle_timeout = SHORT;
        config.http.write_timeout = SHORT;
    })
}

fn timeouts(kind: &str) -> String {
    format!("knurl_connection_timeouts_total{{kind=\"{kind}\"}}")
}

/// Sends bytes that are no acceptable request and returns the problem they got; the connection must end after it.
fn refused(server: &Server, bytes: &[u8]) -> Answer {
    let mut peer = server.connect();
    peer.send(bytes);
    let answer =
        peer.answer().unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)])));
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert!(answer.header("date").is_some(), "{answer:?}");
    peer.closed();
    answer
}

#[test]
fn a_peer_that_says_nothing_is_closed() {
    let server = impatient();
    let mut silent: Vec<Peer> = (0..20).map(|_| server.connect()).collect();
    assert_eq!(server.get("/health").status, 200, "others are served meanwhile");
    silent.iter_mut().for_each(Peer::closed);
    server.metric_reaches(&timeouts("first_byte"), 20.0);
    server.metric_reaches("knurl_connections_accepted_total", 21.0);
    server.stop();
}

#[test]
fn a_header_that_trickles_in_is_not_waited_for() {
    let server = impatient();
    let mut slow = server.connect();
    let mut bytes = b"GET /health HTTP/1.1\r\nhost: t\r\nx: ".iter().copied().chain(std::iter::repeat(b'a'));
    let begun = std::time::Instant::now();
    // One byte at a time, for as long as the server takes them.
    while std::io::Write::write_all(&mut slow.stream, &[bytes.next().unwrap()]).is_ok() {
        assert!(begun.elapsed() < wire::LONG, "the header never ended and was read for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.closed();
    server.metric_is(&timeouts("header"), 1.0);
    assert_eq!(server.get("/health").status, 200);
    server.stop();
}

#[test]
fn a_kept_connection_that_asks_no_more_is_closed() {
    let server = impatient();
    let mut idle = server.connect();
    for _ in 0..2 {
        idle.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
        assert_eq!(idle.answer().unwrap().status, 200);
    }
    idle.closed();
    server.metric_is(&timeouts("idle"), 1.0);
    server.stop();
}

#[test]
fn a_peer_that_never_reads_its_answers_is_dropped() {
    let server = impatient();
    let mut greedy = server.connect();
    greedy.stream.set_nonblocking(true).unwrap();
    let asks = "GET /nosuch HTTP/1.1\r\nhost: t\r\n\r\n".repeat(100);
    let begun = std::time::Instant::now();
    // Asks on and on and takes no answer, until the connection is gone.
    loop {
        match std::io::Write::write(&mut greedy.stream, asks.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => break,
        }
        assert!(begun.elapsed() < wire::LONG, "the connection was kept for ever");
    }
    server.metric_reaches(&timeouts("write"), 1.0);
    assert_eq!(server.get("/health").status, 200);
    server.stop();
}

#[test]
fn what_is_not_http_gets_a_problem_and_its_connection_ends() {
    let server = Server::start();
    let bad: &[&[u8]] = &[
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        b"garbage\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"POST /urls HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /urls HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /urls HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST /urls HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST /urls HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for bytes in bad {
        refused(&server, bytes).assert_problem(400, "bad_request");
    }
    server.metric_is("knurl_requests_malformed_total", bad.len() as f64);
    assert_eq!(server.get("/health").status, 200);
    server.stop();
}

#[test]
fn a_request_names_one_host_or_is_refused() {
    let server = Server::start();
    server.shorten("abc", "https://example.com/");
    let metrics = || Peer::to(server.app.metrics_addr());
    let hosts = [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a\r\nHost: a\r\n",
        "host: a b/c\r\n",
        "host: a/\r\n",
        "host: u@a\r\n",
        "host: a:b\r\n",
    ];
    for host in hosts {
        for ask in [
            "GET /abc",
            "HEAD /abc",
            "GET /nosuch",
            "GET /urls",
            "GET /health",
            "DELETE /abc",
            "GET /a/b",
            "GET /urls/abc/redirect",
        ] {
            let mut peer = server.connect();
            peer.send(format!("{ask} HTTP/1.1\r\n{host}\r\n").as_bytes());
            let answer = peer.answer_to(ask.split(' ').next().unwrap()).unwrap();
            assert_eq!(answer.status, 400, "{ask} with {host:?}");
            if !ask.starts_with("HEAD") {
                answer.assert_problem(400, "bad_request");
            }
        }
        let mut peer = metrics();
        peer.send(format!("GET /health HTTP/1.1\r\n{host}\r\n").as_bytes());
        peer.answer().unwrap().assert_problem(400, "bad_request");
    }
    server.metric_is("knurl_requests_malformed_total", (hosts.len() * 8) as f64);
    server.metric_is("knurl_clicks_answered_total", 0.0);
    for host in ["host: t", "host:", "host: [::1]:8080", "HOST: sho.rt.:80"] {
        for (ask, status) in [("GET /abc", 302), ("GET /health", 200)] {
            assert_eq!(server.ask(&format!("{ask} HTTP/1.1\r\n{host}\r\n\r\n")).status, status, "{ask} with {host:?}");
        }
    }
    for (host, status) in [("", 302), ("host: t\r\n", 302), ("host: a\r\nhost: b\r\n", 400), ("host: a b\r\n", 400)] {
        let mut peer = server.connect();
        peer.send(format!("GET /abc HTTP/1.0\r\n{host}\r\n").as_bytes());
        assert_eq!(peer.answer().unwrap().status, status, "HTTP/1.0 with {host:?}");
    }
    server.stop();
}

#[test]
fn a_request_whose_length_is_ambiguous_is_refused() {
    let server = Server::start();
    let chunked = "transfer-encoding: chunked\r\n";
    let heads = [
        format!("POST /urls HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n{chunked}\r\n0\r\n\r\n"),
        format!("POST /urls HTTP/1.1\r\nhost: t\r\n{chunked}Content-Length: 5\r\n\r\n0\r\n\r\n"),
        format!("GET /abc HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n{chunked}\r\n0\r\n\r\n"),
        format!("GET /abc HTTP/1.1\r\nhost: t\r\n{chunked}\r\n5\r\nhello\r\n0\r\n\r\n"),
    ];
    for head in &heads {
        refused(&server, head.as_bytes()).assert_problem(400, "bad_request");
    }
    // Behind another request in the same write, where the head as it came is not at hand.
    let mut peer = server.connect();
    peer.send(format!("GET /health HTTP/1.1\r\nhost: t\r\n\r\n{}", heads[0]).as_bytes());
    assert_eq!(peer.answer().unwrap().status, 200);
    peer.answer().unwrap().assert_problem(400, "bad_request");
    peer.closed();
    server.metric_is("knurl_requests_malformed_total", heads.len() as f64 + 1.0);
    server.stop();
}

#[test]
fn a_chunked_body_alone_is_welcome() {
    let server = Server::start();
    let body = r#"{"url":"https://example.com/"}"#;
    let head = "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = server.ask(&format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(answer.status, 201, "{answer:?}");
    server.stop();
}

#[test]
fn what_is_too_long_is_told_so() {
    let server = Server::start();
    let long = "a".repeat(100 * 1024);
    let header = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {long}\r\n\r\n");
    refused(&server, header.as_bytes()).assert_problem(431, "header_too_large");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    refused(&server, many.as_bytes()).assert_problem(431, "header_too_large");
    let uri = format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n");
    refused(&server, uri.as_bytes()).assert_problem(414, "uri_too_long");
    let uri_bytes_max = server.app.state().config.http.uri_bytes_max;
    let just_too_long = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(uri_bytes_max));
    server.ask(&just_too_long).assert_problem(414, "uri_too_long");
    server.stop();
}

#[test]
fn answers_to_the_requests_before_a_malformed_one_arrive_first() {
    let server = Server::start();
    let mut peer = server.connect();
    peer.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\nGET /nosuch HTTP/1.1\r\nhost: t\r\n\r\n\x00\x01 nonsense\r\n\r\n");
    assert_eq!(peer.answer().unwrap().status, 200);
    assert_eq!(peer.answer().unwrap().status, 404);
    peer.answer().unwrap().assert_problem(400, "bad_request");
    peer.closed();
    server.stop();
}

#[test]
fn beyond_the_cap_a_connection_is_told_503_and_health_still_answers_on_the_metrics_listener() {
    let server = Server::start_with(|config| config.http.connections_max = 3);
    let mut kept: Vec<Peer> = (0..3).map(|_| server.connect()).collect();
    for peer in &mut kept {
        peer.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
        assert_eq!(peer.answer().unwrap().status, 200);
    }
    let answer = refused(&server, b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
    answer.assert_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let mut probe = Peer::to(server.app.metrics_addr());
    probe.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(probe.answer().unwrap().body, r#"{"status":"ok"}"#);
    server.metric_is("knurl_connections_refused_total", 1.0);
    server.metric_is("knurl_connections_open", 3.0);
    drop(kept);
    // Room again as soon as one of them is gone.
    let begun = std::time::Instant::now();
    while server.get("/health").status != 200 {
        assert!(begun.elapsed() < wire::LONG);
    }
    server.stop();
}

#[test]
fn the_metrics_listener_serves_metrics_and_health_and_nothing_else() {
    let server = Server::start();
    let ask = |request: &str| {
        let mut peer = Peer::to(server.app.metrics_addr());
        peer.send(request.as_bytes());
        peer.answer().unwrap()
    };
    let metrics = ask("GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let newer =
        ask("GET /metrics HTTP/1.1\r\nhost: t\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n");
    assert!(newer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(metrics.body.contains("knurl_build_info{version="), "{}", metrics.body);
    let counter = "# TYPE knurl_connections_accepted";
    assert!(metrics.body.contains(&format!("{counter}_total counter\n")) && !metrics.body.contains("# EOF"), "{}", metrics.body);
    assert!(newer.body.contains(&format!("{counter} counter\n")) && newer.body.ends_with("# EOF\n"), "{}", newer.body);
    ask("GET /urls HTTP/1.1\r\nhost: t\r\n\r\n").assert_problem(404, "unknown_path");
    ask("POST /metrics HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n").assert_problem(405, "method_not_allowed");
    server.stop();
}

#[test]
fn a_thousand_connections_that_say_nothing_do_not_keep_others_from_being_served() {
    let server = impatient();
    let mut silent: Vec<Peer> = (0..1_000).map(|_| server.connect()).collect();
    for _ in 0..50 {
        assert_eq!(server.get("/health").status, 200);
    }
    silent.iter_mut().for_each(Peer::closed);
    server.metric_reaches(&timeouts("first_byte"), 1_000.0);
    server.stop();
}
