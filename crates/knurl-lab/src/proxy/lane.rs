//! A lane: one direction of a proxied connection. One thread reads into a bounded queue, one takes out, treats, waits and writes.
//!
//! Promised: bytes stay in order; toxics set while it runs apply to what has not been written yet, and a wait that a toxic caused ends
//! when the toxics change.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    connection::Socket,
    toxic::{Cut, Toxic, ToxicKind, Treatment},
};

const CHUNK_BYTES: usize = 16 << 10;
/// 1 MiB in flight: then the sender has to wait, as on a network.
const CHUNKS_MAX: usize = 64;

#[derive(Debug)]
struct State {
    queue: VecDeque<(Instant, Vec<u8>)>,
    /// Nothing more is read.
    ended: bool,
    /// Nothing more is written.
    cut: bool,
    toxics: Arc<[Toxic]>,
    /// Since when these toxics apply.
    since: Instant,
    version: u64,
}

#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the writing thread does next.
enum Next {
    Chunk(Instant, Vec<u8>, Arc<[Toxic]>),
    /// The end of the stream, which goes on after this long.
    End(Duration),
    Cut(Cut),
    /// Somebody else ended the connection.
    Gone,
}

impl Lane {
    pub(super) fn new(toxics: Arc<[Toxic]>) -> Self {
        let state = State { queue: VecDeque::new(), ended: false, cut: false, toxics, since: Instant::now(), version: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        match until {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    pub(super) fn set(&self, toxics: Arc<[Toxic]>) {
        let mut state = self.locked();
        if state.toxics != toxics {
            (state.toxics, state.since) = (toxics, Instant::now());
            state.version += 1;
            self.changed.notify_all();
        }
    }

    pub(super) fn cut(&self) {
        self.locked().cut = true;
        self.changed.notify_all();
    }

    /// Until the source ends or the connection is cut. An error is a reset, which is passed on.
    pub(super) fn take_in(&self, source: &Socket) -> io::Result<()> {
        let mut block = vec![0; CHUNK_BYTES];
        loop {
            let read = source.read(&mut block)?;
            let mut state = self.locked();
            while state.queue.len() >= CHUNKS_MAX && !state.cut {
                state = self.wait(state, None);
            }
            if read == 0 || state.cut {
                state.ended = true;
            } else {
                state.queue.push_back((Instant::now(), block[..read].to_vec()));
            }
            self.changed.notify_all();
            if state.ended {
                return Ok(());
            }
        }
    }

    /// Until everything is written (`None`), or the connection is to be cut.
    pub(super) fn give_out(&self, sink: &Socket, mut treatment: Treatment) -> Option<Cut> {
        loop {
            match self.next(treatment.has_swallowed) {
                Next::Chunk(arrived, chunk, toxics) => {
                    let treated = treatment.of(&chunk, &toxics);
                    self.sleep_until(arrived + treated.after);
                    let mut from = 0;
                    for (len, gap) in treated.pieces.into_iter().zip(treated.gaps) {
                        if sink.write_all(&chunk[from..from + len]).is_err() {
                            // The other lane reads of it.
                            self.cut();
                            return None;
                        }
                        from += len;
                        self.sleep_until(Instant::now() + gap);
                    }
                    if treated.cut.is_some() {
                        return treated.cut;
                    }
                }
                Next::End(after) => {
                    self.sleep_until(Instant::now() + after);
                    sink.end();
                    return None;
                }
                Next::Cut(cut) => return Some(cut),
                Next::Gone => return None,
            }
        }
    }

    fn next(&self, has_swallowed: bool) -> Next {
        let mut state = self.locked();
        loop {
            if state.cut {
                return Next::Gone;
            }
            let ends = state.toxics.iter().filter_map(Toxic::ends_after).min_by_key(|(after, _)| *after);
            let ends_at = ends.map(|(after, cut)| (state.since + after, cut));
            if let Some((at, cut)) = ends_at
                && Instant::now() >= at
            {
                return Next::Cut(cut);
            }
            let holds = state.toxics.iter().any(|toxic| matches!(toxic.kind, ToxicKind::Timeout { .. }));
            if has_swallowed && !holds {
                return Next::Cut(Cut::Close);
            }
            if let Some((arrived, chunk)) = state.queue.pop_front() {
                self.changed.notify_all();
                return Next::Chunk(arrived, chunk, Arc::clone(&state.toxics));
            }
            if state.ended && !holds {
                return Next::End(slow_close(&state.toxics));
            }
            state = self.wait(state, ends_at.map(|(at, _)| at));
        }
    }

    /// Less, where the toxics change or the connection is cut.
    fn sleep_until(&self, at: Instant) {
        let mut state = self.locked();
        let version = state.version;
        while !state.cut && state.version == version && Instant::now() < at {
            state = self.wait(state, Some(at));
        }
    }
}

fn slow_close(toxics: &[Toxic]) -> Duration {
    let delays = toxics.iter().map(|toxic| if let ToxicKind::SlowClose { delay } = toxic.kind { delay } else { 0 });
    Duration::from_millis(delays.sum())
}
