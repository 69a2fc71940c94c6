//! What of the lab answers HTTP itself: a listener, and a function from a request to an answer.
//!
//! Promised: a request is answered, and the connection closed; one that cannot be read is told why, by the same function's owner. Bounded:
//! connections at once, bytes of a request, time to send it. It listens on the loopback only and asks for no key.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::proxy::Listener;

const CLIENTS_MAX: usize = 32;
const REQUEST_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 64;
const WAIT: Duration = Duration::from_secs(10);

pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

/// Answers until it is dropped.
pub(crate) struct Responder {
    listener: Arc<Listener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Responder {
    /// `answer` is given an error where no request could be read.
    pub(crate) fn start(
        listen: SocketAddr,
        name: &str,
        answer: impl Fn(io::Result<Asked>) -> Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = Arc::new(Listener::bind(listen)?);
        listener.open()?;
        let (accepting, answer) = (Arc::clone(&listener), Arc::new(answer));
        let acceptor = thread::Builder::new().name(name.to_owned()).spawn(move || accept(&accepting, &answer))?;
        Ok(Self { listener, acceptor: Some(acceptor) })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Until it is dropped elsewhere, which is never where it is owned here.
    pub(crate) fn wait(mut self) {
        // It panicked: then it has ended too.
        self.acceptor.take().map(JoinHandle::join);
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Responder").field(&self.addr()).finish()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.listener.shut();
        // It panicked: then it has ended too.
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn accept<F: Fn(io::Result<Asked>) -> Answer + Send + Sync + 'static>(listener: &Listener, answer: &Arc<F>) {
    let clients = Arc::new(AtomicUsize::new(0));
    while let Ok(stream) = listener.accept() {
        let (answer, counted) = (Arc::clone(answer), Arc::clone(&clients));
        let talk = move || {
            // The client left: nobody is there to be told.
            let _ = talk(stream, &*answer);
            counted.fetch_sub(1, Ordering::Relaxed);
        };
        // One too many, or no thread to be had: closed with the closure.
        if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX || thread::Builder::new().spawn(talk).is_err() {
            clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn talk(mut stream: TcpStream, answer: &impl Fn(io::Result<Asked>) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let Answer { status, content_type, body } = answer(read(&mut stream));
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    stream.shutdown(Shutdown::Write)
}

fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut received = Vec::new();
    let mut block = [0; 4096];
    loop {
        if received.len() > REQUEST_BYTES_MAX {
            return Err(wrong("the request is too long"));
        }
        let n = stream.read(&mut block)?;
        if n == 0 {
            return Err(wrong("the request ends early"));
        }
        received.extend_from_slice(&block[..n]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(&received).map_err(|error| wrong(&error.to_string()))? else {
            continue;
        };
        let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = match length {
            Some(header) => std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok()),
            None => Some(0),
        };
        let length: usize = length.filter(|n| *n <= REQUEST_BYTES_MAX).ok_or_else(|| wrong("that content length is not taken"))?;
        if received.len() >= head + length {
            let (method, path) = (request.method.unwrap_or_default().to_owned(), request.path.unwrap_or_default().to_owned());
            return Ok(Asked { method, path, body: received[head..head + length].to_vec() });
        }
    }
}
