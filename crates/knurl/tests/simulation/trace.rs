//! What happened, line by line, its hash, and what should not have happened.

use std::{
    collections::VecDeque,
    fmt::{Arguments, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Lines shown where something is wrong.
pub(crate) const TAIL_LINES: usize = 120;

#[derive(Clone)]
pub(crate) struct Trace {
    began: Instant,
    /// Of the last lines.
    kept: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    hash: Sha256,
    lines: u64,
    tail: VecDeque<String>,
    wrong: Vec<String>,
}

impl Trace {
    pub(crate) fn new(kept: usize) -> Self {
        Self { began: Instant::now(), kept, inner: Arc::default() }
    }

    /// Simulated milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn note(&self, what: Arguments<'_>) {
        let line = format!("{:>7} {what}\n", self.now_ms());
        let mut inner = self.inner();
        inner.hash.update(&line);
        inner.lines += 1;
        if inner.tail.len() >= self.kept {
            inner.tail.pop_front();
        }
        inner.tail.push_back(line);
    }

    /// A promise is broken.
    pub(crate) fn wrong(&self, what: Arguments<'_>) {
        self.note(format_args!("WRONG {what}"));
        self.inner().wrong.push(what.to_string());
    }

    pub(crate) fn found(&self) -> Vec<String> {
        self.inner().wrong.clone()
    }

    pub(crate) fn lines(&self) -> u64 {
        self.inner().lines
    }

    pub(crate) fn hash(&self) -> String {
        let digest = self.inner().hash.clone().finalize();
        digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub(crate) fn tail(&self) -> String {
        self.inner().tail.iter().map(String::as_str).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `note!(trace, "…")`.
macro_rules! note {
    ($trace:expr, $($what:tt)*) => { $trace.note(format_args!($($what)*)) };
}

macro_rules! wrong {
    ($trace:expr, $($what:tt)*) => { $trace.wrong(format_args!($($what)*)) };
}

pub(crate) use {note, wrong};
