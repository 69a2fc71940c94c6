//! What is being worked on: a request, or one step of a job. Log lines, statements and spans belong to it without being told.
//!
//! Promised: it is present exactly while its future is polled, on whatever thread, and where it was carried to ([`carry`]); outside of it,
//! and for a redirect from memory, it costs nothing. Refused: anything that a visitor said, but the ids.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, OnceLock},
};

use knurl_store::witness::{self, Statement, Witness};

use super::{
    RequestId,
    traces::{Recording, Span, TraceId},
};

thread_local! {
    static PRESENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
pub struct Scope {
    request_id: Option<RequestId>,
    trace_id: Option<TraceId>,
    recording: Option<Recording>,
    /// The pattern that the router has found for it.
    route: OnceLock<&'static str>,
}

impl Scope {
    /// Of a request. `trace_id`: as a caller gave it, where this node records nothing.
    pub fn request(request_id: RequestId, trace_id: Option<TraceId>, recording: Option<Recording>) -> Arc<Self> {
        let trace_id = recording.as_ref().map(Recording::trace_id).or(trace_id);
        Arc::new(Self { request_id: Some(request_id), trace_id, recording, route: OnceLock::new() })
    }

    /// Of a step of a job.
    pub fn step(recording: Recording) -> Arc<Self> {
        Arc::new(Self {
            request_id: None,
            trace_id: Some(recording.trace_id()),
            recording: Some(recording),
            route: OnceLock::new(),
        })
    }

    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    pub fn request_id(&self) -> Option<RequestId> {
        self.request_id
    }

    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace_id
    }

    pub fn route(&self) -> Option<&'static str> {
        self.route.get().copied()
    }

    /// Present while `future` is polled.
    pub async fn around<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut entry = Entry::of(self);
        poll_fn(move |context| entry.with(|| future.as_mut().poll(context))).await
    }

    /// Present while `run` runs.
    pub fn within<T>(self: Arc<Self>, run: impl FnOnce() -> T) -> T {
        Entry::of(self).with(run)
    }
}

impl Witness for Scope {
    fn saw(&self, statement: Statement) {
        if let Some(recording) = &self.recording {
            recording.ran(&statement);
        }
    }
}

/// A scope on its way in and out.
struct Entry {
    scope: Option<Arc<Scope>>,
    witness: Option<Arc<dyn Witness>>,
}

impl Entry {
    fn of(scope: Arc<Scope>) -> Self {
        let witness = scope.recording.is_some().then(|| Arc::clone(&scope) as Arc<dyn Witness>);
        Self { scope: Some(scope), witness }
    }

    fn with<T>(&mut self, run: impl FnOnce() -> T) -> T {
        struct Restore<'a>(&'a mut Option<Arc<Scope>>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                PRESENT.with_borrow_mut(|present| std::mem::swap(present, self.0));
            }
        }
        PRESENT.with_borrow_mut(|present| std::mem::swap(present, &mut self.scope));
        let _restore = Restore(&mut self.scope);
        witness::with(&mut self.witness, run)
    }
}

/// What is present now.
pub fn present() -> Option<Arc<Scope>> {
    PRESENT.with_borrow(Clone::clone)
}

/// What is present now, looked at.
fn look<T>(at: impl FnOnce(&Scope) -> Option<T>) -> Option<T> {
    // Within a destructor of the thread there is no scope any more.
    PRESENT.try_with(|present| present.try_borrow().ok().and_then(|scope| at(scope.as_deref()?))).ok().flatten()
}

/// The ids that a log line carries.
pub fn ids() -> (Option<RequestId>, Option<TraceId>) {
    look(|scope| Some((scope.request_id, scope.trace_id))).unwrap_or_default()
}

pub fn request_id() -> Option<RequestId> {
    look(|scope| scope.request_id)
}

/// Runs `run` within the present scope, or, where it is not of this request, within one that knows its id alone.
pub fn of_request<T>(id: RequestId, run: impl FnOnce() -> T) -> T {
    if request_id() == Some(id) { run() } else { Scope::request(id, None, None).within(run) }
}

/// The router has found the pattern of the present request.
pub fn routed(route: &'static str) {
    look(|scope| scope.route.set(route).ok());
}

/// What is present is about to be answered with this error.
pub fn failed(code: &'static str) {
    look(|scope| {
        scope.recording.as_ref()?.failed(code);
        Some(())
    });
}

/// What is present has done so much of something.
pub fn count(key: &'static str, number: u64) {
    look(|scope| {
        scope.recording.as_ref()?.count(key, number);
        Some(())
    });
}

/// Takes what is present along to another task.
pub async fn carry<F: Future>(scope: Option<Arc<Scope>>, future: F) -> F::Output {
    match scope {
        Some(scope) => scope.around(future).await,
        None => future.await,
    }
}

/// A part of what is present, from here to where it is dropped.
#[derive(Debug)]
pub struct Part(Option<Open>);

#[derive(Debug)]
struct Open {
    scope: Arc<Scope>,
    span: Span,
    above: u64,
}

/// Begins a part named `name`; nothing where nothing is recorded.
pub fn part(name: &'static str) -> Part {
    Part(look(|scope| scope.recording.as_ref().map(|_| ())).and_then(|()| present()).and_then(|scope| {
        let (span, above) = scope.recording.as_ref()?.open(name);
        Some(Open { scope, span, above })
    }))
}

impl Part {
    /// What a tier has said.
    pub fn said(&mut self, said: &'static str) {
        self.note("knurl.said", said);
    }

    pub fn note(&mut self, key: &'static str, value: &'static str) {
        if let Some(open) = &mut self.0 {
            open.span.note(key, value);
        }
    }

    /// It asks somebody outside of this process.
    pub fn asks(&mut self, system: &'static str) {
        if let Some(open) = &mut self.0 {
            open.span.asks(system);
        }
    }

    pub fn failed(&mut self, why: &'static str) {
        if let Some(open) = &mut self.0 {
            open.span.failed(why);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(Open { scope, span, above }) = self.0.take()
            && let Some(recording) = &scope.recording
        {
            recording.close(span, above);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(id: &'static str) -> Arc<Scope> {
        let mut headers = http::HeaderMap::new();
        headers.insert(RequestId::HEADER, http::HeaderValue::from_static(id));
        Scope::request(RequestId::from_headers(&headers), None, None)
    }

    #[tokio::test]
    async fn a_scope_is_present_while_its_future_is_polled_and_where_it_was_carried() {
        assert_eq!(request_id(), None);
        let seen = scope("one").around(async {
            tokio::task::yield_now().await;
            let carried = tokio::spawn(carry(present(), async { ids().0 }));
            let left = tokio::spawn(async { ids().0 });
            (request_id(), carried.await.unwrap(), left.await.unwrap())
        });
        // Between two polls another request has its turn on this thread.
        let other = scope("two").around(async {
            tokio::task::yield_now().await;
            request_id()
        });
        let (seen, other) = tokio::join!(seen, other);
        let as_str = |id: Option<RequestId>| id.map(|id| id.as_str().to_owned());
        assert_eq!((as_str(seen.0), as_str(seen.1), as_str(seen.2)), (Some("one".into()), Some("one".into()), None));
        assert_eq!(as_str(other), Some("two".into()));
        assert_eq!(request_id(), None);
    }

    #[test]
    fn a_panic_leaves_no_scope_behind() {
        let within = std::panic::AssertUnwindSafe(|| scope("one").within(|| panic!("as asked")));
        assert!(std::panic::catch_unwind(within).is_err());
        assert_eq!(request_id(), None);
    }
}
