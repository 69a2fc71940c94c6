//! A listening socket that outlives the process: a node is restarted alone, and nobody is refused, reset or left without an answer.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use knurl_lab::leash;
use rustix::process::Signal;
use tempfile::TempDir;
use wire::{
    LONG, Peer,
    process::{BINARY, Process},
};

/// Listens before any process does, as systemd does for a `.socket` unit.
struct Supervisor {
    public: TcpListener,
    dir: Arc<TempDir>,
}

impl Supervisor {
    fn new() -> Self {
        Self { public: TcpListener::bind("127.0.0.1:0").unwrap(), dir: Arc::new(tempfile::tempdir().unwrap()) }
    }

    fn addr(&self) -> SocketAddr {
        self.public.local_addr().unwrap()
    }

    fn start(&self) -> Process {
        let mut command = handed(self.dir.path(), &self.public, None);
        // What is handed over counts, not what is configured.
        command.env("KNURL_LISTEN", "127.0.0.1:1");
        Process::run(command, Arc::clone(&self.dir))
    }
}

/// `knurl serve` with these as descriptors 3 and 4. A shell moves them there: a child of ours gets no others than 0, 1 and 2.
fn handed(dir: &Path, public: &TcpListener, observed: Option<&TcpListener>) -> Command {
    let mut command = Process::command(dir);
    let moves = if observed.is_some() { "exec 3<&0 4<&2 2>/dev/null" } else { "exec 3<&0" };
    let count = if observed.is_some() { 2 } else { 1 };
    let script = format!("{moves} 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS={count}; exec \"$0\" serve");
    let mut shell = leash::command("sh");
    shell.args(["-c", &script]).arg(BINARY);
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell.stdin(Stdio::from(OwnedFd::from(public.try_clone().unwrap()))).stdout(Stdio::piped());
    match observed {
        Some(observed) => shell.stderr(Stdio::from(OwnedFd::from(observed.try_clone().unwrap()))),
        None => shell.stderr(Stdio::piped()),
    };
    command = shell;
    command
}

/// One request on a connection of its own; an answer has to come.
fn ask(addr: SocketAddr, request: &str) -> wire::Answer {
    let mut peer = Peer::to(addr);
    peer.send(request.as_bytes());
    peer.answer().expect("an answer to a request that was sent")
}

const CREATE: &str = "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-length: 22\r\n\r\n{\"url\":\"https://a.io\"}";

#[test]
fn restarts_of_one_node_lose_no_request() {
    let supervisor = Supervisor::new();
    let addr = supervisor.addr();
    let mut process = supervisor.start();
    assert_eq!(process.ready["listen"], addr.to_string());
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
            std::thread::spawn(move || {
                let mut kept: Option<Peer> = None;
                while !stop.load(SeqCst) {
                    // Half of them keep their connection for as long as they may.
                    let mut peer = kept.take().unwrap_or_else(|| Peer::to(addr));
                    peer.send(CREATE.as_bytes());
                    let answer = peer.answer().expect("an answer to a request that was sent");
                    assert_eq!(answer.status, 201, "{answer:?}");
                    made.fetch_add(1, SeqCst);
                    let closes = answer.header("connection") == Some("close");
                    kept = (client % 2 == 0 && !closes).then_some(peer);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = made.load(SeqCst);
        let begun = Instant::now();
        while made.load(SeqCst) < before + 20 {
            assert!(begun.elapsed() < LONG && !clients.iter().any(std::thread::JoinHandle::is_finished), "creates go on");
            std::thread::sleep(Duration::from_millis(1));
        }
        process.signal(Signal::TERM);
        assert_eq!(process.end().code(), Some(0));
        process = supervisor.start();
    }
    stop.store(true, SeqCst);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let listed = ask(addr, "GET /urls?page=1&per_page=1 HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(listed.header("x-total-count"), Some(made.load(SeqCst).to_string().as_str()), "each acknowledged, each there, once");
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn who_connects_while_nobody_runs_is_answered_by_the_next_process() {
    let supervisor = Supervisor::new();
    let mut early: Vec<Peer> = (0..20).map(|_| Peer::to(supervisor.addr())).collect();
    early.iter_mut().for_each(|peer| peer.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n"));
    let process = supervisor.start();
    for peer in &mut early {
        assert_eq!(peer.answer().unwrap().status, 200);
    }
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_second_socket_is_for_metrics() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (public, observed) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let process = Process::run(handed(dir.path(), &public, Some(&observed)), dir);
    assert_eq!(process.ready["metrics_listen"], observed.local_addr().unwrap().to_string());
    let metrics = ask(observed.local_addr().unwrap(), "GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(metrics.body.contains("knurl_connections_open"));
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_socket_that_strangers_reach_is_not_served_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    let output = handed(dir.path(), &TcpListener::bind("0.0.0.0:0").unwrap(), None).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && words.contains("not a loopback address"), "{words}");
}

#[test]
fn sockets_meant_for_another_process_are_left_alone() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut command = Process::command(dir.path());
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").stderr(Stdio::null());
    let process = Process::run(command, dir);
    assert_ne!(process.ready["listen"], "");
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(0));
}
