//! Both listeners, running: what `app` starts and stops.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response, request::Parts};
use hyper::body::Incoming;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::ServiceExt;

use super::{
    HttpState,
    accept::{self, Listener},
    admission::Class,
    api,
    client::Peer,
    connection::{Answering, Handler, Shared},
    drain::Drain,
    error::{Code, Error, RequestId},
    front::{self, Route},
    host,
    observe::{self, Observe},
    trace,
};
use crate::telemetry::{metrics::ConnectionMetrics, redirects::Outcome};

/// After the listener was closed without haste: for the requests of connections that were accepted last.
const LAST_REQUESTS: Duration = Duration::from_millis(500);

/// The listeners' tasks.
#[derive(Debug)]
pub struct Server {
    public: Running,
    observed: Running,
    pulse: JoinHandle<()>,
}

#[derive(Debug)]
struct Running {
    drain: Arc<Drain>,
    /// Whoever is not accepted any more is accepted by the process after us: nobody who was has to be hurried.
    hands_over: bool,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves redirects and API on `public`, metrics and health on `observed`, on the current runtime.
    pub fn start(state: &Arc<HttpState>, public: impl Into<Listener>, observed: impl Into<Listener>) -> Self {
        let http = &state.config.http;
        let front = Front { state: Arc::clone(state), router: api::router(Arc::clone(state)) };
        let connections = Arc::clone(&state.metrics.connections);
        let public = run(front, http, connections, public.into(), accept::connections_max(http.connections_max));
        let observe = Observe { state: Arc::clone(state) };
        // Its connections are not the visitors': they are counted nowhere.
        let observed = run(observe, http, Arc::new(ConnectionMetrics::default()), observed.into(), observe::CONNECTIONS_MAX);
        let pulse = tokio::spawn(Arc::clone(&state.admission).pulse());
        Self { public, observed, pulse }
    }

    /// From now on every answer is its connection's last: kept connections move on, to another node if the balancer has one. New ones are
    /// accepted until [`Server::stop`], which then resets nobody.
    pub fn leave(&self) {
        self.public.drain.leave();
    }

    /// Stops accepting, finishes what is in flight, ends the rest at `deadline`. Metrics are served until the visitors are.
    pub async fn stop(self, deadline: Duration) {
        let left = self.public.stop(deadline).await;
        if left > 0 {
            tracing::warn!(left, "connections were still busy at the drain's deadline and were cut");
        }
        self.pulse.abort();
        // A scrape takes no time worth waiting for.
        self.observed.stop(Duration::ZERO).await;
    }
}

impl Running {
    async fn stop(mut self, deadline: Duration) -> usize {
        let begun = Instant::now();
        if self.hands_over {
            self.drain.leave();
        }
        if self.drain.is_leaving() {
            self.drain.refuse();
            let _ = timeout(deadline, &mut self.accepting).await;
            let _ = timeout(LAST_REQUESTS.min(deadline), self.drain.until_empty()).await;
        }
        let left = self.drain.finish(deadline.saturating_sub(begun.elapsed())).await;
        // It ends by itself; aborted, it ends in any case.
        self.accepting.abort();
        left
    }
}

fn run<H: Handler>(
    handler: H,
    http: &crate::config::HttpConfig,
    metrics: Arc<ConnectionMetrics>,
    listener: Listener,
    connections_max: usize,
) -> Running {
    let drain = Arc::new(Drain::default());
    let shared = Arc::new(Shared::new(handler, http, Arc::clone(&drain), metrics));
    let hands_over = listener.outlives_us;
    let accepting = tokio::spawn(accept::run(listener, shared, connections_max));
    Running { drain, hands_over, accepting }
}

struct Front {
    state: Arc<HttpState>,
    router: axum::Router,
}

impl Handler for Front {
    fn handle(&self, peer: Peer, request: Request<Incoming>) -> Answering {
        let (mut parts, body) = request.into_parts();
        let uri_bytes = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
        if uri_bytes > self.state.config.http.uri_bytes_max {
            return self.refused(&parts, peer, || answered(Error::new(Code::UriTooLong), &parts));
        }
        let route = front::classify(&parts.method, parts.uri.path());
        // A redirect's are looked at on its way through the headers.
        if !matches!(route, Route::Redirect(_)) && host::is_refused(parts.version, &parts.headers) {
            self.state.metrics.connections.malformed.inc();
            return self.refused(&parts, peer, || host::refused(&parts.headers, parts.uri.path()));
        }
        let code = match route {
            Route::Redirect(code) => front::Known(code.len()),
            Route::WrongMethod => return self.refused(&parts, peer, || front::wrong_method(&parts)),
            Route::Api => {
                parts.extensions.insert(peer);
                return self.api(parts, body, peer);
            }
        };
        let open = match front::at_once(&self.state, &mut parts, peer, code) {
            Ok(answer) => return Answering::Now(answer),
            Err(open) => open,
        };
        let Some(place) = self.state.admission.enter_at_once(Class::Redirect) else {
            return self.refused(&parts, peer, || {
                let error = self.state.admission.refuse(Class::Redirect, Duration::ZERO);
                self.state.metrics.redirects.untimed(Outcome::Shed);
                answered(error, &parts)
            });
        };
        parts.extensions.insert(peer);
        let state = Arc::clone(&self.state);
        let begun = trace::begun(&self.state, &parts, peer);
        Answering::Later(Box::pin(begun.around(async move {
            let code = parts.uri.path()[1..=code.0].to_owned();
            let answer = front::settle(&state, &parts, &code, open).await;
            drop(place);
            answer
        })))
    }
}

impl Front {
    fn api(&self, parts: Parts, body: Incoming, peer: Peer) -> Answering {
        let router = self.router.clone();
        let begun = trace::begun(&self.state, &parts, peer);
        let request = Request::from_parts(parts, Body::new(body));
        Answering::Later(Box::pin(begun.around(async move {
            let answer: Result<Response<Body>, std::convert::Infallible> = router.oneshot(request).await;
            match answer {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })))
    }

    fn refused(&self, parts: &Parts, peer: Peer, refuse: impl FnOnce() -> Response<Body>) -> Answering {
        Answering::Now(trace::refused(&self.state, &parts.headers, peer, None, refuse))
    }
}

fn answered(error: Error, parts: &Parts) -> Response<Body> {
    error.answer(&RequestId::of(&parts.headers), parts.uri.path())
}
