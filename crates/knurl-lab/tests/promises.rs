//! The short forms of the promises about nodes, load and clients; `make torture` has the long ones. That a harness can fail is shown beside it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use knurl_lab::promise::{
    p9::{self, P9Args},
    p10::{self, P10Args},
    p14::{self, P14Args},
};

#[test]
fn p9_rolling_restarts_of_three_nodes_on_postgres_fail_no_request() {
    let report = p9::run(&P9Args { requests: 2_000, rolls: 1, clients: 8, ..P9Args::default() }).unwrap();
    println!("{report}");
    assert!(report.held, "{report}");
    assert!(report.figure("creates") > 50.0 && report.figure("clicks") > 500.0, "the clients were at work: {report}");
}

#[test]
fn p9_sees_that_kills_are_no_restarts() {
    let args = P9Args { requests: 2_000, rolls: 2, clients: 16, kill: true, own_sqlite: true, ..P9Args::default() };
    let report = p9::run(&args).unwrap();
    if let Some(kept) = &report.kept {
        std::fs::remove_dir_all(kept).unwrap();
    }
    assert!(!report.held && report.figure("failed") > 0.0, "{report}");
}

#[test]
fn p10_under_ten_times_the_load_whoever_cannot_be_served_is_told_and_redirects_are_served() {
    let report = p10::run(&P10Args { connections: 100, seconds: 6, links: 500, ..P10Args::default() }).unwrap();
    println!("{report}");
    assert!(report.held, "{report}");
}

#[test]
fn p14_connections_that_stall_are_closed_and_nobody_else_notices() {
    let report = p14::run(&P14Args { connections: 1_000, patience_ms: 1_500, ..P14Args::default() }).unwrap();
    println!("{report}");
    assert!(report.held, "{report}");
    assert!(report.figure("visitors_meanwhile_requests") > 50.0, "visitors were served: {report}");
}
