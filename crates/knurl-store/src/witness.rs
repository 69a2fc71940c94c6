//! Who wants to know which statements were run for him, and how long they took.
//!
//! Promised: without a witness a statement costs one look at a variable of the thread, and no clock is read; a witness is never waited
//! for (what it does is its own, and it must not block). It goes along where work is handed to another thread or shares a commit.
//! Refused: the statements' texts and parameters. A statement is its name: the stem of its file.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

/// One statement that was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Of the file; `commit` for the end of a transaction.
    pub name: &'static str,
    /// As OpenTelemetry calls the database.
    pub system: &'static str,
    pub began: Instant,
    pub took: Duration,
    pub has_failed: bool,
}

/// Sees what is run on the thread, and by the future, it was set for.
pub trait Witness: Send + Sync {
    fn saw(&self, statement: Statement);
}

thread_local! {
    static PRESENT: RefCell<Option<Arc<dyn Witness>>> = const { RefCell::new(None) };
}

/// Who is present.
pub fn present() -> Option<Arc<dyn Witness>> {
    PRESENT.with_borrow(Clone::clone)
}

/// Whoever is put into `witness` is present while `run` runs; it is given back there. Nested calls see the innermost.
pub fn with<T>(witness: &mut Option<Arc<dyn Witness>>, run: impl FnOnce() -> T) -> T {
    struct Restore<'a>(&'a mut Option<Arc<dyn Witness>>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            PRESENT.with_borrow_mut(|present| std::mem::swap(present, self.0));
        }
    }
    PRESENT.with_borrow_mut(|present| std::mem::swap(present, witness));
    let _restore = Restore(witness);
    run()
}

/// A statement that is being run; it ends when this is dropped.
pub(crate) struct Running(Option<Seen>);

struct Seen {
    by: Arc<dyn Witness>,
    name: &'static str,
    system: &'static str,
    began: Instant,
    has_failed: bool,
}

/// `name` is asked for only where somebody is present.
pub(crate) fn running(system: &'static str, name: impl FnOnce() -> &'static str) -> Running {
    Running(PRESENT.with_borrow(|present| {
        let by = Arc::clone(present.as_ref()?);
        Some(Seen { by, name: name(), system, began: Instant::now(), has_failed: false })
    }))
}

impl Running {
    pub(crate) fn failed(&mut self) {
        if let Some(seen) = &mut self.0 {
            seen.has_failed = true;
        }
    }

    /// Ends it, by what came of it.
    pub(crate) fn ended<T, E>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.failed();
        }
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(Seen { by, name, system, began, has_failed }) = self.0.take() {
            by.saw(Statement { name, system, began, took: began.elapsed(), has_failed });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<(&'static str, bool)>>);

    impl Witness for Notes {
        fn saw(&self, statement: Statement) {
            self.0.lock().unwrap().push((statement.name, statement.has_failed));
        }
    }

    #[test]
    fn a_witness_sees_what_is_run_while_it_is_present() {
        let notes = Arc::new(Notes::default());
        drop(running("sqlite", || unreachable!("nobody is present")));
        let mut witness: Option<Arc<dyn Witness>> = Some(notes.clone());
        with(&mut witness, || {
            let outcome: Result<(), ()> = running("sqlite", || "a").ended(Err(()));
            assert!(outcome.is_err());
            with(&mut None, || drop(running("sqlite", || unreachable!("this part is nobody's"))));
            drop(running("sqlite", || "b"));
        });
        drop(running("sqlite", || unreachable!("it has left")));
        assert_eq!(*notes.0.lock().unwrap(), [("a", true), ("b", false)]);
    }

    #[test]
    fn a_panic_takes_the_witness_away() {
        let mut witness: Option<Arc<dyn Witness>> = Some(Arc::new(Notes::default()));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| with(&mut witness, || panic!("as asked"))));
        assert!(panicked.is_err() && present().is_none() && witness.is_some());
    }
}
