//! P-14: ten thousand connections that do nothing good. Each is closed when its patience ends, and whoever means it is answered meanwhile.
//!
//! Four kinds, a quarter each: no byte at all; half a header; a body that drips; and one that asks for much and never reads. Of the last kind
//! a client cannot see its connection close (the end would come after what it does not read), so there the node's own count is asked.
//! In the end each redirect that a visitor was given is counted once, and nothing that was never a whole request is.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use rustix::event::epoll;

use super::{
    Report, RunArgs,
    books::Ledger,
    client::Client,
    p10::raise_descriptors,
    stand::{Stand, StandSpec},
};
use crate::{
    fleet::{self, FleetError, Node},
    http::{Request, connect_with},
    swarm::per_mille,
};

#[derive(Clone, Debug, clap::Args)]
pub struct P14Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Of each kind of patience, in milliseconds; 0: the node's defaults, and 10 s for a connection with nothing to do
    #[arg(long, default_value_t = 0)]
    pub patience_ms: u64,
}

impl Default for P14Args {
    fn default() -> Self {
        Self { run: RunArgs::default(), connections: 10_000, patience_ms: 0 }
    }
}

const PATIENCE: [&str; 5] = [
    "KNURL_HTTP_FIRST_BYTE_TIMEOUT_MS",
    "KNURL_HTTP_HEADER_TIMEOUT_MS",
    "KNURL_HTTP_REQUEST_TIMEOUT_MS",
    "KNURL_HTTP_WRITE_TIMEOUT_MS",
    IDLE,
];
/// A list that is refused under this load is a short answer, which the kernel takes: its connection then waits for nothing but a next request.
const IDLE: &str = "KNURL_HTTP_IDLE_TIMEOUT_MS";
/// The longest of the defaults: that of a body.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(10);
/// Promised of each connection that stalls, with the defaults.
const CLOSED_WITHIN_S: f64 = 10.0;
/// A busy machine may be late; a connection that stays for so much longer is not being closed.
const LATE_MAX: Duration = Duration::from_secs(20);
const DRIP: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(20);
/// So small that an answer does not fit.
const RECEIVE_BYTES: usize = 4 << 10;
const LINKS: usize = 100;
/// Lists asked for at once by who never reads them: more than a megabyte, of which the kernel may take a quarter on the node's side.
const LISTS: usize = 40;
const VISITORS: u64 = 4;
/// Visitors are people: between two requests they do something else.
const PAUSE: Duration = Duration::from_millis(2);
/// Promised of visitors meanwhile: so many times what 99 in 100 of their requests took before.
const SLOWER_BY: f64 = 1.1;
const QUIET: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Silent,
    HalfHeader,
    DrippingBody,
    NeverReads,
}

const KINDS: [Kind; 4] = [Kind::Silent, Kind::HalfHeader, Kind::DrippingBody, Kind::NeverReads];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::HalfHeader => "half_header",
            Self::DrippingBody => "dripping_body",
            Self::NeverReads => "never_reads",
        }
    }

    fn says(self) -> String {
        match self {
            Self::Silent => String::new(),
            Self::HalfHeader => "GET /known-1 HTTP/1.1\r\nho".to_owned(),
            Self::DrippingBody => "POST /shorten HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\n{".to_owned(),
            Self::NeverReads => format!("GET /urls?page=1&per_page={LINKS} HTTP/1.1\r\nhost: t\r\n\r\n").repeat(LISTS),
        }
    }
}

struct Stalled {
    kind: Kind,
    stream: TcpStream,
    opened_at: Instant,
    closed_after: Option<Duration>,
    /// The beginning of what the server said.
    said: Vec<u8>,
}

pub fn run(args: &P14Args) -> Result<Report, FleetError> {
    let mut report = Report::new("P-14", args.run.seed).strict(args.run.strict);
    raise_descriptors(args.connections + 1_000)?;
    let env: Vec<(String, String)> = match args.patience_ms {
        0 => vec![(IDLE.to_owned(), PATIENCE_DEFAULT.as_millis().to_string())],
        ms => PATIENCE.iter().map(|key| ((*key).to_owned(), ms.to_string())).collect(),
    };
    let patience = if args.patience_ms == 0 { PATIENCE_DEFAULT } else { Duration::from_millis(args.patience_ms) };
    let spec = StandSpec { binary: args.run.binary()?, nodes: 1, embedded: true, seed: args.run.seed, env, ..StandSpec::default() };
    let mut stand = Stand::start(spec)?;
    let node = &stand.nodes[0];
    let mut ledger = Ledger::default();
    for at in 0..LINKS {
        let (code, target) = (format!("known-{at}"), format!("https://p14.example/{at}"));
        let body = format!(r#"{{"url":"{target}","custom_code":"{code}"}}"#);
        fleet::ask(node.addr(), &Request::post("/shorten", &body), 201)?;
        ledger.made(&code, &target);
    }
    let mut calm = visit(node.addr(), &mut report, &mut ledger, "before", |_| thread::sleep(QUIET));
    let mut outcome = Ok(Vec::new());
    let mut crowded =
        visit(node.addr(), &mut report, &mut ledger, "meanwhile", |report| outcome = stall(args, node, patience, report));
    let stalled = outcome?;
    note(&mut report, &stalled, patience);
    report.note("connections", args.connections);
    for (name, times) in [("before", &mut calm), ("meanwhile", &mut crowded)] {
        report.note(&format!("visitors_{name}_requests"), times.len());
        report.note(&format!("visitors_{name}_p50_ms"), f64::from(per_mille(times, 500)) / 1e3);
        report.note(&format!("visitors_{name}_p99_ms"), f64::from(per_mille(times, 990)) / 1e3);
    }
    report.at_most(
        "visitors_meanwhile_p99_ms",
        SLOWER_BY * report.figure("visitors_before_p99_ms"),
        report.figure("visitors_meanwhile_p99_ms"),
    );
    drop(stalled);
    // Those that were just dropped are noticed a moment later.
    let until = Instant::now() + patience.max(Duration::from_secs(5));
    let mut open = node.metric("knurl_connections_open")?;
    while open > VISITORS as f64 && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
        open = node.metric("knurl_connections_open")?;
    }
    if open > VISITORS as f64 {
        report.find(format!("{open} connections are still open"));
    }
    fleet::ask(node.metrics_addr(), &Request::get("/readyz"), 200)?;
    stand.deliver(&mut report, "delivered_after_s");
    stand.settle(&ledger, &mut report);
    Ok(stand.finish(report))
}

/// Opens them all, and returns when each is closed or late. The streams are kept: whoever never reads must not end its connection itself.
fn stall(args: &P14Args, node: &Node, patience: Duration, report: &Report) -> Result<Vec<Stalled>, FleetError> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
    let mut stalled = Vec::with_capacity(args.connections);
    let opening = Instant::now();
    for at in 0..args.connections {
        let member = open(KINDS[at % KINDS.len()], node.addr(), at)?;
        let wanted = if member.kind == Kind::NeverReads { epoll::EventFlags::RDHUP } else { epoll::EventFlags::IN };
        epoll::add(&epoll, &member.stream, epoll::EventData::new_u64(at as u64), wanted).map_err(io::Error::from)?;
        stalled.push(member);
        watch(&epoll, &mut stalled, Duration::ZERO)?;
    }
    report.say(&format!("{} connections stall, opened in {:.1} s", args.connections, opening.elapsed().as_secs_f64()));
    let deadline = Instant::now() + patience + LATE_MAX;
    let mut dripped = Instant::now();
    while Instant::now() < deadline && stalled.iter().any(|member| member.closed_after.is_none()) {
        watch(&epoll, &mut stalled, POLL)?;
        if dripped.elapsed() > DRIP {
            dripped = Instant::now();
            for member in stalled.iter_mut().filter(|member| member.kind == Kind::DrippingBody && member.closed_after.is_none()) {
                // A connection that was closed is seen by `watch`.
                let _ = member.stream.write(b" ");
            }
            settle_never_reading(node, &mut stalled)?;
        }
    }
    Ok(stalled)
}

fn open(kind: Kind, addr: SocketAddr, at: usize) -> io::Result<Stalled> {
    let source = Ipv4Addr::new(127, 0, 1 + (at / 250 % 250) as u8, 1 + (at % 250) as u8);
    let stream = connect_with(source, addr, (kind == Kind::NeverReads).then_some(RECEIVE_BYTES))?;
    stream.set_nonblocking(true)?;
    let opened_at = Instant::now();
    let words = kind.says();
    if !words.is_empty() {
        (&stream).write_all(words.as_bytes())?;
    }
    Ok(Stalled { kind, stream, opened_at, closed_after: None, said: Vec::new() })
}

/// Those that ended within `wait`.
fn watch(epoll: &OwnedFd, stalled: &mut [Stalled], wait: Duration) -> io::Result<()> {
    let mut events = Vec::with_capacity(1024);
    let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
        Err(rustix::io::Errno::INTR) => return Ok(()),
        done => done?,
    };
    for event in &events {
        let member = &mut stalled[event.data.u64() as usize];
        let mut block = [0; 4096];
        let ended = match member.kind {
            // Its end has come, with or without what was to be read.
            Kind::NeverReads => true,
            _ => match member.stream.read(&mut block) {
                Ok(0) => true,
                Ok(n) => {
                    member.said.extend_from_slice(&block[..n]);
                    false
                }
                Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
            },
        };
        if ended {
            member.closed_after.get_or_insert(member.opened_at.elapsed());
            epoll::delete(epoll, &member.stream)?;
        }
    }
    Ok(())
}

/// Once the node has given up on so many writes and idle connections, it was those: visitors are never idle.
fn settle_never_reading(node: &Node, stalled: &mut [Stalled]) -> Result<(), FleetError> {
    let given_up = ["write", "idle"]
        .into_iter()
        .map(|kind| node.metric(&format!("knurl_connection_timeouts_total{{kind=\"{kind}\"}}")))
        .sum::<Result<f64, _>>()? as usize;
    if given_up >= stalled.iter().filter(|member| member.kind == Kind::NeverReads).count() {
        for member in stalled.iter_mut().filter(|member| member.kind == Kind::NeverReads) {
            member.closed_after.get_or_insert(member.opened_at.elapsed());
        }
    }
    Ok(())
}

fn note(report: &mut Report, stalled: &[Stalled], patience: Duration) {
    for kind in KINDS {
        let of_kind = || stalled.iter().filter(|member| member.kind == kind);
        let longest = of_kind().filter_map(|member| member.closed_after).max().unwrap_or_default();
        let figure = format!("{}_closed_after_at_most_s", kind.name());
        report.note(&figure, longest.as_secs_f64());
        if patience == PATIENCE_DEFAULT {
            report.at_most(&figure, CLOSED_WITHIN_S, longest.as_secs_f64());
        }
        let left = of_kind().filter(|member| member.closed_after.is_none()).count();
        if left > 0 {
            report.find(format!(
                "{left} connections of the kind {} were open {:?} after their patience of {patience:?}",
                kind.name(),
                LATE_MAX
            ));
        }
    }
    let mut dripping = stalled.iter().filter(|member| member.kind == Kind::DrippingBody && member.closed_after.is_some());
    if let Some(member) = dripping.find(|member| !member.said.starts_with(b"HTTP/1.1 408 ")) {
        report.find(format!("a body that drips was not answered 408 but: {}", String::from_utf8_lossy(&member.said)));
    }
}

/// Visitors at work while `act` runs: the microseconds of each request. An answer that is not what it must be is a finding.
fn visit(addr: SocketAddr, report: &mut Report, ledger: &mut Ledger, when: &str, act: impl FnOnce(&Report)) -> Vec<u32> {
    let stop = AtomicBool::new(false);
    let visited: Vec<Option<Visited>> = thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|number| {
                let stop = &stop;
                scope.spawn(move || visitor(addr, number, when, stop))
            })
            .collect();
        act(report);
        stop.store(true, Relaxed);
        visitors.into_iter().map(|visitor| visitor.join().ok()).collect()
    });
    let mut times = Vec::new();
    for visited in visited {
        let Some(visited) = visited else {
            report.find(format!("{when}: a visitor panicked"));
            continue;
        };
        times.extend(visited.times);
        visited.failure.into_iter().for_each(|how| report.find(format!("{when}: {how}")));
        ledger.add(visited.ledger);
    }
    times
}

#[derive(Default)]
struct Visited {
    times: Vec<u32>,
    ledger: Ledger,
    failure: Option<String>,
}

fn visitor(addr: SocketAddr, number: u64, when: &str, stop: &AtomicBool) -> Visited {
    let mut client = Client::new(addr, number, true);
    let mut visited = Visited::default();
    for serial in 0_u64.. {
        if stop.load(Relaxed) || visited.failure.is_some() {
            break;
        }
        visited.failure = visited.ask(&mut client, serial, &format!("https://p14.example/visitor/{when}/{number}/{serial}")).err();
        thread::sleep(PAUSE);
    }
    visited
}

impl Visited {
    fn ask(&mut self, client: &mut Client, serial: u64, target: &str) -> Result<(), String> {
        let body = format!(r#"{{"url":"{target}"}}"#);
        let (request, status) = match serial % 4 {
            0 => (Request::post("/shorten", &body), 201),
            1 => (Request::get("/urls/1"), 200),
            _ => (Request::get("/known-1"), 302),
        };
        let asked = Instant::now();
        let answer = client.ask(&request);
        let clicks = self.ledger.clicks("known-1");
        match &answer {
            Ok(answer) if status == 302 => clicks.sure += u64::from(answer.status == 302),
            Err(_) if status == 302 => clicks.unknown += 1,
            Ok(answer) if status == 201 && answer.status == 201 => {
                let made = answer.json().unwrap_or_default();
                self.ledger.made(made["short_code"].as_str().ok_or("201 without a code")?, target);
            }
            _ => self.ledger.creates_unknown += u64::from(status == 201),
        }
        let answer = answer.map_err(|error| format!("{} {}: {error}", request.method, request.path))?;
        self.times.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
        if answer.status != status {
            return Err(format!("{} {} answered {}", request.method, request.path, answer.status));
        }
        Ok(())
    }
}
