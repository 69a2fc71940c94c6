//! A signal to stop: a drill that is under way heals, says that it was interrupted, and ends. A second one ends at once; what was started
//! ends with us.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::signal::unix::{SignalKind, signal};

use crate::fleet::FleetError;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT and SIGTERM are noted instead of ending us.
pub(super) fn watch() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            INTERRUPTED.store(true, Relaxed);
            eprintln!("healing; once more to end at once");
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            std::process::exit(130);
        });
    })?;
    Ok(())
}

pub(super) fn is_set() -> bool {
    INTERRUPTED.load(Relaxed)
}

pub(super) fn check() -> Result<(), FleetError> {
    if is_set() { Err(FleetError::Io(std::io::Error::other("interrupted"))) } else { Ok(()) }
}
