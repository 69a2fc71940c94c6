//! Nodes that do not answer: who is asked instead, and what is never asked twice.

use std::{
    io::Read as _,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use super::*;

/// A node that dies of every request: it reads it and closes.
struct Dying {
    addr: SocketAddr,
    heard: Arc<AtomicUsize>,
}

impl Dying {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, heard) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), [0; 4096]);
                let n = stream.read(&mut request).unwrap();
                // Counted before it closes: whoever sees the connection end may ask at once.
                counter.fetch_add(usize::from(n > 0), SeqCst);
                drop(stream);
            }
        });
        Self { addr, heard }
    }

    fn heard(&self) -> usize {
        self.heard.load(SeqCst)
    }
}

#[test]
fn a_get_goes_on_to_the_next_node() {
    let (dying, node) = (Dying::start(), Server::start());
    node.shorten("abc", "https://example.com/");
    let nginx = front::start(&[dying.addr, node.addr()], &FrontSetup::default()).unwrap();
    let mut asked = 0;
    while dying.heard() < 2 {
        for path in ["/abc", "/urls/1"] {
            let answer = ask(addr(&nginx), &format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
            assert!(matches!(answer.status, 302 | 200), "{answer:?}");
            asked += 1;
            assert!(asked < 1_000, "the dying node is asked sometime");
        }
    }
    let line = logged(&nginx, &format!("{}, ", dying.addr));
    assert_eq!(line["node"], format!("{}, {}", dying.addr, node.addr()), "the log names both");
}

/// As `nodes.conf` has it: `max_fails=2 fail_timeout=2s`.
#[test]
fn a_node_that_twice_did_not_answer_is_left_alone_for_a_while_and_asked_again_afterwards() {
    const LEFT_ALONE: Duration = Duration::from_secs(2);
    let node = Server::start();
    node.shorten("abc", "https://example.com/");
    // A machine that is busy may take longer for a few redirects than the node is left alone: then nothing was seen, and it is done anew.
    let seen = (0..10).any(|_| {
        let dying = Dying::start();
        let nginx = front::start(&[dying.addr, node.addr()], &FrontSetup::default()).unwrap();
        let redirect = || assert_eq!(ask(addr(&nginx), "GET /abc HTTP/1.1\r\nhost: t\r\n\r\n").status, 302);
        let until_heard = |times: usize| {
            let begun = Instant::now();
            while dying.heard() < times {
                redirect();
                assert!(begun.elapsed() < Duration::from_secs(60), "the dying node is not asked");
            }
        };
        until_heard(1);
        let failed = Instant::now();
        until_heard(2);
        (0..40).for_each(|_| redirect());
        let heard = dying.heard();
        let is_in_time = failed.elapsed() < LEFT_ALONE;
        assert!(!is_in_time || heard == 2, "asked {heard} times in {:?}", failed.elapsed());
        until_heard(heard + 1);
        is_in_time
    });
    assert!(seen, "this machine is too slow to see it");
}

#[test]
fn a_post_that_may_have_arrived_is_never_sent_again() {
    let (dying, node) = (Dying::start(), Server::start());
    let nginx = front::start(&[dying.addr, node.addr()], &FrontSetup::default()).unwrap();
    let (mut made, mut failed) = (0, 0);
    while failed == 0 {
        let answer = ask(addr(&nginx), &post("/shorten", r#"{"url":"https://example.com/"}"#));
        match answer.status {
            201 => made += 1,
            _ => {
                answer.assert_problem(502, "no_node");
                failed += 1;
            }
        }
        assert!(made < 1_000, "the dying node is asked sometime");
    }
    assert_eq!(dying.heard(), 1);
    assert_eq!(
        node.get("/urls?page=1&per_page=1").header("x-total-count"),
        Some(made.to_string().as_str()),
        "once each, and no more"
    );
}

#[test]
fn a_post_that_cannot_have_arrived_goes_on_to_the_next_node() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = Server::start();
    let nginx = front::start(&[gone, node.addr()], &FrontSetup::default()).unwrap();
    for _ in 0..10 {
        assert_eq!(ask(addr(&nginx), &post("/shorten", r#"{"url":"https://example.com/"}"#)).status, 201);
    }
    assert_eq!(node.get("/urls?page=1&per_page=1").header("x-total-count"), Some("10"));
}

#[test]
fn a_redirect_does_not_wait_for_a_node_that_stands_still() {
    // Connections come about in the kernel; nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Server::start();
    node.shorten("abc", "https://example.com/");
    let setup = FrontSetup { instead: vec![("proxy_read_timeout 3s", "proxy_read_timeout 100ms")], ..FrontSetup::default() };
    let nginx = front::start(&[silent.local_addr().unwrap(), node.addr()], &setup).unwrap();
    for _ in 0..10 {
        assert_eq!(ask(addr(&nginx), "GET /abc HTTP/1.1\r\nhost: t\r\n\r\n").status, 302);
    }
    logged(&nginx, &format!("{}, ", silent.local_addr().unwrap()));
}

#[test]
fn connections_to_a_node_are_kept() {
    let front = Front::start();
    for _ in 0..50 {
        assert_eq!(front.get("/health").status, 200);
    }
    let accepted = front.node.metric("knurl_connections_accepted_total");
    assert!(accepted <= 8.0, "{accepted} for 50 requests");
}
