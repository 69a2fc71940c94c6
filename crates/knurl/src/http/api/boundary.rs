//! What surrounds every handler: request id, length of the address, key, limit, deadline, panic, and the one place where failures
//! are answered.
//!
//! One hand-written service instead of a stack of layers: each costs an allocation and a dispatch on the way of every create.

use std::{
    any::Any,
    convert::Infallible,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Method, Request, Response, Uri};
use tokio::time::error::Elapsed;
use tower::{Layer, Service};

use crate::{
    config::Auth,
    http::{
        HttpState,
        admission::Class,
        api::{auth, whole::Begun},
        error::{Code, Error, RequestId, take_travelling},
        limits::{self, Caller},
    },
    limit::Subject,
    telemetry::{
        metrics::ConnectionMetrics,
        routes::{self, Answered},
        scope,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Visitors and monitors: health and redirects.
    Public,
    /// Needs a key where keys are required.
    Key,
}

/// Which [`Class`] a request to a route is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Health, metrics, and what is refused anyway: always let in.
    Free,
    /// A short code by another of its addresses.
    Redirect,
    /// Of one thing, or of some numbers.
    Point,
    /// Of rows: whole where no part of it is asked for.
    List,
    /// A file.
    File,
}

/// A whole file: each piece of it has the time of a request, all of it so many times that. An upload of the size bound, imported in chunks, is done long before; a peer that drips bytes is not.
const UPLOAD_REQUESTS: u32 = 60;

#[derive(Clone, Debug)]
pub(super) struct Boundary {
    state: Arc<HttpState>,
    /// The pattern, for the metrics.
    route: &'static str,
    access: Access,
    kind: Kind,
}

impl Boundary {
    pub(super) fn new(state: Arc<HttpState>, route: &'static str, access: Access, kind: Kind) -> Self {
        Self { state, route, access, kind }
    }

    /// `None`: let in here. A body has to be there before it takes a place ([`super::body::JsonBody`] asks for it then), or who sends
    /// slowly would hold all of them.
    fn class(&self, request: &Request<Body>) -> Option<Class> {
        match (self.kind, request.method()) {
            (Kind::Free, _) => None,
            (Kind::Redirect, _) => Some(Class::Redirect),
            (Kind::File, &Method::POST) => Some(Class::Upload),
            (Kind::List, &Method::GET | &Method::HEAD) if is_whole(request.uri()) => Some(Class::Export),
            (_, &Method::GET | &Method::HEAD) => Some(Class::Read),
            (_, &Method::DELETE) => Some(Class::Create),
            _ => None,
        }
    }

    fn deadline(&self) -> Duration {
        match self.kind {
            Kind::File => self.state.config.http.request_timeout.saturating_mul(UPLOAD_REQUESTS),
            _ => self.state.config.http.request_timeout,
        }
    }

    /// The key a request has shown, where keys are asked for.
    fn key(&self, request: &Request<Body>) -> Option<Subject> {
        let asked_for = self.access == Access::Key && self.state.config.auth == Auth::Required;
        asked_for.then(|| self.state.keys.shown(request.headers())).flatten().map(|hash| Subject::key(&hash))
    }

    fn admit(&self, request: &Request<Body>, has_key: bool) -> Result<(), Error> {
        if uri_bytes(request.uri()) > self.state.config.http.uri_bytes_max {
            return Err(Error::new(Code::UriTooLong));
        }
        let needs_key = self.access == Access::Key && self.state.config.auth == Auth::Required;
        if needs_key && !has_key {
            // It may be a right one: nobody can tell before the database was asked.
            let cannot_tell = !self.state.keys.is_known() && auth::bearer(request.headers()).is_some();
            return Err(Error::new(if cannot_tell { Code::Unavailable } else { Code::Unauthorized }));
        }
        Ok(())
    }

    /// Who pays for the request; health and redirects are free.
    fn caller(&self, request: &Request<Body>, key: Option<Subject>) -> Option<Caller> {
        (self.access == Access::Key).then(|| Caller::of(&self.state, request, key)).flatten()
    }
}

/// Whether a list is asked for from its beginning to its end.
fn is_whole(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    !query.split('&').any(|pair| matches!(pair.split('=').next(), Some("page" | "per_page" | "limit")))
}

fn uri_bytes(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, |query| query.len() + 1)
}

impl Boundary {
    async fn answer<F>(&self, class: Option<Class>, handled: F) -> Result<Response<Body>, Error>
    where
        F: Future<Output = std::thread::Result<Result<Response<Body>, Infallible>>>,
    {
        let _place = match class {
            Some(class) => Some(self.state.admission.enter(class).await?),
            None => None,
        };
        let begun = Begun::default();
        let handled = tokio::time::timeout(self.deadline(), begun.watching(handled)).await;
        outcome(handled, &begun, &self.state.metrics.connections)
    }
}

impl<S> Layer<S> for Boundary {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, boundary: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    boundary: Boundary,
}

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        scope::routed(self.boundary.route);
        let id = RequestId::of(request.headers());
        let (uri, method) = (request.uri().clone(), routes::method(request.method()));
        let boundary = self.boundary.clone();
        // The handler's future does nothing before it is polled, so a refused request costs it nothing.
        let key = boundary.key(&request);
        let admitted = boundary.admit(&request, key.is_some());
        let caller = boundary.caller(&request, key);
        let class = boundary.class(&request);
        let handled = admitted.map(|()| catching(self.inner.call(request)));
        Box::pin(async move {
            let counted = match caller {
                Some(caller) => caller.count(&boundary.state).await,
                None => None,
            };
            let refused = counted.as_ref().filter(|counted| !counted.verdict.allowed).map(limits::refusal);
            let outcome = match refused.map_or(handled, Err) {
                Ok(handled) => boundary.answer(class, handled).await,
                Err(refused) => Err(refused),
            };
            let mut response = match outcome {
                Ok(mut response) => {
                    // A redirect that was refused carries its own already.
                    response.headers_mut().entry(RequestId::HEADER).or_insert_with(|| id.to_header());
                    response
                }
                Err(error) => {
                    if let Some(of_store) = error.of_store() {
                        boundary.state.metrics.store.failed(of_store);
                    }
                    error.answer(&id, uri.path())
                }
            };
            if let Some(counted) = &counted {
                limits::tell(counted, response.headers_mut());
            }
            let answered = Answered { method, route: boundary.route, status: response.status().as_u16() };
            boundary.state.metrics.api_request(answered, started.elapsed());
            Ok(response)
        })
    }
}

type Handled = Result<std::thread::Result<Result<Response<Body>, Infallible>>, Elapsed>;

fn outcome(handled: Handled, begun: &Begun, metrics: &ConnectionMetrics) -> Result<Response<Body>, Error> {
    match handled {
        Ok(Ok(Ok(mut response))) => match take_travelling(&mut response) {
            None => Ok(response),
            Some(error) => Err(error),
        },
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(panic)) => {
            metrics.panics.inc();
            Err(Error::internal(panic_text(panic.as_ref())))
        }
        // What was begun goes on: nobody can say here how it ends.
        Err(_elapsed) => Err(Error::new(if begun.any() { Code::OutcomeUnknown } else { Code::Deadline })),
    }
}

/// Unwinding ends here: what the handler held is dropped, and nothing it shared is left locked (no lock is held across an await).
async fn catching<F: Future>(handled: F) -> std::thread::Result<F::Output> {
    let mut handled = pin!(handled);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| handled.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("of no text"))
}
