//! Import and export of whole files.

use std::{
    fs,
    io::{Read, Write},
    ops::RangeInclusive,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::knurl::{Knurl, Ran};

pub(crate) const USERS: &str = "id,username,email,created_at
7,ada,ada@example.com,2024-01-01 00:00:00
8,Ada,other@example.com,2024-01-01 00:00:01
9,bob,ADA@example.com,2024-01-01 00:00:02
";

/// Everything that may stand in such files and is fine.
pub(crate) const URLS: &str = "\u{feff}user_id,id,short_code,title,original_url,is_active,created_at,updated_at\r
7,3,abc123,\"a, \"\"quoted\"\"\r\nline\",https://example.com/a,True,2025-07-17 14:30:38,2025-11-13 19:40:36\r
\r
8,4,abc124,,https://example.com/b,0,2023-01-01 00:00:00,2025-11-13 19:40:36\r
99,5,abc123,=cmd|' /C calc'!A0,https://example.com/c,1,2025-07-17 14:30:38,2025-11-13 19:40:36\r
,6,abc126,\u{1f980},https://example.com/d,False,2025-07-17 14:30:38,2025-11-13 19:40:36";

pub(crate) const EVENTS: &str = "id,url_id,user_id,event_type,timestamp,details
1,3,7,created,2025-07-17 14:30:38,\"{\"\"short_code\"\":  \"\"abc123\"\"}\"
2,3,,click,2025-07-18 14:30:38,
3,44,7,my own word,2025-07-18 14:30:38,{}
";

/// Links without owners, one a line.
pub(crate) fn links_csv(ids: RangeInclusive<u32>) -> String {
    let mut csv = String::from("id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n");
    for id in ids {
        csv.push_str(&format!("{id},,c{id:06},https://example.com/{id},Title {id},True,2025-01-01 00:00:00,2025-01-01 00:00:00\n"));
    }
    csv
}

pub(crate) fn export_of(knurl: &Knurl, kind: &str) -> String {
    knurl.ok(&["export", &format!("--{kind}"), "-"])
}

fn rows(knurl: &Knurl) -> usize {
    // One line a row, whatever is in the title.
    let ran = knurl.run(&["export", "--urls", "-", "--format", "jsonl"]);
    if ran.code == 0 { ran.out.lines().count() } else { 0 }
}

/// Until another process has committed this many links.
pub(crate) fn wait_for_rows(knurl: &Knurl, least: usize) {
    let began = Instant::now();
    while rows(knurl) < least {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was committed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn reasons(report: &Value, file: usize) -> Vec<String> {
    let reasons = report["files"][file]["reasons"].as_array().unwrap();
    reasons
        .iter()
        .map(|r| format!("{} {} {} {}", r["fate"].as_str().unwrap(), r["field"].as_str().unwrap(), r["count"], r["first_lines"]))
        .collect()
}

#[test]
fn odd_rows_are_taken_to_the_letter_and_remarked_upon() {
    let knurl = Knurl::new();
    knurl.write("users.csv", USERS);
    knurl.write("urls.csv", URLS);
    knurl.write("events.csv", EVENTS);
    let report = knurl.json(&["import", "events.csv", "urls.csv", "users.csv"]);
    let kinds: Vec<_> = report["files"].as_array().unwrap().iter().map(|file| file["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["users", "urls", "events"], "what is referred to comes first");
    assert_eq!((&report["inserted"], &report["refused"]), (&10.into(), &0.into()), "{report}");
    assert_eq!(reasons(&report, 0), ["taken username 1 [3]", "taken email 1 [4]"]);
    let of_urls = reasons(&report, 1);
    for odd in ["taken created_at 1 [5]", "taken short_code 1 [6]", "taken user_id 1 [6]"] {
        assert!(of_urls.iter().any(|reason| reason == odd), "{odd}: {of_urls:?}");
    }
    assert_eq!(reasons(&report, 2), ["taken url_id 1 [4]"]);

    let link = knurl.json(&["link", "show", "--id", "3"]);
    assert_eq!(link["title"], "a, \"quoted\"\r\nline");
    assert_eq!((&link["created_at"], &link["user_id"]), (&"2025-07-17T14:30:38Z".into(), &7.into()));
    assert_eq!(link["click_count"], 1, "an imported click is counted");
    assert_eq!(knurl.json(&["link", "show", "abc123"])["id"], 3, "of two links with one code the earlier answers");
    assert!(export_of(&knurl, "events").contains("\"{\"\"short_code\"\":  \"\"abc123\"\"}\""), "details are kept as they are");
    let id = &knurl.json(&["user", "create", "new", "new@example.com"])["id"];
    assert_eq!(id, 100, "ids go on after the imported ones, and after those that the rows name");
}

#[test]
fn rows_that_cannot_be_served_are_refused_one_by_one_and_reported() {
    let knurl = Knurl::new();
    let lines = [
        "id,user_id,short_code,original_url,title,is_active,created_at,updated_at,color",
        "1,,good01,https://example.com/,,True,2025-01-01 00:00:00,2025-01-01 00:00:00,red",
        "x,,good02,https://example.com/,,True,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "0,,good03,https://example.com/,,True,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "9007199254740992,,good04,https://example.com/,,True,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "2,,no good,https://example.com/,,True,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "3,,good05,\"https://example.com/\r\nSet-Cookie: a\",,True,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "4,,good06,https://example.com/,,yes,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "5,,good07,https://example.com/,,True,yesterday,2025-01-01 00:00:00,",
        "6,,good08,https://example.com/,too few",
        "7,,good09,https://example.com/,,True,2025-01-01 00:00:00,2025-01-01 00:00:00,",
        "1,,good10,https://example.com/other,,True,2025-01-02 00:00:00,2025-01-01 00:00:00,",
    ];
    knurl.write("urls.csv", lines.join("\n"));
    let ran = knurl.run(&["import", "urls.csv", "--json", "--report", "remarks.csv"]);
    assert_eq!(ran.code, 1, "refused rows are a failure: {ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["inserted"], &report["refused"]), (&2.into(), &9.into()), "{report}");
    assert_eq!(report["files"][0]["ignored_columns"], serde_json::json!(["color"]));
    let remarks = fs::read_to_string(knurl.path("remarks.csv")).unwrap();
    let said = |line: u64, field: &str| remarks.lines().any(|row| row.starts_with(&format!("urls.csv,{line},refused,{field},")));
    for (line, field) in [
        (3, "id"),
        (4, "id"),
        (5, "id"),
        (6, "short_code"),
        (7, "original_url"),
        (9, "is_active"),
        (10, "created_at"),
        (11, ""),
        (13, "id"),
    ] {
        assert!(said(line, field), "line {line}, {field}: {remarks}");
    }
    assert_eq!(remarks.lines().count(), 10);
    let text = knurl.run(&["import", "urls.csv"]);
    assert!(
        text.out.contains("3 rows refused because id must be a whole number from 1 to 9007199254740991 (line 3, 4, 5)"),
        "{}",
        text.out
    );
}

#[test]
fn a_target_no_link_may_have_is_refused_and_a_reserved_code_is_taken_with_a_note() {
    let knurl = Knurl::new().with("KNURL_LISTEN", "127.0.0.1:8123").with("KNURL_BASE_URL", "https://sho.rt");
    let row = |id: u32, code: &str, target: &str| format!("{id},,{code},{target},,True,2025-01-01 00:00:00,2025-01-01 00:00:00\n");
    let mut csv = "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n".to_owned();
    csv.push_str(&row(1, "script", "JavaScript:alert(1)"));
    csv.push_str(&row(2, "script2", &format!("javascript:{}", "a".repeat(3_000))));
    csv.push_str(&row(3, "loop", "http://localhost:8123/loop"));
    csv.push_str(&row(4, "loop2", "https:\\\\sho.rt\\loop2"));
    csv.push_str(&row(5, "urls", "https://example.com/a b"));
    csv.push_str(&row(6, "fine", "http:example.com"));
    knurl.write("urls.csv", csv);
    let ran = knurl.run(&["import", "urls.csv", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["inserted"], &report["refused"]), (&2.into(), &4.into()), "{report}");
    let expected = ["refused original_url 2 [2,3]", "refused original_url 2 [4,5]", "taken short_code 1 [6]"];
    assert_eq!(reasons(&report, 0), expected);
    assert!(ran.out.contains("links.target_schemes") && ran.out.contains("leads back to this shortener"), "{ran:?}");
    assert!(ran.out.contains("/urls/{short_code}/redirect only"), "{ran:?}");
    assert_eq!(knurl.json(&["link", "show", "--id", "5"])["original_url"], "https://example.com/a b", "kept to the letter");
    knurl.fails(1, &["link", "show", "script"]);

    let ran = knurl.run(&["import", "urls.csv", "--json"]);
    assert!(!ran.out.contains("taken"), "what is there already is not taken: {ran:?}");
    let allowed = knurl.with("KNURL_LINKS_TARGET_SCHEMES", "javascript,http,https");
    let report: Value = serde_json::from_str(&allowed.run(&["import", "urls.csv", "--json"]).out).unwrap();
    assert_eq!((&report["inserted"], &report["refused"]), (&2.into(), &2.into()), "{report}");
}

#[test]
fn an_event_that_says_deleted_of_an_active_link_is_remarked_upon() {
    let knurl = Knurl::new();
    knurl.write("urls.csv", links_csv(1..=2));
    let mut events = "id,url_id,user_id,event_type,timestamp,details\n".to_owned();
    events.push_str("1,1,,deleted,2025-07-17 14:30:38,\n2,9,,deleted,2025-07-17 14:30:38,\n");
    knurl.write("events.csv", events);
    let report = knurl.json(&["import", "urls.csv", "events.csv"]);
    assert_eq!(reasons(&report, 1), ["taken event_type 1 [2]", "taken url_id 1 [3]"], "{report}");
}

#[test]
fn a_row_edited_or_deleted_here_is_left_as_it_is_and_the_report_says_so() {
    let knurl = Knurl::new();
    knurl.write("users.csv", USERS);
    knurl.write("urls.csv", URLS);
    knurl.ok(&["import", "users.csv", "urls.csv"]);
    knurl.ok(&["link", "edit", "--id", "3", "--title", "other", "--status", "301"]);
    knurl.ok(&["link", "delete", "--id", "4"]);
    knurl.ok(&["user", "delete", "9"]);
    let before = ["users", "urls"].map(|kind| export_of(&knurl, kind));
    let again = knurl.json(&["import", "users.csv", "urls.csv"]);
    let counts = ["inserted", "already_there", "kept", "stays_deleted", "refused"].map(|count| again[count].as_u64().unwrap());
    assert_eq!(counts, [0, 4, 1, 2, 0], "{again}");
    assert!(reasons(&again, 1).iter().any(|reason| reason == "kept title 1 [2]"), "{again}");
    let text = knurl.ok(&["import", "users.csv", "urls.csv"]);
    assert!(text.contains("1 row kept because title is another here, and was left as it is (line 2)"), "{text}");
    assert!(text.contains("1 row left deleted because id is a row's that was deleted here since"), "{text}");
    assert!(text.contains("nothing was changed"), "{text}");
    assert_eq!(before, ["users", "urls"].map(|kind| export_of(&knurl, kind)));
}

#[test]
fn the_same_file_again_changes_nothing_and_says_so() {
    let knurl = Knurl::new();
    knurl.write("users.csv", USERS);
    knurl.write("urls.csv", URLS);
    knurl.write("events.csv", EVENTS);
    let files = ["import", "users.csv", "urls.csv", "events.csv"];
    knurl.ok(&files);
    let before = ["users", "urls", "events"].map(|kind| export_of(&knurl, kind));
    let again = knurl.json(&files);
    assert_eq!((&again["inserted"], &again["already_there"], &again["refused"]), (&0.into(), &10.into(), &0.into()));
    assert!(knurl.ok(&files).contains("everything was there already"));
    assert_eq!(before, ["users", "urls", "events"].map(|kind| export_of(&knurl, kind)));
    assert_eq!(knurl.json(&["link", "show", "--id", "3"])["click_count"], 1, "the click is counted once");
}

#[test]
fn a_dry_run_judges_references_between_files_and_changes_nothing() {
    let knurl = Knurl::new();
    knurl.write("users.csv", USERS);
    knurl.write("urls.csv", URLS);
    let dry = knurl.json(&["import", "users.csv", "urls.csv", "--dry-run"]);
    assert!(!knurl.path("data").exists(), "a dry run creates nothing");
    assert_eq!(dry["dry_run"], true);
    let mut wet = knurl.json(&["import", "users.csv", "urls.csv"]);
    assert_eq!(dry["files"], wet["files"].take());
    knurl.write("more.csv", links_csv(10..=11));
    assert!(knurl.ok(&["import", "more.csv", "--dry-run"]).contains("2 rows would be inserted"));
    assert_eq!(rows(&knurl), 4);
    let left: Vec<_> = fs::read_dir(knurl.path("data"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .filter(|n| n.to_string_lossy().contains("dry"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_none_of_our_files_is_refused_before_anything_is_imported() {
    let knurl = Knurl::new();
    knurl.write("users.csv", USERS);
    let cases = [
        ("other.csv", "a,b,c\n1,2,3\n", "the header is that of none of our files"),
        ("empty.csv", "", "the file is empty"),
        ("half.csv", "id,username,created_at\n", "a users file needs the column email"),
        ("twice.csv", "id,username,email,created_at,email\n", "the column email is there twice"),
        ("list.jsonl", "{\"a\":1}\n", "neither a user nor a url nor an event"),
    ];
    for (name, text, said) in cases {
        knurl.write(name, text);
        let line = knurl.fails(1, &["import", "users.csv", name]);
        assert!(line.contains(name) && line.contains(said), "{line}");
    }
    assert!(knurl.fails(1, &["import", "absent.csv"]).contains("cannot read absent.csv"));
    assert!(!knurl.path("data").exists());
}

#[test]
fn an_import_killed_halfway_is_continued_by_running_it_again() {
    let knurl = Knurl::new();
    let all = links_csv(1..=30_000);
    knurl.write("urls.csv", &all);
    // A pipe that stays open: the importer has committed chunks and certainly not all when it is killed.
    let mut import = knurl.begin(&["import", "-"], [Stdio::piped(), Stdio::null(), Stdio::inherit()]);
    let mut pipe = import.stdin.take().unwrap();
    pipe.write_all(&all.as_bytes()[..all.len() / 2]).unwrap();
    wait_for_rows(&knurl, 1);
    import.kill().unwrap();
    import.wait().unwrap();
    let survived = rows(&knurl);
    assert!(survived > 0 && survived < 30_000, "{survived}");

    let rest = knurl.json(&["import", "urls.csv"]);
    assert_eq!(rest["already_there"], survived, "{rest}");
    assert_eq!(rest["inserted"], 30_000 - survived);
    assert_eq!(rows(&knurl), 30_000);
    assert_eq!(knurl.json(&["audit"])["verdict"], "holds");
}

#[test]
fn export_import_export_gives_the_same_bytes() {
    let knurl = Knurl::new();
    knurl.write("users.csv", USERS);
    knurl.write("urls.csv", URLS);
    knurl.write("events.csv", EVENTS);
    knurl.ok(&["import", "users.csv", "urls.csv", "events.csv"]);
    // Rows made here have milliseconds, a status, an expiry.
    knurl.ok(&[
        "link",
        "create",
        "https://example.com/made",
        "--code",
        "made",
        "--user",
        "7",
        "--status",
        "307",
        "--expires",
        "30d",
        "--title",
        "ünï,\"code\"",
    ]);
    knurl.ok(&["link", "edit", "made", "--title", "line\nbreak"]);

    for format in ["csv", "jsonl"] {
        let (first, second) = (format!("{format}-1"), format!("{format}-2"));
        knurl.ok(&["export", &first, "--format", format]);
        let files = ["users", "urls", "events"].map(|kind| format!("{first}/{kind}.{format}"));
        let other = format!("other-{format}");
        let imported =
            Ran::of(&knurl.command(&["--data-dir", &other, "import", &files[0], &files[1], &files[2], "--json"]).output().unwrap());
        assert_eq!(imported.code, 0, "{imported:?}");
        knurl.ok(&["--data-dir", &other, "export", &second, "--format", format]);
        for kind in ["users", "urls", "events"] {
            let read = |dir: &str| fs::read_to_string(knurl.path(&format!("{dir}/{kind}.{format}"))).unwrap();
            assert_eq!(read(&first), read(&second), "{kind}.{format}");
            assert!(read(&first).lines().count() >= 3);
        }
        // Back into the store it came from: everything is there.
        let again = knurl.json(&["import", &files[0], &files[1], &files[2]]);
        assert_eq!((&again["inserted"], &again["refused"]), (&0.into(), &0.into()), "{again}");
    }
}

#[test]
fn a_file_of_the_seeds_columns_comes_out_as_it_went_in() {
    let knurl = Knurl::new();
    let csv = links_csv(1..=2_500);
    knurl.write("urls.csv", &csv);
    knurl.ok(&["import", "urls.csv"]);
    knurl.ok(&["export", "out", "--seed-columns"]);
    assert_eq!(fs::read_to_string(knurl.path("out/urls.csv")).unwrap(), csv);
    knurl.ok(&["link", "edit", "--id", "1", "--status", "301"]);
    assert!(
        knurl
            .ok(&["export", "out", "--seed-columns", "--force"])
            .contains("1 links have a status or an expiry that the seed's columns cannot hold")
    );
    let names: Vec<_> = fs::read_dir(knurl.path("out")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 3, "no temporary file is left: {names:?}");
}

#[test]
fn json_lines_are_checked_by_type_and_unknown_fields_are_read_over() {
    let knurl = Knurl::new();
    let lines = [
        r#"{"id":1,"user_id":null,"short_code":"abc","original_url":"https://example.com/","title":null,"is_active":true,"created_at":"2025-01-01T00:00:00","updated_at":"2025-01-01T00:00:00Z","click_count":3}"#,
        r#"{"id":"2","user_id":null,"short_code":"abd","original_url":"https://example.com/","title":null,"is_active":true,"created_at":"2025-01-01T00:00:00","updated_at":"2025-01-01T00:00:00Z"}"#,
        "",
        r#"{"id":3,"short_code":"abe","original_url":"https://example.com/","is_active":false,"created_at":"2025-01-01","updated_at":"2025-01-01","expires_at":"2026-01-01"}"#,
        "not json",
    ];
    knurl.write("urls.jsonl", lines.join("\n"));
    let ran = knurl.run(&["import", "urls.jsonl", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["inserted"]), (1, &2.into()), "{report}");
    assert_eq!(report["files"][0]["reasons"][0]["first_lines"], serde_json::json!([2, 5]));
    assert_eq!(knurl.json(&["link", "show", "abe"])["expires_at"], "2026-01-01T00:00:00Z");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_export_quietly() {
    let knurl = Knurl::new();
    knurl.write("urls.csv", links_csv(1..=20_000));
    knurl.ok(&["import", "urls.csv"]);
    let mut export = knurl.begin(&["export", "--urls", "-"], [Stdio::null(), Stdio::piped(), Stdio::piped()]);
    drop(export.stdout.take());
    let mut words = String::new();
    export.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!((export.wait().unwrap().code(), words.as_str()), (Some(1), ""));
}

#[test]
fn an_import_shows_its_progress_on_a_terminal_and_nowhere_else() {
    let knurl = Knurl::new();
    let file = knurl.write("urls.csv", links_csv(1..=20_000));
    // `script` (in every Debian) gives the program a pseudo-terminal of its own; what is drawn there comes out of its standard output.
    let import = format!("{} import {file}", env!("CARGO_BIN_EXE_knurl"));
    let drawn = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &import, "/dev/null"])
        .env_clear()
        .env("TERM", "xterm")
        .env("PATH", "/usr/bin:/bin")
        .current_dir(knurl.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&drawn.stdout);
    assert!(drawn.status.success(), "{seen}");
    assert!(seen.contains("\u{1b}[") && seen.contains(" rows"), "a bar redraws itself and counts the rows: {seen:?}");
    assert!(seen.contains("20000 rows inserted"), "{seen:?}");

    let again = knurl.run(&["import", &file]);
    assert!(!again.out.contains('\u{1b}') && !again.err.contains('\u{1b}'), "a pipe gets no drawing: {again:?}");
}
