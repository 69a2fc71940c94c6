//! What an export or a report may be written over: nothing of knurl's own, nothing that is read, and what else is there only with `--force`.

use std::{fs, os::unix::fs::symlink, process::Stdio};

use rstest::rstest;

use super::{
    knurl::{Knurl, Ran},
    transfer::links_csv,
};

fn filled() -> Knurl {
    let knurl = Knurl::new();
    knurl.write("urls.csv", links_csv(1..=20));
    knurl.ok(&["import", "urls.csv"]);
    fs::create_dir(knurl.path("data/spool")).unwrap();
    knurl.write("data/spool/ledger", "not to be touched");
    fs::hard_link(knurl.path("data/knurl.db"), knurl.path("hard")).unwrap();
    symlink("data/knurl.db", knurl.path("soft")).unwrap();
    symlink("data", knurl.path("dir")).unwrap();
    knurl
}

#[rstest]
#[case::the_database("data/knurl.db")]
#[case::by_another_way("data/../data/knurl.db")]
#[case::through_a_linked_directory("dir/knurl.db")]
#[case::a_symbolic_link("soft")]
#[case::a_hard_link("hard")]
#[case::a_journal_that_is_not_there_yet("data/knurl.db-journal")]
#[case::the_spool("data/spool/ledger")]
#[case::any_name_in_the_data_directory("data/urls.csv")]
fn nothing_is_written_over_what_is_knurls_own(#[case] path: &str) {
    let knurl = filled();
    let before = fs::read(knurl.path("data/knurl.db")).unwrap();
    knurl.write("more.csv", links_csv(21..=30));
    for args in [
        &["export", "--urls", path, "--force"][..],
        &["import", "more.csv", "--report", path, "--force"],
        &["import", "more.csv", "--dry-run", "--report", path, "--force"],
    ] {
        let said = knurl.fails(1, args);
        assert!(said.contains("knurl's own"), "{args:?}: {said}");
    }
    assert_eq!(fs::read(knurl.path("data/knurl.db")).unwrap(), before);
    assert_eq!(fs::read_to_string(knurl.path("data/spool/ledger")).unwrap(), "not to be touched");
    assert_eq!(knurl.json(&["link", "list"]).as_array().unwrap().len(), 20);
}

#[test]
fn a_database_elsewhere_is_not_written_over_before_it_is_there_either() {
    let knurl = Knurl::new().with("KNURL_DATABASE_URL", "sqlite:here.db");
    knurl.write("urls.csv", links_csv(1..=2));
    assert!(knurl.fails(1, &["import", "urls.csv", "--report", "./here.db"]).contains("knurl's own"));
    knurl.ok(&["import", "urls.csv", "--report", "here.csv"]);
    assert!(knurl.fails(1, &["export", "--urls", "here.db", "--force"]).contains("knurl's own"));
}

#[test]
fn an_input_is_not_replaced_by_the_report_on_it_whatever_it_is_called() {
    let knurl = Knurl::new();
    let csv = links_csv(1..=2);
    knurl.write("urls.csv", &csv);
    symlink("urls.csv", knurl.path("soft")).unwrap();
    for report in ["urls.csv", "soft"] {
        let said = knurl.fails(1, &["import", "urls.csv", "--report", report, "--force"]);
        assert!(said.contains("one of the files to read"), "{said}");
    }
    let mut command = knurl.command(&["import", "-", "--report", "urls.csv", "--force"]);
    command.stdin(Stdio::from(fs::File::open(knurl.path("urls.csv")).unwrap()));
    let ran = Ran::of(&command.output().unwrap());
    assert!(ran.code == 1 && ran.err.contains("one of the files to read"), "{ran:?}");
    assert_eq!(fs::read_to_string(knurl.path("urls.csv")).unwrap(), csv);
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_told_so_and_then_all_or_none() {
    let knurl = filled();
    knurl.write("mine", "mine");
    for args in [&["export", "--urls", "mine"][..], &["import", "urls.csv", "--report", "mine"]] {
        let said = knurl.fails(1, args);
        assert!(said.contains("mine is there already; --force replaces it"), "{said}");
        assert_eq!(fs::read_to_string(knurl.path("mine")).unwrap(), "mine");
    }
    fs::create_dir(knurl.path("out")).unwrap();
    knurl.write("out/events.csv", "mine");
    assert!(knurl.fails(1, &["export", "out"]).contains("out/events.csv is there already"));
    assert_eq!(fs::read_dir(knurl.path("out")).unwrap().count(), 1, "and nothing else was written");
    knurl.ok(&["export", "out", "--force"]);
    assert_ne!(fs::read_to_string(knurl.path("out/events.csv")).unwrap(), "mine");
    knurl.ok(&["import", "urls.csv", "--report", "mine", "--force"]);
    assert!(fs::read_to_string(knurl.path("mine")).unwrap().starts_with("file,line,fate"));
    knurl.ok(&["import", "urls.csv", "--report", "/dev/null"]);
    assert!(knurl.fails(1, &["export", "--urls", "/dev/null", "--force"]).contains("no regular file"));
    knurl.fails(2, &["export", "--urls", "same", "--users", "same"]);
}

#[test]
fn a_directory_of_ones_own_in_the_data_directory_may_hold_exports() {
    let knurl = filled();
    knurl.ok(&["export", "data/exports"]);
    assert!(knurl.path("data/exports/urls.csv").is_file());
}
