//! A move that dies at any instant.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use knurl_store::{
    Result, StoreError,
    moving::{
        self, End, Into, Note, Out, Part, Side, Standing,
        row::{Changes, Lead, Row, Span},
    },
};

use crate::{bench::*, houses::*, sample};

/// A side whose process dies: from some call on nothing succeeds any more. `is_lazy`: the call that it dies at was done, and nobody heard.
struct Mortal {
    inner: Box<dyn Side>,
    calls_left: Arc<AtomicUsize>,
}

fn dead() -> StoreError {
    StoreError::Unavailable("the process is dead".into())
}

impl Mortal {
    /// Before the call; the last call that there is a life for is done, but its answer is lost.
    fn live(&self) -> Result<bool> {
        let left = self.calls_left.load(SeqCst);
        if left == 0 {
            return Err(dead());
        }
        self.calls_left.store(left - 1, SeqCst);
        Ok(left > 1)
    }
}

macro_rules! mortal {
    ($self:ident, $call:expr) => {{
        let hears = $self.live()?;
        let done = $call.await?;
        if hears { Ok(done) } else { Err(dead()) }
    }};
}

#[async_trait::async_trait]
impl Side for Mortal {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn standing(&mut self) -> Result<Standing> {
        mortal!(self, self.inner.standing())
    }

    async fn rows(&mut self, part: Part, span: Span, limit: usize) -> Result<Vec<Row>> {
        // Reading leaves no trace: one death among many of these is enough.
        self.inner.rows(part, span, limit).await
    }

    async fn rows_at(&mut self, part: Part, leads: &[Lead]) -> Result<Vec<Row>> {
        self.inner.rows_at(part, leads).await
    }

    async fn counts(&mut self) -> Result<Vec<(Part, u64)>> {
        mortal!(self, self.inner.counts())
    }

    async fn stand_out(&mut self, out: Option<&Out>) -> Result<()> {
        mortal!(self, self.inner.stand_out(out))
    }

    async fn begin_look(&mut self) -> Result<()> {
        self.inner.begin_look().await
    }

    async fn end_look(&mut self) -> Result<()> {
        self.inner.end_look().await
    }

    async fn notes(&mut self, limit: usize) -> Result<Vec<Note>> {
        self.inner.notes(limit).await
    }

    async fn forget_notes(&mut self, notes: &[Note]) -> Result<()> {
        mortal!(self, self.inner.forget_notes(notes))
    }

    fn objection(&self, part: Part, row: &Row) -> Option<&'static str> {
        self.inner.objection(part, row)
    }

    async fn stand_in(&mut self, into: &Into) -> Result<()> {
        mortal!(self, self.inner.stand_in(into))
    }

    async fn change(&mut self, part: Part, changes: Changes) -> Result<Vec<Lead>> {
        mortal!(self, self.inner.change(part, changes))
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

/// Whether it lived to the end.
async fn move_with_lives(from: &House, to: &House, lives: usize) -> bool {
    let calls_left = Arc::new(AtomicUsize::new(lives));
    let mortal = |inner| Mortal { inner, calls_left: calls_left.clone() };
    let (mut from, mut to) = (mortal(from.side(End::From).await.unwrap()), mortal(to.side(End::To).await.unwrap()));
    let moved = moving::run(&mut from, &mut to, &small(), &mut |_| ()).await;
    from.close().await;
    to.close().await;
    match moved {
        Ok(_) => true,
        Err(StoreError::Unavailable(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn dies_everywhere(from: fn() -> House, to: fn() -> House) {
    let (old, new) = (from(), to());
    let store = old.open().await;
    sample::fill(&*store).await;
    store.close().await;
    let rows = old.tallies().await;
    let mut lives = 1;
    while !move_with_lives(&old, &new, lives).await {
        // Never two, and never none but where the last word was not said.
        let mut live = 0;
        for house in [&old, &new] {
            if let Ok(store) = house.try_open().await {
                // One that was not touched yet is nobody's.
                live += u32::from(store.counts().await.unwrap().links > 0);
                store.close().await;
            }
        }
        assert!(live < 2, "both are live after {lives} calls");
        lives += 1;
        assert!(lives < 1_000, "it comes to no end");
    }
    assert!(lives > 15, "it died {lives} times only");
    assert_eq!(new.tallies().await, rows);
    new.open().await.create_link(new_link("live"), T0).await.unwrap();
    assert!(matches!(old.try_open().await, Err(StoreError::Refused(_))));
    // Once more is nothing.
    assert!(try_move(&old, &new, &small()).await.unwrap().already);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_postgres_that_dies_at_any_step_is_gone_on_with() {
    dies_everywhere(House::sqlite, House::postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_sqlite_that_dies_at_any_step_is_gone_on_with() {
    dies_everywhere(House::postgres, House::sqlite).await;
}
