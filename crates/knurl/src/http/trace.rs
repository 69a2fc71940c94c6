//! A request as a span, and as what its log lines belong to.
//!
//! Promised: a redirect from memory is described only once it was chosen, or was slow; every other request is what its log lines, statements
//! and parts belong to from its beginning to its end. A caller's trace is gone on with where the caller is one of our proxies, which are
//! also told which trace an answer belongs to.
//! Refused: anything of the visitor's (address, user agent, referrer, query, headers) and of the link's target in a span.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{HeaderMap, Method, Response, request::Parts};

use super::{HttpState, client, client::Peer};
use crate::telemetry::{
    RequestId,
    redirects::Outcome,
    routes,
    scope::Scope,
    traces::{Beginning, Kept, Kind, Parent, Recording, Span, context},
};

/// Of a redirect, whether it came by the router or not.
const REDIRECT: &str = "/{short_code}";
/// What the router calls a path that it does not know: nothing of such a path is told.
const UNKNOWN: &str = "unknown";

/// What [`end`] is given for a redirect from memory that was chosen.
#[inline]
pub(super) fn begin(state: &HttpState, headers: &HeaderMap, has_parent: bool, peer: Peer) -> Option<Box<Beginning>> {
    state.metrics.traces.tracer()?.head(headers, has_parent, || is_believed(state, peer))
}

/// A redirect from memory that was chosen, or was slow. The answer comes and goes by value: whoever is not traced has no use for its address.
#[cold]
pub(super) fn end(
    state: &HttpState,
    answered: Answered<'_>,
    beginning: Option<Box<Beginning>>,
    mut response: Response<Body>,
) -> Response<Body> {
    let Answered { peer, began, took, method, path, outcome } = answered;
    let Some(tracer) = state.metrics.traces.tracer() else { return response };
    let recording = tracer.afterwards(began, beginning);
    let described = Described { method, route: Some(REDIRECT), path, status: response.status().as_u16() };
    let kept = recording.end(Kind::Server, false, |span| {
        described.describe(span);
        span.note("knurl.redirect.outcome", outcome.name());
        span.note("knurl.tier", "memory");
    });
    if let Some(Kept { trace_id, .. }) = kept {
        state.metrics.exemplars.redirect(took, trace_id);
        if is_believed(state, peer) {
            tell(&mut response, recording.own());
        }
    }
    response
}

/// What is known of a redirect when its answer is there.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) peer: Peer,
    pub(super) began: Instant,
    pub(super) took: Duration,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) outcome: Outcome,
}

/// A refusal that is made at once, with its ids in its log line.
#[cold]
pub(super) fn refused(
    state: &HttpState,
    headers: &HeaderMap,
    peer: Peer,
    beginning: Option<&Beginning>,
    refuse: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let of_caller = || Parent::of(headers).filter(|_| is_believed(state, peer)).map(|parent| parent.trace_id);
    let trace_id = beginning.map(|beginning| beginning.trace_id).or_else(of_caller);
    Scope::request(RequestId::from_headers(headers), trace_id, None).within(refuse)
}

/// A request that is about to be worked on.
pub(super) struct Begun {
    scope: Arc<Scope>,
    whole: Option<Whole>,
}

pub(super) fn begun(state: &Arc<HttpState>, parts: &Parts, peer: Peer) -> Begun {
    let scope = state.metrics.traces.request(&parts.headers, || is_believed(state, peer));
    let whole = scope.recording().is_some().then(|| Whole {
        state: Arc::clone(state),
        method: parts.method.clone(),
        path: parts.uri.path().into(),
        is_telling: is_believed(state, peer),
    });
    Begun { scope, whole }
}

impl Begun {
    /// `work` and whatever it calls know of it.
    pub(super) async fn around(self, work: impl Future<Output = Response<Body>>) -> Response<Body> {
        let Self { scope, whole } = self;
        let mut response = Arc::clone(&scope).around(work).await;
        if let (Some(whole), Some(recording)) = (whole, scope.recording()) {
            whole.end(&scope, recording, &mut response);
        }
        response
    }
}

/// What is remembered of a request until its answer is there.
struct Whole {
    state: Arc<HttpState>,
    method: Method,
    path: Box<str>,
    /// The caller may know which trace this is.
    is_telling: bool,
}

impl Whole {
    fn end(self, scope: &Scope, recording: &Recording, response: &mut Response<Body>) {
        let (took, status, route) = (recording.elapsed(), response.status(), scope.route());
        let described = Described { method: &self.method, route, path: &self.path, status: status.as_u16() };
        let kept = recording.end(Kind::Server, status.is_server_error(), |span| {
            described.describe(span);
            if let Some(id) = scope.request_id() {
                span.text("knurl.request_id", id.as_str());
            }
        });
        if self.is_telling {
            tell(response, recording.own());
        }
        if let Some(Kept { trace_id, .. }) = kept {
            let exemplars = &self.state.metrics.exemplars;
            match route {
                None | Some(REDIRECT) => exemplars.redirect(took, trace_id),
                Some(route) => {
                    let method = routes::method(&self.method);
                    exemplars.api(routes::Answered { method, route, status: status.as_u16() }, took, trace_id);
                }
            }
        }
    }
}

/// To whom an answer belongs.
fn tell(response: &mut Response<Body>, own: Parent) {
    response.headers_mut().insert(context::TRACERESPONSE, own.to_header());
}

fn is_believed(state: &HttpState, peer: Peer) -> bool {
    client::is_proxy(peer, &state.config.http.trusted_proxies)
}

/// A server's span, in OpenTelemetry's words for HTTP.
struct Described<'a> {
    method: &'a Method,
    route: Option<&'static str>,
    path: &'a str,
    status: u16,
}

impl Described<'_> {
    fn describe(&self, span: &mut Span) {
        let method = routes::method(self.method);
        let route = self.route.unwrap_or(REDIRECT);
        span.note("http.request.method", method);
        span.note("url.scheme", "http");
        span.count("http.response.status_code", self.status.into());
        if route == UNKNOWN {
            span.rename(method.to_owned());
            return;
        }
        span.rename(format!("{method} {route}"));
        span.note("http.route", route);
        span.text("url.path", self.path);
    }
}
