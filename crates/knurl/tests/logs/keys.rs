//! Which keys a line has: those by which lines of different programs are found together are called the same.

use std::{collections::BTreeSet, fs::File, process::Stdio};

use knurl_lab::fleet::front::{self, FrontSetup};

use super::*;

fn keys(line: &Value) -> BTreeSet<String> {
    line.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_line_of_a_request_is_found_by_the_same_keys_in_both_logs() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let log = dir.path().join("log");
    let variables = [("KNURL_LOG_LEVEL", "debug"), ("KNURL_TRUSTED_PROXIES", "127.0.0.1")];
    let process = start(&dir, Stdio::from(File::create(&log).unwrap()), &variables);
    let nginx = front::start(&[process.ready["listen"].as_str().unwrap().parse().unwrap()], &FrontSetup::default()).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request =
        format!("GET /urls/99 HTTP/1.1\r\nhost: t\r\nx-request-id: the-one\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-00\r\n\r\n");
    assert_eq!(ask_at(&format!("127.0.0.1:{}", nginx.port()), &request).status, 404);
    let find = |path: &Path| {
        let begun = std::time::Instant::now();
        loop {
            let text = std::fs::read_to_string(path).unwrap();
            if let Some(line) = text.lines().find(|line| line.contains("the-one") && line.ends_with('}')) {
                return serde_json::from_str::<Value>(line).unwrap();
            }
            assert!(begun.elapsed() < LONG, "no line: {text}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    let (ours, theirs) = (find(&log), find(&front::access_log(&nginx)));
    assert_eq!((&ours["request_id"], &ours["trace_id"]), (&"the-one".into(), &trace.into()), "{ours}");
    assert_eq!((&theirs["request_id"], &theirs["trace_id"]), (&"the-one".into(), &trace.into()), "{theirs}");
    assert_eq!(ours["status"], theirs["status"]);
    // What an error has, and a request that went well has not.
    let of_errors: BTreeSet<String> = ["cause", "code"].map(str::to_owned).into();
    let others: Vec<String> = keys(&ours).difference(&of_errors).filter(|key| !keys(&theirs).contains(*key)).cloned().collect();
    assert!(others.is_empty(), "nginx does not have {others:?}: {theirs}");
    for key in ["timestamp", "level", "target", "message", "request_id", "trace_id", "status"] {
        assert!(keys(&ours).contains(key) && keys(&theirs).contains(key), "{key}: {ours} {theirs}");
    }
}
