//! Promise P-1 on the real binary: whatever the instant of a kill -9, no acknowledged link is lost, no answered click is lost, none is
//! counted twice. That the checker can fail is shown in `kill::check`.

use knurl_lab::{
    kill::{self, DurabilityChoice, KillSpec},
    process,
};

const KILLS: u64 = 200;
const SEED: u64 = 1;

#[test]
fn two_hundred_kills_lose_nothing_and_count_nothing_twice() {
    let binary = process::find_binary().unwrap();
    let failpoints = kill::failpoints_named(&["all".to_owned()], &binary).unwrap();
    let spec =
        KillSpec { kills: KILLS, seed: SEED, workers: 4, binary, durability: DurabilityChoice::Both, failpoints, talk: true };
    let report = kill::run(&spec).unwrap();
    println!("{report}");
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!(report.kills(), KILLS);
    assert!(report.links > KILLS && report.clicks > KILLS, "the clients were at work: {report}");
    for name in kill::FAILPOINTS {
        assert!(report.kills_at.contains_key(*name), "the fail point {name} was never reached: {report}");
    }
}
