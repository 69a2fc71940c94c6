//! Commands beside a running server, and after it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{ChildStdout, Stdio},
    time::{Duration, Instant},
};

use knurl_lab::leash::Leashed;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::knurl::Knurl;

/// `knurl serve`, ended with the test.
pub(crate) struct Served {
    child: Leashed,
    out: BufReader<ChildStdout>,
    pub(crate) addr: String,
}

impl Served {
    pub(crate) fn start(knurl: &Knurl, more: &[&str]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"], more].concat();
        let mut child = knurl.begin(&args, [Stdio::null(), Stdio::piped(), Stdio::null()]);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        Self { child, out, addr: ready["listen"].as_str().unwrap().to_owned() }
    }

    /// The status of `GET /{code}`.
    pub(crate) fn status(&self, code: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /{code} HTTP/1.1\r\nHost: {}\r\nUser-Agent: test\r\nConnection: close\r\n\r\n", self.addr).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn becomes(&self, code: &str, status: u16) {
        eventually(&format!("/{code} answers {status}"), || self.status(code) == status);
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// SIGTERM; the exit code, and what else stood on standard output.
    pub(crate) fn stop(mut self) -> (i32, String) {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), said)
    }
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_running_server_notices_what_commands_change_and_commands_see_its_clicks() {
    let knurl = Knurl::new();
    let served = Served::start(&knurl, &[]);
    assert_eq!(served.status("hello"), 404, "and the server remembers that there is no such code");
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    served.becomes("hello", 302);
    knurl.ok(&["link", "disable", "hello"]);
    served.becomes("hello", 404);

    eventually("the click is delivered", || knurl.json(&["link", "stats", "hello"])["total"].as_u64() >= Some(1));
    let stats = knurl.ok(&["link", "stats", "hello", "--unit", "hour", "--from", "2h"]);
    assert!(stats.contains('█'), "{stats}");
    let day = knurl.json(&["link", "stats", "hello"])["buckets"][0]["at"].as_str().unwrap()[..10].to_owned();
    let of = |from: &str, to: &str| knurl.json(&["link", "stats", "hello", "--from", from, "--to", to])["total"].as_u64();
    assert_eq!(of("2020-01-01", &day), Some(0), "the range ends before its last instant, as the API's does");
    assert!(of("2020-01-01", &format!("{day}T00:00:01Z")) >= Some(1), "and counts the whole of a day it touches");
    let audit = knurl.json(&["audit"]);
    assert_eq!((&audit["verdict"], &audit["dropped"], &audit["lost"]), (&"holds".into(), &0.into(), &0.into()), "{audit}");
    assert!(knurl.fails(1, &["restore", "any.db", "--force"]).contains("a server is running"));
    assert_eq!(served.stop().0, 0);
}

#[test]
fn no_command_makes_a_link_that_leads_back_to_a_server_whose_address_only_its_flags_know() {
    let knurl = Knurl::new();
    let served = Served::start(&knurl, &["--base-url", "https://sho.rt.example"]);
    let back = [format!("http://{}/self", served.addr), "https://SHO.rt.example./self".to_owned()];
    let refused = |when: &str| {
        for target in &back {
            let said = knurl.fails(2, &["link", "create", target, "--code", "self"]);
            assert!(said.contains("leads back to this shortener"), "{when}: {target}: {said}");
        }
    };
    refused("beside the server");
    served.stop();
    refused("after it, since it will be started so again");
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    knurl.write("data/served.json", "{\"listen\":");
    knurl.ok(&["link", "create", "https://example.com/", "--code", "again"]);
}

#[test]
fn short_links_begin_with_what_the_running_server_says_unless_something_else_was_said() {
    let knurl = Knurl::new().with("KNURL_LISTEN", "127.0.0.1:0").with("KNURL_METRICS_LISTEN", "127.0.0.1:0");
    let begins = |knurl: &Knurl, base: &str| {
        let made = knurl.json(&["link", "create", "https://example.com/"])["short_url"].as_str().unwrap().to_owned();
        assert!(made.starts_with(&format!("{base}/")), "{made} begins with {base}");
    };
    let served = Served::start(&knurl, &[]);
    begins(&knurl, &format!("http://{}", served.addr));
    let report = knurl.json(&["doctor"]);
    let found = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "server").unwrap()["found"].as_str();
    let found = found.unwrap().to_owned();
    assert!(found.starts_with("runs since 20") && found.contains(&format!(" at {},", served.addr)), "{found}");
    kill_process(served.pid(), Signal::KILL).unwrap();
    drop(served);
    assert!(knurl.path("data/served.json").exists());
    begins(&knurl, "http://127.0.0.1:0");
    assert!(!knurl.ok(&["doctor"]).contains("runs since"), "what is gone is not named");

    let served = Served::start(&knurl, &["--base-url", "https://sho.rt.example"]);
    begins(&knurl, "https://sho.rt.example");
    served.stop();
    begins(&knurl, "http://127.0.0.1:0");
    let _served = Served::start(&knurl, &[]);
    begins(&knurl.in_environment(&[("KNURL_BASE_URL", "https://mine.example")]), "https://mine.example");
}

#[test]
fn the_welcome_has_the_key_and_lines_that_can_be_pasted() {
    let knurl = Knurl::new();
    let served = Served::start(&knurl, &["--welcome"]);
    let addr = served.addr.clone();
    let (code, said) = served.stop();
    let key = std::fs::read_to_string(knurl.path("data/admin.key")).unwrap();
    assert_eq!(code, 0);
    assert!(said.contains(&format!("curl -s http://{addr}/shorten")), "{said}");
    assert!(said.contains(&format!("Authorization: Bearer {}'", key.trim())), "{said}");
    let report =
        knurl.in_environment(&[("KNURL_LISTEN", "127.0.0.1:0"), ("KNURL_METRICS_LISTEN", "127.0.0.1:0")]).json(&["doctor"]);
    assert_ne!(report["health"], "fail", "{report}");
}

#[test]
fn a_ready_line_that_cannot_be_written_is_warned_of_and_serving_goes_on() {
    let knurl = Knurl::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let args = ["serve", "--welcome", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let mut child = knurl.begin(&args, [Stdio::null(), full.into(), Stdio::piped()]);
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let warning = said.find(|line| line.as_ref().unwrap().contains("standard output cannot be written")).unwrap().unwrap();
    assert!(warning.contains("WARN"), "{warning}");
    eventually("it serves", || knurl.run(&["health"]).code == 0);
    kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    said.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn open_says_that_there_is_no_key() {
    let knurl = Knurl::new();
    let (_, said) = Served::start(&knurl, &["--open", "--welcome"]).stop();
    assert!(said.contains("asks for no key") && !said.contains("Bearer"), "{said}");
}

#[test]
fn after_a_restore_the_spool_delivers_again_what_it_still_has_and_the_audit_tells_what_it_has_not() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    knurl.ok(&["backup", "before.db"]);
    let served = Served::start(&knurl, &[]);
    assert_eq!(served.status("hello"), 302);
    served.stop();
    let held = knurl.json(&["audit"]);
    assert_eq!((&held["answered"], &held["delivered"], &held["rolled_up"]), (&1.into(), &1.into(), &1.into()), "{held}");
    assert!(knurl.ok(&["audit"]).contains("The law holds"));

    knurl.ok(&["restore", "before.db", "--force"]);
    let waiting = knurl.json(&["audit"]);
    assert_eq!((&waiting["delivered"], &waiting["backlog"]), (&0.into(), &1.into()), "{waiting}");

    for entry in std::fs::read_dir(knurl.path("data/spool")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let ran = knurl.run(&["audit", "--json"]);
    let broken: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &broken["verdict"]), (1, &"broken".into()), "{broken}");
    let text = knurl.run(&["audit"]);
    assert!(text.code == 1 && text.out.contains("BROKEN"), "{text:?}");
}

/// 30 clicks that the server had no time to deliver before it was killed.
fn killed_with_a_backlog() -> Knurl {
    const ANY_PORT: [(&str, &str); 2] = [("KNURL_LISTEN", "127.0.0.1:0"), ("KNURL_METRICS_LISTEN", "127.0.0.1:0")];
    let knurl = Knurl::new().in_environment(&ANY_PORT);
    knurl.ok(&["link", "create", "https://example.com/", "--code", "hello"]);
    let served = Served::start(&knurl, &[]);
    (0..5).for_each(|_| assert_eq!(served.status("hello"), 302));
    served.stop();
    let knurl = knurl.with("KNURL_CLICKS_DRAIN_INTERVAL_MS", "60000");
    let served = Served::start(&knurl, &[]);
    (0..30).for_each(|_| assert_eq!(served.status("hello"), 302));
    kill_process(served.pid(), Signal::KILL).unwrap();
    knurl
}

fn audited(knurl: &Knurl) -> (i32, Value) {
    let ran = knurl.run(&["audit", "--json"]);
    (ran.code, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn clicks_that_wait_are_seen_when_the_ledger_is_gone_and_delivered_by_the_next_start() {
    let knurl = killed_with_a_backlog();
    let (code, held) = audited(&knurl);
    let waiting = held["backlog"].as_u64().unwrap();
    assert!(code == 0 && waiting > 0, "{held}");
    std::fs::remove_file(knurl.path("data/spool/ledger")).unwrap();
    let (code, found) = audited(&knurl);
    assert_eq!((code, &found["verdict"], &found["spool"]), (1, &"unproven".into(), &"no_ledger".into()), "{found}");
    assert_eq!((&found["answered"], &found["backlog"], &found["elsewhere"]), (&35.into(), &waiting.into(), &0.into()), "{found}");
    let text = knurl.run(&["audit"]).out;
    assert!(text.contains("ledger is not here") && text.contains("elsewhere             0"), "{text}");
    let doctor = knurl.ok(&["doctor"]);
    assert!(doctor.contains(&format!("{waiting} waiting, but the spool's ledger is not here")), "{doctor}");
    Served::start(&knurl, &[]).stop();
    let (code, after) = audited(&knurl);
    assert_eq!(
        (code, &after["delivered"], &after["backlog"], &after["verdict"]),
        (0, &35.into(), &0.into(), &"holds".into()),
        "{after}"
    );
}

#[test]
fn stats_say_that_clicks_wait_for_delivery() {
    let knurl = killed_with_a_backlog();
    let stats = knurl.json(&["link", "stats", "hello"]);
    let waiting = stats["waiting"].as_u64().unwrap();
    assert!(waiting > 0 && waiting + stats["total"].as_u64().unwrap() == 35, "{stats}");
    let text = knurl.ok(&["link", "stats", "hello"]);
    assert!(text.contains(&format!("{waiting} clicks (of any link) wait for delivery")), "{text}");
    Served::start(&knurl, &[]).stop();
    assert_eq!(knurl.json(&["link", "stats", "hello"])["waiting"], 0);
    assert!(!knurl.ok(&["link", "stats", "hello"]).contains("wait for delivery"));
}

#[test]
fn an_audit_without_the_spool_that_clicks_came_from_proves_nothing_and_says_so() {
    let knurl = killed_with_a_backlog();
    std::fs::rename(knurl.path("data/spool"), knurl.path("elsewhere")).unwrap();
    let (code, found) = audited(&knurl);
    assert_eq!((code, &found["verdict"], &found["spool"]), (1, &"unproven".into(), &"none".into()), "{found}");
    assert!(found["elsewhere"].as_u64() >= Some(5), "{found}");
    assert!(knurl.run(&["audit"]).out.contains("a spool that is not here"));
    let doctor = knurl.ok(&["doctor"]);
    assert!(doctor.contains("WARN  clicks") && doctor.contains("a spool that is not here"), "{doctor}");
    assert!(!knurl.path("data/spool").exists(), "looking makes nothing");
    Served::start(&knurl, &[]).stop();
    assert_eq!(audited(&knurl).0, 0, "new books are begun");

    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/"]);
    assert_eq!(audited(&knurl).0, 0, "nobody served here yet");
    Served::start(&knurl, &[]).stop();
    std::fs::remove_dir_all(knurl.path("data/spool")).unwrap();
    assert_eq!(audited(&knurl).0, 1, "somebody did, and the database cannot know of what was not delivered");
}
