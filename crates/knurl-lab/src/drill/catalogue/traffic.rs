//! Traffic: too much of it, slow clients, too many connections, too few files, somebody who guesses codes, one client who wants it all, hostile paths.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use serde_json::json;

use crate::drill::{
    Drill, Ground, Served, Stage,
    props::{self, Tally},
};

/// Clients of this machine are limited like everybody.
const GUESSES: &[(&str, &str)] =
    &[("KNURL_LIMITS_MISSES_PER_MINUTE", "60"), ("KNURL_LIMITS_BURST_S", "1"), ("KNURL_LIMITS_EXEMPT", "")];
const SHARES: &[(&str, &str)] =
    &[("KNURL_LIMITS_ANONYMOUS_PER_MINUTE", "3000"), ("KNURL_LIMITS_BURST_S", "5"), ("KNURL_LIMITS_EXEMPT", "")];
/// A node that is soon overloaded, so that a drill does not overload the machine.
const NARROW: &[(&str, &str)] = &[
    ("KNURL_ADMISSION_CREATES_MAX", "4"),
    ("KNURL_ADMISSION_READS_MAX", "2"),
    ("KNURL_ADMISSION_EXPORTS_MAX", "1"),
    ("KNURL_ADMISSION_TARGET_MS", "50"),
];
const IMPATIENT: &[(&str, &str)] = &[("KNURL_HTTP_FIRST_BYTE_TIMEOUT_MS", "1000"), ("KNURL_HTTP_HEADER_TIMEOUT_MS", "1000")];
const PATIENT: &[(&str, &str)] = &[("KNURL_HTTP_FIRST_BYTE_TIMEOUT_MS", "600000")];
const FEW: &[(&str, &str)] = &[("KNURL_HTTP_CONNECTIONS_MAX", "40")];
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 1);

pub(super) const DRILLS: [Drill; 7] = [
    Drill {
        name: "overload",
        failure: "overload",
        hypothesis: "Who cannot be served is told at once, redirects of known links are served whatever comes, and it ends with the load.",
        harm: "two hundred connections ask one narrow node for whole lists, single links and new links, each again as soon as it is answered",
        ground: Ground { env: NARROW, ..Ground::EMBEDDED },
        alerts: &["KnurlOverloaded"],
        allowed: &[
            "KnurlApiErrorsFast",
            "KnurlApiErrorsSlow",
            "KnurlApiErrorsTrickle",
            "KnurlRuntimeSilent",
            "KnurlJobFailing",
            "KnurlBacklogGrowing",
            "KnurlDatabaseSlow",
            // Of a node whose log somebody reads through a pipe, as Docker does, who has as little CPU as it has.
            "KnurlLogLinesDropped",
        ],
        metrics: &["knurl_admission_shed_total", "knurl_admission_rung", "knurl_admission_worker_lag_seconds"],
        creates: Served::AllOrRefused,
        hurt: |stage| {
            let addr = stage.node(0).addr();
            let mut number = 0_u64;
            let crowd = props::crowd(addr, 200, move || {
                number += 1;
                let asked = match number % 4 {
                    0 => "GET /urls?page=1&per_page=1000",
                    1 => "GET /urls/1",
                    _ => "GET /urls",
                };
                format!("{asked} HTTP/1.1\r\nhost: t\r\n\r\n").into_bytes()
            })?;
            stage.hold(crowd);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "code-scan",
        failure: "code-scan",
        hypothesis: "Somebody who guesses short codes is refused after his share, visitors of real links never, and somebody is told.",
        harm: "one address guesses fifty codes a second",
        ground: Ground { env: GUESSES, ..Ground::FLEET },
        alerts: &["KnurlCodesScanned"],
        metrics: &["knurl_limits_total", "knurl_redirects_total"],
        hurt: |stage| {
            let tally = Tally::default();
            let addr = stage.node(0).addr();
            let guesser = props::asks(STRANGER, addr, Duration::from_millis(20), &tally, |number| {
                ("GET".to_owned(), format!("/guess{number}"), None)
            })?;
            stage.hold((guesser, Told(tally)));
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "slow-clients",
        failure: "slow-clients",
        hypothesis: "Connections that say nothing are closed when their patience ends, and nobody else waits for them.",
        harm: "two hundred connections that send no byte are held open against one node, and opened again as they are closed",
        ground: Ground { env: IMPATIENT, ..Ground::FLEET },
        alerts: &["KnurlSlowClients"],
        metrics: &["knurl_connection_timeouts_total", "knurl_connections_open"],
        hurt: |stage| {
            let addr = stage.node(0).addr();
            let crowd = props::silent(addr, 200, Duration::from_millis(500))?;
            stage.hold(crowd);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "connection-flood",
        failure: "connection-flood",
        hypothesis: "When as many connections are open as may be, those that are open are served, and further ones are told 503 at once.",
        harm: "a hundred and fifty connections are held open against a node that takes forty",
        ground: Ground { env: FEW, ..Ground::FLEET },
        alerts: &["KnurlConnectionsRefused"],
        allowed: &["KnurlSlowClients"],
        metrics: &["knurl_connections_refused_total", "knurl_connections_open"],
        // Clients keep the connections that they have.
        creates: Served::All,
        hurt: |stage| {
            let addr = stage.node(0).addr();
            let crowd = props::silent(addr, 150, Duration::from_millis(500))?;
            stage.hold(crowd);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "files-running-out",
        failure: "files-running-out",
        hypothesis: "When connections take nearly all the file descriptors that a node may open, somebody is told while there are still some: what is not a connection has a reserve, and nobody is refused.",
        harm: "a node that may open three thousand files has twenty-seven hundred connections more than its load, which say nothing and are kept open",
        ground: Ground { env: PATIENT, ..Ground::FLEET },
        alerts: &["KnurlFilesRunningOut"],
        allowed: &["KnurlSlowClients"],
        metrics: &["process_open_fds", "process_max_fds", "knurl_connections_open", "knurl_connections_refused_total"],
        prepare: |stage| {
            let node = stage.node(0);
            node.stop()?;
            node.serve_within(&["prlimit", "--nofile=3000:3000"]);
            node.start()
        },
        hurt: |stage| {
            let addr = stage.node(0).addr();
            let crowd = props::silent(addr, 2_720, Duration::from_millis(500))?;
            stage.hold(crowd);
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "noisy-tenant",
        failure: "noisy-tenant",
        hypothesis: "A client that asks for more than its share is refused, others are not, and somebody is told.",
        harm: "one address creates as fast as it is answered",
        ground: Ground { env: SHARES, ..Ground::FLEET },
        alerts: &["KnurlLimitsRefusing"],
        metrics: &["knurl_limits_total", "http_server_request_duration_seconds_count"],
        hurt: |stage| {
            let tally = Tally::default();
            let addr = stage.node(0).addr();
            let tenant =
                props::asks(STRANGER, addr, Duration::from_millis(3), &tally, |_| ("GET".to_owned(), "/urls/1".to_owned(), None))?;
            stage.hold((tenant, Told(tally)));
            Ok(())
        },
        ..Drill::BARE
    },
    Drill {
        name: "weird-paths",
        failure: "hostile-paths",
        hypothesis: "Whatever is asked for is answered, by nothing worse than a 4xx in JSON, wakes nobody, and leaves no series behind.",
        harm: "paths of every kind that is none: control characters, half an escape, traversal, other protocols, other alphabets, eight kilobytes",
        metrics: &["knurl_redirects_total", "http_server_request_duration_seconds_count"],
        least_s: 40,
        hurt: |stage| {
            let series = series(stage)?;
            stage.note("series_before", series);
            let tally = Tally::default();
            let addr = stage.node(0).addr();
            let asks = props::asks(STRANGER, addr, Duration::from_millis(2), &tally, weird)?;
            stage.hold((asks, Told(Arc::clone(&tally))));
            std::thread::sleep(Duration::from_secs(35));
            let told = props::told(&tally);
            stage.note("weird_paths_answered", told.answered);
            if told.answered < 100 {
                stage.find(format!("only {} paths were answered", told.answered));
            }
            if told.wrong > 0 {
                stage.find(format!("{} were answered wrongly: {}", told.wrong, told.first_wrong.unwrap_or_default()));
            }
            let after = self::series(stage)?;
            stage.note("series_after", after);
            if after > series + SERIES_MORE_MAX {
                stage.find(format!("{series} series became {after}"));
            }
            Ok(())
        },
        creates: Served::All,
        redirects: Served::All,
        ..Drill::BARE
    },
];

/// Methods, routes and codes that nobody had asked for before have theirs, twenty lines and two each; ten thousand paths have none.
const SERIES_MORE_MAX: u64 = 25 * 22;

/// For as long as its client is at work.
#[derive(Debug)]
struct Told(#[expect(dead_code, reason = "kept beside its client")] Tally);

fn series(stage: &mut Stage) -> Result<u64, crate::fleet::FleetError> {
    let answer = crate::fleet::ask(stage.node(0).metrics_addr(), &crate::http::Request::get("/metrics"), 200)?;
    let text = String::from_utf8_lossy(answer.body.as_deref().unwrap_or_default()).into_owned();
    Ok(text.lines().filter(|line| !line.starts_with('#')).count() as u64)
}

fn weird(number: u64) -> (String, String, Option<String>) {
    let of = |path: String| ("GET".to_owned(), path, None);
    let byte = (number / 16 % 256) as u8;
    match number % 16 {
        0 => of(format!("/{}", props::escaped(&[byte, b'a', byte]))),
        1 => of(format!("/../../etc/passwd/{number}")),
        2 => of(format!("/%2e%2e%2f%2e%2e%2f{number}")),
        3 => of(format!("/%{number}")),
        4 => of(format!("/{}", "a".repeat((number % 9000) as usize))),
        5 => of(format!("//{number}//x//")),
        6 => of(format!("/urls/{}", "9".repeat((number % 40) as usize + 1))),
        7 => of(format!("/urls?page=-{number}&per_page=%00")),
        8 => of(format!("/events?limit={number}&offset=-1&url_id=x")),
        9 => of(format!("/.git/config?{number}")),
        10 => of(format!("/wp-login.php?u={number}")),
        11 => of(format!("/{}", props::escaped("ключ-鍵-🔑".as_bytes()))),
        12 => ("BREW".to_owned(), format!("/pot-{number}"), None),
        13 => ("OPTIONS".to_owned(), format!("/{number}"), None),
        14 => {
            ("POST".to_owned(), "/shorten".to_owned(), Some(json!({ "url": "\u{0}".repeat((number % 50) as usize) }).to_string()))
        }
        _ => ("POST".to_owned(), format!("/urls/{number}/{number}"), Some("[".repeat((number % 500) as usize))),
    }
}
