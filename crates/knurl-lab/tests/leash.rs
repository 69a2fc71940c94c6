//! No child outlives whoever started it, however that one ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead as _, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use knurl_lab::leash;

const LONG: Duration = Duration::from_secs(60);
/// Says so to the test that is run again as a process of its own.
const IS_PARENT: &str = "LEASH_TEST_IS_PARENT";
const WILLED: &str = "LEASH_TEST_WILLED";

fn sleeper() -> Command {
    let mut command = leash::command("sleep");
    command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn ends(pid: u32) {
    let (place, begun) = (PathBuf::from(format!("/proc/{pid}/cmdline")), Instant::now());
    // Whoever has ended has no command line, waited for or not.
    while std::fs::read(&place).is_ok_and(|line| !line.is_empty()) {
        assert!(begun.elapsed() < LONG, "{pid} goes on");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Only then has it asked the kernel for the signal.
fn becomes_the_program(pid: u32) {
    let (place, begun) = (format!("/proc/{pid}/cmdline"), Instant::now());
    while !std::fs::read(&place).unwrap().starts_with(b"sleep\0") {
        assert!(begun.elapsed() < LONG, "{pid} does not become the program");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_test_that_panics_leaves_no_child_behind() {
    let mut pid = 0;
    let held = catch_unwind(AssertUnwindSafe(|| {
        let child = leash::spawn(sleeper()).unwrap();
        pid = child.id();
        panic!("as a failed assertion does");
    }));
    assert!(held.is_err());
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "killed, and waited for");
}

#[test]
fn a_process_that_is_killed_leaves_no_child_behind() {
    if std::env::var_os(IS_PARENT).is_some() {
        // From a thread that ends: the child must not.
        let child = thread::spawn(|| leash::spawn(sleeper()).unwrap()).join().unwrap();
        println!("\nchild {}", child.id());
        thread::sleep(LONG);
        return;
    }
    let mut parent = leash::command(std::env::current_exe().unwrap());
    parent.args(["--exact", "a_process_that_is_killed_leaves_no_child_behind", "--nocapture"]).env(IS_PARENT, "yes");
    parent.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut parent = leash::spawn(parent).unwrap();
    let said = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
    let pid: u32 = said.filter_map(|line| line.strip_prefix("child ")?.parse().ok()).next().unwrap();
    becomes_the_program(pid);
    parent.kill().unwrap();
    parent.wait().unwrap();
    ends(pid);
}

#[test]
fn a_command_that_nothing_would_tell_of_our_death_is_refused() {
    let error = leash::spawn(Command::new("sleep")).unwrap_err().to_string();
    assert!(error.contains("leash::command"), "{error}");
}

fn is_made(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < LONG, "{} is not made", file.display());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_will_is_executed_when_it_is_dropped_and_when_whoever_made_it_is_killed() {
    if let Some(file) = std::env::var_os(WILLED) {
        let _will = leash::will("touch", &[file.to_str().unwrap()]).unwrap();
        println!("\nmade");
        thread::sleep(LONG);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (dropped, killed) = (dir.path().join("dropped"), dir.path().join("killed"));
    let will = leash::will("touch", &[dropped.to_str().unwrap()]).unwrap();
    assert!(!dropped.exists());
    drop(will);
    assert!(dropped.exists(), "executed, and waited for");
    let mut parent = leash::command(std::env::current_exe().unwrap());
    parent.args(["--exact", "a_will_is_executed_when_it_is_dropped_and_when_whoever_made_it_is_killed", "--nocapture"]);
    parent.env(WILLED, &killed).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut parent = leash::spawn(parent).unwrap();
    let mut said = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line == "made") && !killed.exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    is_made(&killed);
}
