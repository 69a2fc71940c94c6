//! One connection, from its first byte to its close.
//!
//! Promised: a peer that is too slow (with its first byte, its header, its next request, or taking our answer) is gone when its patience
//! ends; a panic ends this connection only, answered 500 where the request was known; a drain ends it after the answer in flight,
//! or at the drain's deadline.
//! Refused: a request whose length two headers disagree about (`Transfer-Encoding` beside `Content-Length`): whoever sits in front of
//! us might read the other one.

use std::{
    any::Any,
    convert::Infallible,
    future::Future,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::unconstrained,
    time::Instant,
};

use super::{
    client::Peer,
    drain::{Drain, Open},
    error::{Code, Error, RequestId},
    raw,
    vitals::{COARSE_LAG_MS, Patience, Vitals, Wait, coarse_ms},
    wire::Wire,
};
use crate::{config::HttpConfig, telemetry::metrics::ConnectionMetrics};

/// After an error that ends the connection, so long and so much is still read, so that the close does not cut the answer short (a close
/// with unread bytes is a reset, and a reset can overtake the answer).
const LINGER: Duration = Duration::from_secs(1);
/// Libraries send a whole body before they look for the answer; what is larger than this they may not have been told.
const LINGER_BYTES_MAX: usize = 64 << 20;
/// hyper's buffers; a head must fit.
const BUFFER_BYTES: usize = 64 * 1024;

/// An answer that is there, or one that is being worked on.
pub(super) enum Answering {
    Now(Response<Body>),
    Later(BoxFuture<'static, Response<Body>>),
}

/// What is served: the redirects and the API, or the metrics.
pub(super) trait Handler: Send + Sync + 'static {
    fn handle(&self, peer: Peer, request: Request<Incoming>) -> Answering;
}

/// What all connections of a listener share.
pub(super) struct Shared<H> {
    pub(super) handler: H,
    pub(super) http: http1::Builder,
    pub(super) patience: Patience,
    pub(super) drain: Arc<Drain>,
    pub(super) metrics: Arc<ConnectionMetrics>,
}

impl<H: Handler> Shared<H> {
    pub(super) fn new(handler: H, config: &HttpConfig, drain: Arc<Drain>, metrics: Arc<ConnectionMetrics>) -> Self {
        let mut http = http1::Builder::new();
        // A client may close its half after asking (`printf … | nc`); the answer is still wanted.
        http.half_close(true);
        http.max_header_size(config.header_bytes_max);
        http.max_buf_size(config.header_bytes_max.max(BUFFER_BYTES));
        // Ours (see `vitals`) arms no timer per request and covers the first byte, the pause and the writing too.
        http.header_read_timeout(None);
        Self { handler, http, patience: Patience::of(config), drain, metrics }
    }
}

/// How a connection ended.
enum End {
    Closed(hyper::Result<()>),
    TooSlow(Wait),
    DrainOver,
    Panicked,
}

/// Serves `stream` to its end. `open` counts it until then.
pub(super) async fn serve<H: Handler>(shared: Arc<Shared<H>>, stream: TcpStream, peer: IpAddr, open: Open) {
    shared.metrics.open.inc();
    let vitals = Arc::new(Vitals::new());
    let wire = Wire::new(stream, Arc::clone(&vitals));
    let service = PerConnection { shared: Arc::clone(&shared), vitals: Arc::clone(&vitals), peer: Peer(peer) };
    let mut conn = shared.http.serve_connection(TokioIo::new(wire), service);
    let end = drive(&mut conn, &shared.drain, &shared.patience, &vitals).await;
    let wire = conn.into_parts().io.into_inner();
    finish(&shared, end, wire, vitals.may_have_unread_body()).await;
    shared.metrics.open.dec();
    drop(open);
}

async fn finish<H>(shared: &Shared<H>, end: End, wire: Wire, body_unread: bool) {
    let metrics = &shared.metrics;
    match end {
        // An answer that did not wait for the whole body (413, 415, 401 …) ends the connection.
        End::Closed(Ok(())) if body_unread => linger(wire.into_stream(), None).await,
        End::Closed(Ok(())) => {}
        End::Closed(Err(error)) => {
            if wire.told {
                metrics.malformed.inc();
                linger(wire.into_stream(), None).await;
            } else if error.is_parse() {
                // Among them the preface of HTTP/2: hyper stays silent.
                metrics.malformed.inc();
                linger(wire.into_stream(), Some(raw::closing(Error::new(Code::BadRequest)))).await;
            } else {
                // Resets and half requests are the peer's business.
                tracing::debug!(%error, "a connection ended early");
            }
        }
        End::TooSlow(wait) => {
            let counter = match wait {
                Wait::FirstByte => &metrics.first_byte_timeouts,
                Wait::Header => &metrics.header_timeouts,
                Wait::Idle => &metrics.idle_timeouts,
                Wait::Write => &metrics.write_timeouts,
            };
            counter.inc();
            if wait == Wait::Write {
                reset(wire);
            }
        }
        End::DrainOver => {
            metrics.drain_timeouts.inc();
            reset(wire);
        }
        End::Panicked => {
            metrics.panics.inc();
            reset(wire);
        }
    }
}

/// Closes at once and gives up what the peer has not taken: the kernel would hold it for minutes.
fn reset(wire: Wire) {
    let stream = wire.into_stream();
    // Fails only where the peer has gone already.
    let _ = stream.set_zero_linger();
}

/// Polls the connection until it ends, its patience does, or the drain.
async fn drive<H: Handler>(
    conn: &mut http1::Connection<TokioIo<Wire>, PerConnection<H>>,
    drain: &Drain,
    patience: &Patience,
    vitals: &Vitals,
) -> End {
    let mut changed = pin!(drain.changed());
    let mut registered = false;
    let mut draining = false;
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    // When, by the coarse clock, the timer wakes this task. It is moved only to an earlier moment or after it fired: a request that comes
    // and is answered moves nothing. Whether it fired is asked of itself: on a machine whose ticks come late the coarse clock may not know
    // yet, and it fires once.
    let mut armed_ms = u64::MAX;
    std::future::poll_fn(move |cx| {
        // The task's waker stays the same, so one registration lasts until the drain's next change.
        if !registered {
            registered = true;
            let _ = changed.as_mut().poll(cx);
        }
        loop {
            match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *conn).poll(cx))) {
                Ok(Poll::Ready(closed)) => return Poll::Ready(End::Closed(closed)),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(End::Panicked),
            }
            if draining || !drain.has_begun() {
                break;
            }
            draining = true;
            changed.set(drain.changed());
            let _ = changed.as_mut().poll(cx);
            Pin::new(&mut *conn).graceful_shutdown();
        }
        if draining && drain.is_over() {
            return Poll::Ready(End::DrainOver);
        }
        let deadline = vitals.deadline(patience);
        let earliest = deadline.map_or(u64::MAX, |(at, _)| at);
        if earliest < armed_ms {
            armed_ms = earliest;
            timer.as_mut().reset(instant_of(armed_ms));
        } else if armed_ms > coarse_ms().saturating_add(COARSE_LAG_MS) && !timer.is_elapsed() {
            return Poll::Pending;
        }
        // Whatever this task has done in this turn: a timer that is not polled wakes nobody.
        while armed_ms != u64::MAX && pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            match deadline {
                Some((at, wait)) if at <= coarse_ms() => return Poll::Ready(End::TooSlow(wait)),
                Some((at, _)) => {
                    armed_ms = at;
                    timer.as_mut().reset(instant_of(at));
                }
                None => armed_ms = u64::MAX,
            }
        }
        Poll::Pending
    })
    .await
}

/// The moment the coarse clock will surely have reached `at_ms`.
fn instant_of(at_ms: u64) -> Instant {
    let left_ms = at_ms.saturating_sub(coarse_ms()).saturating_add(COARSE_LAG_MS);
    let now = Instant::now();
    // Beyond what the clock can express nobody waits.
    now.checked_add(Duration::from_millis(left_ms)).unwrap_or(now + Duration::from_secs(86_400))
}

/// Says `last` (if there is something left to say), closes our half, and reads away what the peer still sends, within bounds.
pub(super) async fn linger(mut stream: TcpStream, last: Option<Bytes>) {
    let farewell = async {
        if let Some(last) = last {
            stream.write_all(&last).await?;
        }
        stream.shutdown().await?;
        let mut sink = [0; 4096];
        let mut total = 0;
        while total < LINGER_BYTES_MAX {
            match stream.read(&mut sink).await? {
                0 => break,
                n => total += n,
            }
        }
        std::io::Result::Ok(())
    };
    // The peer was told, or does not listen.
    let _ = tokio::time::timeout(LINGER, farewell).await;
}

/// What hyper calls for every request of one connection.
struct PerConnection<H> {
    shared: Arc<Shared<H>>,
    vitals: Arc<Vitals>,
    peer: Peer,
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for PerConnection<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let head = self.vitals.begin();
        if !request.body().is_end_stream() && is_ambiguous(&request, &head) {
            self.shared.metrics.malformed.inc();
            self.vitals.end();
            return Answer::Now(Some(ambiguous(request.headers(), request.uri().path())));
        }
        let has_body = !request.body().is_end_stream();
        match catch_unwind(AssertUnwindSafe(|| self.shared.handler.handle(self.peer, request))) {
            Ok(Answering::Now(mut response)) => {
                self.vitals.end();
                if self.shared.drain.is_leaving() {
                    is_last(&mut response);
                }
                self.vitals.answered(has_body, response.status());
                Answer::Now(Some(response))
            }
            Ok(Answering::Later(future)) => {
                let (vitals, metrics, drain) = (&self.vitals, &self.shared.metrics, &self.shared.drain);
                Answer::Later {
                    future,
                    has_body,
                    vitals: Arc::clone(vitals),
                    metrics: Arc::clone(metrics),
                    drain: Arc::clone(drain),
                }
            }
            Err(panic) => {
                self.vitals.end();
                Answer::Now(Some(panicked(&self.shared.metrics, &*panic)))
            }
        }
    }
}

/// An answer for hyper.
enum Answer {
    Now(Option<Response<Body>>),
    Later {
        future: BoxFuture<'static, Response<Body>>,
        has_body: bool,
        vitals: Arc<Vitals>,
        metrics: Arc<ConnectionMetrics>,
        drain: Arc<Drain>,
    },
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, has_body, vitals, metrics, drain) = match &mut *self {
            // hyper polls a future once to its end.
            Self::Now(response) => return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Self::Later { future, has_body, vitals, metrics, drain } => (future, *has_body, vitals, metrics, drain),
        };
        let mut response = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(response)) => response,
            Err(panic) => panicked(metrics, &*panic),
        };
        vitals.end();
        vitals.answered(has_body, response.status());
        if drain.is_leaving() {
            is_last(&mut response);
        }
        Poll::Ready(Ok(response))
    }
}

/// This node is about to stop: the peer takes its next request to another connection, and with it to another node.
fn is_last(response: &mut Response<Body>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// A bug of ours: loud in the log and in the metrics, polite to the stranger.
fn panicked(metrics: &ConnectionMetrics, panic: &(dyn Any + Send)) -> Response<Body> {
    metrics.panics.inc();
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("panic: {}", said.unwrap_or("without a message"))).answer(&RequestId::random(), "/")
}

/// hyper obeys `Transfer-Encoding` and forgets a `Content-Length` beside it, so the head as it came is looked at. Where it is not at hand,
/// or not all of it (a chunked request written behind another one without waiting for the answer, which no browser or library does), and
/// for GET and HEAD, `Transfer-Encoding` alone is refused.
fn is_ambiguous(request: &Request<Incoming>, head: &[u8]) -> bool {
    if !request.headers().contains_key(header::TRANSFER_ENCODING) {
        return false;
    }
    if matches!(*request.method(), http::Method::GET | http::Method::HEAD) || head.is_empty() {
        return true;
    }
    disagrees(head, request.headers().len())
}

/// Whether `head` names a length, or is only the end of a head of which hyper made `headers` headers: then its beginning, read together
/// with the request before it, may have named one. (The first line kept is then the rest of a header's, so that there are fewer lines
/// after it than headers, unless it was of the very `Content-Length` that hyper forgot, which looks like no request line.)
fn disagrees(head: &[u8], headers: usize) -> bool {
    let lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    // Leading blank lines are allowed before a request line; the next one ends the head.
    let mut lines = lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    let is_whole = lines.next().is_some_and(|first| first.ends_with(b" HTTP/1.1") || first.ends_with(b" HTTP/1.0"));
    let mut seen = 0;
    let names_length = lines.any(|line| {
        seen += 1;
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"content-length")
    });
    !is_whole || names_length || seen < headers
}

fn ambiguous(headers: &http::HeaderMap, path: &str) -> Response<Body> {
    let error = Error::new(Code::BadRequest).with_detail("The length of the body is ambiguous.");
    let mut response = error.answer(&RequestId::of(headers), path);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests;
