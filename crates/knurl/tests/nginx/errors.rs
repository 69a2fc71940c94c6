//! nginx's own errors have the shape of ours.

use std::io::Write as _;

use super::*;

/// Of a request that nginx refused: ours in every respect, under one id.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    answer.assert_problem(status, code);
    let problem = answer.json();
    assert_eq!(problem["request_id"], answer.header("x-request-id").unwrap(), "{answer:?}");
    assert_eq!(problem["type"], format!("urn:knurl:error:{code}"));
    assert_eq!(problem["error"], problem["detail"]);
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    let passes = [429, 502, 503, 504].contains(&status);
    assert_eq!(answer.header("retry-after").is_some(), passes, "{answer:?}");
    assert!(!answer.head.to_lowercase().contains("nginx/"), "no version: {answer:?}");
}

#[test]
fn what_nginx_cannot_read_or_will_not_take_is_a_problem_of_ours() {
    let front = Front::start();
    refused(&front.ask("nonsense\r\n\r\n"), 400, "bad_request");
    refused(&front.ask("GET / HTTP/1.1\r\n\r\n"), 400, "bad_request");
    refused(&front.ask("GET / HTTP/7.3\r\nhost: t\r\n\r\n"), 400, "bad_request");
    refused(&front.ask("POST /urls HTTP/1.1\r\nhost: t\r\ntransfer-encoding: strange\r\n\r\n"), 400, "bad_request");
    let traced = front.ask("TRACE /abc HTTP/1.1\r\nhost: t\r\n\r\n");
    refused(&traced, 405, "method_not_allowed");
    assert!(traced.header("allow").is_some());
    // The addresses of its own pages are no addresses.
    refused(&front.get("/-/knurl/413"), 404, "unknown_path");
    assert_eq!(front.get("/health").status, 200, "and it goes on");
}

#[test]
fn the_instance_is_the_path_that_was_asked_for_and_never_breaks_the_json() {
    let front = Front::start();
    let instance = |path: &str| {
        let answer = front.ask(&format!("TRACE {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        refused(&answer, 405, "method_not_allowed");
        answer.json()["instance"].as_str().unwrap().to_owned()
    };
    assert_eq!(instance("/users/7?secret=1"), "/users/7");
    assert_eq!(instance("/a\"b\\c"), "/a");
    assert_eq!(instance("http://t/abc"), "/abc");
    assert_eq!(instance(&format!("/{}", "x".repeat(400))).len(), 256);
}

#[test]
fn oversized_things_are_refused_alike_by_nginx_and_by_the_node() {
    let front = Front::start();
    let body = |bytes: usize| post("/shorten", &format!("{{\"url\":\"https://a.example/{}\"}}", "x".repeat(bytes)));
    for (bytes, status, code) in [(2_000_000, 413, "body_too_large"), (1_048_570, 413, "body_too_large")] {
        let (ours, theirs) = (front.node.ask(&body(bytes)), front.ask(&body(bytes)));
        ours.assert_problem(status, code);
        refused(&theirs, status, code);
    }
    for (what, request, status, code) in [
        ("address, the node's limit", format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a/".repeat(5_000)), 414, "uri_too_long"),
        ("address, nginx's limit", format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a/".repeat(30_000)), 414, "uri_too_long"),
        (
            "header, the node's limit",
            format!("GET /abc HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(40_000)),
            431,
            "header_too_large",
        ),
        (
            "header, nginx's limit",
            format!("GET /abc HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(60_000)),
            431,
            "header_too_large",
        ),
    ] {
        front.node.ask(&request).assert_problem(status, code);
        let answer = front.ask(&request);
        answer.assert_problem(status, code);
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id").unwrap(), "{what}");
    }
    let long = format!("GET /abc?{} HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "q".repeat(8_000), "y".repeat(30_000));
    assert_eq!(front.ask(&long).status, front.node.ask(&long).status, "what the node takes, nginx passes on");
}

#[test]
fn a_file_may_be_as_large_as_the_node_says_and_nothing_else_may() {
    let front = Front::start();
    let mut users = "id,username,email,created_at\n".to_owned();
    for n in 0..40_000 {
        users.push_str(&format!("{n},user{n},user{n}@example.com,2026-01-01T00:00:00\n"));
    }
    assert!(users.len() > 1_048_576);
    let upload = |path: &str| {
        front.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n{users}",
            users.len()
        ))
    };
    refused(&upload("/urls/bulk"), 413, "body_too_large");
    assert_eq!(upload("/users/bulk").status, 201);
    assert_eq!(upload("/api/v1/users/bulk").status, 201);
}

#[test]
fn a_front_without_nodes_says_so() {
    // Bound and closed again: nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nginx = front::start(&[gone], &FrontSetup::default()).unwrap();
    for request in ["GET /abc HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(), post("/shorten", "{}")] {
        refused(&ask(addr(&nginx), &request), 502, "no_node");
    }
}

#[test]
fn a_node_that_is_silent_is_not_waited_for_for_ever() {
    // Connections come about in the kernel; nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = FrontSetup { instead: vec![("proxy_read_timeout 12s", "proxy_read_timeout 200ms")], ..FrontSetup::default() };
    let nginx = front::start(&[silent.local_addr().unwrap()], &setup).unwrap();
    refused(&ask(addr(&nginx), &post("/shorten", "{}")), 504, "node_timeout");
}

/// A front whose only node is silent: requests stay in flight. Who asks is what they say, so that there are more networks than loopback has;
/// `limit_conn` comes after nginx has believed them.
fn crowded() -> (Nginx, std::net::TcpListener) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = FrontSetup {
        instead: vec![
            ("limit_conn knurl_network 256", "limit_conn knurl_network 3"),
            ("limit_conn_status 429;", "limit_conn_status 429; set_real_ip_from 127.0.0.1; real_ip_header X-From;"),
        ],
        ..FrontSetup::default()
    };
    (front::start(&[silent.local_addr().unwrap()], &setup).unwrap(), silent)
}

fn list_from(from: &str) -> String {
    format!("GET /urls HTTP/1.1\r\nhost: t\r\nx-from: {from}\r\n\r\n")
}

/// In flight until it is dropped.
fn in_flight(nginx: &Nginx, silent: &std::net::TcpListener, from: &str) -> Peer {
    let mut peer = Peer::to(addr(nginx));
    peer.send(list_from(from).as_bytes());
    // Taken from the backlog: nginx has handed the request on.
    drop(silent.accept().map(|(stream, _)| std::mem::forget(stream)));
    peer
}

#[test]
fn more_than_its_share_of_one_network_is_refused_with_429() {
    // Each line is one network, and the next ones are others: of the first three of its addresses everybody is served, then nobody.
    let networks: [&[&str]; 8] = [
        &["192.0.2.7"; 4],
        // Bytes that are newlines, last ones too, and zeros.
        &["10.10.10.10"; 4],
        &["0.0.0.10"; 4],
        // An address of the other kind that is this one.
        &["192.0.2.8", "::ffff:192.0.2.8", "192.0.2.8", "::ffff:192.0.2.8"],
        &["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1:a0a:a0a:a0a:a0a"],
        &["2001:db8:0:2::1", "2001:db8:0:2::1", "2001:db8:0:2::1", "2001:db8:0:2::2"],
        &["a0a:a0a:a0a:a0a:a0a:a0a:a0a:a0a", "a0a:a0a:a0a:a0a::a", "a0a:a0a:a0a:a0a::1", "a0a:a0a:a0a:a0a:a::"],
        // The network that IPv4 within IPv6 would be in, if it were not seen for what it is.
        &["::2", "::3", "::a:0:0", "::a"],
    ];
    let (nginx, silent) = crowded();
    let mut waiting = Vec::new();
    for network in networks {
        let (last, first) = network.split_last().unwrap();
        waiting.extend(first.iter().map(|from| in_flight(&nginx, &silent, from)));
        refused(&ask(addr(&nginx), &list_from(last)), 429, "rate_limited");
    }
    drop(waiting);
}

#[test]
fn a_client_that_never_finishes_its_header_or_body_is_cut_off_and_logged() {
    let setup = FrontSetup {
        instead: vec![
            ("client_header_timeout 8s", "client_header_timeout 200ms"),
            ("client_body_timeout 10s", "client_body_timeout 200ms"),
        ],
        ..FrontSetup::default()
    };
    let front = Front::start_with(&setup, |_| {});
    for begun in ["", "GET /half HTTP/1.1\r\nho", "POST /halfbody HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc"] {
        let mut peer = Peer::to(front.addr());
        peer.stream.write_all(begun.as_bytes()).unwrap();
        peer.closed();
    }
    let line = logged(&front.nginx, "/halfbody");
    assert_eq!((&line["status"], &line["node"]), (&408.into(), &"".into()), "the node heard nothing of it: {line}");
    assert_eq!(front.get("/health").status, 200);
}
