//! Stopping: what is in flight is finished, what hangs is cut, and the end comes by the deadline.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use std::{net::TcpStream, process::Command, time::Duration};

use rustix::process::Signal;
use wire::{LONG, Peer, Server, process::Process};

#[test]
fn silent_and_half_said_connections_do_not_hold_up_the_end() {
    // So short that only the drain's own deadline can be what ends them.
    let server = Server::start_with(|config| {
        config.http.drain_timeout = Duration::from_millis(400);
        config.http.first_byte_timeout = LONG;
        config.http.header_timeout = LONG;
    });
    let mut silent: Vec<Peer> = (0..10).map(|_| server.connect()).collect();
    let mut half: Vec<Peer> = (0..10).map(|_| server.connect()).collect();
    half.iter_mut().for_each(|peer| peer.send(b"GET /abc HTTP/1.1\r\nho"));
    assert_eq!(server.get("/health").status, 200);
    server.metric_reaches("knurl_connections_open", 20.0);
    let metrics = std::sync::Arc::clone(&server.app.state().metrics);
    server.stop();
    silent.iter_mut().for_each(Peer::closed);
    half.iter_mut().for_each(Peer::closed);
    assert_eq!(metrics.connections.drain_timeouts.get(), 10, "the silent ones leave at once, the half-said ones at the deadline");
    assert_eq!(metrics.connections.open.get(), 0);
}

#[test]
fn kept_connections_are_closed_and_nothing_is_accepted_any_more() {
    let server = Server::start();
    let mut kept = server.connect();
    kept.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(kept.answer().unwrap().status, 200);
    let (addr, metrics_addr) = (server.addr(), server.app.metrics_addr());
    let metrics = std::sync::Arc::clone(&server.app.state().metrics);
    server.stop();
    kept.closed();
    assert_eq!(metrics.connections.drain_timeouts.get(), 0);
    assert!(TcpStream::connect(addr).is_err());
    assert!(TcpStream::connect(metrics_addr).is_err());
}

#[test]
fn a_request_in_flight_is_answered_with_connection_close() {
    let server = Server::start();
    let body = r#"{"url":"https://example.com/"}"#;
    let mut peer = server.connect();
    let head = "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n";
    peer.send(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes());
    // A second connection that was served tells that the first one's header, sent before, is very likely being served: either way the
    // answer must come.
    assert_eq!(server.get("/health").status, 200);
    let Server { app, runtime, dir } = server;
    let stopping = runtime.spawn(app.stop());
    peer.send(body.as_bytes());
    let answer = peer.answer().expect("the answer in flight");
    assert_eq!(answer.status, 201, "{answer:?}");
    peer.closed();
    runtime.block_on(stopping).unwrap();
    drop(dir);
}

fn ask(addr: std::net::SocketAddr, path: &str) -> wire::Answer {
    let mut peer = Peer::to(addr);
    peer.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes());
    peer.answer().expect("an answer")
}

#[test]
fn a_balancer_is_told_before_the_listener_closes_and_every_answer_is_its_connections_last() {
    let server = Server::start_with(|config| config.http.ready_drain = Duration::from_secs(2));
    let (addr, metrics_addr) = (server.addr(), server.app.metrics_addr());
    server.shorten("abc", "https://example.com/");
    let is_shown_ready = |figure: u8| ask(metrics_addr, "/metrics").body.contains(&format!("\nknurl_ready {figure}.0\n"));
    for addr in [addr, metrics_addr] {
        assert_eq!(ask(addr, "/readyz").json()["status"], "ok");
        assert_eq!(ask(addr, "/startupz").body, r#"{"status":"ok"}"#);
    }
    assert!(is_shown_ready(1));
    let mut kept = server.connect();
    kept.send(b"GET /abc HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(kept.answer().unwrap().header("connection"), None);
    let Server { app, runtime, dir } = server;
    let stopping = runtime.spawn(app.stop());
    while ask(metrics_addr, "/readyz").status == 200 {
        std::thread::sleep(Duration::from_millis(2));
    }
    for addr in [addr, metrics_addr] {
        ask(addr, "/readyz").assert_problem(503, "not_ready");
        assert_eq!(ask(addr, "/livez").status, 200);
        assert_eq!(ask(addr, "/health").body, r#"{"status":"ok"}"#);
    }
    assert!(is_shown_ready(0));
    for request in ["GET /abc", "GET /health", "DELETE /abc"] {
        let mut peer = Peer::to(addr);
        peer.send(format!("{request} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes());
        let answer = peer.answer().unwrap();
        assert_eq!(answer.header("connection"), Some("close"), "{request}: {answer:?}");
        peer.closed();
    }
    kept.send(b"GET /abc HTTP/1.1\r\nhost: t\r\n\r\n");
    let answer = kept.answer().expect("a kept connection brings one more request");
    assert_eq!((answer.status, answer.header("connection")), (302, Some("close")));
    kept.closed();
    runtime.block_on(stopping).unwrap();
    assert!(TcpStream::connect(addr).is_err());
    drop(dir);
}

#[test]
fn a_listener_that_closes_without_haste_resets_nobody_who_has_connected() {
    let server = Server::start_with(|config| config.http.ready_drain = Duration::from_millis(300));
    let addr = server.addr();
    let hammering: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answered = 0;
                // Until it is refused: whoever got a connection before that gets an answer.
                while let Ok(mut peer) = Peer::try_to(addr) {
                    peer.send(b"POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-length: 22\r\n\r\n{\"url\":\"https://a.io\"}");
                    assert_eq!(peer.answer().expect("an answer to a request that was sent").status, 201);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    while server.metric("knurl_connections_accepted_total") < 100.0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    server.stop();
    let answered: u32 = hammering.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answered > 50, "{answered}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_a_start() {
    let server = Server::start();
    let link = server.shorten("abc", "https://example.com/");
    for _ in 0..5 {
        assert_eq!(server.get("/abc").status, 302);
    }
    let Server { app, runtime, dir } = server;
    runtime.block_on(app.stop());
    let again = Server::start_with(|config| config.data_dir = dir.path().join("data"));
    assert_eq!(again.get("/abc").header("location"), Some("https://example.com/"));
    let events = again.get(&format!("/events?event_type=click&url_id={}", link["id"])).json();
    assert_eq!(events.as_array().unwrap().len(), 6);
    again.stop();
}

#[test]
fn the_first_line_says_where_it_serves_and_sigterm_ends_it_well() {
    let process = Process::start();
    assert_eq!(process.ready["event"], "ready");
    assert!(process.ready["metrics_listen"].as_str().unwrap().starts_with("127.0.0.1:"));
    let mut peer = process.connect();
    peer.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(peer.answer().unwrap().body, r#"{"status":"ok"}"#);
    process.signal(Signal::TERM);
    peer.closed();
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let process = Process::start();
    let mut held = process.connect();
    held.send(b"GET /abc HTTP/1.1\r\nho");
    let mut peer = process.connect();
    peer.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
    peer.answer().unwrap();
    process.signal(Signal::TERM);
    // Its kept connection closing tells that the first signal has arrived; the half-said request now holds up the end.
    peer.closed();
    process.signal(Signal::INT);
    assert_eq!(process.end().code(), Some(1));
}

/// GNU `timeout` tells the process, and then its group.
#[test]
fn the_same_signal_again_at_once_is_the_same_wish() {
    let process = Process::start();
    let mut held = process.connect();
    held.send(b"GET /health HTTP/1.1\r\nho");
    let mut peer = process.connect();
    peer.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n");
    peer.answer().unwrap();
    process.signal(Signal::TERM);
    peer.closed();
    process.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(50));
    held.send(b"st: t\r\n\r\n");
    assert_eq!(held.answer().unwrap().body, r#"{"status":"ok"}"#, "what was on its way is answered");
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_second_process_on_the_same_directory_or_address_says_why_it_cannot_start() {
    let process = Process::start();
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    };
    let sentence = said(&mut Process::command(process.dir.path()));
    assert!(sentence.contains("another"), "{sentence:?}");
    let dir = tempfile::tempdir().unwrap();
    let sentence = said(Process::command(dir.path()).env("KNURL_LISTEN", process.ready["listen"].as_str().unwrap()));
    assert!(sentence.contains("is in use") && sentence.contains("KNURL_LISTEN"), "{sentence:?}");
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(0));
}

/// Needs the feature, as `make test` has it.
#[cfg(feature = "failpoints")]
#[test]
fn a_process_whose_every_worker_hangs_aborts_by_itself() {
    use std::os::unix::process::ExitStatusExt;

    let process =
        Process::start_with(&[("KNURL_FAILPOINT", "clicks::before_append@2,hang"), ("KNURL_WATCHDOG_STUCK_AFTER_MS", "1000")]);
    let body = r#"{"url":"https://example.com/","custom_code":"there"}"#;
    let mut peer = process.connect();
    let head = "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n";
    peer.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
    assert_eq!(peer.answer().unwrap().status, 201);
    peer.send(b"GET /there HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(peer.answer().unwrap().status, 302, "the first click hangs nothing");
    // Each hangs one worker, whoever of them takes it.
    let workers = std::thread::available_parallelism().unwrap().get();
    let mut hanging: Vec<Peer> = (0..workers * 2).map(|_| process.connect()).collect();
    hanging.iter_mut().for_each(|peer| peer.send(b"GET /there HTTP/1.1\r\nhost: t\r\n\r\n"));
    assert_eq!(process.end().signal(), Some(Signal::ABORT.as_raw()));
}
