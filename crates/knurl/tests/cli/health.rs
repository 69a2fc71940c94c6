//! `knurl health` beside a server that is well, that stops, that is stuck, that is gone.

use std::net::TcpListener;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{
    beside_server::{Served, eventually},
    knurl::Knurl,
};

#[test]
fn a_server_that_redirects_is_healthy_wherever_it_listens() {
    let knurl = Knurl::new();
    let _served = Served::start(&knurl, &[]);
    let said = knurl.json(&["health"]);
    assert_eq!((&said["healthy"], &said["answer"]["status"]), (&true.into(), &"ok".into()), "{said}");
    assert!(knurl.ok(&["health", "--live"]).starts_with("healthy: 127.0.0.1:"), "in words too");
}

#[test]
fn a_server_that_takes_its_leave_is_alive_and_not_healthy() {
    let knurl = Knurl::new().with("KNURL_HTTP_READY_DRAIN_MS", "20000");
    let served = Served::start(&knurl, &[]);
    kill_process(served.pid(), Signal::TERM).unwrap();
    eventually("it says no", || knurl.run(&["health"]).code == 1);
    let ran = knurl.run(&["health", "--json"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &said["answer"]["code"]), (1, &"not_ready".into()), "{ran:?}");
    assert_eq!(knurl.run(&["health", "--live"]).code, 0);
    // The second one ends it at once, where it is not the first one told twice.
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    kill_process(served.pid(), Signal::TERM).unwrap();
    assert_eq!(served.stop().0, 1);
}

#[test]
fn a_server_that_is_gone_or_stuck_is_not_healthy_and_nobody_waits_for_it() {
    let knurl = Knurl::new();
    let served = Served::start(&knurl, &[]);
    kill_process(served.pid(), Signal::STOP).unwrap();
    let stuck = knurl.fails(1, &["health"]);
    assert!(stuck.contains("does not answer"), "{stuck}");
    kill_process(served.pid(), Signal::CONT).unwrap();
    assert_eq!(served.stop().0, 0);
    let gone = knurl.fails(1, &["health"]);
    assert!(gone.contains("does not answer"), "{gone}");
}

#[test]
fn where_no_server_has_served_yet_the_configured_address_is_asked() {
    // Somebody else's, who says nothing that we understand.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap().to_string();
    let rude = std::thread::spawn(move || {
        let (mut peer, _) = other.accept().unwrap();
        std::io::Write::write_all(&mut peer, b"SSH-2.0-somebody\r\n\r\n").unwrap();
        // What it was asked, to the end: a close with something unread is a reset, which overtakes what was said.
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        std::io::copy(&mut peer, &mut std::io::sink()).unwrap();
    });
    let knurl = Knurl::new().with("KNURL_METRICS_LISTEN", &addr);
    let said = knurl.fails(1, &["health"]);
    assert!(said.contains(&addr) && said.contains("does not speak as knurl does"), "{said}");
    rude.join().unwrap();
    assert!(!knurl.path("data").exists(), "a command that only asks makes nothing");
}
