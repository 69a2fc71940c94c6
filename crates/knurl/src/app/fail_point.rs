//! Fail points: named places in the code where the kill harness lets this process die by SIGKILL, or a test lets it hang or panic.
//!
//! Promised: without the feature `failpoints` nothing of it is compiled in, and a process told to die at a point it does not have
//! refuses to start instead of living on.

use std::ffi::OsStr;

use crate::config::{ConfigError, Source};

pub(super) const VARIABLE: &str = "KNURL_FAILPOINT";

fn refused(reason: &str) -> ConfigError {
    ConfigError::Refused { key: VARIABLE.to_owned(), source_: Source::Environment(VARIABLE.to_owned()), reason: reason.to_owned() }
}

/// `NAME@N`: at the N-th time the point NAME is reached, this process ends as by `kill -9`. `NAME@N,hang`: from then on every thread that
/// reaches it stays there. `NAME@N,panic`: the N-th time whoever reaches it panics, and nobody after that.
#[cfg(feature = "failpoints")]
pub(super) fn arm(spec: Option<&OsStr>) -> Result<(), ConfigError> {
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Clone, Copy)]
    enum End {
        Dies,
        Hangs,
        Panics,
    }

    let Some(spec) = spec else { return Ok(()) };
    let parsed = spec.to_str().and_then(|spec| spec.split_once('@')).and_then(|(name, at)| {
        let (at, end) = match at.split_once(',') {
            None => (at, End::Dies),
            Some((at, "hang")) => (at, End::Hangs),
            Some((at, "panic")) => (at, End::Panics),
            Some(_) => return None,
        };
        Some((name, at.parse::<u64>().ok()?, end))
    });
    let Some((name, at, end)) = parsed.filter(|(name, at, _)| !name.is_empty() && *at > 0) else {
        return Err(refused("must be NAME@N, NAME@N,hang or NAME@N,panic, N from 1"));
    };
    let hits = AtomicU64::new(0);
    fail::cfg_callback(name, move || {
        let hit = hits.fetch_add(1, Ordering::Relaxed) + 1;
        match end {
            End::Hangs if hit >= at => loop {
                std::thread::park();
            },
            // It cannot fail on ourselves, and there is nobody left to tell.
            End::Dies if hit == at => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
            End::Panics if hit == at => panic!("a fail point panics, as it was told"),
            _ => {}
        }
    })
    .map_err(|reason| refused(&reason))
}

#[cfg(not(feature = "failpoints"))]
pub(super) fn arm(spec: Option<&OsStr>) -> Result<(), ConfigError> {
    match spec {
        Some(_) => Err(refused("this knurl was built without fail points")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fail_point_that_cannot_strike_is_refused() {
        assert!(arm(None).is_ok());
        for nonsense in [
            "",
            "store::before_commit",
            "@1",
            "store::before_commit@0",
            "store::before_commit@x",
            "store::before_commit@1,hung",
            "store::before_commit@1,",
        ] {
            assert!(arm(Some(OsStr::new(nonsense))).is_err(), "{nonsense}");
        }
    }
}
