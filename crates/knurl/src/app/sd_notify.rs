//! Tells systemd (or whoever set `NOTIFY_SOCKET`) that we are ready, alive, or stopping. Best effort: nobody listening is no error.
//!
//! Two watch over us, for different ends. Our own watchdog sees a runtime that no longer turns and aborts with a core dump; it is a thread of
//! this process and stands still when the process does. The supervisor's (`WATCHDOG_USEC`, systemd's `WatchdogSec=`) sees a process that stands
//! still as a whole. It should be the more patient of the two: the first one leaves evidence.

use std::{
    ffi::{OsStr, OsString},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use tokio::runtime::Handle;

pub(super) const READY: &str = "READY=1";
pub(super) const STOPPING: &str = "STOPPING=1";
const ALIVE: &str = "WATCHDOG=1";
/// In the time the supervisor allows we speak so often: one word that is late or lost is no death.
const WORDS_A_PATIENCE: u32 = 3;

pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path, state) {
        tracing::debug!(%error, state, "the supervisor could not be told");
    }
}

/// Where the supervisor wants to hear from us, says so until the runtime ends: from the runtime, so that one that does not turn is silent.
pub(super) fn keep_alive(runtime: &Handle) {
    let (usec, pid) = (std::env::var("WATCHDOG_USEC").ok(), std::env::var("WATCHDOG_PID").ok());
    let patience = patience(usec.as_deref(), pid.as_deref(), std::process::id());
    if let (Some(path), Some(patience)) = (std::env::var_os("NOTIFY_SOCKET"), patience) {
        runtime.spawn(beat(path, patience / WORDS_A_PATIENCE));
    }
}

/// None: nobody waits for us, or what he says is not meant for this process.
fn patience(usec: Option<&str>, pid: Option<&str>, me: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse() == Ok(me));
    let usec = usec?.parse().ok().filter(|usec| meant && *usec > 0)?;
    Some(Duration::from_micros(usec))
}

async fn beat(path: OsString, pause: Duration) {
    loop {
        // A supervisor that does not read must not hold a worker up: what finds no room in his socket is not said.
        if let Err(error) = speak(&path, ALIVE, true) {
            tracing::debug!(%error, "the supervisor could not be told that we live");
        }
        tokio::time::sleep(pause).await;
    }
}

fn send(path: &OsStr, state: &str) -> std::io::Result<()> {
    speak(path, state, false)
}

fn speak(path: &OsStr, state: &str, at_once_or_never: bool) -> std::io::Result<()> {
    // `@name` is a name in the abstract namespace.
    let addr = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(at_once_or_never)?;
    socket.send_to_addr(state.as_bytes(), &addr)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives_at_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), READY).unwrap();
        let mut buf = [0; 32];
        let len = socket.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"READY=1");
    }

    #[test]
    fn nobody_listening_is_an_error_and_not_a_panic() {
        assert!(send(OsStr::new("/nonexistent/notify"), READY).is_err());
    }

    #[test]
    fn a_supervisor_waits_for_this_process_or_for_none() {
        let of = |usec, pid| patience(usec, pid, 42);
        assert_eq!(of(Some("3000000"), None), Some(Duration::from_secs(3)));
        assert_eq!(of(Some("3000000"), Some("42")), Some(Duration::from_secs(3)));
        for (usec, pid) in
            [(None, None), (None, Some("42")), (Some("3000000"), Some("41")), (Some("0"), None), (Some("soon"), None)]
        {
            assert_eq!(of(usec, pid), None, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn a_runtime_that_turns_is_heard_and_one_that_does_not_is_silent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let heard = || std::iter::from_fn(|| socket.recv(&mut [0; 32]).ok()).count();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.spawn(beat(path.into(), Duration::from_millis(1)));
        runtime.block_on(async {
            let mut words = 0;
            while words < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                words += heard();
            }
            // Its only worker is here: nothing turns, and nobody speaks.
            heard();
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(heard(), 0);
        });
    }
}
