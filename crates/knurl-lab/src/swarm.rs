//! A swarm: thousands of connections in one thread, each with one request in flight, all the time.
//!
//! Promised: every request ends answered, or broken (its connection ended or spoke no HTTP first), or still waiting at the end of the run;
//! nothing is sent twice. A connection that ended is made anew. Refused: answers whose length no header says, pipelining.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::event::epoll;

use crate::{http::connect_from, kill::ledger::Tally as Clicks};

/// Of one class of requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// 2xx and 3xx.
    pub served: u64,
    /// 503 with Retry-After.
    pub refused: u64,
    /// Any other answer.
    pub wrong: u64,
    pub broken: u64,
    /// Microseconds, of each that was served, refused.
    pub served_us: Vec<u32>,
    pub refused_us: Vec<u32>,
    /// What the first wrong or broken one was.
    pub first_wrong: Option<String>,
}

impl Tally {
    fn wrong(&mut self, what: impl FnOnce() -> String) {
        self.first_wrong.get_or_insert_with(what);
    }

    pub fn add(&mut self, other: Self) {
        self.served += other.served;
        self.refused += other.refused;
        self.wrong += other.wrong;
        self.broken += other.broken;
        self.served_us.extend(other.served_us);
        self.refused_us.extend(other.refused_us);
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
    }
}

/// The value below which so many per mille are; 0 of none.
pub fn per_mille(values: &mut [u32], of: usize) -> u32 {
    if values.is_empty() {
        return 0;
    }
    let at = (values.len() * of / 1000).min(values.len() - 1);
    *values.select_nth_unstable(at).1
}

/// What a connection sends next.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub class: usize,
    pub bytes: Vec<u8>,
    /// It clicks this link, by a number of the caller's: nothing but 302 serves it, and [`Run::clicks`] has what came of it.
    pub click: Option<usize>,
}

/// Which request the connection of this number sends next.
pub type Next<'a> = dyn FnMut(usize) -> Sent + 'a;

#[derive(Debug)]
struct Member {
    /// `None`: to be made anew.
    stream: Option<TcpStream>,
    received: Vec<u8>,
    class: usize,
    click: Option<usize>,
    asked_at: Instant,
    waits: bool,
}

#[derive(Debug)]
pub struct Swarm {
    addr: SocketAddr,
    epoll: OwnedFd,
    members: Vec<Member>,
}

/// What one run did.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// By class.
    pub tallies: Vec<Tally>,
    /// Still without an answer when patience ended.
    pub hung: u64,
    /// Of each second: served, refused.
    pub slices: Vec<(u64, u64)>,
    /// By link: sure is what was answered with 302, unknown what was sent and not answered.
    pub clicks: HashMap<usize, Clicks>,
}

impl Run {
    fn unanswered(&mut self, click: Option<usize>) {
        if let Some(link) = click {
            self.clicks.entry(link).or_default().unknown += 1;
        }
    }
}

const EVENTS_MAX: usize = 512;
const WAIT: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 << 10;
const HEADERS_MAX: usize = 32;
/// Source addresses: each has ports of its own.
const SOURCES: usize = 200;

impl Swarm {
    pub fn new(addr: SocketAddr, size: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let member =
            || Member { stream: None, received: Vec::new(), class: 0, click: None, asked_at: Instant::now(), waits: false };
        Ok(Self { addr, epoll, members: (0..size).map(|_| member()).collect() })
    }

    /// Sends and receives until `until`; then waits for what is in flight, for `patience` at most.
    pub fn run(&mut self, classes: usize, until: Instant, patience: Duration, next: &mut Next<'_>) -> io::Result<Run> {
        let mut run = Run { tallies: vec![Tally::default(); classes], ..Run::default() };
        let began = Instant::now();
        for at in 0..self.members.len() {
            self.ask(at, next, &mut run)?;
        }
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: i64::from(WAIT.subsec_nanos()) };
        while Instant::now() < until || (Instant::now() < until + patience && self.members.iter().any(|member| member.waits)) {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Err(rustix::io::Errno::INTR) => continue,
                done => done?,
            };
            for event in &events {
                let at = event.data.u64() as usize;
                if self.receive(at, began, &mut run) && Instant::now() < until {
                    self.ask(at, next, &mut run)?;
                }
            }
        }
        for member in &mut self.members {
            if std::mem::take(&mut member.waits) {
                run.hung += 1;
                run.unanswered(member.click);
                member.stream = None;
            }
        }
        Ok(run)
    }

    fn ask(&mut self, at: usize, next: &mut Next<'_>, run: &mut Run) -> io::Result<()> {
        let member = &mut self.members[at];
        let stream = match &mut member.stream {
            Some(stream) => stream,
            none => {
                let stream = connect_from(Ipv4Addr::new(127, 0, 0, 2 + (at % SOURCES) as u8), self.addr)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
                member.received.clear();
                none.insert(stream)
            }
        };
        let Sent { class, bytes, click } = next(at);
        (member.class, member.click, member.asked_at, member.waits) = (class, click, Instant::now(), true);
        // A small request always fits into what the kernel keeps for an idle connection.
        if let Err(error) = stream.write_all(&bytes) {
            member.waits = false;
            member.stream = None;
            run.unanswered(click);
            run.tallies[class].broken += 1;
            run.tallies[class].wrong(|| format!("sending: {error}"));
        }
        Ok(())
    }

    /// Whether the member has what it waited for, be it the end of its connection.
    fn receive(&mut self, at: usize, began: Instant, run: &mut Run) -> bool {
        let member = &mut self.members[at];
        let Some(stream) = &mut member.stream else { return false };
        let mut block = [0; READ_BYTES];
        let ended = loop {
            match stream.read(&mut block) {
                Ok(0) => break Some("the server closed the connection".to_owned()),
                Ok(n) => member.received.extend_from_slice(&block[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error.to_string()),
            }
        };
        let answered = match (member.waits, parse(&member.received)) {
            (true, Ok(Some(answer))) => answer,
            (waits, parsed) => {
                let Some(how) = parsed.err().or(ended) else { return false };
                if waits {
                    let tally = &mut run.tallies[member.class];
                    tally.broken += 1;
                    tally.wrong(|| how);
                    run.unanswered(member.click);
                }
                member.stream = None;
                return std::mem::take(&mut member.waits);
            }
        };
        member.waits = false;
        let us = u32::try_from(member.asked_at.elapsed().as_micros()).unwrap_or(u32::MAX);
        let second = began.elapsed().as_secs() as usize;
        run.slices.resize(run.slices.len().max(second + 1), (0, 0));
        if let (Some(link), 302) = (member.click, answered.status) {
            run.clicks.entry(link).or_default().sure += 1;
        }
        let tally = &mut run.tallies[member.class];
        match answered.status {
            200..400 if member.click.is_none() || answered.status == 302 => {
                tally.served += 1;
                tally.served_us.push(us);
                run.slices[second].0 += 1;
            }
            503 if answered.says_when => {
                tally.refused += 1;
                tally.refused_us.push(us);
                run.slices[second].1 += 1;
            }
            _ => {
                tally.wrong += 1;
                tally.wrong(|| String::from_utf8_lossy(&member.received[..answered.bytes.min(600)]).into_owned());
            }
        }
        member.received.clear();
        if answered.closes || ended.is_some() {
            member.stream = None;
        }
        true
    }
}

struct Answered {
    status: u16,
    bytes: usize,
    closes: bool,
    /// It has a Retry-After.
    says_when: bool,
}

/// `None`: not all of it is there.
fn parse(received: &[u8]) -> Result<Option<Answered>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(received).map_err(|error| error.to_string())? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(head) => head,
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let status = response.code.unwrap_or(0);
    let body = match header("content-length").map(str::parse::<usize>) {
        Some(Ok(body)) => body,
        None if status == 204 => 0,
        _ => return Err(format!("{status} without a length")),
    };
    let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let answered = Answered { status, bytes: head + body, closes, says_when: header("retry-after").is_some() };
    Ok((received.len() >= head + body).then_some(answered))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Every other one is a click.
    fn ask(serial: u64) -> Sent {
        Sent { bytes: b"GET / HTTP/1.1\r\n\r\n".to_vec(), click: serial.is_multiple_of(2).then_some(0), ..Sent::default() }
    }

    /// Answers every connection's requests with these, in turn, then closes.
    fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                for answer in answers {
                    let mut request = [0; 1024];
                    if stream.read(&mut request).unwrap_or(0) == 0 {
                        break;
                    }
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        addr
    }

    #[test]
    fn answers_are_sorted_and_ended_connections_made_anew() {
        let addr = server(&[
            "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno",
            "not http",
        ]);
        let mut swarm = Swarm::new(addr, 1).unwrap();
        let mut asked = 0;
        let mut next = |_| {
            asked += 1;
            ask(asked)
        };
        let until = Instant::now() + Duration::from_millis(200);
        let run = swarm.run(1, until, Duration::from_secs(10), &mut next).unwrap();
        let tally = &run.tallies[0];
        assert!(tally.served > 1 && tally.refused > 0 && tally.wrong > 0 && tally.broken > 0, "{tally:?}");
        assert_eq!(run.hung, 0);
        assert_eq!(tally.served + tally.refused + tally.wrong + tally.broken, asked);
        assert_eq!(run.slices.iter().map(|slice| slice.0).sum::<u64>(), tally.served);
    }

    #[test]
    fn a_click_is_sure_when_it_is_redirected_and_in_doubt_when_it_is_not_answered() {
        let addr = server(&[
            "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\nno",
            "not http",
        ]);
        let mut swarm = Swarm::new(addr, 1).unwrap();
        let until = Instant::now() + Duration::from_millis(200);
        let run = swarm.run(1, until, Duration::from_secs(10), &mut |_| ask(0)).unwrap();
        let tally = &run.tallies[0];
        assert!(tally.served > 0 && tally.refused > 0 && tally.wrong > 0 && tally.broken > 0, "{tally:?}");
        assert_eq!(run.clicks[&0], Clicks { sure: tally.served, unknown: tally.broken }, "{run:?}");
    }

    #[test]
    fn who_is_never_answered_hangs() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut swarm = Swarm::new(silent.local_addr().unwrap(), 3).unwrap();
        let run = swarm.run(1, Instant::now(), Duration::from_millis(50), &mut |at| ask(at as u64)).unwrap();
        assert_eq!(run.hung, 3);
        assert_eq!(run.clicks[&0], Clicks { sure: 0, unknown: 2 }, "of the first and the third: {run:?}");
    }

    #[test]
    fn a_share_of_the_values_is_below_the_one_that_is_told() {
        let mut values: Vec<u32> = (0..1000).rev().collect();
        assert_eq!((per_mille(&mut values, 500), per_mille(&mut values, 990), per_mille(&mut [], 500)), (500, 990, 0));
    }
}
