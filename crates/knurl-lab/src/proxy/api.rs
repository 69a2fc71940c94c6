//! Toxiproxy's HTTP API over [`Proxies`]: `/version`, `/proxies`, `/proxies/{name}`, `/proxies/{name}/toxics`, `/reset`, `/populate`.
//!
//! Promised: a request is answered, be it with an error in Toxiproxy's shape (`{"error","status"}`), and the connection closed. Bounded:
//! connections at once, bytes of a request, time to send it. It listens on the loopback only and asks for no key.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Proxies, Proxy, ProxyError, Toxic, Wish, listener::Listener};

const CLIENTS_MAX: usize = 32;
const REQUEST_BYTES_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 64;
const WAIT: Duration = Duration::from_secs(10);

/// The API of a set of proxies. Dropped, it answers no more; the proxies go on.
#[derive(Debug)]
pub struct Api {
    listener: Arc<Listener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Api {
    pub fn start(listen: SocketAddr, proxies: Arc<Proxies>) -> Result<Self, ProxyError> {
        if !listen.ip().is_loopback() {
            return Err(ProxyError::NotLoopback(listen));
        }
        let listener = Arc::new(Listener::bind(listen)?);
        listener.open()?;
        let accepting = Arc::clone(&listener);
        let acceptor = thread::Builder::new().name("proxy-api".to_owned()).spawn(move || accept(&accepting, &proxies))?;
        Ok(Self { listener, acceptor: Some(acceptor) })
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Until it is dropped elsewhere, which is never where it is owned here.
    pub fn wait(mut self) {
        // It panicked: then it has ended too.
        self.acceptor.take().map(JoinHandle::join);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.listener.shut();
        // It panicked: then it has ended too.
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn accept(listener: &Listener, proxies: &Arc<Proxies>) {
    let clients = Arc::new(AtomicUsize::new(0));
    while let Ok(stream) = listener.accept() {
        let (proxies, counted) = (Arc::clone(proxies), Arc::clone(&clients));
        let talk = move || {
            // The client left: nobody is there to be told.
            let _ = talk(stream, &proxies);
            counted.fetch_sub(1, Ordering::Relaxed);
        };
        // One too many, or no thread to be had: closed with the closure.
        if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX || thread::Builder::new().spawn(talk).is_err() {
            clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

struct Asked {
    method: String,
    path: String,
    body: Vec<u8>,
}

fn talk(mut stream: TcpStream, proxies: &Proxies) -> io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let answer = match read(&mut stream) {
        Ok(asked) => answer(&asked, proxies).unwrap_or_else(Into::into),
        Err(error) => refuse(400, &error.to_string()),
    };
    let body = answer.body.map(|body| body.to_string()).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
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

struct Answer {
    status: u16,
    body: Option<Value>,
}

fn say(status: u16, body: Value) -> Answer {
    Answer { status, body: Some(body) }
}

fn refuse(status: u16, error: &str) -> Answer {
    say(status, json!({ "error": error, "status": status }))
}

impl From<ProxyError> for Answer {
    fn from(error: ProxyError) -> Self {
        let status = match error {
            ProxyError::ToxicExists | ProxyError::ProxyExists => 409,
            ProxyError::Io(_) => 500,
            _ => 400,
        };
        refuse(status, &error.to_string())
    }
}

fn answer(asked: &Asked, proxies: &Proxies) -> Result<Answer, Answer> {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["version"]) => Ok(say(200, json!({ "version": env!("CARGO_PKG_VERSION") }))),
        ("GET", ["proxies"]) => {
            let all: serde_json::Map<_, _> = proxies.all().iter().map(|proxy| (proxy.name().to_owned(), shown(proxy))).collect();
            Ok(say(200, Value::Object(all)))
        }
        ("POST", ["proxies"]) => Ok(say(201, shown(&*create(&parse(&asked.body)?, proxies)?))),
        ("POST", ["populate"]) => populate(&parse::<Vec<Wish>>(&asked.body)?, proxies),
        ("POST", ["reset"]) => {
            proxies.reset()?;
            Ok(Answer { status: 204, body: None })
        }
        (method, ["proxies", name, rest @ ..]) => {
            let proxy = proxies.get(name).ok_or_else(|| refuse(404, "proxy not found"))?;
            match (method, rest) {
                ("GET", []) => Ok(say(200, shown(&proxy))),
                ("POST" | "PATCH", []) => {
                    Proxies::change(&proxy, &parse(&asked.body)?)?;
                    Ok(say(200, shown(&proxy)))
                }
                ("DELETE", []) => {
                    proxies.remove(name);
                    Ok(Answer { status: 204, body: None })
                }
                (method, ["toxics", rest @ ..]) => toxics(method, rest, &asked.body, &proxy),
                _ => Err(refuse(405, "method not allowed")),
            }
        }
        _ => Err(refuse(404, "not found")),
    }
}

fn toxics(method: &str, rest: &[&str], body: &[u8], proxy: &Proxy) -> Result<Answer, Answer> {
    let missing = || refuse(404, "toxic not found");
    match (method, rest) {
        ("GET", []) => Ok(say(200, json!(proxy.toxics()))),
        ("POST", []) => Ok(say(200, json!(proxy.add(toxic(body, None)?)?))),
        ("GET", [name]) => Ok(say(200, json!(proxy.toxics().into_iter().find(|toxic| toxic.name == *name).ok_or_else(missing)?))),
        ("POST" | "PATCH", [name]) => {
            let old = proxy.toxics().into_iter().find(|toxic| toxic.name == *name).ok_or_else(missing)?;
            Ok(say(200, json!(proxy.replace(name, toxic(body, Some(&old))?)?.ok_or_else(missing)?)))
        }
        ("DELETE", [name]) if proxy.remove(name) => Ok(Answer { status: 204, body: None }),
        ("DELETE", [_]) => Err(missing()),
        _ => Err(refuse(405, "method not allowed")),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body).map_err(|error| refuse(400, &format!("bad request body: {error}")))
}

/// An update may name some attributes only: the others stay.
fn toxic(body: &[u8], old: Option<&Toxic>) -> Result<Toxic, Answer> {
    let asked: Value = parse(body)?;
    let mut whole = old.map_or_else(|| json!({ "attributes": {} }), |old| json!(old));
    let asked = asked.as_object().ok_or_else(|| refuse(400, "bad request body: not an object"))?;
    for (key, value) in asked {
        match (whole[key].as_object_mut(), value.as_object()) {
            (Some(old), Some(new)) => old.extend(new.clone()),
            _ => whole[key] = value.clone(),
        }
    }
    serde_json::from_value(whole).map_err(|error| refuse(400, &format!("bad request body: {error}")))
}

fn create(wish: &Wish, proxies: &Proxies) -> Result<Arc<Proxy>, Answer> {
    let upstream = wish.upstream.ok_or_else(|| refuse(400, "missing required field: upstream"))?;
    Ok(proxies.create(wish, upstream)?)
}

/// Those that exist as wished stay, with their connections.
fn populate(wishes: &[Wish], proxies: &Proxies) -> Result<Answer, Answer> {
    let mut made = Vec::new();
    for wish in wishes {
        let proxy = match proxies.get(&wish.name) {
            Some(proxy) if wish.listen.is_none_or(|listen| listen == proxy.addr()) => {
                Proxies::change(&proxy, &Wish { enabled: wish.enabled.or(Some(true)), ..wish.clone() })?;
                proxy
            }
            _ => {
                proxies.remove(&wish.name);
                create(wish, proxies)?
            }
        };
        made.push(shown(&proxy));
    }
    Ok(say(201, json!({ "proxies": made })))
}

fn shown(proxy: &Proxy) -> Value {
    json!({
        "name": proxy.name(),
        "listen": proxy.addr(),
        "upstream": proxy.upstream(),
        "enabled": proxy.is_enabled(),
        "toxics": proxy.toxics(),
    })
}
