//! What surrounds every handler: request id, length of the address, key, deadline, panic, and the one place where failures are
//! answered.
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
use http::{Request, Response, Uri};
use tokio::time::error::Elapsed;
use tower::{Layer, Service};

use crate::{
    config::Auth,
    http::{
        HttpState,
        error::{Code, Error, RequestId, take_travelling},
    },
    telemetry::metrics::ConnectionMetrics,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Visitors and monitors: health and redirects.
    Public,
    /// Needs a key where keys are required.
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Request,
    /// A whole file: each piece of it has the time of a request, all of it [`UPLOAD_REQUESTS`] times that.
    Upload,
}

/// An upload of the size bound, imported in chunks, is done long before; a peer that drips bytes is not.
const UPLOAD_REQUESTS: u32 = 60;

#[derive(Clone, Debug)]
pub(super) struct Boundary {
    state: Arc<HttpState>,
    /// The pattern, for the metrics.
    route: &'static str,
    access: Access,
    pace: Pace,
}

impl Boundary {
    pub(super) fn new(state: Arc<HttpState>, route: &'static str, access: Access, pace: Pace) -> Self {
        Self { state, route, access, pace }
    }

    fn deadline(&self) -> Duration {
        match self.pace {
            Pace::Request => self.state.config.http.request_timeout,
            Pace::Upload => self.state.config.http.request_timeout.saturating_mul(UPLOAD_REQUESTS),
        }
    }

    fn admit(&self, request: &Request<Body>) -> Result<(), Error> {
        if uri_bytes(request.uri()) > self.state.config.http.uri_bytes_max {
            return Err(Error::new(Code::UriTooLong));
        }
        let needs_key = self.access == Access::Key && self.state.config.auth == Auth::Required;
        if needs_key && !self.state.keys.admits(request.headers()) {
            return Err(Error::new(Code::Unauthorized));
        }
        Ok(())
    }
}

fn uri_bytes(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, |query| query.len() + 1)
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
        let id = RequestId::of(request.headers());
        let uri = request.uri().clone();
        let boundary = self.boundary.clone();
        // The handler's future does nothing before it is polled, so a refused request costs it nothing.
        let admitted = boundary.admit(&request);
        let handled = admitted.map(|()| catching(self.inner.call(request)));
        Box::pin(async move {
            let outcome = match handled {
                Ok(handled) => {
                    outcome(tokio::time::timeout(boundary.deadline(), handled).await, &boundary.state.metrics.connections)
                }
                Err(refused) => Err(refused),
            };
            let response = match outcome {
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
            boundary.state.metrics.api_request(boundary.route, response.status().as_u16(), started.elapsed());
            Ok(response)
        })
    }
}

type Handled = Result<std::thread::Result<Result<Response<Body>, Infallible>>, Elapsed>;

fn outcome(handled: Handled, metrics: &ConnectionMetrics) -> Result<Response<Body>, Error> {
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
        Err(_elapsed) => Err(Error::new(Code::Deadline)),
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
