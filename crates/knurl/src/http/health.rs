//! What an orchestrator and a balancer ask: `/livez`, `/startupz`, `/readyz`.
//!
//! Promised: they ask nobody else (no query, no wait), so they answer while the database hangs. `/readyz` says whether this node can
//! redirect, never whether its database is up: a node whose database is away stays in the rotation, degraded, because its redirects go
//! on; taking all nodes out at once is what would end them. 503 only while starting or stopping, and where truly nothing can be
//! redirected: the database is away, this node has no whole replica and its memory is empty.
//! Refused: a change of `/health`, which says `{"status":"ok"}` and nothing else whatever happens (the contract).

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use axum::body::Body;
use http::{HeaderValue, Response, header};
use serde::Serialize;

use super::{
    HttpState,
    error::{Code, Error},
};

/// Exactly this, and whatever the database does: it says that the process answers.
pub(super) const HEALTH: &str = r#"{"status":"ok"}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting,
    Serving,
    /// A signal to stop has come; requests are still served.
    Stopping,
}

/// Where this process is in its life; moved by `app` alone.
#[derive(Debug)]
pub struct Life(AtomicU8);

impl Default for Life {
    fn default() -> Self {
        Self(AtomicU8::new(Phase::Starting as u8))
    }
}

impl Life {
    pub fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, SeqCst);
    }

    pub fn phase(&self) -> Phase {
        match self.0.load(SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Stopping,
        }
    }
}

/// What a judgement is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    phase: Phase,
    /// By the last ping.
    database_up: bool,
    /// Memory holds at least one link.
    memory_warm: bool,
    replica: Copy,
    /// Clicks find room.
    spool_has_room: bool,
}

/// This node's own copy of the link table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    Off,
    Partial,
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    Degraded,
    /// With the sentence that says why.
    NotReady(&'static str),
}

impl Facts {
    fn of(state: &HttpState) -> Self {
        let metrics = &state.metrics;
        let replica = &metrics.tiers.replica;
        // Sizes are kept by memory itself: reading them is some loads.
        state.resolver.measure();
        Self {
            phase: state.life.phase(),
            database_up: metrics.store.up.get() == 1,
            memory_warm: metrics.cache.links.get() > 0,
            replica: match (replica.is_watched(), replica.complete.get()) {
                (false, _) => Copy::Off,
                (true, 0) => Copy::Partial,
                (true, _) => Copy::Complete,
            },
            spool_has_room: metrics.clicks.starved.get() == 0,
        }
    }

    fn judge(self) -> Readiness {
        match self.phase {
            Phase::Starting => return Readiness::NotReady("This node is starting."),
            Phase::Stopping => return Readiness::NotReady("This node is stopping."),
            Phase::Serving => {}
        }
        match (self.database_up, self.memory_warm || self.replica == Copy::Complete, self.spool_has_room) {
            (true, _, true) => Readiness::Ready,
            (false, false, _) => {
                Readiness::NotReady("The database is away and this node holds no link: nothing can be redirected.")
            }
            _ => Readiness::Degraded,
        }
    }
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    database: &'static str,
    memory: &'static str,
    replica: &'static str,
    spool: &'static str,
}

/// `/livez`: the runtime turns and a handler runs. A process of which that is not true aborts by itself (the watchdog).
pub(super) fn live() -> Response<Body> {
    json(HEALTH.into())
}

/// `/startupz`: 200 from the moment everything is open. Before that nothing listens, or this is 503.
pub(super) fn started(state: &HttpState) -> Result<Response<Body>, Error> {
    match state.life.phase() {
        Phase::Starting => Err(not_ready("This node is starting.")),
        Phase::Serving | Phase::Stopping => Ok(json(HEALTH.into())),
    }
}

/// What [`ready`] would say: for a scrape.
pub fn is_ready(state: &HttpState) -> bool {
    !matches!(Facts::of(state).judge(), Readiness::NotReady(_))
}

/// `/readyz`: 200 where this node can redirect.
pub(super) fn ready(state: &HttpState) -> Result<Response<Body>, Error> {
    let facts = Facts::of(state);
    let status = match facts.judge() {
        Readiness::Ready => "ok",
        Readiness::Degraded => "degraded",
        Readiness::NotReady(why) => return Err(not_ready(why)),
    };
    let checks = Checks {
        database: if facts.database_up { "up" } else { "down" },
        memory: if facts.memory_warm { "warm" } else { "empty" },
        replica: match facts.replica {
            Copy::Off => "off",
            Copy::Partial => "partial",
            Copy::Complete => "complete",
        },
        spool: if facts.spool_has_room { "ok" } else { "full" },
    };
    Ok(json(serde_json::to_vec(&Report { status, checks }).map_err(Error::internal)?.into()))
}

fn not_ready(why: &'static str) -> Error {
    Error::new(Code::NotReady).with_detail(why)
}

/// Never kept by a cache on the way: a balancer would believe the past.
fn json(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Facts =
        Facts { phase: Phase::Serving, database_up: true, memory_warm: true, replica: Copy::Off, spool_has_room: true };

    #[test]
    fn a_node_is_ready_as_long_as_it_can_redirect() {
        assert_eq!(WELL.judge(), Readiness::Ready);
        assert_eq!(Facts { memory_warm: false, ..WELL }.judge(), Readiness::Ready, "a fresh node");
        assert_eq!(Facts { database_up: false, ..WELL }.judge(), Readiness::Degraded);
        assert_eq!(Facts { spool_has_room: false, ..WELL }.judge(), Readiness::Degraded);
        let alone = Facts { database_up: false, memory_warm: false, replica: Copy::Complete, ..WELL };
        assert_eq!(alone.judge(), Readiness::Degraded, "restarted without anybody");
        assert_eq!(Facts { database_up: false, spool_has_room: false, ..WELL }.judge(), Readiness::Degraded);
    }

    #[test]
    fn a_node_that_starts_stops_or_knows_nothing_is_not_ready_whatever_else_is_well() {
        for facts in [
            Facts { phase: Phase::Starting, ..WELL },
            Facts { phase: Phase::Stopping, ..WELL },
            Facts { database_up: false, memory_warm: false, ..WELL },
            Facts { database_up: false, memory_warm: false, replica: Copy::Partial, ..WELL },
        ] {
            assert!(matches!(facts.judge(), Readiness::NotReady(_)), "{facts:?}");
        }
    }

    #[test]
    fn a_life_goes_through_its_phases() {
        let life = Life::default();
        assert_eq!(life.phase(), Phase::Starting);
        for phase in [Phase::Serving, Phase::Stopping] {
            life.enter(phase);
            assert_eq!(life.phase(), phase);
        }
    }
}
