//! `knurl serve`: the process around the [`App`].

use std::{io::Write, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use super::{App, AppError, CLOSE_TIME, HandedOver, fail_point, sd_notify, watchdog};
use crate::{
    config::Config,
    telemetry::log::{self, Logging},
};

/// After stop's own deadlines, for a runtime that cannot even keep those.
const LAST_RESORT: Duration = Duration::from_secs(2);
/// The same signal again so soon is the same wish: some supervisors (GNU `timeout`, a shell's Ctrl-C through a wrapper) tell the process and its
/// group.
const SAME_SIGNAL: Duration = Duration::from_secs(1);
/// For blocking tasks (a list query, a checkpoint) still running when everything is closed.
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(500);

/// Starts the [`App`] on a runtime of its own, prints the ready line to standard output, calls `on_ready` (the CLI's `--welcome`), runs
/// until SIGTERM or SIGINT and stops. Blocks. A second signal ends the process at once, unless it is the first one's echo.
pub fn serve(config: Config, on_ready: impl FnOnce(&App)) -> Result<(), AppError> {
    let logging = log::start(&config.log);
    fail_point::arm(std::env::var_os(fail_point::VARIABLE).as_deref())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("knurl").build().map_err(AppError::Runtime)?;
    let served = runtime.block_on(run(config, &logging, on_ready));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    logging.finish();
    served
}

async fn run(config: Config, logging: &Logging, on_ready: impl FnOnce(&App)) -> Result<(), AppError> {
    // Before anything is opened: a signal during the start ends it here, and not in the middle of a write.
    let mut signals = Signals::new().map_err(AppError::Runtime)?;
    let stuck_after = config.watchdog.stuck_after;
    let stop_time = config.http.ready_drain + config.http.drain_timeout + CLOSE_TIME;
    let app = tokio::select! {
        app = App::start_on(config, HandedOver::take()?) => app?,
        // A database that is slow, or locked, may keep a start waiting. Nothing was served: there is nothing to finish.
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before it had started");
            sd_notify::notify(sd_notify::STOPPING);
            return Ok(());
        }
    };
    let metrics = Arc::clone(&app.state().metrics);
    logging.count_into(&metrics);
    let handle = tokio::runtime::Handle::current();
    let watchdog = watchdog::Watchdog::start(&handle, stuck_after, metrics, watchdog::abort).map_err(AppError::Runtime)?;
    announce(&app);
    sd_notify::notify(sd_notify::READY);
    sd_notify::keep_alive(&handle);
    on_ready(&app);

    let name = signals.next().await;
    tracing::info!(signal = name, "stopping");
    sd_notify::notify(sd_notify::STOPPING);
    // A drain may keep the runtime silent (a last checkpoint on a slow disk): from here the deadline below is the judge.
    drop(watchdog);
    tokio::spawn(async move {
        let until = Instant::now() + SAME_SIGNAL;
        let name = loop {
            let again = signals.next().await;
            if again != name || Instant::now() > until {
                break again;
            }
        };
        eprintln!("{name} again: ending at once");
        std::process::exit(1);
    });
    let cut_off = last_resort(stop_time + LAST_RESORT);
    app.stop().await;
    drop(cut_off);
    tracing::info!("stopped");
    Ok(())
}

/// Serving goes on where nobody can be told on standard output. Somebody who closed it does not want to know; a full disk is another thing.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            tracing::warn!(%error, "standard output cannot be written: whoever waits there for the ready line waits in vain");
        }
        _ => {}
    }
}

/// The first line on standard output: for scripts, which need the real ports.
fn announce(app: &App) {
    let config = &app.state().config;
    let line = serde_json::json!({
        "event": "ready",
        "listen": app.addr().to_string(),
        "metrics_listen": app.metrics_addr().to_string(),
        "base_url": config.base_url.0,
        "data_dir": config.data_dir,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    });
    say(&line.to_string());
    tracing::info!(listen = %app.addr(), metrics_listen = %app.metrics_addr(), "ready");
}

/// Ends the process after `deadline` unless what is returned was dropped before.
fn last_resort(deadline: Duration) -> std::sync::mpsc::Sender<()> {
    let (alive, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if stopped.recv_timeout(deadline) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{}", AppError::StopCutOff);
            std::process::exit(1);
        }
    });
    alive
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
