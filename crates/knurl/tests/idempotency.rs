//! A server that dies between making a link and saying so: whoever asks again gets that link, and no second one.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use std::{os::unix::process::ExitStatusExt, sync::Arc};

use rustix::process::Signal;
use wire::{Answer, process::Process};

fn create(process: &Process, path: &str, body: &str) -> Option<Answer> {
    let mut peer = process.connect();
    let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\nidempotency-key: k\r\ncontent-length: {}\r\n\r\n", body.len());
    peer.send(format!("{head}{body}").as_bytes());
    peer.answer()
}

fn links(process: &Process) -> Vec<serde_json::Value> {
    let mut peer = process.connect();
    peer.send(b"GET /urls HTTP/1.1\r\nhost: t\r\n\r\n");
    peer.answer().unwrap().json().as_array().unwrap().clone()
}

/// Killed at `point`, asked again after each of several starts: `made` links before the second request.
fn killed_at(point: &str, path: &str, body: &str, made: usize, wanted: usize) {
    // The same from start to start, as the ports are not.
    let base_url = ("KNURL_BASE_URL", "https://sho.rt");
    let process = Process::start_with(&[("KNURL_FAILPOINT", &format!("{point}@1")), base_url]);
    let dir = Arc::clone(&process.dir);
    assert!(create(&process, path, body).is_none(), "it dies before it answers");
    assert_eq!(process.end().signal(), Some(Signal::KILL.as_raw()));
    let mut answers = Vec::new();
    for start in 0..2 {
        let process = Process::start_in(Arc::clone(&dir), &[base_url]);
        if start == 0 {
            assert_eq!(links(&process).len(), made);
        }
        for _ in 0..2 {
            let answer = create(&process, path, body).unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
            answers.push(answer);
        }
        assert_eq!(links(&process).len(), wanted);
        process.signal(Signal::TERM);
        assert_eq!(process.end().code(), Some(0));
    }
    assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:?}");
    let replays: Vec<_> = answers.iter().map(|answer| answer.header("idempotent-replayed").is_some()).collect();
    assert_eq!(replays, [made > 0, true, true, true]);
}

const ONE: &str = r#"{"url":"https://example.org/"}"#;

#[test]
fn killed_after_the_commit_the_link_is_there_and_stays_the_only_one() {
    killed_at("api::created_once", "/shorten", ONE, 1, 1);
}

#[test]
fn killed_before_the_commit_nothing_is_there_and_the_next_request_makes_it() {
    killed_at("store::created_once", "/shorten", ONE, 0, 1);
}
