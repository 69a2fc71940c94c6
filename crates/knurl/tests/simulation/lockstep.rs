//! Runs actors one poll at a time, in an order that follows from the seed.
//!
//! Promised: nothing runs beside the actor whose turn it is. What it hands to a blocking thread is waited for before anybody else has a turn,
//! and if that was all it waited for, it goes on at once: work on other threads looks as if it had been done in place. Time stands still
//! while anybody can run. Refused: actors that wait for a thread of their own; see [`at_once`] for those.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread, ThreadId},
};

use knurl_spool::sim::Dice;
use tokio::time::{Instant, sleep_until};

/// Who lives and dies together: a node's number, or [`NOBODY`].
pub(crate) type Owner = usize;
/// Of the world itself.
pub(crate) const NOBODY: Owner = usize::MAX;

/// Turns within one millisecond: more of them are an actor that never waits.
const TURNS_MAX: u32 = 200_000;

type Act = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where anybody may leave an actor to be run.
#[derive(Clone, Default)]
pub(crate) struct Spawner {
    waiting: Arc<Mutex<Vec<(Owner, Threads, Act)>>>,
    exits: Arc<Mutex<Vec<Owner>>>,
}

impl Spawner {
    pub(crate) fn spawn(&self, owner: Owner, act: impl Future<Output = ()> + Send + 'static) {
        self.waiting.lock().unwrap().push((owner, Threads::Other, Box::pin(act)));
    }

    /// One that hands nothing to a blocking thread: there is nothing to wait for after its turns.
    pub(crate) fn spawn_in_place(&self, owner: Owner, act: impl Future<Output = ()> + Send + 'static) {
        self.waiting.lock().unwrap().push((owner, Threads::One, Box::pin(act)));
    }

    /// This owner's process ends before anybody has another turn.
    pub(crate) fn exit(&self, owner: Owner) {
        self.exits.lock().unwrap().push(owner);
    }
}

pub(crate) struct Lockstep {
    actors: BTreeMap<u64, Actor>,
    next: u64,
    dice: Dice,
    ready: Arc<Ready>,
    spawner: Spawner,
    exited: Vec<Owner>,
}

/// Where an actor works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    One,
    Other,
}

struct Actor {
    owner: Owner,
    threads: Threads,
    act: Act,
    waker: Waker,
    woken: Arc<Woken>,
}

#[derive(Debug)]
struct Ready {
    ids: Mutex<BTreeSet<u64>>,
    root: Mutex<Option<Waker>>,
    home: ThreadId,
}

impl Ready {
    fn add(&self, id: u64) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        if let Some(root) = &*self.root.lock().unwrap_or_else(PoisonError::into_inner) {
            root.wake_by_ref();
        }
    }
}

struct Woken {
    id: u64,
    ready: Arc<Ready>,
    /// By a blocking thread that has done its work.
    elsewhere: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        if thread::current().id() == self.ready.home {
            self.ready.add(self.id);
        } else {
            self.elsewhere.store(true, SeqCst);
        }
    }
}

impl Lockstep {
    pub(crate) fn new(seed: u64) -> Self {
        let ready = Arc::new(Ready { ids: Mutex::default(), root: Mutex::default(), home: thread::current().id() });
        Self { actors: BTreeMap::new(), next: 0, dice: Dice::new(seed), ready, spawner: Spawner::default(), exited: Vec::new() }
    }

    pub(crate) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Everything of this owner ends where it stands.
    pub(crate) fn kill(&mut self, owner: Owner) {
        self.take_in();
        let ended: Vec<u64> = self.actors.iter().filter(|(_, actor)| actor.owner == owner).map(|(id, _)| *id).collect();
        for id in ended {
            self.actors.remove(&id);
            self.ready.ids.lock().unwrap().remove(&id);
        }
        // What they left behind while they were dropped.
        self.take_in();
    }

    /// Those who exited by themselves since the last call.
    pub(crate) fn exited(&mut self) -> Vec<Owner> {
        std::mem::take(&mut self.exited)
    }

    pub(crate) async fn run_until(&mut self, until: Instant) {
        let mut sleep = pin!(sleep_until(until));
        let (mut at, mut turns) = (Instant::now(), 0);
        let run = poll_fn(|cx| {
            *self.ready.root.lock().unwrap() = Some(cx.waker().clone());
            loop {
                self.take_in();
                let Some(id) = self.pick() else { break };
                self.turn(id);
                let exits = std::mem::take(&mut *self.spawner.exits.lock().unwrap());
                for owner in exits {
                    self.kill(owner);
                    self.exited.push(owner);
                }
                turns = if at == Instant::now() { turns + 1 } else { 0 };
                at = Instant::now();
                assert!(turns < TURNS_MAX, "somebody never waits");
            }
            sleep.as_mut().poll(cx)
        });
        // Tokio's budget of a task is for tasks that share a thread with others.
        tokio::task::unconstrained(run).await;
    }

    fn take_in(&mut self) {
        let new = std::mem::take(&mut *self.spawner.waiting.lock().unwrap());
        for (owner, threads, act) in new {
            let id = self.next;
            self.next += 1;
            let woken = Arc::new(Woken { id, ready: Arc::clone(&self.ready), elsewhere: AtomicBool::new(false) });
            self.actors.insert(id, Actor { owner, threads, act, waker: Waker::from(Arc::clone(&woken)), woken });
            self.ready.ids.lock().unwrap().insert(id);
        }
    }

    fn pick(&mut self) -> Option<u64> {
        let mut ids = self.ready.ids.lock().unwrap();
        let nth = self.dice.below(ids.len() as u64) as usize;
        let id = *ids.iter().nth(nth)?;
        ids.remove(&id);
        Some(id)
    }

    fn turn(&mut self, id: u64) {
        let Some(actor) = self.actors.get_mut(&id) else { return };
        loop {
            let polled = actor.act.as_mut().poll(&mut Context::from_waker(&actor.waker));
            if actor.threads == Threads::Other {
                flush();
            }
            if polled.is_ready() {
                self.actors.remove(&id);
                return;
            }
            if !actor.woken.elsewhere.swap(false, SeqCst) {
                return;
            }
        }
    }
}

/// Waits until the only blocking thread has done all it was given.
fn flush() {
    let (done, wait) = mpsc::sync_channel::<()>(1);
    tokio::task::spawn_blocking(move || drop(done));
    let _ = wait.recv();
}

/// Waits in place for what other threads do: the whole simulation waits, as if it had taken no time.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut work = pin!(work);
    loop {
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
