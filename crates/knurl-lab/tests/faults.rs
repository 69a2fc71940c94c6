//! The short forms of the promises about servers, disks and clocks that fail; `make torture` has the long ones. Bounds of time are much wider than
//! those promised: this machine may be doing anything.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use knurl_lab::promise::{
    Report,
    ledger::{self, LedgerArgs},
    p3::{self, P3Args},
    p4::{self, P4Args},
    p5::{self, P5Args},
    p8::{self, P8Args},
    p22::{self, P22Args},
};

fn held(report: &Report) {
    println!("{report}");
    assert!(report.held, "{report}");
}

#[test]
fn p3_without_postgres_known_links_redirect_and_every_click_is_counted_once() {
    let report = p3::run(&P3Args { seconds: 5, calm_seconds: 1, known_ms: 4_000, ..P3Args::default() }).unwrap();
    held(&report);
    assert!(report.figure("commit-reply-lost_connections_cut") > 0.0, "{report}");
    assert!(report.figure("hung_creates_unsure") + report.figure("commit-reply-lost_creates_unsure") > 0.0, "{report}");
    assert!(report.figure("refused_creates_refused") > 0.0 && report.figure("hung_creates_refused") > 0.0, "{report}");
}

#[test]
fn p4_without_redis_no_request_fails_and_limits_go_on() {
    held(&p4::run(&P4Args { seconds: 3, calm_seconds: 1, known_ms: 4_000, ..P4Args::default() }).unwrap());
}

#[test]
fn p5_with_both_away_a_node_that_starts_again_redirects_every_link() {
    held(&p5::run(&P5Args { links: 1_000_000, clicks: 20_000, ..P5Args::default() }).unwrap());
}

#[test]
fn p8_clock_steps_give_no_id_twice_and_expire_nothing_that_lives() {
    held(&p8::run(&P8Args { seconds: 3, rounds: 1, ..P8Args::default() }).unwrap());
}

#[test]
fn p22_a_change_made_on_one_node_is_seen_on_all() {
    let report = p22::run(&P22Args { changes: 60, told_ms: 20_000, untold_ms: 30_000, ..P22Args::default() }).unwrap();
    held(&report);
    assert!(report.figure("untold_changes") >= 5.0, "{report}");
}

#[test]
fn the_ledger_agrees_after_kills_lost_commits_and_disks_that_moved() {
    let report = ledger::run(&LedgerArgs { kills: 12, ..LedgerArgs::default() }).unwrap();
    held(&report);
    assert!(report.figure("disks_moved") > 2.0 && report.figure("commit_replies_lost") > 0.0, "{report}");
}
