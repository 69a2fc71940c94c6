//! HTTP: a blocking HTTP/1.1 client that knows what it does not know.
//!
//! Promised: every request sent ends either *answered* (status line and the whole header received) or *unanswered* (some of it may have
//! reached the server; nobody can say what became of it). [`Connection::send`] and [`Connection::receive`] are apart, so that requests
//! can be pipelined. Refused: answers with larger headers or bodies than the bounds below, transfer codings other than chunked, TLS.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A server that says nothing for this long is stuck, which is itself a finding.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const HEADER_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
const BODY_BYTES_MAX: usize = 256 << 20;
const READ_BYTES: usize = 32 << 10;

/// What to ask. `body` is sent as JSON.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: Option<&'a [u8]>,
    /// Beside those that every request has: `Host`, `User-Agent`, and of a body its type and length.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Request<'a> {
    pub fn get(path: &'a str) -> Self {
        Self::of("GET", path, None)
    }

    pub fn post(path: &'a str, body: &'a str) -> Self {
        Self::of("POST", path, Some(body))
    }

    pub fn of(method: &'a str, path: &'a str, body: Option<&'a str>) -> Self {
        Self { method, path, body: body.map(str::as_bytes), headers: &[] }
    }

    #[must_use]
    pub fn with(self, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    fn write_into(&self, out: &mut Vec<u8>) {
        let Self { method, path, .. } = self;
        out.extend_from_slice(format!("{method} {path} HTTP/1.1\r\nHost: lab\r\nUser-Agent: knurl-lab\r\n").as_bytes());
        for (name, value) in self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match self.body {
            Some(body) => {
                out.extend_from_slice(
                    format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
                );
                out.extend_from_slice(body);
            }
            None => out.extend_from_slice(b"\r\n"),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// `None`: the header came, the body was cut off. The request is answered all the same.
    pub body: Option<Vec<u8>>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body, where it came whole and is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }
}

/// Nobody knows what became of the request.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
}

/// One keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Received and not yet consumed.
    received: Vec<u8>,
    outgoing: Vec<u8>,
}

/// Blocks as long as the kernel tries (two minutes): for servers on this machine.
pub fn connect_from(source: Ipv4Addr, addr: SocketAddr) -> io::Result<TcpStream> {
    connect_with(source, addr, None)
}

/// As [`connect_from`], with a receive buffer of so many bytes (the kernel doubles it).
pub fn connect_with(source: Ipv4Addr, addr: SocketAddr, receive_bytes: Option<usize>) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Or a port that was used a minute ago could not be used again.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let Some(bytes) = receive_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    bind(&socket, &SocketAddr::from((source, 0)))?;
    connect(&socket, &addr)?;
    Ok(socket.into())
}

enum BodyLength {
    Bytes(usize),
    Chunked,
    UntilClose,
}

impl Connection {
    pub fn open(addr: SocketAddr) -> io::Result<Self> {
        Self::on(TcpStream::connect_timeout(&addr, SILENCE_MAX)?)
    }

    /// From this address of ours: one machine looks like many, and has the ports of many.
    pub fn open_from(source: Ipv4Addr, addr: SocketAddr) -> io::Result<Self> {
        Self::on(connect_from(source, addr)?)
    }

    fn on(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, received: Vec::new(), outgoing: Vec::new() })
    }

    /// Sends the requests in one write. After an error each of them is unanswered.
    pub fn send(&mut self, requests: &[Request<'_>]) -> Result<(), Unanswered> {
        self.outgoing.clear();
        for request in requests {
            request.write_into(&mut self.outgoing);
        }
        Ok(self.stream.write_all(&self.outgoing)?)
    }

    /// The next answer, in the order sent. `to_head`: it answers a HEAD and has no body.
    pub fn receive(&mut self, to_head: bool) -> Result<Answer, Unanswered> {
        let (mut answer, length) = loop {
            if let Some(parsed) = self.parse_header()? {
                break parsed;
            }
            if self.received.len() > HEADER_BYTES_MAX {
                return Err(Unanswered::NotHttp(format!("a header of more than {HEADER_BYTES_MAX} bytes")));
            }
            self.fill()?;
        };
        let bodyless = to_head || answer.status == 204 || answer.status == 304;
        answer.body = if bodyless { Some(Vec::new()) } else { self.body(&length)? };
        Ok(answer)
    }

    pub fn ask(&mut self, request: &Request<'_>) -> Result<Answer, Unanswered> {
        self.send(std::slice::from_ref(request))?;
        self.receive(request.method == "HEAD")
    }

    fn fill(&mut self) -> Result<(), Unanswered> {
        let mut block = [0; READ_BYTES];
        let n = loop {
            match self.stream.read(&mut block) {
                // A signal came. With a deadline on the socket the kernel does not begin again by itself.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if n == 0 {
            return Err(Unanswered::Closed);
        }
        self.received.extend_from_slice(&block[..n]);
        Ok(())
    }

    fn parse_header(&mut self) -> Result<Option<(Answer, BodyLength)>, Unanswered> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&self.received).map_err(|error| Unanswered::NotHttp(error.to_string()))?;
        let httparse::Status::Complete(header_len) = parsed else {
            return Ok(None);
        };
        let mut answer = Answer { status: response.code.unwrap_or(0), ..Answer::default() };
        for header in response.headers.iter() {
            answer.headers.push((header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()));
        }
        self.received.drain(..header_len);
        let length = match (answer.header("transfer-encoding"), answer.header("content-length")) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => BodyLength::Chunked,
            (Some(coding), _) => return Err(Unanswered::NotHttp(format!("transfer coding {coding}"))),
            (None, Some(length)) => {
                BodyLength::Bytes(length.parse().map_err(|_| Unanswered::NotHttp(format!("content length {length}")))?)
            }
            (None, None) => BodyLength::UntilClose,
        };
        Ok(Some((answer, length)))
    }

    /// `None` where the connection ended inside the body: what was promised by the header still stands.
    fn body(&mut self, length: &BodyLength) -> Result<Option<Vec<u8>>, Unanswered> {
        match length {
            BodyLength::Bytes(n) if *n > BODY_BYTES_MAX => Err(Unanswered::NotHttp(format!("a body of {n} bytes"))),
            BodyLength::Bytes(n) => Ok(self.take(*n)),
            BodyLength::UntilClose => {
                while self.received.len() <= BODY_BYTES_MAX && self.fill().is_ok() {}
                Ok(Some(std::mem::take(&mut self.received)))
            }
            BodyLength::Chunked => self.chunks(),
        }
    }

    fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.received.len() < n {
            self.fill().ok()?;
        }
        let rest = self.received.split_off(n);
        Some(std::mem::replace(&mut self.received, rest))
    }

    fn chunks(&mut self) -> Result<Option<Vec<u8>>, Unanswered> {
        let mut body = Vec::new();
        loop {
            let (line_len, size) = match httparse::parse_chunk_size(&self.received) {
                Ok(httparse::Status::Complete(parsed)) => parsed,
                Ok(httparse::Status::Partial) if self.received.len() > HEADER_BYTES_MAX => {
                    return Err(Unanswered::NotHttp("an endless chunk line".to_owned()));
                }
                Ok(httparse::Status::Partial) => match self.fill() {
                    Ok(()) => continue,
                    Err(_) => return Ok(None),
                },
                Err(_) => return Err(Unanswered::NotHttp("a chunk without a size".to_owned())),
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > BODY_BYTES_MAX - body.len() {
                return Err(Unanswered::NotHttp(format!("a chunk of {size} bytes")));
            }
            self.received.drain(..line_len);
            let Some(chunk) = self.take(size + 2) else {
                return Ok(None);
            };
            if size == 0 {
                return Ok(Some(body));
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// A peer that reads nothing, writes `bytes` and closes.
    fn peer(bytes: &'static [u8]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || listener.accept().unwrap().0.write_all(bytes).unwrap());
        Connection::open(addr).unwrap()
    }

    #[test]
    fn pipelined_answers_come_apart_in_order() {
        let mut connection = peer(
            b"HTTP/1.1 302 Found\r\nLocation: https://a.example/\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 404 N\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        );
        let first = connection.receive(false).unwrap();
        assert_eq!((first.status, first.header("location")), (302, Some("https://a.example/")));
        assert_eq!(connection.receive(false).unwrap().json(), Some(serde_json::json!({})));
        assert_eq!(connection.receive(false).unwrap().body.as_deref(), Some(&b"abc"[..]));
        assert!(matches!(connection.receive(false), Err(Unanswered::Closed | Unanswered::Io(_))));
    }

    #[test]
    fn a_cut_header_is_no_answer() {
        assert!(matches!(
            peer(b"HTTP/1.1 302 Found\r\nLocation: https://a.ex").receive(false),
            Err(Unanswered::Closed | Unanswered::Io(_))
        ));
    }

    #[test]
    fn a_cut_body_is_an_answer_without_a_body() {
        let answer = peer(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"id\":").receive(false).unwrap();
        assert_eq!((answer.status, answer.body), (201, None));
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let mut connection = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 302 Found\r\n\r\n");
        assert_eq!(connection.receive(true).unwrap().status, 200);
        assert_eq!(connection.receive(true).unwrap().status, 302);
    }
}
