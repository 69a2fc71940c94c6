//! Backup and restore.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use knurl_lab::leash::Leashed;

use super::{
    knurl::Knurl,
    transfer::{export_of, links_csv},
};

#[test]
fn a_backup_is_verified_and_restores_to_the_same_rows() {
    let knurl = Knurl::new();
    let file = knurl.write("urls.csv", links_csv(1..=500));
    knurl.ok(&["import", &file]);
    let before = export_of(&knurl, "urls");
    let made = knurl.json(&["backup", "copy.db"]);
    assert_eq!(
        (&made["verified"], made["tables"].as_array().unwrap().iter().find(|t| t["table"] == "links").unwrap()["rows"].as_u64()),
        (&true.into(), Some(500))
    );
    assert!(knurl.fails(1, &["backup", "copy.db"]).contains("--force replaces it"));
    assert!(knurl.ok(&["backup", "copy.db", "--force"]).contains("verified"));

    knurl.ok(&["link", "create", "https://example.com/later", "--code", "later"]);
    assert!(knurl.fails(1, &["restore", "copy.db"]).contains("--force replaces it (and keeps it beside)"));
    let restored = knurl.json(&["restore", "copy.db", "--force"]);
    assert_eq!(export_of(&knurl, "urls"), before);
    knurl.fails(1, &["link", "show", "later"]);

    let kept = restored["replaced"].as_str().unwrap();
    let kept = kept.to_owned();
    let old = knurl.in_environment(&[("KNURL_DATABASE_URL", &kept)]);
    assert_eq!(old.json(&["link", "show", "later"])["short_code"], "later", "what was replaced is kept, whole");
}

#[test]
fn a_restore_into_an_empty_place_needs_no_force() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/", "--code", "here"]);
    knurl.ok(&["backup", "copy.db"]);
    let ok = knurl.ok(&["--data-dir", "other", "restore", "copy.db"]);
    assert!(!ok.contains("the database that was there"), "{ok}");
    knurl.ok(&["--data-dir", "other", "link", "show", "here"]);
}

#[test]
fn a_backup_into_a_directory_is_named_after_the_time() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/"]);
    fs::create_dir(knurl.path("backups")).unwrap();
    let made = knurl.json(&["backup", "backups"]);
    let file = made["file"].as_str().unwrap();
    assert!(file.starts_with("backups/knurl-2") && file.ends_with(".db") && knurl.path(file).exists(), "{file}");
}

#[test]
fn what_is_no_backup_is_refused_and_the_database_stays() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/", "--code", "here"]);
    knurl.ok(&["backup", "copy.db"]);
    let mut torn = fs::read(knurl.path("copy.db")).unwrap();
    let middle = torn.len() / 2;
    torn[100..middle].fill(0x5a);
    knurl.write("torn.db", torn);
    knurl.write("text.db", "not a database at all, but long enough to look at");
    for source in ["torn.db", "text.db", "absent.db"] {
        let line = knurl.fails(1, &["restore", source, "--force"]);
        assert!(line.contains(source), "{line}");
        knurl.ok(&["link", "show", "here"]);
    }
    let names: Vec<_> = fs::read_dir(knurl.path("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("restoring")), "nothing is left behind: {names:?}");
}

#[test]
fn a_damaged_database_can_be_replaced() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/", "--code", "here"]);
    knurl.ok(&["backup", "copy.db"]);
    knurl.write("data/knurl.db", "damaged beyond recognition, as disks do");
    knurl.ok(&["restore", "copy.db", "--force"]);
    knurl.ok(&["link", "show", "here"]);
}

fn names(knurl: &Knurl, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(knurl.path(dir)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Until there is a name that contains this.
fn wait_for_name(knurl: &Knurl, dir: &str, part: &str) {
    let began = Instant::now();
    while !knurl.path(dir).is_dir() || !names(knurl, dir).iter().any(|name| name.contains(part)) {
        assert!(began.elapsed() < Duration::from_secs(60), "no {part} in {dir}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One that has begun, and waits for more rows as long as the pipe is open.
fn dry_run(knurl: &Knurl) -> (Leashed, ChildStdin) {
    let mut import = knurl.begin(&["import", "-", "--dry-run"], [Stdio::piped(), Stdio::null(), Stdio::inherit()]);
    let mut pipe = import.stdin.take().unwrap();
    pipe.write_all(links_csv(1..=20_000).as_bytes()).unwrap();
    wait_for_name(knurl, &format!("data/.dry-run-{}", import.id()), "lock");
    (import, pipe)
}

#[test]
fn a_command_that_is_asked_to_stop_leaves_no_copy_behind() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/"]);
    for signal in ["-TERM", "-INT"] {
        let (mut import, _pipe) = dry_run(&knurl);
        assert!(Command::new("kill").args([signal, &import.id().to_string()]).status().unwrap().success());
        let status = import.wait().unwrap();
        assert_eq!(status.code(), Some(if signal == "-TERM" { 143 } else { 130 }), "{status:?}");
        assert!(names(&knurl, "data").iter().all(|name| !name.starts_with(".dry-run-")), "{:?}", names(&knurl, "data"));
    }
}

#[test]
fn what_a_killed_command_left_is_named_by_the_doctor_and_swept_by_the_next() {
    let knurl = Knurl::new().with("KNURL_LISTEN", "127.0.0.1:0").with("KNURL_METRICS_LISTEN", "127.0.0.1:0");
    knurl.ok(&["link", "create", "https://example.com/", "--code", "here"]);
    let file = knurl.write("urls.csv", links_csv(11..=15));
    let (mut living, pipe) = dry_run(&knurl);
    let (mut killed, _pipe) = dry_run(&knurl);
    let left = format!(".dry-run-{}", killed.id());
    killed.kill().unwrap();
    killed.wait().unwrap();
    knurl.ok(&["backup", "copy.db"]);
    for name in ["knurl.db.restoring-99", "knurl.db.restoring-98.partial", "knurl.db.restoring-98.partial-wal"] {
        fs::copy(knurl.path("copy.db"), knurl.path(&format!("data/{name}"))).unwrap();
    }
    fs::create_dir(knurl.path("backups")).unwrap();
    fs::copy(knurl.path("copy.db"), knurl.path("backups/knurl-20260101T000000.db.partial")).unwrap();
    fs::copy(knurl.path("copy.db"), knurl.path("backups/knurl-20260101T000000.db.partial-shm")).unwrap();

    let told = knurl.ok(&["doctor"]);
    assert!(told.contains(&format!("{left}, knurl.db.restoring-98.partial, knurl.db.restoring-99\n")), "{told}");
    assert!(!told.contains(&format!(".dry-run-{}", living.id())), "what is in use is nobody's leavings: {told}");
    knurl.ok(&["import", &file, "--dry-run"]);
    knurl.ok(&["backup", "backups"]);
    knurl.ok(&["restore", "copy.db", "--force"]);
    let names_left = names(&knurl, "data");
    assert!(names_left.iter().all(|name| *name != left && !name.contains("restoring")), "{names_left:?}");
    assert!(names_left.contains(&format!(".dry-run-{}", living.id())), "{names_left:?}");
    assert!(names(&knurl, "backups").iter().all(|name| !name.contains("partial")));
    drop(pipe);
    living.wait().unwrap();
    assert!(!knurl.ok(&["doctor"]).contains("leftovers"));
}

#[test]
fn a_restore_is_refused_while_a_writer_holds_the_database_alone() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/", "--code", "here"]);
    knurl.ok(&["backup", "copy.db"]);
    let writer = rusqlite::Connection::open(knurl.path("data/knurl.db")).unwrap();
    writer.pragma_update(None, "locking_mode", "exclusive").unwrap();
    writer.execute_batch("begin immediate; update links set title = 'kept'").unwrap();
    assert!(knurl.fails(1, &["restore", "copy.db", "--force"]).contains("another process has the database open"));
    writer.execute_batch("commit").unwrap();
    assert!(knurl.fails(1, &["restore", "copy.db", "--force"]).contains("another process has the database open"));
    writer.close().unwrap();
    assert_eq!(knurl.json(&["link", "show", "here"])["title"], "kept", "nothing was put in its place");
    assert!(names(&knurl, "data").iter().all(|name| !name.contains("restoring")));
    knurl.ok(&["restore", "copy.db", "--force"]);
}

#[test]
fn a_restore_is_refused_while_somebody_has_the_spool() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://example.com/"]);
    knurl.ok(&["backup", "copy.db"]);
    fs::create_dir(knurl.path("data/spool")).unwrap();
    let lock = fs::File::create(knurl.path("data/spool/lock")).unwrap();
    lock.lock().unwrap();
    assert!(knurl.fails(1, &["restore", "copy.db", "--force"]).contains("a server is running"));
    drop(lock);
    knurl.ok(&["restore", "copy.db", "--force"]);
}

/// The importer is fed through a pipe, so that it is certainly still writing while the copy is made.
#[test]
fn a_backup_taken_while_rows_are_written_is_one_consistent_state() {
    let knurl = Knurl::new();
    let mut import = knurl.begin(&["import", "-"], [Stdio::piped(), Stdio::piped(), Stdio::inherit()]);
    let mut pipe = import.stdin.take().unwrap();
    pipe.write_all(links_csv(1..=20_000).as_bytes()).unwrap();
    super::transfer::wait_for_rows(&knurl, 1);
    let made = knurl.json(&["backup", "copy.db"]);
    assert_eq!(made["verified"], true);
    drop(pipe);
    assert!(import.wait().unwrap().success());
    knurl.ok(&["--data-dir", "other", "restore", "copy.db"]);
    let copied = knurl.ok(&["--data-dir", "other", "export", "--urls", "-"]);
    let all = export_of(&knurl, "urls");
    assert!(copied.lines().count() > 1 && all.starts_with(&copied), "the copy is an earlier state of the whole");
}

#[test]
fn whatever_is_written_only_its_owner_may_read() {
    let knurl = Knurl::new();
    // As an operator may have made it: open to all.
    fs::create_dir(knurl.path("shared")).unwrap();
    fs::set_permissions(knurl.path("shared"), fs::Permissions::from_mode(0o755)).unwrap();
    knurl.ok(&["--data-dir", "shared", "link", "create", "https://example.com/"]);
    knurl.ok(&["--data-dir", "shared", "backup", "copy.db"]);
    knurl.ok(&["--data-dir", "shared", "export", "--urls", "urls.csv"]);
    for file in ["shared/knurl.db", "copy.db", "urls.csv"] {
        let mode = fs::metadata(knurl.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
}

#[test]
fn a_backup_in_which_one_bit_is_another_one_is_refused_and_one_without_its_checksum_is_not() {
    let knurl = Knurl::new();
    knurl.ok(&["link", "create", "https://a.example/of-this-length", "--code", "one"]);
    knurl.ok(&["backup", "copy.db"]);
    let mut bytes = fs::read(knurl.path("copy.db")).unwrap();
    let letter = bytes.windows(15).position(|window| window == b"a.example/of-th").unwrap();
    bytes[letter] ^= 1;
    // SQLite finds nothing wrong with it.
    fs::write(knurl.path("copy.db"), &bytes).unwrap();
    let said = knurl.fails(1, &["restore", "--force", "copy.db"]);
    assert!(said.contains("copy.db.sha256") && said.contains("take another backup"), "{said}");
    assert!(knurl.ok(&["link", "list"]).contains("https://a.example/of-this-length"), "the database stays");
    fs::remove_file(knurl.path("copy.db.sha256")).unwrap();
    knurl.ok(&["restore", "--force", "copy.db"]);
    // Replaced, it has the new one's.
    knurl.ok(&["backup", "copy.db", "--force"]);
    knurl.ok(&["restore", "--force", "copy.db"]);
}
