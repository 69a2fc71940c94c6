//! A server on port 0 with short patience, and a client that writes bytes as they are: what the tests of redirects, accepting and
//! draining share.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

pub(crate) mod process;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use knurl::{
    app::App,
    config::{Auth, Config},
};
use tempfile::TempDir;

/// Long beyond any busy machine: what is waited for comes, or the test fails.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: dir.path().join("data"), auth: Auth::Open, ..Config::default() };
        config.http.listen = ([127, 0, 0, 1], 0).into();
        config.http.metrics_listen = ([127, 0, 0, 1], 0).into();
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = runtime.block_on(App::start(config)).unwrap();
        Self { app, runtime, dir }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.app.addr()
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::to(self.addr())
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut peer = self.connect();
        peer.send(request.as_bytes());
        peer.answer().expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"))
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// A link to `target`; returns the whole API object.
    pub(crate) fn shorten(&self, code: &str, target: &str) -> serde_json::Value {
        let body = serde_json::json!({ "url": target, "custom_code": code }).to_string();
        let answer = self.post("/shorten", &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// A sample of the exposition; 0 where it is absent.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = self.app.state().metrics.render();
        let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits for the sample to reach `least`.
    pub(crate) fn metric_reaches(&self, sample: &str, least: f64) {
        let begun = std::time::Instant::now();
        while self.metric(sample) < least {
            assert!(begun.elapsed() < LONG, "{sample} is {} and not {least}", self.metric(sample));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the sample to reach `wanted` (what is counted is counted after the answer has left), and no more than that.
    pub(crate) fn metric_is(&self, sample: &str, wanted: f64) {
        self.metric_reaches(sample, wanted);
        assert_eq!(self.metric(sample), wanted, "{sample}");
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.app.stop());
    }
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Names of the headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
        names.sort();
        names
    }

    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        for field in ["type", "title", "detail", "instance", "error", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
    }
}

impl Peer {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        Self::try_to(addr).unwrap()
    }

    /// An error is that of connecting.
    pub(crate) fn try_to(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already: what it said before is still to be read.
        let _ = self.stream.write_all(bytes);
    }

    /// The next answer (to a request that is not HEAD); `None` where the connection ended.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        if method != "HEAD" {
            let len: usize = answer.header("content-length").expect("a length").parse().unwrap();
            while self.buffer.len() < len {
                assert!(self.fill(), "a whole body");
            }
            answer.body = String::from_utf8(self.buffer.drain(..len).collect()).unwrap();
        }
        Some(answer)
    }

    /// Reads to the end of the connection.
    pub(crate) fn closed(&mut self) {
        while self.fill() {}
        assert!(self.buffer.is_empty(), "nothing more was to come: {:?}", String::from_utf8_lossy(&self.buffer));
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
