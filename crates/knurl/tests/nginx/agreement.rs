//! nginx's numbers, words and routes are ours: a change of one side alone fails here.

use std::{fs, time::Duration};

use knurl::http::{error::TABLE, front::ROOT_ROUTES};
use knurl_core::ShortCode;

use super::*;

fn file(name: &str) -> String {
    fs::read_to_string(format!("{}/../../deploy/nginx/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What follows the name of a setting, in the order of the file.
fn settings(text: &str, name: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.trim_end_matches(';').to_owned())).collect()
}

#[track_caller]
fn setting(text: &str, name: &str) -> String {
    let found = settings(text, name);
    assert_eq!(found.len(), 1, "{name}");
    found[0].clone()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

#[test]
fn times_and_sizes_are_those_of_the_configuration() {
    let (ours, http, proxy, upload) =
        (Config::default().http, file("knurl/http.conf"), file("knurl/proxy.conf"), file("knurl/upload.conf"));
    let time = |name: &str| seconds(&setting(&http, name));
    assert_eq!(time("client_header_timeout"), ours.header_timeout);
    assert_eq!(time("client_header_timeout"), ours.first_byte_timeout);
    assert_eq!(time("client_body_timeout"), ours.request_timeout);
    assert_eq!(time("send_timeout"), ours.write_timeout);
    assert_eq!(settings(&http, "keepalive_timeout"), ["60s", "1s"], "clients', nodes'");
    assert_eq!(seconds("60s"), ours.idle_timeout);
    assert_eq!(seconds(&setting(&proxy, "proxy_send_timeout")), ours.write_timeout);
    assert_eq!(setting(&http, "client_max_body_size"), ours.body_bytes_max.to_string());
    assert_eq!(setting(&upload, "client_max_body_size"), ours.bulk_body_bytes_max.to_string());
    assert_eq!(setting(&http, "large_client_header_buffers"), "1 48k");
    assert!(48 * 1024 >= ours.uri_bytes_max + ours.header_bytes_max + 64, "a request that we take fits into nginx's buffer");
    let server = file("knurl/server.conf");
    let reads = settings(&server, "proxy_read_timeout");
    assert_eq!(reads.len(), 2);
    // A node that answers 503 as late as it may is not taken for dead; half a second is for busy machines.
    let waits = knurl::limit::LANE_WAIT + knurl::resolve::WAIT_MAX;
    assert!(seconds(&reads[0]) >= waits + Duration::from_millis(500), "{waits:?}");
    assert!(seconds(&setting(&proxy, "proxy_next_upstream_timeout")) > seconds(&reads[0]), "another node is asked");
    let at_once: Vec<usize> = settings(&server, "limit_conn")
        .iter()
        .map(|limit| limit.strip_prefix("knurl_network ").unwrap().parse().unwrap())
        .collect();
    assert!(at_once[1] > 3 * knurl::limit::LANE_PLACES_MAX, "who guesses shuts out nobody of his network");
    assert!(seconds(&reads[1]) > ours.request_timeout, "we say 503 before nginx gives up");
    assert!(seconds(&setting(&upload, "proxy_read_timeout")) > ours.request_timeout * 60);
    // A kept connection that we close while nginx sends a POST on it is a failed request: nginx lets go of it first.
    assert!(seconds("1s") < ours.idle_timeout);
}

#[test]
fn the_longest_location_fits_into_the_buffer_for_a_nodes_header() {
    let manual = fs::read_to_string(format!("{}/../../config/default.toml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(manual.contains("# Bytes, 16 to 6144. KNURL_LINKS_TARGET_BYTES_MAX"));
    assert_eq!(setting(&file("knurl/proxy.conf"), "proxy_buffer_size"), "16k");
}

#[test]
fn the_short_codes_of_nginx_are_those_of_the_front() {
    let server = file("knurl/server.conf");
    let pattern = server.lines().find(|line| line.starts_with("location ~ ")).unwrap();
    assert!(pattern.contains(&format!("(?:{})", ROOT_ROUTES.join("|"))), "{pattern}");
    assert!(pattern.contains(&format!("{{1,{}}}", ShortCode::LEN_MAX)), "{pattern}");
}

#[test]
fn its_own_errors_say_what_ours_say() {
    let errors = file("knurl/errors.conf");
    let returned: Vec<(u16, serde_json::Value)> = settings(&errors, "return")
        .iter()
        .map(|line| {
            let (status, problem) = line.split_once(' ').unwrap();
            (status.parse().unwrap(), serde_json::from_str(problem.trim_matches('\'')).unwrap())
        })
        .collect();
    assert!(returned.len() > 10);
    let page = fs::read_to_string(format!("{}/../../docs/reference/errors.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (status, problem) in &returned {
        let code = problem["code"].as_str().unwrap();
        assert_eq!((&problem["status"], &problem["detail"]), (&(*status).into(), &problem["error"]), "{code}");
        assert_eq!(problem["type"], format!("urn:knurl:error:{code}"));
        match TABLE.iter().find(|entry| entry.code == code) {
            Some(entry) => {
                assert_eq!(
                    (entry.status, entry.title, entry.sentence),
                    (*status, problem["title"].as_str().unwrap(), problem["detail"].as_str().unwrap())
                );
            }
            // The two that only a front can have.
            None => {
                assert!(status == &502 || status == &504, "{code}");
                let row = format!("| `{code}` | {status} | {} | after 1 s |", problem["detail"].as_str().unwrap());
                assert!(page.contains(&row), "docs/reference/errors.md should hold: {row}");
            }
        }
    }
    for (page, _) in &returned {
        assert!(errors.contains(&format!("/-/knurl/{page};")), "some error leads to {page}");
    }
}
