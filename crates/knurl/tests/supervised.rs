//! What a supervisor hears (`NOTIFY_SOCKET`, `WATCHDOG_USEC`), and the units that are made for it, judged by systemd's own programs.
#![allow(clippy::unwrap_used, reason = "test code outside a #[test] function")]

mod wire;

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use knurl_lab::leash;
use rustix::process::Signal;
use tempfile::TempDir;
use wire::{LONG, process::Process};

/// Of systemd's scale from 0 (nothing is reachable) to 10. What is left is the network, and a user of its own.
const EXPOSURE_MAX: f64 = 1.5;

struct Supervisor {
    socket: UnixDatagram,
    dir: Arc<TempDir>,
}

impl Supervisor {
    fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, dir }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Process {
        let data = self.dir.path().join("data");
        let mut command = Process::command(&data);
        command.env("NOTIFY_SOCKET", self.dir.path().join("notify")).envs(variables.iter().copied()).stderr(Stdio::null());
        Process::run(command, Arc::clone(&self.dir))
    }

    fn hears(&self) -> String {
        let mut word = [0; 64];
        let length = self.socket.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    }

    /// Everything that was said and not heard yet.
    fn has_heard(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut word = [0; 64];
        let mut heard = Vec::new();
        while let Ok(length) = self.socket.recv(&mut word) {
            heard.push(String::from_utf8(word[..length].to_vec()).unwrap());
        }
        self.socket.set_nonblocking(false).unwrap();
        heard
    }
}

#[test]
fn whoever_waits_for_it_hears_that_it_lives_until_it_stands_still() {
    let supervisor = Supervisor::new();
    let process = supervisor.start(&[("WATCHDOG_USEC", "90000")]);
    assert_eq!(supervisor.hears(), "READY=1");
    for _ in 0..5 {
        assert_eq!(supervisor.hears(), "WATCHDOG=1");
    }
    process.signal(Signal::STOP);
    // What it had said by then.
    std::thread::sleep(Duration::from_millis(200));
    supervisor.has_heard();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(supervisor.has_heard(), Vec::<String>::new(), "a process that stands still says nothing");
    process.signal(Signal::CONT);
    assert_eq!(supervisor.hears(), "WATCHDOG=1");
    process.signal(Signal::TERM);
    while supervisor.hears() != "STOPPING=1" {}
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn what_is_meant_for_another_process_is_not_answered() {
    let supervisor = Supervisor::new();
    let process = supervisor.start(&[("WATCHDOG_USEC", "3000"), ("WATCHDOG_PID", "1")]);
    process.signal(Signal::TERM);
    assert_eq!(process.end().code(), Some(0));
    assert_eq!(supervisor.has_heard(), ["READY=1", "STOPPING=1"]);
}

// -- The units of deploy/systemd ---------------------------------------------------------------------------------------------------

const UNITS: [&str; 4] = ["knurl.service", "knurl.socket", "knurl-backup.service", "knurl-backup.timer"];

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd").join(name)).unwrap()
}

/// None where there is no systemd: then only what stands in the text is judged.
fn analyze(dir: &Path, args: &[&str]) -> Option<(bool, String)> {
    let mut command = leash::command("systemd-analyze");
    command.args(args).current_dir(dir).env("SYSTEMD_UNIT_PATH", format!("{}:", dir.display()));
    let exists = Command::new("systemd-analyze").arg("--version").output().is_ok();
    let output = exists.then(|| command.output().unwrap())?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), said))
}

/// The units as they are, but for the program's place: `verify` looks whether it is there.
fn units() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in UNITS {
        fs::write(dir.path().join(name), unit(name).replace("/usr/local/bin/knurl", wire::process::BINARY)).unwrap();
    }
    dir
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let dir = units();
    if let Some((well, said)) = analyze(dir.path(), &[&["verify", "--man=no"], &UNITS[..]].concat()) {
        // A user `knurl` and other units of the machine are the machine's own matter.
        let ours: Vec<&str> = said.lines().filter(|line| UNITS.iter().any(|unit| line.contains(unit))).collect();
        assert!(well && ours.is_empty(), "{said}");
    }
}

#[test]
fn the_units_leave_little_open() {
    let dir = units();
    for unit in ["knurl.service", "knurl-backup.service"] {
        if let Some((_, said)) = analyze(dir.path(), &["security", "--offline=yes", "--no-pager", unit]) {
            let verdict = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
            let level: f64 = verdict.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
            assert!(level <= EXPOSURE_MAX, "{said}");
        }
    }
}

#[test]
fn the_unit_restarts_what_ends_and_is_more_patient_than_we_are_with_ourselves() {
    let unit = unit("knurl.service");
    let value =
        |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_else(|| panic!("{name}"));
    assert_eq!((value("Restart"), value("Type")), ("always", "notify"));
    let defaults = knurl::config::Config::default();
    let (watchdog_s, stop_s): (u64, u64) = (value("WatchdogSec").parse().unwrap(), value("TimeoutStopSec").parse().unwrap());
    assert!(Duration::from_secs(watchdog_s) > defaults.watchdog.stuck_after, "the one that leaves evidence is the first");
    let stop = defaults.http.ready_drain + defaults.http.drain_timeout + knurl::app::CLOSE_TIME;
    assert!(Duration::from_secs(stop_s) > stop + Duration::from_secs(2));
}
