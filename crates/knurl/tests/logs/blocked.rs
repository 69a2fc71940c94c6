//! A pipe that nobody reads.

use std::{process::Stdio, time::Instant};

use rustix::process::Signal;

use super::*;

/// Requests between two looks.
const ROUND: usize = 2_000;

#[test]
fn a_log_that_nobody_reads_costs_lines_and_no_answer() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    // Kept open and never read: the kernel takes some 64 KB, the queue its lines, and then there is no room.
    let (unread, log) = std::io::pipe().unwrap();
    let process = start(&dir, Stdio::from(log), &[("KNURL_LOG_LEVEL", "debug")]);
    let mut peer = process.connect();
    let begun = Instant::now();
    let dropped = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("knurl_log_dropped_total ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    while dropped(&metrics(&process)) == 0 {
        assert!(begun.elapsed() < LONG, "lines are dropped in the end");
        for _ in 0..ROUND {
            // Each writes a line.
            peer.send(b"GET /nosuch1 HTTP/1.1\r\nhost: t\r\n\r\n");
            assert_eq!(peer.answer().unwrap().status, 404);
        }
    }
    // Nobody has made room, and everything is answered all the same.
    for _ in 0..ROUND {
        peer.send(b"GET /nosuch1 HTTP/1.1\r\nhost: t\r\n\r\n");
        assert_eq!(peer.answer().unwrap().status, 404);
    }
    drop(peer);
    process.signal(Signal::TERM);
    assert!(process.end().success(), "a stop waits for no reader");
    drop(unread);
}
