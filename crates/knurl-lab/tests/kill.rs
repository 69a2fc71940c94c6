//! Promise P-1 on the real binary: whatever the instant of a kill -9, no acknowledged link is lost, no answered click is lost, none is
//! counted twice. That the harness can fail is shown here on a product robbed of its files, and in `kill::check` on made-up ledgers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::path::PathBuf;

use knurl_lab::{
    kill::{self, DurabilityChoice, KillSpec},
    process,
};

const KILLS: u64 = 200;
const SEED: u64 = 1;

fn spec(kills: u64, binary: PathBuf) -> KillSpec {
    KillSpec {
        kills,
        seed: SEED,
        workers: 4,
        binary,
        durability: DurabilityChoice::Both,
        failpoints: Vec::new(),
        lose: None,
        talk: true,
    }
}

#[test]
fn two_hundred_kills_lose_nothing_and_count_nothing_twice() {
    let binary = process::find_binary().unwrap();
    let failpoints = kill::failpoints_named(&["all".to_owned()], &binary).unwrap();
    let spec = KillSpec { failpoints, ..spec(KILLS, binary) };
    let report = kill::run(&spec).unwrap();
    println!("{report}");
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!(report.kills(), KILLS);
    assert!(report.links > KILLS && report.clicks > KILLS, "the clients were at work: {report}");
    for name in kill::FAILPOINTS {
        assert!(report.kills_at.contains_key(*name), "the fail point {name} was never reached: {report}");
    }
}

#[rstest::rstest]
#[case::spool("spool", "lost clicks")]
#[case::write_ahead_log("knurl.db-wal", "lost link")]
fn a_product_that_loses_a_file_at_a_kill_is_found_out(#[case] lose: &'static str, #[case] expected: &str) {
    let report = kill::run(&KillSpec { lose: Some(lose), ..spec(20, process::find_binary().unwrap()) }).unwrap();
    if let Some(kept) = &report.kept {
        std::fs::remove_dir_all(kept).unwrap();
    }
    assert!(report.findings.iter().any(|found| found.contains(expected)), "{report}");
}
