//! One request or step while it is worked on: what is known of it so far, to be sent or forgotten at its end.
//!
//! Promised: at most [`SPANS_MAX`] spans; runs of one statement are one span. Whether it is sent is decided when all is known: sampled
//! at the beginning, or failed, or slow.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use knurl_store::witness::Statement;

use super::{
    Tracer,
    context::{Parent, TraceId},
    span::{Clock, Kind, Span},
};
use crate::chance;

/// A list that asks for many things asks for them in a few statements; what writes more is a delivery of clicks, whose statements repeat.
const SPANS_MAX: usize = 64;

/// Spans of one trace, ready to be sent.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trace_id: TraceId,
    pub(super) state: Option<Box<str>>,
    pub(super) clock: Clock,
    /// The root is the last.
    pub(super) spans: Vec<Span>,
}

/// What a request or step begins with.
#[derive(Debug)]
pub struct Beginning {
    pub trace_id: TraceId,
    pub parent: Option<Parent>,
    pub state: Option<Box<str>>,
    pub is_sampled: bool,
}

impl Beginning {
    pub(super) fn new(parent: Option<Parent>, state: Option<Box<str>>, is_sampled: bool) -> Self {
        let drawn = || TraceId::of_chance(chance::number(), chance::number());
        Self { trace_id: parent.map_or_else(drawn, |parent| parent.trace_id), parent, state, is_sampled }
    }
}

#[derive(Debug)]
pub struct Recording {
    tracer: Arc<Tracer>,
    trace_id: TraceId,
    state: Option<Box<str>>,
    is_sampled: bool,
    root: u64,
    parent: u64,
    clock: Clock,
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    spans: Vec<Span>,
    /// Whose part the next one is.
    open: u64,
    left_out: u64,
    error: Option<&'static str>,
    counted: Vec<(&'static str, u64)>,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub trace_id: TraceId,
    pub span_id: u64,
}

impl Recording {
    pub(super) fn begin(tracer: Arc<Tracer>, began: Instant, beginning: Beginning) -> Self {
        let Beginning { trace_id, parent, state, is_sampled } = beginning;
        let root = span_id();
        let inner = Inner { spans: Vec::new(), open: root, left_out: 0, error: None, counted: Vec::new() };
        Self {
            tracer,
            trace_id,
            state,
            is_sampled,
            root,
            parent: parent.map_or(0, |parent| parent.span_id),
            clock: Clock::now(),
            began,
            inner: Mutex::new(inner),
        }
    }

    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// For `traceresponse`: whoever asked finds us by it.
    pub fn own(&self) -> Parent {
        Parent { trace_id: self.trace_id, span_id: self.root, is_sampled: self.is_sampled }
    }

    pub(crate) fn failed(&self, code: &'static str) {
        self.lock().error = Some(code);
    }

    pub(crate) fn count(&self, key: &'static str, number: u64) {
        self.lock().counted.push((key, number));
    }

    /// Whether anything was done that can be counted.
    pub fn has_counted(&self) -> bool {
        !self.lock().counted.is_empty()
    }

    /// A part begins, and whose part came before it.
    pub(crate) fn open(&self, name: &'static str) -> (Span, u64) {
        let mut inner = self.lock();
        let above = inner.open;
        let span = Span::begin(span_id(), above, name, Kind::Internal, Instant::now());
        inner.open = span.id;
        (span, above)
    }

    pub(crate) fn close(&self, mut span: Span, above: u64) {
        span.ended = Instant::now();
        let mut inner = self.lock();
        if inner.open == span.id {
            inner.open = above;
        }
        inner.push(span);
    }

    pub(crate) fn ran(&self, statement: &Statement) {
        let Statement { name, system, began, took, has_failed } = *statement;
        let mut inner = self.lock();
        let parent = inner.open;
        let ended = began.checked_add(took).unwrap_or(began);
        if let Some(last) = inner.spans.last_mut()
            && last.name == name
            && last.parent == parent
            && last.kind == Kind::Client
            && !has_failed
        {
            last.ended = ended;
            return;
        }
        let mut span = Span::begin(span_id(), parent, name, Kind::Client, began);
        span.ended = ended;
        span.asks(system);
        if has_failed {
            span.failed("failed");
        }
        inner.push(span);
    }

    /// The end. `describe` says what is known of the whole, where it is kept. Sent where it was sampled, has `failed`, or was slow.
    pub fn end(&self, kind: Kind, failed: bool, describe: impl FnOnce(&mut Span)) -> Option<Kept> {
        let took = self.began.elapsed();
        if !(self.is_sampled || failed || self.tracer.is_slow(took)) {
            return None;
        }
        let mut root = Span::begin(self.root, self.parent, "", kind, self.began);
        root.ended = self.began + took;
        let (mut spans, left_out, error, counted) = {
            let mut inner = self.lock();
            (std::mem::take(&mut inner.spans), inner.left_out, inner.error.take(), std::mem::take(&mut inner.counted))
        };
        counted.into_iter().for_each(|(key, number)| root.count(key, number));
        if failed {
            root.error = error.or(Some("failed"));
        }
        describe(&mut root);
        if left_out > 0 {
            root.count("knurl.spans_left_out", left_out);
        }
        spans.push(root);
        let finished = Finished { trace_id: self.trace_id, state: self.state.clone(), clock: self.clock, spans };
        self.tracer.offer(finished).then_some(Kept { trace_id: self.trace_id, span_id: self.root })
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What panicked inside has left whole values behind.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, span: Span) {
        if self.spans.len() < SPANS_MAX {
            self.spans.push(span);
        } else {
            self.left_out += 1;
        }
    }
}

pub(super) fn span_id() -> u64 {
    chance::number().max(1)
}
