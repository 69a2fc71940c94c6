//! Log lines to standard error, one JSON object (or one line of text) each.
//!
//! Promised: writing a line never waits for whoever reads them. A thread of its own writes; when [`LINES_MAX`] wait, lines are dropped and
//! counted, and the count is itself a line once there is room.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

use super::{Metrics, line::Lines};
use crate::config::{LogConfig, LogFormat};

/// A burst of a second at a rate nobody can read anyway; some 2 MB at 256 bytes a line.
const LINES_MAX: usize = 8192;
/// At the end, for the lines that wait.
const FINISH_TIME: Duration = Duration::from_secs(1);
/// Between two looks whether there is room to ask for it.
const FINISH_PAUSE: Duration = Duration::from_millis(1);

enum Message {
    Line(Vec<u8>),
    /// Everything before it is to be written; then the sender is told.
    Finish(SyncSender<()>),
}

/// The log of this process. Finished by [`Logging::finish`], so that the last lines are not lost.
#[derive(Clone, Debug)]
pub struct Logging {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Makes it the process's log (the first caller wins) and turns panics into lines.
pub fn start(config: &LogConfig) -> Logging {
    let logging = Logging::to(io::stderr());
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::registry().with(filter).with(filter_fn(may_be_written));
    // Two layers, because each writes the fields of its lines in its own way.
    let layer = tracing_subscriber::fmt::layer().with_writer(logging.clone());
    let installed = match config.format {
        LogFormat::Json => subscriber.with(layer.json().event_format(Lines::new(config.format))).try_init(),
        LogFormat::Text => subscriber.with(layer.with_ansi(false).event_format(Lines::new(config.format))).try_init(),
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let at = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current();
            tracing::error!(at, thread = thread.name(), message = %panic.payload_as_str().unwrap_or("panic"), "a thread panicked");
        }));
    }
    logging
}

/// What libraries say below a warning holds what we never write down: parameters of statements, headers, addresses.
fn may_be_written(of: &tracing::Metadata<'_>) -> bool {
    *of.level() <= tracing::Level::WARN || of.target().starts_with("knurl")
}

impl Logging {
    /// A thread writes to `out` what is logged.
    fn to(out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        let spawned = std::thread::Builder::new().name("knurl-log".into()).spawn(move || write_lines(&waiting, out, &counter));
        if let Err(error) = spawned {
            // Without the thread every line counts as dropped; the process still serves.
            eprintln!("no log: {error}");
        }
        Self { lines, dropped }
    }

    /// Shows the dropped lines in `metrics` from now on.
    pub fn count_into(&self, metrics: &Metrics) {
        let dropped = Arc::clone(&self.dropped);
        metrics.on_render(move |metrics| metrics.log.dropped.set(dropped.load(Relaxed)));
    }

    /// Writes what waits, within [`FINISH_TIME`].
    pub fn finish(&self) {
        let (done, finished) = sync_channel(1);
        let until = Instant::now() + FINISH_TIME;
        let mut asked = Message::Finish(done);
        // A full queue has lines that are worth the same wait.
        while let Err(refused) = self.lines.try_send(asked) {
            let TrySendError::Full(again) = refused else { return };
            if Instant::now() >= until {
                return;
            }
            asked = again;
            std::thread::sleep(FINISH_PAUSE);
        }
        let _ = finished.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn write_lines(waiting: &Receiver<Message>, mut out: impl Write, dropped: &AtomicU64) {
    let mut told = 0;
    for message in waiting {
        match message {
            // Nobody can be told that standard error is closed.
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Finish(done) => {
                let _ = out.flush();
                let _ = done.send(());
            }
        }
        let total = dropped.load(Relaxed);
        if total != told {
            let _ = writeln!(out, r#"{{"level":"WARN","message":"log lines were dropped","dropped":{}}}"#, total - told);
            told = total;
        }
    }
}

/// One event's line.
#[derive(Debug)]
pub struct Line(Logging);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The formatter writes an event in one call.
        if self.0.lines.try_send(Message::Line(line.to_vec())).is_err() {
            self.0.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logging {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    /// A reader that takes nothing until it is let.
    struct Stalled {
        gate: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stalled {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            self.written.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_never_time() {
        let (open, gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let logging = Logging::to(Stalled { gate, written: Arc::clone(&written) });
        for n in 0..2 * LINES_MAX {
            writeln!(logging.make_writer(), "{n}").unwrap();
        }
        let dropped = logging.dropped.load(Relaxed);
        assert!(dropped > 0, "more lines than fit were written and nobody waited");
        drop(open);
        while logging.lines.try_send(Message::Line(b"last\n".to_vec())).is_err() {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        let written = loop {
            // Asked for while the queue is still full, too: it must neither fail nor take the line away.
            logging.finish();
            let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
            if written.contains("last\n") {
                break written;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "a reader that reads again gets what waited");
        };
        assert!(written.starts_with('0'), "{written}");
        assert!(written.contains(&format!(r#""dropped":{dropped}"#)), "the loss is told");
    }
}
