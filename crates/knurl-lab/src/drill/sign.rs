//! The sign: which drill is under way and in which phase it is, as a metric that the drill's Prometheus scrapes beside the nodes
//! (`lab_drill_phase`). The dashboards mark drills with it.
//!
//! Promised: at any time at most one phase is 1, under the name that the verdict gives it; before the load begins, none.

use std::{
    fmt::Write as _,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::verdict::PHASES;
use crate::responder::{Answer, Responder};

/// What Prometheus calls it: none of the rules asks for this job.
pub const JOB: &str = "drill";
const NONE: usize = usize::MAX;

#[derive(Debug)]
pub struct Sign {
    phase: Arc<AtomicUsize>,
    responder: Responder,
}

impl Sign {
    pub fn start(drill: &'static str) -> io::Result<Self> {
        let phase = Arc::new(AtomicUsize::new(NONE));
        let shown = Arc::clone(&phase);
        // Whatever is asked: there is nothing else here.
        let answer = move |_| Answer {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            body: exposition(drill, shown.load(Relaxed)),
        };
        let responder = Responder::start((Ipv4Addr::LOCALHOST, 0).into(), "drill-sign", answer)?;
        Ok(Self { phase, responder })
    }

    pub fn addr(&self) -> SocketAddr {
        self.responder.addr()
    }

    /// One of [`PHASES`].
    pub fn show(&self, phase: &str) {
        self.phase.store(PHASES.iter().position(|name| *name == phase).unwrap_or(NONE), Relaxed);
    }
}

fn exposition(drill: &str, now: usize) -> String {
    let mut text = "# HELP lab_drill_phase 1 for the phase in which the drill is, 0 for the others.\n\
                    # TYPE lab_drill_phase gauge\n"
        .to_owned();
    for (at, phase) in PHASES.iter().enumerate() {
        let _ = writeln!(text, "lab_drill_phase{{drill=\"{drill}\",phase=\"{phase}\"}} {}", u8::from(at == now));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fleet, http::Request};

    #[test]
    fn the_sign_shows_the_phase_that_is_and_no_other() {
        let sign = Sign::start("node-killed").unwrap();
        let shown = || {
            let answer = fleet::ask(sign.addr(), &Request::get("/metrics"), 200).unwrap();
            let text = String::from_utf8(answer.body.unwrap()).unwrap();
            let is_one = |line: &&str| !line.starts_with('#') && line.ends_with(" 1");
            text.lines().filter(is_one).map(str::to_owned).collect::<Vec<String>>()
        };
        assert!(shown().is_empty());
        for phase in PHASES {
            sign.show(phase);
            assert_eq!(shown(), [format!("lab_drill_phase{{drill=\"node-killed\",phase=\"{phase}\"}} 1")]);
        }
    }
}
