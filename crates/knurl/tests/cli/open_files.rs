//! What the limit of open files allows.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use knurl_lab::leash;
use serde_json::Value;

use super::knurl::{Knurl, Ran};

/// The binary in that directory, where so many files may be open at once.
fn limited(knurl: &Knurl, files: u32, args: &[&str]) -> Command {
    let mut command = leash::command("/bin/sh");
    let script = format!("ulimit -n {files} && exec \"$@\"");
    command.env_clear().current_dir(knurl.dir.path()).args(["-c", &script, "sh", env!("CARGO_BIN_EXE_knurl")]).args(args);
    command.stdin(Stdio::null());
    command
}

const SERVE: [&str; 6] = ["serve", "--open", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];

#[test]
fn a_limit_under_which_accepting_would_fail_is_refused_at_the_start_and_named_by_doctor() {
    let knurl = Knurl::new();
    for files in [64, 319] {
        let ran = Ran::of(&limited(&knurl, files, &SERVE).output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
        assert!(ran.err.contains(&format!("only {files} files may be open")) && ran.err.contains("ulimit -n"), "{ran:?}");
        let ran = Ran::of(&limited(&knurl, files, &["doctor", "--json"]).output().unwrap());
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "open files").unwrap();
        assert_eq!((ran.code, &check["health"]), (1, &"fail".into()), "{report}");
    }
}

#[test]
fn under_the_smallest_limit_that_serves_health_is_answered_whatever_the_visitors_do() {
    let knurl = Knurl::new();
    let mut serve = limited(&knurl, 320, &SERVE);
    serve.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = leash::spawn(serve).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(ready["listen"].as_str().unwrap()).unwrap()).collect();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(ready["metrics_listen"].as_str().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    drop(idle);
}
